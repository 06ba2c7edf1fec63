//! Types that a map does not tell itself: from DWARF, and of maps that Rust declares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use maplock_codegen::{Object, TypesObject};
use maplock_layout::btf::{Btf, BtfKind};
use maplock_layout::config::Binding;
use maplock_layout::map::MapDef;
use maplock_layout::{Composite, Config, Layout, Lock, Shape, compare};
use maplock_layout_tests::toolchain::{Clang, Fixture, Order, file_name, objcopy, root, run};
use maplock_layout_tests::{lock, maps_of};

/// The names of all types that have one, as a binding writes them.
fn names(btf: &Btf<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (keyword, kinds) in [
        ("struct ", &[BtfKind::Struct][..]),
        ("union ", &[BtfKind::Union]),
        ("enum ", &[BtfKind::Enum, BtfKind::Enum64]),
        ("", &[BtfKind::Typedef]),
    ] {
        let named = btf.of_kinds(kinds).map(|ty| btf.name(&ty).expect("a name")).filter(|name| !name.is_empty());
        names.extend(named.map(|name| format!("{keyword}{name}")));
    }
    names
}

/// The object without its BTF, and the BTF.
fn apart(objcopy: &str, object: &Path, folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let [bare, btf] = ["bare", "btf"].map(|label| folder.join(format!("{}.{label}", file_name(object))));
    run(Command::new(objcopy).arg(format!("--dump-section=.BTF={}", btf.display())).arg(object).arg(&bare));
    run(Command::new(objcopy).args(["--remove-section=.BTF", "--remove-section=.BTF.ext"]).arg(object).arg(&bare));
    (fs::read(bare).expect("it was made a moment ago"), fs::read(btf).expect("it was made a moment ago"))
}

/// Holds each named type of an object's BTF against the DWARF; the number of types.
fn check(objcopy: &str, object: &Path, folder: &Path, unlike: &[&str]) -> usize {
    let bytes = fs::read(object).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
    let of_btf = TypesObject::parse("a".to_owned(), &bytes).expect("types");
    let (bare, btf) = apart(objcopy, object, folder);
    let btf = Btf::parse(&btf).expect("BTF");
    let of_dwarf = TypesObject::parse("b".to_owned(), &bare).expect("types");
    let mut count = 0;
    // Each look-up walks all of the DWARF, and one of the fixtures has thousands of types.
    let names: Vec<_> = names(&btf).into_iter().collect();
    for name in names.iter().step_by(names.len() / 100 + 1) {
        let (Ok(btf), Ok(dwarf)) = (of_btf.find(name), of_dwarf.find(name)) else {
            // Where LLVM makes a type of BTF itself, or BTF can't say it.
            assert!(!name.starts_with("struct flow"), "{name} in {}", object.display());
            continue;
        };
        count += 1;
        if !unlike.contains(&name.as_str()) {
            assert_eq!(dwarf.digest(), btf.digest(), "{name} of {}:\n{dwarf:#?}\n{btf:#?}", object.display());
            assert_eq!(dwarf.spelling(), btf.spelling());
        }
    }
    count
}

