//! Upgrades and downgrades with traffic running: what Kmesh's `TestKmeshUpgrade` asks, and more of it.
//!
//! Each upgrade is a daemon process of its own, started as `minimesh daemon --once` with `--cgroup`, `--pins`, `--release` and,
//! where maps have to be filled anew, `--config`. It may be one that somebody else built:
//!
//! ```sh
//! MAPLOCK_UPGRADE_BIN=/usr/bin/minimesh cargo test -p maplock-tests --test live_upgrade -- --skip-build
//! ```
//!
//! or one in an image, in which `minimesh` is on the path. Without `--skip-build` the image is built of this tree before:
//!
//! ```sh
//! MAPLOCK_UPGRADE_IMAGE=registry.example/minimesh:v2 cargo test -p maplock-tests --test live_upgrade -- --skip-build
//! ```
//!
//! `MAPLOCK_UPGRADE_ROUNDS` says how often all releases are gone through, with ten upgrades each time; ten times where it does not.

#![allow(clippy::unwrap_used, missing_docs)]

mod daemon;
mod mesh;
mod watch;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use maplock::layout::MapDef;
use maplock::layout::lock::LockedMap;
use maplock_harness::TestUpgrade;
use maplock_tests::kernel;
use minimesh::entries::decode;
use minimesh::release::Release;
use minimesh::traffic::{Target, alone, client};

use daemon::Daemon;
use mesh::{Mesh, Snapshot};
use watch::Watch;

/// Each release to the next and back, and over several at once.
const ROUND: [&str; 10] = ["v2", "v3", "v4", "v3", "v2", "v1", "v4", "v1", "v3", "v1"];

