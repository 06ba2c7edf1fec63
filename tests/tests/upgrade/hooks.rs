//! Hooks: updated, new, vanished, moved, and those that the kernel can't update; read back from the kernel.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};

use maplock::internals::sys::{Link, LinkTarget, Map, NewProg, Object, Prog};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::{AttachType, ErrorKind, Hook, Options, Report, Rollback, Spec, Staged};
use maplock_tests::kernel::{self, Bpffs, Cgroup, Netns};

pub(crate) const SOCK: u32 = 9;
pub(crate) const XDP: u32 = 6;
const SCHED_CLS: u32 = 3;
const NETFILTER: u32 = 32;
const SK_LOOKUP: u32 = 30;

/// A program that uses `map`, and lets everything through.
pub(crate) fn prog(prog_type: u32, expected_attach_type: u32, map: &Map, verdict: u32) -> Prog {
    let load_map = 0x18 | 1 << 8 | 1 << 12 | u64::from(map.as_fd().as_raw_fd().cast_unsigned()) << 32;
    let insns = [load_map, 0, 0xb7 | u64::from(verdict) << 32, 0x95];
    let new = NewProg {
        prog_type,
        expected_attach_type,
        name: "pass",
        insns: &insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    };
    Prog::load(&new).expect("the verifier takes it")
}

fn spec() -> Spec {
    let def = MapDef {
        key_size: 4,
        value_size: 8,
        max_entries: 4,
        pinning: Pinning::ByName,
        ..MapDef::new("m", MapType::HASH)
    };
    Spec::from(Lock { maps: BTreeMap::from([("m".to_owned(), LockedMap::new(def))]), ..Lock::default() })
}

fn staged(dir: &Path) -> Staged {
    Options::new(spec(), dir).begin().expect("begun").stage().expect("staged")
}

pub(crate) fn link(path: PathBuf) -> Link {
    match Object::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
        Object::Link(link) => link,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn what(report: &Report, hook: &str) -> Vec<&'static str> {
    report.links.iter().filter(|link| link.link == hook).map(|link| link.what).collect()
}

pub(crate) fn sock_hook(cgroup: &Cgroup, attach_type: AttachType) -> Hook {
    Hook::cgroup(cgroup.fd(), attach_type).expect("a descriptor")
}

/// One upgrade with a program of type `BPF_PROG_TYPE_CGROUP_SOCK` at each of these hooks.
fn with_hooks(dir: &Path, cgroup: &Cgroup, hooks: &[(&str, AttachType)]) -> Report {
    let mut staged = staged(dir);
    for (name, attach_type) in hooks {
        let prog = prog(SOCK, attach_type.0, staged.map("m").expect("staged"), 1);
        staged.hook(name, &prog, sock_hook(cgroup, *attach_type)).expect("it fits");
    }
    staged.commit().expect("committed")
}

#[test]
fn hooks_are_updated_attached_and_detached() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    let (create, bind) = (AttachType::CGROUP_INET_SOCK_CREATE, AttachType::CGROUP_INET4_POST_BIND);
    let release = AttachType::CGROUP_INET_SOCK_RELEASE;
    let report = with_hooks(&dir, &cgroup, &[("create", create), ("bind", bind)]);
    assert_eq!((what(&report, "create"), what(&report, "bind")), (vec!["attached"], vec!["attached"]));
    let (created, bound) =
        (link(dir.join("create")).info().expect("info"), link(dir.join("bind")).info().expect("info"));

    let report = with_hooks(&dir, &cgroup, &[("create", create), ("release", release)]);
    assert_eq!(what(&report, "create"), ["updated"]);
    assert_eq!(what(&report, "release"), ["attached"]);
    assert_eq!(what(&report, "bind"), ["detached"]);
    let now = link(dir.join("create")).info().expect("info");
    assert_eq!((now.id, now.prog_id == created.prog_id), (created.id, false));
    assert!(!dir.join("bind").exists());
    assert!(!kernel::is_attached(bound.id));

    // A roll-back attaches it where it was.
    let report = Rollback::new(&dir).run().expect("back");
    assert_eq!(what(&report, "bind"), ["attached"]);
    assert_eq!(what(&report, "release"), ["detached"]);
    let back = link(dir.join("bind")).info().expect("info");
    assert_eq!(back.target, LinkTarget::Cgroup { id: cgroup.id(), attach_type: bind.0 });
    assert_eq!(back.prog_id, bound.prog_id);
    assert_eq!(link(dir.join("create")).info().expect("info").prog_id, created.prog_id);
}

