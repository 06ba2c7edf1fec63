//! Locks that git merged: what the tool says, and what comes of doing it.

mod support;

use std::process::Command;

use maplock_layout::Lock;
use support::{Sandbox, object};

/// A repository in which two branches accepted the same break, each for a reason of its own.
fn two_branches() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
    sandbox.release("base");
    for branch in ["theirs", "ours"] {
        sandbox.git(&format!("checkout --quiet -b {branch} base"));
        accept(&sandbox, branch);
        sandbox.release(&format!("{branch}-done"));
    }
    sandbox
}

fn accept(sandbox: &Sandbox, reason: &str) {
    let object = object("v3");
    let line = format!("accept stats --on-upgrade migrate --reason \"{reason}\" --object {object}");
    assert_eq!(sandbox.run(&line).code, Some(0));
    let ran = sandbox.run(&format!("update --object {object}"));
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
}

/// What the tool says of the lock, which it refuses.
fn refused(sandbox: &Sandbox) -> String {
    let ran = sandbox.run(&format!("check --object {}", object("v3")));
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    ran.stderr
}

/// Runs a command of git's that the tool has said, then the tool's.
fn follow(sandbox: &Sandbox, said: &str, command: &str) {
    for command in [command, "cargo maplock update"] {
        assert!(said.contains(&format!("`{command}`")), "{said}");
    }
    sandbox.git(command.strip_prefix("git ").expect("one of git's"));
    for verb in ["update", "check"] {
        let ran = sandbox.run(&format!("{verb} --object {}", object("v3")));
        assert_eq!(ran.code, Some(0), "{verb}: {}{}", ran.stdout, ran.stderr);
    }
    let reason = Lock::parse(&sandbox.read("maps.lock")).expect("a lock").maps["stats"].epochs[0].reason.clone();
    assert_eq!(reason, "ours");
}

#[test]
fn a_conflict_is_resolved_by_what_is_said_of_it() {
    let sandbox = two_branches();
    let merge = Command::new("git").args(["merge", "--quiet", "theirs"]).current_dir(sandbox.path("")).output();
    assert!(!merge.expect("git runs").status.success(), "both accepted one map");
    let said = refused(&sandbox);
    follow(&sandbox, &said, "git checkout --ours maps.lock");
}

#[test]
fn a_lock_that_was_merged_into_what_nobody_wrote_is_restored_by_what_is_said_of_it() {
    let sandbox = two_branches();
    let right = sandbox.read("maps.lock");
    let wrong = right.replacen("reason = \"ours\"", "reason = \"theirs\"", 1);
    assert_ne!(wrong, right);
    sandbox.git("merge --quiet --no-commit --strategy ours theirs");
    sandbox.write("maps.lock", &wrong);
    let said = refused(&sandbox);
    assert!(said.contains("map `stats` has checksum "), "{said}");
    follow(&sandbox, &said, "git checkout HEAD -- maps.lock");

    sandbox.write("maps.lock", &wrong);
    sandbox.release("merged");
    let said = refused(&sandbox);
    follow(&sandbox, &said, "git checkout HEAD^1 -- maps.lock");
    assert_eq!(sandbox.read("maps.lock"), right);
}
