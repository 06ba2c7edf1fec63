//! Facts 11, 13, 14, 16 to 20, 41: what the kernel says of a map, and what it does not.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::Command;
use std::{fs, slice};

use libbpf_rs::{MapHandle, MapType as LibbpfMapType, ObjectBuilder};
use maplock::internals::sys::{Btf, Map, Mmap, NewMap};
use maplock::layout::btf::BtfKind;
use maplock::layout::map::MapType;
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::toolchain;

use super::support::{
    BtfBytes, ENOTSUPP, Loaded, array, compile, errno, id_at, key, map, map_with_flags, number, reads_byte,
};

const BPF_F_RDONLY_PROG: u32 = 1 << 7;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_F_INNER_MAP: u32 = 1 << 12;

#[test]
fn fact_11_btf_reads_back_byte_for_byte() {
    needs_kernel!();
    let bpffs = Bpffs::mount();
    let mut types = BtfBytes::new();
    let int = types.int("u32", 4);
    let value = types.structure("flow_a", 8, &[("packets", int, 0), ("bytes", int, 4)]);
    let pin = bpffs.path().join("flows");
    {
        let btf = Btf::load(&types.bytes()).unwrap();
        let new = NewMap { btf: Some((&btf, int, value)), ..NewMap::new(MapType::HASH, 4, 8, 1) };
        Map::create(&new).unwrap().pin(&pin).unwrap();
    }
    // Nothing but the pin is left.
    let map = Map::open(&pin).unwrap();
    let info = map.info();
    assert_eq!((info.btf_key_type_id, info.btf_value_type_id), (int, value));
    assert_eq!(Btf::from_id(info.btf_id).unwrap().bytes().unwrap(), types.bytes());
    let other = toolchain::run(Command::new("bpftool").args(["btf", "dump", "id", &info.btf_id.to_string()]));
    assert!(String::from_utf8(other.stdout).unwrap().contains("flow_a"));
}

/// An object with one hash map, whose value has the two members.
fn hash_with(members: &str) -> Option<Vec<u8>> {
    compile(&format!("struct flow {{ {members} }}; MAP(flows, BPF_MAP_TYPE_HASH, __u32, struct flow, 8, 0);"))
}

#[test]
fn fact_11_a_later_object_does_not_change_what_the_map_says() {
    needs_kernel!();
    let Some(first) = hash_with("__u32 packets; __u32 bytes;") else { return };
    let map = Loaded::from_object(&first).map("flows");
    let before = Btf::from_id(map.info().btf_id).unwrap().bytes().unwrap();

    let second = hash_with("__u32 bytes; __u32 packets;").unwrap();
    let mut open = ObjectBuilder::default().open_memory(&second).unwrap();
    open.maps_mut().next().unwrap().reuse_fd(map.as_fd()).unwrap();
    let loaded = Loaded(open.load().unwrap());
    let after = loaded.map("flows");
    assert_eq!(after.info(), map.info());
    assert_eq!(Btf::from_id(after.info().btf_id).unwrap().bytes().unwrap(), before);
}

#[test]
fn fact_13_a_value_type_without_a_key_type_is_refused_and_libbpf_drops_both() {
    needs_kernel!();
    let mut types = BtfBytes::new();
    let int = types.int("u32", 4);
    let btf = Btf::load(&types.bytes()).unwrap();
    let new = NewMap { btf: Some((&btf, 0, int)), ..NewMap::new(MapType::HASH, 4, 4, 1) };
    assert_eq!(errno(Map::create(&new)), libc::EINVAL);

    let source = "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(key_size, 4); __type(value, __u64);
        __uint(max_entries, 8); } half SEC(\".maps\");
        MAP(whole, BPF_MAP_TYPE_HASH, __u32, __u64, 8, 0);";
    let Some(loaded) = Loaded::from_source(source) else { return };
    assert_ne!(loaded.map("whole").info().btf_id, 0);
    assert_eq!(loaded.map("half").info().btf_id, 0);
}

