//! A roll-out over many nodes, as a DaemonSet does it: one after another, each with a plan, a daemon beside the old one, and a probe. A node is
//! a mount and a network namespace with a bpffs and a cgroup. `MAPLOCK_NODES` says how many; 50 where it does not.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use maplock::internals::sys::{Map, NewMap};
use maplock::layout::map::MapType;
use maplock_tests::kernel::{self, Cgroup};
use maplock_tests::toolchain::root;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::{maplock, minimesh, said, wait_until};

const PINS: &str = "/sys/fs/bpf/minimesh";

/// Starts of one daemon before the roll-out has waited long enough for it.
const STARTS: usize = 3;

struct Node {
    name: String,
    /// Ends with its input.
    namespaces: Child,
    _input: ChildStdin,
    cgroup: Cgroup,
    daemon: Option<Child>,
    release: &'static str,
    /// What the daemon is told of the cgroup; another one than there is where its configuration is wrong.
    cgroup_it_is_told: PathBuf,
}

impl Node {
    fn new(index: usize) -> Self {
        // Before the namespace, which has it then.
        let cgroup = Cgroup::new();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--net", "sh", "-c"]);
        command.arg("mount -t bpf bpf /sys/fs/bpf && ip link set lo up && echo up && exec cat");
        let mut namespaces = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(namespaces.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        let input = namespaces.stdin.take().unwrap();
        let cgroup_it_is_told = cgroup.path().to_owned();
        let name = format!("node-{index:02}");
        Self { name, namespaces, _input: input, cgroup, daemon: None, release: "", cgroup_it_is_told }
    }

    /// Where the node's own path is, from here.
    fn seen_from_here(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.namespaces.id()))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.namespaces.id())).args(["--mount", "--net"]).arg(program);
        command
    }

    fn start(&self, release: &str, ready: &Path) -> Child {
        let mut command = self.command(minimesh());
        command.args(["daemon", "--release", release, "--pins", PINS, "--cgroup"]).arg(&self.cgroup_it_is_told);
        command.arg("--ready").arg(ready).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn is_ready(&self, ready: &Path) -> bool {
        let mut command = self.command(minimesh());
        command.args(["ready", "--pins", PINS, "--file"]).arg(ready).output().unwrap().status.success()
    }

    fn plan(&self, release: &str, json: bool) -> Output {
        let mut command = self.command(maplock());
        let lock = root().join(format!("minimesh/releases/{release}.lock"));
        command.arg("plan").arg("--lock").arg(lock).args(["--pins", PINS, "--deny=swap,refuse,drop"]);
        command.args(if json { &["--message-format=json"][..] } else { &[] }).output().unwrap()
    }

    fn inspect(&self) -> Output {
        self.command(maplock()).args(["inspect", PINS, "--message-format=json"]).output().unwrap()
    }

    fn end_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end_daemon();
        _ = self.namespaces.kill();
        _ = self.namespaces.wait();
    }
}

/// The cluster.
struct Fleet {
    nodes: Vec<Node>,
    folder: TempDir,
}

/// Where a roll-out stops, and why.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// The init container ended with this exit code.
    Denied(usize, i32),
    /// The daemon ended at each of its starts.
    Crashes(usize),
}

impl Fleet {
    fn ready_file(&self, index: usize, release: &str) -> PathBuf {
        self.folder.path().join(format!("ready-{index}-{release}"))
    }

    /// One node after another. `meanwhile` hears of each daemon when it has been started and after each probe that failed: which, how many
    /// failed, and of the nodes behind it.
    fn roll_out(
        &mut self,
        release: &'static str,
        mut meanwhile: impl FnMut((usize, &Node), usize, &mut Child, &[Node]),
    ) -> Result<(), Stop> {
        for index in 0..self.nodes.len() {
            let ready = self.ready_file(index, release);
            let (before, rest) = self.nodes.split_at_mut(index + 1);
            let node = &mut before[index];
            if node.release == release {
                continue;
            }
            let plan = node.plan(release, false);
            if !plan.status.success() {
                return Err(Stop::Denied(index, plan.status.code().unwrap()));
            }
            let (mut starts, mut failed) = (1, 0);
            let mut new = node.start(release, &ready);
            meanwhile((index, node), failed, &mut new, rest);
            while !node.is_ready(&ready) {
                failed += 1;
                meanwhile((index, node), failed, &mut new, rest);
                if new.try_wait().unwrap().is_some() {
                    if starts == STARTS {
                        return Err(Stop::Crashes(index));
                    }
                    starts += 1;
                    new = node.start(release, &ready);
                }
            }
            node.end_daemon();
            node.daemon = Some(new);
            node.release = release;
        }
        Ok(())
    }

