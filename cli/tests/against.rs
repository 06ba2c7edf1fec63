//! A lock held against other git revisions.

mod support;

use std::fs;

use maplock_layout::Lock;
use maplock_layout::lock::Merge;
use support::{Sandbox, object};

/// A repository with a release for each of minimesh's, its lock updated, and its breaks accepted.
fn history() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    sandbox.release("v0");
    let object = object("v1");
    assert_eq!(sandbox.run(&format!("init --object {object}")).code, Some(0));
    sandbox.release("v1");
    step(&sandbox, "v2", &[]);
    step(&sandbox, "v3", &[("stats", "migrate", "counters wrapped at 4 billion")]);
    sandbox
}

/// Goes on to a release, with some breaks accepted.
fn step(sandbox: &Sandbox, release: &str, accepted: &[(&str, &str, &str)]) {
    let object = object(release);
    for (map, way, reason) in accepted {
        let line = format!("accept {map} --on-upgrade {way} --reason \"{reason}\" --object {object}");
        let ran = sandbox.run(&line);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    let ran = sandbox.run(&format!("update --object {object}"));
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    sandbox.release(release);
}

/// Writes the lock anew, as somebody does who wants to be done with it.
fn cheat(sandbox: &Sandbox, release: &str) {
    fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run(&format!("init --object {}", object(release))).code, Some(0));
}

#[test]
fn every_break_since_each_revision_is_accounted_for() {
    insta::assert_snapshot!(history().transcript(&[
        "check --lock maps.lock --against v2",
        "check --lock maps.lock --against v0 --against v1 --against v2 --against v3 --allow-new",
        "check --against v1",
    ]));
}

#[test]
fn what_is_summed_is_told_with_what_was_accepted() {
    let sandbox = history();
    let before = sandbox.read("maps.lock");
    let amend =
        "accept stats --on-upgrade migrate --merge connections=sum --reason \"wrapped at 4 billion\" --against v1";
    assert_eq!(sandbox.run(amend).code, Some(0));
    let mut expected = Lock::parse(&before).expect("a lock");
    let epoch = expected.maps.get_mut("stats").expect("stats").epochs.last_mut().expect("an epoch");
    epoch.reason = "wrapped at 4 billion".to_owned();
    expected.maps.get_mut("stats").expect("stats").merge = [("connections".to_owned(), Merge::Sum)].into();
    let expected = expected.to_string();
    assert_eq!(sandbox.read("maps.lock"), expected);
    assert_eq!(sandbox.run(&amend.replace(" --merge connections=sum", "")).code, Some(0));
    assert_eq!(sandbox.read("maps.lock"), expected, "another reason takes nothing back");
    let check = sandbox.run("check --lock maps.lock --against v1").stdout;
    assert!(check.contains("stats  migrate  \"wrapped at 4 billion\"; sum of connections\n"), "{check}");
}

#[test]
fn a_lock_that_was_written_anew_is_found_out_and_mended() {
    let sandbox = history();
    cheat(&sandbox, "v4");
    insta::assert_snapshot!(sandbox.transcript(&[
        &format!("check --object {}", object("v4")),
        "check --lock maps.lock --against v3 --against v1",
        "accept backends --on-upgrade migrate --reason \"drained backends keep their connections\" --against v3",
        "accept stats --on-upgrade swap --reason \"counts start anew, by port\" --against v3",
        "accept frontends --on-upgrade swap --reason x --against v3",
        "accept drops --on-upgrade swap --reason x --against v1",
        "check --lock maps.lock --against v3",
    ]));
}

