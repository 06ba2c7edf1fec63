//! What is decided of a map, while it is.

use maplock_layout::{Disposition, MapDef};

/// A decision.
pub(super) struct Decision {
    pub(super) disposition: Disposition,
    pub(super) why: String,
    /// What the map will be.
    pub(super) def: MapDef,
    /// Who answered.
    pub(super) by: By,
}

/// Why there is an answer, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The rules and the epochs of the lock.
    Lock,
    /// No epoch leads here.
    Unknown,
    /// Nothing tells the layout.
    Unverifiable,
    /// This process may not read the layout.
    Denied,
    /// Only the capacity is less.
    Larger,
}