    /// What `maplock fleet` says of what the nodes write.
    fn table(&self, release: &str) -> (Option<i32>, String) {
        let folder = self.folder.path().join("nodes");
        fs::create_dir_all(&folder).unwrap();
        for node in &self.nodes {
            let documents = [node.inspect().stdout, node.plan(release, true).stdout].concat();
            fs::write(folder.join(format!("{}.json", node.name)), documents).unwrap();
        }
        let files = self.nodes.iter().map(|node| folder.join(format!("{}.json", node.name)));
        let output = Command::new(maplock()).arg("fleet").args(files).output().unwrap();
        (output.status.code(), said(&output))
    }
}

/// The row of a node.
fn row<'t>(table: &'t str, node: &str) -> Vec<&'t str> {
    let line = table.lines().find(|line| line.starts_with(node)).unwrap_or_else(|| panic!("{node}: {table}"));
    line.split_whitespace().collect()
}

#[test]
fn a_roll_out_waits_for_slow_nodes_survives_a_crash_and_stops_where_it_is_denied_or_never_ready() {
    if !kernel::available() {
        return;
    }
    let many = std::env::var("MAPLOCK_NODES").map_or(50, |many| many.parse().unwrap());
    assert!(many >= 10, "a node of each kind has others around it");
    let (slow, crashes, refuses, broken) = (many / 5, many / 3, many / 2, many - 2);
    let mut fleet = Fleet { nodes: (0..many).map(Node::new).collect(), folder: tempfile::tempdir().unwrap() };
    for index in 0..many {
        let ready = fleet.ready_file(index, "v1");
        let node = &mut fleet.nodes[index];
        node.daemon = Some(node.start("v1", &ready));
        node.release = "v1";
    }
    for index in 0..many {
        let ready = fleet.ready_file(index, "v1");
        wait_until("a node is ready", || fleet.nodes[index].is_ready(&ready));
    }

    // Another process is at work on the slow node, until a probe has failed there.
    let lock = File::open(fleet.nodes[slow].seen_from_here(&format!("{PINS}/maplock@lock"))).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut lock = Some(lock);
    // Somebody else has a map where the refusing one is to have one of the release.
    let other = fleet.nodes[refuses].seen_from_here(&format!("{PINS}/drops"));
    Map::create(&NewMap::new(MapType::HASH, 16, 16, 7)).unwrap().pin(&other).unwrap();
    // The configuration of the broken one is wrong.
    fleet.nodes[broken].cgroup_it_is_told = PathBuf::from("/nowhere");

    let mut has_crashed = false;
    let stopped = fleet.roll_out("v2", |(index, node), failed, daemon, rest| {
        assert!(rest.iter().all(|node| node.release == "v1"), "those behind wait for node {index}");
        if index == slow && failed > 0 {
            lock = None;
        }
        if index == crashes && !has_crashed {
            // In the middle of it, or just behind.
            let is_there = |beside: &str| node.seen_from_here(&format!("{PINS}@{beside}")).exists();
            wait_until("the upgrade has begun", || is_there("next") || is_there("prev"));
            daemon.kill().unwrap();
            has_crashed = daemon.wait().unwrap().code().is_none();
        }
    });
    assert_eq!(stopped, Err(Stop::Denied(refuses, 100)));
    assert!(lock.is_none(), "the roll-out has waited for the slow one");
    assert!(has_crashed, "one was killed in its upgrade");
    let (code, table) = fleet.table("v2");
    assert_eq!(code, Some(100), "{table}");
    assert_eq!(row(&table, "node-00")[1..], ["2", "A", "nothing", "to", "do"], "{table}");
    assert_eq!(row(&table, &format!("node-{refuses:02}"))[3], "refused:", "{table}");
    let last = format!("node-{:02}", many - 1);
    assert_eq!(row(&table, &last)[1..], ["1", "C", "grow", "backends,", "create", "drops"], "{table}");
    let summary = format!("{many} nodes, {refuses} as planned, {} to be upgraded, 1 held back", many - refuses - 1);
    assert!(table.lines().any(|line| line == summary), "{summary}\n{table}");
    let on = |release: &str| fleet.nodes.iter().filter(|node| node.release == release).count();
    assert_eq!((on("v2"), on("v1")), (refuses, many - refuses));

    // Somebody has looked, and the roll-out goes on where it stopped.
    fs::remove_file(&other).unwrap();
    assert_eq!(fleet.roll_out("v2", |_, _, _, _| {}), Err(Stop::Crashes(broken)));
    assert_eq!(fleet.nodes[many - 1].release, "v1", "it stops there");
    let broken_one = &mut fleet.nodes[broken];
    broken_one.cgroup_it_is_told = broken_one.cgroup.path().to_owned();
    assert_eq!(fleet.roll_out("v2", |_, _, _, _| {}), Ok(()));
    let (code, table) = fleet.table("v2");
    assert_eq!(code, Some(0), "{table}");
    let summary = format!("{many} nodes, {many} as planned, 0 to be upgraded, 0 held back");
    assert!(table.lines().any(|line| line == summary), "{summary}\n{table}");
}
