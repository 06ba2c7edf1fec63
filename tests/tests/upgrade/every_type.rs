//! What becomes of a map of each type in each disposition, entry for entry.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maplock::internals::sys::{Map, NewMap, NewProg, Prog};
use maplock::layout::config::Levels;
use maplock::layout::conversion::Answers;
use maplock::layout::lock::{LockedMap, OnUpgrade};
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::map_type::{Behaviour, Capacity, Values};
use maplock::layout::{
    Composite, CompositeKind, Disposition, IntKind, Layout, Lock, MapDef, Member, Observation, Shape, epochs,
};
use maplock::{ErrorKind, OnMismatch, Options, Policies, Policy, Report, Spec};
use maplock_tests::kernel::{self, Bpffs, Cgroup, Netns};

type T = MapType;

/// Every type that can be pinned, as a definition that the kernel takes, with the capacity to grow to.
fn definitions() -> Vec<(MapDef, u32)> {
    const NO_PREALLOC: u32 = 1;
    const MMAPABLE: u32 = 0x400;
    let def = |map_type: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32| MapDef {
        key_size,
        value_size,
        max_entries,
        flags,
        pinning: Pinning::ByName,
        ..MapDef::new("m", map_type)
    };
    let int = |size, kind| Some(Arc::new(Layout { size, typedef: None, shape: Shape::Int(kind) }));
    // The kernel takes storage of sockets, tasks and inodes with BTF only.
    let storage = |map_type| MapDef {
        key: int(4, IntKind::Signed),
        value: int(8, IntKind::Unsigned),
        ..def(map_type, 4, 8, 0, NO_PREALLOC)
    };
    let inner = |outer: MapDef| MapDef {
        inner: Some(Box::new(MapDef { name: "inner".into(), ..def(T::ARRAY, 4, 8, 2, 0) })),
        ..outer
    };
    let room = 128 * maplock::internals::sys::possible_cpus().expect("sysfs") + 64;
    vec![
        (def(T::HASH, 4, 12, 16, 0), 64),
        (def(T::PERCPU_HASH, 4, 12, 16, 0), 64),
        (def(T::LRU_HASH, 4, 12, room, 0), room * 2),
        (def(T::LRU_PERCPU_HASH, 4, 12, room, 0), room * 2),
        (def(T::ARRAY, 4, 12, 16, 0), 64),
        (def(T::PERCPU_ARRAY, 4, 12, 16, 0), 64),
        (def(T::LPM_TRIE, 8, 12, 16, NO_PREALLOC), 64),
        (def(T::QUEUE, 0, 12, 16, 0), 64),
        (def(T::STACK, 0, 12, 16, 0), 64),
        (def(T::BLOOM_FILTER, 0, 12, 16, 0), 64),
        (inner(def(T::ARRAY_OF_MAPS, 4, 4, 16, 0)), 64),
        (inner(def(T::HASH_OF_MAPS, 4, 4, 16, 0)), 64),
        (def(T::PROG_ARRAY, 4, 4, 16, 0), 64),
        (def(T::PERF_EVENT_ARRAY, 4, 4, 2, 0), 4),
        (def(T::CGROUP_ARRAY, 4, 4, 16, 0), 64),
        (def(T::STACK_TRACE, 4, 8 * 16, 16, 0), 64),
        (def(T::DEVMAP, 4, 4, 16, 0), 64),
        (def(T::DEVMAP_HASH, 4, 4, 16, 0), 64),
        (def(T::CPUMAP, 4, 4, 1, 0), 2),
        (def(T::SOCKMAP, 4, 8, 16, 0), 64),
        (def(T::SOCKHASH, 4, 8, 16, 0), 64),
        (def(T::XSKMAP, 4, 4, 16, 0), 64),
        (def(T::REUSEPORT_SOCKARRAY, 4, 8, 16, 0), 64),
        (def(T::RINGBUF, 0, 0, 4096, 0), 8192),
        (def(T::USER_RINGBUF, 0, 0, 4096, 0), 8192),
        (def(T::ARENA, 0, 0, 4, MMAPABLE), 8),
        (storage(T::SK_STORAGE), 0),
        (storage(T::TASK_STORAGE), 0),
        (storage(T::INODE_STORAGE), 0),
        (storage(T::CGRP_STORAGE), 0),
    ]
}