/// The first start is what is returned to: those after it changed nothing but which hooks there are.
#[test]
fn a_hook_that_a_restart_leaves_out_or_attaches_again_is_there_after_a_roll_back() {
    if !kernel::available() {
        return;
    }
    let (create, bind) =
        (("create", AttachType::CGROUP_INET_SOCK_CREATE), ("bind", AttachType::CGROUP_INET4_POST_BIND));
    let (both, one): (&[_], &[_]) = (&[create, bind], &[create]);
    for is_shared in [false, true] {
        for (starts, then) in
            [(&[both, one][..], "attached"), (&[one, both][..], "updated"), (&[one, one][..], "attached")]
        {
            let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
            let dir = bpffs.path().join("daemon");
            with_hooks(&dir, &cgroup, both);
            if is_shared {
                std::fs::create_dir(dir.join("neighbour")).expect("made");
            }
            let first =
                [link(dir.join("create")), link(dir.join("bind"))].map(|link| link.info().expect("info").prog_id);
            // There is none that could stay: this one is kept.
            with_hooks(&dir, &cgroup, both);
            let bound = link(dir.join("bind")).info().expect("info").id;
            for hooks in starts {
                let report = with_hooks(&dir, &cgroup, hooks);
                assert_eq!(what(&report, "create"), ["updated"]);
                assert!(what(&report, "bind").len() <= 1, "{report}");
                assert_eq!(dir.join("bind").exists(), hooks.len() == 2);
            }
            assert!(starts.iter().all(|hooks| hooks.len() == 2) || !kernel::is_attached(bound), "detached");
            let report = Rollback::new(&dir).run().expect("back");
            assert_eq!(what(&report, "bind"), [then], "{report}");
            for (hook, prog) in [("create", first[0]), ("bind", first[1])] {
                assert_eq!(link(dir.join(hook)).info().expect("info").prog_id, prog, "{hook}");
            }
            let attached = |link: Link| {
                link.info().is_ok_and(|info| {
                matches!(info.target, LinkTarget::Cgroup { id, attach_type } if id == cgroup.id() && attach_type == bind.1.0)
            })
            };
            let mut ids = Vec::new();
            while let Some(id) = Link::next_id(ids.last().copied().unwrap_or(0)).expect("ids are told") {
                ids.push(id);
            }
            let running = ids.into_iter().filter(|id| Link::from_id(*id).is_ok_and(attached)).count();
            assert_eq!(running, 1, "no other program runs there");
        }
    }
}

