//! What a release was built with: its lock, embedded in the daemon.

use std::collections::BTreeMap;
use std::fmt;

use maplock_layout::lock::{LockError, LockedMap};
use maplock_layout::{Digest, Lock};

/// The definitions of a release's pinned maps, with the history that leads to them.
#[derive(Debug, Clone)]
pub struct Spec {
    lock: Lock,
    /// Of each map that it pins.
    digests: BTreeMap<String, Digest>,
}

/// A spec that can't be read: its text is not a lock.
#[derive(Debug, Clone)]
pub struct SpecError(LockError);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the spec is no lock: {}", self.0)
    }
}

impl std::error::Error for SpecError {}

impl Spec {
    /// Reads the text that `build.rs` generated as `SPEC`, or a `maps.lock`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        Lock::parse_embedded(text).map(Self::from).map_err(SpecError)
    }

    /// The lock, whole.
    #[must_use]
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The maps that the release pins, by name.
    pub fn maps(&self) -> impl Iterator<Item = &LockedMap> {
        self.lock.maps.values().filter(|map| !map.ephemeral)
    }

    /// One of them.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&LockedMap> {
        self.lock.maps.get(name).filter(|map| !map.ephemeral)
    }

    /// The maps that this build lacks, and another build of the release has.
    pub fn lacked(&self) -> impl Iterator<Item = &str> {
        let lacked = self.lock.maps.iter().filter(|(_, map)| map.optional && map.ephemeral);
        lacked.map(|(name, _)| name.as_str())
    }

    /// The names under which earlier releases pinned them, and those of maps that were given up.
    pub(crate) fn older_names(&self) -> impl Iterator<Item = &str> {
        let renamed = self.lock.maps.values().flat_map(|map| &map.renamed_from);
        let gone = self.lock.gone.iter().flat_map(|(name, gone)| std::iter::once(name).chain(&gone.renamed_from));
        renamed.chain(gone).map(String::as_str)
    }

    /// True if the other release pins the very same maps.
    pub(crate) fn pins_as(&self, other: &Self) -> bool {
        let room = |spec: &Self| spec.maps().map(|map| map.def.max_entries).collect::<Vec<_>>();
        self.digests == other.digests && room(self) == room(other)
    }

    /// The digest of one of them.
    #[must_use]
    pub fn digest(&self, name: &str) -> Option<Digest> {
        self.digests.get(name).copied()
    }
}

impl From<Lock> for Spec {
    fn from(lock: Lock) -> Self {
        let pinned = lock.maps.iter().filter(|(_, map)| !map.ephemeral);
        let digests = pinned.map(|(name, map)| (name.clone(), map.def.digest())).collect();
        Self { lock, digests }
    }
}
