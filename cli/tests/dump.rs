//! `maplock dump` beside bpftool.
#![cfg(target_os = "linux")]

mod support;

use std::process::Command;

use serde_json::Value;
use support::node::Node;

#[test]
fn a_dump_has_the_bytes_that_bpftool_has() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v1.lock");
    node.fill("backends", 5);
    let pin = node.pins().join("backends");
    let ran = Command::new("bpftool").args(["-j", "map", "dump", "pinned"]).arg(&pin).output();
    let Ok(ran) = ran else {
        println!("skipped: needs bpftool");
        return;
    };
    let plain = |document: Value| {
        let mut entries: Vec<_> = document
            .as_array()
            .expect("entries")
            .iter()
            .map(|entry| (entry["key"].to_string(), entry["value"].to_string()))
            .collect();
        entries.sort();
        entries
    };
    let ours = node.run(&format!("dump {} --message-format json", pin.display()));
    assert_eq!(ours.code, Some(0), "{}", ours.stderr);
    let ours = plain(ours.json());
    assert_eq!(ours.len(), 5);
    assert_eq!(ours, plain(serde_json::from_slice(&ran.stdout).expect("JSON of bpftool")));
    let some = node.run(&format!("dump {} --limit 2", pin.display()));
    assert_eq!(some.stdout.lines().count(), 3, "{}", some.stdout);
}
