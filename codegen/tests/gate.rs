//! The gate as the people who build a package meet it: real Cargo projects, from the first build without a lock to a
//! release that breaks pinned state. What each diagnostic says is kept in `snapshots/`.

mod support;

use std::borrow::Borrow;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use insta::assert_snapshot;
use maplock_codegen::{Inputs, Manifest, OBJECTS_VARIABLE};
use maplock_layout::counters::unmerged;
use maplock_layout::lock::{Merge, OnUpgrade};
use maplock_layout::{Change, Config, Finding, Lock, epochs};

use support::{Build, Project, clang, compile_for_bpf, root, run, skip, times};

const MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"

[build-dependencies]
maplock-codegen = { path = "CODEGEN" }

[workspace]
"#;

/// A crate that uses what is generated, so that an error there would bring others about.
const LIBRARY: &str = r#"mod maps {
    include!(concat!(env!("OUT_DIR"), "/maps.rs"));
}

pub use maps::SPEC;

pub fn service(key: &maps::stats::Key) -> u32 {
    key.service
}

pub const STATS_SIZE: usize = size_of::<maps::stats::Value>();
"#;

const OBJECT: &str = "bpf/minimesh.bpf.o";

fn manifest(name: &str) -> String {
    MANIFEST.replace("NAME", name).replace("CODEGEN", &root().join("codegen").display().to_string())
}

/// A build script whose runs can be counted.
fn build_script(calls: &str) -> String {
    format!(
        "use std::io::Write as _;

fn main() -> Result<(), maplock_codegen::BuildError> {{
    let runs = std::path::Path::new(&std::env::var_os(\"OUT_DIR\").unwrap()).join(\"runs\");
    writeln!(std::fs::OpenOptions::new().append(true).create(true).open(runs).unwrap(), \"run\").unwrap();
    maplock_codegen::Builder::new(){calls}.generate()
}}
"
    )
}

/// The one project on which most tests work, one after the other: with the object, the sources and the lock of the
/// first release.
fn minimesh() -> MutexGuard<'static, Project> {
    static PROJECT: OnceLock<Mutex<Project>> = OnceLock::new();
    let project = PROJECT.get_or_init(|| {
        let project = Project::kept("minimesh");
        project.write("build.rs", build_script(".object(\"minimesh\", \"bpf/minimesh.bpf.o\")"));
        for release in ["v1", "v2", "v3", "v4"] {
            let header = format!("bpf/minimesh/{release}/minimesh.h");
            project.copy(&header, &header);
        }
        Mutex::new(project)
    });
    let project = project.lock().unwrap_or_else(PoisonError::into_inner);
    project.write("Cargo.toml", manifest("minimesh"));
    project.write("src/lib.rs", LIBRARY);
    project.write("maps.lock", first_lock());
    release(&project, "v1");
    // Whatever the test before has left, the build script runs anew.
    project.touch("maps.lock");
    project
}

/// The lock of minimesh's first release, without what its configuration says beside the object.
fn first_lock() -> String {
    let text = fs::read_to_string(root().join("minimesh/maps.lock")).expect("the lock of v1");
    let mut lock = Lock::parse(&text).expect("a good lock");
    lock.maps.values_mut().for_each(|map| map.user_never_deletes = false);
    lock.to_string()
}

/// Puts the object of a release in place.
fn release(project: &Project, release: &str) {
    project.copy(&format!("bpf/minimesh/{release}/minimesh.bpf.o"), OBJECT);
}

/// Adds lines to a project's `Cargo.toml`, in place of those that were added before.
fn configure(project: &Project, lines: &str) {
    let text = project.read("Cargo.toml");
    let own = text.split_inclusive("[workspace]\n").next().expect("there is always a first");
    project.write("Cargo.toml", format!("{own}\n{lines}"));
}

/// The lock in which the change of one map is accepted, everything that needs no decision is entered, and counters are summed.
fn accepted(project: &Project, map: &str, on_upgrade: OnUpgrade) -> Lock {
    let config = Manifest::read(&project.path("")).expect("a good configuration").config;
    let objects = [("minimesh".to_owned(), project.path(OBJECT))];
    let observation = Inputs::read(&objects, &config).expect("a good object").observation;
    let lock = Lock::parse(&project.read("maps.lock")).expect("a good lock");
    let lock = epochs::accept(&lock, &observation, map, on_upgrade, "it wrapped", &config.levels).expect("a change");
    let lock = epochs::update(&lock, &observation, &config.levels).unwrap_or(lock);
    let summed = |lock: Lock, found: &Finding| match &found.change {
        Change::Counted { members } => {
            let sums = members.iter().map(|(path, _)| (path.clone(), Merge::Sum)).collect();
            epochs::merge(&lock, &found.map, &sums).expect("counters")
        }
        _ => lock,
    };
    unmerged(&lock, &lock, &config.levels).iter().fold(lock.clone(), summed)
}

/// What several builds said, under headings.
fn told<'a>(builds: impl IntoIterator<Item = (&'a str, impl Borrow<Build>)>) -> String {
    builds.into_iter().map(|(heading, build)| format!("== {heading} ==\n\n{}\n\n", build.borrow().told())).collect()
}

#[test]
fn without_a_lock_the_first_build_says_how_to_get_one() {
    let project = minimesh();
    project.remove("maps.lock");
    let warned = project.build().warns("run `cargo maplock init`");
    let in_ci = project.build_with("CI", "1").fails("run `cargo maplock init`");
    let locked = project.build_with("MAPLOCK_LOCKED", "1").fails("run `cargo maplock init`");
    assert_eq!(in_ci.told(), locked.told());
    project.build_with("CI", "false").warns("run `cargo maplock init`");
    assert_snapshot!(told([("at a desk", warned), ("in CI", in_ci)]));
}

