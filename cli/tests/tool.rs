//! `maplock` has the gate's verbs, and needs no Cargo for them.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::node::Node;
use support::{Ran, Sandbox, object};

/// A repository on a machine that has `maplock`, git and a shell, and nothing of Rust.
fn without_cargo() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    let put = |name: &str, program: &Path| symlink(program, sandbox.path(name)).expect("a link");
    fs::create_dir(sandbox.path("bin")).expect("a directory");
    put("bin/maplock", Path::new(env!("CARGO_BIN_EXE_maplock")));
    for program in ["git", "sh"] {
        let dirs = std::env::var_os("PATH").expect("a path");
        let found = std::env::split_paths(&dirs).map(|dir| dir.join(program)).find(|path| path.is_file());
        put(&format!("bin/{program}"), &found.unwrap_or_else(|| panic!("{program} is installed")));
    }
    sandbox.git_init();
    sandbox.write("mesh.o", fs::read(sandbox.path(&object("v1"))).expect("object"));
    sandbox
}

fn next(sandbox: &Sandbox, release: &str) {
    sandbox.write("mesh.o", fs::read(sandbox.path(&object(release))).expect("object"));
}

/// Runs a line in a shell there.
fn shell(sandbox: &Sandbox, line: &str) -> Ran {
    let mut command = support::tool_at(sandbox.path("bin/sh"));
    command.args(["-c", line]).current_dir(sandbox.path("")).env_remove("CARGO").env("PATH", sandbox.path("bin"));
    sandbox.ran(command)
}

fn well(sandbox: &Sandbox, line: &str) -> String {
    let ran = shell(sandbox, line);
    assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
    ran.stdout
}

#[test]
fn the_gate_runs_where_no_cargo_is_installed() {
    let sandbox = without_cargo();
    well(&sandbox, "maplock init --object mesh.o --lock maps.lock --add merge-driver gitlab pre-commit");
    let driver = "maplock merge-driver %O %A %B %P %L";
    let again = well(&sandbox, "maplock init --object mesh.o --add merge-driver");
    assert!(again.contains(&format!("git config merge.maplock.driver \"{driver}\"")), "{again}");
    // Git runs the driver at the top of the repository, wherever it was set up.
    let below = well(&sandbox, "cd bin && ./maplock init --object ../mesh.o --lock ../maps.lock --add merge-driver");
    assert!(below.contains("\"[DIR]/bin/./maplock merge-driver"), "{below}");
    for file in [".gitlab/maplock.yml", ".pre-commit-config.yaml"] {
        let text = sandbox.read(file);
        assert!(text.contains(" maplock check") && !text.contains("cargo"), "{file}: {text}");
    }
    sandbox.release("v1");
    assert!(well(&sandbox, "maplock check --object mesh.o").ends_with("maps.lock is up to date: 4 maps\n"));
    next(&sandbox, "v2");
    let behind = shell(&sandbox, "maplock check --object mesh.o");
    assert_eq!(behind.code, Some(100));
    assert!(behind.stdout.contains("`maplock update --object mesh.o --lock maps.lock`"), "{}", behind.stdout);
    well(&sandbox, "maplock update --object mesh.o --lock maps.lock");
    next(&sandbox, "v3");
    let breaks = shell(&sandbox, "maplock check --object mesh.o");
    assert_eq!(breaks.code, Some(100));
    assert!(!breaks.stdout.contains("cargo"), "{}", breaks.stdout);
    // Whoever reads an issue of GitLab's types what it says, too.
    for format in ["markdown", "github", "json", "sarif", "gitlab", "junit"] {
        let told = shell(&sandbox, &format!("maplock check --object mesh.o --message-format {format}")).stdout;
        assert!(told.contains("maplock accept stats ") && !told.contains("cargo maplock accept"), "{format}: {told}");
    }
    let lock = sandbox.read("maps.lock");
    let offered = breaks.stdout.lines().filter(|line| line.contains("= help: "));
    let offered: Vec<_> =
        offered.filter_map(|line| line.find("maplock ").map(|at| line[at..].replace('…', "why"))).collect();
    assert!(offered.len() > 2, "{}", breaks.stdout);
    for line in &offered {
        well(&sandbox, line);
        sandbox.write("maps.lock", &lock);
    }
    let pending = shell(&sandbox, "maplock review --object mesh.o");
    assert_eq!(pending.code, Some(100));
    assert!(
        pending.stdout.contains("\nmaplock accept stats ") && !pending.stdout.contains("cargo"),
        "{}",
        pending.stdout
    );
    well(&sandbox, "maplock accept stats --on-upgrade migrate --reason 'they wrapped' --object mesh.o");
    well(&sandbox, "maplock update --object mesh.o");
    assert!(well(&sandbox, "maplock diff v1").contains("migrate"));
    assert!(well(&sandbox, "maplock check --against v1").contains("breaks of 1 map accepted"));
    assert!(well(&sandbox, "maplock matrix --tags 'v*'").contains("migrate"));
    assert!(well(&sandbox, "maplock layout stats --lock maps.lock").contains("connections"));
    assert!(well(&sandbox, "maplock migrate --test --object mesh.o").contains("stats"));
    assert!(well(&sandbox, "maplock rules").contains("member-added"));
    assert!(well(&sandbox, "maplock schema lock").contains("maps.lock"));
    well(&sandbox, "maplock report --html page --against v1");
    assert!(sandbox.path("page/index.html").is_file());
    for side in ["base", "ours", "theirs"] {
        sandbox.write(side, sandbox.read("maps.lock"));
    }
    well(&sandbox, &driver.replace("%O %A %B %P %L", "base ours theirs maps.lock 7"));
}

