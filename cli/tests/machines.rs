//! What code scanning, merge requests and lists of tests read: SARIF, GitLab's code quality, JUnit. Each says when it fails, and none
//! reads as a clean one where nothing was compared.

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Ran, Sandbox, compile, object, repository};

const MACHINES: [&str; 3] = ["sarif", "gitlab", "junit"];

/// A python with a package; where there is none, the tests are skipped.
fn python(package: &str) -> Option<&'static str> {
    let has = |python: &&str| {
        let run = Command::new(python).args(["-c", &format!("import {package}")]).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has);
    if found.is_none() {
        assert!(std::env::var_os("MAPLOCK_REQUIRE_KERNEL").is_none_or(|value| value != "1"), "needs {package}");
        eprintln!("skipped: needs {package} (apt-get install python3-{package})");
    }
    found
}

/// Runs a script of python's on a text.
fn ask(python: &str, script: &str, text: &str) {
    let mut command = Command::new(python);
    command.args(["-W", "ignore", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python runs");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

/// Every document that a format can come to: clean, with breaks, with an answer, of a map that is gone, of a lock that is behind, of
/// objects that disagree, and of what could not be done.
fn documents(format: &str) -> Vec<(&'static str, Ran)> {
    let sandbox = Sandbox::with_release();
    let run = |line: &str| sandbox.run(&format!("{line} --message-format {format}"));
    let mut all = vec![
        ("clean", run("diff v1")),
        ("a break", run(&format!("diff v1 {}", object("v3")))),
        ("behind", run(&format!("check --object {}", object("v2")))),
        ("breaks of objects", run(&format!("check --object {}", object("v4")))),
        ("objects that disagree", run(&format!("check --object {} {}", object("v1"), object("v3")))),
        ("no revision", run("check --lock maps.lock --against v9")),
        ("no revision to diff", run("diff v9")),
        ("no lock", run("check --lock none.lock --against v1")),
    ];
    let accept = format!("accept stats --on-upgrade migrate --reason why --object {}", object("v3"));
    all.push(("an answer", run(&accept)));
    all.push(("accepted", run("check --lock maps.lock --against v1")));
    compile(
        &sandbox,
        "one.o",
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __uint(pinning, 1); __type(key, __u32); __type(value, __u64); } left SEC(\".maps\");\n",
    );
    all.push(("maps that are gone", run("diff v1 one.o")));
    all
}

#[test]
fn the_schema_of_sarif_takes_every_document() {
    let Some(python) = python("jsonschema") else { return };
    let schema = repository().join("cli/tests/schemas/sarif-2.1.0.json");
    let script = format!(
        "import json, sys, jsonschema\nschema = json.load(open({:?}))\n\
         [jsonschema.Draft7Validator(schema).validate(document) for document in json.load(sys.stdin)]",
        schema.display()
    );
    let documents: Vec<_> = documents("sarif").into_iter().map(|(_, ran)| ran.json()).collect();
    assert!(documents.len() >= 10);
    ask(python, &script, &Value::from(documents).to_string());
}

#[test]
fn every_result_of_sarif_has_a_relative_place_and_a_fingerprint_of_its_own() {
    for (name, ran) in documents("sarif") {
        let document = ran.json();
        let run = &document["runs"][0];
        let mut seen = std::collections::BTreeSet::new();
        let results = run["results"].as_array().expect("results");
        for result in results {
            let place = &result["locations"][0]["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().expect("a place");
            assert!(!uri.is_empty() && !uri.starts_with('/') && !uri.contains(".."), "{name}: {uri}");
            assert!(place["region"]["startLine"].as_u64().is_some_and(|line| line > 0), "{name}");
            let print = result["partialFingerprints"]["maplock/v1"].as_str().expect("a fingerprint").to_owned();
            assert!(seen.insert(print.clone()), "{name}: {print}");
            let index = usize::try_from(result["ruleIndex"].as_u64().expect("a rule")).expect("small");
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"], "{name}");
        }
        let has_error = results.iter().any(|result| result["level"] == "error");
        assert_eq!(has_error, ran.code != Some(0), "{name}: {}", ran.stdout);
        let was_done = run["invocations"][0]["executionSuccessful"].as_bool().expect("told");
        assert_eq!(was_done, ran.code != Some(101), "{name}");
    }
    let sandbox = Sandbox::with_release();
    let ran = sandbox.run(&format!("diff v1 {} --message-format sarif", object("v3"))).json();
    let results = ran["runs"][0]["results"].as_array().expect("results").clone();
    let of = |path: &str| results.iter().find(|result| result["properties"]["path"] == path).expect(path).clone();
    let connections = of("stats.value.connections");
    let place = &connections["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "bpf/minimesh/v3/minimesh.h");
    let print = connections["partialFingerprints"]["maplock/v1"].as_str().expect("a fingerprint");
    let parts: Vec<_> = print.split('/').collect();
    assert_eq!(parts[..4], ["maps.lock", "stats", "member-type-changed", "stats.value.connections"]);
    assert!(parts[4].len() == 32 && parts[5].len() == 32 && parts[4] != parts[5], "{print}");
    // What is the same in the next run is known again.
    let again = sandbox.run(&format!("diff v1 {} --message-format sarif", object("v3"))).json();
    assert_eq!(ran, again);
}

#[test]
fn the_rules_page_in_sarif_is_that_of_explain() {
    let sandbox = Sandbox::with_release();
    let document = sandbox.run(&format!("diff v1 {} --message-format sarif", object("v3"))).json();
    let rules = document["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules").clone();
    let rule = rules.iter().find(|rule| rule["id"] == "member-type-changed").expect("it was found");
    let explained = sandbox.run("explain member-type-changed").stdout;
    assert_eq!(rule["help"]["markdown"].as_str().expect("a page").trim(), explained.trim());
}

#[test]
fn a_merge_request_has_an_issue_for_each_notice_with_all_that_gitlab_asks_for() {
    for (name, ran) in documents("gitlab") {
        let document = ran.json();
        let issues = document.as_array().expect("a list");
        let mut seen = std::collections::BTreeSet::new();
        for issue in issues {
            for key in ["description", "check_name", "fingerprint", "severity"] {
                assert!(issue[key].as_str().is_some_and(|text| !text.is_empty()), "{name}: {key}: {issue}");
            }
            assert!(!issue["location"]["path"].as_str().expect("a path").starts_with('/'), "{name}: {issue}");
            assert!(issue["location"]["lines"]["begin"].as_u64().is_some_and(|line| line > 0), "{name}");
            assert!(seen.insert(issue["fingerprint"].to_string()), "{name}: {issue}");
        }
        let has = |severities: &[&str]| {
            issues.iter().any(|issue| severities.contains(&issue["severity"].as_str().expect("told")))
        };
        assert_eq!(has(&["critical", "blocker"]), ran.code != Some(0), "{name}: {}", ran.stdout);
        assert_eq!(has(&["blocker"]), ran.code == Some(101), "{name}: {}", ran.stdout);
    }
}

#[test]
fn each_map_is_a_test_in_junits_xml() {
    let Some(python) = python("xml.etree") else { return };
    for (name, ran) in documents("junit") {
        let script = format!(
            "import sys, xml.etree.ElementTree as x\nroot = x.fromstring(sys.stdin.buffer.read())\n\
             cases = list(root.iter('testcase')); bad = len(list(root.iter('failure'))); errors = len(list(root.iter('error')))\n\
             assert cases and int(root.get('tests')) == len(cases)\n\
             assert int(root.get('failures')) == bad and int(root.get('errors')) == errors\n\
             assert (bad + errors > 0) == {}, (bad, errors)\nassert (errors > 0) == {}, errors",
            if ran.code == Some(0) { "False" } else { "True" },
            if ran.code == Some(101) { "True" } else { "False" },
        );
        eprintln!("{name}");
        ask(python, &script, &ran.stdout);
    }
    let sandbox = Sandbox::with_release();
    let text = sandbox.run(&format!("diff v1 {} --message-format junit", object("v3"))).stdout;
    assert!(
        text.contains(
            "<testcase classname=\"maps.lock\" name=\"stats\"><failure message=\"refuse, the upgrade does not start: "
        ),
        "{text}"
    );
    assert!(text.contains("name=\"backends\"><system-out>grow: "), "{text}");
}

#[test]
fn a_format_for_programs_is_taken_where_it_has_something_to_say() {
    let sandbox = Sandbox::with_release();
    for format in MACHINES {
        for line in ["rules", "explain member-moved", "migrate --lock maps.lock", &format!("inspect {}", object("v1"))]
        {
            let ran = sandbox.run(&format!("{line} --message-format {format}"));
            assert_eq!(ran.code, Some(2), "{line} {format}: {}", ran.stdout);
        }
        let help = sandbox.run("diff --help").stdout;
        assert!(help.contains(&format!("- {format}:")), "{help}");
    }
}
