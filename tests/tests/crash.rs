//! Killed at every system call: whatever an upgrade had done until then, the next start makes one whole generation of it, and no
//! count, entry, link or pin is lost or left over.
//!
//! What varies an upgrade, a restart or a roll-back is killed at every fifth call; with `MAPLOCK_EVERY_CALL=1`, which takes three
//! times as long, at every call too.
#![cfg(target_arch = "x86_64")]

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, thread};

use maplock_tests::generations::{Daemon, Release, roll_back};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::trace::{self, Call, Fate};
use maplock_tests::traffic::Traffic;
use maplock_tests::{toolchain, truth};
use nix::errno::Errno;
use nix::libc;

const BPF_PROG_TEST_RUN: u64 = 10;

/// What is killed, and what was there before.
#[derive(Debug, Clone, Copy)]
struct Scene {
    /// The releases that were started before, one after the other.
    before: &'static [Release],
    /// What is started and killed: a release, or the roll-back.
    killed: &'static str,
    each_pin: bool,
    /// Somebody else has something in the directory, so that the pins are renamed one by one whoever asks.
    is_shared: bool,
    /// A map can't be settled, and it is killed as it goes back.
    is_undone: bool,
    /// It is killed after the switch only, and called again at every point, where else a release may be started.
    is_called_again: bool,
    /// A release that is started between the kill and the second call.
    between: Option<Release>,
    /// A map is converted by code, which the second release alone has.
    by_hand: bool,
    /// So many generations are kept. Where there are several, each one further back must be whole in the end, and so must be the way from the
    /// oldest to the next.
    keep: usize,
    /// So often it is rolled back before.
    rolled_back: usize,
}

impl Scene {
    /// The release that runs before.
    fn live(&self) -> Option<Release> {
        let last = *self.before.last()?;
        Some(if self.rolled_back.is_multiple_of(2) { last } else { last.other() })
    }

    /// From one call that it is killed at to the next, of those that may leave something. [`killed_at`] goes on by the call's number
    /// modulo 3 and 4, with which 5 has no factor in common.
    fn stride(&self) -> usize {
        let is_varied = self.keep > 1 || self.each_pin || self.is_shared || self.by_hand || self.is_called_again;
        let stride = if is_varied && env::var_os("MAPLOCK_EVERY_CALL").is_none() { 5 } else { 1 };
        kernel::times(stride, 29) as usize
    }
}

/// How a scene is brought to an end after the kill.
const ENDS: [Release; 2] = [Release::Two, Release::One];

