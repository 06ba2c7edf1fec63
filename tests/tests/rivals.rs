//! Two or three daemons at once: one wins, the others wait for it, or say who holds the lock. Never a mix of their generations.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use maplock::ErrorKind;
use maplock_tests::generations::{Daemon, Release};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::truth;

/// How often two daemons are set against each other.
const ROUNDS: usize = 1000;

/// Starts a release, and waits so long for another daemon.
fn start(daemon: &Daemon, release: Release, wait: Duration) -> Result<(), maplock::Error> {
    let staged = daemon.options(release).wait(wait).begin()?.stage()?;
    daemon.load(staged, release).expect("the programs are loaded").commit().map(drop)
}

#[test]
fn of_two_daemons_at_once_one_wins_and_the_other_waits_or_says_who_does() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon { keeps_larger: true, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
    start(&daemon, Release::One, Duration::ZERO).expect("it is installed");
    let barrier = Barrier::new(2);
    let own = format!("process {} (", std::process::id());
    let (mut waited, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        // One round in ten they wait for each other.
        let waits = round.is_multiple_of(10);
        let wait = if waits { Duration::from_secs(60) } else { Duration::ZERO };
        // The same release twice, or two different ones.
        let releases =
            [[Release::One, Release::Two], [Release::Two, Release::One], [Release::One; 2], [Release::Two; 2]];
        let [this, that] = releases[round % 4];
        let run = |release| {
            barrier.wait();
            start(&daemon, release, wait)
        };
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(|| run(that));
            (run(this), other.join().expect("no panic"))
        });
        let results = [(this, one), (that, other)];
        let won: Vec<Release> =
            results.iter().filter(|(_, result)| result.is_ok()).map(|(release, _)| *release).collect();
        match won.len() {
            2 => waited += 1,
            1 => refused += 1,
            _ => panic!("round {round}: nobody wins: {results:?}"),
        }
        assert!(!waits || won.len() == 2, "round {round}: {results:?}");
        for error in results.into_iter().filter_map(|(_, result)| result.err()) {
            assert_eq!(error.kind(), ErrorKind::Busy, "round {round}: {error}");
            assert!(error.to_string().contains(&own), "round {round}: {error}");
        }
        // Whichever came last is live, and whole. Nothing made a socket.
        let has = |release: Release| daemon.dir.join(daemon.map(release.own())).exists();
        let live = if has(Release::One) { Release::One } else { Release::Two };
        assert!(won.contains(&live), "round {round}: {live:?} is live, and {won:?} won");
        // The lock of the first release does not lead back from `wide` of the second; that of the second does.
        let problems = truth::problems(&daemon, live, 0);
        assert!(problems.is_empty(), "round {round}: {won:?} won: {problems:#?}");
    }
    println!("{ROUNDS} rounds: in {waited} the second waited, in {refused} it was told who holds the lock");
    assert!(refused > 0, "the second never met the first");
    assert_eq!(truth::cleared(&daemon), None);
}

#[test]
fn three_daemons_at_once_come_one_after_the_other() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon { keeps_larger: true, ..Daemon::new(bpffs.path().join("daemon"), &cgroup) };
    let barrier = Barrier::new(3);
    for round in 0..ROUNDS / 20 {
        // The first round is of three first starts.
        let releases = [Release::One, Release::Two, if round % 2 == 0 { Release::One } else { Release::Two }];
        let run = |release| {
            barrier.wait();
            start(&daemon, release, Duration::from_secs(60))
        };
        thread::scope(|scope| {
            let all = releases.map(|release| scope.spawn(move || run(release)));
            for one in all {
                one.join().expect("no panic").unwrap_or_else(|error| panic!("round {round}: {error}"));
            }
        });
        let is_live = |release: Release| daemon.dir.join(daemon.map(release.own())).exists();
        assert!(is_live(Release::One) != is_live(Release::Two), "round {round}: a mix of both");
        let names = truth::names(bpffs.path());
        assert!(!names.iter().any(|name| name == "daemon@next" || name == "daemon@lock"), "round {round}: {names:?}");
    }
    assert_eq!(truth::cleared(&daemon), None);
}

#[test]
fn a_daemon_of_another_process_is_named() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon::new(bpffs.path().join("daemon"), &cgroup);
    let upgrade = daemon.options(Release::One).begin().expect("nobody else is there");
    let output = daemon.command(env!("CARGO_BIN_EXE_generation"), "one").arg("impatient").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("process {} (", std::process::id())), "{text}");
    drop(upgrade);
    let output = daemon.command(env!("CARGO_BIN_EXE_generation"), "one").arg("impatient").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(truth::problems(&daemon, Release::One, 0), Vec::<String>::new());
    assert_eq!(truth::cleared(&daemon), None);
}
