//! What `inspect` reads from the kernel, held against what the maps were made from.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use maplock::internals::inspect::{self, Inventory, Layouts, Source};
use maplock::internals::meta::Meta;
use maplock::internals::meta::{self, MetaMap};
use maplock::internals::normalise::{Node, normalise};
use maplock::internals::pin_name;
use maplock::internals::sys::bpffs::{self, Dir};
use maplock::internals::sys::{Link, Map, NewLink, NewMap, NewProg, Prog};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::MapType as T;
use maplock::layout::{Digest, Lock, MapDef};
use maplock::plan::{Inputs, PinnedLock, plan};
use maplock::{Policies, Spec};
use maplock_tests::toolchain::{Clang, Fixture, Order, root, run};
use maplock_tests::{libbpf, maps_of};
use tempfile::TempDir;

/// A mount that goes with the test.
struct Mount(TempDir);

impl Mount {
    /// A bpffs of the test's own. `None` where the privilege is missing.
    fn bpffs() -> Option<Self> {
        match Map::create(&NewMap::new(T::ARRAY, 4, 4, 1)) {
            Ok(_) => Some(Self::new("bpf")),
            Err(error) if env::var_os("MAPLOCK_REQUIRE_KERNEL").is_some_and(|value| value == "1") => {
                panic!("MAPLOCK_REQUIRE_KERNEL=1, but no map can be made: {error}")
            }
            Err(error) => {
                eprintln!("skipped: needs CAP_BPF ({error})");
                None
            }
        }
    }

