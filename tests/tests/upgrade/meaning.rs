//! The same bytes with another meaning, on a node: what is pinned counts as what is known of it, and no more.

use std::collections::BTreeMap;
use std::path::Path;

use maplock::handles::Verified;
use maplock::internals::inspect::{self, Source};
use maplock::internals::meta;
use maplock::internals::sys::{Btf, Map, NewMap, bpffs};
use maplock::layout::btf::{self, BtfKind, encode_untagged};
use maplock::layout::config::{Config, Levels};
use maplock::layout::conversion::{Answers, Scale};
use maplock::layout::lock::OnUpgrade;
use maplock::layout::{Disposition, Lock, MapDef, ObjectMaps, Observation, epochs, observe, observe_after};
use maplock::{Options, Policies, Report, Rollback, Spec, dry_run};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::toolchain::{Clang, Order};
use maplock_tests::{libbpf, maps_of};

const SEEN: u64 = 7_000;

/// An object with a map `flows`, with a version of its struct or none.
fn object(version: Option<u32>) -> Option<Vec<u8>> {
    tagged(version, None)
}

/// The same with one of the map.
fn tagged(of_struct: Option<u32>, of_map: Option<u32>) -> Option<Vec<u8>> {
    let clang = Clang::newest()?;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, object) = (folder.path().join("flows.c"), folder.path().join("flows.o"));
    let tag = |version: Option<u32>| {
        version.map_or_else(String::new, |version| {
            format!(" __attribute__((btf_decl_tag(\"maplock:version={version}\")))")
        })
    };
    let source = format!(
        "#include \"bpf_min.h\"\nstruct flow {{ __u64 seen; __u64 hits; }}{};\nstruct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, struct flow); }} flows SEC(\".maps\"){};\n",
        tag(of_struct),
        tag(of_map)
    );
    std::fs::write(&file, source).expect("a file");
    clang.compile(Order::Little, &file, &object);
    Some(std::fs::read(object).expect("an object"))
}

fn defs(object: &[u8]) -> Vec<ObjectMaps> {
    vec![ObjectMaps::new("flows.o", maps_of(object).expect("a good object"))]
}

/// The first lock of an object.
fn locked(object: &[u8]) -> Lock {
    observe(&defs(object), &Config::default()).expect("no name is configured").lock
}

/// The lock in which the next object is accepted.
fn followed(lock: &Lock, object: &[u8], way: OnUpgrade) -> Lock {
    accepted(lock, &observe_after(&defs(object), &Config::default(), lock).expect("no name is configured"), way)
}

/// The lock in which the same object means something else.
fn raised(lock: &Lock, object: &[u8], way: OnUpgrade) -> Lock {
    let now = observe_after(&defs(object), &Config::default(), lock).expect("no name is configured");
    accepted(lock, &now.with_new_meaning(lock, "flows").expect("it is in both"), way)
}

fn accepted(lock: &Lock, now: &Observation, way: OnUpgrade) -> Lock {
    let accepted = epochs::accept(lock, now, "flows", way, "microseconds", &Levels::default()).expect("a new meaning");
    let scale = BTreeMap::from([("value.seen".to_owned(), Scale { multiply: 1, divide: 1000 })]);
    let answers = Answers { scale, ..Answers::default() };
    epochs::convert(&accepted, "flows", (way == OnUpgrade::Migrate).then_some(&answers)).expect("all is answered")
}

/// What a plan says of the one map.
fn planned(lock: &Lock, dir: &Path) -> (Disposition, String) {
    let plan = dry_run(&Spec::from(lock.clone()), dir, &Policies::default()).expect("a plan");
    let map = plan.map("flows").expect("it is in the spec");
    (map.disposition(), map.why.clone())
}

fn start(lock: &Lock, dir: &Path) -> Report {
    let upgrade = Options::new(Spec::from(lock.clone()), dir).begin().expect("begun");
    upgrade.stage().expect("staged").commit().expect("committed")
}

fn put(dir: &Path) {
    let value = [SEEN, 3].map(u64::to_ne_bytes).concat();
    flows(dir).update(&1_u32.to_ne_bytes(), &value, 0).expect("there is room");
}

fn seen(dir: &Path) -> Option<u64> {
    let value = flows(dir).lookup(&1_u32.to_ne_bytes()).expect("the kernel tells")?;
    Some(u64::from_ne_bytes(value[..8].try_into().expect("8 bytes")))
}

