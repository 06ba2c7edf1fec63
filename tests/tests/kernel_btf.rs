//! BTF that maplock writes is taken by the kernel, which gives it back as it was.

use std::fs;
use std::sync::Arc;

use maplock::internals::sys::{Btf, Map, NewMap};
use maplock_layout::btf::{self, Encoded, Resolver, encode};
use maplock_layout::map::{MapDef, MapType as T};
use maplock_layout::{Composite, CompositeKind, Enumeration, IntKind, Layout, Member, Shape};
use maplock_tests::maps_of;
use maplock_tests::toolchain::{Clang, Fixture, Order, file_name, files, root, skip};

/// True where this process may create maps; else the test is skipped.
fn kernel() -> bool {
    let may = Map::create(&NewMap::new(T::ARRAY, 4, 4, 1)).is_ok();
    if !may {
        skip("CAP_BPF");
    }
    may
}

/// A small map of that type and those sizes with this BTF.
fn create(def: &MapDef, encoded: &Encoded) -> std::io::Result<Map> {
    let loaded = Btf::load(&encoded.bytes)?;
    let is_storage = matches!(def.map_type, T::SK_STORAGE | T::INODE_STORAGE | T::TASK_STORAGE | T::CGRP_STORAGE);
    let is_of_cgroups = matches!(def.map_type, T::CGROUP_STORAGE | T::PERCPU_CGROUP_STORAGE);
    let mut new = NewMap::new(def.map_type, def.key_size, def.value_size, u32::from(!is_storage && !is_of_cgroups));
    new.flags = u32::from(is_storage || def.map_type == T::LPM_TRIE);
    new.btf = Some((&loaded, encoded.key_type_id, encoded.value_type_id));
    Map::create(&new)
}

/// What the kernel says that the key and value of a map are.
fn read_back(map: &Map) -> [Option<Arc<Layout>>; 2] {
    let bytes = Btf::from_id(map.info().btf_id).and_then(|btf| btf.bytes()).expect("the kernel's copy");
    let btf = btf::Btf::parse(&bytes).expect("BTF");
    let mut resolver = Resolver::new(&btf);
    [map.info().btf_key_type_id, map.info().btf_value_type_id]
        .map(|id| (id != 0).then(|| resolver.resolve(id).expect("a type")))
}

#[test]
fn every_map_of_every_object_gets_its_layout_from_a_map_that_was_created_by_it() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let fixtures = Fixture::all();
    let compiled = fixtures.iter().map(|fixture| fixture.compile(&clang, Order::Little, folder.path()));
    let committed = files(&root().join("bpf"), ".o").into_iter().filter(|path| !file_name(path).contains(".eb."));
    let (mut created, mut problems) = (0, Vec::new());
    for path in compiled.map(|path| path.expect("the newest clang compiles all")).chain(committed) {
        for def in maps_of(&fs::read(&path).expect("an object")).expect("maps") {
            if def.value.is_none() || !def.map_type.keeps_btf() {
                continue;
            }
            let label = format!("{} {}", file_name(&path), def.name);
            let encoded = match encode(def.key.as_deref(), def.value.as_deref()) {
                Ok(encoded) => encoded,
                Err(error) => {
                    problems.push(format!("{label}: {error}"));
                    continue;
                }
            };
            match create(&def, &encoded) {
                Ok(map) => {
                    created += 1;
                    let [key, value] = read_back(&map);
                    let again = MapDef { key, value, ..def.clone() };
                    if again.digest() != def.digest() {
                        problems.push(format!("{label}: {:?}\nis read back as {:?}", def.value, again.value));
                    }
                }
                Err(error) => problems.push(format!("{label}: {error}")),
            }
        }
    }
    assert!(problems.is_empty(), "{} of {created}\n{}", problems.len(), problems.join("\n"));
    assert!(created > 300, "{created} maps");
}

