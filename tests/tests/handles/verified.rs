//! A handle is had of a map only that is what the spec says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use maplock::handles::{Directory, Handle as _, HashMap, Opaque, Queue, Verified};
use maplock::internals::meta::Meta;
use maplock::internals::meta::MetaMap;
use maplock::internals::sys::bpffs::Dir;
use maplock::internals::sys::{Map, NewMap};
use maplock::layout::conversion::Answers;
use maplock::layout::lock::{Epoch, LockedMap, OnUpgrade};
use maplock::layout::map::MapType;
use maplock::layout::{Composite, Layout, Lock, MapDef, Member, Shape};
use maplock::{ErrorKind, Options, Spec};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::{libbpf, maps_of, toolchain};

use crate::support::spec_of;

fn object(release: &str) -> Vec<u8> {
    std::fs::read(toolchain::root().join(format!("bpf/minimesh/{release}/minimesh.bpf.o"))).expect("it is committed")
}

fn spec(release: &str) -> Spec {
    let lock = if release == "v1" { "maps.lock".to_owned() } else { format!("releases/{release}.lock") };
    let text = std::fs::read_to_string(toolchain::root().join("minimesh").join(lock)).expect("the release has a lock");
    Spec::parse(&text).expect("it is one")
}

fn pinned(bpffs: &Bpffs, release: &str) -> std::path::PathBuf {
    let dir = bpffs.dir(release);
    libbpf::pin_maps(&object(release), &dir, &[]).expect("pinned");
    dir
}

fn told(error: &maplock::Error, dir: &Path) -> String {
    error.to_string().replace(&dir.display().to_string(), "[dir]")
}

#[test]
fn the_maps_of_a_release_are_opened_and_those_of_another_are_refused() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = pinned(&bpffs, "v1");
    let v1 = spec("v1");
    let mut maps = Directory::open(&v1, &dir).expect("opened");
    for map in v1.maps() {
        maps.map::<Opaque>(&map.def.name).expect("as declared");
    }
    let stats = Verified::open(&v1, "stats", &dir.join("stats")).expect("as declared");
    let stats = HashMap::<[u32; 2], [u64; 2]>::from_verified(stats).expect("the sizes fit");
    stats.insert([1, 2], [3, 4]).expect("inserted");

    let v4 = spec("v4");
    let error = Verified::open(&v4, "stats", &dir.join("stats")).expect_err("another layout");
    assert_eq!(error.kind(), ErrorKind::Layout);
    insta::assert_snapshot!(told(&error, &dir));
    let error = Directory::open(&v1, &bpffs.dir("empty")).expect_err("nothing is pinned");
    assert_eq!(error.kind(), ErrorKind::Place);
    assert!(error.to_string().contains("map `backends` is not pinned at"), "{error}");
    assert!(error.to_string().contains("`maplock inspect "), "{error}");
}

#[test]
fn a_map_of_another_capacity_has_the_same_layout() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = pinned(&bpffs, "v2");
    // `backends` grew in v2.
    let backends = Verified::open(&spec("v1"), "backends", &dir.join("backends")).expect("the same layout");
    assert!(backends.info().max_entries > spec("v1").map("backends").expect("it has it").def.max_entries);
}

/// The definition with one member of the value under another name: the same sizes, and the bytes mean something else.
fn renamed(def: &MapDef, from: &str, to: &str) -> MapDef {
    let value = def.value.as_deref().expect("it has a type");
    let of = value.composite().expect("a struct");
    let rename = |member: &Member| {
        let name = if &*member.name == from { to.into() } else { member.name.clone() };
        Member { name, ..member.clone() }
    };
    let members = of.members().iter().map(rename).collect();
    let of = Composite::new(of.kind(), of.name().cloned(), members).expect("as many as before");
    MapDef { value: Some(Arc::new(Layout::new(value.size, Shape::Composite(Arc::new(of))))), ..def.clone() }
}

#[test]
fn an_old_layout_that_was_accepted_as_it_is_counts_as_todays() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = pinned(&bpffs, "v1");
    let old = spec("v1").map("stats").expect("it has it").def.clone();
    let def = renamed(&old, "connections", "opened");
    let epoch = |on_upgrade| Epoch {
        from: old.digest(),
        to: def.digest(),
        rules: vec!["member-renamed".to_owned()],
        on_upgrade,
        merge: BTreeMap::new(),
        convert: Answers::default(),
        reason: "a better name".to_owned(),
        max_entries: None,
        previous: old.clone(),
    };
    let open = |epochs| {
        let locked = LockedMap { epochs, ..LockedMap::new(def.clone()) };
        let spec = Spec::from(Lock { maps: [("stats".to_owned(), locked)].into(), ..Lock::default() });
        Verified::open(&spec, "stats", &dir.join("stats")).map_err(|error| told(&error, &dir))
    };
    open(vec![epoch(OnUpgrade::Reuse)]).expect("accepted to be reused");
    insta::assert_snapshot!(open(vec![epoch(OnUpgrade::Migrate)]).expect_err("the entries are of the old layout"));
    insta::assert_snapshot!(open(Vec::new()).expect_err("nobody has accepted it"));
}

