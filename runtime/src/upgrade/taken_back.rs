//! What is lost of an upgrade that had switched links and was taken back.

use std::fmt;

use serde::Serialize;

/// What the programs of an upgrade that was taken back had written to a map, and the live generation does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftBehind {
    /// Name of the map's pin.
    pub map: String,
    /// Entries at the least; `None` where nothing tells how much it is, if anything.
    pub entries: Option<u64>,
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, entries } = self;
        match entries {
            Some(entries) => {
                write!(f, "at least {entries} entries of what the newer programs wrote to `{map}` are lost")
            }
            None => write!(f, "what the newer programs wrote to `{map}` is lost, and how much that is, nothing tells"),
        }
    }
}