/// What is in a map, as system calls tell it; queues and stacks are emptied by it.
fn contents(map: &Map) -> Vec<(Vec<u8>, Vec<u8>)> {
    match map.info().map_type {
        T::QUEUE | T::STACK => {
            std::iter::from_fn(|| map.take(&[]).expect("it pops")).map(|value| (Vec::new(), value)).collect()
        }
        // No call reads these.
        T::BLOOM_FILTER
        | T::RINGBUF
        | T::USER_RINGBUF
        | T::ARENA
        | T::STACK_TRACE
        | T::XSKMAP
        | T::PERF_EVENT_ARRAY
        | T::CGROUP_ARRAY => Vec::new(),
        T::SK_STORAGE | T::TASK_STORAGE | T::INODE_STORAGE | T::CGRP_STORAGE => Vec::new(),
        _ => {
            let mut entries = BTreeMap::new();
            let mut key = map.next_key(None).expect("it is iterated");
            while let Some(at) = key {
                if let Some(value) = map.lookup(&at).expect("it is read") {
                    entries.insert(at.clone(), value);
                }
                key = map.next_key(Some(&at)).expect("it is iterated");
            }
            entries.into_iter().collect()
        }
    }
}

/// A few entries, as many as fit. What the values name must outlive the test.
fn fill(map: &Map, keep: &mut Vec<Box<dyn std::any::Any>>) {
    let info = map.info();
    let count = info.max_entries.min(10);
    let bytes =
        |number: u32, len: usize| -> Vec<u8> { (0..len).map(|at| (number as usize * 7 + at + 1) as u8).collect() };
    match info.map_type {
        // Hashes and arrays of every kind.
        of if of.row().entries == Behaviour::Copied && !of.is_trie() => {
            for number in 0..count {
                let mut value = bytes(number, map.value_bytes());
                // What lies between the values of two CPUs comes back as zero.
                for part in value.chunks_mut((info.value_size as usize).next_multiple_of(8)) {
                    part[info.value_size as usize..].fill(0);
                }
                map.update(&number.to_ne_bytes(), &value[..map.value_bytes()], 0).expect("it fits");
            }
        }
        T::LPM_TRIE => {
            for number in 0..count {
                let key = [32_u32.to_ne_bytes(), (number << 8).to_be_bytes()].concat();
                map.update(&key, &bytes(number, 12), 0).expect("it fits");
            }
        }
        T::QUEUE | T::STACK | T::BLOOM_FILTER => {
            for number in 0..count {
                map.update(&[], &bytes(number, 12), 0).expect("it fits");
            }
        }
        T::ARRAY_OF_MAPS | T::HASH_OF_MAPS => {
            for number in 0..count {
                let inner = Map::create(&NewMap::new(T::ARRAY, 4, 8, 2)).expect("it is made");
                inner.update(&0_u32.to_ne_bytes(), &u64::from(number).to_ne_bytes(), 0).expect("it is written");
                map.update(&number.to_ne_bytes(), &inner.as_fd().as_raw_fd().to_ne_bytes(), 0).expect("it fits");
            }
        }
        T::PROG_ARRAY => {
            const SOCKET_FILTER: u32 = 1;
            // r0 = 0; exit
            let insns = [0xb7, 0x95];
            let prog = Prog::load(&NewProg {
                prog_type: SOCKET_FILTER,
                expected_attach_type: 0,
                name: "target",
                insns: &insns,
                flags: 0,
                functions: None,
                attach_btf_id: 0,
            })
            .expect("the verifier takes it");
            map.update(&0_u32.to_ne_bytes(), &prog.as_fd().as_raw_fd().to_ne_bytes(), 0).expect("it fits");
        }
        T::CGROUP_ARRAY => {
            let cgroup = Cgroup::new();
            map.update(&0_u32.to_ne_bytes(), &cgroup.fd().as_raw_fd().to_ne_bytes(), 0).expect("it fits");
            keep.push(Box::new(cgroup));
        }
        T::DEVMAP | T::DEVMAP_HASH => {
            // The loopback device of this test's own network namespace.
            for number in 0..count {
                map.update(&number.to_ne_bytes(), &1_u32.to_ne_bytes(), 0).expect("it fits");
            }
        }
        T::CPUMAP => map.update(&0_u32.to_ne_bytes(), &64_u32.to_ne_bytes(), 0).expect("it fits"),
        // Sockets, stacks, events: nothing that a system call of this test puts there.
        _ => {}
    }
}

fn spec(def: &MapDef) -> Spec {
    Spec::from(Lock { maps: BTreeMap::from([(def.name.clone(), LockedMap::new(def.clone()))]), ..Lock::default() })
}

