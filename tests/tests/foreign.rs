//! Objects that we did not make: those in Debian's packages, compiled by other people with compilers from clang 7 on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{fs, io};

use maplock_layout::map::{MapType, Origin, Pinning};
use maplock_layout::{Lock, MapDef};
use maplock_tests::agree::{Agreement, Libbpf};
use maplock_tests::toolchain::{file_name, files, has, skip};
use maplock_tests::{lock_text, maps_of};

/// Packages of Debian that ship eBPF objects as files, and how many they ship at least.
const PACKAGES: [(&str, usize); 4] =
    [("golang-github-cilium-ebpf-dev", 30), ("ir-keytable", 9), ("libxdp1", 15), ("xdp-tests", 3)];

/// Objects that we don't read, by file name, and what we say. All of them are read.
const UNREAD: [(&str, &str); 0] = [];

/// Objects that libbpf does not open, by the beginning of the file name. None of the reasons concerns a layout.
const UNOPENED: [(&str, &str); 14] = [
    ("fwd_decl", "a function that is declared and nowhere defined"),
    ("invalid_map", "legacy definitions in `maps`"),
    ("iproute2_map_compat", "legacy definitions in `maps`"),
    ("loader", "legacy definitions in `maps`"),
    ("subprog_reloc", "legacy definitions in `maps`"),
    ("grundig", "programs that use maps of `lirc_mode2/maps`"),
    ("imon_rsc", "programs that use maps of `lirc_mode2/maps`"),
    ("manchester", "programs that use maps of `lirc_mode2/maps`"),
    ("pulse_distance", "programs that use maps of `lirc_mode2/maps`"),
    ("pulse_length", "programs that use maps of `lirc_mode2/maps`"),
    ("raw.o", "programs that use maps of `lirc_mode2/maps`"),
    ("rc_mm", "programs that use maps of `lirc_mode2/maps`"),
    ("samsung36", "programs that use maps of `lirc_mode2/maps`"),
    ("xbox-dvd", "programs that use maps of `lirc_mode2/maps`"),
];

/// Every object, fetched once into the target folder; none where that can't be done here.
fn objects() -> Option<&'static [PathBuf]> {
    static OBJECTS: OnceLock<Option<Vec<PathBuf>>> = OnceLock::new();
    let objects = OBJECTS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
        let mut all = Vec::new();
        for (package, _) in PACKAGES {
            let unpacked = fetch(&folder, package).ok()?;
            all.extend(files(&unpacked, ".o").into_iter().chain(files(&unpacked, ".elf")));
        }
        Some(all)
    });
    if objects.is_none() {
        skip("apt-get download (Debian, and its package lists: apt-get update)");
    }
    objects.as_deref()
}

fn fetch(folder: &Path, package: &str) -> io::Result<PathBuf> {
    let unpacked = folder.join(package);
    if unpacked.exists() {
        return Ok(unpacked);
    }
    fs::create_dir_all(folder)?;
    let work = tempfile::tempdir_in(folder)?;
    let succeed = |command: &mut Command| match command.output()?.status.success() {
        true => Ok(()),
        false => Err(io::Error::other("the command failed")),
    };
    succeed(Command::new("apt-get").args(["download", package]).current_dir(work.path()))?;
    let archive = files(work.path(), ".deb").pop().ok_or(io::ErrorKind::NotFound)?;
    let root = work.path().join("root");
    succeed(Command::new("dpkg").arg("-x").arg(archive).arg(&root))?;
    // Whole, or not at all.
    fs::rename(root, &unpacked)?;
    Ok(unpacked)
}

fn maps(object: &Path) -> Vec<MapDef> {
    let bytes = fs::read(object).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
    maps_of(&bytes).unwrap_or_else(|error| panic!("{}: {error}", object.display()))
}

/// The maps of the first of these objects, which all give one lock: big- and little-endian ones, for instance.
fn maps_of_each(names: &[&str]) -> Option<Vec<MapDef>> {
    let objects = objects()?;
    let found: Vec<_> = names
        .iter()
        .map(|name| {
            let object = objects.iter().find(|object| file_name(object) == *name);
            maps(object.unwrap_or_else(|| panic!("no {name} in Debian's packages any more")))
        })
        .collect();
    assert!(found.iter().all(|maps| lock_text(maps) == lock_text(&found[0])), "{names:?} differ");
    Some(found.into_iter().next().expect("a name is given"))
}

fn map<'m>(maps: &'m [MapDef], name: &str) -> &'m MapDef {
    maps.iter().find(|map| map.name == name).unwrap_or_else(|| panic!("no map {name} in {maps:#?}"))
}

/// Type, sizes, entries, flags.
fn numbers(map: &MapDef) -> (MapType, u32, u32, u32, u32) {
    (map.map_type, map.key_size, map.value_size, map.max_entries, map.flags)
}

#[test]
fn libbpf_and_bpftool_agree_on_every_foreign_object() {
    let Some(objects) = objects() else { return };
    if !has("bpftool") {
        return skip("bpftool (apt-get install bpftool)");
    }
    let mut counts = BTreeMap::new();
    let mut agreement = Agreement::default();
    let mut unread = BTreeSet::new();
    for object in objects {
        for (package, _) in PACKAGES.iter().filter(|(package, _)| object.iter().any(|part| part == *package)) {
            *counts.entry(*package).or_insert(0) += 1;
        }
        let name = file_name(object);
        if let Err(error) = maps_of(&fs::read(object).expect("an object")) {
            unread.insert((name, error.to_string()));
            continue;
        }
        let refused = UNOPENED.iter().any(|(start, _)| name.starts_with(start));
        agreement.check(object, if refused { Libbpf::Refuses } else { Libbpf::Opens });
    }
    assert_eq!(unread, UNREAD.map(|(name, error)| (name.to_owned(), error.to_owned())).into());
    for (package, least) in PACKAGES {
        let found = counts.get(package).copied().unwrap_or(0);
        assert!(found >= least, "{found} objects in {package}, expected {least} at least");
    }
    agreement.assert(60, 50, 260);
}

