//! The verbs in Cargo projects, which are thrown away afterwards: the objects are those that their build scripts used.

mod support;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use support::{Sandbox, object, repository};

const BUILD_RS: &str = r#"
fn main() -> Result<(), maplock_codegen::BuildError> {
    maplock_codegen::Builder::new().object("minimesh", "minimesh.bpf.o").generate()
}
"#;

/// A sandbox whose builds share one target directory, so that the gate itself is built once.
fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::with_minimesh();
    sandbox.env("CARGO_TARGET_DIR", &format!("{}/projects", env!("CARGO_TARGET_TMPDIR")));
    sandbox.env("CARGO_NET_OFFLINE", "true");
    // The versions that are at hand, for they built this.
    fs::copy(repository().join("Cargo.lock"), sandbox.path("Cargo.lock")).expect("Cargo.lock");
    sandbox
}

fn manifest(name: &str, more: &str) -> String {
    let codegen = repository().join("codegen");
    format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n\
         [build-dependencies]\nmaplock-codegen = {{ path = {codegen:?} }}\n{more}"
    )
}

/// A package with the gate, in `dir`, and the object of a release.
fn package(sandbox: &Sandbox, dir: &str, name: &str, release: &str) {
    sandbox.write(&format!("{dir}/Cargo.toml"), manifest(name, ""));
    sandbox.write(&format!("{dir}/build.rs"), BUILD_RS);
    sandbox.write(&format!("{dir}/src/lib.rs"), "include!(concat!(env!(\"OUT_DIR\"), \"/maps.rs\"));\n");
    put(sandbox, dir, release);
}

/// A package at the root of the sandbox, with the object of v1. Cargo tells the roots of different workspaces in one target
/// directory apart by name alone, so each test needs one of its own.
fn alone(name: &str) -> Sandbox {
    let sandbox = sandbox();
    package(&sandbox, ".", name, "v1");
    sandbox
}

fn put(sandbox: &Sandbox, dir: &str, release: &str) {
    let bytes = fs::read(sandbox.path(&object(release))).expect("object");
    sandbox.write(&format!("{dir}/minimesh.bpf.o"), bytes);
}

