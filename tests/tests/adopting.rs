//! The first plan of a daemon that pins already: what libbpf and aya have left there is told by what it is.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process::Command;

use aya::EbpfLoader;
use aya::programs::CgroupSockAddr;
use maplock::AttachType;
use maplock::internals::sys::{Link, Map, NewLink, NewMap};
use maplock::layout::map::MapType;
use maplock_harness::{BPFFS, World};
use maplock_tests::kernel::{Bpffs, Cgroup};
use maplock_tests::{kernel, toolchain};

const LOCK: &str = "minimesh/maps.lock";
const OBJECT: &str = "bpf/minimesh/v1/minimesh.bpf.o";

fn plan(pins: &Path) -> String {
    let mut command = Command::new(toolchain::built("cargo-maplock", "maplock"));
    command.args(["plan", "--lock", LOCK, "--sample", "0", "--pins"]).arg(pins).current_dir(toolchain::root());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

fn is_in(said: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
}

#[test]
fn what_libbpf_has_pinned_is_told_by_what_it_is() {
    if !kernel::available() {
        return;
    }
    // Where libbpf pins, if nobody tells it otherwise; in mounts of this thread's own.
    let _world = World::enter(true).unwrap();
    let pins = Path::new(BPFFS);
    let mut load = Command::new("bpftool");
    load.args(["prog", "load", OBJECT]).arg(pins.join("program"));
    toolchain::run(load.current_dir(toolchain::root()));
    Map::create(&NewMap::new(MapType::ARRAY, 4, 8, 2)).unwrap().pin(&pins.join("other")).unwrap();
    std::os::unix::fs::symlink("elsewhere", pins.join("globals")).unwrap();
    let said = plan(pins);
    for map in ["backends", "frontends", "services", "stats"] {
        assert!(said.lines().any(|line| line.starts_with(map) && line.contains("reuse")), "{map}\n{said}");
    }
    is_in(
        &said,
        &[
            "not in this release, and nothing says whose it is; its pin stays, its entries are left behind",
            "`globals` is a symbolic link: it stays as it is",
            "`program` is program `minimesh_connec` (id ",
            "program `minimesh_connec` (id ",
            ", cgroup_sock_addr) uses `backends`, `frontends`, `services`, `stats`; no link attaches it: ",
        ],
    );
}

#[test]
fn programs_that_run_beside_the_new_ones_are_told_with_their_hook() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroups) = (Bpffs::mount(), [Cgroup::new(), Cgroup::new()]);
    let pins = bpffs.dir("mesh");
    let mut loader = EbpfLoader::new();
    let paths = ["backends", "frontends", "services", "stats"].map(|map| (map, pins.join(map)));
    for (map, path) in &paths {
        loader.map_pin_path(map, path.as_path());
    }
    let mut ebpf = loader.load(&fs::read(toolchain::root().join(OBJECT)).unwrap()).unwrap();
    let program: &mut CgroupSockAddr = ebpf.program_mut("minimesh_connect4").unwrap().try_into().unwrap();
    program.load().unwrap();
    let [pinned, held] = cgroups.each_ref().map(|cgroup| {
        let target = cgroup.fd().as_raw_fd().cast_unsigned();
        let attach_type = AttachType::CGROUP_INET4_CONNECT.0;
        Link::create(&NewLink { prog: program.fd().unwrap().as_fd(), target, attach_type, flags: 0 }).unwrap()
    });
    pinned.pin(&pins.join("old_connect4")).unwrap();
    let number = held.info().unwrap().id;
    let said = plan(&pins);
    is_in(
        &said,
        &[
            "`old_connect4` is a link (cgroup: cgroup_inet4_connect at ",
            &format!("link {number} attaches it (cgroup: cgroup_inet4_connect at "),
            "which nothing here pins: it runs beside the new one until the process that holds the link ends, or its pin elsewhere goes",
        ],
    );
    assert!(!said.contains("no link attaches it"), "{said}");
    drop(held);
    let said = plan(&pins);
    assert!(!said.contains("which nothing here pins"), "{said}");
}