#[test]
fn every_foreign_object_gives_a_lock_that_reads_back() {
    let Some(objects) = objects() else { return };
    let mut locked = 0;
    for object in objects {
        let text = lock_text(&maps(object));
        let lock = Lock::parse(&text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", object.display()));
        assert_eq!(lock.to_string(), text, "{}", object.display());
        locked += lock.maps.len();
    }
    assert!(locked >= 90, "{locked} maps");
}

#[test]
fn both_byte_orders_of_a_foreign_object_give_one_lock() {
    let Some(objects) = objects() else { return };
    let mut pairs = 0;
    for little in objects.iter().filter(|object| file_name(object).ends_with("-el.elf")) {
        let big = little.with_file_name(file_name(little).replace("-el.elf", "-eb.elf"));
        assert_eq!(lock_text(&maps(little)), lock_text(&maps(&big)), "{}", little.display());
        pairs += 1;
    }
    assert!(pairs >= 15, "{pairs} pairs");
}

#[test]
fn legacy_maps_of_ir_keytable_are_found_in_a_section_of_its_own() {
    let Some(maps) = maps_of_each(&["raw.o"]) else { return };
    let declared: Vec<_> =
        maps.iter().filter(|map| map.origin == Origin::Legacy).map(|map| map.name.as_str()).collect();
    assert_eq!(declared, ["decoder_state_map", "raw_map"]);
    assert_eq!(numbers(map(&maps, "decoder_state_map")), (MapType::ARRAY, 4, 0x88, 1, 0));
    assert_eq!(numbers(map(&maps, "raw_map")), (MapType::ARRAY, 4, 4, 1024, 0));
    let sizes = [
        ("grundig.o", 16),
        ("imon_rsc.o", 16),
        ("manchester.o", 16),
        ("pulse_distance.o", 16),
        ("pulse_length.o", 16),
        ("rc_mm.o", 12),
        ("samsung36.o", 16),
        ("xbox-dvd.o", 16),
    ];
    for (object, value_size) in sizes {
        let maps = maps_of_each(&[object]).expect("fetched");
        assert_eq!(numbers(map(&maps, "decoder_state_map")), (MapType::ARRAY, 4, value_size, 1, 0), "{object}");
    }
}

#[test]
fn legacy_maps_of_an_old_clang_are_found_though_their_symbols_have_no_size() {
    let Some(maps) = maps_of_each(&["loader-clang-7-el.elf", "loader-clang-7-eb.elf"]) else { return };
    assert_eq!(maps.iter().filter(|map| map.origin == Origin::Legacy).count(), 4);
    assert_eq!(numbers(map(&maps, "hash_map")), (MapType::HASH, 4, 8, 1, 1));
    assert_eq!(numbers(map(&maps, "hash_map2")), (MapType::HASH, 4, 8, 2, 0));
    assert_eq!(numbers(map(&maps, "perf_event_array")), (MapType::PERF_EVENT_ARRAY, 0, 0, 4096, 0));
    assert_eq!(numbers(map(&maps, "array_of_hash_map")), (MapType::ARRAY_OF_MAPS, 4, 0, 2, 0));
}

#[test]
fn a_legacy_record_of_iproute2_says_its_pinning() {
    let Some(maps) = maps_of_each(&["iproute2_map_compat-el.elf", "iproute2_map_compat-eb.elf"]) else { return };
    assert_eq!(maps.len(), 1);
    assert_eq!(numbers(map(&maps, "hash_map")), (MapType::HASH, 4, 8, 2, 0));
    assert_eq!(map(&maps, "hash_map").pinning, Pinning::Other(2), "PIN_GLOBAL_NS");
}

#[test]
fn a_legacy_record_of_an_unknown_size_is_read_as_far_as_all_agree() {
    let Some(maps) = maps_of_each(&["invalid_map-el.elf", "invalid_map-eb.elf"]) else { return };
    assert_eq!(maps.len(), 1);
    let invalid = map(&maps, "invalid_map");
    assert_eq!(numbers(invalid), (MapType::HASH, 4, 2, 1, 0));
    assert_eq!((invalid.pinning, invalid.numa_node), (Pinning::None, 0), "the sixth word means nothing in 24 bytes");
}

#[test]
fn legacy_and_btf_maps_of_one_foreign_object_are_both_found() {
    let names = ["loader-clang-9-el.elf", "loader-clang-9-eb.elf", "loader-clang-14-el.elf", "loader-clang-14-eb.elf"];
    let Some(maps) = maps_of_each(&names) else { return };
    assert_eq!(numbers(map(&maps, "array_of_hash_map")), (MapType::ARRAY_OF_MAPS, 4, 0, 2, 0));
    assert_eq!(map(&maps, "array_of_hash_map").origin, Origin::Legacy);
    assert_eq!(numbers(map(&maps, "btf_pin")), (MapType::HASH, 4, 8, 1, 0));
    assert_eq!((map(&maps, "btf_pin").origin, map(&maps, "btf_pin").pinning), (Origin::Declared, Pinning::ByName));
    let inner = map(&maps, "btf_outer_map_anon").inner.as_deref().expect("an inner map");
    assert_eq!(numbers(inner), (MapType::HASH, 4, 4, 1, 0));
}