#[test]
fn a_map_without_btf_counts_by_the_meta_map_beside_it() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("queues");
    let declared = maps_of(&object("v1")).expect("its maps").remove(0);
    let def = MapDef {
        value: declared.value.clone(),
        value_size: declared.value_size,
        max_entries: 8,
        ..MapDef::new("waiting", MapType::QUEUE)
    };
    let spec = spec_of(def.clone());
    let map = Map::create(&NewMap::new(MapType::QUEUE, 0, def.value_size, 8)).expect("made");
    let pin = dir.join("waiting");
    map.pin(&pin).expect("pinned");
    let error = Verified::open(&spec, "waiting", &pin).expect_err("nothing tells its layout");
    insta::assert_snapshot!(told(&error, &dir));
    let error = Verified::of_fd(&spec, "waiting", &map).expect_err("nothing tells its layout");
    insta::assert_snapshot!(told(&error, &dir));

    let meta = |id| Meta {
        generation: 1,
        maps: [("waiting".to_owned(), MetaMap { id, max_entries: 8 })].into(),
        lock: spec.lock().clone(),
        ..Meta::default()
    };
    meta(map.info().id + 1).write(&Dir::at(&dir)).expect("written");
    Verified::open(&spec, "waiting", &pin).expect_err("it speaks of another map");
    meta(map.info().id).write(&Dir::at(&dir)).expect("written");
    let verified = Verified::open(&spec, "waiting", &pin).expect("the meta map tells");
    let queue = Queue::<[u8; 4]>::from_verified(verified);
    assert_eq!(queue.is_ok(), def.value_size == 4);

    // Its maker may vouch for it; what the kernel tells must agree all the same.
    Verified::of_fd_unverified(&spec, "waiting", &map).expect("attributes agree");
    let stack = Map::create(&NewMap::new(MapType::STACK, 0, def.value_size, 8)).expect("made");
    let error = Verified::of_fd_unverified(&spec, "waiting", &stack).expect_err("another type");
    assert!(error.to_string().starts_with("map `waiting` is a stack, 0 -> "), "{error}");
}

#[test]
fn a_directory_that_is_held_stays_one_generation() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (one, other) = (pinned(&bpffs, "v1"), bpffs.dir("other"));
    libbpf::pin_maps(&object("v1"), &other, &[]).expect("pinned");
    let ids = |dir: &Path| {
        let id = |map: &str| Map::open(&dir.join(map)).expect("pinned").info().id;
        [id("stats"), id("backends")]
    };
    let generations = [ids(&one), ids(&other)];
    let v1 = spec("v1");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                maplock::internals::sys::bpffs::exchange(&one, &other).expect("exchanged");
            }
        });
        for _ in 0..300 {
            let mut maps = Directory::open(&v1, &one).expect("never absent");
            let ids = ["stats", "backends"].map(|map| maps.map::<Opaque>(map).expect("as declared").as_map().info().id);
            assert!(generations.contains(&ids), "{ids:?} of {generations:?}");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_staged_generation_has_handles_before_it_is_committed() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let staged =
        Options::new(spec("v1"), bpffs.path().join("minimesh")).begin().expect("begun").stage().expect("staged");
    let verified = Verified::of_staged(&spec("v1"), "services", &staged).expect("staged");
    let services = HashMap::<u32, [u32; 2]>::from_verified(verified).expect("the sizes fit");
    services.insert(1, [2, 3]).expect("inserted");
    let error = Verified::of_staged(&spec("v4"), "stats", &staged).expect_err("staged from v1").to_string();
    assert_eq!(error, "map `stats`: this generation was staged from another spec, which has another map of that name");
    staged.commit().expect("committed");
    let services =
        Verified::open(&spec("v1"), "services", &bpffs.path().join("minimesh/services")).expect("as declared");
    let services = HashMap::<u32, [u32; 2]>::from_verified(services).expect("the sizes fit");
    assert_eq!(services.get(1).expect("read"), Some([2, 3]));
}
