//! Fact 35: which links can be given another program.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::process::Command;

use libbpf_rs::NetfilterOpts;
use maplock::internals::sys::{Link, LinkTarget, LinkType, NewLink, Prog};
use maplock::layout::map::MapType;
use maplock_tests::kernel::{self, Bpffs, Cgroup, Netns};
use maplock_tests::toolchain;

use super::support::{Loaded, attach_type, errno, map, prog_type, returns};

fn attach(prog: &Prog, target: u32, attach_type: u32) -> Link {
    Link::create(&NewLink { prog: prog.as_fd(), target, attach_type, flags: 0 }).unwrap()
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn id(prog: &Prog) -> u32 {
    prog.info().unwrap().id
}

/// A link is given another program; with the old one named, as a compare-and-swap.
#[track_caller]
fn swaps(link: &Link, programs: &[Prog; 3]) {
    let [first, second, third] = programs;
    assert_eq!(link.info().unwrap().prog_id, id(first));
    link.update(second.as_fd(), None).unwrap();
    assert_eq!(link.info().unwrap().prog_id, id(second));
    assert_eq!(errno(link.update(third.as_fd(), Some(first.as_fd()))), libc::EPERM, "somebody else was there");
    assert_eq!(link.info().unwrap().prog_id, id(second));
    link.update(third.as_fd(), Some(second.as_fd())).unwrap();
    assert_eq!(link.info().unwrap().prog_id, id(third));
}

fn has_tcx() -> bool {
    kernel::takes("BPF_TCX_INGRESS", "tcx (Linux 6.6)")
}

fn three(prog_type: u32, attach_type: u32, number: i32) -> [Prog; 3] {
    std::array::from_fn(|_| returns(prog_type, attach_type, number))
}

#[test]
fn fact_35_links_of_cgroups_are_updated() {
    needs_kernel!();
    let cgroup = Cgroup::new();
    for (prog_type, attach_type) in [
        (prog_type::CGROUP_SOCK_ADDR, attach_type::CGROUP_INET4_CONNECT),
        (prog_type::SOCK_OPS, attach_type::CGROUP_SOCK_OPS),
        (prog_type::CGROUP_SKB, attach_type::CGROUP_INET_EGRESS),
        (prog_type::CGROUP_SOCK, attach_type::CGROUP_INET_SOCK_CREATE),
        (prog_type::CGROUP_SOCKOPT, attach_type::CGROUP_SETSOCKOPT),
    ] {
        let programs = three(prog_type, attach_type, 1);
        let link = attach(&programs[0], raw(cgroup.fd()), attach_type);
        let info = link.info().unwrap();
        assert_eq!(info.link_type, LinkType::CGROUP);
        assert_eq!(info.target, LinkTarget::Cgroup { id: cgroup.id(), attach_type });
        swaps(&link, &programs);
    }
}

#[test]
fn fact_35_links_of_devices_are_updated() {
    needs_kernel!();
    let netns = Netns::new();
    let (ifindex, _) = netns.veth("one", "other");
    for (prog_type, attach_type, link_type) in [
        (prog_type::XDP, attach_type::XDP, LinkType::XDP),
        (prog_type::SCHED_CLS, attach_type::TCX_INGRESS, LinkType::TCX),
    ] {
        if link_type == LinkType::TCX && !has_tcx() {
            continue;
        }
        // A program for tcx is loaded as for tc, with no attach type.
        let programs = three(prog_type, if link_type == LinkType::XDP { attach_type } else { 0 }, 0);
        netns.run(|| {
            let link = attach(&programs[0], ifindex, attach_type);
            let info = link.info().unwrap();
            assert_eq!((info.link_type, info.target), (link_type, LinkTarget::Device { ifindex, attach_type }));
            swaps(&link, &programs);
        });
    }
}

#[test]
fn fact_35_links_of_network_namespaces_are_updated() {
    needs_kernel!();
    let netns = Netns::new();
    for (prog_type, attach_type) in
        [(prog_type::SK_LOOKUP, attach_type::SK_LOOKUP), (prog_type::FLOW_DISSECTOR, attach_type::FLOW_DISSECTOR)]
    {
        let programs = three(prog_type, attach_type, 1);
        let link = attach(&programs[0], raw(netns.fd()), attach_type);
        let inode = u32::try_from(netns.inode()).unwrap();
        assert_eq!(link.info().unwrap().target, LinkTarget::Netns { inode, attach_type });
        swaps(&link, &programs);
    }
}

#[test]
fn fact_35_links_of_socket_maps_and_iterators_are_updated() {
    needs_kernel!();
    if kernel::takes("BPF_LINK_TYPE_SOCKMAP", "links of socket maps (Linux 6.10)") {
        let programs = three(prog_type::SK_MSG, attach_type::SK_MSG_VERDICT, 1);
        let sockets = map(MapType::SOCKMAP, 4, 4, 1);
        let link = attach(&programs[0], raw(sockets.as_fd()), attach_type::SK_MSG_VERDICT);
        assert_eq!(link.info().unwrap().link_type, LinkType::SOCKMAP);
        swaps(&link, &programs);
    }

    let source = (0..3).map(|n| format!("SEC(\"iter/bpf_map_elem\") int visit{n}(void *context) {{ return 0; }}"));
    let Some(loaded) = Loaded::from_source(&source.collect::<Vec<_>>().join("\n")) else { return };
    let programs = [loaded.prog("visit0"), loaded.prog("visit1"), loaded.prog("visit2")];
    let array = map(MapType::ARRAY, 4, 4, 1);
    let link = Link::iterate_map(programs[0].as_fd(), array.as_fd()).unwrap();
    assert_eq!(link.info().unwrap().link_type, LinkType::ITER);
    swaps(&link, &programs);
}

#[test]
fn fact_35_links_of_probes_and_netfilter_can_not_be_updated() {
    needs_kernel!();
    let source = "SEC(\"netfilter\") int filter0(void *context) { return 1; }
        SEC(\"netfilter\") int filter1(void *context) { return 1; }
        SEC(\"raw_tp\") int raw0(void *context) { return 0; }
        SEC(\"raw_tp\") int raw1(void *context) { return 0; }
        SEC(\"uprobe\") int probe0(void *context) { return 0; }
        SEC(\"uprobe\") int probe1(void *context) { return 0; }
        SEC(\"uprobe.multi\") int multi0(void *context) { return 0; }
        SEC(\"uprobe.multi\") int multi1(void *context) { return 0; }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let prog = |name| loaded.0.progs_mut().find(|prog| prog.name() == name).unwrap();
    let netns = Netns::new();
    let options =
        NetfilterOpts { protocol_family: libc::NFPROTO_IPV4, hooknum: 1, priority: 1, flags: 0, ..Default::default() };
    let filter = netns.run(|| {
        let link = prog("filter0").attach_netfilter_with_opts(options).unwrap();
        Link::from_fd(link.as_fd().try_clone_to_owned().unwrap())
    });
    let duplicate = |link: libbpf_rs::Link| Link::from_fd(link.as_fd().try_clone_to_owned().unwrap());
    // It fires in BPF_PROG_TEST_RUN only.
    let tracepoint = duplicate(prog("raw0").attach_raw_tracepoint("bpf_test_finish").unwrap());
    super::raw::maplock_fact_35_probed();
    let own = std::env::current_exe().unwrap();
    let pid = std::process::id().cast_signed();
    let options = libbpf_rs::UprobeOpts { func_name: Some("maplock_fact_35_probed".to_owned()), ..Default::default() };
    let probe = duplicate(prog("probe0").attach_uprobe_with_opts(pid, &own, 0, options).unwrap());
    let multi =
        duplicate(prog("multi0").attach_uprobe_multi(pid, &own, "maplock_fact_35_probed", false, false).unwrap());
    for (link, link_type, other) in [
        (filter, LinkType::NETFILTER, "filter1"),
        (tracepoint, LinkType::RAW_TRACEPOINT, "raw1"),
        (probe, LinkType::PERF_EVENT, "probe1"),
        (multi, LinkType::UPROBE_MULTI, "multi1"),
    ] {
        assert_eq!(link.info().unwrap().link_type, link_type);
        let refused = errno(link.update(loaded.prog(other).as_fd(), None));
        assert!([libc::EINVAL, libc::EOPNOTSUPP].contains(&refused), "{link_type:?}: {refused}");
    }
}

#[test]
fn fact_35_a_link_whose_device_is_gone_says_so() {
    needs_kernel!();
    if !has_tcx() {
        return;
    }
    let netns = Netns::new();
    let (ifindex, _) = netns.veth("one", "other");
    let (xdp, tcx) = (three(prog_type::XDP, attach_type::XDP, 2), three(prog_type::SCHED_CLS, 0, 0));
    let links =
        netns.run(|| [attach(&xdp[0], ifindex, attach_type::XDP), attach(&tcx[0], ifindex, attach_type::TCX_INGRESS)]);
    netns.ip("link del one");
    for (link, prog) in links.iter().zip([&xdp[1], &tcx[1]]) {
        assert_eq!(errno(link.update(prog.as_fd(), None)), libc::ENOLINK);
        assert!(matches!(link.info().unwrap().target, LinkTarget::Device { ifindex: 0, .. }), "{link:?}");
    }
}

#[test]
fn fact_35_a_link_whose_cgroup_is_gone_says_so() {
    needs_kernel!();
    let programs = three(prog_type::CGROUP_SOCK, attach_type::CGROUP_INET_SOCK_CREATE, 1);
    let cgroup = Cgroup::new();
    let link = attach(&programs[0], raw(cgroup.fd()), attach_type::CGROUP_INET_SOCK_CREATE);
    drop(cgroup);
    // The kernel detaches it in its own time.
    while link.info().unwrap().target != (LinkTarget::Cgroup { id: 0, attach_type: 2 }) {
        std::thread::yield_now();
    }
    assert_eq!(errno(link.update(programs[1].as_fd(), None)), libc::ENOLINK);
}

#[test]
fn fact_35_xdp_by_netlink_has_no_link_and_no_pin() {
    needs_kernel!();
    let netns = Netns::new();
    let (ifindex, _) = netns.veth("one", "other");
    let bpffs = Bpffs::mount();
    let pin = bpffs.path().join("prog");
    let prog = returns(prog_type::XDP, attach_type::XDP, 2);
    prog.pin(&pin).unwrap();
    netns.run(|| {
        let words = ["link", "set", "dev", "one", "xdp", "pinned"];
        toolchain::run(Command::new("ip").args(words).arg(&pin));
    });
    assert!(netns.ip("link show dev one").contains(&format!("id {}", id(&prog))));
    let mut last = 0;
    while let Some(next) = Link::next_id(last).unwrap() {
        last = next;
        // Other tests' links may be gone by now.
        let info = Link::from_id(next).and_then(|link| link.info());
        assert!(!info.is_ok_and(|info| info.prog_id == id(&prog)), "a link of that program");
    }
    // And it is in the way of one.
    let refused = netns.run(|| {
        Link::create(&NewLink { prog: prog.as_fd(), target: ifindex, attach_type: attach_type::XDP, flags: 0 })
    });
    assert_eq!(errno(refused), libc::EBUSY);
}
