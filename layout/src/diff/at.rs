//! A place in both layouts, and how it is called.

use crate::rules::{self, Rule};

/// Whether a layout is a whole key, a whole value, or inside of one: the rule for "another type" differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Key,
    Value,
    Inside,
    /// An element of an array of several.
    Element,
}

impl Role {
    pub(super) fn type_changed(self) -> &'static Rule {
        match self {
            Self::Key => &rules::KEY_TYPE_CHANGED,
            Self::Value => &rules::VALUE_TYPE_CHANGED,
            Self::Inside | Self::Element => &rules::MEMBER_TYPE_CHANGED,
        }
    }
}

/// One place in both layouts.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub path: &'a str,
    pub role: Role,
    pub old_bits: u64,
    pub new_bits: u64,
}

pub(super) fn join(path: &str, name: &str) -> String {
    format!("{path}.{name}")
}

/// How a message names the place at `path`: by the member, or by what of the map it is.
pub(super) fn subject(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((map, "key")) => format!("the key of `{map}`"),
        Some((map, "value")) => format!("the value of `{map}`"),
        Some((_, member)) => format!("`{member}`"),
        None => format!("`{path}`"),
    }
}
