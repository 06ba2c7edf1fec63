//! Conversions of entries: what `accept` asks, and what `migrate` tries.

mod support;

use support::{Sandbox, object};

fn released() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
    sandbox
}

fn accept(map: &str, more: &str) -> String {
    format!("accept {map} --on-upgrade migrate --reason \"for v4\"{more} --object {}", object("v4"))
}

#[test]
fn what_can_not_be_derived_is_asked_by_name_and_nothing_is_written() {
    let sandbox = released();
    let before = sandbox.read("maps.lock");
    let asked = sandbox.run(&accept("stats", ""));
    assert_eq!(asked.code, Some(101));
    assert!(asked.stderr.contains("key.port: --default key.port=0"), "{}", asked.stderr);
    assert_eq!(sandbox.read("maps.lock"), before);
    assert_eq!(sandbox.run(&accept("stats", " --default key.port=0")).code, Some(0));
    assert!(sandbox.read("maps.lock").contains("default = { \"key.port\" = \"0\" }"));
}

#[test]
fn an_answer_given_later_replaces_the_one_before() {
    let sandbox = released();
    assert_eq!(sandbox.run(&accept("backends", " --default draining=1")).code, Some(0));
    assert!(sandbox.read("maps.lock").contains("\"value.draining\" = \"1\""));
    assert_eq!(sandbox.run(&accept("backends", " --default draining=0")).code, Some(0));
    assert!(!sandbox.read("maps.lock").contains("\"value.draining\" = \"1\""));
}

#[test]
fn conversions_are_tried_on_dumps_and_on_entries_that_are_made_up() {
    let sandbox = released();
    assert_eq!(sandbox.run(&accept("backends", "")).code, Some(0));
    let bytes = |byte: &str| vec![format!("0x{byte}"); 8];
    let entry = serde_json::json!([{ "key": bytes("01"), "value": bytes("02") }]);
    sandbox.write("backends.json", entry.to_string());
    let line = "migrate --test --entries 5 --lock maps.lock --message-format json --dump backends.json";
    let tried = sandbox.run(line);
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    let test = &tried.json()[0]["test"];
    assert_eq!((&test["generated"], &test["dumped"]), (&7.into(), &1.into()));

    sandbox.write("backends.json", "[{\"key\":[\"0x01\"],\"value\":[\"0x01\"]}]");
    let other = sandbox.run(line);
    assert_eq!(other.code, Some(101));
    assert!(other.stderr.contains("its entries are of 1 -> 1 bytes"), "{}", other.stderr);
    sandbox.write("backends.json", "[{\"key\":[\"1\"],\"value\":[]}]");
    assert!(sandbox.run(line).stderr.contains("`1` is no byte such as 0x0a"));
}