fn flows(dir: &Path) -> Map {
    Map::open(&dir.join("flows")).expect("it is pinned")
}

/// The declaration tags in the BTF of the pinned map.
fn tags(dir: &Path) -> usize {
    let bytes = Btf::from_id(flows(dir).info().btf_id).and_then(|btf| btf.bytes()).expect("the kernel's copy");
    btf::Btf::parse(&bytes).expect("BTF").of_kinds(&[BtfKind::DeclTag]).count()
}

const OLDEST: &str = "; nothing tells the version of its meaning, so it counts as the oldest: ";

#[test]
fn a_pin_of_somebody_else_gets_the_meaning_that_was_accepted_and_is_known_from_then_on() {
    let Some(object) = object(None) else { return };
    if !kernel::available() {
        return;
    }
    for (way, disposition, left) in
        [(OnUpgrade::Swap, Disposition::Swap, None), (OnUpgrade::Migrate, Disposition::Migrate, Some(SEEN / 1000))]
    {
        let bpffs = Bpffs::mount();
        let dir = bpffs.dir("daemon");
        libbpf::pin_maps(&object, &dir, &[]).expect("a good object");
        put(&dir);
        let before = locked(&object);
        let lock = raised(&before, &object, way);
        assert_eq!(planned(&before, &dir), (Disposition::Reuse, "same layout".to_owned()));
        let (plans, why) = planned(&lock, &dir);
        assert_eq!(plans, disposition);
        assert!(why.ends_with(&format!("{OLDEST}no version")), "{why}");
        let open = || Verified::open(&Spec::from(lock.clone()), "flows", &dir.join("flows"));
        let error = open().expect_err("a handle would read old entries as new ones").to_string();
        assert!(error.contains("means something else now: version 1, it had none"), "{error}");
        start(&lock, &dir);
        assert_eq!(seen(&dir), left);
        open().expect("the generation tells what it is");

        // The generation knows: no second time.
        put(&dir);
        assert_eq!(planned(&lock, &dir), (Disposition::Reuse, "same layout".to_owned()));
        start(&lock, &dir);
        assert_eq!(seen(&dir), Some(SEEN));
        let found = inspect::directory(&dir).expect("readable");
        let observed = &found.maps["flows"].observed;
        assert_eq!((observed.source, observed.def.version), (Source::Meta, 1));
        assert_eq!(observed.digest(), lock.maps["flows"].def.digest());

        // Without it, nothing does.
        bpffs::unlink(&dir.join(meta::NAME)).expect("ours");
        assert_eq!(planned(&lock, &dir).0, disposition);
    }
}

#[test]
fn a_generation_of_before_there_was_a_version_is_known_to_have_none() {
    let Some(object) = object(None) else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let before = locked(&object);
    start(&before, &dir);
    put(&dir);
    let lock = raised(&before, &object, OnUpgrade::Migrate);
    let (plans, why) = planned(&lock, &dir);
    assert_eq!((plans, why.contains(OLDEST)), (Disposition::Migrate, false), "{why}");
    start(&lock, &dir);
    assert_eq!(seen(&dir), Some(SEEN / 1000));

    // The release before it finds the map of its own meaning, with what it holds.
    Rollback::new(&dir).run().expect("rolled back");
    assert_eq!(planned(&before, &dir), (Disposition::Reuse, "same layout".to_owned()));
    assert_eq!(seen(&dir), Some(SEEN));
}

#[test]
fn an_older_release_that_starts_on_a_newer_meaning_returns_to_its_own_map() {
    let (Some(first), Some(second)) = (object(Some(1)), object(Some(2))) else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let before = locked(&first);
    start(&before, &dir);
    put(&dir);
    let own = flows(&dir).info().id;
    start(&followed(&before, &second, OnUpgrade::Swap), &dir);
    assert_eq!(seen(&dir), None);
    let (plans, why) = planned(&before, &dir);
    assert_eq!(plans, Disposition::Reuse, "{why}");
    start(&before, &dir);
    assert_eq!((flows(&dir).info().id, seen(&dir)), (own, Some(SEEN)));
}

