//! Git's merges of a lock with the tool as the driver, set up as `init` says.

mod support;

use std::process::Command;

use maplock_layout::Lock;
use support::{Ran, Sandbox, object};

/// A repository with the lock of v1, in which `init` has set the driver up.
fn repository() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    let ran = sandbox.run(&format!("init --object {} --add merge-driver", object("v1")));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(sandbox.read(".gitattributes"), "maps.lock merge=maplock\n");
    assert!(ran.stdout.contains("set up the driver in this clone"), "{}", ran.stdout);
    sandbox.release("base");
    sandbox
}

/// What a clone has for a driver.
fn driver(sandbox: &Sandbox, clone: &str) -> String {
    let mut git = Command::new("git");
    git.args(["config", "--get", "merge.maplock.driver"]).current_dir(sandbox.path(clone));
    sandbox.ran(git).stdout
}

/// Git's merge, with the driver that `init` has set up: as Cargo's plugin, it is on the PATH.
fn merge(sandbox: &Sandbox, branch: &str) -> Ran {
    let tools = tempfile::tempdir().expect("a directory");
    let tool = env!("CARGO_BIN_EXE_cargo-maplock");
    let name = tools.path().join("cargo-maplock").with_extension(std::env::consts::EXE_EXTENSION);
    std::fs::hard_link(tool, &name).or_else(|_| std::fs::copy(tool, &name).map(drop)).expect("a program");
    let path = std::env::var_os("PATH").expect("a path");
    let path = std::env::join_paths(std::iter::once(tools.path().to_owned()).chain(std::env::split_paths(&path)));
    let mut git = Command::new("git");
    git.args(["merge", "--no-edit", branch]).current_dir(sandbox.path("")).env("PATH", path.expect("a path"));
    sandbox.ran(git)
}

fn tool(sandbox: &Sandbox, line: &str) {
    let ran = sandbox.run(line);
    assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
}

#[test]
fn different_maps_merge_and_the_lock_is_what_the_tool_would_write() {
    let sandbox = repository();
    sandbox.git("checkout --quiet -b theirs");
    // v2 has more room for backends; v3 widens the counters.
    tool(&sandbox, &format!("update --object {}", object("v2")));
    sandbox.release("theirs-done");
    sandbox.git("checkout --quiet -b ours base");
    tool(&sandbox, &format!("accept stats --on-upgrade migrate --reason why --object {}", object("v3")));
    sandbox.release("ours-done");
    let ran = merge(&sandbox, "theirs");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let lock = Lock::parse(&sandbox.read("maps.lock")).expect("a lock");
    assert_eq!(lock.maps["backends"].def.max_entries, 4096);
    assert_eq!(lock.maps["stats"].epochs[0].reason, "why");
    tool(&sandbox, "check --lock maps.lock --against base");
}

#[test]
fn markers_stand_where_both_say_something_else_of_one_map_and_nowhere_else() {
    let sandbox = repository();
    for (branch, reason) in [("theirs", "they"), ("ours", "we")] {
        sandbox.git(&format!("checkout --quiet -b {branch} base"));
        tool(&sandbox, &format!("accept stats --on-upgrade migrate --reason {reason} --object {}", object("v3")));
        if branch == "theirs" {
            tool(&sandbox, &format!("update --object {}", object("v3")));
        }
        sandbox.release(&format!("{branch}-done"));
    }
    let ran = merge(&sandbox, "theirs");
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("maps.lock: both sides changed `stats` in ways that contradict each other"), "{said}");
    let text = sandbox.read("maps.lock");
    assert!(text.contains("<<<<<<< ours\n") && text.contains(">>>>>>> theirs\n"), "{text}");
    // What is in conflict is the reason, and the checksum over it: two lines.
    let inside: Vec<_> = text.split("<<<<<<< ours\n").skip(1).map(|block| block.split("=======").next()).collect();
    assert!(inside.iter().flatten().map(|block| block.lines().count()).sum::<usize>() <= 4, "{text}");
    assert!(text.contains("max_entries = 4096") && text.contains("[map.drops]"), "{text}");
    // One side of each block is a lock again.
    let ours: String = {
        let mut keep = true;
        let kept = text.lines().filter(|line| {
            match line.get(..7) {
                Some("<<<<<<<" | ">>>>>>>") => keep = true,
                Some("=======") => keep = false,
                _ => return keep,
            }
            false
        });
        kept.map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(Lock::parse(&ours).expect("a lock").maps["stats"].epochs[0].reason, "we");
    sandbox.write("maps.lock", ours);
    tool(&sandbox, &format!("check --object {}", object("v3")));
}

