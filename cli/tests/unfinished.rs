//! `maplock plan` and `maplock recover` where an upgrade did not end.
#![cfg(target_os = "linux")]

mod support;

use std::fs;

use maplock::Policies;
use maplock::internals::sys::bpffs;
use support::node::Node;

const DENY: &str = "--deny swap,refuse,drop";

/// With v1 pinned, twelve backends and three counters.
fn running() -> Option<Node> {
    let node = Node::new()?;
    node.upgrade("v1.lock");
    node.fill("backends", 12);
    node.fill("stats", 3);
    Some(node)
}

/// As a process leaves it that is killed: without its lock, and with what it had staged; at its commit where there is a record.
fn killed(node: &Node, lock: &str, record: Option<&str>) {
    let staged = node.stage(lock, Policies::default());
    let (next, aside) = (node.sandbox.path("fs/minimesh@next"), node.sandbox.path("fs/aside"));
    fs::rename(&next, &aside).expect("moved");
    drop(staged);
    fs::rename(&aside, &next).expect("moved back");
    if let Some(record) = record {
        bpffs::write_record(&next.join("commit@record"), record).expect("a record");
    }
}

fn plan(node: &Node, lock: &str, more: &str) -> support::Ran {
    node.run(format!("plan --lock {lock}.lock --pins fs/minimesh {more}").trim())
}

#[test]
fn a_plan_over_an_upgrade_at_its_commit_promises_nothing_and_is_denied() {
    let Some(node) = running() else { return };
    assert!(plan(&node, "v1", "").stdout.contains("nothing is lost"), "{}", plan(&node, "v1", "").stdout);
    killed(&node, "v3.lock", Some("upgrade exchange 1"));
    // No start completes it: nothing tells any more what was copied.
    fs::remove_file(node.sandbox.path("fs/minimesh@next/backends@base")).expect("the snapshot");
    insta::assert_snapshot!(node.transcript(&[
        &format!("plan --lock v1.lock --pins fs/minimesh {DENY}"),
        "plan --lock v1.lock --pins fs/minimesh --message-format markdown --deny create",
        "plan --lock v1.lock --pins fs/minimesh --message-format github --deny create",
    ]));
    for lock in ["v1", "v2", "v3", "unknown"] {
        let told = plan(&node, lock, "");
        assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
        for promise in ["nothing is lost", "every entry is kept;", "a roll-back from there"] {
            assert!(!told.stdout.contains(promise), "{}", told.stdout);
        }
        assert!(
            told.stdout.starts_with("an upgrade at `fs/minimesh` is at its commit, or ended there; "),
            "{}",
            told.stdout
        );
        for deny in ["create", "inexact", "swap,refuse,drop"] {
            assert_eq!(plan(&node, lock, &format!("--deny {deny}")).code, Some(100), "{lock} {deny}");
        }
    }
    let json = plan(&node, "v1", &format!("{DENY} --message-format json")).json();
    let unfinished = serde_json::json!({ "roll_back": false, "next": "complete", "needs_code": [], "holds": false, "leads_here": false });
    assert_eq!((&json["unfinished"], &json["fails"], &json["way_back"]), (&unfinished, &true.into(), &().into()));
    // Nor is the node one that has nothing to do, whoever asked for the plan.
    for (name, line) in [("planned", "plan --lock v1.lock --pins fs/minimesh"), ("inspected", "inspect fs/minimesh")] {
        node.sandbox.write(&format!("{name}.json"), node.run(&format!("{line} --message-format json")).stdout);
    }
    let fleet = node.run("fleet planned.json inspected.json");
    assert!(fleet.stdout.contains("an unfinished upgrade or roll-back comes first; nothing to do"), "{}", fleet.stdout);
    let last = "2 nodes, 0 as planned, 1 to be upgraded, 0 held back, 2 with an unfinished upgrade or roll-back";
    assert_eq!(fleet.stdout.lines().last(), Some(last), "{}", fleet.stdout);
    assert_eq!(node.run("fleet planned.json --message-format json").json()["nodes"][0]["unfinished"], true);
    // What it says helps.
    assert_eq!(node.run("rollback fs/minimesh").code, Some(101));
    assert_eq!(node.run("recover fs/minimesh --discard").code, Some(0));
    let json = plan(&node, "v1", &format!("{DENY} --message-format json"));
    assert_eq!((json.code, &json.json()["unfinished"]), (Some(0), &().into()));
}

/// What the plan would have foretold comes otherwise, and what it names first is what happens first.
#[test]
fn the_start_after_such_a_plan_completes_the_upgrade_first() {
    let Some(node) = running() else { return };
    killed(&node, "v3.lock", Some("upgrade exchange 1"));
    let told = plan(&node, "v1", &format!("{DENY} --message-format json"));
    assert_eq!(told.code, Some(100));
    let dispositions: Vec<_> =
        told.json()["maps"].as_array().expect("maps").iter().map(|map| map["disposition"].clone()).collect();
    assert!(dispositions.iter().all(|disposition| disposition == "reuse"), "{dispositions:?}");
    let ran = node.run("rollback fs/minimesh");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("after its first link was switched; it was completed"), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("rolled back fs/minimesh to generation 1"), "{}", ran.stdout);
}

