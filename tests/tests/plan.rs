//! The plan for each step between the releases of minimesh, up and down, from their objects.

use std::fs;
use std::path::Path;

use maplock::internals::inspect::{Observed, Source};
use maplock::internals::normalise::Node;
use maplock::layout::config::Levels;
use maplock::layout::lock::OnUpgrade;
use maplock::layout::map::Pinning;
use maplock::layout::{Disposition as D, Lock, MapDef, Observation, epochs};
use maplock::plan::{Action, Inputs, PinnedLock, Plan, Since, plan};
use maplock::{Policies, Spec};
use maplock_tests::toolchain::root;
use maplock_tests::{lock, maps_of};

const RELEASES: [&str; 4] = ["v1", "v2", "v3", "v4"];

fn maps(release: &str) -> Vec<MapDef> {
    let path = root().join("bpf/minimesh").join(release).join("minimesh.bpf.o");
    maps_of(&fs::read(path).expect("a committed object")).expect("a good object")
}

/// The lock of each release, with what was accepted on the way to it.
fn locks() -> Vec<Lock> {
    let mut locks = vec![lock(&maps("v1"))];
    for (release, answers) in [
        ("v2", [].as_slice()),
        ("v3", [("stats", OnUpgrade::Swap, "counters wrapped")].as_slice()),
        ("v4", [("backends", OnUpgrade::Reuse, "was padding"), ("stats", OnUpgrade::Migrate, "by port")].as_slice()),
    ] {
        let observed = Observation { lock: lock(&maps(release)), ..Observation::default() };
        let mut next = locks.last().expect("the first").clone();
        for (map, answer, reason) in answers {
            next = epochs::accept(&next, &observed, map, *answer, reason, &Levels::default())
                .unwrap_or_else(|error| panic!("{release}: {error}"));
        }
        locks.push(epochs::update(&next, &observed, &Levels::default()).expect("all is decided"));
    }
    locks
}

/// What a release leaves pinned.
fn pinned(release: usize) -> Vec<Observed> {
    let pinned = |(id, def): (usize, MapDef)| Observed {
        pin: def.name.clone(),
        path: Path::new("/bpf/minimesh").join(&def.name),
        id: u32::try_from(release * 10 + id).expect("few maps"),
        source: Source::Btf,
        tells_version: false,
        frozen: false,
        entries: Some(12),
        memory: 0,
        problem: None,
        is_denied: false,
        said: None,
        def: MapDef { pinning: Pinning::None, tags: Vec::new(), ..def },
    };
    maps(RELEASES[release]).into_iter().enumerate().map(pinned).collect()
}

fn step(live: &[Observed], kept: &[Observed], lock: &Lock) -> Plan {
    plan(&Inputs {
        spec: &Spec::from(lock.clone()),
        dir: Path::new("/bpf/minimesh"),
        live,
        kept,
        meta: None,
        newer: &PinnedLock::default(),
        policies: &Policies::default(),
        ways_back: &Default::default(),
        migrations: None,
        node: Node { cpus: 2, page_size: 4096 },
    })
}

fn dispositions(plan: &Plan) -> Vec<(&str, D)> {
    plan.maps.iter().map(|map| (map.map.as_str(), map.disposition())).collect()
}

#[test]
fn every_release_upgrades_to_the_last_in_one_step() {
    let locks = locks();
    for (from, backends, drops, stats) in [
        (0, D::Grow, D::Create, D::Swap),
        (1, D::Reuse, D::Reuse, D::Swap),
        // Accepted as `migrate`, which is not there yet.
        (2, D::Reuse, D::Reuse, D::Refuse),
        (3, D::Reuse, D::Reuse, D::Reuse),
    ] {
        let plan = step(&pinned(from), &[], &locks[3]);
        let expected = [
            ("backends", backends),
            ("drops", drops),
            ("frontends", D::Reuse),
            ("services", D::Reuse),
            ("stats", stats),
        ];
        assert_eq!(dispositions(&plan), expected, "from {}:\n{plan}", RELEASES[from]);
    }
}

#[test]
fn a_fresh_install_creates_every_map() {
    for lock in locks() {
        let plan = step(&[], &[], &lock);
        assert!(plan.maps.iter().all(|map| map.disposition() == D::Create), "{plan}");
    }
}

#[test]
fn each_release_on_its_own_maps_does_nothing() {
    for (release, lock) in locks().iter().enumerate() {
        let plan = step(&pinned(release), &[], lock);
        assert!(
            plan.maps.iter().all(|map| (map.disposition(), map.why.as_str()) == (D::Reuse, "same layout")),
            "{plan}"
        );
    }
}

#[test]
fn a_downgrade_returns_to_the_generation_that_is_kept() {
    let locks = locks();
    // v2 to v1: `backends` has grown, and serves v1 as it is; `drops` is not in v1.
    let plan = step(&pinned(1), &pinned(0), &locks[0]);
    let backends = plan.map("backends").expect("in v1");
    assert!(matches!(&backends.action, Action::Reuse { new, .. } if new.def.max_entries == 4096), "{plan}");
    let drops = plan.map("drops").expect("it is left behind");
    assert!(matches!(drops.action, Action::GiveUp { loses_entries: true, .. }), "{plan}");
    assert!(!plan.is_refused(), "{plan}");
    // v4 to v3: what v4 wrote is not v3's to read.
    let plan = step(&pinned(3), &pinned(2), &locks[2]);
    for map in ["backends", "stats"] {
        let map = plan.map(map).expect("in v3");
        assert!(
            matches!(map.action, Action::TakeBack { since: Since::Left { loses_entries: true, .. }, .. }),
            "{plan}"
        );
    }
    // Without a kept generation, an older release does not know the newer layouts.
    let plan = step(&pinned(3), &[], &locks[2]);
    let refused = plan.maps.iter().filter(|map| map.disposition() == D::Refuse).map(|map| map.map.as_str());
    assert_eq!(refused.collect::<Vec<_>>(), ["backends", "stats"], "{plan}");
}

#[test]
fn the_table_of_a_leap_over_three_releases() {
    let expected = "\
map        entries  what    why
backends   12/64    grow    max_entries 64 -> 4096 (accepted: \"was padding\"), every entry kept
drops       -       create  new in this release
frontends  12/64    reuse   same layout
services   12/64    reuse   same layout
stats      12/4096  swap    starts empty: `key.port` was added; passed_over u32 -> u64; connections u32 -> u64 (accepted: \"counters wrapped\")
lost: 12 entries of stats · nothing says what all programs do with `backends`: what they write and delete meanwhile may be lost or come \
back · under 1 ms · traffic keeps running";
    let text = step(&pinned(0), &[], &locks()[3]).to_string();
    assert_eq!(text, expected);
}