fn upgrade(dir: &Path, spec: Spec, policy: Policy) -> Result<Report, maplock::Error> {
    let policies = Policies { all: policy, ..Policies::default() };
    Options::new(spec, dir).policies(policies).begin()?.stage()?.commit()
}

/// One map, installed and filled; and what was in it.
struct Case {
    dir: PathBuf,
    def: MapDef,
    id: u32,
    before: Vec<(Vec<u8>, Vec<u8>)>,
    _keep: Vec<Box<dyn std::any::Any>>,
}

impl Case {
    fn new(bpffs: &Bpffs, def: &MapDef) -> Self {
        let dir = bpffs.path().join(kernel::unique("case"));
        let report =
            upgrade(&dir, spec(def), Policy::default()).unwrap_or_else(|error| panic!("{}: {error}", def.map_type));
        assert_eq!(report.maps[0].disposition, Disposition::Create, "{}", def.map_type);
        let map = Map::open(&dir.join("m")).expect("it is pinned");
        let mut keep = Vec::new();
        fill(&map, &mut keep);
        // To look into a queue is to empty it.
        let before = match def.map_type {
            T::QUEUE | T::STACK => {
                let before = contents(&map);
                fill(&map, &mut keep);
                before
            }
            _ => contents(&map),
        };
        Self { dir, def: def.clone(), id: map.info().id, before, _keep: keep }
    }

    fn live(&self) -> Map {
        Map::open(&self.dir.join("m")).unwrap_or_else(|error| panic!("{}: {error}", self.def.map_type))
    }

    fn kept(&self) -> PathBuf {
        let name = self.dir.file_name().expect("a name").to_str().expect("ASCII");
        self.dir.with_file_name(format!("{name}@prev")).join("m")
    }
}

/// Runs a test for each type, in a network namespace of its own.
fn for_each_type(test: impl Fn(&Bpffs, &MapDef, u32) + Sync) {
    if !kernel::available() {
        return;
    }
    Netns::new().run(|| {
        let bpffs = Bpffs::mount();
        for (def, larger) in definitions() {
            if kernel::takes_maps(def.map_type) {
                test(&bpffs, &def, larger);
            }
        }
    });
}

#[test]
fn a_reused_map_is_the_same_map() {
    for_each_type(|bpffs, def, _| {
        let case = Case::new(bpffs, def);
        let report = upgrade(&case.dir, spec(def), Policy::default()).expect("it is upgraded");
        match def.map_type.row().entries {
            // Tables that the loader fills are never shared by two generations.
            Behaviour::Refilled => {
                assert_eq!(report.maps[0].disposition, Disposition::Swap, "{}", def.map_type);
                assert_ne!(case.live().info().id, case.id, "{}", def.map_type);
                let kept = Map::open(&case.kept()).expect("the old one is kept");
                assert_eq!(kept.info().id, case.id);
                assert_eq!(contents(&kept), case.before, "{}: the old programs' table is untouched", def.map_type);
            }
            _ => {
                assert_eq!(report.maps[0].disposition, Disposition::Reuse, "{}", def.map_type);
                assert_eq!(case.live().info().id, case.id, "{}", def.map_type);
                assert_eq!(contents(&case.live()), case.before, "{}", def.map_type);
            }
        }
    });
}

