//! What programs read: JSON, Markdown, GitHub's workflow commands.

mod support;

use serde_json::Value;
use support::{Sandbox, object};

fn accept_stats(sandbox: &Sandbox) {
    let line = format!("accept stats --on-upgrade migrate --reason \"wrapped | twice\" --object {}", object("v3"));
    assert_eq!(sandbox.run(&line).code, Some(0));
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_json_of_diff_has_the_promised_members() {
    let sandbox = Sandbox::with_release();
    let ran = sandbox.run(&format!("diff {} {} --message-format json", object("v1"), object("v3")));
    assert_eq!(ran.code, Some(100));
    let document = ran.json();
    assert_eq!(keys(&document), ["fails", "findings", "maps", "new", "notes", "old", "summary"]);
    let summary = "pinned state of map `stats` would be misread or lost";
    assert_eq!((&document["fails"], &document["summary"]), (&true.into(), &summary.into()));
    let findings = document["findings"].as_array().expect("findings");
    for finding in findings {
        let mut expected = [
            "rule",
            "tier",
            "level",
            "map",
            "path",
            "old",
            "new",
            "old_place",
            "new_place",
            "consequence_of",
            "accepted",
            "at",
            "message",
        ];
        expected.sort_unstable();
        assert_eq!(keys(finding), expected);
    }
    let of = |path: &str| findings.iter().find(|finding| finding["path"] == path).expect(path);
    let connections = of("stats.value.connections");
    assert_eq!(connections["rule"], "member-type-changed");
    assert_eq!((&connections["tier"], &connections["level"]), (&"bytes".into(), &"deny".into()));
    assert_eq!((&connections["old"], &connections["new"]), (&"u32".into(), &"u64".into()));
    assert_eq!(connections["old_place"], serde_json::json!({ "offset_bits": 32, "size_bits": 32 }));
    assert_eq!(connections["new_place"], serde_json::json!({ "offset_bits": 64, "size_bits": 64 }));
    assert_eq!(connections["accepted"], Value::Null);
    assert_eq!(connections["at"], serde_json::json!({ "file": "bpf/minimesh/v3/minimesh.h", "line": 47 }));
    assert_eq!(of("stats.value.last_seen")["consequence_of"], "stats.value.connections");
    assert_eq!(of("drops")["old"], Value::Null);
    let maps = document["maps"].as_array().expect("maps");
    let stats = maps.iter().find(|map| map["name"] == "stats").expect("stats");
    let expected = "by_hand bytes choices from gives_up inexact loses_entries name reason to verdict was why";
    assert_eq!(keys(stats).join(" "), expected);
    let spans = stats["bytes"]["value"]["new"].as_array().expect("spans");
    let told = |span: &Value| (span["member"].clone(), span["what"].clone(), span["elsewhere"].clone());
    let expected = [("passed_over", "grew", None), ("connections", "grew", Some(4)), ("last_seen", "moved", Some(8))];
    let expected = expected.map(|(member, what, at)| (member.into(), what.into(), at.map_or(Value::Null, Value::from)));
    assert_eq!(spans.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!((&stats["verdict"], &stats["reason"]), (&"refuse".into(), &Value::Null));
}

const COMPATIBLE: &str = "maps.lock against v1: 5 maps, breaks of 1 map accepted; entries of `stats` are given up; no pinned state is misread";

#[test]
fn the_json_of_check_update_and_accept_says_what_became_of_each_lock() {
    let sandbox = Sandbox::with_release();
    let result = |line: &str| {
        let document = sandbox.run(&format!("{line} --message-format json")).json();
        let locks = document["locks"].as_array().expect("locks").clone();
        assert_eq!(locks.len(), 1);
        locks[0].clone()
    };
    let [v1, v2, v3] = ["v1", "v2", "v3"].map(|release| format!("--object {}", object(release)));
    assert_eq!(result(&format!("check {v1}"))["result"], "up-to-date");
    let drift = result(&format!("check {v2}"));
    assert_eq!(drift["result"], "out-of-date");
    assert_eq!((&drift["changes"][0]["change"], &drift["changes"][0]["map"]), (&"grew".into(), &"backends".into()));
    assert_eq!(result(&format!("check {v3}"))["result"], "breaks");
    assert_eq!(result(&format!("update {v2}"))["result"], "written");
    assert_eq!(result(&format!("update {v2}"))["result"], "up-to-date");
    let accepted = result(&format!("accept stats --on-upgrade swap --reason why {v3}"));
    let epoch = &accepted["changes"][0]["epoch"];
    assert_eq!((&epoch["on_upgrade"], &epoch["reason"]), (&"swap".into(), &"why".into()));
    assert_eq!(accepted["maps"][0]["verdict"], "swap");
    let against = result("check --lock maps.lock --against v1");
    assert_eq!((&against["result"], &against["against"]), (&"compatible".into(), &"v1".into()));
    assert_eq!((&against["fails"], &against["summary"]), (&false.into(), &COMPATIBLE.into()));
    assert_eq!(result("accept stats --undo")["changes"][0]["change"], "undone");
}

#[test]
fn the_json_of_inspect_is_one_document_with_whole_layouts() {
    let sandbox = Sandbox::with_minimesh();
    let document = sandbox.run(&format!("inspect {} {} --message-format json", object("v1"), object("v3"))).json();
    let maps = document["maps"].as_array().expect("maps");
    assert_eq!(maps.len(), 4 + 5);
    let mut expected = [
        "name",
        "object",
        "type",
        "key_size",
        "value_size",
        "max_entries",
        "flags",
        "map_extra",
        "pinning",
        "key",
        "value",
        "inner",
        "digest",
    ];
    expected.sort_unstable();
    for map in maps {
        assert_eq!(keys(map), expected);
    }
    let frontends = &maps[0];
    assert_eq!((&frontends["name"], &frontends["type"]), (&"frontends".into(), &"hash".into()));
    assert_eq!((&frontends["object"], &frontends["pinning"]), (&object("v1").into(), &"by_name".into()));
    assert_eq!(frontends["flags"], 0);
    let key = &frontends["key"];
    assert_eq!((&key["kind"], &key["name"], &key["size"]), (&"struct".into(), &"frontend_key".into(), &8.into()));
    let port = &key["members"][1];
    assert_eq!((&port["name"], &port["offset_bits"], &port["size_bits"]), (&"port".into(), &32.into(), &16.into()));
    let int = serde_json::json!({
        "kind": "int", "name": "u16", "size": 2, "typedef": "__be16", "signed": false, "encoding": "unsigned",
    });
    assert_eq!(port["type"], int);
    let balance = &maps[1]["value"]["members"][1]["type"];
    assert_eq!(balance["values"][1], serde_json::json!({ "name": "BALANCE_BY_USER", "value": 1 }));
}

#[test]
fn the_comment_on_a_pull_request() {
    let sandbox = Sandbox::with_release();
    let check = |release: &str| format!("check --object {} --message-format markdown", object(release));
    insta::assert_snapshot!("markdown_break", sandbox.run(&check("v3")).stdout);
    insta::assert_snapshot!("markdown_drift", sandbox.run(&check("v2")).stdout);
    insta::assert_snapshot!("markdown_fresh", sandbox.run(&check("v1")).stdout);
    let diff = format!("diff v1 {} --message-format markdown", object("v4"));
    insta::assert_snapshot!("markdown_diff", sandbox.run(&diff).stdout);
    accept_stats(&sandbox);
    insta::assert_snapshot!(
        "markdown_accepted",
        sandbox.run("check --lock maps.lock --against v1 --message-format markdown").stdout
    );
}

#[test]
fn annotations_stand_on_the_lines_of_the_change() {
    let sandbox = Sandbox::with_release();
    let github = |line: &str| sandbox.run(&format!("{line} --message-format github")).stdout;
    let of = |release: &str| format!("--object {}", object(release));
    insta::assert_snapshot!("github_break", github(&format!("check {}", of("v3"))));
    insta::assert_snapshot!("github_drift", github(&format!("check {}", of("v2"))));
    insta::assert_snapshot!("github_fresh", github(&format!("check {}", of("v1"))));
    // Without the sources, the lock is what a reviewer can look at.
    std::fs::remove_file(sandbox.path("bpf/minimesh/v3/minimesh.h")).expect("a header");
    insta::assert_snapshot!("github_without_sources", github(&format!("check {}", of("v3"))));
    accept_stats(&sandbox);
    insta::assert_snapshot!("github_accepted", github("check --lock maps.lock --against v1"));
}

#[test]
fn every_command_takes_every_format() {
    let sandbox = Sandbox::with_release();
    let of = format!("--object {}", object("v3"));
    for line in [
        &format!("init {of} --lock other.lock"),
        &format!("check {of}"),
        &format!("update --object {}", object("v1")),
        &format!("diff v1 {}", object("v3")),
        &format!("accept stats --on-upgrade swap --reason why {of}"),
        "migrate --lock maps.lock",
        &format!("inspect {}", object("v1")),
        "explain member-moved",
        "rules",
    ] {
        let seen = ["human", "json", "markdown", "github"].map(|format| {
            _ = std::fs::remove_file(sandbox.path("other.lock"));
            sandbox.git("checkout --quiet v1");
            let ran = sandbox.run(&format!("{line} --message-format {format}"));
            assert!([Some(0), Some(100)].contains(&ran.code), "{line} {format}: {}", ran.stderr);
            if format == "json" {
                ran.json();
            }
            ran.stdout
        });
        // One that has nothing of its own to say of a command says what people read, and the help tells.
        let verb = line.split(' ').next().unwrap_or_default();
        let help = sandbox.run(&format!("{verb} --help")).stdout;
        for (at, name) in [(2, "markdown"), (3, "github")] {
            let said =
                help.lines().find(|line| line.trim_start().starts_with(&format!("- {name}:"))).expect("it is told");
            // The page of a rule is markdown as it is.
            let is_same = seen[at] == seen[0] && (verb, name) != ("explain", "markdown");
            assert_eq!(said.ends_with("; here the same as human"), is_same, "{line} {name}");
        }
    }
}

/// What a level lets pass is refused by a node all the same, and no format says otherwise.
#[test]
fn what_a_node_refuses_is_green_at_no_level_and_in_no_format() {
    let sandbox = Sandbox::with_release();
    let levels = "member-type-changed = \"warn\"\nmember-moved = \"allow\"\nvalue-size-changed = \"allow\"\n";
    sandbox.write(
        "Cargo.toml",
        format!("[package]\nname = \"lenient\"\nedition = \"2024\"\n\n[package.metadata.maplock]\n{levels}"),
    );
    sandbox.write("src/lib.rs", "");
    let lost = "pinned state of map `stats` would be misread or lost";
    for verb in [
        format!("diff {} {} --manifest-path Cargo.toml", object("v1"), object("v3")),
        format!("check --object {} --manifest-path Cargo.toml", object("v3")),
        format!("update --object {} --manifest-path Cargo.toml", object("v3")),
    ] {
        for (format, red) in [
            ("human", "error[member-type-changed]: map `stats`: `connections`"),
            ("markdown", "| **break**: `member-type-changed` |"),
            ("github", "::error "),
            ("json", "\"fails\":true"),
        ] {
            let ran = sandbox.run(&format!("{verb} --message-format {format}"));
            assert_eq!(ran.code, Some(100), "{verb} {format}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains(red), "{verb} {format}: {}", ran.stdout);
            assert!(format == "github" || ran.stdout.contains(lost), "{verb} {format}: {}", ran.stdout);
            assert!(!ran.stdout.contains("no pinned state is"), "{verb} {format}: {}", ran.stdout);
        }
    }
    // Somebody wants to be asked on the node. The lock says so, and is complete; an upgrade does not start.
    let accept = format!("accept stats --on-upgrade refuse --reason \"ask us\" --object {}", object("v3"));
    assert_eq!(sandbox.run(&accept).code, Some(0));
    let refused = "a node does not upgrade: `stats` is accepted as `refuse`";
    for (line, code) in [("diff v1 maps.lock", 100), ("check --lock maps.lock --against v1", 0)] {
        for format in ["human", "markdown", "json"] {
            let ran = sandbox.run(&format!("{line} --message-format {format}"));
            assert_eq!(ran.code, Some(code), "{line} {format}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains(refused), "{line} {format}: {}", ran.stdout);
        }
    }
}
