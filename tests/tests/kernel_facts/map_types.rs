//! Facts 12, 15 and 28: what differs from one map type to the next.

use std::fs;
use std::os::fd::AsFd as _;

use maplock::internals::sys::{Batch, Btf, Map, NewMap, bpffs, possible_cpus};
use maplock::layout::btf::BtfKind;
use maplock::layout::map::MapType as T;
use maplock_tests::kernel::takes_maps;
use maplock_tests::toolchain;

use super::support::{BtfBytes, ENOTSUPP, Loaded, duplicate, errno, key, map, map_with_flags};

const BPF_F_NO_PREALLOC: u32 = 1;
const BPF_F_NO_COMMON_LRU: u32 = 1 << 1;
const BPF_F_RDONLY: u32 = 1 << 3;
const BPF_F_WRONLY: u32 = 1 << 4;
const BPF_F_RDONLY_PROG: u32 = 1 << 7;
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Creates a map with types for its key and value; the error's number where the kernel does not want them.
fn with_btf(map_type: T, key_size: u32, value_size: u32, entries: u32, flags: u32) -> Result<(u32, u32), i32> {
    let mut types = BtfBytes::new();
    let int = types.int("int", 4);
    let mut of = |name: &str, size: u32| match size {
        0 => 0,
        4 => int,
        size => types.structure(name, size, &[("first", int, 0)]),
    };
    let (key, value) = (of("key", key_size), of("value", value_size));
    let btf = Btf::load(&types.bytes()).unwrap();
    let template = map(T::ARRAY, 4, 4, 1);
    let inner = matches!(map_type, T::ARRAY_OF_MAPS | T::HASH_OF_MAPS).then(|| template.as_fd());
    let new =
        NewMap { btf: Some((&btf, key, value)), inner, flags, ..NewMap::new(map_type, key_size, value_size, entries) };
    let info = Map::create(&new).map_err(|error| error.raw_os_error().unwrap())?.info().clone();
    assert_eq!(info.btf_id != 0, info.btf_value_type_id != 0);
    Ok((info.btf_key_type_id, info.btf_value_type_id))
}

#[test]
fn fact_12_these_types_keep_btf() {
    needs_kernel!();
    for (map_type, key_size, value_size, flags) in [
        (T::HASH, 4, 4, 0),
        (T::LRU_HASH, 4, 4, 0),
        (T::PERCPU_HASH, 4, 4, 0),
        (T::LRU_PERCPU_HASH, 4, 4, 0),
        (T::ARRAY, 4, 4, 0),
        (T::PERCPU_ARRAY, 4, 4, 0),
        (T::PROG_ARRAY, 4, 4, 0),
        (T::REUSEPORT_SOCKARRAY, 4, 4, 0),
    ] {
        assert_eq!(with_btf(map_type, key_size, value_size, 4, flags), Ok((1, 1)), "{map_type:?}");
    }
    assert_eq!(with_btf(T::LPM_TRIE, 8, 4, 4, BPF_F_NO_PREALLOC), Ok((2, 1)));
    if takes_maps(T::BLOOM_FILTER) {
        assert_eq!(with_btf(T::BLOOM_FILTER, 0, 4, 4, 0), Ok((0, 1)), "of its value only");
    }
    let storage = [T::SK_STORAGE, T::INODE_STORAGE, T::TASK_STORAGE, T::CGRP_STORAGE];
    for map_type in storage.into_iter().filter(|map_type| takes_maps(*map_type)) {
        assert_eq!(with_btf(map_type, 4, 4, 0, BPF_F_NO_PREALLOC), Ok((1, 1)), "{map_type:?}");
        let without = NewMap { flags: BPF_F_NO_PREALLOC, ..NewMap::new(map_type, 4, 4, 0) };
        assert_eq!(errno(Map::create(&without)), libc::EINVAL, "{map_type:?}");
    }
}

#[test]
fn fact_12_global_data_is_typed_by_a_section() {
    needs_kernel!();
    let source = "__u64 total = 7; SEC(\"syscall\") int run(__u64 *context) { *context = total++; return 0; }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let maps = loaded.0.maps().map(|map| duplicate(map.as_fd()));
    let data = maps.into_iter().find(|map| map.info().name.ends_with(".data")).unwrap();
    assert_eq!(data.info().btf_key_type_id, 0);
    let bytes = Btf::from_id(data.info().btf_id).unwrap().bytes().unwrap();
    let btf = maplock::layout::btf::Btf::parse(&bytes).unwrap();
    let value = btf.get(data.info().btf_value_type_id).unwrap();
    assert_eq!((value.kind, btf.name(&value).unwrap()), (BtfKind::Datasec, ".data"));
}

