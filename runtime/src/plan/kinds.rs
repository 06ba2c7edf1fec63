//! What each type of map lets be done with its entries.

use std::collections::HashSet;
use std::ptr;
use std::time::Duration;

use maplock_layout::map::{MapDef, MapType};
use maplock_layout::{Composite, Layout, Shape};

use crate::transfer::{Behaviour, behaviour};

/// As [`behaviour`], for a map whose value may hold what no system call can read or write.
pub(super) fn behaviour_of(def: &MapDef) -> Behaviour {
    match (behaviour(def.map_type), def.value.as_deref()) {
        (Behaviour::Copied | Behaviour::MovedAtSettle | Behaviour::OneByOne, Some(value))
            if has_kernel_fields(value) =>
        {
            Behaviour::NotCopyable("the value holds a timer, a list or a pointer of the kernel's")
        }
        (behaviour, _) => behaviour,
    }
}

/// True where a value holds what belongs to the kernel and no system call can carry (`btf_parse_fields`). Locks are free in
/// a copy, as they should be.
fn has_kernel_fields(layout: &Layout) -> bool {
    /// Each composite once: the number of ways to one can be exponential.
    fn walk(layout: &Layout, seen: &mut HashSet<*const Composite>) -> bool {
        match &layout.shape {
            Shape::Array { element, .. } => walk(element, seen),
            Shape::Pointer { target } => {
                let tag = target.split_once(' ').map(|(tag, _)| tag);
                tag.is_some_and(|tag| matches!(tag, "kptr" | "kptr_untrusted" | "percpu_kptr" | "uptr"))
            }
            Shape::Composite(of) if seen.insert(ptr::from_ref(&**of)) => {
                let is_lock = matches!(of.kernel_name(), Some("bpf_spin_lock" | "bpf_res_spin_lock"));
                of.kernel_name().is_some() && !is_lock || of.members().iter().any(|member| walk(&member.layout, seen))
            }
            _ => false,
        }
    }
    walk(layout, &mut HashSet::new())
}

/// Time to carry `entries` over, by what was measured on one machine with keys of 8 and values of 64 bytes.
pub(super) fn estimate(map_type: MapType, entries: u64) -> Duration {
    use MapType as T;
    let nanoseconds = match map_type {
        T::ARRAY => 15,
        T::PERCPU_ARRAY => 41,
        T::LRU_HASH => 550,
        T::HASH => 600,
        T::PERCPU_HASH | T::LRU_PERCPU_HASH => 1000,
        T::LPM_TRIE => 2000,
        // One system call to read an entry and one to write it.
        _ => 4000,
    };
    Duration::from_nanos(entries.saturating_mul(nanoseconds))
}

/// Bytes of an entry as system calls take it.
pub(super) fn entry_bytes(def: &MapDef, cpus: u32) -> u64 {
    let per_cpu = matches!(def.map_type, MapType::PERCPU_HASH | MapType::PERCPU_ARRAY | MapType::LRU_PERCPU_HASH);
    let values = if per_cpu { u64::from(cpus) } else { 1 };
    u64::from(def.key_size).next_multiple_of(8) + u64::from(def.value_size).next_multiple_of(8) * values
}