#[test]
fn the_tag_of_a_struct_tells_a_pin_of_somebody_else_where_the_kernel_kept_it() {
    let (Some(first), Some(second)) = (object(Some(1)), object(Some(2))) else { return };
    if !kernel::available() || !kernel::keeps_tags() {
        return;
    }
    let before = locked(&first);
    let lock = followed(&before, &second, OnUpgrade::Swap);
    for (object, disposition) in [(&first, Disposition::Swap), (&second, Disposition::Reuse)] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.dir("daemon");
        libbpf::pin_maps(object, &dir, &[]).expect("a good object");
        assert!(tags(&dir) > 0, "this kernel keeps them");
        let (plans, why) = planned(&lock, &dir);
        assert_eq!((plans, why.contains(OLDEST)), (disposition, false), "{why}");
    }
    // As loaders do before Linux 5.16.
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    blank(&maps_of(&second).expect("a good object")[0]).pin(&dir.join("flows")).expect("a new pin");
    put(&dir);
    let (plans, why) = planned(&lock, &dir);
    assert_eq!(plans, Disposition::Swap, "it may be of the first");
    assert!(why.ends_with(&format!("{OLDEST}version 1")), "{why}");
    // Where there never was another meaning, there is nothing to tell.
    assert_eq!(planned(&locked(&second), &dir), (Disposition::Reuse, "same layout".to_owned()));
    start(&locked(&second), &dir);
    assert_eq!(seen(&dir), Some(SEEN));
    assert_eq!(planned(&lock, &dir), (Disposition::Reuse, "same layout".to_owned()), "and the generation tells it");
}

/// A map as made on a kernel that refuses declaration tags.
fn blank(def: &MapDef) -> Map {
    let encoded = encode_untagged(def.key.as_deref(), def.value.as_deref()).expect("what BTF can say");
    let loaded = Btf::load(&encoded.bytes).expect("good BTF");
    let mut new = NewMap::new(def.map_type, def.key_size, def.value_size, def.max_entries);
    new.btf = Some((&loaded, encoded.key_type_id, encoded.value_type_id));
    Map::create(&new).expect("a map")
}

#[test]
fn maps_that_maplock_makes_keep_the_tags_of_their_structs() {
    let Some(object) = object(Some(2)) else { return };
    if !kernel::available() || !kernel::keeps_tags() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let lock = locked(&object);
    start(&lock, &dir);
    assert_eq!(tags(&dir), 1);
    let found = inspect::directory(&dir).expect("readable");
    assert_eq!(found.maps["flows"].observed.source, Source::Btf, "the meta map has nothing to add");
    // So that its loss changes nothing.
    bpffs::unlink(&dir.join(meta::NAME)).expect("ours");
    assert_eq!(planned(&lock, &dir), (Disposition::Reuse, "same layout".to_owned()));
}

#[test]
fn old_bytes_that_are_right_as_they_are_count_as_the_new_meaning() {
    let (Some(first), Some(second)) = (object(None), object(Some(1))) else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let before = locked(&first);
    start(&before, &dir);
    put(&dir);
    let id = flows(&dir).info().id;
    let lock = followed(&before, &second, OnUpgrade::Reuse);
    start(&lock, &dir);
    assert_eq!((flows(&dir).info().id, seen(&dir)), (id, Some(SEEN)));
    // What is accepted after that is no matter of the tag that its BTF lacks.
    let twice = raised(&lock, &second, OnUpgrade::Swap);
    let (plans, why) = planned(&twice, &dir);
    assert_eq!((plans, why.contains(OLDEST)), (Disposition::Swap, false), "{why}");
}

#[test]
fn the_tag_of_a_map_tells_a_pin_that_libbpf_made() {
    let (Some(first), Some(second)) = (tagged(None, Some(1)), tagged(None, Some(2))) else { return };
    if !kernel::available() || !kernel::keeps_tags() {
        return;
    }
    let before = locked(&first);
    let lock = followed(&before, &second, OnUpgrade::Swap);
    for (object, disposition) in [(&first, Disposition::Swap), (&second, Disposition::Reuse)] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.dir("daemon");
        libbpf::pin_maps(object, &dir, &[]).expect("a good object");
        let (plans, why) = planned(&lock, &dir);
        assert_eq!((plans, why.contains(OLDEST)), (disposition, false), "{why}");
        start(&lock, &dir);
        assert_eq!(planned(&lock, &dir), (Disposition::Reuse, "same layout".to_owned()));
    }
}
