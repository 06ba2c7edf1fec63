//! An error that comes at each start after a crash: a way leads out of it, and what that costs is said.
#![cfg(target_arch = "x86_64")]

use std::fs;

use maplock::layout::map::MapType;
use maplock::plan::{Doubt, Inexact};
use maplock::{Recovered, Recovery, WayOut};
use maplock_tests::generations::{Daemon, Release, roll_back};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::shapes::settles_exactly;
use maplock_tests::trace::{self, Call, Ended, Fate};
use maplock_tests::traffic::Traffic;
use maplock_tests::truth::{self, Pins, beside};
use nix::errno::Errno;
use nix::libc;

const BPF_PROG_TEST_RUN: u64 = 10;
const BPF_LINK_UPDATE: u64 = 29;

/// True where a program of ours runs.
fn runs_a_program(call: &Call) -> bool {
    call.is_iteration || call.is_bpf() && call.first == BPF_PROG_TEST_RUN
}

/// True where two directories are exchanged.
fn exchanges(call: &Call) -> bool {
    call.number == libc::SYS_renameat2 && call.fifth == u64::from(libc::RENAME_EXCHANGE)
}

/// A start, or what else a daemon does; from its switch on, such calls are made so often, and then it is killed or they fail.
fn start_until(daemon: &Daemon, what: &str, is_the_call: fn(&Call) -> bool, mut made: usize, fate: Fate) -> Ended {
    let mut is_switched = false;
    trace::run(daemon.command(env!("CARGO_BIN_EXE_generation"), what).arg("traced"), |call| {
        if is_switched && is_the_call(&call) {
            if made == 0 {
                return fate;
            }
            made -= 1;
        }
        is_switched |= call.number == libc::SYS_membarrier;
        Fate::Made
    })
}

/// The same, where all of its programs fail, or it is killed where the first would run.
fn start(daemon: &Daemon, what: &str, fate: Fate) -> Ended {
    start_until(daemon, what, runs_a_program, 0, fate)
}

/// The first release runs under traffic, and the second was killed after its switch. `then` gets what was pinned before, and how many sockets
/// were counted.
fn killed_in_the_window(then: impl FnOnce(&Daemon, &Pins, u64)) {
    ended_in_the_window(false, runs_a_program, Fate::Killed, then);
}

/// The same, of an upgrade that has a conversion by hand or none, and that ends at another call.
fn ended_in_the_window(
    by_hand: bool,
    is_the_call: fn(&Call) -> bool,
    fate: Fate,
    then: impl FnOnce(&Daemon, &Pins, u64),
) {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
    Traffic::drive(&cgroup, |traffic| {
        let daemon = Daemon { by_hand, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
        let still = traffic.hold();
        daemon.start(Release::One).expect("it is installed");
        let before = *still;
        drop(still);
        traffic.wait_for_some();
        // Nobody writes meanwhile, so that what system calls do is right too.
        let still = traffic.hold();
        trace::wait_for_starts();
        let live = Pins::read(&daemon.dir);
        let ended = start_until(&daemon, "two", is_the_call, 0, fate);
        assert_ne!(ended.code, Some(0), "{}", ended.stderr);
        then(&daemon, &live, *still - before);
    });
}

/// Without its snapshot, a map can't be settled in either direction.
fn forget_what_was_copied(daemon: &Daemon) -> String {
    let counts = daemon.map("counts");
    fs::remove_file(beside(&daemon.dir, "next").join(format!("{counts}@base"))).expect("its snapshot");
    counts
}

#[test]
fn what_programs_fail_to_settle_at_each_start_system_calls_settle() {
    killed_in_the_window(|daemon, _, sockets| {
        let ended = start(daemon, "two", Fate::Fails(Errno::EIO));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(truth::problems(daemon, Release::Two, sockets), Vec::<String>::new());
    });
}

#[test]
fn a_roll_back_that_programs_fail_to_settle_at_each_call_is_completed_by_system_calls() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
    Traffic::drive(&cgroup, |traffic| {
        let daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
        let still = traffic.hold();
        let before = *still;
        for release in [Release::One, Release::Two] {
            daemon.start(release).expect("it is installed");
        }
        drop(still);
        traffic.wait_for_some();
        let still = traffic.hold();
        trace::wait_for_starts();
        assert_eq!(start(&daemon, "rollback", Fate::Killed).code, None);
        let ended = start(&daemon, "rollback", Fate::Fails(Errno::EIO));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(truth::problems(&daemon, Release::One, *still - before), Vec::<String>::new());
    });
}