#[test]
fn fact_12_these_types_refuse_btf() {
    needs_kernel!();
    for (map_type, key_size, value_size) in [
        (T::ARRAY_OF_MAPS, 4, 4),
        (T::HASH_OF_MAPS, 4, 4),
        (T::PERF_EVENT_ARRAY, 4, 4),
        (T::CGROUP_ARRAY, 4, 4),
        (T::STACK_TRACE, 4, 8),
        (T::DEVMAP, 4, 4),
        (T::DEVMAP_HASH, 4, 4),
        (T::SOCKMAP, 4, 4),
        (T::SOCKHASH, 4, 4),
        (T::CPUMAP, 4, 4),
        (T::XSKMAP, 4, 4),
    ] {
        let entries = if map_type == T::CPUMAP { 1 } else { 4 };
        assert_eq!(with_btf(map_type, key_size, value_size, entries, 0), Err(ENOTSUPP), "{map_type:?}");
    }
    for map_type in [T::QUEUE, T::STACK] {
        assert_eq!(with_btf(map_type, 0, 4, 4, 0), Err(libc::EINVAL), "{map_type:?}");
    }
}

/// Bytes of a page of this machine.
fn page() -> u32 {
    rustix::param::page_size() as u32
}

#[test]
fn fact_12_ring_buffers_have_nothing_to_type() {
    needs_kernel!();
    let rings = [(T::RINGBUF, 0), (T::USER_RINGBUF, 0), (T::ARENA, BPF_F_MMAPABLE)];
    for (map_type, flags) in rings.into_iter().filter(|(map_type, _)| takes_maps(*map_type)) {
        let map = Map::create(&NewMap { flags, ..NewMap::new(map_type, 0, 0, page()) }).unwrap();
        assert_eq!((map.info().key_size, map.info().value_size, map.info().btf_id), (0, 0, 0), "{map_type:?}");
        let value = NewMap { flags, ..NewMap::new(map_type, 0, 4, page()) };
        assert_eq!(errno(Map::create(&value)), libc::EINVAL, "{map_type:?}");
    }
}

#[test]
fn fact_15_the_kernel_changes_flags_and_capacities() {
    needs_kernel!();
    for map_type in [T::DEVMAP, T::DEVMAP_HASH] {
        assert_eq!(map(map_type, 4, 4, 4).info().flags, BPF_F_RDONLY_PROG, "{map_type:?}");
    }
    for flag in [BPF_F_RDONLY, BPF_F_WRONLY] {
        assert_eq!(map_with_flags(T::HASH, 4, 4, 4, flag).info().flags, 0, "of the descriptor, not of the map");
    }
    let cpus = possible_cpus().unwrap();
    let lru = |entries| map_with_flags(T::LRU_HASH, 4, 4, entries, BPF_F_NO_COMMON_LRU).info().max_entries;
    assert_eq!(lru(cpus * 10), cpus * 10);
    assert_eq!(lru(cpus * 10 + 1), if cpus == 1 { 11 } else { cpus * 11 });
    assert_eq!(map(T::LRU_HASH, 4, 4, cpus * 10 + 1).info().max_entries, cpus * 10 + 1, "the common list is not cut");
}

#[test]
fn fact_15_sizes_that_the_kernel_wants_and_loaders_see_to() {
    needs_kernel!();
    let ring = |bytes| Map::create(&NewMap::new(T::RINGBUF, 0, 0, bytes));
    assert_eq!(errno(ring(page() / 2)), libc::EINVAL);
    assert_eq!(errno(ring(page() * 3)), libc::EINVAL);
    assert_eq!(ring(page() * 4).unwrap().info().max_entries, page() * 4);
    for (map_type, entries) in [(T::DEVMAP, 4), (T::CPUMAP, 1)] {
        for (value_size, fits) in [(4, true), (8, true), (12, false)] {
            let result = Map::create(&NewMap::new(map_type, 4, value_size, entries));
            assert_eq!(result.is_ok(), fits, "{map_type:?} with values of {value_size}");
        }
    }
    let source = format!(
        "struct {{ __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, {}); }} ring SEC(\".maps\");
        struct {{ __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); }}
        events SEC(\".maps\");",
        page() + 1
    );
    let Some(loaded) = Loaded::from_source(&source) else { return };
    assert_eq!(loaded.map("ring").info().max_entries, page() * 2);
    assert_eq!(loaded.map("events").info().max_entries, possible_cpus().unwrap());
}

