//! The schemas for editors take what the tool writes and reads, and nothing else.

mod support;

use std::process::Command;

use support::{Sandbox, object, repository};

/// Whether a schema takes a TOML text, by python's own reader and its jsonschema.
fn takes(sandbox: &Sandbox, of: &str, toml: &str) -> bool {
    let schema = sandbox.run(&format!("schema {of}"));
    assert_eq!(schema.code, Some(0), "{}", schema.stderr);
    sandbox.write("schema.json", schema.stdout);
    sandbox.write("text.toml", toml);
    let script = "import json, tomllib, jsonschema\nschema = json.load(open('schema.json'))\njsonschema.Draft7Validator.check_schema(schema)\n\
                  import sys\nsys.exit(0 if jsonschema.Draft7Validator(schema).is_valid(tomllib.load(open('text.toml', 'rb'))) else 9)";
    let python = ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let run = Command::new(python).args(["-c", "import jsonschema, tomllib"]).output();
        run.is_ok_and(|output| output.status.success())
    });
    let mut command = Command::new(python.expect("python3-jsonschema is installed"));
    let output = command.args(["-W", "ignore", "-c", script]).current_dir(sandbox.path("")).output().expect("it runs");
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 9)), "{}", String::from_utf8_lossy(&output.stderr));
    code == Some(0)
}

#[test]
fn the_schema_of_the_lock_takes_every_lock_that_the_tool_writes() {
    let sandbox = Sandbox::with_minimesh();
    assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
    let mut locks = vec![sandbox.read("maps.lock")];
    let accept = |more: &str| {
        let ran = sandbox.run(&format!("accept {more} --object {}", object("v4")));
        assert_eq!(ran.code, Some(0), "{more}: {}{}", ran.stdout, ran.stderr);
    };
    accept("backends --on-upgrade reuse --reason padding");
    accept("stats --on-upgrade swap --reason why --merge connections=sum");
    assert_eq!(sandbox.run(&format!("update --object {}", object("v4"))).code, Some(0));
    locks.push(sandbox.read("maps.lock"));
    assert_eq!(sandbox.run(&format!("accept drops --undo --object {}", object("v4"))).code, Some(101));
    locks.push(std::fs::read_to_string(repository().join("minimesh/maps.lock")).expect("a lock"));
    // The lock that the page shows has each part of one.
    let page = std::fs::read_to_string(repository().join("docs/lockfile.md")).expect("a page");
    locks.push(page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block").to_owned());
    for lock in &locks {
        assert!(takes(&sandbox, "lock", lock), "{lock}");
    }
    for (right, wrong) in [
        ("version = 1", "version = 2"),
        ("type = \"hash\"", "typ = \"hash\""),
        ("on-upgrade = \"migrate\"", "on-upgrade = \"convert\""),
        ("digest = \"8", "digest = \"x"),
    ] {
        let lock = locks.last().expect("a lock");
        assert!(lock.contains(right) && !takes(&sandbox, "lock", &lock.replacen(right, wrong, 1)), "{wrong}");
    }
}

#[test]
fn the_schema_of_the_configuration_takes_what_the_tool_takes() {
    let sandbox = Sandbox::with_minimesh();
    let config = format!(
        "objects = [\"{}\"]\nlock = \"other.lock\"\npinned = [\"stats\"]\nephemeral = [\"services\"]\noptional = [\"drops\"]\ntypes = []\n\
         releases = \"v*\"\ndirection = \"both\"\nacross = \"all\"\nmember-renamed = \"warn\"\n\
         [maps.backends]\ncapacity = \"runtime\"\nflags = \"runtime\"\nuser-deletes = \"never\"\n",
        object("v3")
    );
    sandbox.write("maplock.toml", &config);
    let ran = sandbox.run("init");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(takes(&sandbox, "config", &config));
    for (right, wrong) in [
        ("direction = \"both\"", "direction = \"down\""),
        ("member-renamed = \"warn\"", "member-renamed = \"loud\""),
        ("pinned =", "pined ="),
        ("\"never\"", "\"ever\""),
        ("[maps.backends]\n", "map-conflict = \"warn\"\n[maps.backends]\n"),
    ] {
        let config = config.replacen(right, wrong, 1);
        assert!(!takes(&sandbox, "config", &config), "{wrong}");
        // The tool says the same.
        sandbox.write("maplock.toml", &config);
        assert_eq!(sandbox.run("check").code, Some(101), "{wrong}");
    }
}
