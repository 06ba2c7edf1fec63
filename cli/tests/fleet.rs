//! `maplock fleet`, over what the tool itself writes.
#![cfg(target_os = "linux")]

mod support;

use support::node::Node;

#[test]
fn documents_of_nodes_are_told_in_one_table() {
    let Some(node) = Node::new() else { return };
    let json = |line: &str| node.run(&format!("{line} --message-format json")).stdout;
    let inspected = || json("inspect fs/minimesh");
    node.upgrade("v1.lock");
    node.fill("backends", 12);
    node.fill("stats", 3);
    let write = |name: &str, documents: &[String]| node.sandbox.write(name, documents.concat());
    write("old.json", &[inspected(), json("plan --lock v2.lock --pins fs/minimesh")]);
    write("denied.json", &[inspected(), json("plan --lock v3.lock --pins fs/minimesh --deny swap")]);
    write("refused.json", &[inspected(), json("plan --lock unknown.lock --pins fs/minimesh")]);
    node.upgrade("v2.lock");
    write("new.json", &[inspected(), json("plan --lock v2.lock --pins fs/minimesh")]);
    let report = json("rollback fs/minimesh");
    write("back.json", &[report, inspected()]);
    write("fails.json", &[json("plan --lock v2.lock --pins nowhere/minimesh")]);
    write("silent.json", &[]);
    let files = "old.json denied.json refused.json new.json back.json fails.json silent.json";
    let all = format!("fleet {files}");
    let unread = "fleet new.json broken.json absent.json";
    node.sandbox.write("broken.json", "{\"maps\": [] }");
    insta::assert_snapshot!(node.transcript(&[&all, "fleet old.json new.json", unread]));

    let told = node.run(&format!("{all} --message-format json"));
    assert_eq!(told.code, Some(100), "{}", told.stderr);
    let told = told.json();
    let of = |name: &str| {
        let nodes = told["nodes"].as_array().expect("a list");
        nodes.iter().find(|node| node["node"] == name).cloned().expect(name)
    };
    assert_eq!((&of("old")["pinned"], &of("new")["pinned"]), (&"A".into(), &"B".into()));
    assert_eq!(of("denied")["plan"]["changes"]["stats"], "swap");
    assert_eq!((&of("denied")["plan"]["held_back"], &of("denied")["plan"]["lost_entries"]), (&true.into(), &3.into()));
    assert_eq!((&of("refused")["plan"]["refused"], &of("back")["report"]["rolled_back"]), (&true.into(), &true.into()));
    assert_eq!(told["pinned"]["B"].as_object().expect("pins").len(), 5);
    assert_eq!(node.run("fleet old.json new.json back.json").code, Some(0), "nobody is held back");
    // The metrics of a daemon tell the same of what is pinned.
    node.sandbox.write("served.prom", maplock::metrics(node.sandbox.path("fs/minimesh")).expect("pins"));
    let told = node.run("fleet back.json served.prom --message-format json").json();
    let [back, served] = [0, 1].map(|index| &told["nodes"][index]);
    assert_eq!((&served["node"], &served["generation"]), (&"served".into(), &1.into()));
    assert_eq!(served["pinned"], back["pinned"]);
}