#[test]
fn fact_15_libbpf_maps_data_sections_by_what_is_in_them() {
    needs_kernel!();
    let flags_of_bss = |storage: &str| {
        let run = "SEC(\"syscall\") int run(__u64 *context) { *context = total++; return 0; }";
        let loaded = Loaded::from_source(&format!("{storage} volatile __u64 total; {run}"))?;
        let maps = loaded.0.maps().map(|map| duplicate(map.as_fd()));
        Some(maps.into_iter().find(|map| map.info().name.ends_with(".bss")).unwrap().info().flags)
    };
    let Some(global) = flags_of_bss("") else { return };
    assert_eq!(global, BPF_F_MMAPABLE);
    assert_eq!(flags_of_bss("static"), Some(0));
}

/// The error of each way to read the entries of a map: key by key, and in batches.
fn unreadable(map: &Map) -> (Option<i32>, Option<i32>) {
    let next = map.next_key(None).err().and_then(|error| error.raw_os_error());
    let batch = map.lookup_batch(&mut Batch::default(), 4).err().and_then(|error| error.raw_os_error());
    (next, batch)
}

#[test]
fn fact_28_what_can_not_be_iterated_or_read_in_batches() {
    needs_kernel!();
    for map_type in [T::QUEUE, T::STACK, T::BLOOM_FILTER].into_iter().filter(|map_type| takes_maps(*map_type)) {
        let (next, batch) = unreadable(&map(map_type, 0, 4, 4));
        assert!(next.is_some_and(|error| [libc::EINVAL, libc::EOPNOTSUPP].contains(&error)), "{map_type:?}: {next:?}");
        assert_eq!(batch, Some(ENOTSUPP), "{map_type:?}");
    }
    for (map_type, value_size, entries) in [
        (T::SOCKMAP, 4, 4),
        (T::SOCKHASH, 4, 4),
        (T::DEVMAP, 4, 4),
        (T::DEVMAP_HASH, 4, 4),
        (T::CPUMAP, 4, 1),
        (T::XSKMAP, 4, 4),
        (T::STACK_TRACE, 8, 4),
        (T::PERF_EVENT_ARRAY, 4, 4),
    ] {
        let (next, batch) = unreadable(&map(map_type, 4, value_size, entries));
        assert_eq!((next, batch), (None, Some(ENOTSUPP)), "{map_type:?}");
    }
    for map_type in [T::HASH, T::ARRAY, T::LRU_HASH] {
        assert_eq!(unreadable(&map(map_type, 4, 4, 4)), (None, None), "{map_type:?}");
    }
    match unreadable(&map(T::PERCPU_ARRAY, 4, 4, 4)) {
        (None, Some(ENOTSUPP)) => toolchain::skip("batches of percpu_array (Linux 5.13)"),
        other => assert_eq!(other, (None, None)),
    }
}

#[test]
fn fact_28_locks_and_timers_read_as_zero() {
    needs_kernel!();
    let source =
        "struct bpf_spin_lock { __u32 val; }; struct bpf_timer { __u64 opaque[2]; } __attribute__((aligned(8)));
        struct value { __u32 before; struct bpf_spin_lock lock; struct bpf_timer timer; __u64 after; };
        MAP(values, BPF_MAP_TYPE_HASH, __u32, struct value, 8, 0);
        static long (*const bpf_timer_init)(void *, void *, __u64) = (void *)169;
        SEC(\"tc\") int arm(void *context) {
            __u32 key = 1;
            struct value *value = bpf_map_lookup_elem(&values, &key);
            return value ? bpf_timer_init(&value->timer, &values, 1) : -1;
        }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let map = loaded.map("values");
    map.update(&key(1), &[0xff; 32], 0).unwrap();
    assert_eq!(loaded.prog("arm").run(&mut [], &[0; 64]).unwrap(), 0);
    assert_eq!(loaded.prog("arm").run(&mut [], &[0; 64]).unwrap().cast_signed(), -libc::EBUSY, "there is a timer now");
    let value = map.lookup(&key(1)).unwrap().unwrap();
    assert_eq!(value[..4], [0xff; 4]);
    assert_eq!(value[4..24], [0; 20], "what system calls carry is nothing");
    assert_eq!(value[24..], [0xff; 8]);
}

#[test]
fn fact_28_the_list_of_possible_cpus_may_have_holes() {
    needs_kernel!();
    let listed = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let count: u32 = listed
        .trim()
        .split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            last.parse::<u32>().unwrap() - first.parse::<u32>().unwrap() + 1
        })
        .sum();
    assert_eq!(possible_cpus().unwrap(), count);
    assert!(!bpffs::is_bpffs(&bpffs::Dir::at("/proc")).unwrap());
}