/// Kills what the scene says at its first call that may leave something, then at the next, until it comes to its end. Returns
/// how often it was killed.
fn killed_everywhere(scene: Scene) -> usize {
    let next = AtomicUsize::new(0);
    let (kills, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
                Traffic::drive(&cgroup, |traffic| {
                    loop {
                        let point = next.fetch_add(scene.stride(), Ordering::Relaxed);
                        let mut daemon = Daemon::new(bpffs.path().join(format!("case{point}")), &cgroup);
                        (daemon.each_pin, daemon.by_hand, daemon.keep) = (scene.each_pin, scene.by_hand, scene.keep);
                        let (at, problems) = killed_at(scene, point, &daemon, traffic);
                        if !problems.is_empty() {
                            wrong
                                .lock()
                                .expect("no panic")
                                .push(format!("{point}, {at:?}: {}", problems.join("\n    ")));
                        }
                        if at.is_none() {
                            break;
                        }
                        kills.fetch_add(1, Ordering::Relaxed);
                    }
                });
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    let kills = kills.into_inner();
    assert!(
        wrong.is_empty(),
        "{} of {kills} kills in {scene:?}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(9)].join("\n")
    );
    println!("{kills} kills: {scene:?}");
    kills
}

/// Kills at one call, brings it to an end, and says what is wrong then. Without a call where it was not killed.
fn killed_at(scene: Scene, point: usize, daemon: &Daemon, traffic: &Traffic) -> (Option<Call>, Vec<String>) {
    let still = traffic.hold();
    for release in scene.before {
        daemon.start(*release).unwrap_or_else(|error| panic!("{release:?}: {error}"));
    }
    for _ in 0..scene.rolled_back {
        roll_back(&daemon.dir).unwrap_or_else(|error| panic!("{error}"));
    }
    let neighbour = daemon.dir.join("neighbour");
    if scene.is_shared {
        fs::create_dir(&neighbour).expect("a directory in it");
    }
    let before = *still;
    // What is installed for the first time counts from its commit on.
    let is_first = scene.before.is_empty();
    let still = is_first.then_some(still);
    if !is_first {
        traffic.wait_for_some();
    }
    let mut command = daemon.command(env!("CARGO_BIN_EXE_generation"), scene.killed);
    let mut passed = 0;
    let mut killed = None;
    let (mut is_switched, mut is_failed) = (false, !scene.is_undone);
    let ended = trace::run(command.arg("traced"), |call| {
        if !is_failed {
            is_switched |= call.number == libc::SYS_membarrier;
            // The first array, after a hash: some counts were moved already.
            is_failed = is_switched && call.is_bpf() && call.first == BPF_PROG_TEST_RUN;
            return if is_failed { Fate::Fails(Errno::ENOMEM) } else { Fate::Made };
        }
        is_switched |= call.number == libc::SYS_membarrier;
        if !call.leaves_something() || scene.is_called_again && !is_switched {
            return Fate::Made;
        }
        passed += 1;
        if passed <= point {
            return Fate::Made;
        }
        killed = Some(call);
        Fate::Killed
    });
    let mut problems = Vec::new();
    if killed.is_none() && (ended.code != Some(0)) != scene.is_undone {
        problems.push(format!("not killed, and ended with {ended:?}"));
    }
    if !is_first {
        traffic.wait_for_some();
    }
    // The same release again, or the other one; or the same roll-back.
    let live = scene.live();
    let end = live.filter(|_| scene.killed == "confirm").unwrap_or(ENDS[point / 2 % 2]);
    let mut is_loss_told = false;
    let again = match scene.killed {
        "rollback" if (scene.is_called_again || point.is_multiple_of(3)) && killed.is_some() => {
            // One that had come to its end is rolled back in its turn.
            let names = truth::names(&daemon.dir);
            let has_record = names.iter().any(|name| name.ends_with("@record"));
            let is_unfinished = has_record || truth::beside(&daemon.dir, "next").exists();
            // Each generation is of another release than its neighbours.
            let from = live.expect("something to roll back");
            let is_over = !is_unfinished && names.contains(&daemon.map(from.other().own()));
            let started = scene.between.map(|release| daemon.start(release)).transpose();
            if let Err(error) = started {
                problems.push(format!("the start of {:?} says: {error}", scene.between));
            }
            // From the second release, which has upgraded again, the way back leads to the first in any case.
            let end = if is_over && scene.between != Some(from) { from } else { from.other() };
            let report = roll_back(&daemon.dir);
            // What the first call had lost is not known any more.
            if let Ok(report) = &report
                && report.resumed
                && report.maps.iter().any(|map| map.exact)
            {
                problems.push(format!("the second call says that it knows what the first one did: {report}"));
            }
            report.map(|_| end).map_err(|error| error.to_string())
        }
        _ => daemon.start(end).map_err(|error| error.to_string()).map(|report| {
            let wide = report.maps.iter().find(|map| map.map == daemon.map("wide"));
            let is_wide = |lost: &maplock::LeftBehind| lost.map == daemon.map("wide");
            is_loss_told = report.left_behind.iter().any(is_wide) || wide.is_some_and(|map| map.lost != Some(0));
            end
        }),
    };
    drop(still);
    traffic.wait_for_some();
    // A restart leaves the generation before the one that it restarts.
    let is_restart = live.is_some_and(|live| scene.killed == word(live));
    let again = match again {
        Ok(release) if is_restart && live == Some(release) => {
            roll_back(&daemon.dir).map(|_| release.other()).map_err(|error| error.to_string())
        }
        again => again,
    };
    let now = traffic.hold();
    match again {
        Err(error) => problems.push(format!("the next start ({end:?}) says: {error}")),
        Ok(release) => {
            problems.extend(truth::problems(daemon, release, *now - before));
            if scene.by_hand && release == ONE && truth::counted_narrow(daemon) != *now - before && !is_loss_told {
                problems.push("what was not converted back is lost, and nothing says so".to_owned());
            }
            drop(now);
            let kept = truth::kept(&daemon.dir).len();
            // From the oldest one, an upgrade gives up all others.
            let may_be_oldest = scene.killed == "rollback" && scene.rolled_back > 0;
            let is_told = scene.killed != "confirm" && !scene.before.is_empty();
            if is_told && kept != scene.keep && !(may_be_oldest && kept == 1) {
                problems.push(format!("{kept} generations are kept"));
            }
            if scene.keep > 1 {
                problems.extend(walk(scene, daemon, traffic, (release, before)));
            }
        }
    }
    if scene.is_shared && !neighbour.exists() {
        problems.push("what somebody else had there is gone".to_owned());
    }
    problems.extend(truth::cleared(daemon));
    (killed, problems)
}

/// Rolls back to the oldest generation, and from there to the next, and says what is wrong on the way.
fn walk(scene: Scene, daemon: &Daemon, traffic: &Traffic, (mut release, before): (Release, u64)) -> Vec<String> {
    let mut problems = Vec::new();
    let (kept, older) = (truth::kept(&daemon.dir).len(), truth::older(&daemon.dir));
    let steps = if kept == 0 { 0 } else { older + 1 };
    for step in 0..steps {
        let back = match roll_back(&daemon.dir) {
            // A start had completed the one that was killed.
            Ok(report) if report.resumed => roll_back(&daemon.dir),
            back => back,
        };
        if let Err(error) = back {
            problems.push(format!("step {step} back from {release:?} says: {error}"));
            break;
        }
        // Each generation is of another release than its neighbours, but for one that was started again after all others were removed.
        let is_first = truth::names(&daemon.dir).contains(&daemon.map(ONE.own()));
        let now = if is_first { ONE } else { TWO };
        if scene.killed != "confirm" && now == release {
            problems.push(format!("step {step} back from {release:?} leads to the same"));
        }
        release = now;
        traffic.wait_for_some();
        let now = traffic.hold();
        let wrong = truth::problems(daemon, release, *now - before).into_iter();
        problems.extend(wrong.map(|problem| format!("{release:?} after step {step} back: {problem}")));
    }
    problems
}

/// The word that starts a release.
fn word(release: Release) -> &'static str {
    if release == ONE { "one" } else { "two" }
}