    fn new(kind: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        run(Command::new("mount").args(["-t", kind, "none"]).arg(dir.path()));
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A directory in it.
    fn dir(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(self.path()).status();
        let is_gone = done.is_ok_and(|status| status.success());
        assert!(is_gone || std::thread::panicking(), "{} stays mounted", self.path().display());
    }
}

fn look(dir: &Path) -> Inventory {
    inspect::directory(dir).unwrap_or_else(|error| panic!("{error}"))
}

fn node() -> Node {
    Node::this().expect("a machine with CPUs")
}

/// The definition of what is pinned, in the words of `declared`.
fn words(inventory: &Inventory, declared: &MapDef) -> MapDef {
    let pinned = inventory.maps.get(&pin_name(&declared.name)).unwrap_or_else(|| panic!("{} is pinned", declared.name));
    normalise(&pinned.observed.def, declared, node())
}

/// What counts of a definition.
fn identity(def: &MapDef) -> (Digest, u32) {
    (def.digest(), def.max_entries)
}

fn lock_of(defs: &[MapDef]) -> Lock {
    Lock { maps: defs.iter().map(|def| (def.name.clone(), LockedMap::new(def.clone()))).collect(), ..Lock::default() }
}

fn minimesh(release: &str) -> Vec<u8> {
    fs::read(root().join("bpf/minimesh").join(release).join("minimesh.bpf.o")).expect("a committed object")
}

/// The meta map's content for what is pinned, counting as `defs`.
fn meta_of(inventory: &Inventory, defs: &[MapDef]) -> Meta {
    let id = |def: &MapDef| inventory.maps.get(&pin_name(&def.name)).map(|pinned| pinned.observed.id);
    let maps = defs
        .iter()
        .filter_map(|def| Some((def.name.clone(), MetaMap { id: id(def)?, max_entries: def.max_entries })))
        .collect();
    Meta { generation: 1, maps, lock: lock_of(defs), ..Meta::default() }
}

/// Maps for which the kernel keeps no BTF, though their keys or values are data: of some types (fact 12), and hashes of which only
/// the key or only the value says its type (fact 13).
fn keeps_no_btf(def: &MapDef) -> bool {
    matches!(def.map_type, T::QUEUE | T::STACK | T::HASH_OF_MAPS | T::SOCKHASH)
        || def.map_type == T::HASH && def.key.is_some() != def.value.is_some()
}

#[test]
fn the_maps_that_libbpf_makes_of_each_release_are_as_declared() {
    let Some(mount) = Mount::bpffs() else { return };
    for release in ["v1", "v2", "v3", "v4"] {
        let (object, dir) = (minimesh(release), mount.dir(release));
        libbpf::pin_maps(&object, &dir, &[]).unwrap_or_else(|error| panic!("{release}: {error}"));
        let inventory = look(&dir);
        let maps = maps_of(&object).expect("a good object");
        assert_eq!(inventory.maps.len(), maps.len());
        for declared in &maps {
            let observed = &inventory.maps[&pin_name(&declared.name)].observed;
            assert_eq!(observed.source, Source::Btf);
            assert_eq!(identity(&words(&inventory, declared)), identity(declared), "{release}: {}", declared.name);
            assert_eq!(observed.digest(), declared.digest(), "{release}: {}", declared.name);
            assert_eq!((observed.entries, observed.frozen), (None, false));
            assert!(observed.memory > 0);
        }
    }
}

#[test]
fn the_maps_that_libbpf_makes_of_each_fixture_are_as_declared() {
    let (Some(mount), Some(clang)) = (Mount::bpffs(), Clang::newest()) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut seen = BTreeSet::new();
    for fixture in Fixture::all().iter().filter(|fixture| !fixture.libbpf_refuses) {
        let Some(path) = fixture.compile(&clang, Order::Little, folder.path()) else { continue };
        let (object, dir) = (fs::read(path).expect("compiled"), mount.dir(&fixture.name));
        // The kernel makes no map without entries: such sizes are set at run time.
        let skip = ["ringbuf_sized_at_run_time", "no_max_entries", "zero_max_entries"];
        libbpf::pin_maps(&object, &dir, &skip).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        let inventory = look(&dir);
        for declared in maps_of(&object).expect("a good object").iter().filter(|map| !skip.contains(&&*map.name)) {
            let observed = &inventory.maps[&pin_name(&declared.name)].observed;
            let mut expected = declared.clone();
            if keeps_no_btf(declared) {
                (expected.key, expected.value) = (None, None);
                assert_eq!(observed.source, Source::Attributes, "{}: {}", fixture.name, declared.name);
            }
            let words = words(&inventory, &expected);
            assert_eq!(identity(&words), identity(&expected), "{}: {words:#?}\n{expected:#?}", fixture.name);
            seen.insert(declared.map_type);
        }
    }
    let missing: Vec<_> = (1..=T::ARENA.0).map(T).filter(|map_type| !seen.contains(map_type)).collect();
    assert!(missing.is_empty(), "no map of {missing:?}");
}

/// What is declared, as the kernel makes it.
fn create(def: &MapDef) -> Map {
    let new = NewMap {
        name: &def.name,
        flags: def.flags,
        map_extra: def.map_extra,
        ..NewMap::new(def.map_type, def.key_size, def.value_size, def.max_entries)
    };
    Map::create(&new).unwrap_or_else(|error| panic!("{}: {error}", def.name))
}

fn bare(name: &str, map_type: T, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapDef {
    MapDef { key_size, value_size, max_entries, flags, ..MapDef::new(name, map_type) }
}

#[test]
fn what_the_kernel_changes_is_not_taken_for_a_difference() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("quirks");
    // Three times as many as any machine has CPUs, and one: never a multiple of them.
    let odd = node().cpus * 3 + 1;
    let page = node().page_size;
    let defs = [
        // Changed by the kernel.
        (true, bare("devmap", T::DEVMAP, 4, 4, 8, 0)),
        (true, bare("devmap_hash", T::DEVMAP_HASH, 4, 8, 8, 0)),
        (node().cpus > 1, bare("lru_of_each_cpu", T::LRU_HASH, 4, 4, odd, 0x2)),
        (node().cpus > 1, bare("lru_percpu_of_each", T::LRU_PERCPU_HASH, 4, 4, odd, 0x2)),
        (true, bare("read_only_descriptor", T::HASH, 4, 4, 8, 0x8)),
        (true, bare("write_only_descriptor", T::ARRAY, 4, 4, 8, 0x10)),
        // Kept as given.
        (false, bare("a_name_of_more_than_15_bytes", T::HASH, 4, 4, 8, 0x1)),
        (false, bare("ringbuf", T::RINGBUF, 0, 0, page * 4, 0)),
        (false, bare("user_ringbuf", T::USER_RINGBUF, 0, 0, page, 0)),
        (false, bare("cpumap_4", T::CPUMAP, 4, 4, 1, 0)),
        (false, bare("cpumap_8", T::CPUMAP, 4, 8, 1, 0)),
        (false, bare("xskmap", T::XSKMAP, 4, 4, 8, 0)),
        (false, bare("read_only_for_programs", T::ARRAY, 4, 4, 8, 0x80)),
        (false, bare("mappable", T::ARRAY, 4, 12, 8, 0x400)),
        (false, bare("inner_map", T::ARRAY, 4, 4, 8, 0x1000)),
        (false, bare("lpm_trie", T::LPM_TRIE, 8, 4, 8, 0x1)),
        (false, bare("stack_trace", T::STACK_TRACE, 4, 80, 10, 0)),
        (false, bare("bloom_filter", T::BLOOM_FILTER, 0, 8, 100, 0)),
        (false, MapDef { map_extra: 3, ..bare("bloom_filter_3", T::BLOOM_FILTER, 0, 8, 100, 0) }),
        (false, bare("arena", T::ARENA, 0, 0, 10, 0x400)),
        (false, bare("arena_segv", T::ARENA, 0, 0, 10, 0x2_0400)),
    ];
    for (_, def) in &defs {
        create(def).pin(&dir.join(&def.name)).unwrap_or_else(|error| panic!("{}: {error}", def.name));
    }
    let inventory = look(&dir);
    for (changes, def) in &defs {
        let told = &inventory.maps[&def.name].observed.def;
        let differs = (told.flags, told.max_entries) != (def.flags, def.max_entries);
        assert_eq!(differs, *changes, "{}: {told:?}", def.name);
        assert_eq!(identity(&words(&inventory, def)), identity(def), "{told:?}");
    }
}

#[test]
fn what_loaders_round_is_not_taken_for_a_difference() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("loaders");
    let Node { cpus, page_size } = node();
    for (declared, made) in [
        (bare("ringbuf", T::RINGBUF, 0, 0, page_size + 1, 0), page_size * 2),
        (bare("user_ringbuf", T::USER_RINGBUF, 0, 0, 1, 0), page_size),
        (bare("perf_0", T::PERF_EVENT_ARRAY, 4, 4, 0, 0), cpus),
        (bare("perf_many", T::PERF_EVENT_ARRAY, 4, 4, cpus + 100, 0), cpus),
        (bare("cpumap_0", T::CPUMAP, 4, 4, 0, 0), cpus),
    ] {
        create(&MapDef { max_entries: made, ..declared.clone() }).pin(&dir.join(&declared.name)).expect("a new pin");
        let inventory = look(&dir);
        assert_eq!(identity(&words(&inventory, &declared)), identity(&declared));
    }
}

