//! What is kept, and what is said of where it leads.

use std::path::Path;

use maplock::internals::inspect::generations;
use maplock::internals::meta::Meta;
use maplock::internals::sys::Map;
use maplock::internals::sys::bpffs::{self, Dir};
use maplock::plan::CommitBy;
use maplock_tests::generations::{Daemon, Release, roll_back};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::truth::{self, beside};

fn with_daemon(then: impl Fn(&Daemon)) {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    then(&Daemon::new(bpffs.path().join("daemon"), &cgroup));
}

fn number(dir: &Path) -> u64 {
    Meta::read(&Dir::at(dir)).expect("it can be read").expect("it is there").generation
}

#[test]
fn a_generation_has_a_number_of_its_own_after_a_roll_back_too() {
    with_daemon(|daemon| {
        daemon.start(Release::One).expect("it is installed");
        daemon.start(Release::Two).expect("it is upgraded");
        roll_back(&daemon.dir).expect("back");
        daemon.start(Release::One).expect("it is started again");
        assert_eq!((number(&daemon.dir), number(&beside(&daemon.dir, "prev"))), (3, 2));
        daemon.start(Release::Two).expect("it is upgraded again");
        assert_eq!((number(&daemon.dir), number(&beside(&daemon.dir, "prev"))), (4, 3));
    });
}

#[test]
fn what_a_roll_back_leads_to_is_said_before_and_after_it_by_plan_inspection_and_report() {
    with_daemon(|daemon| {
        daemon.start(Release::One).expect("it is installed");
        let upgrade = daemon.options(Release::Two).begin().expect("begun");
        let planned = upgrade.plan().way_back.clone().expect("the first release is kept then");
        drop(upgrade);
        daemon.start(Release::Two).expect("it is upgraded");
        let seen = generations(&daemon.dir).expect("it can be looked at").way_back().cloned().expect("one is kept");
        let changed = |way: &maplock::plan::WayBack| -> Vec<(String, bool, bool)> {
            let is = |map: &maplock::plan::MapBack| (map.map.clone(), map.from.is_some(), map.to.is_some());
            way.maps.iter().map(is).collect()
        };
        let mut wanted = vec![
            (daemon.map("new"), true, false),
            (daemon.map("old"), false, true),
            (daemon.map("swapped"), true, true),
            (daemon.map("wide"), true, true),
        ];
        wanted.sort();
        assert_eq!((seen.generation, changed(&seen)), (Some(1), wanted.clone()));
        assert_eq!((planned.generation, changed(&planned)), (Some(1), wanted));
        assert!(seen.unknown.is_empty() && !seen.is_same_layout(), "{seen}");
        // A restart leaves it, and says so.
        let restart = daemon.options(Release::Two).begin().expect("begun").plan().way_back.clone();
        assert_eq!(restart.as_ref(), Some(&seen));
        let report = roll_back(&daemon.dir).expect("back");
        assert_eq!(report.way_back, Some(seen));
        let json = serde_json::to_value(&report).expect("plain data");
        assert_eq!(json["way_back"]["generation"], 1);
        assert_eq!(json["way_back"]["maps"].as_array().map(Vec::len), Some(4), "{json}");
    });
}

#[test]
fn a_way_back_to_the_same_layouts_is_told_as_such() {
    with_daemon(|daemon| {
        daemon.start(Release::One).expect("it is installed");
        assert!(
            daemon
                .options(Release::One)
                .begin()
                .expect("begun")
                .plan()
                .way_back
                .as_ref()
                .expect("kept")
                .is_same_layout()
        );
        daemon.start(Release::One).expect("it is started again");
        let way_back = roll_back(&daemon.dir).expect("back").way_back.expect("it went back");
        assert!(way_back.is_same_layout(), "{way_back}");
        assert_eq!(way_back.to_string(), "generation 1, whose maps have the same layouts");
    });
}

/// A text is pinned beside its place, and renamed over what is there: killed between the two, a roll-back leaves it.
#[test]
fn what_a_crash_left_between_a_pin_and_its_rename_is_nobodys_map() {
    with_daemon(|daemon| {
        daemon.start(Release::One).expect("it is installed");
        daemon.start(Release::Two).expect("it is upgraded");
        let prev = beside(&daemon.dir, "prev");
        let left = format!("{}@conversion@new", daemon.map("wide"));
        for name in [left.as_str(), "maplock_meta@new"] {
            let text = Map::open(&prev.join("maplock_meta")).expect("a map");
            text.pin(&prev.join(name)).expect("pinned");
        }
        let found = generations(&daemon.dir).expect("it can be looked at");
        let names: Vec<_> = found.kept.iter().flat_map(|kept| kept.inventory.maps.keys()).collect();
        assert!(!names.is_empty() && names.iter().all(|name| !name.ends_with("@new")), "{names:?}");
        let report = roll_back(&daemon.dir).expect("back");
        assert!(report.maps.iter().all(|map| !map.map.ends_with("@new")), "{report}");
        let names = truth::names(&daemon.dir);
        assert!(names.iter().all(|name| !name.ends_with("@new")), "{names:?}");
        let plan = daemon.options(Release::One).begin().expect("begun").plan().commit.clone();
        let elsewhere = Bpffs::mount();
        let way = match bpffs::exchange(&elsewhere.dir("one"), &elsewhere.dir("other")) {
            Ok(()) => CommitBy::Exchange,
            Err(_) => CommitBy::EachPin { why: "this kernel can't exchange directories on bpffs".to_owned() },
        };
        assert_eq!(plan, way, "the directory is nobody else's");
    });
}
