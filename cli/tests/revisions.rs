//! A lock held against several revisions: the worst is told first, and nothing twice. And what each format says of answers and losses.

mod support;

use std::collections::BTreeSet;
use std::fs;

use maplock_layout::Lock;
use maplock_layout::map::MapType;
use serde_json::Value;
use support::{Sandbox, object};

/// A repository in which v1 and v2 were released, and then a lock that was written anew: `stats` breaks against both, and the last tag is it.
fn broken() -> Sandbox {
    let sandbox = Sandbox::with_release();
    sandbox.git("tag v1.1");
    assert_eq!(sandbox.run(&format!("update --object {}", object("v2"))).code, Some(0));
    sandbox.release("v2");
    fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run(&format!("init --object {}", object("v3"))).code, Some(0));
    sandbox.release("v3");
    sandbox
}

const ALL: &str = "check --lock maps.lock --against v3 --against v2 --against v1 --against v1.1";

#[test]
fn the_first_line_of_a_comment_carries_the_worst_verdict_and_a_break_is_told_once() {
    let sandbox = broken();
    let markdown = |line: &str| sandbox.run(&format!("{line} --message-format markdown")).stdout;
    let all = markdown(ALL);
    let worst = "### maplock: maps.lock against v2: pinned state of map `stats` would be misread or lost";
    assert_eq!(all.lines().next(), Some(worst), "{all}");
    let alone = markdown("check --lock maps.lock --against v2");
    for once in ["**break**", "accept stats --on-upgrade", "value of stats, 16 -> 24 bytes"] {
        assert_eq!(all.matches(once).count(), alone.matches(once).count(), "{once}: {all}");
        assert!(alone.contains(once), "{once}: {alone}");
    }
    insta::assert_snapshot!(all);
    // Of the releases that the configuration names, too.
    sandbox.write("maplock.toml", "releases = \"v?\"\nacross = \"all\"\n");
    let across = markdown("check --against v3");
    let worst = "### maplock: maps.lock against v1: pinned state of map `stats` would be misread or lost";
    assert_eq!(across.lines().next(), Some(worst), "{across}");
    fs::remove_file(sandbox.path("maplock.toml")).expect("a configuration");
    // Nothing is known of what was not compared.
    let gone = markdown("check --lock maps.lock --against v3 --against gone");
    assert!(gone.starts_with("### maplock: maps.lock against gone: nothing was compared\n"), "{gone}");
}

#[test]
fn the_last_line_at_a_terminal_is_none_of_a_comparison_that_is_well() {
    let sandbox = broken();
    let last = |line: &str| sandbox.run(line).stdout.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last("check --lock maps.lock --against v2 --against v3"), "error: 1 of 2 comparisons fails");
    let breaks = "error: maps.lock against v2: pinned state of map `stats` would be misread or lost";
    assert_eq!(last("check --lock maps.lock --against v3 --against v2"), breaks);
    assert_eq!(last("check --lock maps.lock --against v3 --against v3"), "maps.lock against v3: 5 maps, no break");
}

