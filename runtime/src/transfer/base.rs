//! The snapshot: a third map, which keeps what an entry was as it was copied.

use std::io;

use maplock_layout::map::MapType;

use super::carrier::Carrier;
use super::types::{Sum, is_array};
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::sys::{Map, NewMap};

/// True where a snapshot is needed to settle: where a value has bytes that are not added up. False for types that are settled
/// without one.
#[must_use]
pub fn needs_base(map_type: MapType, value_size: u32, sums: &[Sum]) -> bool {
    let added: u64 = sums.iter().map(|sum| u64::from(sum.width)).sum();
    Carrier::of(map_type) == Ok(Carrier::Entries) && added < value_size.into()
}

/// An empty map to hold the snapshot of `from`. It is of the same kind, but never evicts, and has room for more: where keys come and
/// go, a copy meets more of them than the map ever holds at once.
///
/// # Errors
/// The kernel's: ENOMEM, EPERM.
pub fn new_base(from: &Map) -> io::Result<Map> {
    let info = from.info();
    let map_type = info.map_type.without_eviction();
    let slack = if is_array(map_type) { 0 } else { (info.max_entries / 4).max(1024) };
    let mut new = NewMap::new(map_type, info.key_size, info.value_size, info.max_entries.saturating_add(slack));
    new.name = "maplock_base";
    new.flags = info.flags & BPF_F_NO_PREALLOC;
    Map::create(&new)
}