#[test]
fn growing_a_map_keeps_every_entry() {
    for_each_type(|bpffs, def, larger| {
        if larger == 0 {
            return;
        }
        let case = Case::new(bpffs, def);
        let wanted = MapDef { max_entries: larger, ..def.clone() };
        let report = upgrade(&case.dir, spec(&wanted), Policy::default())
            .unwrap_or_else(|error| panic!("{}: {error}", def.map_type));
        let (live, disposition) = (case.live(), report.maps[0].disposition);
        match def.map_type.row().entries {
            Behaviour::Copied | Behaviour::MovedAtSettle | Behaviour::InnerMapsById | Behaviour::OneByOne => {
                assert_eq!(disposition, Disposition::Grow, "{}", def.map_type);
                assert_ne!(live.info().id, case.id, "{}", def.map_type);
                assert_eq!(live.info().max_entries, larger, "{}", def.map_type);
                let mut after = contents(&live);
                // The new part of an array is zero.
                if matches!(def.map_type, T::ARRAY | T::PERCPU_ARRAY) {
                    let rest = after.split_off(case.before.len());
                    assert_eq!(rest.len() as u32, larger - def.max_entries);
                    assert!(rest.iter().all(|(_, value)| value.iter().all(|byte| *byte == 0)), "{}", def.map_type);
                }
                assert_eq!(after, case.before, "{}", def.map_type);
                let filled = !matches!(def.map_type, T::QUEUE | T::STACK);
                assert!(
                    !filled || report.maps[0].kept >= case.before.len() as u64,
                    "{}: {:?}",
                    def.map_type,
                    report.maps
                );
            }
            Behaviour::NotCopyable(_) => {
                assert_eq!(disposition, Disposition::Reuse, "{}", def.map_type);
                assert_eq!((live.info().id, live.info().max_entries), (case.id, def.max_entries), "{}", def.map_type);
                assert_eq!(contents(&live), case.before, "{}", def.map_type);
            }
            Behaviour::Refilled | Behaviour::Events => {
                assert_eq!(disposition, Disposition::Swap, "{}", def.map_type);
                assert_eq!(live.info().max_entries, larger, "{}", def.map_type);
                let kept = Map::open(&case.kept()).expect("the old one is kept");
                assert_eq!((kept.info().id, contents(&kept)), (case.id, case.before), "{}", def.map_type);
            }
        }
    });
}

/// Another definition than `def`, for which nothing but an empty map will do.
fn other(def: &MapDef) -> MapDef {
    let map_type = if def.map_type == T::HASH { T::ARRAY } else { T::HASH };
    MapDef { key_size: 4, value_size: 20, max_entries: 8, pinning: Pinning::ByName, ..MapDef::new("m", map_type) }
}

#[test]
fn a_swapped_map_is_empty_and_the_old_one_is_kept() {
    for_each_type(|bpffs, def, _| {
        let mut case = Case::new(bpffs, def);
        let policy = Policy { unknown: OnMismatch::Swap, unverifiable: OnMismatch::Swap, ..Policy::default() };
        let report =
            upgrade(&case.dir, spec(&other(def)), policy).unwrap_or_else(|error| panic!("{}: {error}", def.map_type));
        assert_eq!(report.maps[0].disposition, Disposition::Swap, "{}", def.map_type);
        let live = case.live();
        assert_ne!(live.info().id, case.id);
        assert_eq!((live.info().map_type, live.info().value_size), (other(def).map_type, 20));
        assert!(contents(&live).iter().all(|(_, value)| value.iter().all(|byte| *byte == 0)), "{}", def.map_type);
        let kept = Map::open(&case.kept()).expect("the old one is kept");
        assert_eq!((kept.info().id, contents(&kept)), (case.id, std::mem::take(&mut case.before)), "{}", def.map_type);
    });
}

#[test]
fn a_refused_map_is_untouched() {
    for_each_type(|bpffs, def, _| {
        let case = Case::new(bpffs, def);
        let error = upgrade(&case.dir, spec(&other(def)), Policy::default()).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains("map `m` is refused"), "{error}");
        assert_eq!((case.live().info().id, contents(&case.live())), (case.id, case.before.clone()), "{}", def.map_type);
        assert!(!case.kept().exists());
    });
}

#[test]
fn a_dropped_map_leaves_the_directory_and_is_kept() {
    for_each_type(|bpffs, def, _| {
        let case = Case::new(bpffs, def);
        let elsewhere = MapDef { name: "other".into(), ..other(def) };
        let report = upgrade(&case.dir, spec(&elsewhere), Policy::default()).expect("it is upgraded");
        assert_eq!(report.maps[0].disposition, Disposition::Drop, "{}", def.map_type);
        assert!(!case.dir.join("m").exists(), "{}", def.map_type);
        let kept = Map::open(&case.kept()).expect("it is kept");
        assert_eq!((kept.info().id, contents(&kept)), (case.id, case.before.clone()), "{}", def.map_type);
        assert!(maplock::confirm(&case.dir, std::time::Duration::ZERO).expect("it is confirmed"));
        assert!(!case.kept().exists());
    });
}

#[test]
fn a_roll_back_from_a_larger_map_keeps_every_entry() {
    for_each_type(|bpffs, def, larger| {
        if larger == 0 {
            return;
        }
        let case = Case::new(bpffs, def);
        let wanted = MapDef { max_entries: larger, ..def.clone() };
        upgrade(&case.dir, spec(&wanted), Policy::default()).expect("it is upgraded");
        maplock::Rollback::new(&case.dir).run().unwrap_or_else(|error| panic!("{}: {error}", def.map_type));
        let live = case.live();
        assert_eq!((live.info().id, live.info().max_entries), (case.id, def.max_entries), "{}", def.map_type);
        assert_eq!(contents(&live), case.before, "{}", def.map_type);
    });
}

