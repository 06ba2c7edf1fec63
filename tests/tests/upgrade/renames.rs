//! Maps that get another name, and maps that are given up, on the kernel.

use std::path::Path;
use std::sync::Arc;

use maplock::internals::sys::{Map, NewMap};
use maplock::layout::config::Levels;
use maplock::layout::lock::{LockedMap, OnUpgrade};
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{
    Composite, CompositeKind, Disposition, IntKind, Layout, Lock, MapDef, Member, Observation, ProgramUse, Shape,
    epochs,
};
use maplock::{ErrorKind, OnMismatch, Options, Policies, Policy, Report, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::truth::{beside, names};

/// A hash whose value has one member, `hits`, of that many bytes.
fn counters(name: &str, width: u64, max_entries: u32) -> MapDef {
    let int = |size| Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)));
    let hits = Member { name: "hits".into(), offset_bits: 0, bits: None, layout: int(width) };
    let value = Composite::new(CompositeKind::Struct, Some("v".into()), vec![hits]).expect("one member");
    let value = Arc::new(Layout::new(width, Shape::Composite(Arc::new(value))));
    MapDef {
        key_size: 4,
        value_size: width as u32,
        max_entries,
        pinning: Pinning::ByName,
        key: Some(int(4)),
        value: Some(value),
        ..MapDef::new(name, MapType::HASH)
    }
}

fn lock(maps: impl IntoIterator<Item = MapDef>) -> Lock {
    // With programs that only read them.
    let known =
        |def| LockedMap { programs: Some(ProgramUse::default()), user_never_deletes: true, ..LockedMap::new(def) };
    Lock { maps: maps.into_iter().map(|def| (def.name.clone(), known(def))).collect(), ..Lock::default() }
}

/// The lock in which `flows` goes on as `new`.
fn renamed(old: &MapDef, new: &MapDef, on_upgrade: Option<OnUpgrade>) -> Lock {
    let now = Observation { lock: lock([new.clone()]), ..Observation::default() };
    let names = (old.name.as_str(), new.name.as_str());
    let renamed = epochs::rename(&lock([old.clone()]), &now, names, on_upgrade, "because", &Levels::default());
    epochs::convert(&renamed.expect("a rename"), &new.name, None).expect("nothing is asked")
}

fn given_up(old: &MapDef) -> Lock {
    let none = Observation::default();
    epochs::accept(&lock([old.clone()]), &none, &old.name, OnUpgrade::Drop, "unread", &Levels::default()).expect("gone")
}

/// What the ways of a commit have in common.
#[derive(Debug, Clone, Copy)]
enum Place {
    Exchanged,
    EachPin,
    /// With something of somebody else's in it.
    Shared,
    Root,
}

const PLACES: [Place; 4] = [Place::Exchanged, Place::EachPin, Place::Shared, Place::Root];

struct Site {
    bpffs: Bpffs,
    place: Place,
}

impl Site {
    fn new(place: Place) -> Self {
        Self { bpffs: Bpffs::mount(), place }
    }

    fn dir(&self) -> std::path::PathBuf {
        match self.place {
            Place::Root => self.bpffs.path().to_owned(),
            _ => self.bpffs.path().join("daemon"),
        }
    }

    fn kept(&self) -> std::path::PathBuf {
        match self.place {
            Place::Root => self.bpffs.path().join("maplock@prev"),
            _ => beside(&self.dir(), "prev"),
        }
    }

    fn options(&self, lock: &Lock) -> Options {
        let options = Options::new(Spec::from(lock.clone()), self.dir());
        if matches!(self.place, Place::EachPin) { options.each_pin() } else { options }
    }

    fn start(&self, lock: &Lock) -> Report {
        let report = self.options(lock).begin().expect("begun").stage().expect("staged").commit().expect("committed");
        let other = self.dir().join("neighbour");
        if matches!(self.place, Place::Shared) && !other.exists() {
            std::fs::create_dir(other).expect("a directory");
        }
        report
    }

    /// The pins of maps in the live directory, but for maplock's own.
    fn pins(&self) -> Vec<String> {
        let is_map =
            |name: &String| !name.contains('@') && name != "maplock_meta" && name != "neighbour" && !name.contains('.');
        names(&self.dir()).into_iter().filter(is_map).collect()
    }

    fn rollback(&self) -> Report {
        Rollback::new(self.dir()).run().expect("a way back")
    }
}

