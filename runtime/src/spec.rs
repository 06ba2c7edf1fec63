//! What a release was built with: its lock, embedded in the daemon.

use std::fmt;

use maplock_layout::Lock;
use maplock_layout::lock::{LockError, LockedMap};

/// The definitions of a release's pinned maps, with the history that leads to them.
#[derive(Debug, Clone)]
pub struct Spec {
    lock: Lock,
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
    /// Where it is neither.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        Lock::parse(text).map(Self::from).map_err(SpecError)
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
}

impl From<Lock> for Spec {
    fn from(lock: Lock) -> Self {
        Self { lock }
    }
}
