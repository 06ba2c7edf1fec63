//! An upgrade that converts by code is killed between the switch of its links and its commit: what those say and do who don't have the
//! code.
#![cfg(target_arch = "x86_64")]

use maplock::internals::inspect::generations;
use maplock::internals::meta::Meta;
use maplock::internals::sys::bpffs::Dir;
use maplock::layout::map::MapType;
use maplock::{ErrorKind, LeftBehind, Recovered, Rollback};
use maplock_tests::generations::{Daemon, Release, roll_back};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::shapes::settles_exactly;
use maplock_tests::trace::{self, Call, Fate};
use maplock_tests::truth::{Pins, beside};
use nix::libc;
use std::time::Duration;

/// The first release runs, was started twice, and the second was killed in its window.
fn killed_in_the_window(then: impl Fn(&Daemon)) {
    killed_at(false, Call::leaves_something, then);
}

/// The same, at the first such call after the switch.
fn killed_at(each_pin: bool, is_the_call: impl Fn(&Call) -> bool, then: impl Fn(&Daemon)) {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon { by_hand: true, each_pin, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
    daemon.start(Release::One).expect("it is installed");
    daemon.start(Release::One).expect("it is started again");
    let mut is_switched = false;
    let ended = trace::run(daemon.command(env!("CARGO_BIN_EXE_generation"), "two").arg("traced"), |call| {
        if is_switched && is_the_call(&call) {
            return Fate::Killed;
        }
        is_switched |= call.number == libc::SYS_membarrier;
        Fate::Made
    });
    assert_eq!(ended.code, None, "{}", ended.stderr);
    then(&daemon);
}

/// What is lost, with what may be: what is more than counts, and what the kernel that runs does not settle exactly, which a plan would say before;
/// `completed` where the conversion was too.
fn lost(daemon: &Daemon, left_behind: &[LeftBehind], completed: bool) -> Vec<String> {
    let settled = [("slots", MapType::ARRAY, false), ("state", MapType::HASH, true)];
    let settled = settled.into_iter().chain(completed.then_some(("wide", MapType::HASH, true)));
    let uncertain = settled.filter(|(_, map_type, more)| *more || !settles_exactly(*map_type, *more));
    let uncertain: Vec<_> = uncertain.map(|(name, ..)| daemon.map(name)).collect();
    let (maybe, sure): (Vec<_>, Vec<_>) = left_behind.iter().partition(|lost| lost.maybe);
    assert!(left_behind.iter().all(|lost| lost.entries.is_none()), "nothing tells how much: {left_behind:?}");
    assert_eq!(maybe.iter().map(|lost| lost.map.clone()).collect::<Vec<_>>(), uncertain);
    sure.iter().map(|lost| lost.map.clone()).collect()
}

fn generation(daemon: &Daemon) -> Option<u64> {
    Meta::read(&Dir::at(&daemon.dir)).expect("it can be read").map(|meta| meta.generation)
}

#[test]
fn a_start_of_the_older_release_takes_it_back_and_says_what_is_lost() {
    killed_in_the_window(|daemon| {
        let wide = daemon.map("wide");
        let found = generations(&daemon.dir).expect("it can be looked at");
        assert_eq!((found.next, found.needs_code), (Recovered::Completed, vec![wide.clone()]));
        let upgrade = daemon.options(Release::One).begin().expect("it begins");
        assert_eq!(upgrade.recovered(), Recovered::Discarded);
        assert_eq!(lost(daemon, upgrade.left_behind(), false), std::slice::from_ref(&wide));
        let staged = daemon.load(upgrade.stage().expect("staged"), Release::One).expect("loaded");
        let report = staged.commit().expect("committed");
        let sentence = format!("what the newer programs wrote to `{wide}` is lost; nothing tells how much");
        assert!(report.to_string().contains(&sentence), "{report}");
        let sample = format!("maplock_upgrade_left_behind_info{{map=\"{wide}\",entries=\"unknown\"}} 1\n");
        assert!(report.to_prometheus().contains(&sample), "{}", report.to_prometheus());
        assert_eq!(
            serde_json::to_value(&report).expect("plain data")["left_behind"][0]["entries"],
            serde_json::Value::Null
        );
        // The next one has nothing to tell.
        assert!(daemon.start(Release::One).expect("it starts").left_behind.is_empty());
    });
}

#[test]
fn its_own_daemon_completes_it() {
    killed_in_the_window(|daemon| {
        let upgrade = daemon.options(Release::Two).begin().expect("it begins");
        assert_eq!(upgrade.recovered(), Recovered::Completed);
        assert!(lost(daemon, upgrade.left_behind(), true).is_empty());
        assert!(daemon.dir.join(daemon.map(Release::Two.own())).exists());
    });
}

#[test]
fn a_roll_back_leads_to_what_was_live_before_it_and_no_further() {
    killed_in_the_window(|daemon| {
        let kept = Pins::read(&beside(&daemon.dir, "prev"));
        let report = roll_back(&daemon.dir).expect("it is taken back");
        assert!(report.taken_back && !report.resumed && report.way_back.is_none(), "{report:?}");
        assert_eq!(lost(daemon, &report.left_behind, false), [daemon.map("wide")]);
        assert_eq!(generation(daemon), Some(2), "the first release, as it was started again");
        let still = Pins::read(&beside(&daemon.dir, "prev"));
        assert_eq!((still.maps, still.progs), (kept.maps, kept.progs));
        // The next one goes on from there.
        let report = Rollback::new(&daemon.dir).run().expect("back");
        assert!(!report.taken_back && report.left_behind.is_empty(), "{report:?}");
        assert_eq!(generation(daemon), Some(1));
    });
}

#[test]
fn the_kept_generation_is_still_there_where_the_pins_were_about_to_be_moved_one_by_one() {
    let is_record = |call: &Call| [libc::SYS_symlink, libc::SYS_symlinkat].contains(&call.number);
    killed_at(true, is_record, |daemon| {
        let upgrade = daemon.options(Release::One).begin().expect("it begins");
        assert_eq!(upgrade.recovered(), Recovered::Discarded);
        assert_eq!(lost(daemon, upgrade.left_behind(), false), [daemon.map("wide")]);
        drop(upgrade);
        roll_back(&daemon.dir).expect("back");
        assert_eq!(generation(daemon), Some(1), "the one that was kept before");
    });
}

#[test]
fn a_confirmation_changes_nothing_and_offers_what_can_be_done() {
    killed_in_the_window(|daemon| {
        let all = || ["", "@next", "@prev"].map(|of| Pins::read(&daemon.dir.with_file_name(format!("daemon{of}"))));
        let before = all();
        let error = maplock::confirm(&daemon.dir, Duration::ZERO).expect_err("nobody can tell which of them is meant");
        let (dir, wide) = (daemon.dir.display(), daemon.map("wide"));
        assert_eq!(error.kind(), ErrorKind::Place);
        let wanted = format!(
            "has the code for `{wide}` can complete it: start that, or take the upgrade back: maplock rollback {dir}"
        );
        assert!(error.to_string().ends_with(&wanted), "{error}");
        assert_eq!(all(), before);
        roll_back(&daemon.dir).expect("as it says");
        assert!(maplock::confirm(&daemon.dir, Duration::ZERO).expect("confirmed"));
    });
}
