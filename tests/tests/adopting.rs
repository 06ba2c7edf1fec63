//! The first plan of a daemon that pins already: what libbpf and aya have left there is told by what it is.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process::Command;

use aya::EbpfLoader;
use aya::programs::CgroupSockAddr;
use maplock::internals::sys::{Link, Map, NewLink, NewMap};
use maplock::layout::Disposition;
use maplock::layout::map::MapType;
use maplock::{AttachType, Options, Spec};
use maplock_harness::{BPFFS, World};
use maplock_tests::kernel::{Bpffs, Cgroup};
use maplock_tests::{kernel, lock_text, maps_of, toolchain};

const LOCK: &str = "minimesh/maps.lock";
const OBJECT: &str = "bpf/minimesh/v1/minimesh.bpf.o";

fn plan(pins: &Path) -> String {
    plan_by(Path::new(LOCK), pins)
}

fn plan_by(lock: &Path, pins: &Path) -> String {
    let mut command = Command::new(toolchain::built("cargo-maplock", "maplock"));
    command.args(["plan", "--sample", "0", "--lock"]).arg(lock).arg("--pins").arg(pins).current_dir(toolchain::root());
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
            ", cgroup_sock_addr) uses `backends`, `frontends`, `services`, `stats`; no link attaches it, nor does XDP or a filter of tc at clsact, \
             ingress or the root of a device in this network namespace; other qdiscs, shared blocks and actions of tc, older calls for cgroups, and other \
             namespaces were not looked at: if something else did, it runs beside the new one until it is detached",
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

/// What iproute2 attaches: a program of each kind counts in one map, which is pinned by its name.
const IPROUTE2: &str = r#"
#define SEC(name) __attribute__((section(name), used))
struct {
    int (*type)[1]; int (*max_entries)[64]; int (*pinning)[1];
    unsigned int *key; unsigned long long *value;
} packets SEC(".maps");
static void *(*lookup)(void *, const void *) = (void *)1;
static long (*update)(void *, const void *, const void *, unsigned long long) = (void *)2;
static inline void count(unsigned int key) {
    unsigned long long one = 1, *value = lookup(&packets, &key);
    if (value) __sync_fetch_and_add(value, 1); else update(&packets, &key, &one, 1);
}
SEC("tc") int on_tc(void *packet) { count(1); return -1; }
SEC("xdp") int on_xdp(void *packet) { count(2); return 2; }
char terms[] SEC("license") = "GPL";
"#;

#[test]
fn what_iproute2_has_pinned_and_attached_is_told_and_adopted() {
    if !kernel::available() {
        return;
    }
    let Some(clang) = toolchain::Clang::newest() else { return };
    if !toolchain::has("tc") || !toolchain::has("ip") {
        return toolchain::skip("iproute2");
    }
    let folder = tempfile::tempdir().unwrap();
    let [source, object, lock] = ["packets.c", "packets.o", "maps.lock"].map(|name| folder.path().join(name));
    fs::write(&source, IPROUTE2).unwrap();
    clang.compile(toolchain::Order::Little, &source, &object);
    fs::write(&lock, lock_text(&maps_of(&fs::read(&object).unwrap()).unwrap())).unwrap();
    let _world = World::enter(true).unwrap();
    let iproute2 = |line: &str| {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        toolchain::run(
            command.args(words.map(|word| if word == "OBJECT" { object.as_os_str() } else { word.as_ref() })),
        );
    };
    toolchain::run(Command::new("tc").args(["qdisc", "add", "dev", "lo", "clsact"]));
    iproute2("tc filter add dev lo ingress bpf da obj OBJECT sec tc");
    iproute2("ip link set dev lo xdpgeneric obj OBJECT sec xdp");
    iproute2("ip link add one type veth peer name two");
    iproute2("ip link set dev one xdpgeneric obj OBJECT sec xdp");
    iproute2("ip link set dev two xdpdrv obj OBJECT sec xdp");
    let send = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"!", socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0; 1]).unwrap();
    };
    let pins = Path::new(BPFFS).join("tc/globals");
    let counts = || {
        let map = Map::open(&pins.join("packets")).unwrap();
        let count = |key: u32| {
            map.lookup(&key.to_ne_bytes()).unwrap().map(|value| u64::from_ne_bytes(value.try_into().unwrap()))
        };
        (map.info().id, [count(1), count(2)])
    };
    send();
    let (id, before) = counts();
    assert!(before.iter().all(Option::is_some), "{before:?}");

    let said = plan_by(&lock, &pins);
    assert!(said.lines().any(|line| line.starts_with("packets") && line.contains("reuse")), "{said}");
    is_in(
        &said,
        &[
            "uses `packets`; tc attaches it to lo, ingress, without a link: it runs beside the new one until it is detached (tc filter del dev lo ingress \
             pref 49152 handle 0x1 bpf)",
            "uses `packets`; netlink attaches it as XDP of lo, without a link: the new release can't attach its own there before it is detached (ip link set dev lo xdpgeneric off)",
            // The driver of these has a mode of its own, of which `xdp off` alone would be.
            "as XDP of one, without a link: the new release can't attach its own there before it is detached (ip link set dev one xdpgeneric off)",
            "as XDP of two, without a link: the new release can't attach its own there before it is detached (ip link set dev two xdpdrv off)",
        ],
    );
    assert!(!said.contains("no link attaches it"), "{said}");

    // The first release with maplock takes the map over as it is, and iproute2's programs count on in it.
    let spec = Spec::parse(&fs::read_to_string(&lock).unwrap()).unwrap();
    let report = Options::new(spec, &pins).begin().unwrap().stage().unwrap().commit().unwrap();
    assert_eq!(report.maps[0].disposition, Disposition::Reuse);
    send();
    let (same, after) = counts();
    assert_eq!(same, id);
    assert!(after.iter().zip(before).all(|(after, before)| *after > before), "{after:?}");

    // What the plan offers does it.
    let offered: Vec<_> =
        said.lines().filter_map(|line| line.rsplit_once(" detached (")?.1.strip_suffix(')')).collect();
    assert_eq!(offered.len(), 4, "{said}");
    offered.into_iter().for_each(|command| drop(toolchain::run(Command::new("sh").args(["-c", command]))));
    let other = Path::new(BPFFS).join("other");
    fs::create_dir(&other).unwrap();
    fs::hard_link(pins.join("packets"), other.join("packets")).unwrap();
    let said = plan_by(&lock, &other);
    assert!(!said.contains("uses `packets`"), "{said}");
}
