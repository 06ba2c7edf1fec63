//! A lock that lay elsewhere at the older revision.

mod support;

use std::fs;

use maplock_layout::Lock;
use maplock_layout::lock::LockedMap;
use maplock_layout::map::{MapDef, MapType};
use support::{Sandbox, object};

/// A repository whose v1 has the lock of minimesh's v1 in each of `dirs`.
fn released(dirs: &[&str]) -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    for dir in dirs {
        fs::create_dir(sandbox.path(dir)).expect("directory");
        let init = format!("init --object {} --lock {dir}/maps.lock", object("v1"));
        assert_eq!(sandbox.run(&init).code, Some(0));
    }
    sandbox.release("v1");
    sandbox
}

fn lock(maps: &[(&str, u32)]) -> String {
    let def =
        |name: &str, value_size| MapDef { key_size: 4, value_size, max_entries: 8, ..MapDef::new(name, MapType::HASH) };
    let maps = maps.iter().map(|(name, size)| ((*name).to_owned(), LockedMap::new(def(name, *size))));
    Lock { maps: maps.collect(), ..Lock::default() }.to_string()
}

#[test]
fn a_renamed_directory_closes_no_gate() {
    for command in ["git", "mv"] {
        let sandbox = released(&["agent"]);
        match command {
            "git" => sandbox.git("mv agent daemon"),
            _ => fs::rename(sandbox.path("agent"), sandbox.path("daemon")).expect("rename"),
        }
        let ran = sandbox.run("check --lock daemon/maps.lock --against v1");
        let expected =
            "note: compared with agent/maps.lock, which was moved\ndaemon/maps.lock against v1: 4 maps, no break\n";
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), expected), "{command}: {}", ran.stderr);
        // Also from inside, and for a release after which much was accepted.
        assert_eq!(sandbox.run_in("daemon", "check --lock maps.lock --against v1").code, Some(0));
        let of = format!("--object {} --lock daemon/maps.lock", object("v3"));
        assert_eq!(sandbox.run(&format!("accept stats --on-upgrade swap --reason wrapped {of}")).code, Some(0));
        assert_eq!(sandbox.run(&format!("update {of}")).code, Some(0));
        let later = sandbox.run("check --lock daemon/maps.lock --against v1");
        assert_eq!(
            later.stdout.lines().last(),
            Some(
                "daemon/maps.lock against v1: 5 maps, breaks of 1 map accepted; entries of `stats` are given up; \
                 no pinned state is misread"
            )
        );
        assert_eq!(sandbox.run("diff --lock daemon/maps.lock v1").code, Some(0));
        let again =
            "accept stats --on-upgrade migrate --reason \"counters wrapped\" --lock daemon/maps.lock --against v1";
        assert_eq!(sandbox.run(again).code, Some(0));
    }
}