fn main() -> ExitCode {
    let mut words: Vec<String> = env::args().collect();
    // The client is a process of its own, which is this one again.
    if words.get(1).is_some_and(|word| word == "client") {
        let targets: Vec<Target> = words[2..].iter().map(|word| word.parse().unwrap()).collect();
        client::run(&targets);
        return ExitCode::SUCCESS;
    }
    if let ["serve", config] = words.iter().skip(1).map(String::as_str).collect::<Vec<_>>()[..] {
        alone::serve(config.as_ref()).unwrap();
    }
    if words.get(1).is_some_and(|word| word == "connect") {
        let targets: Vec<Target> = words[3..].iter().map(|word| word.parse().unwrap()).collect();
        return alone::connect(&targets, Some(words[2].as_ref())).map_or_else(
            |problem| {
                eprintln!("{problem}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let skips_build = words.contains(&"--skip-build".to_owned());
    words.retain(|word| word != "--skip-build");
    let mut arguments = Arguments::from_iter(words);
    // Two cores have enough of one client.
    arguments.test_threads = Some(1);
    let trial = |name: &str, test: fn(Daemon)| {
        Trial::test(name, move || {
            if kernel::available() {
                test(Daemon::chosen(skips_build));
            }
            Ok(())
        })
    };
    let trials = vec![
        trial("upgrades_lose_no_connection_no_count_no_key_and_no_pin", many_upgrades),
        trial("each_step_between_releases_is_survived_when_it_is_killed", each_step),
        trial("what_does_get_lost_is_noticed", what_gets_lost),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn rounds() -> usize {
    env::var("MAPLOCK_UPGRADE_ROUNDS").map_or(10, |rounds| rounds.parse().expect("a number of rounds"))
}

fn many_upgrades(daemon: Daemon) {
    Mesh::run(daemon, |mesh| {
        let rounds = rounds();
        let mut old = "v1";
        mesh.upgrade(old, true);
        let mut client = mesh.client();
        let watch = Watch::start(&mesh.pins);
        let mut done = 0;
        for new in (0..rounds).flat_map(|_| ROUND) {
            step(mesh, old, new);
            let counts = client.counts().unwrap();
            assert_eq!((counts.failed, counts.wrong), (0, 0), "after {old} to {new}: {:?}", counts.reasons);
            old = new;
            done += 1;
        }
        let opened = watch.stop();
        let counts = client.stop().unwrap();
        let enough = 100 * rounds as u64;
        assert_eq!((done, counts.failed, counts.wrong), (rounds * ROUND.len(), 0, 0), "{:?}", counts.reasons);
        assert_eq!(mesh.ledger.total().unwrap(), counts.answered(), "counts, in all maps that ever were `stats`");
        assert_eq!(mesh.counted(), counts.answered(), "counts, in the one that is live");
        assert!(counts.answered() > enough && opened > enough, "{} connections, {opened} looks", counts.answered());
        mesh.assert_nothing_is_left_over();
        eprintln!(
            "{done} upgrades, {} connections, 0 failed, 0 counts lost; pins opened {opened} times, never absent",
            counts.answered()
        );
    });
}

/// `maplock test-upgrade` of each release and the next, and of both steps at once. This program serves and connects, and counts. From v4, a
/// roll-back gives up entries of ports that v3 has not, and says so.
fn each_step(daemon: Daemon) {
    let Daemon::Program(daemon) = daemon else {
        eprintln!(
            "each step is left out of a daemon in an image: `maplock test-upgrade` makes namespaces, and a container sees its own only"
        );
        return;
    };
    let (daemon, own) = (daemon.display(), env::current_exe().unwrap());
    let own = own.display();
    // Where tests are short, `maplock test-upgrade` of v1 and v3 is run beside this.
    for (old, new) in [("v1", "v2"), ("v2", "v3"), ("v1", "v3")].into_iter().take(kernel::times(3, 1) as usize) {
        let place = "--pins $MAPLOCK_PINS --cgroup $MAPLOCK_CGROUP --config $MAPLOCK_LOGS/services.toml";
        let start = |release| format!("exec {daemon} daemon --once --release {release} {place}");
        let with = format!("exec {own} connect $MAPLOCK_PINS 10.96.0.10:80=cart- 10.96.0.11:80=web-");
        let setup = format!(
            "{own} serve $MAPLOCK_LOGS/services.toml & until [ -s $MAPLOCK_LOGS/services.toml ]; do sleep 0.02; done"
        );
        let logs = tempfile::tempdir().unwrap();
        let test = TestUpgrade::new(start(old), start(new), with).setup(setup).kills(3).logs(logs.path());
        let patience = Duration::from_secs(kernel::times(60, 180).into());
        let outcome = test.time(Duration::from_millis(200)).patience(patience).run().unwrap();
        assert!(!outcome.fails(), "{old} to {new}:\n{outcome}");
        eprintln!("{old} to {new}: {}", outcome.kills().unwrap());
    }
}

/// One upgrade, with what the kernel shows of each map before and after it.
fn step(mesh: &mut Mesh, old: &str, new: &str) {
    let (from, to) = (Release::embedded(old).unwrap().spec, Release::embedded(new).unwrap().spec);
    let before: Vec<_> = from.maps().map(|map| (map, mesh.look(&map.def.name))).collect();
    let is_same_layout = |name: &str| {
        let (Some(old), Some(new)) = (from.map(name), to.map(name)) else { return false };
        old.def.digest() == new.def.digest()
    };
    // What the daemon fills again could hide a loss: it is told what to fill where it has to, and not otherwise.
    mesh.upgrade(new, !is_same_layout("backends"));
    for (map, before) in before {
        let name = &map.def.name;
        if name == "stats" {
            assert_counts_kept(&format!("{old} to {new}"), (map, &before), (to.map(name).unwrap(), &mesh.look(name)));
        } else if is_same_layout(name) {
            assert_kept(&format!("`{name}`, {old} to {new}"), &to.map(name).unwrap().def, &before, &mesh.look(name));
        }
    }
}

/// Every count that was there is still there, in whichever layout.
fn assert_counts_kept(what: &str, (old, before): (&LockedMap, &Snapshot), (new, after): (&LockedMap, &Snapshot)) {
    let count = |map: &LockedMap, entries: &Snapshot, prefix: &[u8]| -> u64 {
        let value = map.def.value.as_deref().unwrap();
        let entries = entries.entries.iter().filter(|(key, _)| key.starts_with(prefix));
        entries.map(|(_, bytes)| decode(value, "connections", bytes).unwrap()).sum()
    };
    for key in before.entries.keys() {
        // The key of a newer release begins as that of an older one.
        let key = &key[..new.def.key_size.min(old.def.key_size) as usize];
        let [was, is] = [count(old, before, key), count(new, after, key)];
        assert!(is >= was, "{what}: `connections` of {key:?} fell from {was} to {is}");
    }
}

/// A map of the same layout is the same map, or where it was too small, a larger one with the same entries.
fn assert_kept(what: &str, wanted: &MapDef, before: &Snapshot, after: &Snapshot) {
    if before.max_entries >= wanted.max_entries {
        assert_eq!(before.id, after.id, "{what}: it is the same map");
    } else {
        assert_eq!(after.max_entries, wanted.max_entries, "{what}: it has grown");
    }
    let value = wanted.value.as_deref().unwrap();
    for (key, old) in &before.entries {
        let new = after.entries.get(key).unwrap_or_else(|| panic!("{what}: key {key:?} is lost"));
        if wanted.name == "stats" {
            for member in ["passed_over", "connections", "last_seen"] {
                let [old, new] = [old, new].map(|bytes| decode(value, member, bytes).unwrap());
                assert!(new >= old, "{what}: `{member}` fell from {old} to {new}");
            }
        } else {
            assert_eq!(old, new, "{what}: nobody has written it");
        }
    }
}

/// The test's own senses: connections that fail, counts that vanish and pins that are absent are seen.
fn what_gets_lost(daemon: Daemon) {
    Mesh::run(daemon, |mesh| {
        mesh.upgrade("v1", true);
        let mut client = mesh.client();
        let watch = Watch::start(&mesh.pins);
        mesh.forget("backends");
        while client.counts().unwrap().failed == 0 {}
        mesh.upgrade("v1", true);
        let hidden = mesh.pins.join("hidden");
        std::fs::rename(mesh.pins.join("services"), &hidden).unwrap();
        watch.wait_for_a_miss();
        std::fs::rename(&hidden, mesh.pins.join("services")).unwrap();
        let answered = client.stop().unwrap().answered();
        assert_eq!(mesh.ledger.total().unwrap(), answered);
        mesh.forget("stats");
        assert!(mesh.ledger.total().unwrap() < answered);
    });
}