#[test]
fn what_agrees_with_the_lock_is_built_without_a_word_and_only_once() {
    let project = minimesh();
    let first = project.build().succeeds_silently();
    assert!(first.generated("maps.rs").contains("pub struct Backend "));
    let (sources, outputs) = (project.times(), times(&first.out_dir()));

    let second = project.build().succeeds_silently();
    assert!(second.is_fresh());
    assert_eq!(second.runs, first.runs);
    assert_eq!(project.times(), sources);
    assert_eq!(times(&second.out_dir()), outputs);
}

#[test]
fn ci_and_locked_have_nothing_against_what_agrees_with_the_lock() {
    let project = minimesh();
    project.build_with("CI", "true").succeeds_silently();
    project.build_with("MAPLOCK_LOCKED", "1").succeeds_silently();
}

#[test]
fn whatever_is_read_is_watched() {
    let project = minimesh();
    let mut last = project.build().succeeds_silently();
    for file in [OBJECT, "maps.lock", "Cargo.toml"] {
        let written = fs::metadata(last.out_dir().join("maps.rs")).expect("a module").modified().expect("a time");
        project.touch(file);
        let next = project.build().succeeds_silently();
        assert_eq!(next.runs, last.runs + 1, "{file}");
        let rewritten = fs::metadata(next.out_dir().join("maps.rs")).expect("a module").modified().expect("a time");
        assert_eq!(rewritten, written, "the module says the same as before {file} was touched");
        last = next;
    }
    project.touch("src/lib.rs");
    assert_eq!(project.build().succeeds_silently().runs, last.runs, "the library is none of the gate's business");
    for variable in ["CI", "MAPLOCK_LOCKED", "MAPLOCK_GATE", "DOCS_RS"] {
        let next = project.build_with(variable, "1");
        assert_eq!(next.runs, last.runs + 1, "{variable}");
        last = project.build();
        assert_eq!(last.runs, next.runs + 1, "without {variable}");
    }
}

#[test]
fn growth_and_a_new_map_are_warned_of_with_the_command_that_records_them() {
    let project = minimesh();
    release(&project, "v2");
    let warned = project.build().warns("run `cargo maplock update`");
    for what in ["`backends`", "64", "4096", "`drops`"] {
        assert!(warned.told().contains(what), "{}", warned.told());
    }
    project.build_with("MAPLOCK_LOCKED", "0").warns("run `cargo maplock update`");
    let locked = project.build_with("MAPLOCK_LOCKED", "1").fails("run `cargo maplock update`");
    let in_ci = project.build_with("CI", "true").fails("run `cargo maplock update`");
    assert_eq!(in_ci.told(), locked.told());
    let both = project.cargo("build").env("CI", "1").env("MAPLOCK_GATE", "warn").run();
    both.fails("run `cargo maplock update`");
    assert_snapshot!(told([("at a desk", warned), ("in CI", in_ci)]));
}

#[test]
fn a_grown_member_fails_the_build_with_one_error_that_holds_the_whole_report() {
    let project = minimesh();
    release(&project, "v3");
    let failed = project.build().fails("would be misread or lost");
    assert_eq!(failed.told(), project.build_with("CI", "1").fails("would be misread or lost").told());
    assert_snapshot!(failed.told());
}

#[test]
fn breaks_of_several_maps_are_one_error_too() {
    let project = minimesh();
    release(&project, "v4");
    let failed = project.build().fails("pinned state of 2 maps would be misread or lost: `backends`, `stats`");
    assert_snapshot!(failed.told());
}

#[test]
fn a_failing_build_fails_again_until_the_layout_is_back() {
    let project = minimesh();
    release(&project, "v4");
    let first = project.build().fails("would be misread or lost");
    let second = project.build().fails("would be misread or lost");
    assert_eq!(second.told(), first.told());
    assert_eq!(second.runs, first.runs);
    release(&project, "v1");
    project.build().succeeds_silently();
}

#[test]
fn a_package_that_includes_no_module_fails_in_its_build_script() {
    let project = minimesh();
    release(&project, "v3");
    let error = project.build().fails("would be misread or lost");
    let report = fs::read_to_string(error.out_dir().join("maps.err")).expect("the report");
    // The include goes while the break is there, which changes nothing but a source.
    project.write("src/lib.rs", "// include!(concat!(env!(\"OUT_DIR\"), \"/maps.rs\"));\n");
    let told = format!(
        "Error: {}\n\nThe build script fails because no source of `minimesh` includes maps.rs from OUT_DIR.\n",
        report.trim_end()
    );
    project.build().fails_in_the_script(&told);
    project.build_with("CI", "1").fails_in_the_script(&told);
    // `cargo maplock` gets the objects all the same, and leaves the gate as it was.
    project.build_with(OBJECTS_VARIABLE, "1").succeeds_silently();
    project.build().fails_in_the_script(&told);
    project.build_with("MAPLOCK_GATE", "warn").warns("would be misread or lost");
    release(&project, "v1");
    project.build().succeeds_silently();
}

#[test]
fn an_include_that_goes_from_wherever_it_was_is_missed_at_the_next_build() {
    let project = Project::kept("elsewhere");
    project.write("Cargo.toml", format!("{}\n[lib]\npath = \"daemon/lib.rs\"\n", manifest("elsewhere")));
    project.write("build.rs", build_script(".object(\"minimesh\", \"bpf/minimesh.bpf.o\")"));
    project.write("maps.lock", first_lock());
    project.write("daemon/lib.rs", LIBRARY);
    release(&project, "v3");
    project.build().fails("would be misread or lost");
    project.write("daemon/lib.rs", "");
    project
        .build()
        .fails_in_the_script("The build script fails because no source of `elsewhere` includes maps.rs from OUT_DIR.");
}

