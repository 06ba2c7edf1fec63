//! Facts 39 and 40: what compilers put into objects.

use std::fs;
use std::path::Path;
use std::process::Command;

use maplock::layout::btf::{Btf, BtfKind};
use maplock_tests::toolchain::{Clang, Fixture, Order, has, objcopy, root, run, skip};

/// The names of an object's sections.
fn sections(object: &Path) -> Vec<String> {
    let output = run(Command::new("readelf").args(["--sections", "--wide"]).arg(object));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(']').nth(1)?.split_whitespace().next().map(str::to_owned)).collect()
}

/// The bytes of `.BTF`.
fn btf(object: &Path) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("btf");
    let dump = format!("--dump-section=.BTF={}", out.display());
    run(Command::new(objcopy()?).arg(dump).arg(object).arg(folder.path().join("copy.o")));
    Some(fs::read(out).unwrap())
}

#[test]
fn fact_39_each_clang_makes_btf_and_dwarf_in_both_byte_orders() {
    let Some(clangs) = Clang::at_least(2) else { return };
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::named("nested");
    for clang in clangs {
        for order in Order::BOTH {
            let object = fixture.compile(&clang, order, folder.path()).unwrap();
            let sections = sections(&object);
            for wanted in [".BTF", ".debug_info", ".maps"] {
                assert!(sections.iter().any(|name| name == wanted), "clang {} {order:?}: {sections:?}", clang.version);
            }
            let Some(bytes) = btf(&object) else { return };
            let magic = match order {
                Order::Little => [0x9f, 0xeb],
                Order::Big => [0xeb, 0x9f],
            };
            assert_eq!(bytes[..2], magic, "clang {} {order:?}", clang.version);
            assert!(!maplock_tests::maps_of(&fs::read(&object).unwrap()).unwrap().is_empty());
        }
    }
}

#[test]
fn fact_39_bpftool_links_several_objects_into_one() {
    let Some(clang) = Clang::newest() else { return };
    if !has("bpftool") {
        return skip("bpftool (apt-get install bpftool)");
    }
    let folder = tempfile::tempdir().unwrap();
    let parts =
        ["link_a", "link_b"].map(|name| Fixture::named(name).compile(&clang, Order::Little, folder.path()).unwrap());
    let linked = folder.path().join("linked.o");
    run(Command::new("bpftool").args(["gen", "object"]).arg(&linked).args(&parts));
    let names = |object: &Path| -> Vec<String> {
        let maps = maplock_tests::maps_of(&fs::read(object).unwrap()).unwrap();
        let mut names: Vec<_> = maps.into_iter().map(|map| map.name.to_string()).collect();
        names.sort();
        names
    };
    let (all, of_parts) = (names(&linked), parts.map(|part| names(&part)));
    assert!(of_parts.iter().flatten().all(|name| all.contains(name)), "{all:?} of {of_parts:?}");
    assert!(of_parts.iter().all(|part| part.len() < all.len()), "{all:?} of {of_parts:?}");
}

#[test]
fn fact_40_objects_of_rust_have_btf_and_dwarf_until_they_are_stripped() {
    let folder = root().join("bpf/rust/objects");
    for (name, has_dwarf) in [("btf_maps.o", true), ("btf_maps.stripped.o", false), ("both.eb.o", true)] {
        let sections = sections(&folder.join(name));
        assert!(sections.iter().any(|section| section == ".BTF"), "{name}: {sections:?}");
        assert_eq!(
            sections.iter().any(|section| section.starts_with(".debug_info")),
            has_dwarf,
            "{name}: {sections:?}"
        );
    }
    let legacy = sections(&folder.join("legacy_maps.o"));
    assert!(legacy.iter().any(|section| section == "maps") && !legacy.iter().any(|section| section == ".maps"));
}

#[test]
fn fact_40_generic_types_of_rust_are_named_in_code() {
    let Some(bytes) = btf(&root().join("bpf/rust/objects/btf_maps.o")) else { return };
    let btf = Btf::parse(&bytes).unwrap();
    let names: Vec<&str> = btf.types().filter_map(|ty| btf.name(&ty).ok()).collect();
    // `HashMap<u32, ...>`: `<`, `,`, blank and `>` by their numbers.
    let generic = names.iter().find(|name| name.starts_with("HashMap_3C_")).unwrap();
    assert!(generic.contains("_2C__20_") && generic.ends_with("_3E_"), "{generic}");
    assert!(!names.iter().any(|name| name.contains(['<', '>', ' '])), "{names:?}");
}

/// The members of a struct in an object's BTF, with their offsets in bits.
fn members(object: &str, structure: &str) -> Option<Vec<(String, u32)>> {
    let bytes = btf(&root().join("bpf/rust/objects").join(object))?;
    let btf = Btf::parse(&bytes).unwrap();
    let structure = btf.find(&[BtfKind::Struct], structure).unwrap();
    let members = structure.members();
    Some(members.map(|member| (btf.string(member.name_off).unwrap().to_owned(), member.offset_bits)).collect())
}

#[test]
fn fact_40_only_repr_c_values_stay_as_they_were_written() {
    let Some(c) = members("btf_maps.o", "FlowStats") else { return };
    let expected = [("packets", 0), ("bytes", 64), ("seen", 128), ("sampled", 256), ("mark", 288)];
    assert_eq!(c, expected.map(|(name, offset)| (name.to_owned(), offset)));
    // Written as small, large, medium: rustc puts the large one first.
    let rust = members("odd_types.o", "Unordered").unwrap();
    let offset = |of: &str| rust.iter().find(|(name, _)| name == of).unwrap().1;
    assert!(offset("large") < offset("small"), "{rust:?}");
}