fn open(dir: &Path, name: &str) -> Map {
    Map::open(&dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn put(map: &Map, key: u32, value: u64) {
    let bytes = &value.to_ne_bytes()[..map.value_bytes()];
    map.update(&key.to_ne_bytes(), bytes, 0).expect("there is room");
}

fn get(map: &Map, key: u32) -> Option<u64> {
    let mut value = map.lookup(&key.to_ne_bytes()).expect("the kernel tells")?;
    value.truncate(map.info().value_size as usize);
    value.resize(8, 0);
    Some(u64::from_ne_bytes(value.try_into().expect("8 bytes")))
}

fn id(dir: &Path, name: &str) -> u32 {
    open(dir, name).info().id
}

#[test]
fn a_map_goes_on_under_its_new_name_and_comes_back_under_the_old_one() {
    if !kernel::available() {
        return;
    }
    let old = counters("flows", 4, 16);
    for place in PLACES {
        for (new, on_upgrade, is_same) in [
            (counters("flow_table", 4, 16), None, true),
            (counters("flow_table", 4, 64), None, false),
            (counters("flow_table", 8, 16), Some(OnUpgrade::Migrate), false),
        ] {
            let site = Site::new(place);
            let dir = site.dir();
            site.start(&lock([old.clone()]));
            let first = id(&dir, "flows");
            put(&open(&dir, "flows"), 1, 100);
            let report = site.start(&renamed(&old, &new, on_upgrade));
            let what = format!("{place:?}, {} of {}", new.value_size, new.max_entries);
            assert_eq!(site.pins(), ["flow_table"], "{what}");
            assert!(site.kept().join("flows").exists() && !site.kept().join("flow_table").exists(), "{what}");
            assert_eq!((id(&dir, "flow_table") == first, report.maps.len()), (is_same, 1), "{what}");
            assert_eq!(get(&open(&dir, "flow_table"), 1), Some(100), "{what}");
            put(&open(&dir, "flow_table"), 2, 7);
            // A restart finds it under its name.
            let plan = site.options(&renamed(&old, &new, on_upgrade)).begin().expect("begun").plan().to_string();
            assert!(plan.contains("flow_table  ") && !plan.contains("->  ") && !plan.contains("flows ->"), "{plan}");

            let back = site.rollback();
            assert_eq!(site.pins(), ["flows"], "{what}");
            assert_eq!(id(&dir, "flows"), first, "{what}");
            let flows = open(&dir, "flows");
            assert_eq!((get(&flows, 1), get(&flows, 2)), (Some(100), Some(7)), "{what}");
            let lost: Vec<_> = back.maps.iter().map(|map| (map.map.as_str(), map.lost)).collect();
            assert_eq!(lost, [("flows", Some(0))], "{what}");
            put(&flows, 3, 9);
            // And there again.
            site.rollback();
            assert_eq!(site.pins(), ["flow_table"], "{what}");
            assert_eq!(get(&open(&dir, "flow_table"), 3), Some(9), "{what}");
            assert!(maplock::confirm(&dir, std::time::Duration::ZERO).expect("confirmed"), "{what}");
            assert_eq!(site.pins(), ["flow_table"], "{what}");
        }
    }
}

#[test]
fn an_older_release_that_starts_takes_its_map_back() {
    if !kernel::available() {
        return;
    }
    let old = counters("flows", 4, 16);
    for place in PLACES {
        for new in [counters("flow_table", 4, 16), counters("flow_table", 4, 64)] {
            let site = Site::new(place);
            let dir = site.dir();
            site.start(&lock([old.clone()]));
            put(&open(&dir, "flows"), 1, 100);
            site.start(&renamed(&old, &new, None));
            put(&open(&dir, "flow_table"), 2, 7);
            let upgrade = site.options(&lock([old.clone()])).begin().expect("begun");
            let plan = upgrade.plan().clone();
            assert!(plan.outcome().starts_with("nothing is lost"), "{plan}");
            assert!(plan.to_string().contains("flow_table -> flows"), "{plan}");
            upgrade.stage().expect("staged").commit().expect("committed");
            assert_eq!(site.pins(), ["flows"]);
            let flows = open(&dir, "flows");
            assert_eq!((get(&flows, 1), get(&flows, 2)), (Some(100), Some(7)), "{place:?} {plan}");
        }
    }
}

/// A daemon without maplock has pinned it: nothing speaks of the pins.
#[test]
fn the_first_upgrade_by_maplock_finds_the_old_name_too() {
    if !kernel::available() {
        return;
    }
    let old = counters("flows", 4, 16);
    for place in PLACES {
        for new in [counters("flow_table", 4, 16), counters("flow_table", 4, 64)] {
            let site = Site::new(place);
            let dir = site.dir();
            site.start(&lock([old.clone()]));
            put(&open(&dir, "flows"), 1, 100);
            std::fs::remove_file(dir.join("maplock_meta")).expect("removed");
            site.start(&renamed(&old, &new, None));
            assert_eq!(site.pins(), ["flow_table"], "{place:?}");
            assert_eq!(get(&open(&dir, "flow_table"), 1), Some(100), "{place:?}");
            assert!(site.kept().join("flows").exists(), "{place:?}");
            site.rollback();
            assert_eq!(site.pins(), ["flows"], "{place:?}");
            assert_eq!(get(&open(&dir, "flows"), 1), Some(100), "{place:?}");
        }
    }
}

#[test]
fn a_map_that_is_pinned_under_both_names_is_refused_until_one_is_gone() {
    if !kernel::available() {
        return;
    }
    let (old, new) = (counters("flows", 4, 16), counters("flow_table", 4, 16));
    let site = Site::new(Place::Exchanged);
    let dir = site.dir();
    site.start(&lock([old.clone(), new.clone()]));
    let lock = renamed(&old, &new, None);
    let error = site.options(&lock).begin().expect("begun").stage().expect_err("two maps");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("another map is pinned as `flows`, its name before"), "{error}");
    let policies = Policies { all: Policy { unknown: OnMismatch::Reuse, ..Policy::default() }, ..Policies::default() };
    let plan = site.options(&lock).policies(policies).begin().expect("begun").plan().to_string();
    assert!(plan.contains("`flows` is given up (policy: reuse)"), "{plan}");
    put(&open(&dir, "flows"), 1, 100);
    std::fs::remove_file(dir.join("flow_table")).expect("removed");
    site.start(&lock);
    assert_eq!(get(&open(&dir, "flow_table"), 1), Some(100));
}

#[test]
fn a_map_that_was_given_up_goes_with_its_entries_and_comes_back_with_them() {
    if !kernel::available() {
        return;
    }
    let old = counters("flows", 4, 16);
    for place in PLACES {
        for has_meta in [true, false] {
            let site = Site::new(place);
            let dir = site.dir();
            site.start(&lock([old.clone()]));
            put(&open(&dir, "flows"), 1, 100);
            if !has_meta {
                std::fs::remove_file(dir.join("maplock_meta")).expect("removed");
            }
            let upgrade = site.options(&given_up(&old)).begin().expect("begun");
            let plan = upgrade.plan().clone();
            assert!(plan.outcome().starts_with("given up: 1 entry of flows · "), "{place:?}: {plan}");
            assert!(plan.to_string().contains("given up (accepted: \"unread\"); kept for roll-back"), "{plan}");
            assert_eq!((plan.denied(&[Disposition::Drop]).count(), plan.denied(&[Disposition::Swap]).count()), (1, 1));
            upgrade.stage().expect("staged").commit().expect("committed");
            assert_eq!(site.pins(), [""; 0], "{place:?}");
            site.rollback();
            assert_eq!(get(&open(&dir, "flows"), 1), Some(100), "{place:?}");
        }
    }
}

/// What somebody else has pinned under an older name, in a directory that is shared, stays theirs.
#[test]
fn a_pin_of_somebody_elses_under_a_name_that_was_given_up_stays() {
    if !kernel::available() {
        return;
    }
    let (old, other) = (counters("flows", 4, 16), counters("stats", 4, 16));
    let site = Site::new(Place::Shared);
    let dir = site.dir();
    site.start(&lock([other.clone()]));
    let theirs = Map::create(&NewMap::new(MapType::ARRAY, 4, 8, 4)).expect("made");
    theirs.pin(&dir.join("flows")).expect("pinned");
    let mut given_up = given_up(&old);
    given_up.maps = lock([other]).maps;
    site.start(&given_up);
    assert_eq!(site.pins(), ["flows", "stats"]);
    assert_eq!(id(&dir, "flows"), theirs.info().id);
}