#[test]
fn an_ide_gets_the_whole_report() {
    let project = minimesh();
    release(&project, "v3");
    let at_a_terminal = project.build().fails("would be misread or lost");
    let in_an_ide = project.cargo("check").arg("--message-format=json").run_as_it_is();
    let messages: Vec<_> = in_an_ide.messages("compiler-message").map(|message| &message["message"]).collect();
    let errors: Vec<_> = messages.iter().filter(|message| message["code"].is_null()).collect();
    let reports: Vec<_> =
        errors.iter().filter(|message| !message["spans"].as_array().is_none_or(Vec::is_empty)).collect();
    let [report] = reports.as_slice() else { panic!("{} reports: {messages:?}", reports.len()) };
    assert_eq!(report["level"], "error");
    let rendered = report["rendered"].as_str().expect("a text");
    for line in ["bpf/minimesh/v3/minimesh.h:47:8", "maps.lock", "cargo maplock accept stats --on-upgrade migrate"] {
        assert!(rendered.contains(line), "no `{line}` in:\n{rendered}");
        assert!(at_a_terminal.told().contains(line), "no `{line}` in:\n{}", at_a_terminal.told());
        // What an editor shows beside the code is the message alone.
        assert!(report["message"].as_str().expect("a text").contains(line), "no `{line}` in {}", report["message"]);
    }
}

#[test]
fn gate_warn_builds_a_break_at_a_desk_but_not_in_ci() {
    let project = minimesh();
    release(&project, "v3");
    let warned = project.build_with("MAPLOCK_GATE", "warn").warns("would be misread or lost");
    assert!(warned.generated("maps.rs").contains("pub connections: u64"));
    let in_ci = project.cargo("build").env("MAPLOCK_GATE", "warn").env("CI", "1").run();
    in_ci.fails("would be misread or lost");
    project.build_with("MAPLOCK_GATE", "off").fails("would be misread or lost");
    assert_snapshot!(warned.told());
}

#[test]
fn no_variable_and_no_stray_file_opens_the_gate_of_a_locked_build() {
    let project = minimesh();
    release(&project, "v3");
    let warned = project.cargo("build").env("MAPLOCK_GATE", "warn").env("MAPLOCK_LOCKED", "1").run();
    warned.fails("would be misread or lost");
    project.cargo("build").env("DOCS_RS", "1").env("CI", "1").run().fails("would be misread or lost");
    // What a merge tool leaves behind does not make a published package.
    project.write("Cargo.toml.orig", "");
    let stray = project.cargo("build").env("MAPLOCK_GATE", "warn").env("CI", "1").run();
    std::fs::remove_file(project.path("Cargo.toml.orig")).expect("it was written above");
    stray.fails("would be misread or lost");
}

#[test]
fn a_binding_does_not_overrule_what_the_object_says_itself() {
    let project = minimesh();
    configure(&project, "[package.metadata.maplock.maps.stats]\nvalue = \"struct stats\"\n");
    project.build().fails("remove the binding to `struct stats` in Cargo.toml");
}

#[test]
fn an_accepted_break_builds_again_and_hides_no_other() {
    let project = minimesh();
    release(&project, "v3");
    project.build().fails("cargo maplock accept stats");
    let lock = accepted(&project, "stats", OnUpgrade::Migrate);
    project.write("maps.lock", lock.to_string());
    let built = project.build_with("CI", "1").succeeds_silently();
    let module = built.generated("maps.rs");
    assert!(module.contains("[map.stats.history]") && module.contains("on-upgrade = \"migrate\""), "{module}");

    release(&project, "v4");
    let failed = project.build().fails("would be misread or lost");
    assert!(failed.told().contains("`backends`") && failed.told().contains("`stats`"), "{}", failed.told());
    release(&project, "v1");
    let lost = "pinned state of 2 maps would be misread or lost: `drops`, `stats`";
    project.build().fails(&format!("{lost}; the new capacity of map `backends` is not accepted"));
}

#[test]
fn breaks_are_accepted_one_map_at_a_time() {
    let project = minimesh();
    release(&project, "v4");
    let lock = accepted(&project, "stats", OnUpgrade::Swap);
    project.write("maps.lock", lock.to_string());
    let failed = project.build().fails("pinned state of map `backends` would be misread or lost");
    assert!(!failed.told().contains("accept stats"), "{}", failed.told());
    let lock = accepted(&project, "backends", OnUpgrade::Reuse);
    project.write("maps.lock", lock.to_string());
    project.build().succeeds_silently();
}

#[test]
fn docs_rs_builds_the_same_module_from_the_lock_alone() {
    let project = minimesh();
    let from_the_object = project.build().succeeds_silently().generated("maps.rs");
    project.remove(OBJECT);
    let built = project.build_with("DOCS_RS", "1").succeeds();
    // Where a type is declared, and what stands there, only the object tells.
    let code = |module: &str| -> Vec<String> {
        module.lines().filter(|line| !line.trim_start().starts_with("///")).map(str::to_owned).collect()
    };
    assert_eq!(code(&built.generated("maps.rs")), code(&from_the_object));
    project.remove("maps.lock");
    let without = project.build_with("DOCS_RS", "1").fails("maps.lock");
    assert_snapshot!(told([("with the lock", built), ("without it", without)]));
}

#[test]
fn anywhere_else_a_missing_object_is_an_error() {
    let project = minimesh();
    project.build().succeeds_silently();
    project.remove(OBJECT);
    let failed = project.build().fails(OBJECT);
    project.build_with("MAPLOCK_GATE", "warn").fails(OBJECT);
    release(&project, "v1");
    project.build().succeeds_silently();
    assert_snapshot!(failed.told());
}

#[test]
fn what_is_no_ebpf_object_is_named() {
    let project = minimesh();
    project.write(OBJECT, "not an object");
    let text = project.build().fails("not a 64-bit ELF object");
    project.write(OBJECT, fs::read(env!("CARGO")).expect("a program"));
    let program = project.build().fails("not for eBPF");
    assert_snapshot!(told([("a text", text), ("a program", program)]));
}