#[test]
fn a_break_is_found_in_a_lock_that_moved() {
    let sandbox = released(&["agent"]);
    fs::remove_dir_all(sandbox.path("agent")).expect("directory");
    fs::create_dir(sandbox.path("daemon")).expect("directory");
    let anew = format!("init --object {} --lock daemon/maps.lock", object("v3"));
    assert_eq!(sandbox.run(&anew).code, Some(0));
    let ran = sandbox.run("check --lock daemon/maps.lock --against v1");
    assert_eq!(ran.code, Some(100), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("note: compared with agent/maps.lock, which was moved\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("pinned state of map `stats` would be misread or lost"), "{}", ran.stdout);
}

#[test]
fn a_lock_can_be_named_with_its_path() {
    let sandbox = released(&["agent"]);
    sandbox.git("mv agent daemon");
    let named = |line: &str| {
        let ran = sandbox.run(line);
        (ran.code, ran.stdout.lines().last().unwrap_or_default().to_owned())
    };
    let fine = (Some(0), "daemon/maps.lock against v1:agent/maps.lock: 4 maps, no break".to_owned());
    assert_eq!(named("check --lock daemon/maps.lock --against v1:agent/maps.lock"), fine);
    assert_eq!(named("diff v1:agent/maps.lock daemon/maps.lock").0, Some(0));
    fs::remove_file(sandbox.path("daemon/maps.lock")).expect("lock");
    assert_eq!(sandbox.run(&format!("init --object {} --lock daemon/maps.lock", object("v3"))).code, Some(0));
    let broken = sandbox.run("check --lock daemon/maps.lock --against v1:agent/maps.lock");
    assert_eq!(broken.code, Some(100));
    // What the help offers is what is taken.
    let line = broken.stdout.lines().find_map(|line| line.split_once("start empty:")).expect("an answer").1.trim();
    let line = line.trim_start_matches("cargo maplock ").replace('…', "counts start anew");
    assert!(line.ends_with("--against v1:agent/maps.lock --lock daemon/maps.lock"), "{line}");
    let accepted = sandbox.run(&line);
    assert_eq!(accepted.code, Some(0), "{line}: {}", accepted.stderr);
    assert_eq!(sandbox.run("check --lock daemon/maps.lock --against v1:agent/maps.lock").code, Some(0));
    for line in [
        "check --lock daemon/maps.lock --against HEAD:",
        "diff HEAD: maps.lock",
        "accept stats --on-upgrade swap --reason x --lock daemon/maps.lock --against HEAD:",
    ] {
        assert_eq!(sandbox.run(line).code, Some(2), "{line}");
    }
    let missing = sandbox.run("check --lock daemon/maps.lock --against v1:agnt/maps.lock");
    assert_eq!(missing.code, Some(101), "{}", missing.stdout);
    let reflog = sandbox.run("check --lock daemon/maps.lock --against \"main@{2020-01-01 10:00}\"");
    assert!(!reflog.stderr.contains("error: invalid value"), "{}", reflog.stderr);
}

#[test]
fn a_new_lock_beside_one_that_is_gone_is_new() {
    let sandbox = released(&["agent"]);
    fs::remove_dir_all(sandbox.path("agent")).expect("directory");
    sandbox.write("daemon/maps.lock", lock(&[("policies", 8), ("routes", 16)]));
    sandbox.git("add --all");
    let ran = sandbox.run("check --lock daemon/maps.lock --against v1");
    let expected = "note: v1 has no daemon/maps.lock: every map is new since\ndaemon/maps.lock against v1: nothing to compare with, 2 maps are new since; 2 of 2 maps are known by their sizes alone\n";
    assert!(ran.code == Some(0) && ran.stdout.ends_with(expected), "{}{}", ran.stdout, ran.stderr);
    // One map of the same name, and another layout: it may be either.
    sandbox.write("daemon/maps.lock", lock(&[("policies", 8), ("stats", 16)]));
    let ran = sandbox.run("check --lock daemon/maps.lock --against v1");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(ran.stderr.contains("agent/maps.lock has maps that daemon/maps.lock has too"), "{}", ran.stderr);
    let offered: Vec<_> =
        ran.stderr.lines().filter_map(|line| line.split_once(": --")).map(|(_, option)| option).collect();
    assert_eq!(offered, ["against v1:agent/maps.lock", "allow-new"]);
    assert_eq!(sandbox.run("check --lock daemon/maps.lock --against v1 --allow-new").code, Some(0));
    assert_eq!(sandbox.run("check --lock daemon/maps.lock --against v1:agent/maps.lock").code, Some(100));
}

#[test]
fn of_several_that_it_may_have_been_none_is_guessed() {
    let sandbox = released(&["north", "south"]);
    fs::rename(sandbox.path("north"), sandbox.path("daemon")).expect("rename");
    fs::remove_dir_all(sandbox.path("south")).expect("directory");
    for allowed in ["", " --allow-new"] {
        let ran = sandbox.run(&format!("check --lock daemon/maps.lock --against v1{allowed}"));
        assert_eq!(ran.code, Some(101), "{}", ran.stdout);
        for offered in ["v1:north/maps.lock", "v1:south/maps.lock"] {
            assert!(ran.stderr.contains(&format!("if it is: --against {offered}\n")), "{}", ran.stderr);
            assert_eq!(sandbox.run(&format!("check --lock daemon/maps.lock --against {offered}")).code, Some(0));
        }
    }
}

#[test]
fn git_decides_where_the_maps_leave_it_open() {
    let sandbox = released(&["north"]);
    sandbox.write("south/maps.lock", lock(&[("stats", 8), ("one", 8), ("two", 8), ("three", 8), ("four", 8)]));
    sandbox.release("v2");
    sandbox.git("mv south daemon");
    sandbox.git("rm -r --quiet north");
    // Of its maps one alone is known still.
    sandbox.write("daemon/maps.lock", lock(&[("stats", 8), ("one", 9), ("two", 9), ("three", 8), ("four", 9)]));
    sandbox.git("add --all");
    let ran = sandbox.run("check --lock daemon/maps.lock --against v2");
    assert!(
        ran.stdout.contains("note: compared with south/maps.lock, which was moved\n"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert_eq!(ran.code, Some(100));
}