/// A moment of an upgrade, and the system call that it ends with.
type Moment<'a> = (&'a str, &'a dyn Fn(&Call) -> bool);

/// What the call that was killed had counted as overwritten is not known any more, wherever it was killed.
#[test]
fn a_start_that_completes_what_was_killed_names_what_may_have_been_overwritten() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let is_link = |call: &Call| call.is_bpf() && call.first == BPF_LINK_UPDATE;
    let is_settled = |call: &Call| [libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2].contains(&call.number);
    let is_over = |call: &Call| [libc::SYS_unlink, libc::SYS_unlinkat].contains(&call.number);
    let at: [Moment<'_>; 3] = [("switching", &is_link), ("settled", &is_settled), ("over", &is_over)];
    let scenes = at.into_iter().flat_map(|at| [(false, at), (true, at)]);
    for (each_pin, (what, is_the_call)) in scenes.step_by(kernel::times(1, 3) as usize) {
        let daemon = Daemon { each_pin, ..Daemon::new(bpffs.path().join(format!("{what}{each_pin}")), &cgroup) };
        daemon.start(Release::One).expect("it is installed");
        let mut is_switched = false;
        let ended = trace::run(daemon.command(env!("CARGO_BIN_EXE_generation"), "two").arg("traced"), |call| {
            is_switched |= is_link(&call);
            if is_switched && is_the_call(&call) { Fate::Killed } else { Fate::Made }
        });
        assert_eq!(ended.code, None, "{what}: {}", ended.stderr);
        let upgrade = daemon.options(Release::Two).begin().expect("it begins");
        assert_eq!(upgrade.recovered(), Recovered::Completed, "{what}");
        let named: Vec<_> = upgrade.left_behind().iter().map(|lost| (lost.map.clone(), lost.maybe)).collect();
        // Nothing is overwritten of what is added up.
        let expected: Vec<_> = ["state", "wide"].map(|name| (daemon.map(name), true)).into();
        let slots = daemon.map("slots");
        let is_doubted = |(map, _): &&(String, bool)| *map != slots || settles_exactly(MapType::ARRAY, false);
        assert!(named.iter().filter(is_doubted).eq(&expected), "{what}, {each_pin}: {named:?}");
        drop(upgrade);
        assert!(daemon.start(Release::Two).expect("it starts").left_behind.is_empty(), "it is said once");
    }
}

#[test]
fn what_was_completed_by_system_calls_is_not_called_certain() {
    killed_in_the_window(|daemon, _, _| {
        let report = Recovery::new(&daemon.dir, WayOut::ByCalls).run().expect("completed");
        assert!(report.resumed && !report.taken_back, "{report:?}");
        let counts = daemon.map("counts");
        let lost = report.left_behind.iter().find(|lost| lost.map == counts).expect("it is told");
        assert!(lost.maybe, "{lost:?}");
        let map = report.maps.iter().find(|map| map.map == counts).expect("it was settled");
        assert!(!map.exact && map.doubts.contains(&Doubt::Settling(Inexact::Asked)), "{map:?}");
        assert!(report.maps.iter().all(|map| !map.exact), "nobody knows what became of them before: {report:?}");
        let sentence = format!("some of what programs wrote to `{counts}` around the switch may be lost");
        assert!(report.to_string().contains(&sentence), "{report}");
        // What it runs is the second release: the way back leads to the first.
        roll_back(&daemon.dir).expect("back");
        assert!(daemon.dir.join(daemon.map(Release::One.own())).exists());
    });
}

#[test]
fn what_nothing_settles_fails_at_each_start_and_is_discarded_where_somebody_says_so() {
    killed_in_the_window(|daemon, live, _| {
        let counts = forget_what_was_copied(daemon);
        let advice = format!("give up what can't be carried over: maplock recover {} --discard", daemon.dir.display());
        for release in [Release::Two, Release::One, Release::Two] {
            let error = daemon.start(release).expect_err("nothing tells what changed").to_string();
            assert!(error.contains(&counts) && error.contains(&advice), "{error}");
        }
        let error = roll_back(&daemon.dir).expect_err("it is not in order").to_string();
        assert!(error.contains(&advice), "{error}");
        // System calls know no more.
        let error = Recovery::new(&daemon.dir, WayOut::ByCalls).run().expect_err("nothing tells what changed");
        assert!(error.to_string().contains(&counts), "{error}");

        let report = Recovery::new(&daemon.dir, WayOut::Discard).run().expect("discarded");
        assert!(report.taken_back && !report.resumed, "{report:?}");
        let sentence = format!("what the newer programs wrote to `{counts}` is lost; nothing tells how much");
        assert!(report.to_string().contains(&sentence), "{report}");
        assert!(!beside(&daemon.dir, "next").exists());
        let now = Pins::read(&daemon.dir);
        assert!(now == *live, "{}", now.difference(live));

        let upgrade = daemon.options(Release::Two).begin().expect("it begins");
        assert_eq!((upgrade.recovered(), upgrade.left_behind()), (Recovered::Nothing, &[][..]));
        drop(upgrade);
        daemon.start(Release::Two).expect("an upgrade like any other");
    });
}

