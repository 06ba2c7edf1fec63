//! Which members are counters that nothing says how to merge, and that what is offered for them can be said.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;

use maplock_layout::config::Levels;
use maplock_layout::counters::{unmerged, unmerged_since};
use maplock_layout::epochs::{merge, update};
use maplock_layout::lock::{LockedMap, Merge};
use maplock_layout::map::{MapDef, MapType};
use maplock_layout::rules::{Level, UNMERGED_COUNTER};
use maplock_layout::{Change, Finding, Lock, Observation, ProgramUse};
use support::map;

const STATS: &str = "struct stats { u64 packets; u32 errors; u32 state; };";

/// A lock of that map, to whose members programs add so.
fn counting(def: MapDef, adds: &[&str]) -> Lock {
    let adds = adds.iter().map(|path| (*path).to_owned()).collect();
    let programs = Some(ProgramUse { inserts: true, adds, ..ProgramUse::default() });
    Lock { maps: [(def.name.clone(), LockedMap { programs, ..LockedMap::new(def) })].into(), ..Lock::default() }
}

fn with(lock: &Lock, change: impl FnOnce(&mut LockedMap)) -> Lock {
    let mut lock = lock.clone();
    change(lock.maps.get_mut("m").unwrap());
    lock
}

fn paths(findings: &[Finding]) -> Vec<String> {
    let members = findings.iter().flat_map(|finding| match &finding.change {
        Change::Counted { members } => members.clone(),
        _ => Vec::new(),
    });
    members.map(|(_, at)| at.path("m")).collect()
}

fn found(lock: &Lock, now: &Lock) -> Vec<String> {
    paths(&unmerged(lock, now, &Levels::default()))
}

fn how(path: &str, how: Merge) -> BTreeMap<String, Merge> {
    BTreeMap::from([(path.to_owned(), how)])
}

/// What is found for a counter can be said of it, in either way, and then it is not found any more.
#[test]
fn what_is_found_can_be_said_and_is_not_found_again() {
    for (value, path, at) in [
        (STATS, "packets", "m.value.packets"),
        ("struct c { u64 n; }; struct stats { u32 id; struct c by; };", "by.n", "m.value.by.n"),
        ("struct stats { u64 hits[4]; };", "hits[]", "m.value.hits[]"),
        ("struct c { u64 n; u64 x; }; struct stats { struct c by[2][2]; };", "by[][].n", "m.value.by[][].n"),
        ("u64", "value", "m.value"),
        ("typedef u64 of_cpus[4]; of_cpus", "value[]", "m.value[]"),
        ("struct stats { u64 value; };", "value", "m.value.value"),
    ] {
        for map_type in [MapType::HASH, MapType::PERCPU_HASH, MapType::ARRAY, MapType::LRU_PERCPU_HASH] {
            let lock = counting(MapDef { map_type, ..map(value) }, &[path]);
            assert_eq!(found(&lock, &lock), [at], "{map_type}");
            for way in Merge::ALL {
                let said = merge(&lock, "m", &how(path, way)).unwrap();
                assert_eq!(found(&said, &lock), [""; 0], "{path}={way}");
                assert_eq!(Lock::parse(&said.to_string()).unwrap(), said, "{path}={way} is in the file");
            }
        }
    }
}

#[test]
fn a_finding_of_a_map_says_which_members() {
    let of = |adds: &[&str]| {
        let lock = counting(map(STATS), adds);
        let [finding] = unmerged(&lock, &lock, &Levels::default()).try_into().unwrap();
        assert!(finding.level == Level::Warn && !finding.is_break());
        (finding.path(), finding.message(), finding.title())
    };
    let (path, message, title) = of(&["packets"]);
    assert_eq!(path, "m.value.packets");
    assert_eq!(message, "programs only add to `packets` of `m`, and nothing says how it is merged");
    assert_eq!(title, "map `m`: programs only add to `packets`, and nothing says how it is merged");
    let (path, message, title) = of(&["errors", "packets", "state"]);
    assert_eq!(path, "m.value");
    let named = "`errors`, `packets` and `state`";
    assert_eq!(message, format!("programs only add to {named} of `m`, and nothing says how they are merged"));
    assert_eq!(title, format!("map `m`: programs only add to {named}, and nothing says how they are merged"));
}

