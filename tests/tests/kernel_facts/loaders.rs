//! Facts 36 to 38: what loaders do with a pin that they find.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use aya::maps::Map as AyaMap;
use libbpf_rs::{AsRawLibbpf as _, MapCore as _, ObjectBuilder};
use maplock::internals::sys::{Map, NewMap, Object};
use maplock::layout::map::MapType;
use maplock_tests::kernel::Bpffs;

use super::raw;
use super::support::{Loaded, array, compile, duplicate, errno, id_at, key, map, number};

/// A map of aya's, of one of the types that the tests here load.
pub fn map_data(map: &AyaMap) -> Map {
    match map {
        AyaMap::Array(data)
        | AyaMap::HashMap(data)
        | AyaMap::LruHashMap(data)
        | AyaMap::PerCpuArray(data)
        | AyaMap::PerCpuHashMap(data)
        | AyaMap::LpmTrie(data)
        | AyaMap::ProgramArray(data)
        | AyaMap::PerfEventArray(data)
        | AyaMap::RingBuf(data)
        | AyaMap::Queue(data) => duplicate(data.fd().as_fd()),
        other => panic!("{other:?}"),
    }
}

/// An object with one pinned hash map of keys of 4 bytes, and a program that uses it.
fn pinned(value: &str, entries: u32) -> Option<Vec<u8>> {
    compile(&format!(
        "struct value {{ {value} }};
        struct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, __u32); __type(value, struct value);
            __uint(max_entries, {entries}); __uint(pinning, LIBBPF_PIN_BY_NAME); }} flows SEC(\".maps\");
        SEC(\"xdp\") int look(void *context) {{
            __u32 key = 0;
            return bpf_map_lookup_elem(&flows, &key) ? 2 : 1;
        }}"
    ))
}

#[test]
fn fact_36_aya_opens_a_pin_with_no_check() {
    needs_kernel!();
    let Some(object) = pinned("__u64 packets;", 8) else { return };
    let bpffs = Bpffs::mount();
    // Not one attribute is what the object says.
    let other = map(MapType::ARRAY, 4, 64, 3);
    other.pin(&bpffs.path().join("flows")).unwrap();
    let mut loaded = aya::EbpfLoader::new().default_map_pin_directory(bpffs.path()).load(&object).unwrap();
    assert_eq!(map_data(loaded.map("flows").unwrap()).info().id, other.info().id);

    // The safe API holds the sizes against the object, not against the kernel. A `get` from here on is the kernel's write of 64
    // bytes into a u64.
    let typed = aya::maps::HashMap::<_, u32, u64>::try_from(loaded.map_mut("flows").unwrap());
    assert!(typed.is_ok());
}

#[test]
fn fact_36_a_staged_pin_is_handed_to_aya_by_its_path() {
    needs_kernel!();
    let Some(object) = pinned("__u64 packets;", 8) else { return };
    let bpffs = Bpffs::mount();
    let (live, next) = (bpffs.dir("app"), bpffs.dir("app@next"));
    let pin = |dir: &Path| {
        let map = map(MapType::HASH, 4, 8, 8);
        map.pin(&dir.join("flows")).unwrap();
        map.info().id
    };
    let (_, staged) = (pin(&live), pin(&next));
    let mut loader = aya::EbpfLoader::new();
    loader.default_map_pin_directory(&live).map_pin_path("flows", next.join("flows"));
    let loaded = loader.load(&object).unwrap();
    assert_eq!(map_data(loaded.map("flows").unwrap()).info().id, staged);
}

#[test]
fn fact_36_aya_writes_the_objects_data_over_a_pinned_section() {
    needs_kernel!();
    let source = "__u64 total = 7; SEC(\"xdp\") int count(void *context) { total++; return 2; }";
    let Some(object) = compile(source) else { return };
    let bpffs = Bpffs::mount();
    let section = map(MapType::ARRAY, 4, 8, 1);
    section.update(&key(0), &4711_u64.to_ne_bytes(), 0).unwrap();
    section.pin(&bpffs.path().join("data")).unwrap();
    aya::EbpfLoader::new().map_pin_path(".data", bpffs.path().join("data")).load(&object).unwrap();
    assert_eq!(number(&section, 0), Some(7), "4711 is gone");
}

/// Loads through libbpf, which pins by name under `dir`.
fn load_with_libbpf(object: &[u8], dir: &Path) -> libbpf_rs::Result<Loaded> {
    let mut builder = ObjectBuilder::default();
    builder.pin_root_path(dir)?;
    Ok(Loaded(builder.open_memory(object)?.load()?))
}

