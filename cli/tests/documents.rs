//! What `maplock` tells of a node as JSON is what the schemas say.
#![cfg(target_os = "linux")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use maplock::Policies;
use maplock::internals::sys::{Map, NewMap};
use maplock::layout::map::MapType;
use serde_json::{Value, json};
use support::node::{Cgroup, Node};
use support::{object, repository};

/// What was told, each with the schema that it should fit and the command.
#[derive(Default)]
struct Told(Vec<(&'static str, String, Value)>);

impl Told {
    fn of(&mut self, node: &Node, schema: &'static str, line: &str) -> Value {
        let ran = node.run(&format!("{line} --message-format json"));
        let documents = ran.stdout.lines().filter(|_| schema == "watch").map(str::to_owned);
        let mut documents: Vec<_> = documents.collect();
        if schema != "watch" {
            documents.push(ran.stdout.clone());
        }
        let documents = documents.iter().map(|text| {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{line}: {error}: {text}{}", ran.stderr))
        });
        self.0.extend(documents.map(|document: Value| (schema, line.to_owned(), document)));
        self.0.last().map(|(_, _, document)| document.clone()).unwrap_or_default()
    }

    /// All that do not fit, by python's jsonschema.
    fn misfits(&self, node: &Node) -> String {
        let mut schemas = serde_json::Map::new();
        for (of, _, _) in &self.0 {
            let schema = node.run(&format!("schema {of}"));
            assert_eq!(schema.code, Some(0), "{}", schema.stderr);
            schemas.insert((*of).to_owned(), schema.json());
        }
        node.sandbox.write("told.json", json!({ "schemas": schemas, "told": self.0 }).to_string());
        let script = "import json, jsonschema\nall = json.load(open('told.json'))\n\
                      for schema in all['schemas'].values(): jsonschema.Draft7Validator.check_schema(schema)\n\
                      for of, line, told in all['told']:\n  \
                      for error in jsonschema.Draft7Validator(all['schemas'][of]).iter_errors(told):\n    \
                      deepest = min(error.context, key=lambda e: -len(e.absolute_path), default=error)\n    \
                      print(of, '|', line, '|', list(deepest.absolute_path), deepest.message[:300])";
        let python = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
            Command::new(python).args(["-c", "import jsonschema"]).output().is_ok_and(|output| output.status.success())
        });
        let mut command = Command::new(python.expect("python3-jsonschema is installed"));
        let output =
            command.args(["-W", "ignore", "-c", script]).current_dir(node.sandbox.path("")).output().expect("it runs");
        let mut told = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            _ = writeln!(told, "{}", String::from_utf8_lossy(&output.stderr));
        }
        told
    }
}

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
    assert_eq!(told.misfits(&node), "");

    // What has a part more, less or otherwise does not fit.
    let spoil = |told: &Told, change: &dyn Fn(&mut Value)| {
        let mut all = Told(told.0.clone());
        all.0.retain(|(_, _, document)| document.is_object());
        let count = all.0.len();
        all.0.iter_mut().for_each(|(_, _, document)| change(document));
        let misfits = all.misfits(&node);
        assert!(misfits.lines().count() >= count, "{misfits}");
    };
    spoil(&told, &|document| document["more"] = json!(1));
    spoil(&told, &|document| {
        let first = document.as_object().and_then(|all| all.keys().next().cloned()).unwrap_or_default();
        document.as_object_mut().and_then(|all| all.remove(&first));
    });
}

#[test]
fn the_page_names_every_schema() {
    let help = Command::new(env!("CARGO_BIN_EXE_maplock")).args(["schema", "--help"]).output().expect("it runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let page = fs::read_to_string(repository().join("docs/node.md")).expect("a page");
    let names = help.lines().filter_map(|line| line.trim_start().strip_prefix("- ")?.split(':').next());
    let names: Vec<_> = names.filter(|name| !["auto", "always", "never"].contains(name)).collect();
    assert!(names.len() > 8, "{help}");
    for name in names {
        assert!(page.contains(&format!("`maplock schema {name}`")), "{name}");
    }
}
