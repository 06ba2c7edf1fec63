//! Entries from one map to another, while programs write them.
//!
//! # The scheme
//!
//! Two passes over two maps of one kind, `from` (the old one) and `to` (the new one), with the links switched between them:
//!
//! 1. [`Transfer::copy`], while old programs write `from` and nobody uses `to`. Members that are added up ([`Sum`]) start as 0
//!    in `to`; all other bytes are copied, and the same bytes are kept in a third map, the snapshot `base`.
//! 2. [`Transfer::settle`], when nothing writes `from` any more (the links were switched, and
//!    [`wait_for_running_programs`](crate::sys::wait_for_running_programs) returned) and new programs write `to` at full speed.
//!    What takes long and can be done before the switch is in [`Transfer::prepare`].
//!    - A *sum* is taken out of `from` (exchanged with 0) and added to what is in `to`, each with one atomic instruction: both
//!      maps together hold all counts at any time.
//!    - *Other bytes* that old programs changed since the copy (`from` is not `base`) follow into `to`, word by word, each by a
//!      compare-and-exchange that expects the snapshot's: what new programs wrote is never overwritten. Where they wrote any word
//!      of an entry, all of its words are theirs ([`Settled::kept_new`]).
//!    - A key that old programs *inserted* is inserted, never over an entry of the new programs. One that old programs *deleted*
//!      is deleted, unless new programs wrote it. One that new programs deleted stays deleted, and its counts go with it.
//!
//! A program for one entry runs to its end whatever happens to the process, and `from` and `base` record what was done. So
//! `settle` may be killed at any point and run again, and a second run changes nothing. It is symmetric: with `from` and `to`
//! exchanged, and the same `base`, it brings back what new programs wrote, after a switch that failed and before or after a
//! first `settle`: that is also the roll-back. One thing can't be told apart then: a key that new programs deleted stays where it
//! holds counts that were never taken out of it.
//!
//! Without a `base`, which is enough where all bytes of a value are added up ([`needs_base`]), deletions are known from less: a key
//! of `from` with counts is inserted where `to` lacks it, and a key of `to` without counts that `from` lacks is deleted.
//!
//! # What becomes of each type of map
//!
//! | types | [`Behaviour`] | how |
//! |---|---|---|
//! | hash, lru_hash, percpu_hash, lru_percpu_hash | `Copied` | by an iterator program, in chunks of about a millisecond |
//! | array, percpu_array | `Copied` | by a program that loops over indexes, in chunks; nothing is inserted or deleted |
//! | lpm_trie | `Copied` | copied by batch calls, settled by a program for the keys that batch calls read |
//! | queue, stack | `MovedAtSettle` | by a program; old entries are behind (stack: above) those of new programs |
//! | array_of_maps, hash_of_maps | `InnerMapsById` | outer entries by batch calls; both share the inner maps |
//! | devmap, devmap_hash, cpumap | `OneByOne` | programs given by id are opened |
//! | prog_array, perf_event_array, cgroup_array | `Refilled` | nothing: the loader fills the new one |
//! | all others | `NotCopyable` | [`behaviour`] says why |
//!
//! An LRU map evicts also where it is not full: each CPU takes free entries in lots of up to 128. Give the new map room for
//! the entries and 128 more for each CPU; [`Copied::lost`] tells how many were evicted. Recency is not carried over.
//!
//! Values of kernel objects in a value (`bpf_timer`, kptrs, lists) can't be carried over; such bytes, and those of a
//! `bpf_spin_lock`, start as zero in the new map. The programs here may not look at them: `settle` then works by system calls.
//!
//! # What is exact
//!
//! [`Settled::exact`] is false where a step was not one atomic instruction, so that a write of a new program at that very moment
//! can be lost: in user space ([`Method::Batch`], [`Method::OneByOne`]), which the kernel's age or the value asks for; for bytes that
//! are no word of 4 or 8 bytes (the last 1 to 3 of a value), and for values of LPM tries that their keys leave unaligned. Per-CPU
//! values are settled on their own CPU, where a program in a softirq is never interrupted by ours. A program in process context
//! that counts with a plain `x++` can be, on a preemptible kernel only. Counters that programs of several CPUs share are exact if the
//! programs count with atomic instructions.
//!
//! Not told by `exact`: a key that old programs deleted is looked at before it is deleted, and a write between the two goes with it;
//! and an entry of a preallocated hash that new programs delete in the moment between the look-up and the addition may be
//! another key's by then, which gets the count.

