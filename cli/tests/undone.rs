//! What could not be done never reads as if nothing were wrong: in every format, of every verb.

mod support;

use std::fs;
use std::process::Command;

use serde_json::Value;
use support::{Ran, Sandbox, object};

const NOTHING_COMPARED: &str = "nothing was compared";
const NOTHING_WRITTEN: &str = "nothing was written";
const NOTHING_FOUND: &str = "nothing was found out";

/// A repository in which v0 has no lock and v1 has one; the objects of later releases wait.
fn released() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    sandbox.release("v0");
    assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
    sandbox.release("v1");
    sandbox
}

/// Runs a command line in each format, and holds each against `words`, which say what did not happen.
fn says(sandbox: &Sandbox, line: &str, words: &str) {
    for format in ["human", "markdown", "github", "json"] {
        let ran = sandbox.run(&format!("{line} --message-format {format}"));
        let told = format!("{line}, {format}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, Some(101), "{told}");
        assert!(ran.stderr.starts_with("error: "), "{told}");
        for clean in ["no break", "is up to date", "no pinned state", "written; commit"] {
            assert!(!ran.stdout.contains(clean), "{told}");
        }
        match format {
            "human" => {
                assert!(words != NOTHING_COMPARED || format!("{}{}", ran.stdout, ran.stderr).contains(words), "{told}")
            }
            "markdown" => {
                let heading = ran.stdout.lines().next().unwrap_or_default();
                assert!(heading.starts_with("### maplock") && heading.contains(words), "{told}");
            }
            "github" => {
                let title = format!("::error title=maplock%3A {words}::");
                assert!(ran.stdout.starts_with(&title), "{told}");
                let first = ran.stdout.lines().next().unwrap_or_default();
                assert_eq!(first.matches(words).count(), 1, "{told}");
            }
            _ => {
                let result = match words {
                    NOTHING_COMPARED => "not-compared",
                    NOTHING_WRITTEN => "not-written",
                    _ => "not-done",
                };
                let document = ran.json();
                let it = if document["locks"].is_array() { &document["locks"][0] } else { &document };
                assert_eq!((&it["result"], &it["fails"]), (&result.into(), &true.into()), "{told}");
                assert!(
                    it["error"]["what"].is_string() && it["summary"].as_str().is_some_and(|it| it.contains(words)),
                    "{told}"
                );
            }
        }
    }
}

#[test]
fn a_base_that_has_no_lock() {
    let sandbox = released();
    says(&sandbox, "check --lock maps.lock --against v0", NOTHING_COMPARED);
    says(&sandbox, "diff v0", NOTHING_COMPARED);
    says(&sandbox, "diff v1 v0", NOTHING_COMPARED);
    says(&sandbox, "accept stats --on-upgrade swap --reason x --lock maps.lock --against v0", NOTHING_WRITTEN);
    let allowed = sandbox.run("check --lock maps.lock --against v0 --allow-new");
    assert_eq!(
        (allowed.code, allowed.stdout.as_str()),
        (
            Some(0),
            "note: v0 has no maps.lock: every map is new since\nmaps.lock against v0: nothing to compare with, 4 maps are new since\n"
        )
    );
    let json = sandbox.run("check --lock maps.lock --against v0 --allow-new --message-format json").json();
    assert_eq!(json["locks"][0]["result"], "new");
    assert_eq!(sandbox.run("diff --allow-new v0 v1").code, Some(0));
}

#[test]
fn a_lock_that_was_never_committed() {
    let sandbox = released();
    sandbox.git("rm --quiet --cached maps.lock");
    sandbox.git("commit --quiet -m gone");
    says(&sandbox, "check --lock maps.lock --against HEAD", NOTHING_COMPARED);
}

#[test]
fn a_revision_that_is_not_there() {
    let sandbox = released();
    for line in ["check --lock maps.lock --against v9", "diff v9", "diff v1:nothing.lock", "diff v1 v9"] {
        says(&sandbox, line, NOTHING_COMPARED);
    }
    says(&sandbox, "accept stats --on-upgrade swap --reason x --lock maps.lock --against v9", NOTHING_WRITTEN);
}

#[test]
fn a_shallow_clone() {
    let origin = released();
    let changed = object("v2");
    assert_eq!(origin.run(&format!("update --object {changed}")).code, Some(0));
    origin.release("v2");
    let clone = Sandbox::new();
    let url = format!("file://{}", origin.path("").display());
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--depth=1", "--no-tags", &url, "."]).current_dir(clone.path(""));
    assert!(git.status().expect("git runs").success());
    says(&clone, "check --lock maps.lock --against v1", NOTHING_COMPARED);
    says(&clone, "check --lock maps.lock --against HEAD~1", NOTHING_COMPARED);
    let help = clone.run("check --lock maps.lock --against v1").stderr;
    assert!(help.contains("a shallow clone, as CI makes it, must fetch the revision first"), "{help}");
}

#[test]
fn objects_that_cannot_be_read() {
    let sandbox = released();
    let whole = fs::read(sandbox.path(&object("v3"))).expect("object");
    sandbox.write("cut.o", &whole[..whole.len() / 2]);
    sandbox.write("notes.o", "hello");
    sandbox.write("empty.o", "");
    let before = sandbox.read("maps.lock");
    for file in ["cut.o", "notes.o", "empty.o", "gone.o"] {
        let of = format!("--object {file}");
        says(&sandbox, &format!("check {of}"), NOTHING_COMPARED);
        says(&sandbox, &format!("check --object {} {file}", object("v1")), NOTHING_COMPARED);
        says(&sandbox, &format!("update {of}"), NOTHING_WRITTEN);
        says(&sandbox, &format!("init {of} --lock other.lock"), NOTHING_WRITTEN);
        says(&sandbox, &format!("accept stats --on-upgrade swap --reason x {of}"), NOTHING_WRITTEN);
        says(&sandbox, &format!("inspect {file}"), NOTHING_FOUND);
        says(&sandbox, &format!("diff {file} maps.lock"), NOTHING_COMPARED);
        says(&sandbox, &format!("diff maps.lock {file}"), NOTHING_COMPARED);
    }
    assert_eq!(sandbox.read("maps.lock"), before);
    assert!(!sandbox.path("other.lock").exists());
}

#[test]
fn a_lock_or_a_configuration_that_cannot_be_used() {
    let sandbox = released();
    let good = sandbox.read("maps.lock");
    let of = format!("--object {}", object("v1"));
    let all = |sandbox: &Sandbox| {
        says(sandbox, &format!("check {of}"), NOTHING_COMPARED);
        says(sandbox, &format!("update {of}"), NOTHING_WRITTEN);
        says(sandbox, &format!("accept stats --on-upgrade swap --reason x {of}"), NOTHING_WRITTEN);
        says(sandbox, "check --lock maps.lock --against v1", NOTHING_COMPARED);
        says(sandbox, "diff v1", NOTHING_COMPARED);
        says(sandbox, "migrate --lock maps.lock", NOTHING_FOUND);
    };
    for text in [good.replacen("size = 4,", "<<<<<<< HEAD\nsize = 4,\n", 1), String::new()] {
        sandbox.write("maps.lock", text);
        all(&sandbox);
    }
    fs::remove_file(sandbox.path("maps.lock")).expect("lock");
    all(&sandbox);
    fs::create_dir(sandbox.path("maps.lock")).expect("directory");
    all(&sandbox);
    fs::remove_dir(sandbox.path("maps.lock")).expect("directory");
    sandbox.write("maps.lock", good);
    sandbox.write("maplock.toml", "member-movd = \"warn\"\n");
    all(&sandbox);
}

#[test]
fn one_of_two_revisions() {
    let sandbox = released();
    let check = |format: &str| {
        let line = format!("check --lock maps.lock --against v1 --against v9 --message-format {format}");
        let ran = sandbox.run(&line);
        assert_eq!(ran.code, Some(101), "{}", ran.stdout);
        assert!(
            ran.stderr.starts_with("error: git does not know `v9:./maps.lock`")
                || ran.stderr.starts_with("error: git does not know `v9`"),
            "{}",
            ran.stderr
        );
        ran
    };
    let locks = |ran: &Ran| ran.json()["locks"].as_array().cloned().unwrap_or_default();
    let results: Vec<Value> = locks(&check("json")).iter().map(|lock| lock["result"].clone()).collect();
    assert_eq!(results, ["compatible", "not-compared"]);
    insta::assert_snapshot!(["human", "markdown", "github"].map(|format| check(format).stdout).join("\n"));
}
