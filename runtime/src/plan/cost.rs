//! What it takes to carry the entries of a map over.

use std::time::Duration;

use maplock_layout::map::{MapDef, MapType};

use super::types::{Carry, Live};
use crate::inspect::normalise::Node;
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::transfer::{self, Sum};

/// The values with which rows of types were measured.
const MEASURED: u32 = 64;

/// What it takes to carry the entries of a map into one of that definition.
pub(super) fn carry(node: Node, live: &Live, def: &MapDef, sums: Vec<Sum>, may_drop_entries: bool) -> Carry {
    let entries = live.entries.unwrap_or(live.def.max_entries.into());
    let snapshot = snapshot(&live.def, entries, node.cpus);
    let value_size = live.def.value_size.max(def.value_size);
    let estimate = estimate(def.map_type, value_size, entries, node.cpus);
    Carry { sums, snapshot, estimate, may_drop_entries }
}

/// CPU time of copy and settling together for a byte of a value beyond that, in picoseconds; in a per-CPU map, for one of each CPU. Measured
/// on Linux 6.18, x86_64, 2 busy CPUs, over 16 MiB of values of 1 KiB to 128 KiB of which none had changed: 930 to 1,270 in arrays, 1,280 to
/// 2,020 in hashes, 1,730 to 2,600 in per-CPU hashes. Most for values of 4 KiB, the largest that are compared word by word without a loop.
fn picoseconds_of_byte(map_type: MapType) -> u64 {
    match (map_type.is_array(), map_type.is_per_cpu()) {
        (true, _) => 1000,
        (false, false) => 1500,
        (false, true) => 2000,
    }
}

/// Time to carry `entries` with values of so many bytes over, by what was measured on one machine with keys of 8 and values of 64 bytes, and
/// with larger ones.
pub(super) fn estimate(map_type: MapType, value_size: u32, entries: u64, cpus: u32) -> Duration {
    let values = if map_type.is_per_cpu() { u64::from(cpus) } else { 1 };
    let beyond = u64::from(value_size.saturating_sub(MEASURED)) * values * picoseconds_of_byte(map_type) / 1000;
    Duration::from_nanos(entries.saturating_mul(map_type.row().nanoseconds + beyond))
}

/// Bytes of memory for a snapshot of a map that holds so many entries, and for its records. If memory is set aside for all that there is room for, that is what
/// it takes.
pub(super) fn snapshot(def: &MapDef, entries: u64, cpus: u32) -> u64 {
    if !transfer::needs_base(def.map_type) {
        return 0;
    }
    let bytes = entry_bytes(def, cpus);
    let room = match def.flags & BPF_F_NO_PREALLOC {
        0 => transfer::base_room(def.map_type, bytes, def.max_entries).into(),
        _ => entries,
    };
    let records = transfer::record_bytes(def.map_type, def.key_size, def.value_size, entries);
    room.saturating_mul(bytes).saturating_add(records)
}

/// Bytes of an entry as system calls take it.
fn entry_bytes(def: &MapDef, cpus: u32) -> u64 {
    let values = if def.map_type.is_per_cpu() { u64::from(cpus) } else { 1 };
    u64::from(def.key_size).next_multiple_of(8) + u64::from(def.value_size).next_multiple_of(8) * values
}

#[cfg(test)]
mod tests {
    use maplock_layout::map::MapType as T;

    use super::*;

    /// Microseconds that an entry took, as [`picoseconds_of_byte`] says.
    #[test]
    fn the_time_of_large_values_is_near_what_was_measured() {
        for (map_type, value_size, measured) in [
            (T::HASH, 4096, 8.3),
            (T::HASH, 16 << 10, 23.8),
            (T::HASH, 128 << 10, 176.5),
            (T::LRU_HASH, 64 << 10, 83.7),
            (T::ARRAY, 4096, 5.2),
            (T::ARRAY, 128 << 10, 122.4),
            (T::PERCPU_HASH, 4096, 21.3),
            (T::PERCPU_HASH, 32 << 10, 113.5),
        ] {
            let estimated = estimate(map_type, value_size, 1000, 2).as_secs_f64() * 1e3;
            assert!((0.7..1.3).contains(&(estimated / measured)), "{map_type} {value_size}: {estimated} of {measured}");
        }
    }
}
