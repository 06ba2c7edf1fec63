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
fn a_map_that_is_not_there_is_answered_with_those_that_are() {
    let sandbox = released();
    let known = "   help: the lock has backends, frontends, services, stats\n";
    for line in [
        accept("nope", ""),
        "accept nope --undo --lock maps.lock".to_owned(),
        "accept nope --merge hits=sum --lock maps.lock".to_owned(),
    ] {
        let ran = sandbox.run(&line);
        assert!(ran.code == Some(101) && ran.stderr.contains(known), "{line}: {}", ran.stderr);
    }
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

/// A dump of so many entries with bytes that are all `byte`.
fn dump(key: usize, value: usize, byte: &str) -> String {
    let bytes = |len| vec![format!("0x{byte}"); len];
    serde_json::json!([{ "key": bytes(key), "value": bytes(value) }]).to_string()
}

#[test]
fn a_dump_goes_through_every_epoch_that_it_may_be_from() {
    let sandbox = released();
    let accept = |release: &str, more: &str| {
        let ran =
            sandbox.run(&format!("accept stats --on-upgrade migrate --reason x --object {}{more}", object(release)));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    accept("v3", "");
    accept("v1", " --cast passed_over=refuse --cast connections=saturate");
    accept("v4", " --default key.port=0");
    sandbox.write("stats.node7.json", dump(8, 16, "00"));
    let line = "migrate --test --entries 5 --lock maps.lock --message-format json --dump stats.node7.json";
    let tried = sandbox.run(line);
    assert_eq!(tried.code, Some(0), "{}{}", tried.stdout, tried.stderr);
    let dumped =
        tried.json().as_array().expect("rows").iter().map(|row| row["test"]["dumped"].clone()).collect::<Vec<_>>();
    // Of its size are the first and the last, which leave the same definition.
    assert_eq!(dumped, [1, 0, 1]);

    // Of a per-CPU map, each CPU's value is converted, and the key is one.
    let value = |byte: &str| serde_json::json!({ "cpu": 0, "value": vec![format!("0x{byte}"); 16] });
    let entry = serde_json::json!([{ "key": vec!["0x00"; 8], "values": [value("00"), value("01")] }]);
    sandbox.write("stats.node7.json", entry.to_string());
    let tried = sandbox.run(line).json();
    assert_eq!((&tried[0]["test"]["dumped"], &tried[0]["test"]["collided"]), (&2.into(), &0.into()));
}

#[test]
fn dumps_that_are_none_say_why() {
    let sandbox = released();
    assert_eq!(sandbox.run(&accept("backends", "")).code, Some(0));
    let said = |text: &str| {
        sandbox.write("backends.json", text);
        let ran = sandbox.run("migrate --test --entries 1 --lock maps.lock --dump backends.json");
        assert_eq!(ran.code, Some(101), "{}", ran.stdout);
        ran.stderr
    };
    assert!(said("{}").contains("cause: it is no array of entries"));
    assert!(said("[").contains("cause: it is no JSON"));
    assert!(said(r#"[{"key":["0x00"],"values":[]}]"#).contains("cause: entry 0 needs either"));
    // That a file is not there comes before what it is called.
    let other = "migrate --test --lock maps.lock --dump other.json";
    let absent = sandbox.run(other);
    assert!(absent.stderr.starts_with("error: could not read other.json\n"), "{}", absent.stderr);
    sandbox.write("other.json", dump(8, 8, "00"));
    let other = sandbox.run(other);
    assert!(
        other.stderr.starts_with("error: `other.json` is not named after a map of maps.lock\n"),
        "{}",
        other.stderr
    );
    assert!(other.stderr.contains("name one by --map"), "{}", other.stderr);
    let named = sandbox.run("migrate --test --entries 1 --lock maps.lock --dump other.json --map backends");
    assert_eq!(named.code, Some(0), "{}", named.stderr);
}

/// What a conversion by hand does is told by the package's own test; a script stands for cargo here.
#[cfg(unix)]
#[test]
fn the_packages_test_is_given_the_dumps_of_what_it_converts_and_is_heard() {
    use std::os::unix::fs::PermissionsExt as _;

    let mut sandbox = released();
    for line in [accept("stats", " --by-hand"), accept("backends", "")] {
        assert_eq!(sandbox.run(&line).code, Some(0));
    }
    sandbox.write("Cargo.toml", "[package]\nname = \"meshd\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    sandbox.write("src/lib.rs", "");
    sandbox.write("stats.json", dump(8, 16, "00"));
    sandbox.write("backends.json", dump(8, 8, "00"));
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = test ] || exec {} \"$@\"\necho \"$@ $MAPLOCK_DUMPS\" > {}\ncat {} >> \"$MAPLOCK_REHEARSED\"\n",
        std::env::var("CARGO").expect("the tests run by cargo"),
        sandbox.path("asked").display(),
        sandbox.path("told").display(),
    );
    sandbox.write("cargo.sh", script);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(sandbox.path("cargo.sh"), mode).expect("a mode");
    sandbox.env("CARGO", &sandbox.path("cargo.sh").display().to_string());

    let line = "migrate --test --entries 1 --message-format json --dump stats.json --dump backends.json";
    sandbox.write("told", "");
    let untold = sandbox.run(line);
    assert_eq!(untold.code, Some(100), "{}", untold.stderr);
    let rows = untold.json();
    let asked = sandbox.read("asked");
    assert!(asked.starts_with("test -p meshd "), "{asked}");
    assert!(asked.contains(" stats=/") && !asked.contains("backends"), "what is derived is tried here: {asked}");
    assert_eq!((&rows[0]["map"], &rows[0]["test"]["dumped"]), (&"backends".into(), &1.into()));
    assert_eq!(rows[1]["test"]["problems"].as_array().map(Vec::len), Some(1));

    let told = serde_json::json!({
        "map": "stats", "from": rows[1]["from"], "to": rows[1]["to"],
        "generated": 42, "refused": 0, "dumped": 1, "collided": 0, "returned": 0, "problems": [],
    });
    sandbox.write("told", format!("{told}\n"));
    let heard = sandbox.run(line);
    assert_eq!(heard.code, Some(0), "{}{}", heard.stdout, heard.stderr);
    let tested = &heard.json()[1]["test"];
    assert_eq!((&tested["generated"], &tested["dumped"]), (&42.into(), &1.into()));
}
