//! Hooks that have another name than in the release before, and where they were found again: by the place, not by the name.

use std::path::Path;

use maplock::internals::sys::Map;
use maplock::layout::MapDef;
use maplock::layout::map::{MapType, Pinning};
use maplock::{AttachType, ErrorKind, Hook, Options, Report, Rollback, Spec, Staged};
use maplock_tests::kernel::{self, Bpffs, Cgroup, Netns};

use crate::hooks::{SOCK, XDP, link, prog, sock_hook, what};

const CREATE: AttachType = AttachType::CGROUP_INET_SOCK_CREATE;
const BIND: AttachType = AttachType::CGROUP_INET4_POST_BIND;

fn spec(max_entries: u32) -> Spec {
    let m = MapDef::new("m", MapType::HASH);
    Spec::from(maplock_tests::lock(&[MapDef {
        key_size: 4,
        value_size: 8,
        max_entries,
        pinning: Pinning::ByName,
        ..m
    }]))
}

fn staged(dir: &Path, (max_entries, each_pin): (u32, bool), cgroup: &Cgroup, hooks: &[(&str, AttachType)]) -> Staged {
    let options = Options::new(spec(max_entries), dir);
    let options = if each_pin { options.each_pin() } else { options };
    let mut staged = options.begin().expect("begun").stage().expect("staged");
    for (name, attach_type) in hooks {
        let prog = prog(SOCK, attach_type.0, staged.map("m").expect("staged"), 1);
        staged.hook(name, &prog, sock_hook(cgroup, *attach_type)).expect("it fits");
    }
    staged
}

/// Ids of the link at a hook and of the program that it runs.
fn at(dir: &Path, hook: &str) -> (u32, u32) {
    let info = link(dir.join(hook)).info().expect("info");
    (info.id, info.prog_id)
}

fn commit(staged: Staged) -> Report {
    staged.commit().expect("committed")
}

#[test]
fn a_hook_with_another_name_takes_over_the_link_and_gives_it_back() {
    if !kernel::available() {
        return;
    }
    for each_pin in [false, true] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let dir = bpffs.path().join("daemon");
        commit(staged(&dir, (4, each_pin), &cgroup, &[("create", CREATE)]));
        let before = at(&dir, "create");
        // Larger, so that it is no restart.
        let report = commit(staged(&dir, (8, each_pin), &cgroup, &[("opened", CREATE)]));
        assert_eq!((what(&report, "opened"), what(&report, "create")), (vec!["updated"], vec![]), "{report}");
        let now = at(&dir, "opened");
        assert_eq!((now.0, now.1 == before.1), (before.0, false), "the same link, another program");
        assert!(!dir.join("create").exists());
        let report = Rollback::new(&dir).run().expect("back");
        assert_eq!((what(&report, "create"), what(&report, "opened")), (vec!["updated"], vec![]), "{report}");
        assert_eq!(at(&dir, "create"), before);
        assert!(!dir.join("opened").exists());
    }
}

#[test]
fn hooks_that_exchange_their_names_keep_their_links_and_a_restart_may_rename_too() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    commit(staged(&dir, (4, false), &cgroup, &[("a", CREATE), ("b", BIND)]));
    let (a, b) = (at(&dir, "a").0, at(&dir, "b").0);
    commit(staged(&dir, (4, false), &cgroup, &[("a", BIND), ("b", CREATE)]));
    assert_eq!((at(&dir, "a").0, at(&dir, "b").0), (b, a));
    // A start on the same maps, which leaves the kept generation alone.
    let report = commit(staged(&dir, (4, false), &cgroup, &[("c", BIND), ("b", CREATE)]));
    assert_eq!((what(&report, "b"), what(&report, "c")), (vec!["updated"], vec!["updated"]), "{report}");
    assert_eq!((at(&dir, "b").0, at(&dir, "c").0), (a, b));
    Rollback::new(&dir).run().expect("back");
    assert_eq!((at(&dir, "a").0, at(&dir, "b").0), (a, b));
}

#[test]
fn a_commit_that_fails_gives_the_link_back_under_its_old_name() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    commit(staged(&dir, (4, false), &cgroup, &[("create", CREATE)]));
    let before = at(&dir, "create");
    let staged = staged(&dir, (8, false), &cgroup, &[("opened", CREATE)]);
    let new = staged.map("m").expect("staged");
    (100..108_u32).for_each(|key| new.update(&key.to_ne_bytes(), &[1; 8], 0).expect("there is room"));
    let live = Map::open(&dir.join("m")).expect("pinned");
    live.update(&7_u32.to_ne_bytes(), &[1; 8], 0).expect("there is room");
    let error = staged.commit().expect_err("the new map has no room for it");
    assert!(error.to_string().contains("map `m`"), "{error}");
    assert_eq!(at(&dir, "create"), before);
    assert!(!dir.join("opened").exists() && !bpffs.path().join("daemon@next").exists());
}

#[test]
fn an_xdp_hook_may_be_renamed_though_the_device_takes_one_link_only() {
    if !kernel::available() {
        return;
    }
    let netns = Netns::new();
    netns.veth("one", "two");
    let ifindex = netns.ifindex("one");
    netns.run(|| {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let upgrade = |hook: &str| {
            let mut staged = Options::new(spec(4), &dir).begin().expect("begun").stage().expect("staged");
            let prog = prog(XDP, 37, staged.map("m").expect("staged"), 2);
            staged.hook(hook, &prog, Hook::xdp(ifindex, 0)).expect("it fits");
            staged.commit().expect("committed")
        };
        upgrade("xdp");
        let before = at(&dir, "xdp").0;
        assert_eq!(what(&upgrade("ingress"), "ingress"), ["updated"]);
        assert_eq!(at(&dir, "ingress").0, before);
    });
}

#[test]
fn a_device_of_another_network_namespace_is_not_taken_for_one_that_is_gone() {
    if !kernel::available() {
        return;
    }
    let netns = Netns::new();
    netns.veth("one", "two");
    let ifindex = netns.ifindex("one");
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let upgrade = |max_entries: u32, at: Option<u32>| {
        let mut staged = Options::new(spec(max_entries), &dir).begin().expect("begun").stage().expect("staged");
        if let Some(ifindex) = at {
            let prog = prog(XDP, 37, staged.map("m").expect("staged"), 2);
            staged.hook("xdp", &prog, Hook::xdp(ifindex, 0)).expect("it fits");
        }
        staged.commit()
    };
    netns.run(|| {
        upgrade(4, Some(ifindex)).expect("committed");
        upgrade(8, None).expect("committed");
    });
    let error = Rollback::new(&dir).run().expect_err("the device is not here");
    assert_eq!(error.kind(), ErrorKind::Place);
    assert!(error.to_string().contains("from here it can't be seen where it was"), "{error}");
    assert!(error.to_string().contains("roll back from that network namespace"), "{error}");
    netns.run(|| {
        let report = Rollback::new(&dir).run().expect("back");
        assert_eq!(what(&report, "xdp"), ["attached"]);
        // No device has that number anywhere.
        let error = upgrade(8, Some(0x7fff_0000)).expect_err("there is none");
        assert_eq!(error.kind(), ErrorKind::Place, "{error}");
        let wanted = "no network device of this network namespace has the index 2147418112";
        assert!(error.to_string().contains(wanted), "{error}");
    });
}