#[test]
fn where_nothing_ended_at_its_commit_nothing_is_given_up() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
    for release in [Release::One, Release::Two] {
        daemon.start(release).expect("it is installed");
    }
    let before = (Pins::read(&daemon.dir), Pins::read(&beside(&daemon.dir, "prev")));
    for way_out in [WayOut::Discard, WayOut::ByCalls] {
        let report = Recovery::new(&daemon.dir, way_out).run().expect("nothing to do");
        assert!(!report.taken_back && !report.resumed && report.left_behind.is_empty(), "{report:?}");
        assert_eq!((Pins::read(&daemon.dir), Pins::read(&beside(&daemon.dir, "prev"))), before);
    }
}

/// The command that an error names.
fn advice(daemon: &Daemon) -> String {
    format!("maplock recover {} --discard", daemon.dir.display())
}

/// A program of the settling never returns: who waits for it is killed, each time at a later one.
#[test]
fn where_each_start_is_killed_at_a_program_system_calls_complete_it_under_the_same_error() {
    for fate in [Fate::Killed, Fate::Fails(Errno::EIO)] {
        killed_in_the_window(|daemon, _, sockets| {
            for (made, what) in ["two", "one", "rollback", "confirm"].into_iter().enumerate() {
                let ended = start_until(daemon, what, runs_a_program, made, Fate::Killed);
                assert_eq!(ended.code, None, "{what}: {}", ended.stderr);
            }
            let ended = start(daemon, "by-calls", fate);
            assert_eq!(ended.code, Some(0), "{fate:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("taken back: false, completed: true\n"), "{}", ended.stderr);
            let counts = daemon.map("counts");
            let cost = format!(
                "of an upgrade that had not ended: some of what programs wrote to `{counts}` around the switch may be lost\n"
            );
            assert!(ended.stderr.contains(&cost), "{}", ended.stderr);
            // May be: nobody wrote at that very moment, and nothing was counted twice.
            assert_eq!(truth::problems(daemon, Release::Two, sockets), Vec::<String>::new(), "{fate:?}");
        });
    }
}

#[test]
fn where_only_its_daemon_has_the_code_system_calls_take_it_back_under_the_same_error() {
    ended_in_the_window(true, runs_a_program, Fate::Killed, |daemon, live, sockets| {
        for (made, what) in ["one", "rollback"].into_iter().enumerate() {
            // A daemon of the first release does not have it.
            let older = Daemon { by_hand: false, ..daemon.clone() };
            let ended = start_until(&older, what, runs_a_program, made, Fate::Killed);
            assert_eq!(ended.code, None, "{what}: {}", ended.stderr);
        }
        let ended = start(daemon, "by-calls", Fate::Killed);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("taken back: true, completed: false\n"), "{}", ended.stderr);
        let wide = daemon.map("wide");
        let cost = format!(
            "of an upgrade that had not ended: what the newer programs wrote to `{wide}` is lost; nothing tells how much\n"
        );
        assert!(ended.stderr.contains(&cost), "{}", ended.stderr);
        let now = Pins::read(&daemon.dir);
        assert!(now == *live, "{}", now.difference(live));
        assert_eq!(truth::problems(daemon, Release::One, sockets), Vec::<String>::new());
    });
}

#[test]
fn who_can_only_take_it_back_and_fails_each_time_is_told_the_way_out() {
    ended_in_the_window(true, runs_a_program, Fate::Killed, |daemon, live, _| {
        let counts = forget_what_was_copied(daemon);
        let older = Daemon { by_hand: false, ..daemon.clone() };
        for _ in 0..2 {
            let error = older.start(Release::One).expect_err("nothing tells what changed").to_string();
            assert!(error.contains(&counts) && error.ends_with(&advice(daemon)), "{error}");
            let error = roll_back(&daemon.dir).expect_err("it is not in order").to_string();
            assert!(error.contains(&counts) && error.ends_with(&advice(daemon)), "{error}");
        }
        let error = Recovery::new(&daemon.dir, WayOut::ByCalls).run().expect_err("system calls know no more");
        assert!(error.to_string().ends_with(&advice(daemon)), "{error}");
        assert!(Recovery::new(&daemon.dir, WayOut::Discard).run().expect("discarded").taken_back);
        let now = Pins::read(&daemon.dir);
        assert!(now == *live, "{}", now.difference(live));
        older.start(Release::One).expect("it starts");
    });
}