#[test]
fn what_was_accepted_against_a_revision_can_be_said_anew() {
    let sandbox = history();
    cheat(&sandbox, "v3");
    let accept = |way: &str| {
        let ran = sandbox.run(&format!("accept stats --on-upgrade {way} --reason \"by {way}\" --against v1"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    accept("swap");
    accept("migrate");
    let lock = sandbox.read("maps.lock");
    assert_eq!(lock.matches("on-upgrade = ").count(), 1, "{lock}");
    assert!(lock.contains("\"by migrate\""), "{lock}");
    assert_eq!(sandbox.run("check --lock maps.lock --against v1 --against v2").code, Some(0));
}

#[test]
fn the_objects_are_checked_too_where_they_are_named() {
    let sandbox = history();
    insta::assert_snapshot!(sandbox.transcript(&[&format!("check --object {} --against v2", object("v4"))]));
}

#[test]
fn revisions_that_are_none_are_errors() {
    let sandbox = history();
    insta::assert_snapshot!(sandbox.transcript(&[
        "check --lock maps.lock --against v9",
        "diff v9",
        "diff v1:nothing.lock",
        "diff --manifest-path nothing/Cargo.toml v1",
    ]));
    let outside = Sandbox::with_minimesh();
    assert_eq!(outside.run(&format!("init --object {}", object("v1"))).code, Some(0));
    let ran = outside.run("check --lock maps.lock --against main");
    assert!(ran.stderr.contains("not a git repository"), "{}", ran.stderr);
}

#[test]
fn what_git_reads_as_its_index_or_as_an_option_is_no_revision() {
    let sandbox = history();
    // The lock breaks against v1, and the index has it as it is.
    cheat(&sandbox, "v4");
    sandbox.git("add maps.lock");
    let before = sandbox.read("maps.lock");
    let names = [
        "",
        " ",
        "\t",
        ":",
        ":0",
        ":maps.lock",
        ":0:maps.lock",
        ":2:maps.lock",
        ":./maps.lock",
        " :0",
        ":/v1",
        "HEAD:",
        "HEAD: ",
        "^v1",
        "-x",
    ];
    for name in names {
        for line in [
            "check --lock maps.lock --against=NAME",
            "check --lock maps.lock --against v1 --against=NAME",
            "diff --lock maps.lock -- NAME",
            "diff --lock maps.lock -- v1 NAME",
            "diff -- NAME maps.lock",
            "accept stats --on-upgrade swap --reason x --lock maps.lock --against=NAME",
        ] {
            let line = line.replace("NAME", &format!("\"{name}\""));
            let ran = sandbox.run(&line);
            assert_eq!(ran.code, Some(2), "{line}: {}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.stdout, "", "{line}");
            assert!(ran.stderr.contains("such as origin/main or v1.2"), "{line}: {}", ran.stderr);
        }
    }
    assert_eq!(sandbox.read("maps.lock"), before);
    insta::assert_snapshot!(sandbox.transcript(&[
        "check --lock maps.lock --against \"\"",
        "check --lock maps.lock --against :0",
        "diff :maps.lock maps.lock",
        "diff :/v1",
        "check --lock maps.lock --against=--output=x",
    ]));
    let folder = sandbox.run("check --lock maps.lock --against HEAD:bpf");
    assert_eq!(folder.code, Some(101), "a folder of a revision is none: {}", folder.stdout);
    // A file may be called so.
    sandbox.write(":0", before);
    assert_eq!(sandbox.run("diff :0 maps.lock").code, Some(0));
}

#[test]
fn diff_takes_two_of_anything() {
    let sandbox = history();
    let verdicts = |old: &str, new: &str| -> Vec<String> {
        let ran = sandbox.run(&format!("diff {old} {new} --message-format json").replace("  ", " "));
        assert_ne!(ran.code, Some(101), "{}", ran.stderr);
        let document = ran.json();
        let maps = document["maps"].as_array().expect("maps");
        maps.iter().map(|map| format!("{}: {}", map["name"], map["verdict"]).replace('"', "")).collect()
    };
    let v1_to_v3 = ["backends: grow", "drops: create", "frontends: reuse", "services: reuse", "stats: migrate"];
    for (old, new) in [
        ("v1", ""),
        ("v1", "v3"),
        ("v1", "maps.lock"),
        ("v1:maps.lock", "v3:maps.lock"),
        (&object("v1"), "HEAD"),
        (&format!("v1:{}", object("v1")), "v3"),
    ] {
        assert_eq!(verdicts(old, new), v1_to_v3, "{old} {new}");
    }
    // Objects know nothing of what was accepted.
    assert_eq!(verdicts("v1", &format!("HEAD:{}", object("v3")))[4], "stats: refuse");
    assert_eq!(verdicts("--allow-new v0", "v1")[0], "backends: create");
}

#[test]
fn diff_of_revisions() {
    insta::assert_snapshot!(history().transcript(&["diff v1", "diff v0 v1 --allow-new", "diff v3"]));
}

#[test]
fn a_lock_in_a_directory_below_is_found_at_the_revision() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    fs::create_dir_all(sandbox.path("daemon/src")).expect("directory");
    let init = format!("init --object {} --lock daemon/maps.lock", object("v1"));
    assert_eq!(sandbox.run(&init).code, Some(0));
    sandbox.release("v1");
    let check = |dir: &str, lock: &str| sandbox.run_in(dir, &format!("check --lock {lock} --against v1")).stdout;
    assert_eq!(check("", "daemon/maps.lock"), "daemon/maps.lock against v1: 4 maps, no break\n");
    assert_eq!(check("daemon", "maps.lock"), "maps.lock against v1: 4 maps, no break\n");
    assert_eq!(check("daemon/src", "../maps.lock"), "../maps.lock against v1: 4 maps, no break\n");
}

#[test]
fn the_ends_of_lines_in_history_are_no_matter() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    sandbox.git("config core.autocrlf false");
    assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
    let lock = sandbox.read("maps.lock");
    sandbox.write("maps.lock", lock.replace('\n', "\r\n"));
    sandbox.release("v1");
    sandbox.write("maps.lock", lock);
    assert_eq!(sandbox.run("check --lock maps.lock --against v1").code, Some(0));
}

/// A review is told of counters that are new since, and of merges that got lost; what is offered settles it.
#[test]
fn counters_that_are_new_since_are_told_in_a_review() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    let object = object("v1");
    let run = |line: &str| {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    run(&format!("init --object {object}"));
    run("accept stats --merge connections=sum");
    sandbox.release("v1");
    assert!(!run("check --against v1").contains("unmerged-counter"), "as it was before");
    step(&sandbox, "v2", &[]);
    insta::assert_snapshot!(run("check --against v1"));
    cheat(&sandbox, "v2");
    let lost = run("check --against v2");
    assert!(lost.contains("programs only add to `connections`"), "{lost}");
    assert!(!lost.contains("programs only add to `passed_over`"), "{lost}");
    let offered = lost.lines().find(|line| line.contains("connections=sum")).expect("an offer");
    run(&offered[offered.find("accept stats").expect("a command")..]);
    assert!(!run("check --against v2").contains("unmerged-counter"));
}