#[test]
fn structs_of_the_kernel_come_back_as_they_were_and_are_taken() {
    if !kernel() {
        return;
    }
    let Ok(vmlinux) = fs::read("/sys/kernel/btf/vmlinux") else { return skip("/sys/kernel/btf/vmlinux") };
    let btf = btf::Btf::parse(&vmlinux).expect("the kernel's own");
    let mut resolver = Resolver::new(&btf);
    let (mut compared, mut problems) = (0, Vec::new());
    for ty in btf.of_kinds(&[btf::BtfKind::Struct, btf::BtfKind::Union]) {
        let layout = resolver.resolve(ty.id).unwrap_or_else(|error| panic!("{error}"));
        let name = layout.spelling();
        if ["struct bpf_list_head", "struct bpf_rb_root"].contains(&name.as_str()) {
            continue;
        }
        let encoded = encode(None, Some(&layout)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = btf::Btf::parse(&encoded.bytes).expect("BTF");
        let again = Resolver::new(&again).resolve(encoded.value_type_id).expect("a type");
        if again != layout {
            problems.push(format!("{name} is read back otherwise"));
        }
        // Asking for each takes long.
        if compared % 20 == 0
            && let Err(error) = Btf::load(&encoded.bytes)
        {
            problems.push(format!("{name}: {error}"));
        }
        compared += 1;
    }
    assert!(problems.is_empty(), "{} of {compared}\n{}", problems.len(), problems.join("\n"));
    assert!(compared > 1000, "{compared} structs");
}

fn int(size: u64) -> Arc<Layout> {
    Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)))
}

fn structure(name: &str, size: u64, members: &[(&str, u64, &Arc<Layout>)]) -> Arc<Layout> {
    let members = members
        .iter()
        .map(|&(name, offset, layout)| Member {
            name: name.into(),
            offset_bits: offset * 8,
            bits: None,
            layout: Arc::clone(layout),
        })
        .collect();
    let of = Composite::new(CompositeKind::Struct, Some(name.into()), members).expect("a few members");
    Arc::new(Layout::new(size, Shape::Composite(Arc::new(of))))
}

fn hash_of(value: &Arc<Layout>) -> MapDef {
    let mut def = MapDef::new("m", T::HASH);
    (def.key_size, def.key) = (4, Some(int(4)));
    (def.value_size, def.value) = (u32::try_from(value.size).expect("small"), Some(Arc::clone(value)));
    def
}

#[test]
fn fact_12_btf_is_kept_for_exactly_the_types_that_are_said_to_keep_it() {
    if !kernel() {
        return;
    }
    let prefix = structure("prefix", 8, &[("len", 0, &int(4)), ("addr", 4, &int(4))]);
    let attached = structure("bpf_cgroup_storage_key", 16, &[("cgroup", 0, &int(8)), ("attach_type", 8, &int(4))]);
    for number in 1..=T::ARENA.0 {
        let map_type = T(number);
        if map_type == T::STRUCT_OPS {
            continue;
        }
        let (key, value) = match map_type {
            T::LPM_TRIE => (Some(&prefix), &int(8)),
            T::CGROUP_STORAGE | T::PERCPU_CGROUP_STORAGE => (Some(&attached), &int(8)),
            T::BLOOM_FILTER => (None, &int(8)),
            T::STACK_TRACE | T::REUSEPORT_SOCKARRAY => (Some(&int(4)), &int(8)),
            _ => (Some(&int(4)), &int(4)),
        };
        let inner = Map::create(&NewMap::new(T::ARRAY, 4, 4, 1)).expect("an array");
        let encoded = encode(key.map(|key| &**key), Some(value)).expect("plain types");
        let loaded = Btf::load(&encoded.bytes).expect("plain types");
        let size = |layout: &Layout| u32::try_from(layout.size).expect("small");
        let mut new = NewMap::new(map_type, key.map_or(0, |key| size(key)), size(value), 1);
        match map_type {
            T::LPM_TRIE => new.flags = 1,
            T::SK_STORAGE | T::INODE_STORAGE | T::TASK_STORAGE | T::CGRP_STORAGE => {
                (new.flags, new.max_entries) = (1, 0)
            }
            T::CGROUP_STORAGE | T::PERCPU_CGROUP_STORAGE => new.max_entries = 0,
            T::ARRAY_OF_MAPS | T::HASH_OF_MAPS => new.inner = Some(std::os::fd::AsFd::as_fd(&inner)),
            T::QUEUE | T::STACK => new.key_size = 0,
            T::RINGBUF | T::USER_RINGBUF => (new.key_size, new.value_size, new.max_entries) = (0, 0, 4096),
            // BPF_F_MMAPABLE.
            T::ARENA => (new.key_size, new.value_size, new.flags) = (0, 0, 0x400),
            _ => {}
        }
        let bare = Map::create(&new);
        new.btf = Some((&loaded, encoded.key_type_id, encoded.value_type_id));
        let typed = Map::create(&new);
        let keeps = typed.as_ref().is_ok_and(|map| map.info().btf_id != 0);
        assert_eq!(keeps, map_type.keeps_btf(), "{map_type}: {typed:?}; without BTF {bare:?}");
        // Else it is not BTF that the kernel refuses.
        assert!(keeps || bare.is_ok(), "{map_type}: {bare:?}");
    }
}