#[test]
fn a_map_of_maps_tells_of_its_inner_maps_once_it_holds_one() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("inner");
    let inner = bare("inner", T::HASH, 4, 8, 16, 0);
    let template = create(&inner);
    let outer = |map_type| {
        let new = NewMap { inner: Some(template.as_fd()), ..NewMap::new(map_type, 4, 4, 8) };
        Map::create(&new).expect("a map of maps")
    };
    let declared = |name, map_type| MapDef { inner: Some(Box::new(inner.clone())), ..bare(name, map_type, 4, 4, 8, 0) };
    for (name, map_type) in [("array", T::ARRAY_OF_MAPS), ("hash", T::HASH_OF_MAPS)] {
        let (map, declared) = (outer(map_type), declared(name, map_type));
        map.pin(&dir.join(name)).expect("a new pin");
        let empty = look(&dir);
        assert_eq!(empty.maps[name].observed.def.inner, None);
        assert_eq!(identity(&words(&empty, &declared)), identity(&declared), "what is not told is no difference");

        let fd = u32::try_from(template.as_fd().as_raw_fd()).expect("open");
        map.update(&5_u32.to_ne_bytes(), &fd.to_ne_bytes(), 0).expect("an inner map like the template");
        let filled = look(&dir);
        let told = filled.maps[name].observed.def.inner.as_deref().expect("an entry is there");
        assert_eq!((told.map_type, told.key_size, told.value_size), (T::HASH, 4, 8));
        assert_eq!(identity(&words(&filled, &declared)), identity(&declared));
        let mut other = declared.clone();
        other.inner.as_mut().expect("declared").value_size = 12;
        assert_ne!(words(&filled, &other).digest(), other.digest());
    }
}

