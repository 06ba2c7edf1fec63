//! The loaders: they get the staged maps, and never a pin that was not checked.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use libbpf_rs::ObjectBuilder;
use maplock::internals::sys::{Map, Prog};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapDef, Pinning};
use maplock::layout::{Disposition, Lock};
use maplock::{AttachType, ErrorKind, Hook, Options, Spec, Staged};
use maplock_layout_tests::maps_of as maps_of_object;
use maplock_tests::kernel::{self, Bpffs, Cgroup};

use crate::releases::{object, spec};

fn staged(dir: &Path, release: &str) -> Staged {
    Options::new(spec(release), dir).begin().expect("begun").stage().expect("staged")
}

/// Ids of the maps that a program uses, by their names.
fn maps_of(prog: BorrowedFd<'_>) -> BTreeMap<String, u32> {
    let info = Prog::from_fd(prog.try_clone_to_owned().expect("a descriptor")).info().expect("info");
    let maps = info.map_ids.iter().map(|id| Map::from_id(*id).expect("it is there"));
    maps.map(|map| (map.info().name.clone(), map.info().id)).collect()
}

fn staged_ids(staged: &Staged) -> BTreeMap<String, u32> {
    staged.maps().map(|(name, map)| (name.to_owned(), map.info().id)).collect()
}

fn connect4(cgroup: &Cgroup) -> Hook {
    Hook::cgroup(cgroup.fd(), AttachType::CGROUP_INET4_CONNECT).expect("a descriptor")
}

/// Names in the bpffs of the machine, which no loader may have touched.
fn names_of_the_machine() -> Vec<String> {
    maplock::internals::sys::bpffs::names(Path::new("/sys/fs/bpf")).ok().flatten().unwrap_or_default()
}

#[test]
fn libbpf_gets_the_staged_maps_whatever_pinning_the_object_asks_for() {
    if !kernel::available() {
        return;
    }
    let machine = names_of_the_machine();
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("minimesh");
    for release in ["v1", "v2", "v3", "v4"] {
        let mut staged = staged(&dir, release);
        let mut open = ObjectBuilder::default().open_file(object(release)).expect("libbpf opens it");
        staged.libbpf(&mut open).expect("libbpf takes the maps");
        let object = open.load().expect("libbpf loads it");
        let prog = object.progs_mut().find(|prog| prog.name() == "minimesh_connect4").expect("it has the program");
        assert_eq!(maps_of(prog.as_fd()), staged_ids(&staged), "{release}");
        staged.hook("connect4", prog.as_fd(), connect4(&cgroup)).expect("it fits");
        staged.commit().expect("committed");
    }
    assert_eq!(names_of_the_machine(), machine, "nothing is pinned at libbpf's own path");
}

#[test]
fn aya_gets_the_staged_maps_whatever_pinning_the_object_asks_for() {
    if !kernel::available() {
        return;
    }
    let machine = names_of_the_machine();
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("minimesh");
    for release in ["v1", "v2"] {
        let mut staged = staged(&dir, release);
        let mut ebpf = staged.aya().load_file(object(release)).expect("aya loads it");
        let prog: &mut aya::programs::CgroupSockAddr =
            ebpf.program_mut("minimesh_connect4").expect("it has the program").try_into().expect("of that type");
        prog.load().expect("the verifier takes it");
        assert_eq!(maps_of(prog.fd().expect("loaded").as_fd()), staged_ids(&staged), "{release}");
        staged.hook("connect4", prog.fd().expect("loaded"), connect4(&cgroup)).expect("it fits");
        staged.commit().expect("committed");
    }
    assert_eq!(names_of_the_machine(), machine, "nothing is pinned at aya's own path");
}

/// An array of the object, in a lock that says how many entries it has.
fn states(object: &Path, max_entries: u32) -> Spec {
    let maps = maps_of_object(&std::fs::read(object).expect("it is committed")).expect("an object");
    let def = maps.into_iter().find(|map| map.name == "STATES").expect("it has it");
    let def = MapDef { max_entries, pinning: Pinning::ByName, ..def };
    Spec::from(Lock { maps: [(def.name.clone(), LockedMap::new(def))].into(), ..Lock::default() })
}

