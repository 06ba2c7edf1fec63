//! Several generations are kept: a way back further than one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use maplock::internals::inspect::generations;
use maplock::internals::meta::Meta;
use maplock::internals::sys::bpffs::{self, Dir};
use maplock::{ErrorKind, Rollback, confirm_but};
use maplock_tests::generations::{Daemon, Release, roll_back};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::traffic::Traffic;
use maplock_tests::truth;

const ONE: Release = Release::One;
const TWO: Release = Release::Two;

/// The number of the generation in a directory.
fn number(dir: &Path) -> u64 {
    Meta::read(&Dir::at(dir)).expect("it can be read").expect("it is there").generation
}

/// The number of the live generation, and those of the kept ones.
fn numbers(daemon: &Daemon) -> (u64, Vec<u64>) {
    (number(&daemon.dir), truth::kept(&daemon.dir).iter().map(|dir| number(dir)).collect())
}

/// A daemon that keeps so many: exchanged, pin by pin, and in a directory that somebody else uses too.
fn in_each_way(keep: usize, then: impl Fn(&Daemon, &Traffic)) {
    if !kernel::available() {
        return;
    }
    for (each_pin, is_shared) in [(false, false), (true, false), (false, true)] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
        let daemon = Daemon { each_pin, keep, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
        Traffic::drive(&cgroup, |traffic| {
            let mut still = traffic.hold();
            // What was made before there was a program is in no map.
            *still = 0;
            daemon.start(ONE).expect("it is installed");
            if is_shared {
                fs::create_dir(daemon.dir.join("neighbour")).expect("made");
            }
            drop(still);
            traffic.wait_for_some();
            then(&daemon, traffic);
        });
        assert!(!is_shared || daemon.dir.join("neighbour").exists());
        assert_eq!(truth::names(&daemon.dir).iter().filter(|name| name.ends_with("@again")).count(), 0);
    }
}

/// One that is only exchanged, and nothing counts.
fn quietly(keep: usize, then: impl Fn(&Daemon)) {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
    let daemon = Daemon { keep, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
    daemon.start(ONE).expect("it is installed");
    then(&daemon);
}

/// The release is live and whole, with every count.
fn is_whole(daemon: &Daemon, release: Release, traffic: &Traffic) {
    traffic.wait_for_some();
    let problems = truth::problems(daemon, release, *traffic.hold());
    assert!(problems.is_empty(), "{release:?}:\n{}", problems.join("\n"));
}

#[test]
fn roll_backs_lead_further_back_and_at_the_end_to_the_next_newer_with_every_count() {
    in_each_way(3, |daemon, traffic| {
        for release in [TWO, ONE, TWO] {
            daemon.start(release).expect("it is upgraded");
            traffic.wait_for_some();
        }
        assert_eq!(numbers(daemon), (4, vec![3, 2, 1]));
        let steps = [(ONE, 3, [4, 2, 1]), (TWO, 2, [4, 3, 1]), (ONE, 1, [4, 3, 2])];
        // Then the last one is undone, and so on.
        let steps = steps.into_iter().chain([(TWO, 2, [4, 3, 1]), (ONE, 1, [4, 3, 2])]);
        for (release, live, kept) in steps {
            let report = roll_back(&daemon.dir).expect("back");
            assert!(report.links.iter().all(|link| link.what != "gone"), "{report}");
            assert_eq!(report.way_back.and_then(|way| way.generation), Some(live));
            assert_eq!(numbers(daemon), (live, kept.to_vec()));
            is_whole(daemon, release, traffic);
        }
        let reports = Rollback::new(&daemon.dir).run_to(4).expect("forth");
        let way: Vec<_> =
            reports.iter().map(|report| report.way_back.as_ref().and_then(|way| way.generation)).collect();
        assert_eq!(way, [Some(2), Some(3), Some(4)]);
        assert_eq!(numbers(daemon), (4, vec![3, 2, 1]));
        is_whole(daemon, TWO, traffic);
    });
}

#[test]
fn a_restart_after_a_roll_back_leaves_what_is_kept_on_both_sides() {
    in_each_way(2, |daemon, traffic| {
        daemon.start(TWO).expect("it is upgraded");
        daemon.start(ONE).expect("it is upgraded");
        roll_back(&daemon.dir).expect("back");
        let plan = daemon.options(TWO).begin().expect("begun").plan().clone();
        assert!(plan.leaves_kept, "{plan}");
        daemon.start(TWO).expect("it is started again");
        assert_eq!(numbers(daemon), (4, vec![3, 1]));
        roll_back(&daemon.dir).expect("back");
        is_whole(daemon, ONE, traffic);
        assert_eq!(numbers(daemon), (1, vec![3, 4]));
        let plan = daemon.options(ONE).begin().expect("begun").plan().clone();
        assert!(plan.leaves_kept, "{plan}");
        daemon.start(ONE).expect("it is started again");
        assert_eq!(numbers(daemon), (5, vec![3, 4]));
        roll_back(&daemon.dir).expect("forth");
        is_whole(daemon, TWO, traffic);
        assert_eq!(numbers(daemon), (4, vec![3, 5]));
    });
}

#[test]
fn an_upgrade_after_a_roll_back_gives_up_what_that_had_left() {
    quietly(3, |daemon| {
        for release in [TWO, ONE, TWO] {
            daemon.start(release).expect("it is upgraded");
        }
        for _ in 0..2 {
            roll_back(&daemon.dir).expect("back");
        }
        assert_eq!(numbers(daemon), (2, vec![4, 3, 1]));
        let upgrade = daemon.options(ONE).begin().expect("begun");
        assert_eq!(
            upgrade.plan().kept_then(3).to_string(),
            "generation 1 stays kept behind it; generations 4 and 3 go"
        );
        drop(upgrade);
        daemon.start(ONE).expect("it is upgraded");
        assert_eq!(numbers(daemon), (5, vec![2, 1]));
        // One that is asked to keep less keeps less.
        let daemon = Daemon { keep: 1, ..daemon.clone() };
        daemon.start(TWO).expect("it is upgraded");
        assert_eq!(numbers(&daemon), (6, vec![5]));
    });
}

/// As an upgrade leaves it that is killed before its last step.
#[test]
fn what_an_upgrade_had_kept_before_it_was_killed_stays_kept() {
    for keep in [1, 2] {
        quietly(keep, |daemon| {
            daemon.start(TWO).expect("it is upgraded");
            daemon.start(ONE).expect("it is upgraded");
            let (_, kept) = numbers(daemon);
            bpffs::write_record(&daemon.dir.join("commit@record"), &format!("upgrade exchange {keep}"))
                .expect("a new name");
            daemon.start(ONE).expect("it is completed, and started again");
            assert_eq!(numbers(daemon), (4, kept));
        });
    }
}

#[test]
fn where_each_kept_generation_leads_to_is_told() {
    quietly(2, |daemon| {
        daemon.start(TWO).expect("it is upgraded");
        daemon.start(ONE).expect("it is upgraded");
        let told = || -> Vec<_> {
            let found = generations(&daemon.dir).expect("it can be looked at");
            let of = found
                .kept
                .iter()
                .map(|kept| (kept.way_back.generation, kept.is_newer, kept.is_next, kept.way_back.is_same_layout()));
            of.collect()
        };
        assert_eq!(told(), [(Some(2), false, true, false), (Some(1), false, false, true)]);
        roll_back(&daemon.dir).expect("back");
        assert_eq!(told(), [(Some(3), true, false, false), (Some(1), false, true, false)]);
        roll_back(&daemon.dir).expect("back");
        assert_eq!(told(), [(Some(3), true, false, true), (Some(2), true, true, false)]);
    });
}

#[test]
fn a_generation_that_is_not_kept_is_not_gone_to() {
    quietly(2, |daemon| {
        daemon.start(TWO).expect("it is upgraded");
        daemon.start(ONE).expect("it is upgraded");
        let error = Rollback::new(&daemon.dir).run_to(7).expect_err("there is none");
        let wanted =
            format!("no generation 7 is kept of `{0}`; see which are: maplock inspect {0}", daemon.dir.display());
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Place, wanted));
        assert_eq!(Rollback::new(&daemon.dir).run_to(3).expect("live").len(), 0);
        assert_eq!(numbers(daemon), (3, vec![2, 1]));
    });
}

