//! What is lost, or may be, of an upgrade that had switched links and did not end.

use std::fmt;

use serde::Serialize;

use crate::transfer::Settled;

/// What the programs of an upgrade that did not end had written to a map, and the live generation does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeftBehind {
    /// Name of the map's pin.
    pub map: String,
    /// Entries at the least; `None` if nothing tells how much it is, if anything.
    pub entries: Option<u64>,
    /// True if it may be that nothing is: the upgrade was completed, and the map was settled by steps that can lose a write, or new programs
    /// may have written over what old ones wrote. The process that ended had counted that, and took the numbers with it.
    pub maybe: bool,
}

impl LeftBehind {
    /// If a map was brought over, what that may have lost.
    pub(crate) fn of(map: &str, settled: &Settled) -> Option<Self> {
        let is_whole = settled.is_exact() && settled.kept_new == 0 && !settled.repeats;
        (!is_whole).then(|| Self { map: map.to_owned(), entries: None, maybe: true })
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, entries, maybe } = self;
        match entries {
            _ if *maybe => write!(f, "some of what programs wrote to `{map}` around the switch may be lost"),
            Some(entries) => {
                write!(f, "at least {entries} entries of what the newer programs wrote to `{map}` are lost")
            }
            None => write!(f, "what the newer programs wrote to `{map}` is lost; nothing tells how much"),
        }
    }
}
