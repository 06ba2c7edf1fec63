//! Who carries the entries of a map over: by the behaviour of its type, and by nothing else.

use maplock_layout::map::MapType;
use maplock_layout::map_type::Behaviour;

/// What carries entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Entries by their keys: programs, or system calls for many of them or each.
    Entries,
    /// Entries by their order, once nobody adds to the old map.
    Order,
    /// Kernel objects by their ids: system calls.
    Objects,
    /// None: nothing is carried over.
    Nobody,
}

impl Carrier {
    /// The carrier of maps of that type.
    ///
    /// # Errors
    /// Why their entries can't be carried over: a phrase.
    pub(super) fn of(map_type: MapType) -> Result<Self, &'static str> {
        match map_type.row().entries {
            Behaviour::Copied => Ok(Self::Entries),
            Behaviour::MovedAtSettle => Ok(Self::Order),
            Behaviour::InnerMapsById | Behaviour::OneByOne => Ok(Self::Objects),
            Behaviour::Refilled | Behaviour::Events => Ok(Self::Nobody),
            Behaviour::NotCopyable(because) => Err(because),
        }
    }
}
