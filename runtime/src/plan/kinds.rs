//! What each type of map lets be done with its entries.

use std::collections::HashSet;
use std::ptr;
use std::time::Duration;

use maplock_layout::layout::{Composite, Layout, Shape};
use maplock_layout::map::{MapDef, MapType};

/// How entries come from one map to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carry {
    /// Copied, and settled after the switch.
    Copied,
    /// Taken out of the old one and put into the new one once nothing writes the old one.
    AtSettle,
    /// The maps that it holds go over by their numbers.
    InnerMaps,
    /// Read and written one at a time, by system calls.
    OneByOne,
    /// Not at all: the reason, after `entries of a .. can't be copied`.
    Not(&'static str),
    /// The new programs' loader fills a new map; the old programs keep theirs.
    Refilled,
    /// Events under way: they stay where they are until they are read.
    Events,
}

pub(super) fn carries(map_type: MapType) -> Carry {
    use MapType as T;
    match map_type {
        T::HASH | T::ARRAY | T::PERCPU_HASH | T::PERCPU_ARRAY | T::LRU_HASH | T::LRU_PERCPU_HASH | T::LPM_TRIE => {
            Carry::Copied
        }
        T::QUEUE | T::STACK => Carry::AtSettle,
        T::ARRAY_OF_MAPS | T::HASH_OF_MAPS => Carry::InnerMaps,
        T::DEVMAP | T::DEVMAP_HASH | T::CPUMAP => Carry::OneByOne,
        T::PROG_ARRAY | T::PERF_EVENT_ARRAY | T::CGROUP_ARRAY => Carry::Refilled,
        T::RINGBUF | T::USER_RINGBUF => Carry::Events,
        T::BLOOM_FILTER => Carry::Not("it does not tell what is in it"),
        T::STACK_TRACE => Carry::Not("their numbers are the kernel's"),
        T::SOCKMAP | T::SOCKHASH | T::XSKMAP | T::REUSEPORT_SOCKARRAY => Carry::Not("they are sockets"),
        T::SK_STORAGE | T::INODE_STORAGE | T::TASK_STORAGE | T::CGRP_STORAGE => {
            Carry::Not("they are kept with the kernel objects that they belong to")
        }
        T::CGROUP_STORAGE | T::PERCPU_CGROUP_STORAGE => Carry::Not("they are made when a program is attached"),
        T::ARENA => Carry::Not("it is memory with addresses in it"),
        _ => Carry::Not("the type is not known to maplock"),
    }
}

/// As [`carries`], for a map whose value may hold what no system call can read or write.
pub(super) fn carries_def(def: &MapDef) -> Carry {
    match (carries(def.map_type), def.value.as_deref()) {
        (Carry::Copied | Carry::AtSettle | Carry::OneByOne, Some(value)) if has_kernel_fields(value) => {
            Carry::Not("the value holds a timer, a list or a pointer of the kernel's")
        }
        (carry, _) => carry,
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
