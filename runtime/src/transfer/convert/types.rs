//! What a conversion is of.

use std::io;

use maplock_layout::map::MapType;

use super::super::error::TransferError;
use super::super::types::{Sum, is_array};
use super::way::Way;
use super::which::first_two_of_one_key;
use crate::sys::Map;

/// One of the two maps of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that entries come from.
    From,
    /// The one that they go to.
    To,
}

impl Side {
    /// The other one: that of a transfer turned round.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::From => Self::To,
            Self::To => Self::From,
        }
    }
}

/// Entries of one map that another map takes over in another layout.
#[derive(Debug, Clone, Copy)]
pub struct Convert<'a> {
    /// The old map.
    pub from: &'a Map,
    /// The new one.
    pub to: &'a Map,
    /// The snapshot, of [`new_base`](crate::transfer::new_base); none for queues and stacks.
    pub base: Option<&'a Map>,
    /// Whose layout and keys the snapshot has.
    pub base_of: Side,
    /// How entries of the old map become those of the new.
    pub there: &'a Way,
    /// And those of the new map those of the old, if a way leads back.
    pub back: Option<&'a Way>,
    /// Members of the new map's value that are added up.
    pub sums: &'a [Sum],
}

impl Convert<'_> {
    /// True if the entry at an index of an array stays at that index.
    pub(super) fn keeps_indexes(&self) -> bool {
        is_array(self.from.info().map_type) && is_array(self.to.info().map_type) && self.there.keeps_keys()
    }

    /// What it means that entries of the new map could not be written. That their keys are there already is an error only if keys
    /// may not meet.
    pub(super) fn unwritten(&self, failed: u64, error: io::Error) -> TransferError {
        match error.raw_os_error() {
            Some(libc::EEXIST) if !self.there.may_meet() => self.collision(failed),
            _ => TransferError::write(self.to, failed, error),
        }
    }

    /// That so many entries have the new key of another.
    pub(super) fn collision(&self, failed: u64) -> TransferError {
        let keys = first_two_of_one_key(self.from, self.to, self.there);
        TransferError::Collision { map: self.to.info().name.clone(), failed, keys }
    }
}

/// True if entries of a map of one type can become those of another, or could before they became what they are: a way back
/// leads from a hash to an array.
#[must_use]
pub fn can_convert(from: MapType, to: MapType) -> bool {
    from.converts_into(to) || to.converts_into(from)
}
