//! A commit that fails leaves the live generation as it was, whatever had been done of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use maplock::internals::sys::{Map, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Composite, CompositeKind, IntKind, Layout, Lock, MapDef, Member, Shape};
use maplock::{ErrorKind, Options, Policies, Policy, Spec, Staged};
use maplock_tests::kernel::{self, Bpffs};

fn def(name: &str, map_type: MapType, max_entries: u32) -> MapDef {
    MapDef { key_size: 4, value_size: 8, max_entries, pinning: Pinning::ByName, ..MapDef::new(name, map_type) }
}

/// A hash of counters, named `hits`.
fn counters(name: &str, max_entries: u32) -> MapDef {
    counters_in(name, MapType::HASH, max_entries)
}

fn counters_in(name: &str, map_type: MapType, max_entries: u32) -> MapDef {
    let int = |size| Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)));
    let hits = Member { name: "hits".into(), offset_bits: 0, bits: None, layout: int(8) };
    let value = Composite::new(CompositeKind::Struct, Some("v".into()), vec![hits]).expect("one member");
    let value = Arc::new(Layout::new(8, Shape::Composite(Arc::new(value))));
    MapDef { key: Some(int(4)), value: Some(value), ..def(name, map_type, max_entries) }
}

fn options(dir: &Path, maps: &[MapDef]) -> Options {
    let locked = maps.iter().map(|def| (def.name.clone(), LockedMap::new(def.clone())));
    let mut policies = Policies::default();
    for def in maps.iter().filter(|def| def.value.is_some()) {
        policies.maps.insert(def.name.clone(), Policy { sum: vec!["hits".to_owned()], ..Policy::default() });
    }
    Options::new(Spec::from(Lock { maps: locked.collect::<BTreeMap<_, _>>(), ..Lock::default() }), dir)
        .policies(policies)
}

fn staged(dir: &Path, maps: &[MapDef]) -> Staged {
    options(dir, maps).begin().expect("begun").stage().expect("staged")
}

fn put(map: &Map, key: u32, value: u64) {
    map.update(&key.to_ne_bytes(), &value.to_ne_bytes(), 0).expect("there is room");
}

fn get(map: &Map, key: u32) -> Option<u64> {
    let value = map.lookup(&key.to_ne_bytes()).expect("the kernel tells")?;
    Some(u64::from_ne_bytes(value.try_into().expect("8 bytes")))
}

fn keys(map: &Map) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let mut key = map.next_key(None).expect("the kernel tells");
    while let Some(at) = key {
        key = map.next_key(Some(&at)).expect("the kernel tells");
        keys.insert(at);
    }
    keys
}

fn open(dir: &Path, name: &str) -> Map {
    Map::open(&dir.join(name)).expect("it is pinned")
}

/// The staged `z` has no room left, and the live one a new entry: it can't be settled.
fn spoil(staged: &Staged, dir: &Path) {
    let z = staged.map("z").expect("staged");
    for key in 10..10 + z.info().max_entries {
        put(z, key, 1);
    }
    put(&open(dir, "z"), 1, 1);
}

#[test]
fn counts_that_were_moved_before_another_map_failed_come_back() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    staged(&dir, &[counters("a", 4), def("z", MapType::HASH, 4)]).commit().expect("committed");
    put(&open(&dir, "a"), 1, 100);
    let staged = staged(&dir, &[counters("a", 8), def("z", MapType::HASH, 8)]);
    put(&open(&dir, "a"), 2, 7);
    spoil(&staged, &dir);
    let error = staged.commit().expect_err("no room");
    assert!(error.to_string().contains("map `z`"), "{error}");
    let a = open(&dir, "a");
    assert_eq!((a.info().max_entries, get(&a, 1), get(&a, 2)), (4, Some(100), Some(7)));
    assert_eq!(get(&open(&dir, "z"), 1), Some(1));
    assert!(!bpffs.path().join("daemon@next").exists());
}

#[test]
fn counts_of_a_grown_array_come_back_though_new_programs_wrote_where_the_old_one_has_no_index() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let array = |max_entries| counters_in("a", MapType::ARRAY, max_entries);
    staged(&dir, &[array(4), def("z", MapType::HASH, 4)]).commit().expect("committed");
    put(&open(&dir, "a"), 1, 100);
    let staged = staged(&dir, &[array(8), def("z", MapType::HASH, 8)]);
    put(&open(&dir, "a"), 2, 7);
    put(staged.map("a").expect("staged"), 5, 3);
    put(staged.map("a").expect("staged"), 3, 1);
    spoil(&staged, &dir);
    let error = staged.commit().expect_err("no room");
    assert!(error.to_string().contains("map `z`"), "{error}");
    let a = open(&dir, "a");
    let counts: Vec<_> = (0..4).map(|index| get(&a, index)).collect();
    assert_eq!((a.info().max_entries, counts), (4, vec![Some(0), Some(100), Some(7), Some(1)]));
    assert!(!bpffs.path().join("daemon@next").exists());
}

#[test]
fn what_an_lru_evicted_while_it_was_staged_stays_in_the_live_one() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    staged(&dir, &[def("lru", MapType::LRU_HASH, 3000), def("z", MapType::HASH, 4)]).commit().expect("committed");
    let live = open(&dir, "lru");
    (0..3000).for_each(|key| put(&live, key, 1));
    let before = keys(&live);
    let staged = staged(&dir, &[def("lru", MapType::LRU_HASH, 3001), def("z", MapType::HASH, 8)]);
    // As the kernel does where the map is full.
    let copy = staged.map("lru").expect("staged");
    keys(copy).iter().take(100).for_each(|key| assert!(copy.delete(key).expect("the kernel says")));
    spoil(&staged, &dir);
    staged.commit().expect_err("no room");
    assert!(keys(&live) == before, "{} of {} are left", keys(&live).len(), before.len());
}

#[test]
fn a_pin_that_was_exchanged_after_the_plan_is_not_taken_for_the_one_that_was_checked() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let exchange = |name: &str| {
        let other = Map::create(&maplock::internals::sys::NewMap::new(MapType::HASH, 4, 8, 4)).expect("made");
        put(&other, 1, 5);
        other.pin(&dir.join("other")).expect("pinned");
        bpffs::rename(&dir.join("other"), &dir.join(name)).expect("renamed");
    };
    staged(&dir, &[counters("a", 4)]).commit().expect("committed");
    let upgrade = options(&dir, &[counters("a", 8)]).begin().expect("begun");
    exchange("a");
    let error = upgrade.stage().expect_err("another map");
    assert_eq!(error.kind(), ErrorKind::Place, "{error}");
    assert!(error.to_string().contains("pin `a` was exchanged for another"), "{error}");

    std::fs::remove_file(dir.join("a")).expect("removed");
    std::fs::remove_file(dir.join("maplock_meta")).expect("removed");
    staged(&dir, &[counters("a", 4)]).commit().expect("committed");
    put(&open(&dir, "a"), 1, 100);
    let staged = staged(&dir, &[counters("a", 8)]);
    exchange("a");
    staged.commit().expect("the map that was copied is still known");
    let a = open(&dir, "a");
    assert_eq!((a.info().max_entries, get(&a, 1)), (8, Some(100)));
}
