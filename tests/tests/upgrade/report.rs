//! What an upgrade and a roll-back say of what they did.

use std::collections::BTreeMap;
use std::path::Path;

use maplock::internals::sys::{Map, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Disposition, Lock, MapDef, ProgramUse};
use maplock::{OnMismatch, Options, Policies, Policy, Report, Rollback, Spec};
use maplock_tests::generations::{Daemon, FILLED, Release};
use maplock_tests::kernel::{self, Bpffs, Cgroup};

#[test]
fn a_converted_entry_is_counted_once() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
    daemon.start(Release::One).expect("it is installed");
    let report = daemon.start(Release::Two).expect("it is upgraded");
    let name = daemon.map("wide");
    let wide = report.maps.iter().find(|map| map.map == name).expect("a map of both");
    assert_eq!((wide.kept, wide.converted, wide.lost), (0, u64::from(FILLED), Some(0)), "{report}");
    let told = report.to_string();
    let row = told.lines().find(|line| line.starts_with(&name)).expect("a row");
    assert_eq!(row.split_whitespace().nth(1), Some(FILLED.to_string().as_str()), "{told}");
    for (what, entries) in [("kept", 0), ("converted", FILLED)] {
        let sample =
            format!("maplock_upgrade_entries{{map=\"{name}\",disposition=\"migrate\",what=\"{what}\"}} {entries}\n");
        assert!(report.to_prometheus().contains(&sample), "{}", report.to_prometheus());
    }
}

/// Values of 5 bytes: the last is no word that can be exchanged by an atomic instruction.
fn spec(max_entries: u32) -> Spec {
    let maps = [("odd", 5), ("word", 8)].map(|(name, value_size)| {
        let def = MapDef::new(name, MapType::HASH);
        let def = MapDef { key_size: 4, value_size, max_entries, pinning: Pinning::ByName, ..def };
        let programs = Some(ProgramUse::default());
        (name.to_owned(), LockedMap { programs, user_never_deletes: true, ..LockedMap::new(def) })
    });
    Spec::from(Lock { maps: BTreeMap::from(maps), ..Lock::default() })
}

fn start(dir: &Path, max_entries: u32) -> Report {
    let upgrade = Options::new(spec(max_entries), dir).begin().expect("begun");
    upgrade.stage().expect("staged").commit().expect("committed")
}

#[test]
fn a_roll_back_is_exact_only_where_each_map_was_settled_so() {
    if !kernel::available() || !kernel::has_exchange() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    start(&dir, 4);
    Map::open(&dir.join("odd")).expect("pinned").update(&[1; 4], &[1; 5], 0).expect("room");
    let exact = |report: &Report| report.maps.iter().map(|map| (map.map.clone(), map.exact)).collect::<Vec<_>>();
    let upgraded = start(&dir, 8);
    let back = Rollback::new(&dir).run().expect("back");
    assert_eq!(exact(&upgraded), [("odd".to_owned(), false), ("word".to_owned(), true)]);
    assert_eq!(exact(&back), exact(&upgraded), "{back}");
    assert!(back.maps.iter().all(|map| map.disposition == Disposition::Reuse));
    let doubt =
        "maybe not exact: a write at the very moment of settling may be lost: no atomic instruction writes all bytes";
    assert!(back.to_string().contains(doubt), "{back}");
    assert!(back.to_prometheus().contains("maplock_upgrade_exact{map=\"odd\",disposition=\"reuse\"} 0\n"));
    assert_eq!(serde_json::to_value(&back).expect("plain data")["maps"][0]["exact"], false);
}

#[test]
fn a_roll_back_counts_what_it_leaves_behind() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
    daemon.start(Release::One).expect("it is installed");
    daemon.start(Release::Two).expect("it is upgraded");
    let swapped = Map::open(&daemon.dir.join(daemon.map("swapped"))).expect("pinned");
    (0..2_u32).for_each(|key| swapped.update(&key.to_ne_bytes(), &[1; 8], 0).expect("room"));
    let report = Rollback::new(&daemon.dir).run().expect("back");
    let of = |name: &str| {
        let map = report.maps.iter().find(|map| map.map == daemon.map(name)).expect("it is told");
        (map.disposition, map.lost)
    };
    assert_eq!(of("swapped"), (Disposition::Reuse, Some(2)), "{report}");
    // Which the older release never had: an array of four.
    assert_eq!(of("new"), (Disposition::Drop, Some(4)), "{report}");
    for name in ["counts", "state", "wide", "config"] {
        assert_eq!(of(name), (Disposition::Reuse, Some(0)), "{name}\n{report}");
    }
}

fn def(name: &str, map_type: MapType, value_size: u32, max_entries: u32) -> MapDef {
    let key_size = if map_type.is_keyless() { 0 } else { 4 };
    MapDef { key_size, value_size, max_entries, pinning: Pinning::ByName, ..MapDef::new(name, map_type) }
}

