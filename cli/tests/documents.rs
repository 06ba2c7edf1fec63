//! What `maplock` tells of a node as JSON is what the schemas say.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::Command;

use maplock::Policies;
use maplock::internals::sys::{Map, NewMap, bpffs};
use maplock::layout::map::MapType;
use serde_json::json;
use support::node::{Cgroup, Node};
use support::schemas::Told;
use support::{object, repository};

#[test]
fn what_is_told_of_a_node_fits_its_schema() {
    let Some(node) = Node::new() else { return };
    let mut told = Told::default();
    // A release that converts, and one by whose lock entries go back.
    node.sandbox.write("v4.lock", node.sandbox.read("v2.lock"));
    let accept = format!("accept stats --on-upgrade migrate --reason why --lock v4.lock --object {}", object("v3"));
    assert_eq!(node.run(&accept).code, Some(0));
    told.of(&node, "plan", "plan --lock v2.lock --pins fs/minimesh --expect-pins");
    told.of(&node, "plan", "plan --lock gone.lock --pins fs/minimesh");
    let cgroup = Cgroup::new(&node);
    let mut first = node.stage("v1.lock", Policies::default());
    cgroup.hook(&mut first);
    told.of(&node, "inspect", "inspect fs/minimesh@next");
    first.commit().expect("an upgrade");
    node.fill("backends", 12);
    node.fill("stats", 3);
    for lock in ["v1", "v2", "v3", "v4", "unknown"] {
        told.of(
            &node,
            "plan",
            &format!("plan --lock {lock}.lock --pins fs/minimesh --deny refuse,swap --rehearse --keep 3"),
        );
    }
    told.of(&node, "plan", "plan --lock v2.lock --pins fs/minimesj");
    told.of(&node, "inspect", "inspect fs/minimesh");
    told.of(&node, "dump", "dump fs/minimesh/stats");
    told.of(&node, "dump", "dump fs/minimesh/services");
    let per_cpu = Map::create(&NewMap::new(MapType::PERCPU_ARRAY, 4, 8, 2)).expect("a map");
    per_cpu.pin(&node.pins().join("somebodys")).expect("a pin");
    told.of(&node, "dump", "dump fs/minimesh/somebodys");
    node.upgrade_keeping("v2.lock", 2);
    node.upgrade_keeping("v4.lock", 2);
    told.of(&node, "plan", "plan --lock v2.lock --pins fs/minimesh --rehearse");
    let kept = told.of(&node, "inspect", "inspect fs/minimesh");
    assert_eq!(kept["kept"].as_array().map(Vec::len), Some(2), "{kept}");
    told.of(&node, "watch", "watch fs/minimesh --once");
    let back = told.of(&node, "report", "rollback fs/minimesh --to 1");
    assert_eq!(back.as_array().map(Vec::len), Some(2), "{back}");
    node.upgrade_keeping("v4.lock", 2);
    told.of(&node, "report", "rollback fs/minimesh");
    // As one leaves it that is killed at the end of its commit.
    bpffs::write_record(&node.pins().join("commit@record"), "upgrade exchange 2").expect("a record");
    let plan = told.of(&node, "plan", "plan --lock v2.lock --pins fs/minimesh --deny swap");
    assert_eq!((&plan["unfinished"]["next"], &plan["fails"]), (&"complete".into(), &true.into()), "{plan}");
    told.of(&node, "report", "recover fs/minimesh --discard");
    fs::remove_file(node.pins().join("stats")).expect("a pin");
    told.of(&node, "inspect", "inspect fs/minimesh");
    told.of(&node, "plan", "plan --lock v2.lock --pins fs/minimesh --missing create");
    for (name, line) in [
        ("a", "inspect fs/minimesh"),
        ("b", "plan --lock v2.lock --pins fs/minimesh"),
        ("c", "plan --lock gone.lock --pins fs/minimesh"),
    ] {
        node.sandbox.write(&format!("nodes/{name}.json"), node.run(&format!("{line} --message-format json")).stdout);
    }
    node.sandbox.write("nodes/d.json", "nothing");
    node.sandbox.write("nodes/e.json", back[0].to_string());
    told.of(&node, "fleet", "fleet nodes/a.json nodes/b.json nodes/c.json nodes/d.json nodes/e.json");
    let fleet = repository().join("tests/fleet");
    told.of(&node, "fleet", &format!("fleet {0}/node-1.json {0}/node-2.json {0}/node-3.json", fleet.display()));
    told.of(&node, "confirm", "confirm fs/minimesh");
    // No daemon, so nothing is upgraded; what is told of that is told in the same words.
    let tried =
        told.of(&node, "test-upgrade", "test-upgrade false false --with sleep --seconds 0.1 --ready 1 --logs logs");
    assert_eq!(tried["logs"], "logs");
    assert_eq!(told.misfits(&node, &node.sandbox), "");

    // What has a part more, less or otherwise does not fit.
    told.spoiled(&node, &node.sandbox, &|document| document["more"] = json!(1));
    told.spoiled(&node, &node.sandbox, &|document| {
        let first = document.as_object().and_then(|all| all.keys().next().cloned()).unwrap_or_default();
        document.as_object_mut().and_then(|all| all.remove(&first));
    });
}

#[test]
fn the_page_names_every_schema() {
    let help = Command::new(env!("CARGO_BIN_EXE_maplock")).args(["schema", "--help"]).output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let page = fs::read_to_string(repository().join("docs/json.md")).expect("a page");
    let names = help.lines().filter_map(|line| line.trim_start().strip_prefix("- ")?.split(':').next());
    let names: Vec<_> = names.filter(|name| !["auto", "always", "never"].contains(name)).collect();
    assert!(names.len() > 15, "{help}");
    for name in names {
        assert!(page.contains(&format!("`maplock schema {name}`")), "{name}");
    }
}
