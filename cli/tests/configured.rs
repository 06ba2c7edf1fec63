//! `maplock.toml`: the configuration of those who build without Cargo.

mod support;

use std::fs;

use support::{Sandbox, object};

/// A directory `agent` with the object of v1 and a configuration; objects and lock are named in it.
fn agent(config: &str) -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.write("agent/maplock.toml", format!("objects = [\"bpf/mesh.o\"]\n{config}"));
    put(&sandbox, "v1");
    sandbox
}

fn put(sandbox: &Sandbox, release: &str) {
    sandbox.write("agent/bpf/mesh.o", fs::read(sandbox.path(&object(release))).expect("object"));
}

#[test]
fn no_object_and_no_lock_has_to_be_named() {
    let sandbox = agent("ephemeral = [\"services\"]\n");
    let mut seen = sandbox.transcript_in("agent", &["init", "check"]);
    put(&sandbox, "v3");
    seen.push_str(&sandbox.transcript_in(
        "agent",
        &["check", "accept stats --on-upgrade migrate --reason \"counters wrapped at 4 billion\"", "update"],
    ));
    insta::assert_snapshot!(seen);
    for merge in ["accept stats --merge connections=sum --merge passed_over=sum", "accept drops --merge value=sum"] {
        assert_eq!(sandbox.run_in("agent", merge).code, Some(0));
    }
    let check = |dir: &str, line: &str| {
        let ran = sandbox.run_in(dir, line);
        (ran.code, ran.stdout.trim_end().to_owned())
    };
    let fresh = |lock: &str| (Some(0), format!("{lock} is up to date: 4 maps"));
    assert_eq!(check("agent/bpf", "check"), fresh("../maps.lock"));
    assert_eq!(check("", "check --config agent/maplock.toml"), fresh("agent/maps.lock"));
    assert_eq!(check("", "check --lock agent/maps.lock"), fresh("agent/maps.lock"));
    fs::rename(sandbox.path("agent/maplock.toml"), sandbox.path("agent/settings.toml")).expect("rename");
    assert_eq!(check("", "check --config agent/settings.toml --lock agent/maps.lock"), fresh("agent/maps.lock"));
    assert_eq!(check("", "check --lock agent/maps.lock").0, Some(101), "no configuration, no object");
}

#[test]
fn what_is_said_of_user_space_is_told_as_the_change_that_it_is() {
    let sandbox = agent("");
    assert_eq!(sandbox.run_in("agent", "init").code, Some(0));
    let words = "  changed  stats  nothing in user space deletes entries, by the configuration\n";
    let no_longer = "  changed  stats  the configuration no longer says that nothing in user space deletes entries\n";
    for (more, told) in [("[maps.stats]\nuser-deletes = \"never\"\n", words), ("", no_longer)] {
        sandbox.write("agent/maplock.toml", format!("objects = [\"bpf/mesh.o\"]\n{more}"));
        let update = sandbox.run_in("agent", "update").stdout;
        assert!(update.contains(told) && !update.contains("same meaning"), "{update}");
    }
}

#[test]
fn levels_are_heeded_by_every_verb() {
    let sandbox = agent("max-entries-increased = \"deny\"\nlock = \"state/maps.lock\"\n");
    fs::create_dir(sandbox.path("agent/state")).expect("directory");
    assert_eq!(sandbox.run_in("agent", "init").code, Some(0));
    sandbox.git_init();
    sandbox.release("v1");
    put(&sandbox, "v2");
    for verb in ["check", "update"] {
        let ran = sandbox.run_in("agent", verb);
        assert_eq!(ran.code, Some(100), "{}", ran.stdout);
        assert!(ran.stdout.contains("error[max-entries-increased]"), "{}", ran.stdout);
    }
    let accept = "accept backends --on-upgrade reuse --reason \"grows at run time\"";
    assert_eq!(sandbox.run_in("agent", accept).code, Some(0));
    assert_eq!(sandbox.run_in("agent", "update").code, Some(0));
    let against = sandbox.run_in("agent", "check --against v1");
    let last = "state/maps.lock against v1: 5 maps, breaks of 1 map accepted; no pinned state is lost";
    assert_eq!(against.stdout.lines().last(), Some(last));
    assert_eq!(sandbox.run_in("agent", "diff v1").code, Some(0));
    let rules = sandbox.run_in("agent/bpf", "rules").stdout;
    let grown = rules.lines().find(|line| line.starts_with("max-entries-increased")).unwrap_or_default();
    assert!(grown.contains("deny*"), "{rules}");
    assert_eq!(sandbox.run("rules --config agent/maplock.toml").stdout, rules);
}