#[test]
fn what_is_no_lock_is_merged_as_text() {
    let sandbox = Sandbox::new();
    for (name, text) in [("base", "version = 99\na\nb\nc\nd\n"), ("ours", "version = 99\nA\nb\nc\nd\n")] {
        sandbox.write(name, text);
    }
    sandbox.write("theirs", "version = 99\na\nb\nc\nD\n");
    let ran = sandbox.run("merge-driver base ours theirs maps.lock 7");
    assert_eq!((ran.code, sandbox.read("ours").as_str()), (Some(0), "version = 99\nA\nb\nc\nD\n"), "{}", ran.stderr);
    assert!(ran.stdout.contains("maps.lock (base)") && ran.stdout.contains("merged by its lines"), "{}", ran.stdout);
    sandbox.write("theirs", "version = 99\nX\nb\nc\nd\n");
    let ran = sandbox.run("merge-driver base ours theirs");
    assert!(ran.code == Some(100) && sandbox.read("ours").contains("<<<<<<< ours"), "{}", ran.stdout);
}

#[test]
fn without_a_repository_nothing_is_written() {
    let sandbox = Sandbox::with_minimesh();
    let ran = sandbox.run(&format!("init --object {} --add merge-driver", object("v1")));
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(ran.stderr.contains("not a git repository") && ran.stderr.contains("`git init`"), "{}", ran.stderr);
    assert!(!sandbox.path("maps.lock").exists());
    sandbox.git("init --quiet");
    let ran = sandbox.run(&format!("init --object {} --add merge-driver", object("v1")));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn every_other_clone_is_set_up_by_the_line_that_is_said() {
    let sandbox = repository();
    assert_eq!(driver(&sandbox, ""), "cargo maplock merge-driver %O %A %B %P %L\n");
    let ran = sandbox.run("init --lock maps.lock --add merge-driver");
    assert!(ran.stdout.contains("this clone has the driver already"), "{}", ran.stdout);
    sandbox.git("clone --quiet . other");
    assert_eq!(driver(&sandbox, "other"), "");
    let line =
        ran.stdout.lines().find_map(|line| line.split_once("in every other clone, run: ")).expect("it is said").1;
    let status = Command::new("sh").args(["-c", line]).current_dir(sandbox.path("other")).status();
    assert!(status.expect("sh runs").success(), "{line}");
    assert_eq!(driver(&sandbox, "other"), driver(&sandbox, ""));
    // Whoever has another driver keeps it.
    sandbox.git("config merge.maplock.driver own");
    let ran = sandbox.run("init --lock maps.lock --add merge-driver");
    assert!(ran.stdout.contains("this clone has another driver, which stays: `own`"), "{}", ran.stdout);
    assert_eq!(driver(&sandbox, ""), "own\n");
}

#[test]
fn init_adds_what_is_picked_and_replaces_nothing() {
    let sandbox = repository();
    let lock = sandbox.read("maps.lock");
    sandbox.write(".pre-commit-config.yaml", "repos: []\n");
    let ran = sandbox.run("init --lock maps.lock --add github gitlab pre-commit merge-driver");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for said in ["wrote .github/workflows/maplock.yml", "wrote .gitlab/maplock.yml", "include: .gitlab/maplock.yml"] {
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
    }
    assert!(ran.stdout.contains(".pre-commit-config.yaml is there already"), "{}", ran.stdout);
    assert!(ran.stdout.contains("entry: cargo maplock check"), "{}", ran.stdout);
    assert!(ran.stdout.contains(".gitattributes has `maps.lock merge=maplock` already"), "{}", ran.stdout);
    assert_eq!((sandbox.read("maps.lock"), sandbox.read(".pre-commit-config.yaml").as_str()), (lock, "repos: []\n"));
}
