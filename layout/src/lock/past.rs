//! The history of a map as text, and the checksum over all that a lock says of it.
//!
//! A section of a history stands by itself: what it names, a definition or a type, it names by a hash of what that says.
//! So no line of one can become a line of another with a meaning that nobody gave it. A type that the map still has is
//! not written again.

use std::collections::{BTreeMap, BTreeSet};

use super::data::{Gone, LockedMap};
use super::facts::{self, Fact};
use super::hash;
use super::quote::{key, string};
use super::type_table::{Labels, TypeTable};
use crate::epoch::Epoch;
use crate::map::MapDef;

/// Bytes of the hash by which a definition is named.
const NAME: usize = 6;

/// Bytes of a checksum.
const CHECKSUM: usize = 8;

/// The history of one map.
#[derive(Debug)]
pub(super) struct Past {
    /// Its section, without a header.
    pub(super) lines: String,
    /// Over all that the lock says of the map: head, types and history.
    pub(super) checksum: String,
}

impl Past {
    pub(super) fn of_map(name: &str, map: &LockedMap) -> Self {
        Self::of(&format!("map {}", string(name)), &facts::of_map(map), Some(&map.def), &map.epochs)
    }

    pub(super) fn of_gone(name: &str, gone: &Gone) -> Self {
        let head: Vec<_> = facts::of_gone(gone);
        Self::of(&format!("gone {}", string(name)), &head, None, &gone.epochs)
    }

    fn of(what: &str, head: &[Fact], def: Option<&MapDef>, epochs: &[Epoch]) -> Self {
        let mut types = TypeTable::new(Labels::Contents);
        let today = def.map(|def| facts::definition_line(def, "", &mut types)).unwrap_or_default();
        let of_today: BTreeSet<_> = types.by_label.keys().cloned().collect();

        let mut lines = "epochs = [\n".to_owned();
        let (mut definitions, mut named) = (String::new(), BTreeSet::new());
        for epoch in epochs {
            let previous = facts::definition_line(&epoch.previous, "", &mut types);
            let name = hash::of(&previous, NAME);
            lines.push_str(&format!("  {},\n", facts::line(&facts::of_epoch(epoch, &name))));
            if named.insert(name.clone()) {
                definitions.push_str(&format!("definitions.{} = {previous}\n", key(&name)));
            }
        }
        lines.push_str("]\n");
        lines.push_str(&definitions);

        let mut all = format!("{what}\n{}{today}\n", facts::lines(head));
        let type_lines: BTreeMap<_, _> = types
            .by_label
            .iter()
            .map(|(label, named)| (label, format!("types.{} = {}\n", string(label), named.line())))
            .collect();
        for (label, line) in &type_lines {
            if of_today.contains(*label) {
                all.push_str(line);
            } else {
                lines.push_str(line);
            }
        }
        all.push_str(&lines);
        Self { lines, checksum: hash::of(&all, CHECKSUM) }
    }
}
