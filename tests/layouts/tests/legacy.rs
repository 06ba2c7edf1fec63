//! Records of 28 bytes of two writers: the kernel's samples name an inner map in them, aya a pinning.

use std::fs;

use maplock_layout::map::Pinning;
use maplock_layout_tests::maps_of;
use maplock_layout_tests::toolchain::{Clang, Order};

/// Records in a section, of a struct with those last two members: the name of each map, and its numbers.
fn maps(clang: &Clang, last: [&str; 2], records: &[(&str, [u32; 7])], debug: bool) -> Vec<maplock_layout::MapDef> {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, object) = (folder.path().join("maps.c"), folder.path().join("maps.o"));
    let [one, two] = last;
    let head =
        format!("struct def {{ unsigned type, key_size, value_size, max_entries, map_flags, {one}, {two}; }};\n");
    let record = |(name, numbers): &(&str, [u32; 7])| {
        let numbers = numbers.map(|number| number.to_string()).join(", ");
        format!("struct def {name} __attribute__((section(\"maps\"), used)) = {{ {numbers} }};\n")
    };
    fs::write(&source, head + &records.iter().map(record).collect::<String>()).expect("written");
    if debug {
        clang.compile(Order::Little, &source, &object);
    } else {
        let mut command = clang.command();
        command.args(["-target", "bpfel", "-O2", "-c"]).arg(&source).arg("-o").arg(&object);
        assert!(command.status().expect("clang runs").success());
    }
    maps_of(&fs::read(object).expect("an object")).expect("maps")
}

const HASH: [u32; 7] = [1, 4, 8, 16, 0, 0, 0];

/// A map of maps, with those last two words.
fn outer(one: u32, two: u32) -> [u32; 7] {
    [12, 4, 4, 8, 0, one, two]
}

#[test]
fn an_inner_map_is_known_where_somebody_named_it() {
    let Some(clang) = Clang::newest() else { return };
    let (samples, aya) = (["inner_map_idx", "numa_node"], ["id", "pinning"]);
    let inner = |last, records: &[(&str, [u32; 7])], debug| {
        let maps = maps(&clang, last, records, debug);
        let outer = maps.iter().find(|map| map.name == "shards").expect("a map of maps");
        (outer.inner.as_ref().map(|inner| inner.map_type.to_string()), outer.pinning)
    };
    let first = |record| [("a_state", HASH), ("shards", record)];
    let hash = Some("hash".to_owned());
    // By the names of the members, where there is BTF.
    assert_eq!(inner(samples, &first(outer(0, 0)), true), (hash.clone(), Pinning::None));
    assert_eq!(inner(aya, &first(outer(0, 0)), true), (None, Pinning::None));
    assert_eq!(inner(aya, &first(outer(0, 1)), true), (None, Pinning::ByName));
    // Without it, by numbers that only one of them would write.
    assert_eq!(inner(aya, &first(outer(0, 1)), false), (None, Pinning::ByName));
    assert_eq!(inner(samples, &[("a_state", HASH), ("b_state", HASH), ("shards", outer(1, 0))], false).0, hash);
    let two = [("a_state", HASH), ("b_state", HASH), ("others", outer(1, 0)), ("shards", outer(0, 0))];
    assert_eq!(inner(samples, &two, false).0, hash);
    // Where nothing tells, none is made up.
    assert_eq!(inner(samples, &first(outer(0, 0)), false), (None, Pinning::None));
    // A map of maps is in none.
    assert_eq!(inner(samples, &[("a_state", HASH), ("shards", outer(1, 0))], false).0, None);
}