#[test]
fn a_hook_of_another_cgroup_is_replaced() {
    if !kernel::available() {
        return;
    }
    let (bpffs, one, other) = (Bpffs::mount(), Cgroup::new(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    let create = AttachType::CGROUP_INET_SOCK_CREATE;
    with_hooks(&dir, &one, &[("create", create)]);
    let report = with_hooks(&dir, &other, &[("create", create)]);
    assert_eq!(what(&report, "create"), ["replaced"]);
    let target = link(dir.join("create")).info().expect("info").target;
    assert_eq!(target, LinkTarget::Cgroup { id: other.id(), attach_type: create.0 });
}

#[test]
fn xdp_and_sk_lookup_are_updated_in_their_network_namespace() {
    if !kernel::available() {
        return;
    }
    updated_in_a_netns(&["xdp", "lookup"]);
}

#[test]
fn tcx_is_updated_in_its_network_namespace() {
    if !kernel::available() || !kernel::takes("BPF_TCX_INGRESS", TCX) {
        return;
    }
    updated_in_a_netns(&["tcx"]);
}

const TCX: &str = "tcx (Linux 6.6)";

/// A hook of a network device or namespace that the test is in.
fn device_hook(staged: &mut Staged, name: &str, ifindex: u32) {
    let m = staged.map("m").expect("staged").try_clone().expect("a descriptor");
    let (prog, hook) = match name {
        "xdp" => (prog(XDP, 37, &m, 2), Hook::xdp(ifindex, 0)),
        "tcx" => (prog(SCHED_CLS, 46, &m, 0), Hook::tcx(ifindex, AttachType::TCX_INGRESS)),
        _ => {
            let own = std::fs::File::open("/proc/thread-self/ns/net").expect("opened");
            (prog(SK_LOOKUP, 36, &m, 1), Hook::netns(&own, AttachType::SK_LOOKUP).expect("a descriptor"))
        }
    };
    staged.hook(name, prog, hook).expect("it fits");
}

fn updated_in_a_netns(names: &[&str]) {
    let netns = Netns::new();
    netns.veth("one", "two");
    let ifindex = netns.ifindex("one");
    netns.run(|| {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let upgrade = || {
            let mut staged = staged(&dir);
            names.iter().for_each(|name| device_hook(&mut staged, name, ifindex));
            staged.commit().expect("committed")
        };
        let info = |name| link(dir.join(name)).info().expect("info");
        let first = upgrade();
        let ids: Vec<_> = names.iter().map(info).collect();
        let second = upgrade();
        for (name, before) in names.iter().zip(ids) {
            assert_eq!((what(&first, name), what(&second, name)), (vec!["attached"], vec!["updated"]), "{name}");
            let now = info(name);
            assert_eq!((now.id, now.prog_id == before.prog_id), (before.id, false), "{name}");
        }
    });
}

/// Before Linux 6.6 this says so, and what was live stays.
#[test]
fn a_hook_that_this_kernel_has_not_is_named() {
    if !kernel::available() {
        return;
    }
    let netns = Netns::new();
    netns.veth("one", "two");
    let ifindex = netns.ifindex("one");
    netns.run(|| {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let mut staged = staged(&dir);
        device_hook(&mut staged, "tcx", ifindex);
        match staged.commit() {
            Ok(_) => assert!(kernel::has_enumerator("BPF_TCX_INGRESS")),
            Err(error) => {
                assert!(!kernel::has_enumerator("BPF_TCX_INGRESS"), "{error}");
                let said = "can't attach hook `tcx`: this kernel has no tcx, which needs Linux 6.6";
                assert!(error.to_string().contains(said), "{error}");
                assert!(!dir.exists() && !bpffs.path().join("daemon@next").exists());
            }
        }
    });
}

#[test]
fn a_link_whose_device_is_gone_is_attached_to_the_new_one() {
    if !kernel::available() {
        return;
    }
    let netns = Netns::new();
    netns.veth("one", "two");
    netns.run(|| {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let upgrade = || {
            let mut staged = staged(&dir);
            let m = staged.map("m").expect("staged").try_clone().expect("a descriptor");
            staged.hook("xdp", prog(XDP, 37, &m, 2), Hook::xdp(netns.ifindex("one"), 0)).expect("it fits");
            staged.commit().expect("committed")
        };
        upgrade();
        netns.ip("link del one");
        netns.veth("one", "two");
        let report = upgrade();
        assert_eq!(what(&report, "xdp"), ["reattached"], "{report}");
        let LinkTarget::Device { ifindex, .. } = link(dir.join("xdp")).info().expect("info").target else {
            panic!("XDP")
        };
        assert_eq!(ifindex, netns.ifindex("one"));
    });
}

#[test]
fn what_a_hook_was_attached_to_may_be_gone_and_a_way_back_is_left() {
    if !kernel::available() {
        return;
    }
    let netns = Netns::new();
    netns.veth("one", "two");
    netns.veth("three", "four");
    netns.veth("five", "six");
    netns.run(|| {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let dir = bpffs.path().join("daemon");
        let upgrade = |devices: &[&str]| {
            let mut staged = staged(&dir);
            let m = staged.map("m").expect("staged").try_clone().expect("a descriptor");
            for device in devices {
                let hook = Hook::xdp(netns.ifindex(device), 0);
                staged.hook(device, prog(XDP, 37, &m, 2), hook).expect("it fits");
            }
            let create = AttachType::CGROUP_INET_SOCK_CREATE;
            staged.hook("create", prog(SOCK, create.0, &m, 1), sock_hook(&cgroup, create)).expect("it fits");
            staged.commit().expect("committed")
        };
        upgrade(&["one", "three", "five"]);
        let first = link(dir.join("create")).info().expect("info").prog_id;
        // One device goes before the upgrade, one after it; the third stays.
        netns.ip("link del one");
        upgrade(&[]);
        netns.ip("link del three");
        let report = Rollback::new(&dir).run().expect("back");
        assert_eq!((what(&report, "one"), what(&report, "three")), (vec![], vec!["gone"]), "{report}");
        assert_eq!(what(&report, "five"), ["attached"], "{report}");
        assert_eq!(link(dir.join("create")).info().expect("info").prog_id, first);
    });
}

#[test]
fn a_roll_back_pin_by_pin_to_what_maplock_has_not_made_ends_the_new_hooks() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    std::fs::create_dir(&dir).expect("made");
    let m = Map::create(&maplock::internals::sys::NewMap::new(MapType::HASH, 4, 8, 4)).expect("made");
    m.pin(&dir.join("m")).expect("pinned");
    // Somebody else's: the pins are moved one by one.
    m.pin(&dir.join("somebodys")).expect("pinned");
    let report = with_hooks(&dir, &cgroup, &[("create", AttachType::CGROUP_INET_SOCK_CREATE)]);
    assert_eq!(what(&report, "create"), ["attached"]);
    let new = link(dir.join("create")).info().expect("info");
    let report = Rollback::new(&dir).run().expect("back");
    assert_eq!(what(&report, "create"), ["detached"], "{report}");
    assert!(!dir.join("create").exists() && !dir.join("create@prog").exists());
    assert!(!kernel::is_attached(new.id));
    assert!(dir.join("m").exists() && dir.join("somebodys").exists());
}

#[test]
fn a_link_that_the_kernel_cannot_update_is_replaced_new_before_old() {
    if !kernel::available() || !kernel::takes("BPF_PROG_TYPE_NETFILTER", "netfilter programs (Linux 6.4)") {
        return;
    }
    Netns::new().run(|| {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        // NF_INET_LOCAL_IN of IPv4; two programs need two priorities.
        let upgrade = |priority: i32| {
            let mut staged = staged(&dir);
            let m = staged.map("m").expect("staged").try_clone().expect("a descriptor");
            let prog = prog(NETFILTER, 45, &m, 1);
            let made = Link::netfilter(prog.as_fd(), 2, 1, priority).expect("attached");
            staged.hook("filter", &prog, Hook::attached(&made).expect("a descriptor")).expect("it fits");
            staged.commit().expect("committed")
        };
        upgrade(10);
        let before = link(dir.join("filter")).info().expect("info");
        let report = upgrade(11);
        assert_eq!(what(&report, "filter"), ["replaced"], "{report}");
        let now = link(dir.join("filter")).info().expect("info");
        assert_ne!(now.id, before.id);
        // It can't be detached, and goes with its last pin.
        assert!(Link::from_id(before.id).is_err(), "the old one is gone");
    });
}

#[test]
fn a_program_that_does_not_belong_at_a_hook_changes_nothing() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    let create = AttachType::CGROUP_INET_SOCK_CREATE;
    with_hooks(&dir, &cgroup, &[("create", create)]);
    // The kernel compares the types only when the link is switched.
    let before = link(dir.join("create")).info().expect("info");
    let mut staged = staged(&dir);
    let wrong = prog(XDP, AttachType::XDP.0, staged.map("m").expect("staged"), 1);
    staged.hook("create", &wrong, sock_hook(&cgroup, create)).expect("the kernel finds out");
    let error = staged.commit().expect_err("the kernel refuses");
    assert!(error.to_string().contains("can't switch the link of hook `create`"), "{error}");
    assert_eq!(link(dir.join("create")).info().expect("info"), before);
    assert!(!bpffs.path().join("daemon@next").exists());
}

#[test]
fn a_program_on_unchecked_maps_is_refused() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    let create = AttachType::CGROUP_INET_SOCK_CREATE;
    with_hooks(&dir, &cgroup, &[("create", create)]);
    let mut staged = staged(&dir);
    let mut own = maplock::internals::sys::NewMap::new(MapType::HASH, 4, 8, 4);
    own.name = "m";
    let own = Map::create(&own).expect("made");
    let error =
        staged.hook("create", prog(SOCK, 2, &own, 1), sock_hook(&cgroup, create)).expect_err("not the staged one");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("uses a map of its own called `m`"), "{error}");
    for name in ["", "a.b", "m", "x@prog", "a/b"] {
        let good = prog(SOCK, 2, staged.map("m").expect("staged"), 1);
        let error = staged.hook(name, &good, sock_hook(&cgroup, create)).expect_err("no name for a hook");
        assert!(error.to_string().contains("a hook can't be called"), "{error}");
    }
}