fn start_with(dir: &Path, maps: &[MapDef], unknown: OnMismatch) -> Report {
    let maps = maps.iter().map(|def| (def.name.clone(), LockedMap::new(def.clone()))).collect();
    let policies = Policies { all: Policy { unknown, ..Policy::default() }, ..Policies::default() };
    let upgrade =
        Options::new(Spec::from(Lock { maps, ..Lock::default() }), dir).policies(policies).begin().expect("begun");
    upgrade.stage().expect("staged").commit().expect("committed")
}

fn put(dir: &Path, name: &str, keys: std::ops::Range<u32>) {
    let map = Map::open(&dir.join(name)).expect("pinned");
    let (key_size, value) = (map.info().key_size as usize, vec![1; map.info().value_size as usize]);
    keys.for_each(|key| map.update(&key.to_ne_bytes()[..key_size], &value, 0).expect("room"));
}

/// `kept` and `lost` of a map.
fn counts(report: &Report, name: &str) -> (u64, Option<u64>) {
    let map = report.maps.iter().find(|map| map.map == name).expect("it is told");
    (map.kept, map.lost)
}

#[test]
fn of_a_map_that_is_taken_back_its_own_entries_are_kept_and_those_written_since_are_lost() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let maps =
        |value_size| [("m", MapType::HASH), ("q", MapType::QUEUE)].map(|(name, of)| def(name, of, value_size, 8));
    start_with(&dir, &maps(8), OnMismatch::Refuse);
    put(&dir, "m", 0..3);
    start_with(&dir, &maps(16), OnMismatch::Swap);
    put(&dir, "m", 0..2);
    put(&dir, "q", 0..2);
    let report = start_with(&dir, &maps(8), OnMismatch::Refuse);
    assert_eq!(counts(&report, "m"), (3, Some(2)), "{report}");
    assert_eq!(counts(&report, "q"), (0, None), "of a queue nothing tells\n{report}");
    // One that no map of that name was live beside.
    start_with(&dir, &maps(8)[1..], OnMismatch::Refuse);
    let report = start_with(&dir, &maps(8), OnMismatch::Refuse);
    assert_eq!(counts(&report, "m"), (3, Some(0)), "{report}");
}

#[test]
fn a_map_of_another_loader_that_stays_pinned_is_not_told_as_lost() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let maps = ["m", "more"].map(|name| def(name, MapType::HASH, 8, 8));
    start_with(&dir, &maps, OnMismatch::Refuse);
    put(&dir, "more", 0..1);
    // As pins are that nothing says the owner of.
    std::fs::remove_file(dir.join("maplock_meta")).expect("removed");
    let report = start_with(&dir, &maps[..1], OnMismatch::Refuse);
    let more = Map::open(&dir.join("more")).expect("its pin stays");
    assert!(more.lookup(&[0; 4]).expect("a map").is_some());
    assert_eq!(counts(&report, "more"), (1, Some(0)), "{report}");
    let told = report.to_string();
    assert!(told.contains("drop   its pin stays, as nothing says whose it is, its types are unknown\n"), "{told}");
    // Of one that goes, all is lost.
    let whole = start_with(&dir, &maps, OnMismatch::Refuse);
    assert_eq!(counts(&whole, "more"), (1, Some(0)), "{whole}");
    let report = start_with(&dir, &maps[..1], OnMismatch::Refuse);
    assert_eq!(counts(&report, "more"), (0, Some(1)), "{report}");
    assert!(!report.to_string().contains("stays") && !dir.join("more").exists(), "{report}");
}

#[test]
fn a_roll_back_tells_what_an_lru_evicted() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let start = |max_entries| {
        start_with(&dir, &[def("lru", MapType::LRU_HASH, 8, max_entries)], OnMismatch::Refuse);
    };
    start(3000);
    start(12000);
    put(&dir, "lru", 0..2990);
    let report = Rollback::new(&dir).run().expect("back");
    let map = Map::open(&dir.join("lru")).expect("pinned");
    let left = maplock::internals::transfer::count(&map, std::time::Duration::MAX).expect("it can be counted");
    assert!(left < 2990, "a list of free entries for each CPU makes it evict");
    assert_eq!(counts(&report, "lru"), (left, Some(2990 - left)), "{report}");
}

#[test]
fn a_second_call_says_that_it_completed_the_roll_back_of_the_first() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    start(&dir, 4);
    start(&dir, 8);
    assert!(!Rollback::new(&dir).run().expect("back").resumed);
    // As the first call leaves it that is killed before its last step.
    bpffs::write_record(&dir.join("commit@record"), "roll-back exchange").expect("a new name");
    let room = || Map::open(&dir.join("word")).expect("pinned").info().max_entries;
    let report = Rollback::new(&dir).run().expect("completed");
    assert!(report.resumed && report.maps.is_empty(), "{report:?}");
    assert_eq!(room(), 4, "it went back once");
    assert!(!Rollback::new(&dir).run().expect("back again").resumed);
    assert_eq!(room(), 8);
}