#[test]
fn every_kind_of_pin_is_found_and_the_kernel_s_own_are_left_out() {
    let Some(mount) = Mount::bpffs() else { return };
    // The root of a mount, where `maps.debug` and `progs.debug` are.
    let dir = mount.path();
    create(&bare("map", T::ARRAY, 4, 8, 3, 0)).pin(&dir.join("map")).expect("a new pin");
    // mov r0, 1; exit
    const INSNS: [u64; 2] = [0x1_0000_00b7, 0x95];
    const CGROUP_SOCK: u32 = 9;
    const CGROUP_INET_SOCK_CREATE: u32 = 2;
    let prog = Prog::load(&NewProg {
        prog_type: CGROUP_SOCK,
        expected_attach_type: CGROUP_INET_SOCK_CREATE,
        name: "prog",
        insns: &INSNS,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    });
    let prog = prog.expect("two instructions");
    prog.pin(&dir.join("prog")).expect("a new pin");
    let cgroups = Mount::new("cgroup2");
    let cgroup = cgroups.dir(&format!("maplock-inspect-{}", std::process::id()));
    let target = fs::File::open(&cgroup).expect("a cgroup of the test's own");
    let target_fd = u32::try_from(target.as_raw_fd()).expect("open");
    let attach_type = CGROUP_INET_SOCK_CREATE;
    let link = Link::create(&NewLink { prog: prog.as_fd(), target: target_fd, attach_type, flags: 0 });
    let link = link.expect("an empty cgroup");
    link.pin(&dir.join("link")).expect("a new pin");
    bpffs::write_record(&dir.join("record"), "some text").expect("a new name");
    mount.dir("sub");

    let found = look(dir);
    assert!(found.exists);
    assert_eq!(found.maps.keys().collect::<Vec<_>>(), ["map"]);
    assert_eq!(found.maps["map"].observed.entries, Some(3), "an array is always full");
    assert_eq!(found.progs.keys().collect::<Vec<_>>(), ["prog"]);
    assert_eq!(found.links.keys().collect::<Vec<_>>(), ["link"]);
    assert_eq!(found.records, BTreeMap::from([("record".to_owned(), "some text".to_owned())]));
    assert_eq!(found.dirs, ["sub"]);
    assert_eq!((found.others.len(), found.warnings.len(), found.meta.is_none()), (0, 0, true));
    link.detach().expect("attached");
    fs::remove_dir(cgroup).expect("an empty cgroup");
}

#[test]
fn a_directory_that_is_not_there_is_empty_and_one_elsewhere_is_refused() {
    let Some(mount) = Mount::bpffs() else { return };
    let none = look(&mount.path().join("none"));
    assert!(!none.exists && none.maps.is_empty());
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let error = inspect::directory(elsewhere.path()).expect_err("no bpffs").to_string();
    assert!(error.ends_with("is not on a bpffs; mount one: mount -t bpf bpf /sys/fs/bpf"), "{error}");
}