/// Changes of a map that keep room for what [`fill`] puts there.
fn changes(def: &MapDef, larger: u32) -> Vec<MapDef> {
    const NO_PREALLOC: u32 = 1;
    let row = def.map_type.row();
    let mut changes = Vec::new();
    let mut add = |change: &dyn Fn(&mut MapDef)| {
        let mut new = def.clone();
        change(&mut new);
        changes.push(new);
    };
    if larger != 0 {
        add(&|new| new.max_entries = larger);
    }
    if def.max_entries > 14 && matches!(row.capacity, Capacity::Entries | Capacity::EvenOverCpus) {
        add(&|new| new.max_entries -= 4);
    }
    if matches!(def.map_type, T::HASH | T::PERCPU_HASH) {
        add(&|new| new.flags = NO_PREALLOC);
        add(&|new| (new.flags, new.max_entries) = (NO_PREALLOC, larger));
    }
    let room = 128 * maplock::internals::sys::possible_cpus().expect("sysfs") + 64;
    let types =
        [T::HASH, T::LRU_HASH, T::ARRAY, T::PERCPU_HASH, T::LRU_PERCPU_HASH, T::PERCPU_ARRAY, T::QUEUE, T::STACK];
    for to in types {
        // Of types with other keys, the kernel would not take the sizes.
        let fits = def.map_type.is_keyless() == to.is_keyless() && row.values == Values::Data && def.flags == 0;
        if to != def.map_type && fits && def.key_size <= 4 {
            add(&|new| (new.map_type, new.max_entries) = (to, room));
        }
    }
    changes
}

/// The locks that the gate makes of a change.
fn taken(old: &MapDef, new: &MapDef) -> Vec<Lock> {
    let lock = |def: &MapDef| Lock {
        maps: BTreeMap::from([(def.name.clone(), LockedMap::new(def.clone()))]),
        ..Lock::default()
    };
    let (released, levels) = (lock(old), Levels::default());
    let observed = Observation { lock: lock(new), ..Observation::default() };
    let mut taken: Vec<_> = epochs::update(&released, &observed, &levels).into_iter().collect();
    for answer in [OnUpgrade::Reuse, OnUpgrade::Migrate, OnUpgrade::Swap] {
        let accepted = epochs::accept(&released, &observed, "m", answer, "because", &levels);
        taken.extend(accepted.and_then(|accepted| epochs::convert(&accepted, "m", None)));
    }
    taken
}

/// Upgrades, and tells what the gate said, what the plan said, and what was done.
fn dispositions(case: &Case, lock: &Lock) -> [Disposition; 3] {
    let released =
        Lock { maps: BTreeMap::from([("m".to_owned(), LockedMap::new(case.def.clone()))]), ..Lock::default() };
    let said = maplock::layout::compare(&released, lock, &Levels::default()).maps[0].disposition;
    let upgrade = Options::new(Spec::from(lock.clone()), &case.dir).begin().expect("it begins");
    let planned = upgrade.plan().maps[0].disposition();
    let report = upgrade.stage().and_then(|staged| staged.commit());
    let report = report.unwrap_or_else(|error| panic!("{} to {lock}: {error}", case.def.map_type));
    [said, planned, report.maps[0].disposition]
}

