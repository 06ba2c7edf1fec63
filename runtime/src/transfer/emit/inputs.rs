//! What programs are told, and what they tell.

use std::io;
use std::ops::Range;

use super::super::pieces::Pieces;
use crate::sys::Map;

/// What programs count, in an array of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Count {
    Added,
    Changed,
    Inserted,
    Deleted,
    Dropped,
    KeptNew,
    NotCarried,
    MaybeAnother,
    /// Entries that came into the snapshot.
    Remembered,
    /// Entries that went out of it.
    Forgotten,
    /// Keys that are gone from the old map, by their records.
    Gone,
    /// Entries that something else changed at the same moment: to be settled once more.
    Again,
    /// Per-CPU values without a place in the new map, or in the snapshot.
    Missing,
    Failed,
    /// Not a count: the last error, as the kernel returns it.
    Error,
    /// Nor is this: the index of the record whose turn it is.
    Turn,
}

/// How many words [`Count`] takes.
pub(in crate::transfer) const COUNTS: u32 = 16;

/// A slot of the array through which user space hands keys to a program: words `has_shorter` and `marked`, the key, and the
/// key with a prefix that is one bit shorter.
pub(in crate::transfer) mod slot {
    pub(in crate::transfer) const HAS_SHORTER: usize = 0;
    pub(in crate::transfer) const MARKED: usize = 4;
    pub(in crate::transfer) const KEY: usize = 8;

    pub(in crate::transfer) fn key_room(key_size: u32) -> usize {
        (key_size as usize).next_multiple_of(8)
    }

    pub(in crate::transfer) fn size(key_size: u32) -> usize {
        KEY + 2 * key_room(key_size)
    }
}

/// A record of an entry of the snapshot: words `state` and `place`, the key, the value.
pub(in crate::transfer) mod record {
    use super::slot::key_room;

    /// Bits; 0 if nothing was recorded.
    pub(in crate::transfer) const STATE: i16 = 0;
    /// The snapshot has the key.
    pub(in crate::transfer) const KNOWN: i32 = 1;
    /// And this value.
    pub(in crate::transfer) const SAME: i32 = 2;
    /// The last pass has found it in the old map.
    pub(in crate::transfer) const SEEN: i32 = 4;

    /// Has to do with the index of this record: an index at which a key may be recorded whose hash this record's is.
    pub(in crate::transfer) const PLACE: i16 = 4;
    pub(in crate::transfer) const KEY: i16 = 8;

    pub(in crate::transfer) fn value(key_size: u32) -> usize {
        KEY as usize + key_room(key_size)
    }

    pub(in crate::transfer) fn size(key_size: u32, value_size: u32) -> usize {
        value(key_size) + (value_size as usize).next_multiple_of(8)
    }
}

/// Where a program's entries come from.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) enum Over<'a> {
    /// An iterator over a map whose keys have so many bytes; of all entries, or of those that one of two programs takes, or that are not as
    /// they were recorded.
    Iterator { btf_id: u32, key_size: u32, half: Option<Half>, records: Option<&'a Map> },
    /// The indexes of an array, from one that is given at each run.
    Indexes,
    /// Keys that user space wrote to an array.
    Keys(&'a Map),
}

/// One of two programs, which have about half of the keys each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Half {
    One,
    Other,
}

/// Whose values a program looks at in per-CPU maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transfer) enum Cpus {
    /// Those of the CPU that it runs on.
    Own,
    /// Those of each of these.
    Range(Range<u32>),
}

/// All that the programs of a transfer have to know.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) struct Maps<'a> {
    pub(in crate::transfer) from: &'a Map,
    pub(in crate::transfer) to: &'a Map,
    pub(in crate::transfer) base: Option<&'a Map>,
    pub(in crate::transfer) pieces: &'a Pieces,
    /// An array of one value of [`COUNTS`] words.
    pub(in crate::transfer) counts: &'a Map,
    /// An array of one value as large as the maps', to put values together.
    pub(in crate::transfer) scratch: &'a Map,
    /// The same, always zero.
    pub(in crate::transfer) zeros: &'a Map,
    pub(in crate::transfer) per_cpu: bool,
    pub(in crate::transfer) possible_cpus: u32,
}

impl<'a> Maps<'a> {
    /// The snapshot, without which nothing is settled.
    pub(in crate::transfer) fn snapshot(&self) -> io::Result<&'a Map> {
        self.base.ok_or_else(|| io::Error::other("entries are settled only with a snapshot"))
    }

    /// For a program that looks at no other CPU's values. What it counts, and what else it needs room for, is in `work`.
    pub(in crate::transfer) fn shared(
        (from, to): (&'a Map, &'a Map),
        base: Option<&'a Map>,
        pieces: &'a Pieces,
        work: &'a Map,
    ) -> Self {
        Self { from, to, base, pieces, counts: work, scratch: work, zeros: work, per_cpu: false, possible_cpus: 1 }
    }
}