/// A daemon that was killed at its commit starts again behind a plan, and nobody has to do anything.
#[test]
fn the_release_that_was_interrupted_may_start_again() {
    let Some(node) = running() else { return };
    node.upgrade("v3.lock");
    bpffs::write_record(&node.pins().join("commit@record"), "upgrade exchange 1").expect("a record");
    let told = plan(&node, "v3", DENY);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert!(
        told.stdout.starts_with("an upgrade at `fs/minimesh` is at its commit, or ended there; "),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("nothing is lost"), "{}", told.stdout);
    assert_eq!(plan(&node, "v3", "--message-format json").json()["unfinished"]["leads_here"], true);
    // How much of it came is not known.
    assert_eq!(plan(&node, "v3", "--deny inexact").code, Some(100));
    assert_eq!(plan(&node, "v2", DENY).code, Some(100));
    node.upgrade("v3.lock");
    assert!(plan(&node, "v3", "").stdout.contains("nothing is lost"));
}

#[test]
fn what_a_roll_back_left_at_its_commit_is_called_that() {
    let Some(node) = running() else { return };
    node.upgrade("v3.lock");
    assert_eq!(node.run("rollback fs/minimesh").code, Some(0));
    bpffs::write_record(&node.pins().join("commit@record"), "roll-back exchange").expect("a record");
    let told = plan(&node, "v3", DENY);
    assert_eq!(told.code, Some(100), "{}", told.stdout);
    assert!(
        told.stdout.starts_with("a roll-back at `fs/minimesh` is at its commit, or ended there; "),
        "{}",
        told.stdout
    );
    let (_, help) = told.stdout.split_once("help: complete it: maplock ").expect(&told.stdout);
    let line = help.lines().next().expect("a line");
    assert_eq!(node.run(line).code, Some(0), "{line}");
    assert_eq!(plan(&node, "v1", DENY).code, Some(0));
}

/// What it was about to return to is not where the plan looks for it.
#[test]
fn a_plan_over_a_roll_back_that_was_only_staged_is_of_what_is_pinned_now() {
    let Some(node) = running() else { return };
    node.upgrade("v3.lock");
    let (prev, next) = (node.sandbox.path("fs/minimesh@prev"), node.sandbox.path("fs/minimesh@next"));
    let before = plan(&node, "v1", "--message-format json").json();
    bpffs::write_record(&prev.join("returning@record"), "1").expect("a record");
    fs::rename(&prev, &next).expect("moved");
    let told = plan(&node, "v1", DENY);
    assert_eq!(told.code, Some(100), "{}", told.stdout);
    let wanted = "a roll-back at `fs/minimesh` runs, or ended before its commit; if it ended, the next start takes it back first; ";
    assert!(told.stdout.starts_with(wanted), "{}", told.stdout);
    assert!(!told.stdout.contains("nothing is lost"), "{}", told.stdout);
    let again = "rollback fs/minimesh";
    assert!(told.stdout.contains(&format!("help: call it again: maplock {again}\n")), "{}", told.stdout);
    assert_eq!(plan(&node, "v3", DENY).code, Some(0));
    let recovered = node.run("recover fs/minimesh --discard");
    assert!(
        recovered.stdout.starts_with("removed what an upgrade or a roll-back of fs/minimesh left"),
        "{}",
        recovered.stdout
    );
    assert_eq!(plan(&node, "v1", "--message-format json").json()["maps"], before["maps"]);
    assert_eq!(node.run(again).code, Some(0));
}

#[test]
fn what_was_only_staged_is_named_and_changes_no_plan() {
    let Some(node) = running() else { return };
    let before = plan(&node, "v1", "").stdout;
    killed(&node, "v3.lock", None);
    let told = plan(&node, "v1", DENY);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    let (head, rest) = told.stdout.split_once("\nmap ").expect(&told.stdout);
    insta::assert_snapshot!(head);
    let (_, same) = before.split_once("map ").expect(&before);
    assert_eq!(support::node::stable(rest), support::node::stable(same));
    node.upgrade("v1.lock");
    assert!(!node.sandbox.path("fs/minimesh@next").exists());
}

#[test]
fn a_recovery_says_that_it_removed_what_was_only_staged() {
    for way in ["--discard", "--by-calls"] {
        let Some(node) = running() else { return };
        killed(&node, "v3.lock", None);
        let line = format!("recover fs/minimesh {way}");
        let told = node.run(&line);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        let said = "removed what an upgrade or a roll-back of fs/minimesh left that had ended before its commit: the live generation is what it was\n";
        assert_eq!(told.stdout, said);
        assert!(!node.sandbox.path("fs/minimesh@next").exists());
        let nothing = node.run(&line);
        assert_eq!(nothing.stdout, "fs/minimesh: no upgrade is unfinished, there is nothing to do\n");
        killed(&node, "v3.lock", None);
        let json = |line: &str| {
            let json = node.run(&format!("{line} --message-format json")).json();
            ["discarded", "taken_back", "resumed"].map(|name| json[name] == true)
        };
        assert_eq!((json(&line), json(&line)), ([true, false, false], [false, false, false]));
    }
}