/// Says that the test is skipped, or runs the scene: it must have been killed at least so often.
fn run(scene: Scene, at_least: usize) {
    if !kernel::available() {
        return;
    }
    let kills = killed_everywhere(scene);
    assert!(kills >= at_least / scene.stride(), "killed {kills} times only");
}

const ONE: Release = Release::One;
const TWO: Release = Release::Two;

/// The second release is started where the first runs.
const UPGRADE: Scene = Scene {
    before: &[ONE],
    killed: "two",
    each_pin: false,
    is_shared: false,
    is_undone: false,
    is_called_again: false,
    between: None,
    by_hand: false,
    keep: 1,
    rolled_back: 0,
};

/// The second release is started again where it runs, and the first is kept.
const RESTART: Scene = Scene { before: &[ONE, TWO], ..UPGRADE };

/// The first release is returned to.
const ROLL_BACK: Scene = Scene { before: &[ONE, TWO], killed: "rollback", ..UPGRADE };

/// Two generations are kept, and a third one comes to it.
const THIRD: Scene = Scene { before: &[ONE, TWO, ONE], keep: 2, ..UPGRADE };

/// The first of two kept generations is returned to.
const ONE_BACK: Scene = Scene { killed: "rollback", ..THIRD };

/// The second one.
const TWO_BACK: Scene = Scene { rolled_back: 1, ..ONE_BACK };

/// From there the first one again.
const FORTH: Scene = Scene { rolled_back: 2, ..ONE_BACK };

#[test]
fn an_upgrade_that_keeps_two_generations_killed_at_any_system_call_converges() {
    run(THIRD, 100);
}

#[test]
fn an_upgrade_pin_by_pin_that_keeps_two_generations_killed_at_any_system_call_converges() {
    run(Scene { each_pin: true, ..THIRD }, 100);
}

#[test]
fn an_upgrade_after_a_roll_back_killed_at_any_system_call_gives_up_what_that_had_left() {
    // The live generation and the oldest one are kept then, and the newest goes.
    run(Scene { killed: "one", ..TWO_BACK }, 100);
}

#[test]
fn a_restart_beside_two_kept_generations_killed_at_any_system_call_leaves_both() {
    run(Scene { killed: "one", ..THIRD }, 50);
}

#[test]
fn a_roll_back_from_a_third_generation_killed_at_any_system_call_converges() {
    run(ONE_BACK, 50);
}

#[test]
fn a_roll_back_two_generations_back_killed_at_any_system_call_converges() {
    run(TWO_BACK, 50);
}

#[test]
fn a_roll_back_two_generations_back_pin_by_pin_killed_at_any_system_call_converges() {
    run(Scene { is_shared: true, ..TWO_BACK }, 50);
}

