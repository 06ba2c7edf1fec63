//! What it takes to carry the entries of a map over.

use std::time::Duration;

use maplock_layout::map::{MapDef, MapType};

/// Time to carry `entries` over, by what was measured on one machine with keys of 8 and values of 64 bytes.
pub(super) fn estimate(map_type: MapType, entries: u64) -> Duration {
    Duration::from_nanos(entries.saturating_mul(map_type.row().nanoseconds))
}

/// Bytes of an entry as system calls take it.
pub(super) fn entry_bytes(def: &MapDef, cpus: u32) -> u64 {
    let values = if def.map_type.is_per_cpu() { u64::from(cpus) } else { 1 };
    u64::from(def.key_size).next_multiple_of(8) + u64::from(def.value_size).next_multiple_of(8) * values
}
