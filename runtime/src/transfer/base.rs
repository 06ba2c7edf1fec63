//! The snapshot: a third map, which keeps what an entry was as it was copied.

use std::io;

use maplock_layout::map::MapType;
use maplock_layout::map_type::Kind;

use super::carrier::Carrier;
use super::emit::inputs::record;
use super::types::is_array;
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::sys::{Map, NewMap};

/// True if a snapshot is needed to settle: for all entries that are carried over by their keys.
#[must_use]
pub fn needs_base(map_type: MapType) -> bool {
    Carrier::of(map_type) == Ok(Carrier::Entries)
}

/// For how many entries the snapshot of a map has room that has it for `max_entries`, of so many bytes each: for more, since a copy of a map in which
/// keys come and go meets more of them than it ever holds at once.
#[must_use]
pub fn base_room(map_type: MapType, entry_bytes: u64, max_entries: u32) -> u32 {
    if is_array(map_type) {
        return max_entries;
    }
    let few = u32::try_from((4 << 20) / entry_bytes.max(1)).unwrap_or(u32::MAX).clamp(16, 1024);
    max_entries.saturating_add((max_entries / 4).max(few))
}

/// Entries of at most so many bytes are recorded, of maps with at least so many of them: the time that a larger one takes is that of its
/// comparison, and a smaller map is settled before programs are loaded.
const RECORDED: (u32, u32) = (64, 256);
const RECORDED_FROM: u64 = 10_000;

/// For how many entries there are records, of a map whose snapshot has so many; `None` if there are none.
pub(super) fn record_room(map_type: MapType, key_size: u32, value_size: u32, entries: u64) -> Option<u32> {
    let is_hash = map_type.row().kind == Kind::Hash && !map_type.is_per_cpu();
    let is_recorded = is_hash && entries >= RECORDED_FROM && key_size <= RECORDED.0 && value_size <= RECORDED.1;
    // Old programs may insert some before it is done.
    is_recorded.then(|| u32::try_from(entries + entries / 16).ok()).flatten().filter(|room| *room <= i32::MAX as u32)
}

/// Bytes that records take of a map which holds so many entries.
#[must_use]
pub fn record_bytes(map_type: MapType, key_size: u32, value_size: u32, entries: u64) -> u64 {
    let room = record_room(map_type, key_size, value_size, entries).unwrap_or(0);
    u64::from(room) * record::size(key_size, value_size) as u64
}

/// An empty map to hold the snapshot of `from`. It is of the same kind, but never evicts.
///
/// # Errors
/// The kernel's: ENOMEM, EPERM.
pub fn new_base(from: &Map) -> io::Result<Map> {
    let info = from.info();
    let bytes = u64::from(info.key_size) + from.value_bytes() as u64;
    base_of(from, base_room(info.map_type.without_eviction(), bytes, info.max_entries))
}

/// The same, for one that is only tried: with no more room than `from`.
///
/// # Errors
/// As [`new_base`].
pub fn base_for_probe(from: &Map) -> io::Result<Map> {
    base_of(from, from.info().max_entries)
}

fn base_of(from: &Map, room: u32) -> io::Result<Map> {
    let info = from.info();
    let map_type = info.map_type.without_eviction();
    let mut new = NewMap::new(map_type, info.key_size, info.value_size, room);
    new.name = "maplock_base";
    new.flags = info.flags & BPF_F_NO_PREALLOC;
    Map::create(&new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_hashes_of_small_entries_are_recorded() {
        let few = 4_000_000 / 16 + 4_000_000;
        assert_eq!(record_bytes(MapType::HASH, 8, 16, 4_000_000), few * (8 + 8 + 16));
        assert_eq!(record_bytes(MapType::LRU_HASH, 5, 17, 16_000), 17_000 * (8 + 8 + 24));
        let are_not = [
            (MapType::HASH, 8, 16, RECORDED_FROM - 1),
            (MapType::HASH, 8, 257, 16_000),
            (MapType::HASH, 65, 16, 16_000),
            (MapType::PERCPU_HASH, 8, 16, 16_000),
            (MapType::ARRAY, 4, 16, 16_000),
            (MapType::LPM_TRIE, 8, 16, 16_000),
        ];
        for (map_type, key_size, value_size, entries) in are_not {
            assert_eq!(record_bytes(map_type, key_size, value_size, entries), 0, "{map_type}");
        }
    }
}