#[test]
fn mistakes_are_told_with_file_and_line() {
    let sandbox = agent("member-movd = \"warn\"\n");
    let mut seen = sandbox.transcript_in("agent", &["init"]);
    sandbox.write("agent/maplock.toml", "objects = [\"bpf/mesh.o\"]\nephemeral = [\"stat\"]\n");
    seen.push_str(&sandbox.transcript_in("agent", &["init"]));
    sandbox.write("agent/maplock.toml", "objects = [\"bpf/gone.o\"]\n");
    seen.push_str(&sandbox.transcript_in("agent", &["init", "check --config none.toml"]));
    sandbox.write("agent/maplock.toml", "");
    seen.push_str(&sandbox.transcript_in("agent", &["init"]));
    insta::assert_snapshot!(seen);
}

#[test]
fn a_package_says_it_in_one_of_two_files() {
    let sandbox = agent("");
    let configure = |manifest: &str, file: &str| {
        let package = "[package]\nname = \"agent\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
        sandbox.write("agent/Cargo.toml", format!("{package}{manifest}"));
        sandbox.write("agent/maplock.toml", file);
        sandbox.write("agent/src/lib.rs", "");
        sandbox.run_in("agent", "rules")
    };
    let alone = configure("", "member-moved = \"warn\"\n");
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    assert!(alone.stdout.contains("warn*"), "{}", alone.stdout);
    let both = configure("[package.metadata.maplock]\n", "member-moved = \"warn\"\n");
    assert_eq!(both.code, Some(101));
    assert!(both.stderr.contains("maplock.toml:1: this package has `[package.metadata.maplock]`"), "{}", both.stderr);
    let objects = configure("", "objects = [\"bpf/mesh.o\"]\n");
    assert!(objects.stderr.contains("maplock.toml:1: `objects` is not for a Cargo package"), "{}", objects.stderr);
    let named = sandbox.run("check --object agent/bpf/mesh.o --lock agent/maps.lock --manifest-path agent/Cargo.toml");
    assert!(named.stderr.contains("`objects` is not for a Cargo package"), "{}", named.stderr);
    sandbox.write("agent/maplock.toml", "");
    sandbox.write("other/maplock.toml", "");
    let two = sandbox.run("check --object agent/bpf/mesh.o --lock other/maps.lock --manifest-path agent/Cargo.toml");
    assert!(two.stderr.contains("both other/maplock.toml and agent/Cargo.toml"), "{}", two.stderr);
}

#[test]
fn a_map_of_another_package_is_held_against_its_lock() {
    let sandbox = agent("[maps.stats]\nowner = \"../daemon/maps.lock\"\n");
    let without = sandbox.run_in("agent", "init");
    assert_eq!(without.code, Some(101), "{}", without.stdout);
    assert!(
        without.stderr.contains("daemon/maps.lock\n") && without.stderr.contains("named as the owner of map `stats`"),
        "{}",
        without.stderr
    );
    sandbox.write("daemon/mesh.o", fs::read(sandbox.path(&object("v1"))).expect("object"));
    assert_eq!(sandbox.run_in("daemon", "init --object mesh.o").code, Some(0));
    assert_eq!(sandbox.run_in("agent", "init").code, Some(0));
    assert!(!sandbox.read("agent/maps.lock").contains("[map.stats]"), "{}", sandbox.read("agent/maps.lock"));
    assert_eq!(sandbox.run_in("agent", "check").code, Some(0));
    // The layout changes here, and not there.
    put(&sandbox, "v3");
    let held = sandbox.run_in("agent", "check");
    assert_eq!(held.code, Some(100), "{}", held.stderr);
    let named = "map `stats` is defined differently in daemon/maps.lock and in mesh";
    assert!(held.stdout.contains(named), "{}", held.stdout);
    // No answer settles that here.
    let review = sandbox.run_in("agent", "review");
    assert_eq!(review.code, Some(100), "{}", review.stdout);
    assert!(review.stdout.contains(named) && !review.stdout.contains("nothing waits"), "{}", review.stdout);
    assert_eq!(sandbox.run_in("agent", "update").code, Some(100));
    // It changes there too.
    sandbox.write("daemon/mesh.o", fs::read(sandbox.path(&object("v3"))).expect("object"));
    let accept = "accept stats --on-upgrade swap --reason wrapped --object mesh.o";
    assert_eq!(sandbox.run_in("daemon", accept).code, Some(0));
    assert_eq!(sandbox.run_in("agent", "update").code, Some(0));
    assert_eq!(sandbox.run_in("agent", "check").code, Some(0));
    sandbox.write("daemon/maps.lock", maplock_layout::Lock::default().to_string());
    assert_eq!(sandbox.run_in("agent", "check").code, Some(101));
    // Its own lock is no other package's.
    let own = agent("[maps.stats]\nowner = \"./maps.lock\"\n");
    assert_eq!(own.run_in("agent", "init").code, Some(0));
    assert!(own.read("agent/maps.lock").contains("[map.stats]"));
}