#[test]
fn fact_13_a_spin_lock_before_an_odd_bit_field_costs_the_map_its_btf() {
    needs_kernel!();
    let with = |bits: &str| {
        let source = format!(
            "struct bpf_spin_lock {{ __u32 val; }}; struct value {{ struct bpf_spin_lock lock; {bits} }};
            MAP(values, BPF_MAP_TYPE_HASH, __u32, struct value, 8, 0);"
        );
        Some(Loaded::from_source(&source)?.map("values").info().btf_id)
    };
    let Some(whole) = with("__u32 a : 8; __u32 b : 8;") else { return };
    assert_ne!(whole, 0);
    if with("__u32 a : 3; __u32 b : 7;") != Some(0) {
        toolchain::skip("a refusal of an odd bit-field behind a spin lock (it keeps the BTF)");
    }
}

#[test]
fn fact_13_types_of_an_array_are_refused_unless_its_key_is_a_number_and_of_a_trie_unless_it_is_a_struct() {
    needs_kernel!();
    let source = "enum direction { INGRESS, EGRESS }; typedef __u32 index; struct key { __u32 bits, of; };
        struct of_one { __u32 it; };
        MAP(by_number, BPF_MAP_TYPE_ARRAY, index, __u64, 2, 0);
        MAP(by_sign, BPF_MAP_TYPE_PERCPU_ARRAY, int, __u64, 2, 0);
        MAP(by_enum, BPF_MAP_TYPE_ARRAY, enum direction, __u64, 2, 0);
        MAP(by_struct, BPF_MAP_TYPE_PERCPU_ARRAY, struct of_one, __u64, 2, 0);
        MAP(hashed, BPF_MAP_TYPE_HASH, enum direction, __u64, 2, 0);
        MAP(routes, BPF_MAP_TYPE_LPM_TRIE, struct key, __u64, 2, 1);
        MAP(numbers, BPF_MAP_TYPE_LPM_TRIE, __u64, __u64, 2, 1);";
    let Some(object) = compile(source) else { return };
    let loaded = Loaded::from_object(&object);
    let definitions = maplock_codegen::Object::parse(&object).unwrap().maps;
    assert_eq!(definitions.len(), 7);
    for def in definitions {
        // What the gate says of the definition is what the kernel does.
        assert_eq!(loaded.map(&def.name).info().btf_id == 0, def.kernel_drops_types().is_some(), "{}", def.name);
    }
    assert_eq!(loaded.map("by_enum").info().btf_id, 0);
    assert_ne!(loaded.map("by_number").info().btf_id, 0);
}

#[test]
fn fact_14_legacy_maps_have_no_btf() {
    needs_kernel!();
    // One object of Rust's that has both kinds of section.
    let object = fs::read(toolchain::root().join("bpf/rust/objects/both.o")).unwrap();
    let bpffs = Bpffs::mount();
    let loaded = aya::EbpfLoader::new().default_map_pin_directory(bpffs.path()).load(&object).unwrap();
    let has_btf = |name| super::loaders::map_data(loaded.map(name).unwrap()).info().btf_id != 0;
    for (name, expected) in [("NEW_STYLE", true), ("NEW_WINDOWS", true), ("OLD_STYLE", false), ("OLD_PINNED", false)] {
        assert_eq!(has_btf(name), expected, "{name}");
    }
}

#[test]
fn fact_16_a_name_is_15_bytes_and_no_identity() {
    needs_kernel!();
    let named = |name| Map::create(&NewMap { name, ..NewMap::new(MapType::ARRAY, 4, 4, 1) }).unwrap();
    let (one, other) = (named("connections_by_source"), named("connections_by_destination"));
    assert_eq!(one.info().name, "connections_by_");
    assert_eq!(one.info().name, other.info().name);
    assert_ne!(one.info().id, other.info().id);

    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let create = |name| MapHandle::create(LibbpfMapType::Array, Some(name), 4, 4, 1, &options);
    assert!(create("a.b_C9").is_ok());
    assert_eq!(create("a-b").unwrap_err().kind(), libbpf_rs::ErrorKind::InvalidInput);
}

