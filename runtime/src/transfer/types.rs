//! What a transfer is of, how it is asked for, and what it says it did.

use std::fmt;

use maplock_layout::map::MapType;

use super::inexact::Inexact;
use crate::sys::consts::{BPF_F_NO_COMMON_LRU, LOCAL_FREE_TARGET};
use crate::sys::{self, Map};

/// A member of the value whose counts are added up: an integer, aligned to its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    /// Bytes from the start of the value.
    pub offset: u32,
    /// Width in bytes: 4 or 8.
    pub width: u32,
    /// True if it may be less than nothing.
    pub signed: bool,
}

/// Entries of one map that another map takes over.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// The old map.
    pub from: &'a Map,
    /// The new one: of the same type, key and value size.
    pub to: &'a Map,
    /// The snapshot: of [`new_base`](super::new_base), and not needed if [`needs_base`](super::needs_base) says so.
    pub base: Option<&'a Map>,
    /// Members that are added up.
    pub sums: &'a [Sum],
}

/// How a transfer is done, and who hears of it.
#[derive(Default)]
pub struct TransferOptions<'a> {
    /// The method, in place of the one that is chosen by type and by what the kernel can do.
    pub method: Option<Method>,
    /// Keeps entries of the new map that the old one has no more: a second pass then follows no deletion.
    pub keep_gone: bool,
    /// Settles first what fits, and only then says [`TransferError::Full`](super::TransferError::Full) of what a smaller array has no
    /// index for: on the way back from a switch that failed, if the rest would be lost with it.
    pub what_fits: bool,
    /// Is told how many entries are done, and of how many if that is known.
    pub progress: Option<&'a mut dyn FnMut(u64, Option<u64>)>,
    /// Nothing is carried over: that no program does it is told by [`Prepared::inexact`](super::Prepared::inexact) alone.
    pub is_probe: bool,
}

impl fmt::Debug for TransferOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferOptions").field("method", &self.method).finish_non_exhaustive()
    }
}

impl TransferOptions<'_> {
    pub(super) fn tell(&mut self, done: u64, total: Option<u64>) {
        if let Some(progress) = &mut self.progress {
            progress(done, total);
        }
    }
}

/// How entries are carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// By a program.
    Kernel,
    /// By system calls for many entries each.
    Batch,
    /// By system calls for each entry.
    OneByOne,
}

impl Method {
    /// Its name, as reports have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Batch => "batch",
            Self::OneByOne => "one-by-one",
        }
    }
}

/// What a first pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Entries that were copied.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// How; `None` if there was nothing to do.
    pub method: Option<Method>,
    /// Entries that an LRU map evicted while they were copied, for lack of room.
    pub lost: u64,
}

/// What a second pass did. In per-CPU maps that programs settle ([`Method::Kernel`]), each CPU's value counts in `added`, `changed`,
/// `dropped`, `kept_new` and `not_carried`; by system calls, each entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Entries whose counts old programs changed since the copy: the difference was added to those of the new map.
    pub added: u64,
    /// Entries that old programs changed since the copy, and that follow.
    pub changed: u64,
    /// Entries that old programs inserted since the copy and that the new map lacked; or that were moved, in queues and stacks. If new
    /// programs delete, such an entry may be one that they had made and deleted again.
    pub inserted: u64,
    /// Entries that old programs deleted since the copy.
    pub deleted: u64,
    /// Entries that new programs deleted, and whose counts old programs changed since the copy.
    pub dropped: u64,
    /// Entries that old programs changed or deleted, and that are kept as new programs wrote them.
    pub kept_new: u64,
    /// Entries one of whose unsigned counts would have gone below zero: old programs lowered it since the copy by more than it holds by now, for example if
    /// both deleted the entry and made it anew. Such a count is what new programs counted.
    pub not_carried: u64,
    /// Entries that counts were added to though they may be others than the ones that were counted in: one of their unsigned counts was
    /// lower than as it was copied, or both programs had made the entry. If nobody deletes, they are the same.
    pub maybe_another: u64,
    /// By how many entries the new map grew in the rounds before the switch, which old programs inserted and deleted since the copy.
    pub grown_before: i64,
    /// How; `None` if there was nothing to do.
    pub method: Option<Method>,
    /// Why a write of a new program can have been lost at that very moment; `None` if none can.
    pub inexact: Option<Inexact>,
    /// True of entries without keys that were moved by system calls: one that an earlier attempt had begun to move, before it was killed,
    /// may be there twice, or of a stack be lost.
    pub repeats: bool,
}

impl Settled {
    /// True if no write can have been lost.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.inexact.is_none() && self.not_carried == 0
    }
}

/// True for types that drop entries by themselves.
#[must_use]
pub fn evicts(map_type: MapType) -> bool {
    map_type.evicts()
}

/// True if an LRU map has room for so many entries and for those that each CPU takes in lots, so that it evicts none.
pub(super) fn has_slack(map: &Map, entries: u64) -> bool {
    let slack = sys::possible_cpus().map_or(u64::MAX, |cpus| u64::from(cpus) * u64::from(LOCAL_FREE_TARGET));
    let has_own_lists = map.info().flags & BPF_F_NO_COMMON_LRU != 0;
    !has_own_lists && entries.saturating_add(slack) <= map.info().max_entries.into()
}

/// So many entries are written from one CPU if each has a part of the map's room.
pub(super) const SPREAD: usize = 64;

/// True for a map of which each CPU has entries of its own to give away: as many are to be taken from each.
pub(super) fn is_spread(map: &Map) -> bool {
    evicts(map.info().map_type) && map.info().flags & BPF_F_NO_COMMON_LRU != 0
}

pub(super) fn is_per_cpu(map_type: MapType) -> bool {
    map_type.is_per_cpu()
}

pub(super) fn is_array(map_type: MapType) -> bool {
    map_type.is_array()
}