#[test]
fn a_cargo_project_without_cargo_is_told_the_way_out() {
    let sandbox = without_cargo();
    sandbox.write("Cargo.toml", "[package]\nname = \"mesh\"\n");
    let ran = shell(&sandbox, "maplock init");
    assert_eq!(ran.code, Some(101));
    assert!(
        ran.stderr.contains("  help: without Cargo, name the objects and the lock: `--object FILE.. --lock FILE`"),
        "{}",
        ran.stderr
    );
    well(&sandbox, "maplock init --object mesh.o --lock maps.lock");
}

#[test]
fn commands_begin_as_the_tool_was_called_by_its_path() {
    let sandbox = without_cargo();
    let gone = shell(&sandbox, "bin/maplock check --object mesh.o --lock gone.lock");
    assert!(gone.stderr.contains("`bin/maplock init --object mesh.o --lock gone.lock`"), "{}", gone.stderr);
    let usage = well(&sandbox, "./bin/maplock diff --help");
    assert!(usage.contains("Usage: ./bin/maplock diff "), "{usage}");
    // What is called by cargo's name needs no tool beside it.
    let from_cargo = shell(&sandbox, "CARGO=/usr/bin/cargo maplock check --object mesh.o --lock gone.lock");
    assert!(from_cargo.stderr.contains("`maplock init "), "{}", from_cargo.stderr);
}

#[test]
fn inspect_is_of_pins_or_of_objects() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v1.lock");
    let pins = node.run("inspect fs/minimesh");
    assert_eq!(pins.code, Some(0), "{}", pins.stderr);
    assert!(pins.stdout.contains("generation 1"), "{}", pins.stdout);
    let of_cargo = |line: &str| {
        node.sandbox.ran({
            let mut command = node.sandbox.command(line);
            command.env_remove("CARGO");
            command
        })
    };
    for more in ["", " --message-format json"] {
        for objects in
            [object("v1"), format!("{} {}", object("v1"), object("v2")), format!("--object {}", object("v1"))]
        {
            let line = format!("inspect {objects}{more}");
            let ran = node.run(&line);
            assert_eq!((ran.code, ran.stdout), (Some(0), of_cargo(&line).stdout), "{line}: {}", ran.stderr);
        }
    }
    for (line, wanted) in [
        (
            format!("inspect fs/minimesh {}", object("v1")),
            "error: fs/minimesh is a directory, of which one is looked at at a time",
        ),
        (
            "inspect fs/minimesh --lock v1.lock".to_owned(),
            "error: fs/minimesh is a directory of pins, of which no lock",
        ),
        ("inspect fs/gone".to_owned(), "error: there is no directory or object fs/gone"),
        ("inspect v1.lock".to_owned(), "error: could not read the maps of v1.lock"),
    ] {
        let ran = node.run(&line);
        assert!(ran.code == Some(101) && ran.stderr.starts_with(wanted), "{line}: {}", ran.stderr);
    }
}

#[test]
fn what_a_plan_offers_for_the_lock_can_be_typed() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v2.lock");
    node.fill("stats", 3);
    node.sandbox.git_init();
    node.sandbox.write("maps.lock", node.sandbox.read("v2.lock"));
    // Not what is mounted there.
    node.sandbox.git("add maps.lock");
    node.sandbox.git("commit --quiet -m v2");
    node.sandbox.git("tag v2");
    node.sandbox.write("maps.lock", node.sandbox.read("unknown.lock"));
    let plan = node.run("plan --lock maps.lock --pins fs/minimesh --deny refuse");
    let line =
        plan.stdout.lines().find_map(|line| line.split_once("if REV made the pin: maplock ")).expect("a way out").1;
    let accept = line.replace("REV", "v2").replace('…', "they wrapped");
    let ran = node.run(&format!("{accept} --lock maps.lock"));
    assert_eq!(ran.code, Some(0), "{accept}: {}{}", ran.stdout, ran.stderr);
    let plan = node.run("plan --lock maps.lock --pins fs/minimesh --deny refuse");
    assert_eq!(plan.code, Some(0), "{}", plan.stdout);
}

#[test]
fn the_verbs_of_both_halves_are_listed_once() {
    let help = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_maplock")).args(words).output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let whole = help(&["--help"]);
    let verbs =
        whole.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with(char::is_alphabetic));
    let verbs: Vec<_> = verbs.filter_map(|line| line.split(' ').next()).collect();
    assert!(verbs.len() > 20, "{whole}");
    for verb in &verbs {
        assert_eq!(verbs.iter().filter(|other| *other == verb).count(), 1, "{verb}");
        let of_verb = help(&[verb, "--help"]);
        // Only on a node is there something to trace.
        let on_node = whole.find(&format!("  {verb} ")) > whole.find("On a node");
        assert_eq!(of_verb.contains("--verbose"), on_node, "{of_verb}");
    }
}