#[test]
fn fact_17_a_freeze_stops_system_calls_for_good_and_programs_never() {
    needs_kernel!();
    let source = "MAP(counts, BPF_MAP_TYPE_ARRAY, __u32, __u64, 1, 0);
        SEC(\"syscall\") int count(void *context) {
            __u32 key = 0;
            __u64 *value = bpf_map_lookup_elem(&counts, &key);
            if (value) __sync_fetch_and_add(value, 1);
            return 0;
        }";
    let Some(loaded) = Loaded::from_source(source) else { return };
    let map = loaded.map("counts");
    assert!(!map.is_frozen().unwrap());
    map.freeze().unwrap();
    assert!(map.is_frozen().unwrap());
    assert_eq!(errno(map.update(&key(0), &[9; 8], 0)), libc::EPERM);
    match errno(map.freeze()) {
        libc::EBUSY => toolchain::skip("EPERM for a second freeze (it says EBUSY)"),
        error => assert_eq!(error, libc::EPERM, "as any write"),
    }
    loaded.call("count", [0]);
    assert_eq!(number(&map, 0), Some(1));
    // The same is told of it wherever it is opened.
    assert!(Map::from_id(map.info().id).unwrap().is_frozen().unwrap());
}

#[test]
fn fact_17_a_map_that_is_mapped_writable_can_not_be_frozen() {
    needs_kernel!();
    let map = map_with_flags(MapType::ARRAY, 4, 8, 1, BPF_F_MMAPABLE);
    let memory = Mmap::new(&map).unwrap();
    assert_eq!(errno(map.freeze()), libc::EBUSY);
    drop(memory);
    map.freeze().unwrap();
    assert_eq!(errno(Mmap::new(&map)), libc::EPERM);
}

#[test]
fn fact_18_an_inner_map_is_known_by_id_and_its_template_not_at_all() {
    needs_kernel!();
    let template = map(MapType::HASH, 4, 8, 16);
    let new = NewMap { inner: Some(template.as_fd()), ..NewMap::new(MapType::HASH_OF_MAPS, 4, 4, 8) };
    let outer = Map::create(&new).unwrap();
    let info = outer.info().clone();
    let template_id = template.info().id;
    drop(template);
    assert_eq!(errno(Map::from_id(template_id)), libc::ENOENT, "nothing keeps it");
    assert_eq!((info.value_size, info.map_extra, info.btf_id), (4, 0, 0), "nothing tells of it");

    let fits = map(MapType::HASH, 4, 8, 32);
    let put = |inner: &Map| outer.update(&key(1), &inner.as_fd().as_raw_fd().to_ne_bytes(), 0);
    put(&fits).unwrap();
    assert_eq!(outer.lookup(&key(1)).unwrap().unwrap(), fits.info().id.to_ne_bytes());
    for other in [
        map(MapType::LRU_HASH, 4, 8, 16),
        map(MapType::HASH, 8, 8, 16),
        map(MapType::HASH, 4, 16, 16),
        map_with_flags(MapType::HASH, 4, 8, 16, 1),
    ] {
        assert_eq!(errno(put(&other)), libc::EINVAL, "{:?}", other.info());
    }
}

#[test]
fn fact_18_an_inner_arrays_capacity_counts_unless_a_flag_says_otherwise() {
    needs_kernel!();
    for (flags, larger) in [(0, Err(libc::EINVAL)), (BPF_F_INNER_MAP, Ok(()))] {
        let array = |entries| map_with_flags(MapType::ARRAY, 4, 8, entries, flags);
        let template = array(4);
        let new = NewMap { inner: Some(template.as_fd()), ..NewMap::new(MapType::ARRAY_OF_MAPS, 4, 4, 8) };
        let outer = Map::create(&new).unwrap();
        let put = |inner: &Map| {
            let result = outer.update(&key(0), &inner.as_fd().as_raw_fd().to_ne_bytes(), 0);
            result.map_err(|error| error.raw_os_error().unwrap())
        };
        assert_eq!(put(&array(4)), Ok(()));
        assert_eq!(put(&array(5)), larger, "flags {flags:#x}");
    }
}