mod behaviour;
mod calls;
mod clear;
mod convert;
mod count;
mod emit;
mod error;
mod kernel;
mod prepared;
mod shape;

use std::fmt;
use std::io;

use maplock_layout::map::MapType;

pub use behaviour::{Behaviour, behaviour};
use calls::{objects, plain};
pub use clear::clear;
pub use convert::migrate;
pub use convert::{Convert, NoSuchCode, Side, Way, can_convert};
pub use count::count;
pub use error::TransferError;
pub use prepared::Prepared;
use shape::Shape;

use crate::sys::{Map, NewMap};

/// A member of the value whose counts are added up: an integer, aligned to its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    /// Bytes from the start of the value.
    pub offset: u32,
    /// Width in bytes: 4 or 8.
    pub width: u32,
}

/// Entries of one map that another map takes over.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    /// The old map.
    pub from: &'a Map,
    /// The new one: of the same type, key and value size.
    pub to: &'a Map,
    /// The snapshot: of [`new_base`], and not needed where [`needs_base`] says so.
    pub base: Option<&'a Map>,
    /// Members that are added up.
    pub sums: &'a [Sum],
}

/// How a transfer is done, and who hears of it.
#[derive(Default)]
pub struct Options<'a> {
    /// The method, in place of the one that is chosen by type and by what the kernel can do.
    pub method: Option<Method>,
    /// Keeps entries of the new map that the old one has no more: a second pass then follows no deletion.
    pub keep_gone: bool,
    /// Is told how many entries are done, and of how many where that is known.
    pub progress: Option<&'a mut dyn FnMut(u64, Option<u64>)>,
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Options<'_> {
    fn tell(&mut self, done: u64, total: Option<u64>) {
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
    /// How; `None` where there was nothing to do.
    pub method: Option<Method>,
    /// Entries that an LRU map evicted while they were copied, for lack of room.
    pub lost: u64,
}

/// What a second pass did. In per-CPU maps, each CPU's value counts in `added`, `changed`, `dropped` and `kept_new`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Entries whose counts were moved to the new map.
    pub added: u64,
    /// Entries that old programs changed since the copy, and that follow.
    pub changed: u64,
    /// Entries that old programs inserted since the copy; or that were moved, in queues and stacks.
    pub inserted: u64,
    /// Entries that old programs deleted since the copy.
    pub deleted: u64,
    /// Entries with counts that new programs deleted.
    pub dropped: u64,
    /// Entries that old programs changed or deleted, and that are kept as new programs wrote them.
    pub kept_new: u64,
    /// How; `None` where there was nothing to do.
    pub method: Option<Method>,
    /// True where no write of a new program can have been lost.
    pub exact: bool,
}

