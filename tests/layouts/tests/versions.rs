//! Versions of what bytes mean, in objects of every compiler.

use std::fs;
use std::path::Path;

use maplock_layout::{Layout, MapDef, Shape};
use maplock_layout_tests::maps_of;
use maplock_layout_tests::toolchain::{Clang, Fixture, Order};

fn clangs() -> Option<Vec<Clang>> {
    Some(Clang::at_least(1)?.into_iter().filter(|clang| clang.version >= 14).collect())
}

/// The maps of a source, or why they can't be read.
fn read(clang: &Clang, folder: &Path, source: &str) -> Result<Vec<MapDef>, String> {
    let (file, object) = (folder.join("source.c"), folder.join("source.o"));
    fs::write(&file, format!("#include \"bpf_min.h\"\n{source}")).expect("a file");
    clang.compile(Order::Little, &file, &object);
    maps_of(&fs::read(object).expect("an object")).map_err(|error| error.to_string())
}

/// The version of the struct or union at the end of a path of members; of the elements, where one is an array.
fn version(layout: &Layout, path: &[&str]) -> u32 {
    match (&layout.shape, path) {
        (Shape::Array { element, .. }, _) => version(element, path),
        (Shape::Composite(of), []) => of.version(),
        (Shape::Composite(of), [first, rest @ ..]) => {
            let member = of.members().iter().find(|member| &*member.name == *first).expect("the member");
            version(&member.layout, rest)
        }
        _ => panic!("no struct at {path:?}"),
    }
}

#[test]
fn tags_on_structs_unions_and_maps_are_read_from_objects_of_every_compiler() {
    let Some(clangs) = clangs() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let fixture = Fixture::named("versions");
    for (clang, order) in clangs.iter().flat_map(|clang| Order::BOTH.map(|order| (clang, order))) {
        let object = fixture.compile(clang, order, folder.path()).expect("it is new enough");
        let maps = maps_of(&fs::read(object).expect("an object")).expect("its maps");
        let map = |name: &str| maps.iter().find(|map| map.name == name).expect("the map");
        let (key, value) = (map("flows").key.as_deref(), map("flows").value.as_deref());
        let (key, value) = (key.expect("a key"), value.expect("a value"));
        let said = [
            version(key, &[]),
            version(key, &["from"]),
            version(value, &[]),
            version(value, &["seen"]),
            version(value, &["by_peer"]),
            map("flows").version,
            map("totals").version,
        ];
        assert_eq!(said, [3, 7, 0, 2, 2, 0, 5], "clang {} {order:?}", clang.version);
        let inner = map("by_host").inner.as_deref().expect("an inner map");
        assert_eq!(version(inner.value.as_deref().expect("a value"), &[]), 2);
    }
}

const MAP: &str = "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, __u32); __type(value, struct flow); }";

/// A map `flows` of a struct with this behind its brace, and with that behind its own name.
fn flows(of_struct: &str, of_map: &str) -> String {
    format!("struct flow {{ __u64 seen; }} {of_struct};\n{MAP} flows SEC(\".maps\") {of_map};\n")
}

fn tag(text: &str) -> String {
    format!("__attribute__((btf_decl_tag(\"{text}\")))")
}

#[test]
fn a_tag_that_says_no_version_is_an_error_that_names_it_and_what_it_is_on() {
    let Some(clangs) = clangs() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let number = "a version is a number from 1 to 4294967295";
    for clang in &clangs {
        for (text, problem) in [
            ("maplock:version=x", format!("`maplock:version=x`: {number}")),
            ("maplock:version=0", format!("`maplock:version=0`: {number}")),
            ("maplock:version=-1", format!("`maplock:version=-1`: {number}")),
            ("maplock:version=", format!("`maplock:version=`: {number}")),
            ("maplock:version=4294967296", format!("`maplock:version=4294967296`: {number}")),
            (
                "maplock:versoin=2",
                "`maplock:versoin=2` says nothing to maplock; what it reads is `maplock:version=N`".to_owned(),
            ),
        ] {
            let error = read(clang, folder.path(), &flows(&tag(text), "")).expect_err(text);
            assert!(error.starts_with("map `flows`: "), "{error}");
            assert!(error.ends_with(&format!("`struct flow`: {problem}")), "{error}");
            let error = read(clang, folder.path(), &flows("", &tag(text))).expect_err(text);
            assert_eq!(error, format!("map `flows`: {problem}"));
        }
        let two = format!("{} {}", tag("maplock:version=1"), tag("maplock:version=2"));
        for (source, of) in [(flows(&two, ""), "`struct flow`: "), (flows("", &two), "map `flows`: ")] {
            let error = read(clang, folder.path(), &source).expect_err("two versions");
            assert!(error.contains(of) && error.contains("one tag says `maplock:version="), "{error}");
        }
        let twice = format!("{} {}", tag("maplock:version=2"), tag("maplock:version=2"));
        assert_eq!(read(clang, folder.path(), &flows("", &twice)).expect("one version")[0].version, 2);
        // Others' tags are others' business.
        let others = read(clang, folder.path(), &flows(&tag("version=x"), &tag("contains:x:y"))).expect("no version");
        assert_eq!(others[0].version, 0);
    }
}

#[test]
fn a_version_elsewhere_is_an_error_that_says_where_it_belongs() {
    let Some(clangs) = clangs() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (version, plain) = (tag("maplock:version=2"), flows("", ""));
    let belongs =
        "a version belongs behind the closing brace of a struct or union, or behind the name of a map's variable";
    for clang in &clangs {
        for (source, on) in [
            (
                format!("struct flow {{ __u64 seen {version}; }};\n{MAP} flows SEC(\".maps\");"),
                "`maplock:version=2` is on member `seen` of `struct flow`",
            ),
            (
                format!(
                    "struct of {{ __u64 seen; }};\ntypedef struct of flow_t {version};\nstruct flow {{ flow_t it; }};\n{MAP} flows SEC(\".maps\");"
                ),
                "`maplock:version=2` is on typedef `flow_t`",
            ),
            (
                format!("{plain}int counter {version} SEC(\".data\") = 1;"),
                "`maplock:version=2` is on variable `counter`",
            ),
            (
                format!("struct flow {{ __u64 seen; }};\n{MAP} {version} flows SEC(\".maps\");"),
                "map `flows`: `maplock:version=2` is on the struct that defines it",
            ),
        ] {
            let error = read(clang, folder.path(), &source).expect_err(on);
            assert_eq!(error, format!("{on}; {belongs}"), "clang {}\n{source}", clang.version);
        }
    }
}
