//! What a lockfile holds, as plain data.

use std::collections::BTreeMap;

use crate::epoch::Epoch;
use crate::map::MapDef;

/// The version of the file format that this crate writes, and the newest that it reads.
pub const VERSION: i64 = 1;

/// The usual name of the file, beside a package's `Cargo.toml`.
pub const FILE_NAME: &str = "maps.lock";

/// The maps of a package, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Each map and how it came to be as it is.
    pub maps: BTreeMap<String, LockedMap>,
}

/// One map of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedMap {
    /// Its definition.
    pub def: MapDef,
    /// True where the map is declared but does not count as pinned. In a lockfile: it once did, and its removal from
    /// the pinned ones was accepted.
    pub ephemeral: bool,
    /// Accepted breaks, oldest first.
    pub epochs: Vec<Epoch>,
}

impl LockedMap {
    /// A pinned map without a history.
    #[must_use]
    pub fn new(def: MapDef) -> Self {
        Self { def, ephemeral: false, epochs: Vec::new() }
    }
}