impl Transfer<'_> {
    /// The first pass: copies entries while programs write the old map. The new map and the snapshot are used by nobody yet.
    /// A pass that was stopped may be run again.
    ///
    /// # Errors
    /// [`TransferError::Full`] where the new map has no room; the kernel's, with the map's name; and what
    /// [`TransferError`] says of maps that don't fit each other.
    pub fn copy(&self, options: &mut Options<'_>) -> Result<Copied, TransferError> {
        self.check()?;
        let shape = Shape::new(self.from, self.sums);
        let info = self.from.info();
        let mut copied = match behaviour(info.map_type) {
            Behaviour::Copied => self.copy_entries(&shape, options)?,
            Behaviour::MovedAtSettle | Behaviour::Refilled | Behaviour::Events => Copied::default(),
            Behaviour::InnerMapsById | Behaviour::OneByOne => objects::copy(self, options, true)?,
            Behaviour::NotCopyable(_) => unreachable!("checked"),
        };
        copied.bytes = copied.entries * (u64::from(info.key_size) + self.from.value_bytes() as u64);
        // Where there is room for that many entries besides, nothing was evicted, and nothing needs to be counted.
        let slack = crate::sys::possible_cpus().map_or(u64::MAX, |cpus| u64::from(cpus) * LRU_LOT);
        let has_own_lists = self.to.info().flags & BPF_F_NO_COMMON_LRU != 0;
        let has_room = !has_own_lists && copied.entries.saturating_add(slack) <= self.to.info().max_entries.into();
        if evicts(info.map_type) && !has_room {
            let there = count(self.to, std::time::Duration::MAX).unwrap_or(copied.entries);
            copied.lost = copied.entries.saturating_sub(there);
        }
        tracing::debug!(map = info.name, ?copied, "copied");
        Ok(copied)
    }

    fn copy_entries(&self, shape: &Shape, options: &mut Options<'_>) -> Result<Copied, TransferError> {
        let is_trie = self.from.info().map_type == MapType::LPM_TRIE;
        let wanted = options.method;
        // No program can iterate a trie, and to insert is what takes the time there.
        if !is_trie && wanted.is_none_or(|method| method == Method::Kernel) {
            match kernel::Engine::new(*self, shape).and_then(|engine| engine.copy_progs().map(|progs| (engine, progs)))
            {
                Ok((engine, progs)) => return engine.copy(&progs, options),
                Err(error) if wanted.is_none() => falls_back(self.from, &error),
                Err(error) => return Err(TransferError::kernel(self.from, "loading the program that copies")(error)),
            }
        }
        plain::copy(self, shape, options)
    }

    /// The second pass: settles what the old programs wrote meanwhile, while new programs write the new map and nothing
    /// writes the old one. May be killed and run again; run once more, it changes nothing. With `from` and `to` exchanged, it
    /// settles what the new programs wrote.
    ///
    /// # Errors
    /// As [`Self::copy`]; [`TransferError::NeedsBase`].
    pub fn settle(&self, options: &mut Options<'_>) -> Result<Settled, TransferError> {
        self.prepare(options)?.settle(options)
    }

    fn check(&self) -> Result<(), TransferError> {
        let (from, map) = (self.from.info(), self.from.info().name.clone());
        if let Behaviour::NotCopyable(reason) = behaviour(from.map_type) {
            return Err(TransferError::NotCopyable { map, map_type: from.map_type, reason });
        }
        for (other, has_type) in [(Some(self.to), true), (self.base, false)] {
            let Some(other) = other.map(Map::info) else { continue };
            let unlike = |what, old, new| Err(TransferError::Unlike { map: other.name.clone(), what, old, new });
            if has_type && other.map_type != from.map_type {
                return unlike("type", from.map_type.0, other.map_type.0);
            }
            if other.key_size != from.key_size {
                return unlike("key_size", from.key_size, other.key_size);
            }
            if other.value_size != from.value_size {
                return unlike("value_size", from.value_size, other.value_size);
            }
        }
        if is_array(from.map_type) {
            self.check_rest_is_zero()?;
        }
        check_sums(self.from, self.sums)
    }
}

