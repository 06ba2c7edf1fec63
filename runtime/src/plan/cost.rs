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

/// Time to carry `entries` with values of so many bytes over, by what was measured on one machine with keys of 8 and values of 64 bytes. What
/// values have beyond that, on each CPU, is read, written and compared at about a byte a nanosecond in all.
pub(super) fn estimate(map_type: MapType, value_size: u32, entries: u64, cpus: u32) -> Duration {
    let values = if map_type.is_per_cpu() { u64::from(cpus) } else { 1 };
    let beyond = u64::from(value_size.saturating_sub(MEASURED)) * values;
    Duration::from_nanos(entries.saturating_mul(map_type.row().nanoseconds + beyond))
}

/// Bytes of memory for a snapshot of a map that holds so many entries, and for its records. Where memory is set aside for all that there is room for, that is what
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