#[test]
fn fact_19_fdinfo_says_what_the_info_says() {
    needs_kernel!();
    let new = NewMap { flags: BPF_F_RDONLY_PROG, ..NewMap::new(MapType::ARRAY, 4, 24, 100) };
    let map = Map::create(&new).unwrap();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd())).unwrap();
    let fields: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let info = map.info();
    for (name, value) in [
        ("map_type", info.map_type.0),
        ("key_size", info.key_size),
        ("value_size", info.value_size),
        ("max_entries", info.max_entries),
        ("map_id", info.id),
        ("frozen", 0),
    ] {
        assert_eq!(fields.get(name).and_then(|text| text.parse().ok()), Some(value), "{name} in {text}");
    }
    assert_eq!(fields["map_flags"], format!("{:#x}", info.flags));
    // Linux 5.16.
    assert!([None, Some(&"0x0")].contains(&fields.get("map_extra")), "{text}");
    assert!(map.memory().unwrap() >= 2400);
}

#[test]
fn fact_20_the_verifier_refuses_a_value_that_grew_and_not_one_that_moved() {
    needs_kernel!();
    let old = map(MapType::HASH, 4, 8, 1);
    reads_byte(&old, 7).unwrap();
    let refused = reads_byte(&old, 8).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "{refused}");

    // Equal sizes, members exchanged: nobody says a word, and the bytes are misread.
    let Some(first) = hash_with("__u32 packets; __u32 bytes;") else { return };
    let bpffs = Bpffs::mount();
    let pin = bpffs.path().join("flows");
    let map = Loaded::from_object(&first).map("flows");
    map.pin(&pin).unwrap();
    map.update(&key(1), &[1, 0, 0, 0, 2, 0, 0, 0], 0).unwrap();
    let source = "struct flow { __u32 bytes; __u32 packets; }; MAP(flows, BPF_MAP_TYPE_HASH, __u32, struct flow, 8, 0);
        SEC(\"syscall\") int packets(__u64 *context) {
            __u32 key = 1;
            struct flow *flow = bpf_map_lookup_elem(&flows, &key);
            *context = flow ? flow->packets : 0;
            return 0;
        }";
    let Some(second) = compile(source) else { return };
    let mut open = ObjectBuilder::default().open_memory(&second).unwrap();
    open.maps_mut().next().unwrap().reuse_pinned_map(&pin).unwrap();
    let loaded = Loaded(open.load().unwrap());
    assert_eq!(loaded.map("flows").info().id, id_at(&pin));
    let bytes_taken_for_packets = if cfg!(target_endian = "little") { 2 } else { 2 << 24 };
    assert_eq!(loaded.call("packets", [0]), [bytes_taken_for_packets]);
}

#[test]
fn fact_20_the_sizes_are_the_kernels_not_the_callers() {
    needs_kernel!();
    let map = array();
    let refused = map.update(&key(0), slice::from_ref(&1), 0).unwrap_err();
    assert!(refused.to_string().contains("1 bytes was given, it takes 4"), "{refused}");
    assert_ne!(refused.raw_os_error(), Some(ENOTSUPP));
}

#[test]
fn fact_41_libbpf_gives_the_kernel_the_tags_of_structs_and_of_maps() {
    needs_kernel!();
    if !kernel::keeps_tags() {
        return;
    }
    let clang = toolchain::Clang::newest().filter(|clang| clang.version >= 14);
    let Some(clang) = clang else { return };
    let folder = tempfile::tempdir().unwrap();
    let object = toolchain::Fixture::named("versions").compile(&clang, toolchain::Order::Little, folder.path());
    let loaded = Loaded::from_object(&fs::read(object.unwrap()).unwrap());
    let tags = |name: &str| -> Vec<(BtfKind, String)> {
        let bytes = Btf::from_id(loaded.map(name).info().btf_id).unwrap().bytes().unwrap();
        let btf = maplock::layout::btf::Btf::parse(&bytes).unwrap();
        btf.version_tags().map(|tag| (btf.get(tag.on).unwrap().kind, tag.text)).collect()
    };
    let all = tags("flows");
    for (kind, version) in [(BtfKind::Struct, 2), (BtfKind::Struct, 3), (BtfKind::Union, 7), (BtfKind::Var, 5)] {
        let tag = (kind, format!("maplock:version={version}"));
        assert!(all.contains(&tag), "{tag:?} of {all:?}");
    }
    assert_eq!(tags("totals"), all, "they share it");
}
