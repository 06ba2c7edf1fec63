//! `maplock watch`, while a daemon is upgraded.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::node::Node;

struct Watching {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Watching {
    fn start(node: &Node, line: &str, script: Option<&str>) -> Self {
        let mut command = node.command(line);
        if let Some(script) = script {
            // Who runs the tests may ignore them, and a shell can't trap what was ignored when it began.
            command.args(["--", "env", "--default-signal=HUP,INT", "sh", "-c", script]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// A test that fails leaves none behind.
impl Drop for Watching {
    fn drop(&mut self) {
        // It has ended where all is well.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn live(node: &Node, generation: u32) -> String {
    format!("generation {generation} is live in {}\n", node.pins().display())
}

#[test]
fn each_generation_is_a_line() {
    let Some(node) = Node::new() else { return };
    let mut watching = Watching::start(&node, "watch fs/minimesh", None);
    // Whether it watches by then or not, it tells.
    node.upgrade("v1.lock");
    assert_eq!(watching.line(), live(&node, 1));
    node.upgrade("v2.lock");
    assert_eq!(watching.line(), live(&node, 2));
    node.run("rollback fs/minimesh");
    assert_eq!(watching.line(), live(&node, 1));
    watching.signal(Signal::TERM);
    assert_eq!(watching.code(), Some(0));
    let json = node.run("watch fs/minimesh --once --message-format json").json();
    assert_eq!((&json["live"], &json["generation"]), (&true.into(), &1.into()));
    assert_eq!(node.run("watch nowhere/minimesh").code, Some(101));
}

#[test]
fn a_command_runs_for_each_and_what_comes_meanwhile_is_told_when_it_has_ended() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v1.lock");
    let script = "echo $MAPLOCK_GENERATION in $MAPLOCK_DIR; read line";
    let mut watching = Watching::start(&node, "watch fs/minimesh", Some(script));
    let mut stdin = watching.child.stdin.take().unwrap();
    let ran = |generation: u32| format!("{generation} in {}\n", node.pins().display());
    assert_eq!((watching.line(), watching.line()), (live(&node, 1), ran(1)));
    node.upgrade("v2.lock");
    node.upgrade("v2.lock");
    stdin.write_all(b"go on\n").unwrap();
    assert_eq!((watching.line(), watching.line()), (live(&node, 3), ran(3)));
    // It reads no more, and fails: `read` at the end of its input.
    drop(stdin);
    assert_eq!(watching.code(), Some(1));
}

#[test]
fn signals_reach_the_command_and_its_exit_code_is_passed_on() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v1.lock");
    assert_eq!(node.run("watch fs/minimesh --once -- sh -c exit").code, Some(0));
    assert_eq!(node.run("watch fs/minimesh --once -- /no/such/command").code, Some(101));
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP")] {
        let script = format!("trap 'echo told; exit 9' {name}; echo ready; while :; do sleep 0.05; done");
        let mut watching = Watching::start(&node, "watch fs/minimesh", Some(&script));
        assert_eq!((watching.line(), watching.line()), (live(&node, 1), "ready\n".to_owned()));
        watching.signal(signal);
        assert_eq!(watching.line(), "told\n");
        assert_eq!(watching.code(), Some(9));
    }
    // One that does not listen.
    let mut watching = Watching::start(&node, "watch fs/minimesh", Some("echo ready; exec sleep 1000"));
    assert_eq!((watching.line(), watching.line()), (live(&node, 1), "ready\n".to_owned()));
    watching.signal(Signal::TERM);
    assert_eq!(watching.code(), Some(128 + 15));
}
