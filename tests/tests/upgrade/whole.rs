//! Whole upgrades: from one release of minimesh to another, with its programs in a cgroup.

use std::path::Path;

use maplock::internals::sys::{Link, Map, Object};
use maplock::layout::Disposition;
use maplock::{AttachType, Hook, Options, Policies, Report};
use maplock_tests::kernel::{self, Bpffs, Cgroup};

use crate::releases::{object, spec};

/// Upgrades the pins at `dir` to a release, and says what was done.
pub(crate) fn upgrade(
    dir: &Path,
    cgroup: &Cgroup,
    release: &str,
    policies: Policies,
) -> Result<Report, maplock::Error> {
    let upgrade = Options::new(spec(release), dir).policies(policies).begin()?;
    println!("{release}:\n{}", upgrade.plan());
    let mut staged = upgrade.stage()?;
    let bytes = std::fs::read(object(release)).expect("the object is there");
    let mut ebpf = staged.aya().load(&bytes).expect("aya loads it");
    let prog: &mut aya::programs::CgroupSockAddr =
        ebpf.program_mut("minimesh_connect4").expect("it has the program").try_into().expect("of that type");
    prog.load().expect("the verifier takes it");
    let hook = Hook::cgroup(cgroup.fd(), AttachType::CGROUP_INET4_CONNECT).expect("a descriptor");
    staged.hook("connect4", prog.fd().expect("loaded"), hook)?;
    staged.commit()
}

fn map(path: &Path) -> Map {
    Map::open(path).expect("the map is pinned")
}

fn link(path: &Path) -> Link {
    match Object::open(path).expect("it is pinned") {
        Object::Link(link) => link,
        other => panic!("{other:?} is no link"),
    }
}

#[test]
fn the_first_release_is_installed() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("minimesh");
    let report = upgrade(&dir, &cgroup, "v1", Policies::default()).expect("it is installed");
    assert!(report.maps.iter().all(|map| map.disposition == Disposition::Create), "{report:?}");
    let link = link(&dir.join("connect4")).info().expect("info");
    let prog = maplock::internals::sys::Prog::from_id(link.prog_id).expect("it runs").info().expect("info");
    for name in ["frontends", "services", "backends", "stats"] {
        let id = map(&dir.join(name)).info().id;
        assert!(prog.map_ids.contains(&id), "the program uses {name}");
    }
    assert!(!bpffs.path().join("minimesh@next").exists());
    assert!(!bpffs.path().join("minimesh@prev").exists());
}

#[test]
fn the_same_release_again_keeps_every_map() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("minimesh");
    upgrade(&dir, &cgroup, "v1", Policies::default()).expect("it is installed");
    let before: Vec<u32> =
        ["frontends", "services", "backends", "stats"].map(|name| map(&dir.join(name)).info().id).into();
    let running = link(&dir.join("connect4")).info().expect("info");
    let report = upgrade(&dir, &cgroup, "v1", Policies::default()).expect("it is upgraded");
    let after: Vec<u32> =
        ["frontends", "services", "backends", "stats"].map(|name| map(&dir.join(name)).info().id).into();
    assert_eq!(before, after, "{report:?}");
    let now = link(&dir.join("connect4")).info().expect("info");
    assert_eq!(running.id, now.id, "the link is the same");
    assert_ne!(running.prog_id, now.prog_id, "the program is the new one");
    assert!(bpffs.path().join("minimesh@prev").exists());
    assert!(maplock::confirm(&dir, std::time::Duration::ZERO).expect("confirmed"));
    assert!(!bpffs.path().join("minimesh@prev").exists());
}

#[test]
fn four_releases_up_and_the_last_one_back() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("minimesh");
    for release in ["v1", "v2", "v3", "v4"] {
        let report = upgrade(&dir, &cgroup, release, Policies::default()).expect("it is upgraded");
        println!("{report}");
    }
    let report = maplock::Rollback::new(&dir).run().expect("it goes back");
    println!("{report}");
}