#[test]
fn an_upgrade_does_what_the_gate_took_and_the_plan_said() {
    let done = std::sync::Mutex::new(BTreeMap::<Disposition, usize>::new());
    for_each_type(|bpffs, def, larger| {
        for new in changes(def, larger) {
            for lock in taken(def, &new) {
                let (from, to) = (def.max_entries, new.max_entries);
                let what = format!("{} of {from} to {} of {to}", def.map_type, new.map_type);
                let mut case = Case::new(bpffs, def);
                let [said, planned, disposition] = dispositions(&case, &lock);
                assert_eq!((said, planned), (disposition, disposition), "{what}");
                *done.lock().expect("no panic").entry(disposition).or_default() += 1;
                let (live, before) = (case.live(), std::mem::take(&mut case.before));
                let is_zero = |(_, value): &(Vec<u8>, Vec<u8>)| value.iter().all(|byte| *byte == 0);
                match disposition {
                    Disposition::Reuse => assert_eq!((live.info().id, contents(&live)), (case.id, before), "{what}"),
                    Disposition::Grow | Disposition::Migrate => {
                        assert_eq!(live.info().max_entries, to, "{what}");
                        let mut after = contents(&live);
                        if def.map_type.is_array() {
                            // Of an array, what is not there any more, or is new, is zero.
                            after.retain(|entry| !is_zero(entry));
                            assert_eq!(
                                after,
                                before.into_iter().filter(|entry| !is_zero(entry)).collect::<Vec<_>>(),
                                "{what}"
                            );
                        } else {
                            assert_eq!(after, before, "{what}");
                        }
                    }
                    _ => {
                        assert!(contents(&live).iter().all(is_zero), "{what}");
                        let kept = Map::open(&case.kept()).expect("the old one is kept");
                        assert_eq!((kept.info().id, contents(&kept)), (case.id, before), "{what}");
                    }
                }
            }
        }
    });
    if kernel::available() {
        let done = done.into_inner().expect("no panic");
        // Older kernels have fewer types.
        let least = if kernel::has_enumerator("BPF_MAP_TYPE_BLOOM_FILTER") { 6 } else { 5 };
        for disposition in [Disposition::Reuse, Disposition::Grow, Disposition::Migrate, Disposition::Swap] {
            assert!(done.get(&disposition).is_some_and(|count| *count >= least), "{done:?}");
        }
    }
}

/// A timer can't be brought along. Where it is given up, the rest of its entry is.
#[test]
fn entries_are_converted_without_the_timer_that_was_given_up() {
    if !kernel::available() {
        return;
    }
    let int = |size| Arc::new(Layout { size, typedef: None, shape: Shape::Int(IntKind::Unsigned) });
    let structure = |name: &str, size, members: &[(&str, u64, Arc<Layout>)]| {
        let member = |(name, offset, layout): &(&str, u64, Arc<Layout>)| Member {
            name: (*name).into(),
            offset_bits: offset * 8,
            bits: None,
            layout: Arc::clone(layout),
        };
        let of = Composite::new(CompositeKind::Struct, Some(name.into()), members.iter().map(member).collect());
        Arc::new(Layout { size, typedef: None, shape: Shape::Composite(Arc::new(of.expect("few members"))) })
    };
    let timer = structure("bpf_timer", 16, &[("opaque", 0, int(8)), ("more", 8, int(8))]);
    let old = structure("value", 24, &[("timer", 0, Arc::clone(&timer)), ("packets", 16, int(8))]);
    let new = structure("value", 32, &[("timer", 0, timer), ("packets", 16, int(8)), ("bytes", 24, int(8))]);
    let def = |value: &Arc<Layout>| MapDef {
        key_size: 4,
        value_size: value.size as u32,
        max_entries: 16,
        pinning: Pinning::ByName,
        key: Some(int(4)),
        value: Some(Arc::clone(value)),
        ..MapDef::new("m", T::HASH)
    };
    Netns::new().run(|| {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("timers");
        upgrade(&dir, spec(&def(&old)), Policy::default()).expect("it is made");
        let map = Map::open(&dir.join("m")).expect("it is pinned");
        let value = [[0; 8], [0; 8], 7_u64.to_ne_bytes()].concat();
        map.update(&1_u32.to_ne_bytes(), &value, 0).expect("it fits");

        let lock = |def| Lock { maps: BTreeMap::from([("m".to_owned(), LockedMap::new(def))]), ..Lock::default() };
        let observed = Observation { lock: lock(def(&new)), ..Observation::default() };
        let migrate = OnUpgrade::Migrate;
        let accepted = epochs::accept(&lock(def(&old)), &observed, "m", migrate, "because", &Levels::default());
        let accepted = accepted.expect("it is an answer");
        assert!(epochs::convert(&accepted, "m", None).is_err(), "the timer is asked of");
        let answers = Answers { drop: ["value.timer".to_owned()].into(), ..Answers::default() };
        let lock = epochs::convert(&accepted, "m", Some(&answers)).expect("all is answered");
        let report = upgrade(&dir, Spec::from(lock), Policy::default()).expect("it is upgraded");
        assert_eq!(report.maps[0].disposition, Disposition::Migrate);
        let live = Map::open(&dir.join("m")).expect("it is pinned");
        let value = live.lookup(&1_u32.to_ne_bytes()).expect("it is read").expect("it is there");
        assert_eq!(value, [[0; 8], [0; 8], 7_u64.to_ne_bytes(), [0; 8]].concat());
    });
}