#[test]
fn frozen_is_seen() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("frozen");
    let map = create(&bare("config", T::ARRAY, 4, 8, 1, 0));
    map.pin(&dir.join("config")).expect("a new pin");
    assert!(!look(&dir).maps["config"].observed.frozen);
    map.freeze().expect("not mapped");
    assert!(look(&dir).maps["config"].observed.frozen);
}

#[test]
fn the_meta_map_is_frozen_and_read_back_and_replaced() {
    let Some(mount) = Mount::bpffs() else { return };
    let (object, dir) = (minimesh("v1"), mount.dir("meta"));
    libbpf::pin_maps(&object, &dir, &[]).expect("a good object");
    let written = meta_of(&look(&dir), &maps_of(&object).expect("a good object"));
    assert_eq!(written.maps.len(), 4);
    for generation in [1, 2] {
        let written = Meta { generation, ..written.clone() };
        written.write(&Dir::at(&dir)).expect("room for it");
        assert_eq!(Meta::read(&Dir::at(&dir)).expect("just written"), Some(written.clone()));
        let found = look(&dir);
        assert_eq!((found.meta, found.warnings.len()), (Some(written), 0));
        assert!(!found.maps.contains_key(meta::NAME));
        assert!(found.maps.values().all(|pinned| pinned.observed.source == Source::Meta));
    }
    let map = Map::open(&dir.join(meta::NAME)).expect("pinned");
    assert!(map.is_frozen().expect("a map"));
    let text = vec![b' '; map.value_bytes()];
    let denied = map.update(&[0; 4], &text, 0).expect_err("frozen");
    assert_eq!(denied.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_damaged_meta_map_is_a_warning_and_counts_as_absent() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("damaged");
    let pin = dir.join(meta::NAME);
    let text = |text: &[u8], freeze: bool| {
        let map = create(&bare("meta", T::ARRAY, 4, u32::try_from(text.len()).expect("short"), 1, 0));
        map.update(&[0; 4], text, 0).expect("room for it");
        if freeze {
            map.freeze().expect("not mapped");
        }
        bpffs::unlink(&pin).expect("ours");
        map.pin(&pin).expect("a new pin");
        let found = look(&dir);
        assert!(found.meta.is_none());
        assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
        found.warnings[0].clone()
    };
    let good = Meta::default().to_text();
    assert!(text(b"nonsense", true).contains("no line `---`"));
    assert!(text(&[0xff; 8], true).contains("not UTF-8"));
    assert!(text(good.replace("meta 1", "meta 9").as_bytes(), true).contains("newer than this maplock"));
    assert!(text(good.as_bytes(), false).contains("is not frozen"));
    assert!(text(good.replace("version = 1", "version = x").as_bytes(), true).contains("holds no lock"));

    bpffs::unlink(&pin).expect("ours");
    create(&bare("meta", T::HASH, 4, 8, 4, 0)).pin(&pin).expect("a new pin");
    assert!(look(&dir).warnings[0].contains("it is of type hash"));
}

#[test]
fn a_map_without_btf_counts_as_the_meta_map_says_by_name_number_and_attributes() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("untyped");
    let defs = maps_of(&minimesh("v1")).expect("a good object");
    let stats = defs.iter().find(|def| def.name == "stats").expect("in v1").clone();
    create(&stats).pin(&dir.join("stats")).expect("a new pin");
    let decide = || {
        let (found, spec) = (look(&dir), Spec::from(lock_of(std::slice::from_ref(&stats))));
        let (live, policies) = (found.observed(), Policies::default());
        let meta = found.meta.as_ref();
        let inputs = Inputs {
            spec: &spec,
            dir: &dir,
            live: &live,
            kept: &[],
            ways_back: &Default::default(),
            meta,
            newer: &PinnedLock::default(),
            migrations: None,
            policies: &policies,
            node: node(),
        };
        let map = plan(&inputs).maps.remove(0);
        (live[0].source, map.disposition().name(), map.why)
    };
    let unverifiable =
        (Source::Attributes, "refuse", "its layout is unknown: it has no BTF, and no maplock_meta names it".to_owned());
    assert_eq!(decide(), unverifiable);

    let good = meta_of(&look(&dir), std::slice::from_ref(&stats));
    let write = |change: &dyn Fn(&mut Meta)| {
        let mut meta = good.clone();
        change(&mut meta);
        meta.write(&Dir::at(&dir)).expect("room for it");
    };
    write(&|_| {});
    assert_eq!(decide(), (Source::Meta, "reuse", "same layout".to_owned()));
    // The capacity is the kernel's to tell.
    write(&|meta| meta.lock.maps.get_mut("stats").expect("there").def.max_entries *= 2);
    assert_eq!(decide(), (Source::Meta, "reuse", "same layout".to_owned()));
    write(&|meta| meta.maps.get_mut("stats").expect("there").id += 1);
    assert_eq!(decide(), unverifiable, "another number");
    write(&|meta| meta.lock.maps.get_mut("stats").expect("there").def.flags = 1);
    assert_eq!(decide(), unverifiable, "other attributes");
    write(&|meta| _ = meta.maps.remove("stats"));
    assert_eq!(decide(), unverifiable, "another name");
}

