//! `maps.lock`: the committed record of the layouts that are pinned somewhere.

mod answers;
mod data;
mod emit;
mod error;
mod facts;
mod hash;
mod locate;
mod parse;
mod parse_types;
mod past;
mod quote;
mod reader;
mod type_table;
mod types;

use std::fmt;

pub use crate::epoch::{Epoch, Merge, OnUpgrade};
pub use data::{FILE_NAME, Gone, LOCK_VARIABLE, Lock, LockedMap, VERSION};
pub use error::{LockError, LockProblem};
pub use locate::Lines;
use parse::Checksums;

use crate::wide_enum;

impl LockedMap {
    /// True if a lock that holds `self` would hold `other` in the same words, histories aside. What a map looks like does
    /// not count if it is not pinned.
    #[must_use]
    pub fn same_definition(&self, other: &Self) -> bool {
        let said =
            |map: &Self| (map.ephemeral, map.optional, map.runtime_capacity, map.runtime_flags, map.user_never_deletes);
        said(self) == said(other)
            && (self.ephemeral
                || emit::definition(&self.def) == emit::definition(&other.def)
                || self.is_narrowed(other))
    }

    /// How many entries it has room for, if `other` has room for more. Nothing if a daemon decides of one of them when it runs.
    #[must_use]
    pub fn smaller_room_than(&self, other: &Self) -> Option<u32> {
        let is_known = |map: &Self| !map.runtime_capacity && !map.def.lacks_capacity();
        let is_smaller = self.def.max_entries < other.def.max_entries;
        (is_smaller && is_known(self) && is_known(other)).then_some(self.def.max_entries)
    }

    /// True if no more differs than what one compiler tells of wide enumerations, and another does not.
    fn is_narrowed(&self, other: &Self) -> bool {
        let (one, two) = (wide_enum::narrowed(&self.def), wide_enum::narrowed(&other.def));
        (one.is_some() || two.is_some())
            && emit::definition(one.as_ref().unwrap_or(&self.def))
                == emit::definition(two.as_ref().unwrap_or(&other.def))
    }
}

impl Lock {
    /// Reads a lockfile.
    ///
    /// # Errors
    /// If it is not one that `cargo maplock` wrote, whole and as it was written: the error says which line, and what to do.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        parse::parse(text, Checksums::Compared)
    }

    /// Reads a lock that a program carries with it, or that lies beside its pins. Whoever put it there has [parsed](Self::parse) it;
    /// a node compares the digests alone, and starts also if another version of maplock would make another checksum.
    ///
    /// # Errors
    /// If it is not a lock.
    pub fn parse_embedded(text: &str) -> Result<Self, LockError> {
        parse::parse(text, Checksums::Ignored)
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&emit::lock(self))
    }
}