#[test]
fn aya_is_told_the_capacity_of_a_map_that_is_larger_than_its_object_says() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("states");
    let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf/rust/objects/btf_maps.o");
    Options::new(states(&object, 16), &dir)
        .begin()
        .expect("begun")
        .stage()
        .expect("staged")
        .commit()
        .expect("committed");
    let staged = Options::new(states(&object, 8), &dir).begin().expect("begun").stage().expect("staged");
    assert_eq!(staged.plan().map("STATES").expect("it is planned").disposition(), Disposition::Reuse);
    let ebpf = staged.aya().load_file(&object).expect("aya takes the larger map");
    let states = aya::maps::Array::<_, u32>::try_from(ebpf.map("STATES").expect("it has it")).expect("an array");
    assert_eq!(states.len(), 16);
    assert_eq!(states.get(&15, 0).expect("in the map"), 0);
}

#[test]
fn a_map_that_the_lock_does_not_have_is_neither_opened_nor_committed_nor_left_behind() {
    if !kernel::available() {
        return;
    }
    let machine = names_of_the_machine();
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("minimesh");
    // The lock was not updated: `drops` came with v2, and `backends` grew.
    let mut staged = staged(&dir, "v1");
    let mut ebpf = staged.aya().load_file(object("v2")).expect("aya loads it");
    let prog: &mut aya::programs::CgroupSockAddr =
        ebpf.program_mut("minimesh_connect4").expect("it has the program").try_into().expect("of that type");
    prog.load().expect("the verifier takes it");
    let maps = maps_of(prog.fd().expect("loaded").as_fd());
    assert!(maps.contains_key("drops") && !staged_ids(&staged).contains_key("drops"));
    staged.hook("connect4", prog.fd().expect("loaded"), connect4(&cgroup)).expect("it fits");
    let error = staged.commit().expect_err("nobody would keep its entries");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("the loader pinned `drops` beside the staged maps"), "{error}");
    assert!(error.to_string().contains("run `cargo maplock update`"), "{error}");
    assert!(!dir.exists() && !bpffs.path().join("minimesh@next").exists());
    assert_eq!(names_of_the_machine(), machine);
}

#[test]
fn a_map_that_the_object_wants_pinned_and_the_lock_calls_ephemeral_is_the_loaders() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("minimesh");
    let mut lock = spec("v2").lock().clone();
    lock.maps.get_mut("drops").expect("v2 has it").ephemeral = true;
    let mut staged = Options::new(Spec::from(lock), &dir).begin().expect("begun").stage().expect("staged");
    let mut ebpf = staged.aya().load_file(object("v2")).expect("aya loads it");
    let prog: &mut aya::programs::CgroupSockAddr =
        ebpf.program_mut("minimesh_connect4").expect("it has the program").try_into().expect("of that type");
    prog.load().expect("the verifier takes it");
    staged.hook("connect4", prog.fd().expect("loaded"), connect4(&cgroup)).expect("it fits");
    staged.commit().expect("committed");
    assert!(dir.join("stats").exists() && !dir.join("drops").exists());
}

#[test]
fn a_loader_that_went_its_own_way_is_found_out() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let mut staged = staged(&bpffs.path().join("minimesh"), "v1");
    // As a daemon would that forgot `staged.libbpf(..)`, with libbpf's pins in a place of their own.
    let elsewhere = bpffs.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    let mut builder = ObjectBuilder::default();
    let open = builder.pin_root_path(&elsewhere).expect("set").open_file(object("v1")).expect("libbpf opens it");
    let object = open.load().expect("libbpf loads it");
    let prog = object.progs_mut().find(|prog| prog.name() == "minimesh_connect4").expect("it has the program");
    let error = staged.hook("connect4", prog.as_fd(), connect4(&cgroup)).expect_err("other maps");
    assert!(error.to_string().contains("hand the loader `staged.pin("), "{error}");
}