#[test]
fn a_map_that_a_later_release_reuses_counts_as_that_release_has_it() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("since");
    let (v3, v4) = (minimesh("v3"), maps_of(&minimesh("v4")).expect("a good object"));
    libbpf::pin_maps(&v3, &dir, &[]).expect("a good object");
    // `backends` of v4 has a member in what was padding: the same sizes.
    let backends = v4.iter().find(|def| def.name == "backends").expect("in v4");
    assert_ne!(look(&dir).maps["backends"].observed.digest(), backends.digest());
    meta_of(&look(&dir), &v4).write(&Dir::at(&dir)).expect("room for it");
    let found = look(&dir);
    assert_eq!(found.maps["backends"].observed.digest(), backends.digest());
    assert_eq!(found.maps["backends"].observed.source, Source::Meta);
    // `stats` of v4 has a larger key: the map can't be what the meta map says.
    assert_eq!(found.maps["stats"].observed.source, Source::Btf);
}

#[test]
fn the_meta_map_need_not_repeat_what_btf_tells() {
    let Some(mount) = Mount::bpffs() else { return };
    let dir = mount.dir("short");
    let v4 = maps_of(&minimesh("v4")).expect("a good object");
    libbpf::pin_maps(&minimesh("v3"), &dir, &[]).expect("a good object");
    let mut meta = meta_of(&look(&dir), &v4);
    meta.leave_out_what_btf_tells(&look(&dir).observed(), node());
    // Those that v4 has otherwise than v3, which made them.
    assert_eq!(meta.lock.maps.keys().collect::<Vec<_>>(), ["backends", "stats"]);
    assert_eq!(meta.maps.len(), v4.len());
    meta.write(&Dir::at(&dir)).expect("room for it");
    let found = look(&dir);
    assert_eq!(found.maps["backends"].observed.source, Source::Meta);
    assert_eq!(found.maps["frontends"].observed.source, Source::Btf);
}

#[test]
fn one_map_can_be_looked_at_alone() {
    let Some(mount) = Mount::bpffs() else { return };
    let (object, dir) = (minimesh("v1"), mount.dir("one"));
    libbpf::pin_maps(&object, &dir, &[]).expect("a good object");
    let path = dir.join("stats");
    let map = Map::open(&path).expect("pinned");
    let observed = inspect::observe(&path, &map, None, &mut Layouts::default()).expect("a map");
    assert_eq!((observed.pin.as_str(), observed.id), ("stats", map.info().id));
    assert_eq!(observed.digest(), look(&dir).maps["stats"].observed.digest());
}