#[test]
fn types_of_dwarf_are_those_of_btf_whoever_compiled_them() {
    let (Some(clangs), Some(objcopy)) = (Clang::at_least(2), objcopy()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut count = 0;
    for fixture in Fixture::all() {
        for (clang, order) in clangs.iter().rev().zip(Order::BOTH.iter().copied().cycle()) {
            let Some(object) = fixture.compile(clang, order, folder.path()) else { continue };
            count += check(&objcopy, &object, folder.path(), &[]);
        }
    }
    assert!(count > 500, "{count} types");
}

#[test]
fn types_of_dwarf_are_those_of_btf_in_objects_of_rustc() {
    let Some(objcopy) = objcopy() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut count = 0;
    for name in ["btf_maps", "legacy_maps", "both", "both.eb", "odd_types", "pinned"] {
        let object = root().join(format!("bpf/rust/objects/{name}.o"));
        // BTF has no word for `char`, and LLVM leaves its member without a type.
        count += check(&objcopy, &object, folder.path(), &["struct Mixture"]);
    }
    assert!(count > 60, "{count} types");
}

fn rust_object(name: &str) -> BTreeMap<String, MapDef> {
    let bytes = fs::read(root().join(format!("bpf/rust/objects/{name}.o"))).expect("it is committed");
    let maps = maps_of(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    maps.into_iter().map(|map| (map.name.clone(), map)).collect()
}

#[test]
fn maps_of_rust_without_btf_have_the_types_that_the_dwarf_tells() {
    let (legacy, btf) = (rust_object("legacy_maps"), rust_object("btf_maps"));
    for (one, other) in [
        ("FLOWS", "FLOWS"),
        ("PINNED_FLOWS", "FLOWS"),
        ("RECENT", "RECENT"),
        ("PINNED_PEERS", "PEERS"),
        ("STATES", "STATES"),
        ("PINNED_WIDE", "WIDE"),
        ("TOTALS", "TOTALS"),
        ("BY_CPU", "BY_CPU"),
        ("PINNED_ROUTES", "ROUTES"),
        ("WAITING", "WAITING"),
    ] {
        let (one, other) = (&legacy[one], &btf[other]);
        let digest = |layout: &Option<std::sync::Arc<Layout>>| layout.as_ref().map(|layout| layout.digest());
        assert_eq!(digest(&one.key), digest(&other.key), "the key of {}", one.name);
        assert_eq!(digest(&one.value), digest(&other.value), "the value of {}", one.name);
        assert!(one.value.is_some(), "{}", one.name);
    }
    assert_eq!(legacy["renamed_map"].value.as_ref().map(|value| value.spelling()).as_deref(), Some("struct Packed"));
    for handles in ["EVENTS", "PERF", "TAILS"] {
        assert_eq!((&legacy[handles].key, &legacy[handles].value), (&None, &None), "{handles}");
    }
}

#[test]
fn maps_of_rust_without_dwarf_have_no_types() {
    let legacy = rust_object("legacy_maps.eb.stripped");
    assert_eq!((&legacy["FLOWS"].key, &legacy["FLOWS"].value), (&None, &None));
    assert!(rust_object("btf_maps.stripped")["FLOWS"].value.is_some());
}

#[test]
fn a_type_of_rust_is_found_by_its_path() {
    let bytes = fs::read(root().join("bpf/rust/objects/legacy_maps.o")).expect("it is committed");
    let types = TypesObject::parse("legacy_maps.o".to_owned(), &bytes).expect("types");
    let size = |name: &str| types.find(name).map(|layout| layout.size).map_err(|error| error.to_string());
    assert_eq!(size("fixture::flow::FlowKey"), Ok(16));
    assert_eq!(size("flow::FlowKey"), Ok(16));
    assert_eq!(size("FlowKey"), Ok(16));
    assert_eq!(size("keyed::Keyed<u32>"), Ok(8), "as bpf-linker writes it");
    let missing = size("fixture::flow::FlowKye").expect_err("there is none");
    assert!(missing.contains("did you mean `fixture::flow::FlowKey`?"), "{missing}");
}

/// What is said of the maps of an object by themselves.
fn said_of(object: &[u8], types: &[TypesObject<'_>], bindings: &[(&str, &str)]) -> Vec<String> {
    let mut object = Object::parse(object).unwrap_or_else(|error| panic!("{error}"));
    for (map, value) in bindings {
        let binding = Binding { value: Some((*value).to_owned()), ..Binding::default() };
        object.bind(map, &binding, types).unwrap_or_else(|error| panic!("{error}"));
    }
    let found = compare(&Lock::default(), &lock(&object.maps), &Config::default().levels).findings;
    let found = found.iter().filter(|finding| finding.rule.id == "unpromised-layout");
    found.map(maplock_layout::Finding::message).collect()
}

#[test]
fn types_of_rust_that_no_compiler_promises_are_told_as_far_as_they_show() {
    let object = fs::read(root().join("bpf/rust/objects/odd_types.o")).expect("it is committed");
    let said = said_of(&object, &[], &[]);
    let told = |map: &str, words: &str| said.iter().any(|said| said.contains(map) && said.contains(words));
    assert!(told("the key of `TUPLES`", "is a tuple"), "{said:#?}");
    assert!(told("the value of `TUPLES`", "is an enum with data"), "{said:#?}");
    assert!(told("the value of `TAGGED`", "is an enum with data"), "{said:#?}");
    assert!(told("the value of `NESTED`", "`item.item` of"), "{said:#?}");
    assert!(told("the value of `MIXTURE`", "`pair` of `struct Mixture` is a tuple"), "{said:#?}");
    // bpf-linker has sorted its members.
    assert!(!told("`UNORDERED`", ""), "{said:#?}");

    let object = fs::read(root().join("bpf/rust/objects/btf_maps.o")).expect("it is committed");
    assert_eq!(said_of(&object, &[], &[]), [""; 0]);
}

/// A types object that another machine's compiler made: this one's.
#[test]
fn types_may_come_from_an_object_of_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = "pub mod wire { #[repr(C)] pub struct Flow { pub packets: u64, pub window: [Window; 2], pub kind: Kind } \
                  #[repr(C)] pub struct Window { pub first: u32, pub last: i16 } #[repr(u8)] pub enum Kind { A, B = 200 } }\n\
                  pub struct Loose { pub small: u8, pub large: u32 }\n\
                  #[used] static FLOW: wire::Flow = wire::Flow { packets: 0, window: [const { wire::Window { first: 0, last: 0 } }; 2], kind: wire::Kind::B };\n\
                  #[used] static LOOSE: Loose = Loose { small: 0, large: 0 };\n";
    fs::write(folder.path().join("common.rs"), source).expect("a file");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(folder.path()).args([
        "--crate-type=lib",
        "--emit=obj",
        "-Cdebuginfo=2",
        "-o",
        "types.o",
        "common.rs",
    ]);
    run(&mut rustc);
    let bytes = fs::read(folder.path().join("types.o")).expect("an object");
    let types = TypesObject::parse("types.o".to_owned(), &bytes).expect("types");
    let flow = types.find("wire::Flow").unwrap_or_else(|error| panic!("{error}"));
    let of = flow.composite().expect("a struct");
    let members: Vec<_> =
        of.members().iter().map(|of| (of.name.to_string(), of.offset_bits / 8, of.layout.spelling())).collect();
    let expected = [("packets", 0, "u64"), ("window", 8, "struct Window[2]"), ("kind", 24, "enum Kind")];
    assert_eq!(members, expected.map(|(name, at, spelling)| (name.to_owned(), at, spelling.to_owned())));
    let Shape::Enum(kind) = &of.members()[2].layout.shape else { panic!("{flow:#?}") };
    assert_eq!(
        kind.values.iter().map(|(name, value)| (name.as_str(), *value)).collect::<Vec<_>>(),
        [("A", 0), ("B", 200)]
    );
}

#[test]
fn a_map_declared_by_its_sizes_gets_types_that_only_the_dwarf_or_another_object_has() {
    let Some(clang) = Clang::newest() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let compile = |name: &str, text: &str| {
        let source = folder.path().join(format!("{name}.c"));
        fs::write(&source, text).expect("a file");
        let out = folder.path().join(format!("{name}.o"));
        run(clang.command().args(["-target", "bpfel", "-O2", "-g", "-c"]).arg(source).arg("-o").arg(&out));
        fs::read(out).expect("an object")
    };
    // A local variable that is no argument: clang writes it to the DWARF alone.
    let sized = "struct used { unsigned a, b; };\n\
                 struct { int (*type)[1]; int (*max_entries)[8]; int (*key_size)[4]; int (*value_size)[8]; } recent \
                 __attribute__((section(\".maps\"), used));\n\
                 int program(void *ctx) { struct used used = {}; __builtin_memcpy(&used, ctx, 8); return used.a + used.b; }\n";
    let types = "struct elsewhere { unsigned long long both; } __attribute__((btf_decl_tag(\"maplock:version=2\")));\n\
                 struct elsewhere one;\n";
    let (object, types) = (compile("sized", sized), compile("types", types));
    let others = [TypesObject::parse("types.o".to_owned(), &types).expect("types")];
    let bind = |value: &str| {
        let mut object = Object::parse(&object).expect("an object");
        let binding = Binding { value: Some(value.to_owned()), ..Binding::default() };
        object.bind("recent", &binding, &others).map_err(|error| error.to_string())?;
        Ok::<_, String>(object.maps[0].value.as_ref().map(|value| value.spelling()).unwrap_or_default())
    };
    assert_eq!(bind("struct used").as_deref(), Ok("struct used"));
    assert_eq!(bind("struct elsewhere").as_deref(), Ok("struct elsewhere"));
    let types = "struct odd { unsigned first; unsigned char none[0]; unsigned last; }; struct odd one;\n";
    let types = compile("odd", types);
    let types = [TypesObject::parse("odd.o".to_owned(), &types).expect("types")];
    let said = said_of(&object, &types, &[("recent", "struct odd")]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("`none` of `struct odd` has no bytes"), "{said:?}");

    let Some(objcopy) = objcopy() else { return };
    let path = folder.path().join("types.o");
    let (bare, _) = apart(&objcopy, &path, folder.path());
    let bare = TypesObject::parse("bare".to_owned(), &bare).expect("types");
    let [versioned, of_btf] = [&bare, &others[0]].map(|types| types.find("struct elsewhere").expect("a struct"));
    assert_eq!(versioned, of_btf, "the version, too");
    assert_eq!(versioned.composite().map(Composite::version), Some(2));

    let missing = bind("struct elsewere").expect_err("there is none");
    assert_eq!(
        missing,
        "map `recent`: type `struct elsewere` is neither in the object's BTF nor in its DWARF nor in types.o; did you mean \
         `struct elsewhere`?"
    );
}
