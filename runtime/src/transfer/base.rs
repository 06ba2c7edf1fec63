//! The snapshot: a third map, which keeps what an entry was as it was copied.

use std::io;

use maplock_layout::map::MapType;

use super::carrier::Carrier;
use super::types::is_array;
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::sys::{Map, NewMap};

/// True where a snapshot is needed to settle: for all entries that are carried over by their keys.
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

/// An empty map to hold the snapshot of `from`. It is of the same kind, but never evicts.
///
/// # Errors
/// The kernel's: ENOMEM, EPERM.
pub fn new_base(from: &Map) -> io::Result<Map> {
    let info = from.info();
    let map_type = info.map_type.without_eviction();
    let bytes = u64::from(info.key_size) + from.value_bytes() as u64;
    let room = base_room(map_type, bytes, info.max_entries);
    let mut new = NewMap::new(map_type, info.key_size, info.value_size, room);
    new.name = "maplock_base";
    new.flags = info.flags & BPF_F_NO_PREALLOC;
    Map::create(&new)
}