#[test]
fn an_object_without_types_says_how_to_compile_it() {
    let Some(clang) = clang() else { return };
    let project = minimesh();
    let mut command = Command::new(clang);
    command.current_dir(root()).args(["-target", "bpfel", "-O2", "-I", "bpf/include", "-I", "bpf/minimesh/v1"]);
    support::run(command.args(["-c", "bpf/minimesh/minimesh.bpf.c", "-o"]).arg(project.path(OBJECT)));
    let failed = project.build().fails("-g");
    assert_snapshot!(failed.told());
}

#[test]
fn a_builder_without_an_object_says_what_to_call() {
    let project = minimesh();
    project.write("build.rs", build_script(""));
    let failed = project.build().fails(".object(name, path)");
    project.write("build.rs", build_script(".object(\"minimesh\", \"bpf/minimesh.bpf.o\")"));
    project.build().succeeds_silently();
    assert_snapshot!(failed.told());
}

#[test]
fn each_kind_of_broken_lock_fails_with_what_to_do() {
    let project = minimesh();
    let lock = project.read("maps.lock");
    let mut builds = Vec::new();
    let mut broken = |heading, text: String, words: &str| {
        project.write("maps.lock", text);
        builds.push((heading, project.build().fails(words)));
    };
    let conflict = "<<<<<<< HEAD\nmax_entries = 64\n=======\nmax_entries = 128\n>>>>>>> topic\n";
    broken("a merge left undone", lock.replacen("max_entries = 64\n", conflict, 1), "merge conflict markers");
    broken("other ends of lines", lock.replace('\n', "\r\n"), "CR LF");
    broken("a newer version", lock.replace("version = 1", "version = 2"), "version 2 is newer");
    broken("edited by hand", lock.replace("\"last_seen\"", "\"seen_last\""), "edited by hand");
    broken("cut off", lock[..lock.find("\nmembers").expect("a type") + 4].to_owned(), "restore the file from git");
    broken("empty", String::new(), "no `version`");
    project.write("maps.lock", lock);
    project.build().succeeds_silently();
    assert_snapshot!(told(builds));
}

#[test]
fn a_mistake_in_cargo_toml_is_named_with_its_line_and_what_was_meant() {
    let project = minimesh();
    let mut builds = Vec::new();
    let mut mistaken = |heading, lines: &str, words: &str| {
        configure(&project, lines);
        builds.push((heading, project.build().fails(words)));
    };
    mistaken(
        "a rule",
        "[package.metadata.maplock]\nmember-mvoed = \"warn\"\n",
        "Cargo.toml:12: `member-mvoed` is neither a key nor a rule; did you mean `member-moved`?",
    );
    mistaken("a level", "[package.metadata.maplock]\nmember-moved = \"wran\"\n", "did you mean `warn`?");
    mistaken("a key", "[package.metadata.maplock]\nephemral = [\"stats\"]\n", "did you mean `ephemeral`?");
    mistaken("a map", "[package.metadata.maplock]\nephemeral = [\"stat\"]\n", "did you mean `stats`?");
    mistaken(
        "a contradiction",
        "[package.metadata.maplock]\npinned = [\"stats\"]\nephemeral = [\"stats\"]\n",
        "both `pinned` and `ephemeral`",
    );
    mistaken("a rule that can't be relaxed", "[package.metadata.maplock]\nmap-conflict = \"warn\"\n", "denied always");
    mistaken("the workspace's", "[workspace.metadata.maplock]\nmember-mvoed = \"warn\"\n", "`member-moved`?");
    assert_snapshot!(told(builds));
}

#[test]
fn a_mistake_in_cargo_toml_that_is_put_right_builds_again() {
    let project = minimesh();
    configure(&project, "[package.metadata.maplock]\nmember-mvoed = \"warn\"\n");
    project.build().fails("did you mean `member-moved`?");
    configure(&project, "[package.metadata.maplock]\nmember-moved = \"warn\"\n");
    project.build().succeeds_silently();
}

#[test]
fn a_rule_that_does_not_fail_the_build_names_a_command_that_goes_through() {
    let project = minimesh();
    release(&project, "v3");
    let level = |level| {
        let rules = ["member-type-changed", "member-moved", "value-size-changed"];
        let lines = rules.map(|rule| format!("{rule} = \"{level}\"\n"));
        configure(&project, &format!("[package.metadata.maplock]\n{}", lines.concat()));
    };
    level("warn");
    let warned = project.build().warns("`connections` grew from u32 to u64");
    level("allow");
    let allowed = project.build().warns("`connections` grew from u32 to u64");
    assert_snapshot!(told([("warn", &warned), ("allow", &allowed)]));
    // The old bytes are wrong at any level, so that `update` leaves the decision to a person.
    for build in [warned, allowed] {
        assert!(build.told().contains("`cargo maplock check` shows how"), "{}", build.told());
    }
}

#[test]
fn a_map_that_is_made_ephemeral_loses_its_state_and_that_is_a_break() {
    let project = minimesh();
    configure(&project, "[package.metadata.maplock]\nephemeral = [\"backends\"]\n");
    let failed = project.build().fails("map `backends` is no longer pinned");
    project.write("maps.lock", accepted(&project, "backends", OnUpgrade::Swap).to_string());
    let module = project.build().succeeds_silently().generated("maps.rs");
    assert!(!module.contains("pub mod backends "), "{module}");
    assert_snapshot!(failed.told());
}

