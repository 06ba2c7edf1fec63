//! Words for what the new programs read otherwise in old entries, and on what condition that is right.

use crate::change::Part;
use crate::listing::list;
use crate::reading::{Named, Reading, Risk};

/// Most members that a sentence names.
const MOST: usize = 4;

impl Reading {
    /// What becomes of the bytes: `bytes 0..4, written as `rx` (u32), will be read as `tx` (u32)`.
    #[must_use]
    pub fn sentence(&self, map: &str) -> String {
        let inner = match self.inner {
            0 => String::new(),
            depth => format!("in `{map}`{}, ", "'s inner map".repeat(depth)),
        };
        let told = |named: &Named| format!("{} ({})", self.member(&named.path), named.spelling);
        let mut wrote: Vec<_> = self.wrote.iter().take(MOST).map(told).collect();
        match self.wrote.len().saturating_sub(MOST) {
            0 => {}
            1 => wrote.push("1 more member".to_owned()),
            more => wrote.push(format!("{more} more members")),
        }
        if self.has_padding {
            wrote.push("padding".to_owned());
        }
        let wrote = list(&wrote);
        let place = self.place;
        let Some(reads) = &self.reads else {
            return format!("{inner}{place}, written as {wrote}, will be padding, but keys still differ in it");
        };
        let right = match self.risk {
            Risk::Padding => ": right if the old release wrote 0".to_owned(),
            Risk::Arm => ": a new arm of a union, right if no program reads it from an old entry".to_owned(),
            Risk::OtherName => format!(": right if {}", self.same_meaning()),
            Risk::Misread => String::new(),
        };
        format!("{inner}{place}, written as {wrote}, will be read as {}{right}", told(reads))
    }

    /// On what condition the bytes of all these readings are right as they are: `padding was 0`. `None` if there is none.
    #[must_use]
    pub fn condition(readings: &[Self]) -> Option<String> {
        let has = |risk| readings.iter().any(|reading| reading.risk == risk);
        let mut conditions = Vec::new();
        if has(Risk::Padding) {
            conditions.push("padding was 0".to_owned());
        }
        if has(Risk::Arm) {
            conditions.push("no program reads the new arm from an old entry".to_owned());
        }
        let mut renamed = readings.iter().filter(|reading| reading.risk == Risk::OtherName);
        match (renamed.next(), renamed.next()) {
            (None, _) => {}
            (Some(one), None) => conditions.push(one.same_meaning()),
            (Some(_), Some(_)) => conditions.push("the renamed members mean what they meant".to_owned()),
        }
        (!conditions.is_empty()).then(|| conditions.join(" and "))
    }

    /// `tx` means what `rx` meant: what nothing but people can tell of a member that has another name.
    fn same_meaning(&self) -> String {
        match (&self.reads, self.wrote.as_slice()) {
            (Some(reads), [wrote]) => {
                format!("{} means what {} meant", self.member(&reads.path), self.member(&wrote.path))
            }
            _ => "that means what it meant".to_owned(),
        }
    }

    /// A member by its path, as the options of an epoch name it.
    fn member(&self, path: &str) -> String {
        match (self.part, path) {
            (Part::Key, "") => "the key".to_owned(),
            (_, "") => "the value".to_owned(),
            (Part::Key, path) if path.starts_with('[') => format!("`key{path}`"),
            (Part::Key, path) => format!("`key.{path}`"),
            (_, path) if path.starts_with('[') => format!("`value{path}`"),
            (_, path) => format!("`{path}`"),
        }
    }
}