#[test]
fn a_roll_back_two_generations_back_killed_and_called_again_ends_where_one_ends() {
    run(Scene { is_called_again: true, ..TWO_BACK }, 20);
}

#[test]
fn a_roll_back_that_undoes_another_killed_at_any_system_call_converges() {
    run(FORTH, 50);
}

#[test]
fn a_roll_back_pin_by_pin_that_undoes_another_killed_at_any_system_call_converges() {
    run(Scene { is_shared: true, ..FORTH }, 50);
}

#[test]
fn a_confirmation_of_three_generations_killed_at_any_system_call_converges() {
    run(Scene { killed: "confirm", ..THIRD }, 20);
}

#[test]
fn an_upgrade_killed_at_every_system_call_converges() {
    run(UPGRADE, 100);
}

#[test]
fn an_upgrade_pin_by_pin_killed_at_any_system_call_converges() {
    run(Scene { each_pin: true, ..UPGRADE }, 100);
}

#[test]
fn an_upgrade_in_a_shared_directory_killed_at_any_system_call_converges() {
    run(Scene { is_shared: true, ..UPGRADE }, 100);
}

#[test]
fn a_restart_killed_at_every_system_call_leaves_the_way_back() {
    run(RESTART, 50);
}

#[test]
fn a_restart_pin_by_pin_killed_at_any_system_call_leaves_the_way_back() {
    run(Scene { each_pin: true, ..RESTART }, 50);
}

#[test]
fn a_restart_in_a_shared_directory_killed_at_any_system_call_leaves_the_way_back() {
    run(Scene { is_shared: true, ..RESTART }, 50);
}

/// A start of the older release has no such code: it takes the upgrade back, and says what is lost by that.
#[test]
fn an_upgrade_that_converts_by_hand_killed_at_any_system_call_converges() {
    run(Scene { by_hand: true, ..UPGRADE }, 100);
}

#[test]
fn an_upgrade_pin_by_pin_that_converts_by_hand_killed_at_any_system_call_converges() {
    run(Scene { by_hand: true, each_pin: true, ..UPGRADE }, 100);
}

/// The daemon of the older release starts before the second call, completes the roll-back, and starts again on its maps.
#[test]
fn a_roll_back_that_a_start_completed_ends_where_one_roll_back_ends() {
    run(Scene { is_called_again: true, between: Some(ONE), ..ROLL_BACK }, 20);
}

#[test]
fn a_roll_back_pin_by_pin_that_a_start_completed_ends_where_one_roll_back_ends() {
    run(Scene { is_called_again: true, is_shared: true, between: Some(ONE), ..ROLL_BACK }, 20);
}

#[test]
fn a_roll_back_that_a_newer_start_undid_leads_to_the_older_release_again() {
    run(Scene { is_called_again: true, between: Some(TWO), ..ROLL_BACK }, 20);
}

#[test]
fn a_roll_back_pin_by_pin_killed_at_any_system_call_converges() {
    run(Scene { is_shared: true, ..ROLL_BACK }, 50);
}

#[test]
fn a_roll_back_killed_at_every_system_call_converges() {
    run(ROLL_BACK, 50);
}

/// Where all was done but the removal of what is needed no more, the second call must not go back to where the first came from.
#[test]
fn a_roll_back_killed_and_called_again_ends_where_one_roll_back_ends() {
    run(Scene { is_called_again: true, ..ROLL_BACK }, 20);
}

#[test]
fn a_roll_back_pin_by_pin_killed_and_called_again_ends_where_one_roll_back_ends() {
    run(Scene { is_called_again: true, is_shared: true, ..ROLL_BACK }, 20);
}

#[test]
fn a_downgrade_killed_at_every_system_call_converges() {
    run(Scene { killed: "one", ..ROLL_BACK }, 50);
}

#[test]
fn an_upgrade_that_goes_back_killed_at_every_system_call_converges() {
    // Without it, arrays are settled by system calls, and no program is run that could fail.
    if !kernel::has_helper("bpf_loop") {
        return toolchain::skip("bpf_loop (Linux 5.17)");
    }
    run(Scene { is_undone: true, ..UPGRADE }, 20);
}

#[test]
fn a_confirmation_killed_at_every_system_call_converges() {
    run(Scene { killed: "confirm", ..ROLL_BACK }, 10);
}

#[test]
fn a_first_install_killed_at_every_system_call_converges() {
    run(Scene { before: &[], killed: "one", ..UPGRADE }, 50);
}