#[test]
fn a_workspace_sets_levels_and_its_packages_overrule_them() {
    let project = Project::kept("workspace");
    let member = |levels: &str| {
        let manifest = manifest("daemon").replace("[workspace]\n", levels);
        project.write("daemon/Cargo.toml", manifest);
    };
    let workspace = |levels: &str| {
        project.write("Cargo.toml", format!("[workspace]\nresolver = \"3\"\nmembers = [\"daemon\"]\n\n{levels}"));
    };
    project.write("daemon/build.rs", build_script(".object(\"minimesh\", \"../bpf/minimesh.bpf.o\")"));
    project.write("daemon/src/lib.rs", LIBRARY);
    project.write("daemon/maps.lock", first_lock());
    project.copy("bpf/minimesh/v2/minimesh.h", "bpf/minimesh/v2/minimesh.h");
    release(&project, "v2");

    workspace("");
    member("");
    let drifted = project.build().warns("daemon/maps.lock is behind the objects");
    workspace("[workspace.metadata.maplock]\nmax-entries-increased = \"deny\"\n");
    let denied = project.build().fails("the new capacity of map `backends` is not accepted");
    member("[package.metadata.maplock]\nmax-entries-increased = \"allow\"\n");
    assert_eq!(project.build().warns("run `cargo maplock update -p daemon`").told(), drifted.told());
    assert_snapshot!(told([("by default", drifted), ("the workspace denies", denied)]));
}

