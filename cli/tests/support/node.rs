//! A node for one test alone: a bpffs of its own, with pins that the runtime makes.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use maplock::internals::sys::{Map, NewMap, NewProg, Prog};
use maplock::layout::map::MapType;
use maplock::{AttachType, Hook, Options, Policies, Spec, Staged};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{Ran, Sandbox, object, tool_at, words};

/// Dropped before the sandbox, in which it is mounted.
struct Mount(PathBuf);

impl Mount {
    fn new(kind: &str, at: PathBuf) -> Self {
        fs::create_dir(&at).expect("a directory to mount at");
        mount(kind, &at, kind, MountFlags::empty(), None).unwrap_or_else(|error| panic!("a mount of {kind}: {error}"));
        Self(at)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.0, UnmountFlags::DETACH) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

pub(crate) struct Node {
    _bpffs: Mount,
    pub(crate) sandbox: Sandbox,
}

impl Node {
    /// With the locks of four releases: `v1.lock`, `v2.lock`, `v3.lock`, and `unknown.lock`, which is `v3.lock` without the epoch that
    /// leads there. `None` where the kernel can't be used.
    pub(crate) fn new() -> Option<Self> {
        let may = rustix::process::geteuid().is_root() && Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1)).is_ok();
        if !may {
            assert!(std::env::var("MAPLOCK_REQUIRE_KERNEL").as_deref() != Ok("1"), "needs CAP_BPF");
            println!("skipped: needs CAP_BPF");
            return None;
        }
        let sandbox = Sandbox::with_minimesh();
        for (lock, release) in [("v1", "v1"), ("unknown", "v3")] {
            let init = sandbox.run(&format!("init --object {} --lock {lock}.lock", object(release)));
            assert_eq!(init.code, Some(0), "{}", init.stderr);
        }
        sandbox.write("v2.lock", sandbox.read("v1.lock"));
        assert_eq!(sandbox.run(&format!("update --object {} --lock v2.lock", object("v2"))).code, Some(0));
        sandbox.write("v3.lock", sandbox.read("v2.lock"));
        let accept = "accept stats --on-upgrade swap --reason \"counters wrapped\" --lock v3.lock --object";
        assert_eq!(sandbox.run(&format!("{accept} {}", object("v3"))).code, Some(0));
        let bpffs = Mount::new("bpf", sandbox.path("fs"));
        Some(Self { _bpffs: bpffs, sandbox })
    }

    /// The directory of the pins, which is not there at first.
    pub(crate) fn pins(&self) -> PathBuf {
        self.sandbox.path("fs/minimesh")
    }

    pub(crate) fn spec(&self, lock: &str) -> Spec {
        Spec::parse(&self.sandbox.read(lock)).expect("a lock")
    }

    pub(crate) fn stage(&self, lock: &str, policies: Policies) -> Staged {
        let upgrade = Options::new(self.spec(lock), self.pins()).policies(policies).begin().expect("a plan");
        upgrade.stage().expect("staged maps")
    }

    /// As [`Self::upgrade`], by a daemon that keeps so many generations.
    pub(crate) fn upgrade_keeping(&self, lock: &str, generations: usize) {
        let upgrade = Options::new(self.spec(lock), self.pins()).keep(generations).begin().expect("a plan");
        upgrade.stage().expect("staged maps").commit().expect("an upgrade");
    }

    /// What a daemon does at its start, but for its programs.
    pub(crate) fn upgrade(&self, lock: &str) {
        self.stage(lock, Policies::default()).commit().expect("an upgrade");
    }

    /// Puts so many entries into a map with keys of eight bytes.
    pub(crate) fn fill(&self, map: &str, entries: u64) {
        let map = Map::open(&self.pins().join(map)).expect("a pin");
        for key in 0..entries {
            map.update(&key.to_ne_bytes(), &vec![1; map.value_bytes()], 0).expect("room");
        }
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.command_at(env!("CARGO_BIN_EXE_maplock"), line);
        // As where it is installed.
        command.arg0("maplock");
        command
    }

    pub(crate) fn command_at(&self, tool: impl AsRef<std::ffi::OsStr>, line: &str) -> Command {
        let mut command = tool_at(tool);
        command.args(words(line)).current_dir(self.sandbox.path("")).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.sandbox.ran(self.command(line))
    }

    /// Runs command lines one after the other; what differs from run to run is left out.
    pub(crate) fn transcript(&self, lines: &[&str]) -> String {
        let mut seen = String::new();
        lines.iter().for_each(|line| self.run(line).tell(&format!("maplock {line}"), &mut seen));
        stable(&seen)
    }
}

/// A cgroup without processes, with a program for `connect4` in it.
pub(crate) struct Cgroup {
    dir: PathBuf,
    _mount: Mount,
}

impl Cgroup {
    pub(crate) fn new(node: &Node) -> Self {
        let mount = Mount::new("cgroup2", node.sandbox.path("cgroup"));
        let dir = mount.0.join(format!("maplock-cli-{}", std::process::id()));
        fs::create_dir(&dir).expect("a cgroup");
        Self { dir, _mount: mount }
    }

    /// Hooks a program that allows everything into the staged generation.
    pub(crate) fn hook(&self, staged: &mut Staged) {
        // r0 = 1; exit
        let insns = [0x1_0000_00b7_u64, 0x95];
        let connect4 = AttachType::CGROUP_INET4_CONNECT;
        let prog = Prog::load(&NewProg {
            prog_type: 18,
            expected_attach_type: connect4.0,
            name: "allow",
            insns: &insns,
            flags: 0,
            functions: None,
            attach_btf_id: 0,
        });
        let dir = fs::File::open(&self.dir).expect("the cgroup");
        let hook = Hook::cgroup(&dir, connect4).expect("a descriptor");
        staged.hook("connect4", prog.expect("a program"), hook).expect("a hook");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.dir) {
            eprintln!("{} stays: {error}", self.dir.display());
        }
    }
}

/// Without ids, times, sizes of memory, and the widths of columns that come of them.
pub(crate) fn stable(text: &str) -> String {
    let mut out = String::new();
    let mut varying: Vec<usize> = Vec::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        if cells.contains(&"id") {
            varying = (0..cells.len()).filter(|at| ["id", "memory", "runs"].contains(&cells[*at])).collect();
            out.push_str(&cells.join("  "));
        } else if line.is_empty() {
            varying.clear();
        } else if !varying.is_empty() {
            let cells = cells.iter().enumerate();
            let cells: Vec<_> = cells.map(|(at, cell)| if varying.contains(&at) { "[..]" } else { cell }).collect();
            out.push_str(&cells.join("  "));
        } else {
            out.push_str(&without_times(line));
        }
        out.push('\n');
    }
    out
}

/// `2 ms`, `1.2 s` and `under 1 ms` read `[TIME]`.
fn without_times(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let unit = word.trim_end_matches(',');
        let is_time = ["ms", "s"].contains(&unit) && words.last().is_some_and(|word| word.parse::<f64>().is_ok());
        if !is_time {
            words.push(word.to_owned());
            continue;
        }
        words.pop();
        words.pop_if(|word| *word == "under" || *word == "about");
        words.push(format!("[TIME]{}", &word[unit.len()..]));
    }
    words.join(" ")
}