#[test]
fn where_each_exchange_fails_the_way_out_is_named_and_leads_out_under_the_same_error() {
    if !kernel::available() || !kernel::exchanges_directories() {
        return;
    }
    let busy = Fate::Fails(Errno::EBUSY);
    ended_in_the_window(false, exchanges, busy, |daemon, live, _| {
        for what in ["two", "one", "rollback", "confirm", "by-calls"] {
            let ended = start_until(daemon, what, exchanges, 0, busy);
            assert_eq!(ended.code, Some(1), "{what}: {}", ended.stderr);
            let said = "the programs of the upgrade run already, and the next start completes it; if that fails too, go back, ";
            assert!(
                ended.stderr.contains(said) && ended.stderr.trim_end().ends_with(&advice(daemon)),
                "{}",
                ended.stderr
            );
        }
        let ended = start_until(daemon, "discard", exchanges, 0, busy);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("taken back: true, completed: false\n"), "{}", ended.stderr);
        let lost =
            format!("what the newer programs wrote to `{}` is lost; nothing tells how much\n", daemon.map("counts"));
        assert!(ended.stderr.contains(&lost), "{}", ended.stderr);
        let now = Pins::read(&daemon.dir);
        assert!(now == *live, "{}", now.difference(live));
    });
}

#[test]
fn an_exchange_that_failed_only_for_a_while_costs_nothing() {
    if !kernel::available() || !kernel::exchanges_directories() {
        return;
    }
    let busy = Fate::Fails(Errno::EBUSY);
    ended_in_the_window(false, exchanges, busy, |daemon, _, sockets| {
        assert_eq!(start_until(daemon, "two", exchanges, 0, busy).code, Some(1));
        daemon.start(Release::Two).expect("it is completed");
        assert_eq!(truth::problems(daemon, Release::Two, sockets), Vec::<String>::new());
        // So does a roll-back of it, and a way leads out of that too.
        let live = Pins::read(&daemon.dir);
        for _ in 0..2 {
            assert_eq!(start_until(daemon, "rollback", exchanges, 0, busy).code, Some(1));
        }
        let ended = start_until(daemon, "two", exchanges, 0, busy);
        let said =
            "the programs of the roll-back run already, and the next start completes it; if that fails too, go back, ";
        assert!(ended.stderr.contains(said) && ended.stderr.trim_end().ends_with(&advice(daemon)), "{}", ended.stderr);
        let ended = start_until(daemon, "discard", exchanges, 0, busy);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let now = Pins::read(&daemon.dir);
        assert!(now == live, "{}", now.difference(&live));
        roll_back(&daemon.dir).expect("back");
    });
}

/// The start of another release is not foretold before the upgrade has ended; that of the same release is, and one that takes it back.
#[test]
fn a_plan_in_the_window_says_whose_start_leads_to_what_it_is_of() {
    for by_hand in [false, true] {
        ended_in_the_window(by_hand, runs_a_program, Fate::Killed, |daemon, _, _| {
            let plan = |daemon: &Daemon, release| {
                maplock::dry_run(&daemon.spec(release), &daemon.dir, &daemon.policies()).expect("a plan")
            };
            for (release, leads_here) in [(Release::One, by_hand), (Release::Two, true)] {
                let plan = plan(daemon, release);
                let unfinished = plan.unsettled().expect("it did not end");
                assert_eq!((unfinished.next, unfinished.leads_here), (Recovered::Completed, leads_here), "{release:?}");
                let needs_code = if by_hand { vec![daemon.map("wide")] } else { Vec::new() };
                assert_eq!(unfinished.needs_code, needs_code);
                let text = plan.to_string();
                assert!(!text.contains("nothing is lost") && !text.contains("every entry is kept;"), "{text}");
                assert!(plan.way_back.is_none());
            }
            let older = Daemon { by_hand: false, ..daemon.clone() };
            older.start(Release::One).expect("it starts");
            assert_eq!(plan(&older, Release::One).unfinished, None);
        });
    }
}