#[test]
fn a_confirmation_may_leave_the_next_ones() {
    quietly(4, |daemon| {
        for release in [TWO, ONE, TWO, ONE] {
            daemon.start(release).expect("it is upgraded");
        }
        roll_back(&daemon.dir).expect("back");
        assert_eq!(numbers(daemon), (4, vec![5, 3, 2, 1]));
        assert_eq!(confirm_but(2, &daemon.dir, Duration::ZERO).expect("confirmed"), 2);
        assert_eq!(numbers(daemon), (4, vec![3, 2]));
        assert_eq!(confirm_but(2, &daemon.dir, Duration::ZERO).expect("confirmed"), 0);
        // The way back is what it was.
        roll_back(&daemon.dir).expect("back");
        roll_back(&daemon.dir).expect("back");
        assert_eq!(numbers(daemon), (2, vec![4, 3]));
        assert_eq!(truth::problems(daemon, TWO, 0), Vec::<String>::new());
        assert_eq!(confirm_but(0, &daemon.dir, Duration::ZERO).expect("confirmed"), 2);
        assert_eq!(numbers(daemon), (2, vec![]));
        assert!(truth::names(&daemon.dir).iter().all(|name| !name.contains("@transfer")));
    });
}

/// The link that the second release has no more was that of two generations.
#[test]
fn a_hook_that_vanishes_is_attached_again_however_far_back_the_way_leads() {
    in_each_way(2, |daemon, traffic| {
        let mut policies = daemon.policies();
        let counts = policies.maps.get_mut(&daemon.map("counts")).expect("it has one");
        counts.max_entries = Some(128);
        let staged = daemon.options(ONE).policies(policies).begin().expect("begun").stage().expect("staged");
        daemon.load(staged, ONE).expect("loaded").commit().expect("the same release, with a larger map");
        traffic.wait_for_some();
        daemon.start(TWO).expect("it is upgraded");
        assert_eq!(numbers(daemon), (3, vec![2, 1]));
        for live in [2, 1] {
            roll_back(&daemon.dir).expect("back");
            assert_eq!(number(&daemon.dir), live);
        }
        is_whole(daemon, ONE, traffic);
    });
}

#[test]
fn a_pin_that_is_missing_on_the_way_is_told_with_the_command_that_goes_without_it() {
    quietly(2, |daemon| {
        daemon.start(TWO).expect("it is upgraded");
        daemon.start(ONE).expect("it is upgraded");
        let (oldest, map) = (truth::kept(&daemon.dir)[1].clone(), daemon.map("old"));
        fs::remove_file(oldest.join(&map)).expect("removed");
        let error = Rollback::new(&daemon.dir).run_to(1).expect_err("it lacks a pin").to_string();
        let command = format!("maplock rollback {} --to 1 --without {map}", daemon.dir.display());
        assert!(error.contains(&command) && error.ends_with("; the steps to generation 2 are done"), "{error}");
        assert_eq!(numbers(daemon), (2, vec![3, 1]));
        Rollback::new(&daemon.dir).without(&map).run_to(1).expect("without it");
        assert_eq!(numbers(daemon), (1, vec![3, 2]));
    });
}
