//! `maplock test-upgrade`: of minimesh, which keeps its state, and of daemons that don't, or don't even start.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use maplock_tests::{kernel, toolchain};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What a test is called with: commands that a shell finds everything for.
struct Try {
    folder: TempDir,
    path: String,
}

impl Try {
    fn new() -> Option<Self> {
        if !kernel::available() {
            return None;
        }
        let dir = |package, binary| toolchain::built(package, binary).parent().unwrap().display().to_string();
        let path = format!(
            "{}:{}:{}",
            dir("cargo-maplock", "maplock"),
            dir("minimesh", "minimesh"),
            std::env::var("PATH").unwrap()
        );
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Some(Self { folder, path })
    }

    fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// Where its temporary files are.
    fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        // Whoever runs the tests may ignore signals.
        command.args(["-c", "exec env --default-signal=INT,TERM maplock test-upgrade \"$@\"", "sh"]).args(words);
        command.arg("--logs").arg(self.logs()).current_dir(self.folder.path());
        command.env("PATH", &self.path).env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// What was told as JSON, by python's jsonschema.
fn fits_its_schema(of: &Try, told: &[u8]) {
    fs::write(of.folder.path().join("told.json"), told).unwrap();
    let script = "maplock schema test-upgrade > schema.json && for python in python3 /usr/bin/python3; do $python -c 'import jsonschema' 2>/dev/null && \
                  exec $python -W ignore -c \"import json, jsonschema; jsonschema.validate(json.load(open('told.json')), json.load(open('schema.json')))\"; done; exit 1";
    let mut command = Command::new("sh");
    let output = command.args(["-c", script]).current_dir(of.folder.path()).env("PATH", &of.path).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A daemon of minimesh, with its configuration or without.
fn minimesh(release: &str, is_configured: bool) -> String {
    let config = if is_configured { " --config services.toml" } else { "" };
    format!("exec minimesh daemon --once --cgroup $MAPLOCK_CGROUP --pins $MAPLOCK_PINS --release {release}{config}")
}

const SERVE: &str = "minimesh serve --config services.toml & until [ -s services.toml ]; do sleep 0.02; done";
const CONNECT: &str = "exec minimesh connect --pins $MAPLOCK_PINS 10.96.0.10:80=cart- 10.96.0.11:80=web-";

/// Connects to the second service, and does not look at how that ends.
const CONNECT_ONCE_MORE: &str = "while :; do bash -c 'echo >/dev/tcp/10.96.0.11/80' 2>/dev/null; done";

/// What became of a map in a phase.
fn map(phase: &Value, name: &str) -> Value {
    phase["maps"].as_array().unwrap().iter().find(|map| map["map"] == name).cloned().unwrap()
}

/// Waits for what a command writes as its first line.
fn first_line(file: &Path) -> String {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some((line, _)) = text.split_once('\n') {
            return line.to_owned();
        }
        assert!(Instant::now() < until, "{} stays empty", file.display());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_upgrade_that_keeps_every_count_passes() {
    let Some(of) = Try::new() else { return };
    // The first connection comes late, as on a busy machine.
    let late = format!("sleep 1; {CONNECT}");
    let output = of.run(&[
        &minimesh("v1", true),
        &minimesh("v3", true),
        "--with",
        &late,
        "--setup",
        SERVE,
        "--kills=4",
        "--seconds=0.2",
        "--message-format=json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    fits_its_schema(&of, &output.stdout);
    assert_eq!((&told["fails"], &told["failure"]), (&false.into(), &Value::Null));
    let phases = told["phases"].as_array().unwrap();
    // Two installations, there and back and a start of the old one: once in silence, once under traffic, and once for each kill.
    assert_eq!(phases.len(), 2 + 3 * (2 + 4));
    let stats = map(&phases[2], "stats");
    assert_eq!((&stats["disposition"], &stats["compared"]), (&"migrate".into(), &"exactly".into()));
    assert!(stats["before"].as_u64() > Some(0) && stats["kept"] == stats["before"], "{stats}");
    let stats = map(phases.iter().find(|phase| phase["has_traffic"] == true).unwrap(), "stats");
    assert_eq!((&stats["compared"], &stats["counts"][0]), (&"under traffic".into(), &"connections".into()));
    let killed = |release: &str| phases.iter().filter(|phase| phase["killed"]["release"] == release).count();
    assert_eq!((killed("new"), killed("old")), (4, 4));
    let back = phases.iter().find(|phase| phase["what"] == "roll-back").unwrap();
    assert_eq!((&back["report"]["maps"][0]["map"], &back["generation"]), (&"backends".into(), &1.into()));
    assert_eq!(told["traffic"]["started"], 1);
    // The traffic's own count is that of the map, or it had failed.
    let said = fs::read_to_string(of.logs().join("traffic.log")).unwrap();
    let connections: u64 = said.split(' ').next().unwrap().parse().unwrap();
    assert!(connections > 100 && said.ends_with("0 answered by a wrong server, 0 failed\n"), "{said}");
    assert!(of.logs().join("01-new.log").exists() && of.logs().join("02-old.log").exists());
}

#[test]
fn a_daemon_that_loses_an_entry_fails_with_the_maps_name() {
    let Some(of) = Try::new() else { return };
    let losing =
        format!("bpftool map delete pinned $MAPLOCK_PINS/services key 1 0 0 0 2>/dev/null; {}", minimesh("v2", false));
    let words =
        [&minimesh("v1", true), &losing, "--with", CONNECT_ONCE_MORE, "--setup", SERVE, "--kills=1", "--seconds=0"];
    let output = of.run(&words);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(100), "{said}");
    for wanted in [
        "failed: upgrade, traffic stands still: state of `services` is lost",
        "2 -> 1 entries: 1 exactly as expected, 1 gone\n    key 1\n      expected  backend_count 3, balance BALANCE_RANDOM\n      found     nothing\n",
        "if the daemons write `services` themselves, as they like: --except services\n",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
    // The commands that it offers do what it says.
    let again = said.lines().find_map(|line| line.strip_prefix("the same again: ")).unwrap();
    let shell = |line: &str| {
        Command::new("sh").args(["-c", line]).current_dir(of.folder.path()).env("PATH", &of.path).output().unwrap()
    };
    let output = shell(again);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    assert!(text(&output).contains("state of `services` is lost"), "{}", text(&output));
    let output = shell(&format!("{again} --except services"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("; excepted: `services`; "), "{}", text(&output));
}

/// The daemon before has libbpf's pins, and a program that is attached without a link. Its maps are adopted, and a roll-back gives them back.
#[test]
fn a_daemon_that_pins_without_maplock_is_adopted_and_gets_its_maps_back() {
    let Some(of) = Try::new() else { return };
    let object = toolchain::root().join("bpf/minimesh/v1/minimesh.bpf.o");
    // One service, with a backend that answers nobody: the program counts all the same.
    let old = format!(
        "set -e; [ -e $MAPLOCK_PINS/stats ] && exec sleep 1000
         bpftool prog loadall {} /sys/fs/bpf/programs
         mkdir $MAPLOCK_PINS
         for map in backends frontends services stats; do mv /sys/fs/bpf/$map $MAPLOCK_PINS; done
         put() {{ bpftool map update pinned $MAPLOCK_PINS/$1 key hex $2 value hex $3; }}
         put frontends '0a 60 00 0a 00 50 06 00' '01 00 00 00'
         put services '01 00 00 00' '01 00 00 00 00 00 00 00'
         put backends '01 00 00 00 00 00 00 00' '7f 00 00 01 00 09 01 00'
         bpftool cgroup attach $MAPLOCK_CGROUP connect4 pinned /sys/fs/bpf/programs/minimesh_connect4 multi",
        object.display()
    );
    let connect = "while :; do bash -c 'echo >/dev/tcp/10.96.0.10/80' 2>/dev/null; done";
    let words = |new: &str| {
        let options = ["--kills=2", "--seconds=0.2", "--message-format=json"].map(str::to_owned);
        [old.clone(), new.to_owned(), "--with".to_owned(), connect.to_owned()]
            .into_iter()
            .chain(options)
            .collect::<Vec<_>>()
    };
    let run = |new: &str| of.run(&words(new).iter().map(String::as_str).collect::<Vec<_>>());
    let output = run(&minimesh("v1", false));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = told["phases"].as_array().unwrap();
    assert_eq!((&phases[1]["generation"], &phases[2]["generation"]), (&Value::Null, &1.into()));
    for name in ["backends", "frontends", "services", "stats"] {
        for phase in &phases[2..4] {
            let map = map(phase, name);
            assert_eq!(
                (&map["before"], &map["kept"], &map["compared"]),
                (&1.into(), &1.into(), &"exactly".into()),
                "{map}"
            );
        }
    }
    let stats = map(phases.iter().find(|phase| phase["has_traffic"] == true).unwrap(), "stats");
    assert_eq!((&stats["kept"], &stats["counts"][0]), (&1.into(), &"connections".into()));
    let killed = |release: &str| phases.iter().filter(|phase| phase["killed"]["release"] == release).count();
    assert_eq!((killed("new"), killed("old")), (2, 0), "what another loader does then is its own");

    // One that deletes what it adopts.
    _ = fs::remove_dir_all(of.logs());
    let losing =
        format!("bpftool map delete pinned $MAPLOCK_PINS/services key 1 0 0 0 2>/dev/null; {}", minimesh("v1", false));
    let output = run(&losing);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["failure"]["what"].as_str().unwrap().contains("state of `services` is lost"), "{}", told["failure"]);
}

/// What v4 counts by port, v3 has no entries for.
#[test]
fn what_a_roll_back_gives_up_is_a_failure() {
    let Some(of) = Try::new() else { return };
    let (old, new) = (minimesh("v3", true), minimesh("v4", true));
    let output = of.run(&[&old, &new, "--with", CONNECT, "--setup", SERVE, "--kills=0", "--seconds=0.2"]);
    assert_eq!(output.status.code(), Some(100), "{}", text(&output));
    let wanted = "failed: roll-back, under traffic: the roll-back gives up 5 entries of `stats` that were made since the upgrade";
    assert!(text(&output).contains(wanted), "{}", text(&output));
}

#[test]
fn what_does_not_get_ready_or_fails_is_told_with_what_it_said() {
    let Some(of) = Try::new() else { return };
    let good = minimesh("v1", false);
    let served = minimesh("v1", true);
    let sleep = "exec sleep 1000";
    let ended_with_5 =
        "failed: end: the command that makes traffic ended with exit code 5 when it was asked to end (SIGTERM)";
    // Ends well by SIGTERM, and its shell does not; does not end.
    let crashing = "minimesh daemon --cgroup $MAPLOCK_CGROUP --pins $MAPLOCK_PINS --release v1; exit 7";
    let stubborn = "trap '' TERM; minimesh daemon --once --cgroup $MAPLOCK_CGROUP --pins $MAPLOCK_PINS --release v1; exec sleep 1000";
    for (old, new, with, wanted) in [
        (
            good.as_str(),
            "exec sleep 1000",
            sleep,
            "failed: first installation of the new release: the daemon is not ready after 0.3 s: no other generation is live in \
             /sys/fs/bpf/maplock-test\n",
        ),
        (
            "echo I cannot >&2; exit 4",
            &good,
            sleep,
            "failed: first installation of the old release: the daemon ended with exit code 4 before it was ready\nit said last:\n  I \
             cannot\n",
        ),
        (&good, "true", sleep, "the daemon ended with exit code 0 before it was ready\n"),
        (
            &good,
            &good,
            "echo lost >&2; exit 3",
            "failed: traffic: the command that makes traffic ended with exit code 3\nit said last:\n  lost\n",
        ),
        (
            &served,
            &served,
            "trap 'exit 5' TERM; while :; do bash -c 'echo >/dev/tcp/10.96.0.10/80'; sleep 0.01; done",
            ended_with_5,
        ),
        // A shell that waits passes on how what it waits for has ended.
        (
            &served,
            &served,
            "sh -c 'trap \"sleep 0.4; exit 5\" TERM; while :; do bash -c \"echo >/dev/tcp/10.96.0.10/80\"; sleep 0.01; done'; exit $?",
            ended_with_5,
        ),
        // What runs, and reaches no program.
        (
            &good,
            &good,
            "echo idle; exec sleep 1000",
            "failed: traffic: it has changed nothing after 10 s, and programs add to `stats`: it has to reach them\nit said last:\n  idle\n",
        ),
        (
            &good,
            crashing,
            sleep,
            "failed: first installation of the new release: the daemon ended with exit code 7 when it was asked to end (SIGTERM)\nit said last:\n",
        ),
        (
            &good,
            stubborn,
            sleep,
            "failed: first installation of the new release: the daemon did not end in 10 s when it was asked to (SIGTERM)\n",
        ),
    ] {
        _ = fs::remove_dir_all(of.logs());
        let ready = match wanted {
            wanted if wanted.contains("0.3 s") => "--ready=0.3",
            wanted if wanted.contains("after 10 s") => "--ready=10",
            _ => "--ready=60",
        };
        let output = of.run(&[old, new, "--with", with, "--setup", SERVE, "--kills=0", "--seconds=0.1", ready]);
        assert_eq!(output.status.code(), Some(100), "{wanted}\n{}", text(&output));
        assert!(text(&output).contains(wanted), "{wanted}\n{}", text(&output));
    }
}

#[test]
fn what_can_not_be_tried_is_no_failure_of_the_upgrade() {
    let Some(of) = Try::new() else { return };
    let good = minimesh("v1", false);
    for (option, wanted) in [
        ("--pins=/tmp/x", "the pins have to be below /sys/fs/bpf, not at /tmp/x"),
        ("--except=nothing", "neither release pins a map `nothing`, which is excepted"),
    ] {
        let output = of.run(&[&good, &good, "--with", "exec sleep 1000", option]);
        assert_eq!(output.status.code(), Some(101), "{}", text(&output));
        assert!(text(&output).contains(wanted), "{}", text(&output));
    }
}

#[test]
fn nothing_is_left_of_one_that_is_stopped() {
    let Some(of) = Try::new() else { return };
    let good = minimesh("v1", false);
    let with = "echo $MAPLOCK_CGROUP; exec sleep 1000";
    let log = of.logs().join("traffic.log");
    let stopped = |signal: Signal| {
        _ = fs::remove_dir_all(of.logs());
        let mut child = of.start(&[&good, &good, "--with", with, "--seconds=1000"]);
        let cgroup = PathBuf::from(first_line(&log));
        assert!(cgroup.is_dir());
        kill_process(Pid::from_child(&child), signal).unwrap();
        (child.wait().unwrap().code(), cgroup)
    };
    let (code, cgroup) = stopped(Signal::INT);
    assert_eq!((code, cgroup.parent().unwrap().exists()), (Some(130), false));
    let (code, cgroup) = stopped(Signal::TERM);
    assert_eq!((code, cgroup.parent().unwrap().exists()), (Some(143), false));
    // Killed, it can't; the next one does.
    let (code, cgroup) = stopped(Signal::KILL);
    assert_eq!((code, cgroup.exists()), (None, true));
    let output = of.run(&["exit 1", "exit 1", "--with", "true"]);
    assert_eq!((output.status.code(), cgroup.parent().unwrap().exists()), (Some(100), false), "{}", text(&output));
    // With `--logs`, not even the one that was killed has another directory of logs.
    let made = fs::read_dir(of.temporary()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(made.filter(|name| name.starts_with("maplock-")).collect::<Vec<_>>(), Vec::<String>::new());
}