impl Transfer<'_> {
    /// What a smaller array has no index for must hold nothing.
    fn check_rest_is_zero(&self) -> Result<(), TransferError> {
        let (from, to) = (self.from.info(), self.to.info());
        let mut value = vec![0; self.from.value_bytes()];
        let mut failed = 0;
        for index in to.max_entries..from.max_entries {
            let read = self.from.lookup_into(&index.to_ne_bytes(), &mut value);
            read.map_err(TransferError::kernel(self.from, "reading an entry"))?;
            failed += u64::from(value.iter().any(|byte| *byte != 0));
        }
        match failed {
            0 => Ok(()),
            _ => Err(TransferError::Full { map: to.name.clone(), max_entries: to.max_entries, failed }),
        }
    }
}

fn falls_back(map: &Map, error: &io::Error) {
    tracing::warn!(map = map.info().name, %error, "no program for this map: going by system calls");
}

/// Members that are added up must be in the value, aligned, and apart.
fn check_sums(of: &Map, sums: &[Sum]) -> Result<(), TransferError> {
    let info = of.info();
    let mut sums = sums.to_vec();
    sums.sort_unstable();
    let mut end = 0;
    for sum in sums {
        let fits = sum.offset.checked_add(sum.width).is_some_and(|end| end <= info.value_size);
        if !matches!(sum.width, 4 | 8) || sum.offset % sum.width != 0 || !fits || sum.offset < end {
            return Err(TransferError::Sum { map: info.name.clone(), sum, value_size: info.value_size });
        }
        end = sum.offset + sum.width;
    }
    Ok(())
}

/// True where a snapshot is needed to settle: where a value has bytes that are not added up. False for types that are settled
/// without one.
#[must_use]
pub fn needs_base(map_type: MapType, value_size: u32, sums: &[Sum]) -> bool {
    let added: u64 = sums.iter().map(|sum| u64::from(sum.width)).sum();
    behaviour(map_type) == Behaviour::Copied && added < value_size.into()
}

/// An empty map to hold the snapshot of `from`. It is of the same kind, but never evicts, and has room for more: where keys come and
/// go, a copy meets more of them than the map ever holds at once.
///
/// # Errors
/// The kernel's: ENOMEM, EPERM.
pub fn new_base(from: &Map) -> io::Result<Map> {
    use MapType as T;
    const BPF_F_NO_PREALLOC: u32 = 1;
    let info = from.info();
    let map_type = match info.map_type {
        T::LRU_HASH => T::HASH,
        T::LRU_PERCPU_HASH => T::PERCPU_HASH,
        other => other,
    };
    let slack = if is_array(map_type) { 0 } else { (info.max_entries / 4).max(1024) };
    let mut new = NewMap::new(map_type, info.key_size, info.value_size, info.max_entries.saturating_add(slack));
    new.name = "maplock_base";
    new.flags = info.flags & BPF_F_NO_PREALLOC;
    Map::create(&new)
}

/// Copies all entries of a map that nobody writes into its snapshot, which is of [`new_base`].
///
/// # Errors
/// As [`Transfer::copy`].
pub fn snapshot(from: &Map, base: &Map) -> Result<Copied, TransferError> {
    let transfer = Transfer { from, to: base, base: None, sums: &[] };
    transfer.copy_entries(&Shape::new(from, &[]), &mut Options::default())
}

/// Each CPU has its own list of free entries, instead of one for all.
const BPF_F_NO_COMMON_LRU: u32 = 2;

/// Free entries that a CPU takes at a time (`LOCAL_FREE_TARGET` in kernel/bpf/bpf_lru_list.c).
const LRU_LOT: u64 = 128;

/// True for types that drop entries by themselves.
#[must_use]
pub fn evicts(map_type: MapType) -> bool {
    matches!(map_type, MapType::LRU_HASH | MapType::LRU_PERCPU_HASH)
}

fn is_per_cpu(map_type: MapType) -> bool {
    matches!(map_type, MapType::PERCPU_HASH | MapType::PERCPU_ARRAY | MapType::LRU_PERCPU_HASH)
}

fn is_array(map_type: MapType) -> bool {
    matches!(map_type, MapType::ARRAY | MapType::PERCPU_ARRAY)
}