#[test]
fn a_workspace_says_nothing_of_a_package_that_is_no_member_of_it() {
    let project = Project::temporary();
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = []\nexclude = [\"tool\"]\n";
    project
        .write("Cargo.toml", format!("{workspace}\n[workspace.metadata.maplock]\nmax-entries-increased = \"deny\"\n"));
    project.write("tool/Cargo.toml", manifest("tool").replace("[workspace]\n", ""));
    project.write("tool/build.rs", build_script(".object(\"minimesh\", \"../bpf/minimesh.bpf.o\")"));
    project.write("tool/src/lib.rs", LIBRARY);
    project.copy("Cargo.lock", "tool/Cargo.lock");
    project.write("tool/maps.lock", first_lock());
    release(&project, "v2");
    project.cargo("build").arg("--manifest-path=tool/Cargo.toml").run().warns("run `cargo maplock update`");
}

#[test]
fn two_objects_that_disagree_never_build_and_two_that_agree_do() {
    let Some(clang) = clang() else { return };
    let project = Project::kept("shared");
    project.write(
        "src/lib.rs",
        "mod maps {\n    include!(concat!(env!(\"OUT_DIR\"), \"/maps.rs\"));\n}\n\npub use maps::*;\n",
    );
    project.write("build.rs", build_script(".object(\"ingress\", \"first.o\").object(\"egress\", \"second.o\")"));
    let objects = |first: &str, second: &str| {
        for (fixture, object) in [(first, "first.o"), (second, "second.o")] {
            compile_for_bpf(&clang, &format!("bpf/fixtures/{fixture}.bpf.c"), &project.path(object));
        }
        let objects = [("ingress".to_owned(), project.path("first.o"))];
        let observation = Inputs::read(&objects, &Config::default()).expect("a good object").observation;
        project.write("maps.lock", observation.lock.to_string());
    };
    project.write("Cargo.toml", manifest("shared"));

    objects("shared_x", "shared_y");
    let module = project.build().warns("`only_y`").generated("maps.rs");
    assert_eq!(module.matches("pub mod shared ").count(), 1, "{module}");
    assert!(module.contains("pub mod only_x ") && module.contains("pub mod only_y "), "{module}");

    objects("shared_x", "shared_z");
    let failed = project.build().fails("map `shared` is defined differently in ingress and in egress");
    project.build_with("MAPLOCK_GATE", "warn").fails("defined differently in ingress and in egress");
    project.remove("maps.lock");
    project.build().fails("defined differently in ingress and in egress");
    configure(&project, "[package.metadata.maplock]\nephemeral = [\"only_x\", \"only_z\"]\n");
    project.build().fails("defined differently in ingress and in egress");
    assert_snapshot!(failed.told());
}

/// A program whose map tells of its sizes alone, with a header of its own.
const FLOW_HEADER: &str = "#include \"bpf_min.h\"

struct flow_key {
\t__be32 addr;
\t__be16 port;
\t__u16 protocol;
};

struct flow {
\t__u64 packets;
\t__u64 bytes;
};
";

const FLOW_SOURCE: &str = "#include \"flow keys.h\"

struct {
\t__uint(type, BPF_MAP_TYPE_HASH);
\t__uint(max_entries, 64);
\t__uint(pinning, LIBBPF_PIN_BY_NAME);
\t__type(key, struct flow_key);
\t__type(value, struct flow);
} flows SEC(\".maps\");

struct {
\t__uint(type, BPF_MAP_TYPE_LRU_HASH);
\t__uint(max_entries, 64);
\t__uint(pinning, LIBBPF_PIN_BY_NAME);
\t__uint(key_size, sizeof(struct flow_key));
\t__uint(value_size, sizeof(struct flow));
} recent SEC(\".maps\");
";

const FLOW_LIBRARY: &str = r#"mod maps {
    include!(concat!(env!("OUT_DIR"), "/maps.rs"));
}

pub use maps::SPEC;

pub fn packets(value: &maps::flows::Value) -> u64 {
    value.packets
}
"#;

/// The one project that compiles its eBPF program itself, as its first release was, in a folder and with a header whose
/// names have spaces. None where there is no clang.
fn flowtop() -> Option<MutexGuard<'static, Project>> {
    static PROJECT: OnceLock<Mutex<Project>> = OnceLock::new();
    clang()?;
    let project = PROJECT.get_or_init(|| {
        let project = Project::kept("flow top");
        project.write("src/lib.rs", FLOW_LIBRARY);
        project.copy("bpf/include/bpf_min.h", "bpf/include/bpf_min.h");
        Mutex::new(project)
    });
    let project = project.lock().unwrap_or_else(PoisonError::into_inner);
    project.write("build.rs", build_script(".compile(\"bpf/flowtop.bpf.c\").clang_arg(\"-Ibpf/include\")"));
    project.write("Cargo.toml", manifest("flowtop"));
    project.write("bpf/flow keys.h", FLOW_HEADER);
    project.write("bpf/flowtop.bpf.c", FLOW_SOURCE);
    project.remove("maps.lock");
    let object = project.build().warns("cargo maplock init").out_dir().join("flowtop.bpf.o");
    let observation = Inputs::read(&[("flowtop".to_owned(), object)], &Config::default()).expect("a good object");
    project.write("maps.lock", observation.observation.lock.to_string());
    Some(project)
}

/// Binds types to the map that is declared by its sizes.
fn bind(project: &Project, key: &str, value: &str) {
    configure(project, &format!("[package.metadata.maplock.maps.recent]\nkey = \"{key}\"\nvalue = \"{value}\"\n"));
}

#[test]
fn a_source_is_compiled_once_and_anew_when_a_header_changes() {
    let Some(project) = flowtop() else { return };
    let first = project.build().succeeds_silently();
    let second = project.build().succeeds_silently();
    assert!(second.is_fresh());
    assert_eq!(second.runs, first.runs);

    project.touch("bpf/include/bpf_min.h");
    let touched = project.build();
    assert_eq!(touched.runs, first.runs + 1);
    project.replace("bpf/flow keys.h", "__u64 bytes;", "__u64 bytes;\n\t__u64 dropped;");
    let failed = project.build().fails("`flows`");
    assert!(failed.told().contains("bpf/flow keys.h:12:8"), "{}", failed.told());
    assert_eq!(
        failed.generated("maplock.objects"),
        format!("flowtop\t{}\n", failed.out_dir().join("flowtop.bpf.o").display())
    );
    assert_snapshot!(told([("as released", first), ("a member more", failed)]));
}

#[test]
fn what_clang_says_is_passed_on() {
    let Some(project) = flowtop() else { return };
    project.write("bpf/flowtop.bpf.c", format!("{FLOW_SOURCE}\nstatic int unused;\n"));
    project.build().warns("unused variable 'unused'");
    project.write("bpf/flowtop.bpf.c", format!("{FLOW_SOURCE}\nint broken = ;\n"));
    let failed = project.build().fails("expected expression");
    project.write("bpf/flowtop.bpf.c", FLOW_SOURCE);
    project.build().succeeds_silently();
    assert!(failed.told().contains("bpf/flowtop.bpf.c:19:14"), "{}", failed.told());
}

#[test]
fn a_mistake_in_a_header_that_is_put_right_builds_again() {
    let Some(project) = flowtop() else { return };
    project.replace("bpf/flow keys.h", "__u64 bytes;", "__u64 bytes bytes;");
    project.build().fails("expected");
    project.write("bpf/flow keys.h", FLOW_HEADER);
    project.build().succeeds_silently();
}

#[test]
fn a_map_declared_by_its_sizes_is_bound_to_types_of_those_sizes() {
    let Some(project) = flowtop() else { return };
    let lock = project.read("maps.lock");
    project.remove("maps.lock");
    let untyped = project.build().warns("maplock[untyped-map]");
    project.write("maps.lock", lock);
    bind(&project, "struct flow_key", "struct flow");
    let bound = project.build().warns("run `cargo maplock update`");
    assert!(bound.generated("maps.rs").contains("pub mod recent {"));
    assert_eq!(bound.generated("maps.rs").matches("pub type Key = super::FlowKey;").count(), 2);
    bind(&project, "struct flow_key", "struct flow_key");
    let wrong = project.build().fails("its value takes 16 bytes, but `struct flow_key`, to which it is bound, takes 8");
    bind(&project, "struct flow_kye", "struct flow");
    let unknown = project.build().fails("struct flow_kye");
    assert_snapshot!(told([
        ("unbound", untyped),
        ("bound", bound),
        ("bound to another size", wrong),
        ("bound to what is not there", unknown),
    ]));
}

#[test]
fn a_map_declared_by_its_sizes_gets_types_of_an_object_that_is_built_for_them() {
    let Some(project) = flowtop() else { return };
    let Some(clang) = clang() else { return };
    let types = |body: &str| {
        project.write("bpf/types.c", format!("struct totals {{ {body} }}; struct totals one;\n"));
        let mut command = Command::new(&clang);
        command.args(["-target", "bpf", "-g", "-c"]).arg(project.path("bpf/types.c"));
        run(command.arg("-o").arg(project.path("bpf/types.o")));
    };
    types("unsigned long long packets, bytes;");
    configure(
        &project,
        "[package.metadata.maplock]\ntypes = [\"bpf/types.o\"]\n\
         [package.metadata.maplock.maps.recent]\nvalue = \"struct totals\"\n",
    );
    let bound = project.build().warns("the value of `recent` now says its type: struct totals");
    assert!(bound.generated("maps.rs").contains("pub type Value = super::Totals;"));
    // A change of that object alone is a change of the map.
    types("unsigned long long bytes; unsigned packets, drops;");
    let changed = project.build().warns("the value of `recent`");
    assert!(changed.generated("maps.rs").contains("pub drops: u32"));
    project.remove("bpf/types.o");
    project.build().fails("bpf/types.o: No such file");
}

/// Where libbpf-cargo has made the object, which leaves BTF and no DWARF.
#[test]
fn an_object_without_dwarf_is_told_with_the_lines_of_its_sources() {
    let Some(clang) = clang() else { return };
    let is_there = |name: &String| Command::new(name).arg("--version").output().is_ok();
    let names = (14..30).map(|version| format!("llvm-objcopy-{version}")).chain(["llvm-objcopy".to_owned()]);
    let Some(objcopy) = names.into_iter().find(is_there) else { return skip("llvm-objcopy (apt-get install llvm-16)") };
    let project = Project::kept("stripped");
    project.write("src/lib.rs", FLOW_LIBRARY);
    project.write("Cargo.toml", manifest("stripped"));
    project.copy("bpf/include/bpf_min.h", "src/bpf/bpf_min.h");
    project.write("build.rs", build_script(".object(\"flowtop\", \"flowtop.bpf.o\")"));
    let compile = |header: &str, strip: bool| {
        project.write("src/bpf/flow keys.h", header);
        // Words that are like a declaration, and are none.
        let source =
            format!("/* struct flow {{ int drops; }} */\n{FLOW_SOURCE}struct flow *drops(struct flow *flow);\n");
        project.write("src/bpf/flowtop.bpf.c", source);
        let mut command = Command::new(&clang);
        command.current_dir(project.path("")).args(["-target", "bpf", "-O2", "-g", "-c", "src/bpf/flowtop.bpf.c"]);
        run(command.args(["-o", "flowtop.bpf.o"]));
        if strip {
            let mut command = Command::new(&objcopy);
            command.args(["--strip-debug", "--keep-section=.BTF", "--keep-section=.BTF.ext"]);
            run(command.arg(project.path("flowtop.bpf.o")));
        }
    };
    let first = FLOW_HEADER.replace("__u64 packets;", "__u64 packets; /* since boot */");
    compile(&first, true);
    project.remove("maps.lock");
    project.build().warns("cargo maplock init");
    let inputs = Inputs::read(&[("flowtop".to_owned(), project.path("flowtop.bpf.o"))], &Config::default());
    let observation = inputs.expect("a good object").observation;
    let lock = epochs::update(&Lock::default(), &observation, &Config::default().levels).expect("all is new");
    project.write("maps.lock", lock.to_string());
    let module = project.build().succeeds_silently().generated("maps.rs");
    assert!(module.contains("/// since boot") && module.contains("src/bpf/flow keys.h:10."), "{module}");

    let second = first.replace("\t__u64 bytes;", "\tstruct {\n\t\t__u32 drops;\n\t} lost;\n\t__u64 bytes;");
    compile(&second, true);
    let stripped = project.build().fails("`lost` was added");
    compile(&second, false);
    let whole = project.build().fails("`lost` was added");
    assert_eq!(stripped.told(), whole.told());
    assert!(stripped.told().contains("--> src/bpf/flow keys.h:"), "{}", stripped.told());
    assert_eq!(stripped.generated("maps.rs"), whole.generated("maps.rs"));
}

#[test]
fn two_sources_of_one_name_do_not_overwrite_each_other() {
    let Some(project) = flowtop() else { return };
    let other =
        FLOW_SOURCE.replace("flows", "others").replace("recent", "older").replace("flow keys.h", "../flow keys.h");
    project.write("bpf/other/flowtop.bpf.c", other);
    let calls = ".compile(\"bpf/flowtop.bpf.c\").compile(\"bpf/other/flowtop.bpf.c\").clang_arg(\"-Ibpf/include\")";
    project.write("build.rs", build_script(calls));
    let build = project.build();
    let told = build.told();
    // Both are read, or it is an error that says why not; that the maps of one are gone is neither.
    assert!(!told.contains("`flows` is gone"), "{told}");
}

#[test]
fn a_machine_without_clang_is_told_what_to_install() {
    let Some(project) = flowtop() else { return };
    let tools = Project::kept("tools");
    // All that Cargo itself needs, and no clang.
    fs::create_dir_all(tools.path("bin")).expect("a folder");
    let path = format!("{}:{}", tools.path("bin").display(), Path::new(env!("CARGO")).parent().expect("bin").display());
    let without_clang = |name: &str, value: &str| {
        project.touch("bpf/flowtop.bpf.c");
        let mut cargo = project.cargo("build").env("PATH", &path);
        if !name.is_empty() {
            cargo = cargo.env(name, value);
        }
        cargo.run()
    };
    let none = without_clang("", "").fails("apt-get install clang");
    let misnamed = without_clang("CLANG", "/nonexistent/clang").fails("/nonexistent/clang");

    // What clang says where LLVM was built for other targets: the first of Debian's and Apple's, the second of old ones.
    let mut builds = vec![("no clang", none), ("CLANG names none", misnamed)];
    for (heading, message) in [
        (
            "no BPF in LLVM",
            "error: unable to create target: 'No available targets are compatible with triple \"bpfel\"'",
        ),
        ("no BPF in clang", "error: unknown target triple 'bpfel', please use -triple or -arch"),
    ] {
        let script = format!("#!/bin/sh\ncat >&2 <<'EOF'\n{message}\n1 error generated.\nEOF\nexit 1\n");
        let script = script.replace("cat >&2 <<'EOF'\n", "while read -r line; do echo \"$line\" >&2; done <<'EOF'\n");
        tools.write("clang", script);
        support::make_executable(&tools.path("clang"));
        let clang = tools.path("clang").display().to_string();
        builds.push((heading, without_clang("CLANG", &clang).fails("without the BPF target")));
    }
    let told = told(builds).replace(&tools.path("").display().to_string(), "[tools]/");
    assert_snapshot!(told);
}

#[test]
fn an_empty_variable_names_no_clang() {
    let Some(project) = flowtop() else { return };
    project.build_with("CLANG", "").succeeds_silently();
}

#[test]
fn once_clang_is_installed_the_next_build_succeeds() {
    let Some(project) = flowtop() else { return };
    let path = Path::new(env!("CARGO")).parent().expect("bin").display().to_string();
    project.touch("bpf/flowtop.bpf.c");
    project.cargo("build").env("PATH", path).run().fails("apt-get install clang");
    project.build().succeeds_silently();
}

/// Puts this repository's crates in the place of those of the registry.
fn patched(cargo: support::Cargo<'_>) -> support::Cargo<'_> {
    ["codegen", "layout"].into_iter().fold(cargo, |cargo, name| {
        let path = root().join(name);
        cargo.arg("--config").arg(format!("patch.crates-io.maplock-{name}.path = {path:?}"))
    })
}

#[test]
fn a_published_package_builds_from_its_lock_and_does_not_fail_others_for_drift() {
    let project = Project::temporary();
    let codegen = root().join("codegen").display().to_string();
    let manifest = manifest("published")
        .replace("edition", "license = \"MIT\"\ndescription = \"A test\"\nhomepage = \"https://example.com\"\nexclude = [\"bpf\"]\nedition")
        .replace(&format!("path = \"{codegen}\""), "version = \"0.1.0\"")
        .replace("[workspace]\n", "");
    project.write("Cargo.toml", manifest);
    project.write("build.rs", "fn main() -> Result<(), maplock_codegen::BuildError> {\n    maplock_codegen::Builder::new().object(\"minimesh\", \"bpf/minimesh.bpf.o\").generate()\n}\n");
    project.write("src/lib.rs", LIBRARY);
    project.write("maps.lock", first_lock());
    release(&project, "v1");
    let packaged = patched(project.cargo("package").arg("--allow-dirty")).run_as_it_is().succeeds();
    let listed = patched(project.cargo("package").arg("--allow-dirty").arg("--list")).run_as_it_is().succeeds();
    assert_snapshot!(format!("{}\n== what is in it ==\n\n{}", packaged.told(), listed.stdout));

    // As somebody else has it, between their own crates: with their CI, and built again and again.
    let theirs = Project::temporary();
    let archive = support::target_dir().join("package/published-0.1.0.crate");
    support::run(Command::new("tar").arg("xzf").arg(archive).arg("--strip-components=1").current_dir(theirs.path("")));
    let build = || patched(theirs.cargo("build").env("CI", "1")).run();
    let first = build().warns("types come from maps.lock alone");
    let second = build().warns("types come from maps.lock alone");
    assert!(second.is_fresh(), "the library is compiled each time");
    assert_eq!(second.told(), first.told());
    release(&theirs, "v2");
    theirs.touch("maps.lock");
    build().warns("maps.lock is behind the objects");
}

#[test]
fn a_build_without_an_optional_map_has_no_module_for_it_and_tells_the_node() {
    let project = minimesh();
    let mut lock = Lock::parse(&project.read("maps.lock")).expect("a good lock");
    let mut dns = lock.maps["stats"].clone();
    (dns.def.name, dns.optional) = ("dns".to_owned(), true);
    lock.maps.insert("dns".to_owned(), dns);
    project.write("maps.lock", lock.to_string());
    configure(&project, "[package.metadata.maplock]\noptional = [\"dns\"]\n");
    let built = project.build_with("CI", "1").succeeds_silently();
    let module = built.generated("maps.rs");
    assert!(module.contains("pub mod stats {") && !module.contains("pub mod dns {"), "{module}");
    assert!(module.contains("optional = true"), "{module}");
    configure(&project, "");
    project.build_with("CI", "1").fails("map `dns`");
}

#[test]
fn an_object_without_a_version_is_built_with_that_of_the_lock() {
    let project = minimesh();
    let lock = Lock::parse(&project.read("maps.lock")).expect("a good lock");
    let objects = [("minimesh".to_owned(), project.path(OBJECT))];
    let config = Config::default();
    let observation = Inputs::read_after(&objects, &config, &lock).expect("a good object").observation;
    let raised = observation.with_new_meaning(&lock, "stats").expect("it is in both");
    let reason = "last_seen is in seconds";
    let lock = epochs::accept(&lock, &raised, "stats", OnUpgrade::Swap, reason, &config.levels).expect("a new meaning");
    project.write("maps.lock", lock.to_string());
    let build = project.build_with("CI", "1").succeeds_silently();
    let spec = build.generated("maps.rs");
    assert!(spec.contains("\nversion = 1\npinning"), "{spec}");
}

/// The command that a warning offers.
fn merge_offered(build: &Build) -> String {
    let told = build.told();
    let line = told.lines().find(|line| line.contains("cargo maplock accept stats --merge")).expect("an offer");
    let command = line.split('`').find(|part| part.starts_with("cargo maplock accept stats")).unwrap_or(line);
    command[command.find("cargo maplock").expect("a command")..].to_owned()
}

#[test]
fn counters_that_nothing_merges_are_told_with_the_line_and_the_command() {
    let project = minimesh();
    project.copy("bpf/minimesh/minimesh.bpf.c", "bpf/minimesh/minimesh.bpf.c");
    let mut lock = Lock::parse(&project.read("maps.lock")).expect("a good lock");
    let summed = std::mem::take(&mut lock.maps.get_mut("stats").expect("stats").merge);
    project.write("maps.lock", lock.to_string());
    let warned = project.build().warns("maplock[unmerged-counter]");
    // Ci is told too, and does not fail.
    let in_ci = project.build_with("CI", "1").warns("maplock[unmerged-counter]");
    configure(&project, "[package.metadata.maplock]\nunmerged-counter = \"deny\"\n");
    let denied = project.build().fails("unmerged-counter");
    // Beside another break, each with its command.
    release(&project, "v3");
    let both = project.build().fails("cargo maplock accept stats --on-upgrade migrate");
    assert_snapshot!(told([("warned", &warned), ("in CI", &in_ci), ("denied", &denied), ("with a break", &both)]));

    let commands = [merge_offered(&warned), merge_offered(&denied), merge_offered(&both)];
    assert_eq!(commands, [(); 3].map(|()| commands[0].clone()));
    // What it writes.
    let words: Vec<_> = commands[0].split(' ').collect();
    let named: Vec<_> = words.iter().filter_map(|word| word.strip_suffix("=sum")).collect();
    assert_eq!(named, summed.keys().map(String::as_str).collect::<Vec<_>>());
    release(&project, "v1");
    for how in [Merge::Sum, Merge::None] {
        let said = summed.keys().map(|path| (path.clone(), how)).collect();
        project.write("maps.lock", epochs::merge(&lock, "stats", &said).expect("counters").to_string());
        assert!(!project.build().succeeds().told().contains("unmerged-counter"));
    }
    project.remove("bpf/minimesh/minimesh.bpf.c");
}