/// Two packages with the gate and one that has nothing to do with maps, under a root without a package.
fn workspace([one, other]: [&str; 2]) -> Sandbox {
    let sandbox = sandbox();
    sandbox.write("Cargo.toml", format!("[workspace]\nresolver = \"3\"\nmembers = [{one:?}, {other:?}, \"plain\"]\n"));
    package(&sandbox, one, one, "v1");
    package(&sandbox, other, other, "v1");
    sandbox.write("plain/Cargo.toml", "[package]\nname = \"plain\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    sandbox.write("plain/src/lib.rs", "");
    sandbox
}

#[test]
fn a_package_goes_through_its_releases() {
    let sandbox = alone("meshd");
    let mut seen = sandbox.transcript(&["init", "check"]);
    put(&sandbox, ".", "v2");
    seen.push_str(&sandbox.transcript(&["check", "update"]));
    put(&sandbox, ".", "v3");
    seen.push_str(&sandbox.transcript(&[
        "check",
        "update",
        "accept stats --on-upgrade migrate --reason \"counters wrapped at 4 billion\"",
        "check",
    ]));
    insta::assert_snapshot!(seen);
}

#[test]
fn inspect_without_an_object_shows_those_of_the_build() {
    let sandbox = alone("inspected");
    let maps = sandbox.run("inspect --message-format json").json();
    assert_eq!(maps["maps"][3]["name"], "stats");
}

#[test]
fn a_build_that_fails_for_drift_in_ci_is_no_hindrance() {
    let mut sandbox = alone("drifting");
    assert_eq!(sandbox.run("init").code, Some(0));
    put(&sandbox, ".", "v2");
    sandbox.env("CI", "true");
    let codes = ["check", "update", "check"].map(|verb| {
        let ran = sandbox.run(verb);
        (ran.code, ran.stderr)
    });
    assert_eq!(codes, [100, 0, 0].map(|code| (Some(code), String::new())));
}

#[test]
fn a_package_that_includes_no_module_is_held_by_its_build_script_and_served_all_the_same() {
    let sandbox = alone("bare");
    sandbox.write("src/lib.rs", "");
    let build = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(sandbox.path(".")).arg("build").env("CARGO_NET_OFFLINE", "true").env_remove("CI");
        cargo.env("CARGO_TARGET_DIR", format!("{}/projects", env!("CARGO_TARGET_TMPDIR")));
        let output = cargo.output().expect("cargo");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(sandbox.run("init").code, Some(0));
    assert!(build().0);
    put(&sandbox, ".", "v3");
    let why = "no source of `bare` includes maps.rs from OUT_DIR";
    let (is_built, said) = build();
    assert!(!is_built && said.contains(why), "{said}");
    assert_eq!(sandbox.run("check").code, Some(100));
    // What `check` built has not opened the gate.
    let (is_built, said) = build();
    assert!(!is_built && said.contains(why), "{said}");
    assert_eq!(sandbox.run("accept stats --on-upgrade migrate --reason wrapped").code, Some(0));
    assert_eq!(sandbox.run("update").code, Some(0));
    assert!(build().0);
}

#[test]
fn a_lock_of_crlf_is_mended_though_its_build_fails() {
    let sandbox = alone("crlf");
    assert_eq!(sandbox.run("init").code, Some(0));
    let good = sandbox.read("maps.lock");
    sandbox.write("maps.lock", good.replace('\n', "\r\n"));
    assert_eq!(sandbox.run("update").code, Some(0));
    assert_eq!(sandbox.read("maps.lock"), good);
}

#[test]
fn a_workspace_is_taken_whole_or_by_package() {
    let sandbox = workspace(["agent", "relay"]);
    let mut seen = sandbox.transcript(&["check", "init -p agent", "init", "init", "check --workspace"]);
    put(&sandbox, "relay", "v3");
    seen.push_str(&sandbox.transcript(&[
        "check",
        "check -p agent",
        "accept stats --on-upgrade swap --reason x",
        "accept stats --on-upgrade swap --reason \"counters may start anew\" -p relay",
        "update -p relay",
        "check -p plain",
        "check -p rely",
        "diff HEAD",
    ]));
    insta::assert_snapshot!(seen);
    insta::assert_snapshot!("in_a_member", sandbox.transcript_in("relay/src", &["check", "check --workspace"]));
    // Of a node, the pins are those of one package.
    sandbox.write("node.json", r#"{"dir": "/p", "generation": 1, "maps": [], "programs": []}"#);
    let ran = sandbox.run("check --fleet node.json");
    let refused = "error: a node's pins are those of one lock, and several packages have one\n   help: choose the package with -p\nnote: nothing was compared\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(101), "", refused));
    let ran = sandbox.run("check -p agent --fleet node.json");
    assert!(
        ran.code == Some(0) && ran.stdout.contains("of 1 node, none loses entries"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    for merge in ["accept stats --merge connections=sum --merge passed_over=sum", "accept drops --merge value=sum"] {
        assert_eq!(sandbox.run_in("relay", merge).code, Some(0));
    }
    let elsewhere = sandbox.run_in("bpf", "check --manifest-path ../relay/Cargo.toml");
    assert_eq!((elsewhere.code, elsewhere.stdout.as_str()), (Some(0), "../relay/maps.lock is up to date: 5 maps\n"));
}

#[test]
fn the_lock_of_a_package_is_held_against_revisions_without_a_build() {
    let sandbox = workspace(["north", "south"]);
    assert_eq!(sandbox.run("init").code, Some(0));
    sandbox.git_init();
    sandbox.release("v1");
    fs::remove_file(sandbox.path("south/maps.lock")).expect("lock");
    put(&sandbox, "south", "v3");
    assert_eq!(sandbox.run("init").code, Some(0));
    // Nothing could be built now.
    fs::remove_file(sandbox.path("north/build.rs")).expect("build script");
    fs::remove_file(sandbox.path("south/build.rs")).expect("build script");
    insta::assert_snapshot!(sandbox.transcript(&[
        "check --against v1",
        "accept stats --on-upgrade migrate --reason \"counters wrapped\" --against v1 -p south",
        "check --against v1",
        "diff v1 -p south",
    ]));
}

#[test]
fn the_configuration_has_its_say() {
    let sandbox = alone("configured");
    assert_eq!(sandbox.run("init").code, Some(0));
    put(&sandbox, ".", "v2");
    sandbox.write(
        "Cargo.toml",
        manifest(
            "configured",
            "\n[package.metadata.maplock]\nmax-entries-increased = \"deny\"\nephemeral = [\"drops\"]\n",
        ),
    );
    insta::assert_snapshot!(sandbox.transcript(&[
        "check",
        "accept backends --on-upgrade reuse --reason \"grows at run time\"",
        "update"
    ]));
    let rules = sandbox.run("rules");
    let words = rules.stdout.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>());
    let grown = words.into_iter().find(|words| words.first() == Some(&"max-entries-increased"));
    assert_eq!(grown, Some(vec!["max-entries-increased", "kernel", "deny*"]), "{}", rules.stdout);
    assert_eq!(sandbox.run("accept stats --merge connections=sum --merge passed_over=sum").code, Some(0));
    let files = sandbox.run("check --object minimesh.bpf.o --lock maps.lock --manifest-path Cargo.toml");
    assert_eq!((files.code, files.stdout.as_str()), (Some(0), "maps.lock is up to date: 4 maps\n"));
}

#[test]
fn what_a_rule_allows_is_not_entered_without_a_decision() {
    let sandbox = alone("allowing");
    assert_eq!(sandbox.run("init").code, Some(0));
    put(&sandbox, ".", "v3");
    let allowed = "\n[package.metadata.maplock]\nmember-type-changed = \"allow\"\nmember-moved = \"allow\"\nvalue-size-changed = \"allow\"\n";
    sandbox.write("Cargo.toml", manifest("allowing", allowed));
    let update = sandbox.run("update");
    assert_eq!(update.code, Some(100));
    assert!(update.stdout.contains("cargo maplock accept stats"), "{}", update.stdout);
}

#[test]
fn mistakes_in_a_project_say_what_to_do() {
    let sandbox = alone("mistaken");
    let mut seen = sandbox.transcript(&["check", "update", "accept stats --undo"]);
    sandbox.write("Cargo.toml", manifest("mistaken", "\n[package.metadata.maplock]\nmember-movd = \"allow\"\n"));
    seen.push_str(&sandbox.transcript(&["init", "rules"]));
    sandbox.write("Cargo.toml", manifest("mistaken", ""));
    sandbox.write("build.rs", "fn main() {}\n");
    sandbox.write("src/lib.rs", "");
    seen.push_str(&sandbox.transcript(&["init"]));
    sandbox.write("Cargo.toml", "[package]\nname = \"mistaken\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    seen.push_str(&sandbox.transcript(&["init"]));
    fs::remove_file(sandbox.path("build.rs")).expect("build script");
    seen.push_str(&sandbox.transcript(&["init"]));
    sandbox.write("Cargo.toml", "[package]\nname = mistaken\n");
    seen.push_str(&sandbox.transcript(&["init"]));
    insta::assert_snapshot!(seen);
}

#[test]
fn a_build_script_that_fails_is_shown() {
    let sandbox = alone("panicking");
    sandbox.write("build.rs", "fn main() { panic!(\"no such luck\") }\n");
    let ran = sandbox.run("init");
    assert_eq!(ran.code, Some(101));
    assert!(ran.stderr.contains("error: the build script of `panicking` did not run to its end"), "{}", ran.stderr);
    assert!(ran.stderr.contains("no such luck"), "{}", ran.stderr);
}

#[test]
fn a_member_that_fails_hides_no_other_and_is_hidden_by_none() {
    let sandbox = workspace(["sound", "broken"]);
    assert_eq!(sandbox.run("init").code, Some(0));
    let check = |sandbox: &Sandbox| {
        let ran = sandbox.run("check --workspace --message-format json");
        let locks = ran.json()["locks"].as_array().cloned().unwrap_or_default();
        let results = locks.iter().map(|lock| format!("{}: {}", lock["package"], lock["result"]).replace('"', ""));
        (ran.code, results.collect::<Vec<_>>())
    };
    assert_eq!(check(&sandbox), (Some(0), vec!["sound: up-to-date".to_owned(), "broken: up-to-date".to_owned()]));
    let undone = (Some(101), vec!["sound: up-to-date".to_owned(), "broken: not-compared".to_owned()]);
    let lock = sandbox.read("broken/maps.lock");
    // Its lock, its object, its build script.
    fs::remove_file(sandbox.path("broken/maps.lock")).expect("lock");
    assert_eq!(check(&sandbox), undone);
    sandbox.write("broken/maps.lock", lock);
    sandbox.write("broken/minimesh.bpf.o", "hello");
    assert_eq!(check(&sandbox), undone);
    let update = sandbox.run("update");
    assert_eq!(update.code, Some(101));
    assert_eq!(update.stdout.matches("sound/maps.lock is up to date already").count(), 1, "{}", update.stdout);
    assert_eq!(update.stdout.matches("broken/maps.lock: nothing was written\n").count(), 1, "{}", update.stdout);
    sandbox.write("broken/build.rs", "fn main() {}\n");
    sandbox.write("broken/src/lib.rs", "");
    assert_eq!(check(&sandbox), undone);
    fs::remove_file(sandbox.path("broken/build.rs")).expect("build script");
    assert_eq!(check(&sandbox), undone);
    // The package itself, which the workspace still names.
    fs::remove_dir_all(sandbox.path("broken")).expect("package");
    for (format, says) in [("markdown", "### maplock: nothing was compared\n"), ("github", "::error title=")] {
        let ran = sandbox.run(&format!("check --workspace --message-format {format}"));
        assert_eq!(ran.code, Some(101), "{}", ran.stdout);
        assert!(ran.stdout.starts_with(says), "{}", ran.stdout);
    }
}

#[test]
fn a_member_that_vanished_is_not_forgotten() {
    let sandbox = workspace(["stays", "goes"]);
    assert_eq!(sandbox.run("init").code, Some(0));
    sandbox.git_init();
    sandbox.release("v1");
    let members = |more: &str| {
        sandbox.write("Cargo.toml", format!("[workspace]\nresolver = \"3\"\nmembers = [\"stays\", \"plain\"{more}]\n"));
    };
    fs::remove_dir_all(sandbox.path("goes")).expect("package");
    members("");
    for format in ["human", "markdown", "github", "json"] {
        let ran = sandbox.run(&format!("check --workspace --against v1 --message-format {format}"));
        assert_eq!(ran.code, Some(101), "{}", ran.stdout);
        assert!(ran.stdout.contains("goes/maps.lock"), "{}", ran.stdout);
    }
    let ran = sandbox.run("check --against v1");
    assert_eq!(
        ran.stdout,
        "stays/maps.lock against v1: 4 maps, no break\nerror: goes/maps.lock against v1: nothing was compared\n"
    );
    assert_eq!(sandbox.run("check -p stays --against v1").code, Some(0), "one that was chosen answers for itself");
    // It became another package, with the same lock in another directory.
    package(&sandbox, "came", "came", "v1");
    let lock = sandbox.read("stays/maps.lock");
    sandbox.write("came/maps.lock", lock);
    members(", \"came\"");
    let moved = sandbox.run("check --workspace --against v1");
    assert_eq!(moved.code, Some(0), "{}{}", moved.stdout, moved.stderr);
    assert!(moved.stdout.contains("note: compared with goes/maps.lock, which was moved\n"), "{}", moved.stdout);
    // It is given up.
    fs::remove_dir_all(sandbox.path("came")).expect("package");
    members("");
    let manifest = sandbox.read("Cargo.toml");
    sandbox.write("Cargo.toml", format!("{manifest}\n[workspace.metadata.maplock]\nretired = [\"goes/maps.lock\"]\n"));
    let retired = sandbox.run("check --workspace --against v1");
    assert_eq!((retired.code, retired.stdout.as_str()), (Some(0), "stays/maps.lock against v1: 4 maps, no break\n"));
}

#[test]
fn two_packages_that_lock_a_map_differently_are_told() {
    let sandbox = workspace(["first", "second"]);
    assert_eq!(sandbox.run("init").code, Some(0));
    put(&sandbox, "first", "v3");
    put(&sandbox, "second", "v3");
    let accept = |way: &str, package: &str| {
        let ran = sandbox.run(&format!("accept stats --on-upgrade {way} --reason \"counters wrapped\" -p {package}"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert_eq!(sandbox.run(&format!("update -p {package}")).code, Some(0));
    };
    let check = || sandbox.run("check --workspace");
    accept("migrate", "first");
    let (outdated, told) = (
        sandbox.read("second/maps.lock"),
        "error: second/maps.lock: map `stats` is locked differently in first/maps.lock",
    );
    assert!(check().stdout.contains(told), "{}", check().stdout);
    assert!(
        check().stdout.contains("cause: map `stats` is defined differently in first/maps.lock and in second/maps.lock"),
        "{}",
        check().stdout
    );
    accept("swap", "second");
    let answers = check();
    assert_eq!(answers.code, Some(100));
    assert!(
        answers
            .stdout
            .contains("cause: from b3387979 to 865211c5: `migrate` in first/maps.lock, `swap` in second/maps.lock"),
        "{}",
        answers.stdout
    );
    for (format, says) in [
        ("json", "\"result\":\"disagrees\""),
        ("github", "::error file=second/maps.lock,line=1,title=maplock%3A locks disagree::second/maps.lock"),
        ("markdown", "### maplock (`second`): second/maps.lock: map `stats`"),
    ] {
        let ran = sandbox.run(&format!("check --workspace --message-format {format}"));
        assert!(ran.code == Some(100) && ran.stdout.contains(says), "{}", ran.stdout);
    }
    sandbox.git_init();
    sandbox.release("v3");
    assert_eq!(sandbox.run("check --workspace --against v3").code, Some(100), "without a build too");
    accept("migrate", "second");
    assert_eq!(check().code, Some(0), "{}", check().stdout);
    // Two maps of one name: each says that it is its own.
    sandbox.write("second/maps.lock", outdated);
    put(&sandbox, "second", "v1");
    assert_eq!(check().code, Some(100));
    sandbox.write(
        "second/Cargo.toml",
        manifest("second", "\n[package.metadata.maplock.maps.stats]\nowner = \"maps.lock\"\n"),
    );
    let own = check();
    assert!(!own.stdout.contains("map `stats` is locked differently"), "{}", own.stdout);
}

#[test]
fn cargo_runs_it_as_a_plugin() {
    let sandbox = alone("plugged");
    let bin = PathBuf::from(env!("CARGO_BIN_EXE_cargo-maplock"));
    let mut paths = vec![bin.parent().expect("a directory").to_owned()];
    paths.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new("cargo");
    command.args(["maplock", "init"]).current_dir(sandbox.path("")).env("PATH", env::join_paths(paths).expect("paths"));
    command
        .env("CARGO_TARGET_DIR", format!("{}/projects", env!("CARGO_TARGET_TMPDIR")))
        .env("CARGO_NET_OFFLINE", "true");
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(sandbox.read("maps.lock").contains("[map.stats]"));
}

#[test]
fn targets_whose_layouts_differ_have_a_lock_each() {
    const BUILD_FOR_TARGET: &str = r#"
fn main() -> Result<(), maplock_codegen::BuildError> {
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap();
    let object = if arch == "aarch64" { "arm.bpf.o" } else { "minimesh.bpf.o" };
    maplock_codegen::Builder::new().object("minimesh", object).generate()
}
"#;
    let sandbox = alone("targeted");
    sandbox.write("build.rs", BUILD_FOR_TARGET);
    let arm = fs::read(sandbox.path(&object("v3"))).expect("object");
    sandbox.write("arm.bpf.o", arm);
    sandbox.git_init();
    let run = |line: &str| sandbox.run(line);
    assert_eq!(run("init --target x86_64-unknown-linux-gnu").code, Some(0));
    sandbox.release("r1");
    // One lock for both would be a break of one of them.
    let arm = "--target aarch64-unknown-linux-gnu";
    assert_eq!(run(&format!("check {arm}")).code, Some(100));
    let manifest = manifest("targeted", "\n[package.metadata.maplock]\ntargets = [\"aarch64\"]\n");
    sandbox.write("Cargo.toml", manifest);
    let init = run(&format!("init {arm}"));
    assert!(init.stdout.contains("maps.aarch64.lock is written"), "{}{}", init.stdout, init.stderr);
    for target in ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"] {
        let check = run(&format!("check --target {target}"));
        assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    }
    // What nodes of that target run was locked with all others.
    let against = run(&format!("check --against r1 {arm}"));
    assert_eq!(against.code, Some(100), "{}{}", against.stdout, against.stderr);
    let said = format!("{}{}", against.stdout, against.stderr);
    assert!(said.contains("compared with r1:maps.lock, which was the lock of all targets"), "{said}");
}