#[test]
fn fact_13_value_btf_without_key_btf_is_refused_but_in_global_data() {
    if !kernel() {
        return;
    }
    let word = int(4);
    let mut def = hash_of(&word);
    def.key = None;
    let encoded = encode(None, Some(&word)).expect("a plain type");
    assert_eq!(create(&def, &encoded).expect_err("fact 13").raw_os_error(), Some(22));
}

#[test]
fn the_kernel_takes_what_c_rarely_declares() {
    if !kernel() {
        return;
    }
    let layout = |size, shape| Arc::new(Layout::new(size, shape));
    let pointer = |target: &str| layout(8, Shape::Pointer { target: target.into() });
    let unit = layout(0, Shape::Opaque { name: "__".into() });
    let lock = structure("bpf_spin_lock", 4, &[("val", 0, &int(4))]);
    let opaque = Arc::new(Layout { typedef: Some("opaque_t".into()), ..(*int(8)).clone() });
    let mut targets: Vec<_> =
        ["void", "struct a", "union b", "enum c", "function", "array", "unsigned int", "struct a **"]
            .into_iter()
            .map(|target| structure("v", 8, &[("p", 0, &pointer(target))]))
            .collect();
    targets.extend([
        structure("v", 8, &[("p", 0, &pointer("kptr struct task_struct"))]),
        structure("v", 8, &[("p", 0, &pointer("kptr_untrusted struct task_struct"))]),
        structure("v", 8, &[("lock", 0, &lock), ("n", 4, &int(4))]),
        structure("v", 8, &[("unit", 0, &unit), ("n", 0, &opaque)]),
        structure("Generic<u32>", 16, &[("n", 0, &int(16))]),
    ]);
    for value in targets {
        let def = hash_of(&value);
        let encoded = encode(def.key.as_deref(), def.value.as_deref()).expect("BTF");
        let map = create(&def, &encoded).unwrap_or_else(|error| panic!("{value:?}: {error}"));
        let [key, value] = read_back(&map);
        assert_eq!(MapDef { key, value, ..def.clone() }.digest(), def.digest());
    }
}

/// clang before 15 knows no `BTF_KIND_ENUM64`: what it compiled and what later ones do is one map to a node.
#[test]
fn a_map_made_of_an_older_compilers_object_is_the_one_that_the_lock_has() {
    if !kernel() {
        return;
    }
    let of = |number: i128| {
        let of = Enumeration { name: Some("limit".into()), values: vec![("NEVER".into(), number), ("NOW".into(), 1)] };
        let limit = Arc::new(Layout::new(8, Shape::Enum(Arc::new(of))));
        hash_of(&structure("v", 16, &[("limit", 0, &limit), ("n", 8, &int(8))]))
    };
    let (locked, older) = (of(0xff_ffff_fffe), of(-2));
    for made in [&older, &locked] {
        let encoded = encode(made.key.as_deref(), made.value.as_deref()).expect("BTF");
        let [key, value] = read_back(&create(made, &encoded).expect("the kernel takes both"));
        let observed = MapDef { key, value, ..made.clone() };
        assert_eq!(observed.value, made.value, "the kernel tells what it was given");
        assert_eq!(observed.digest(), locked.digest());
    }
}

#[test]
fn a_list_whose_content_a_layout_does_not_say_is_what_the_kernel_refuses() {
    if !kernel() {
        return;
    }
    // Were the kernel to take it, `encode` should, too.
    let named = |name: &str| {
        let list = structure(name, 16, &[("a", 0, &int(8)), ("b", 8, &int(8))]);
        let lock = structure("bpf_spin_lock", 4, &[("val", 0, &int(4))]);
        hash_of(&structure("v", 24, &[("list", 0, &list), ("lock", 16, &lock)]))
    };
    let placeholder = named("bpf_list_xxxx");
    let mut encoded = encode(placeholder.key.as_deref(), placeholder.value.as_deref()).expect("BTF");
    create(&placeholder, &encoded).expect("a struct like any other");
    let at = encoded.bytes.windows(13).position(|bytes| bytes == b"bpf_list_xxxx").expect("its name");
    encoded.bytes[at..at + 13].copy_from_slice(b"bpf_list_head");
    create(&placeholder, &encoded).expect_err("a list of what");
    let list = named("bpf_list_head");
    assert!(encode(None, list.value.as_deref()).is_err());
}
