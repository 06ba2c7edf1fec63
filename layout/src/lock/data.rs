//! What a lockfile holds, as plain data.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::epoch::{Epoch, Merge};
use crate::map::MapDef;
use crate::program_use::ProgramUse;

/// The version of the file format that this crate writes, and the newest that it reads.
pub const VERSION: i64 = 1;

/// The usual name of the file, beside a package's `Cargo.toml`.
pub const FILE_NAME: &str = "maps.lock";

/// The variable by which a build script tells the derives the name of the lock, if it depends on the target.
pub const LOCK_VARIABLE: &str = "MAPLOCK_LOCK_FILE";

impl Config {
    /// The name of the lock that a build for `arch` is compared with (`CARGO_CFG_TARGET_ARCH`): `maps.aarch64.lock` for one
    /// that has its own, else `maps.lock`.
    #[must_use]
    pub fn lock_name(&self, arch: &str) -> String {
        match self.targets.contains(arch) {
            true => format!("maps.{arch}.lock"),
            false => FILE_NAME.to_owned(),
        }
    }
}

/// The maps of a package, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// Each map and how it came to be as it is.
    pub maps: BTreeMap<String, LockedMap>,
    /// Maps that are no more, and whose entries were given up. A node may still hold their pins.
    pub gone: BTreeMap<String, Gone>,
}

/// A map that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Names under which releases before the last pinned it, newest first.
    pub renamed_from: Vec<String>,
    /// How members of its value were merged, for when it comes back.
    pub merge: BTreeMap<String, Merge>,
    /// How it came to be as it was, oldest first; the newest gave it up ([`OnUpgrade::Drop`](crate::lock::OnUpgrade::Drop)).
    pub epochs: Vec<Epoch>,
}

impl Gone {
    /// What is to be known of a map that is given up, but for the epoch that says so.
    pub(crate) fn of(map: &LockedMap) -> Self {
        Self { renamed_from: map.renamed_from.clone(), merge: map.merge.clone(), epochs: map.epochs.clone() }
    }
}

/// One map of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedMap {
    /// Its definition.
    pub def: MapDef,
    /// True if the map is declared but does not count as pinned. In a lockfile: it once did, and its removal from
    /// the pinned ones was accepted.
    pub ephemeral: bool,
    /// Names under which earlier releases pinned it, newest first.
    pub renamed_from: Vec<String>,
    /// True if a build may lack it.
    pub optional: bool,
    /// True if the daemon sets its capacity when it loads it, or has done so: a larger map than is asked for stays.
    pub runtime_capacity: bool,
    /// True if the daemon sets its flags when it loads it.
    pub runtime_flags: bool,
    /// True if nobody in user space deletes entries, as the configuration says.
    pub user_never_deletes: bool,
    /// How members that two releases both count are merged, by path ([`sum_places`](crate::sum_places)), for the life of
    /// the map. On the way over an epoch, what that epoch says of a member overrules this.
    pub merge: BTreeMap<String, Merge>,
    /// What the release's programs do with its entries; `None` if nobody has looked.
    pub programs: Option<ProgramUse>,
    /// Accepted breaks, oldest first.
    pub epochs: Vec<Epoch>,
}

impl LockedMap {
    /// A pinned map without a history.
    #[must_use]
    pub fn new(def: MapDef) -> Self {
        Self {
            def,
            ephemeral: false,
            renamed_from: Vec::new(),
            optional: false,
            runtime_capacity: false,
            runtime_flags: false,
            user_never_deletes: false,
            merge: BTreeMap::new(),
            programs: None,
            epochs: Vec::new(),
        }
    }

    /// The map, with the history of what it was: what belongs to it for life, and no object tells.
    #[must_use]
    pub fn with_past_of(mut self, known: &Self) -> Self {
        self.epochs.clone_from(&known.epochs);
        self.renamed_from.clone_from(&known.renamed_from);
        self.merge.clone_from(&known.merge);
        self
    }
}