#[test]
fn fact_37_libbpf_compares_sizes_and_never_types() {
    needs_kernel!();
    let Some(first) = pinned("__u32 packets; __u32 bytes;", 8) else { return };
    let bpffs = Bpffs::mount();
    let id = load_with_libbpf(&first, bpffs.path()).unwrap().map("flows").info().id;
    for same_size in ["__u32 bytes; __u32 packets;", "__u64 nanoseconds;", "double d;"] {
        let loaded = load_with_libbpf(&pinned(same_size, 8).unwrap(), bpffs.path()).unwrap();
        assert_eq!(loaded.map("flows").info().id, id, "{same_size}");
    }
    for (value, entries) in [("__u64 packets; __u64 bytes;", 8), ("__u32 packets; __u32 bytes;", 16)] {
        assert!(load_with_libbpf(&pinned(value, entries).unwrap(), bpffs.path()).is_err(), "{value} {entries}");
    }
}

#[test]
fn fact_37_a_pin_by_name_wins_over_a_descriptor_that_was_handed_over() {
    needs_kernel!();
    let Some(object) = pinned("__u64 packets;", 8) else { return };
    let bpffs = Bpffs::mount();
    let flows = || Map::create(&NewMap { name: "flows", ..NewMap::new(MapType::HASH, 4, 8, 8) }).unwrap();
    let (live, staged) = (flows(), flows());
    live.pin(&bpffs.path().join("flows")).unwrap();
    let load = |clear_path: bool| {
        let mut builder = ObjectBuilder::default();
        builder.pin_root_path(bpffs.path()).unwrap();
        let mut open = builder.open_memory(&object).unwrap();
        let mut flows = open.maps_mut().next().unwrap();
        flows.reuse_fd(staged.as_fd()).unwrap();
        if clear_path {
            raw::clear_pin_path(flows.as_libbpf_object());
        }
        Loaded(open.load().unwrap()).map("flows").info().id
    };
    assert_eq!(load(false), live.info().id, "silently");
    assert_eq!(load(true), staged.info().id);
}

#[test]
fn fact_37_a_descriptor_that_was_handed_over_renames_libbpfs_map() {
    needs_kernel!();
    let Some(object) = compile("MAP(flows, BPF_MAP_TYPE_HASH, __u32, __u64, 8, 0);") else { return };
    let named = Map::create(&NewMap { name: "staged", ..NewMap::new(MapType::HASH, 4, 8, 8) }).unwrap();
    let mut open = ObjectBuilder::default().open_memory(&object).unwrap();
    open.maps_mut().next().unwrap().reuse_fd(named.as_fd()).unwrap();
    let loaded = open.load().unwrap();
    let names: Vec<_> = loaded.maps().map(|map| map.name().to_owned()).collect();
    assert_eq!(names, ["staged"], "`flows` is not found any more");
}

#[test]
fn fact_37_a_reused_data_section_is_not_what_the_skeleton_shows() {
    needs_kernel!();
    let source = "__u64 total = 7; SEC(\"syscall\") int read(__u64 *context) { *context = total; return 0; }";
    let Some(object) = compile(source) else { return };
    let first = Loaded::from_object(&object);
    let is_data = |map: &libbpf_rs::Map<'_>| map.name().to_string_lossy().ends_with(".data");
    let section = duplicate(first.0.maps().find(is_data).unwrap().as_fd());
    section.update(&key(0), &4711_u64.to_ne_bytes(), 0).unwrap();

    let mut open = ObjectBuilder::default().open_memory(&object).unwrap();
    let mut data = open.maps_mut().find(|map| map.name().to_string_lossy().ends_with(".data")).unwrap();
    data.reuse_fd(section.as_fd()).unwrap();
    let second = Loaded(open.load().unwrap());
    assert_eq!(second.call("read", [0]), [4711], "the program sees the map");
    let map = second.0.maps().find(is_data).unwrap();
    assert_eq!(raw::initial_value(map.as_libbpf_object()), 7_u64.to_ne_bytes(), "the memory is libbpf's own");
}

#[test]
fn fact_38_of_two_that_pin_one_wins_and_the_other_is_told() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    for round in 0..200 {
        let pin = bpffs.path().join(format!("map{round}"));
        let start = Barrier::new(2);
        // Open it; where it is not there, create and pin; where somebody was faster, open what is there now.
        let daemon = || {
            start.wait();
            let mine = array();
            match mine.pin(&pin) {
                Ok(()) => (true, mine.info().id),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
                    (false, id_at(&pin))
                }
            }
        };
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(daemon);
            (daemon(), other.join().unwrap())
        });
        assert_ne!(one.0, other.0, "one of them made it");
        assert_eq!(one.1, other.1, "and both use it");
    }
}

#[test]
fn fact_38_a_pin_of_another_kind_is_no_map() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let pin = bpffs.path().join("prog");
    super::support::returns(super::support::prog_type::SOCKET_FILTER, 0, 0).pin(&pin).unwrap();
    assert!(matches!(Object::open(&pin).unwrap(), Object::Prog(_)));
    assert!(Map::open(&pin).unwrap_err().to_string().contains("a program is pinned there"));
    assert_eq!(errno(Object::open(bpffs.path())), libc::EACCES);
}
