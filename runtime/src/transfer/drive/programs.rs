//! What supplies the programs of a transfer.

use std::io;

use maplock_layout::map::MapType;

use super::super::emit::asm::Code;
use super::super::emit::inputs::{Cpus, Maps, Over};
use super::super::emit::records;
use super::super::error::TransferError;
use crate::sys::{Map, NewMap};

/// The programs of one transfer, each for one entry. The driver says over which entries they run.
pub(in crate::transfer) trait Programs: Sync {
    /// The maps that all of them are about.
    fn maps(&self) -> Maps<'_>;

    /// Copies an entry. Two that have half of the entries each run at once, and need room of their own.
    fn copy(&self, over: Over<'_>) -> io::Result<Code>;

    /// One that is faster, and which the kernel may refuse.
    fn copy_plainly(&self) -> Option<io::Result<Code>> {
        None
    }

    /// False if two programs may not copy at once.
    fn can_be_halved(&self) -> bool {
        true
    }

    /// Settles an entry of the old map. Not for per-CPU maps, which have the next two.
    fn settle(&self, over: Over<'_>) -> io::Result<Code>;

    /// Settles the values that some CPUs have.
    fn settle_cpus(&self, over: Over<'_>, cpus: &Cpus) -> io::Result<Code>;

    /// Makes the entry whose values are settled then.
    fn insert(&self, over: Over<'_>) -> io::Result<Code>;

    /// False if a key that is gone does not tell which entry of the new map is to go.
    fn follows_deletions(&self) -> bool {
        true
    }

    /// True if the snapshot has an entry for each one of the old map that was settled, and no others but of keys that are gone from it.
    fn remembers_each(&self) -> bool;

    /// Finds what old programs deleted. The keys come into `gone`; if there is none, they are marked where they came from.
    fn find_gone(&self, over: Over<'_>, gone: Option<&Map>) -> io::Result<Code>;

    /// Deletes it.
    fn delete_gone(&self, over: Over<'_>) -> io::Result<Code>;

    /// True if the snapshot has keys and values as the old map has them.
    fn can_be_recorded(&self) -> bool;

    /// Records an entry that the snapshot has.
    fn record(&self, over: Over<'_>, records: &Map) -> io::Result<Code> {
        records::record(self.maps(), over, records)
    }

    /// True if the entry at an index of an array stays at that index.
    fn keeps_indexes(&self) -> bool;

    /// What it means that entries could not be written.
    fn failed(&self, entries: u64, error: io::Error) -> TransferError {
        TransferError::write(self.maps().to, entries, error)
    }
}

/// Room in which programs work.
pub(in crate::transfer) fn work(size: u32, entries: u32) -> io::Result<Map> {
    let mut new = NewMap::new(MapType::ARRAY, 4, size, entries);
    new.name = "maplock_work";
    Map::create(&new)
}
