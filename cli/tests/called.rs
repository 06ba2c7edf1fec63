//! What the help offers can be typed as it stands, however the tool was called.

mod support;

use std::fs;
use std::process::Command;

use support::{Ran, Sandbox, object, tool};

/// The command lines in what was said, with a reason in the place of the dots.
fn offered(said: &str) -> Vec<String> {
    let commands = said.lines().filter(|line| line.contains("= help: ") && !line.contains(" explain "));
    let commands = commands.filter_map(|line| line.split_once("--on-upgrade").map(|_| line));
    let commands =
        commands.filter_map(|line| line.find(program()).map(|at| line[at..].replace('…', "as it should be")));
    commands.collect()
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_cargo-maplock")
}

/// Runs a line in a shell, as somebody does who has no Cargo.
fn shell(sandbox: &Sandbox, line: &str) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(sandbox.path("")).env_remove("CARGO");
    sandbox.ran(command)
}

/// The objects of three daemons in `bpf`, of which the map `stats` has another layout in the next release.
fn three(names: [&str; 3]) -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    let put = |release: &str| {
        for name in names {
            sandbox.write(&format!("objects/{name}"), fs::read(sandbox.path(&object(release))).expect("object"));
        }
    };
    put("v1");
    let list = names.map(|name| format!("objects/{name}")).join(" ");
    let init = shell(&sandbox, &format!("{} init --object {list}", program()));
    assert_eq!(init.code, Some(0), "{}", init.stderr);
    put("v3");
    sandbox
}

#[test]
fn commands_begin_as_the_tool_was_called() {
    let sandbox = three(["a.bpf.o", "b.bpf.o", "c.bpf.o"]);
    let lock = sandbox.read("maps.lock");
    for words in ["", " maplock"] {
        let called = format!("{}{words}", program());
        let check = shell(&sandbox, &format!("{called} check --object objects/*.bpf.o"));
        assert_eq!(check.code, Some(100), "{}", check.stderr);
        assert!(!check.stdout.contains("cargo maplock"), "{}", check.stdout);
        let offered = offered(&check.stdout);
        assert!(offered.len() > 1, "{}", check.stdout);
        for line in offered {
            assert!(line.starts_with(&called), "{line}");
            let accepted = shell(&sandbox, &line);
            assert_eq!(accepted.code, Some(0), "{line}: {}", accepted.stderr);
            sandbox.write("maps.lock", &lock);
        }
        let usage = shell(&sandbox, &format!("{called} check --help"));
        assert!(usage.stdout.contains(&format!("Usage: {called} check")), "{}", usage.stdout);
    }
    let gone = shell(&sandbox, &format!("{} check --object objects/a.bpf.o --lock gone.lock", program()));
    assert!(
        gone.stderr.contains(&format!("`{} init --object objects/a.bpf.o --lock gone.lock`", program())),
        "{}",
        gone.stderr
    );
    // Who has it from Cargo is offered what Cargo takes, and a document is not changed.
    let by_cargo = sandbox.run("check --object objects/a.bpf.o");
    assert!(by_cargo.stdout.contains(" cargo maplock accept stats "), "{}", by_cargo.stdout);
    let mut json = tool();
    json.args(["check", "--object", "objects/a.bpf.o", "--message-format", "json"]).current_dir(sandbox.path(""));
    json.env_remove("CARGO");
    assert_eq!(sandbox.ran(json).json()["locks"][0]["result"], "breaks");
}

#[test]
fn a_long_list_of_objects_is_told_as_the_pattern_that_it_is() {
    let sandbox = three(["a.bpf.o", "b.bpf.o", "c.bpf.o"]);
    let check = |list: &str| shell(&sandbox, &format!("{} check --object {list}", program())).stdout;
    let whole = "objects/a.bpf.o objects/b.bpf.o objects/c.bpf.o";
    for line in offered(&check(whole)) {
        assert!(line.contains(" --object objects/*.bpf.o --lock maps.lock"), "{line}");
    }
    // One that is no part of the list is not to be in the pattern.
    sandbox.write("objects/d.bpf.o", fs::read(sandbox.path(&object("v2"))).expect("object"));
    for line in offered(&check(whole)) {
        assert!(line.contains(&format!(" --object {whole} --lock maps.lock")), "{line}");
    }
    // Nothing at all is repeated where a file says it.
    sandbox.write("maplock.toml", "objects = [\"objects/a.bpf.o\", \"objects/b.bpf.o\", \"objects/c.bpf.o\"]\n");
    let said = shell(&sandbox, &format!("{} check", program())).stdout;
    let lines = offered(&said);
    assert!(lines.len() > 1 && lines.iter().all(|line| line.ends_with("\"as it should be\"")), "{said}");
    assert_eq!(shell(&sandbox, &lines[0]).code, Some(0));
}

#[test]
fn cargo_is_heard_while_it_waits_for_another() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let sandbox = Sandbox::new();
    sandbox.write("Cargo.toml", "[package]\nname = \"waits\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[build-dependencies]\nmaplock-codegen = { path = \"codegen\" }\n");
    sandbox.write(
        "codegen/Cargo.toml",
        "[package]\nname = \"maplock-codegen\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
    );
    sandbox.write("codegen/src/lib.rs", "");
    sandbox.write("build.rs", "fn main() {}\n");
    sandbox.write("src/lib.rs", "");
    // A cargo that another one holds up until the file `go` is there.
    let script = "#!/bin/sh\nif [ \"$1\" = check ]; then\n  echo '    Blocking waiting for file lock on build directory' >&2\n  while [ ! -e go ]; do sleep 0.05; done\nfi\nexec \"$REAL_CARGO\" \"$@\"\n";
    sandbox.write("cargo.sh", script);
    let mut chmod = Command::new("chmod");
    assert!(chmod.arg("+x").arg(sandbox.path("cargo.sh")).status().expect("chmod").success());
    let real = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = sandbox.command("init");
    command.env("CARGO", sandbox.path("cargo.sh")).env("REAL_CARGO", real).env("CARGO_NET_OFFLINE", "true");
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the tool runs");
    let mut said = BufReader::new(child.stderr.take().expect("stderr"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert_eq!(line, "    Blocking waiting for file lock on build directory\n");
    sandbox.write("go", "");
    line.clear();
    while said.read_line(&mut line).expect("a line") > 0 {}
    assert_eq!(child.wait().expect("it ends").code(), Some(101), "{line}");
    assert!(line.contains("named no objects to maplock"), "{line}");
}