#[test]
fn formats_for_programs_tell_a_break_of_several_revisions_once() {
    let sandbox = broken();
    let told = |line: &str, format: &str| {
        let ran = sandbox.run(&format!("{line} --message-format {format}"));
        assert_eq!(ran.code, Some(100), "{format}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    let one = "check --lock maps.lock --against v2";
    let errors = |text: String| text.lines().filter(|line| line.starts_with("::error ")).count();
    assert!(errors(told(one, "github")) > 0);
    assert_eq!(errors(told(ALL, "github")), errors(told(one, "github")));
    let issues = |line| -> Vec<Value> { serde_json::from_str(&told(line, "gitlab")).expect("JSON") };
    let critical = |issues: Vec<Value>| issues.into_iter().filter(|issue| issue["severity"] == "critical").count();
    assert_eq!(critical(issues(ALL)), critical(issues(one)));
    let prints: BTreeSet<_> = issues(ALL).iter().map(|issue| issue["fingerprint"].to_string()).collect();
    assert_eq!(prints.len(), issues(ALL).len());
    let results = |line| {
        let sarif: Value = serde_json::from_str(&told(line, "sarif")).expect("JSON");
        let results = sarif["runs"][0]["results"].as_array().expect("results").clone();
        results.into_iter().filter(|result| result["level"] == "error").count()
    };
    assert_eq!(results(ALL), results(one));
    // A test for each revision stays one.
    assert_eq!(told(ALL, "junit").matches("<testsuite name").count(), 4);
}

/// What to type stands with the first break of a map, also if that one was told of another revision already.
#[test]
fn a_further_break_of_a_second_revision_comes_with_what_to_type() {
    let sandbox = broken();
    let today = sandbox.read("maps.lock");
    sandbox.git("checkout -q v1 -- maps.lock");
    let mut lock = Lock::parse(&sandbox.read("maps.lock")).expect("a lock");
    for (tag, max_entries) in [("v1.2", 4096), ("v1.3", 8192)] {
        let stats = lock.maps.get_mut("stats").expect("stats");
        (stats.def.map_type, stats.def.max_entries) = (MapType::LRU_HASH, max_entries);
        sandbox.write("maps.lock", lock.to_string());
        sandbox.release(tag);
    }
    sandbox.write("maps.lock", today);
    let told = sandbox.run("check --lock maps.lock --against v1.2 --against v1.3 --message-format github").stdout;
    let errors: Vec<_> = told.lines().filter(|line| line.starts_with("::error ")).collect();
    let of = |rule: &str| errors.iter().filter(|line| line.contains(&format!("map stats%3A {rule}"))).count();
    assert_eq!((of("map-type-changed"), of("max-entries-decreased")), (1, 1), "{told}");
    for against in ["v1.2", "v1.3"] {
        let line = format!("--against {against} --lock");
        assert!(errors.iter().any(|told| told.contains("accept stats") && told.contains(&line)), "{against}: {told}");
    }
}

/// 0 is an answer if somebody gave it: what a program looks up by the whole key is told in each format.
#[test]
fn an_answer_is_told_though_it_is_0() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    assert_eq!(sandbox.run(&format!("init --object {}", object("v3"))).code, Some(0));
    sandbox.release("v3");
    let accept = format!("accept stats --on-upgrade migrate --default key.port=0 --reason w --object {}", object("v4"));
    assert_eq!(sandbox.run(&accept).code, Some(0));
    for format in ["human", "markdown", "github", "gitlab", "junit"] {
        let told = sandbox.run(&format!("check --lock maps.lock --against v3 --message-format {format}")).stdout;
        assert!(told.contains("key.port: added as 0"), "{format}: {told}");
        let told = sandbox.run(&format!("diff v3 --message-format {format}")).stdout;
        assert!(told.contains("key.port: added as 0"), "{format}: {told}");
    }
    // A new member that nobody was asked about begins as 0, and that is no answer.
    let accept = format!("accept backends --on-upgrade migrate --reason w --object {}", object("v4"));
    assert_eq!(sandbox.run(&accept).code, Some(0));
    let told = sandbox.run("diff v3").stdout;
    assert!(told.contains("backends") && !told.contains("draining: added as 0"), "{told}");
    // What nobody reads is not told as read.
    assert!(told.contains("\nunconverted  ") && !told.contains("\nread as "), "{told}");
    assert_eq!(sandbox.run(&accept.replace("migrate", "swap")).code, Some(0));
    let told = sandbox.run("diff v3 --message-format markdown").stdout;
    assert!(told.contains("\nbecomes  nothing: the map starts empty\n") && !told.contains("\nread as "), "{told}");
    let maps = sandbox.run("diff v3 --message-format json").json()["maps"].clone();
    let backends = maps.as_array().expect("maps").iter().find(|map| map["name"] == "backends").expect("backends");
    assert_eq!(backends["bytes"]["example"]["read_as"], Value::Null, "{backends}");
}

#[test]
fn a_removal_that_nobody_accepted_is_said_to_be_that_and_has_a_line() {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    assert_eq!(sandbox.run(&format!("init --object {}", object("v4"))).code, Some(0));
    sandbox.release("v4");
    fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
    let gone = "gone from this release: unpinned at commit, kept for roll-back";
    let told = |format: &str| sandbox.run(&format!("diff v4 --message-format {format}")).stdout;
    for format in ["human", "markdown", "junit"] {
        assert!(told(format).contains(&format!("{gone}; not accepted")), "{format}: {}", told(format));
    }
    let github = told("github");
    assert!(github.contains("::error file=maps.lock,line=1,title=map drops%3A map-removed::"), "{github}");
    let check = sandbox.run("check --lock maps.lock --against v4 --message-format github").stdout;
    assert!(
        check.lines().all(|line| !line.starts_with("::error ") || line.starts_with("::error file=maps.lock,line=")),
        "{check}"
    );
}