#[test]
fn what_is_no_count_or_is_carried_over_by_nothing_is_not_found() {
    for (value, path) in [
        ("struct stats { u16 packets; };", "packets"),
        ("struct stats { u32 packets : 7; };", "packets"),
        ("typedef u32 __be32; struct stats { __be32 packets; };", "packets"),
        ("struct stats { union { u64 packets; u64 bytes; }; };", "packets"),
        (STATS, "gone"),
    ] {
        let lock = counting(map(value), &[path]);
        assert_eq!(found(&lock, &lock), [""; 0], "{value}");
        assert!(merge(&lock, "m", &how(path, Merge::Sum)).is_err(), "{value} could be merged");
    }
    for map_type in [MapType::SK_STORAGE, MapType::RINGBUF, MapType(4711)] {
        let lock = counting(MapDef { map_type, ..map(STATS) }, &["packets"]);
        assert_eq!(found(&lock, &lock), [""; 0], "{map_type}");
    }
}

#[test]
fn only_what_is_known_of_pinned_maps_is_found() {
    let lock = counting(map(STATS), &["packets"]);
    let not = |change: &dyn Fn(&mut LockedMap)| {
        let changed = with(&lock, change);
        assert_eq!(found(&lock, &changed), [""; 0]);
        assert_eq!(found(&changed, &changed), [""; 0]);
    };
    not(&|map| map.ephemeral = true);
    not(&|map| map.programs = None);
    // They may set it where they were not followed.
    not(&|map| map.programs.as_mut().unwrap().partly = true);
    assert_eq!(found(&Lock::default(), &lock), [""; 0], "a map that the lock does not have yet");
    assert_eq!(found(&with(&lock, |map| map.programs = None), &lock), ["m.value.packets"], "what they do now counts");
    let now = counting(map(STATS), &["packets", "errors"]);
    let summed = merge(&lock, "m", &how("packets", Merge::Sum)).unwrap();
    assert_eq!(found(&summed, &now), ["m.value.errors"], "beside one that is summed");
}

#[test]
fn a_member_that_is_new_is_found_once_the_lock_has_it() {
    let levels = |level| {
        let mut levels = Levels::default();
        levels.set(&UNMERGED_COUNTER, level);
        levels
    };
    let old = counting(map("struct stats { u64 packets; };"), &[]);
    let new = counting(map("struct stats { u64 packets; };"), &["packets"]);
    for level in Level::ALL {
        // Denied or not, the lock follows what programs do.
        let observed = Observation { lock: new.clone(), ..Observation::default() };
        let updated = update(&old, &observed, &levels(level)).unwrap();
        let findings = unmerged(&updated, &new, &levels(level));
        assert_eq!(findings.iter().map(|finding| finding.level).collect::<Vec<_>>(), [level]);
        assert_eq!(findings[0].is_break(), level == Level::Deny);
    }
    let wider = counting(map("struct stats { u64 packets; u64 bytes; };"), &["packets", "bytes"]);
    assert_eq!(found(&old, &wider), ["m.value.packets"], "nothing can be said of `bytes` yet");
    assert_eq!(found(&wider, &wider), ["m.value.bytes", "m.value.packets"]);
}

#[test]
fn a_review_is_told_what_is_new_since() {
    let since = |old: &Lock, new: &Lock| paths(&unmerged_since(old, new, &Levels::default()));
    let one = counting(map(STATS), &["packets"]);
    let two = counting(map(STATS), &["packets", "errors"]);
    assert_eq!(since(&one, &one), [""; 0]);
    assert_eq!(since(&one, &two), ["m.value.errors"]);
    assert_eq!(since(&Lock::default(), &one), ["m.value.packets"]);
    // A merge that got lost is news.
    let summed = merge(&one, "m", &how("packets", Merge::Sum)).unwrap();
    assert_eq!(since(&summed, &one), ["m.value.packets"]);
    assert_eq!(since(&one, &summed), [""; 0]);
}
