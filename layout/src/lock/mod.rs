//! `maps.lock`: the committed record of the layouts that are pinned somewhere.

mod answers;
mod data;
mod emit;
mod error;
mod locate;
mod parse;
mod quote;
mod reader;
mod types;

use std::fmt;

pub use crate::epoch::{Epoch, Merge, OnUpgrade};
pub use data::{FILE_NAME, Gone, Lock, LockedMap, VERSION};
pub use error::{LockError, LockProblem};
pub use locate::{line_of, line_of_attribute};

impl LockedMap {
    /// True where a lock that holds `self` would hold `other` in the same words, histories aside. What a map that is not
    /// pinned looks like is of no account.
    #[must_use]
    pub fn same_definition(&self, other: &Self) -> bool {
        self.ephemeral == other.ephemeral
            && (self.ephemeral || emit::definition(&self.def) == emit::definition(&other.def))
    }
}

impl Lock {
    /// Reads a lockfile.
    ///
    /// # Errors
    /// Where it is not one that `cargo maplock` wrote: the error says which line, and what to do.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        parse::parse(text)
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&emit::lock(self))
    }
}
