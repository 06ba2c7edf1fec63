//! libbpf and bpftool read the same as we do from every object that we have.

use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_layout::MapDef;
use maplock_layout::map::{Origin, Pinning};
use maplock_tests::agree::{Agreement, Libbpf};
use maplock_tests::toolchain::{Clang, Fixture, Order, files, has, root, run, skip};
use maplock_tests::{lock_text, maps_of};

/// What a test needs: compilers, bpftool, and a folder for objects.
fn tools() -> Option<(Vec<Clang>, tempfile::TempDir)> {
    let clangs = Clang::at_least(1)?;
    has_bpftool().then(|| (clangs, tempfile::tempdir().expect("a folder")))
}

fn has_bpftool() -> bool {
    let found = has("bpftool");
    if !found {
        skip("bpftool (apt-get install bpftool)");
    }
    found
}

fn check_fixtures(order: Order) -> Option<(Agreement, usize)> {
    let (clangs, folder) = tools()?;
    let mut agreement = Agreement::default();
    for fixture in Fixture::all() {
        for clang in &clangs {
            let Some(object) = fixture.compile(clang, order, folder.path()) else { continue };
            agreement.check(&object, if fixture.libbpf_refuses { Libbpf::Refuses } else { Libbpf::Opens });
        }
    }
    Some((agreement, clangs.len()))
}

#[test]
fn libbpf_and_bpftool_agree_on_every_fixture() {
    let Some((agreement, clangs)) = check_fixtures(Order::Little) else { return };
    agreement.assert(29 * clangs, 290 * clangs, 6000 * clangs);
}

#[test]
fn libbpf_and_bpftool_agree_on_every_big_endian_fixture() {
    let Some((agreement, clangs)) = check_fixtures(Order::Big) else { return };
    agreement.assert(29 * clangs, 290 * clangs, 6000 * clangs);
}

/// Links two objects, in that order.
fn link(folder: &Path, first: &Path, second: &Path) -> PathBuf {
    let out = folder.join(format!("linked.{}.o", first.file_stem().expect("a name").to_string_lossy()));
    run(Command::new("bpftool").args(["gen", "object"]).args([out.as_path(), first, second]));
    out
}

#[test]
fn they_agree_on_objects_that_bpftool_linked() {
    let Some((clangs, folder)) = tools() else { return };
    let mut agreement = Agreement::default();
    for clang in &clangs {
        let compile = |name| Fixture::named(name).compile(clang, Order::Little, folder.path()).expect("an object");
        let (a, b, data) = (compile("link_a"), compile("link_b"), compile("global_data"));
        let linked = link(folder.path(), &a, &b);
        agreement.check(&linked, Libbpf::Opens);
        // Data sections of two objects become one, and every variable of the second moves.
        agreement.check(&link(folder.path(), &data, &linked), Libbpf::Opens);
        agreement.check(&link(folder.path(), &linked, &data), Libbpf::Opens);
        // bpftool 7.1 leaves a wrong offset in `.maps` where the extern comes before its definition.
        let reversed = link(folder.path(), &b, &a);
        agreement.check(&reversed, Libbpf::MayRefuse);
        assert_eq!(lock_of(&linked), lock_of(&reversed));
    }
    agreement.assert(4 * clangs.len(), 24 * clangs.len(), 76 * clangs.len());
}

fn lock_of(object: &Path) -> String {
    lock_text(&maps_of(&std::fs::read(object).expect("an object")).expect("its maps"))
}

#[test]
fn they_agree_on_the_committed_releases_of_minimesh() {
    if !has_bpftool() {
        return;
    }
    let mut agreement = Agreement::default();
    for object in files(&root().join("bpf/minimesh"), ".o") {
        agreement.check(&object, Libbpf::Opens);
    }
    agreement.assert(4, 16, 100);
}

#[test]
fn they_agree_on_the_committed_objects_of_rust() {
    if !has_bpftool() {
        return;
    }
    let mut agreement = Agreement::default();
    for object in files(&root().join("bpf/rust/objects"), ".o") {
        let name = object.to_string_lossy();
        // These have legacy definitions, which libbpf has not read since 1.0.
        let legacy = name.contains("legacy_maps") || name.contains("/both.");
        agreement.check(&object, if legacy { Libbpf::Refuses } else { Libbpf::Opens });
    }
    agreement.assert(9, 60, 100);
}

/// The oracle itself: it must see what a comparison of sizes does not.
#[test]
fn they_disagree_on_maps_whose_members_are_exchanged() {
    let Some((clangs, folder)) = tools() else { return };
    let compile = |name| Fixture::named(name).compile(&clangs[0], Order::Little, folder.path()).expect("an object");
    let (x, z) = (compile("shared_x"), compile("shared_z"));
    let maps = maps_of(&std::fs::read(z).expect("an object")).expect("its maps");
    let bytes = std::fs::read(&x).expect("an object");

    let mut agreement = Agreement::default();
    agreement.check_maps("x", &x, &bytes, &maps, Libbpf::Opens);
    assert!(agreement.problems.iter().any(|of| of.contains("shared.value: members")), "{:#?}", agreement.problems);

    let mut doubled = maps_of(&bytes).expect("its maps");
    doubled[0].max_entries *= 2;
    agreement.problems.clear();
    agreement.check_maps("x", &x, &bytes, &doubled, Libbpf::Opens);
    assert_eq!(agreement.problems.len(), 1, "{:#?}", agreement.problems);
    assert!(agreement.problems[0].contains("shared: max_entries"), "{:#?}", agreement.problems);
}

/// libbpf reads no legacy definitions, and BTF does not hold them: these numbers are those of the C sources.
#[test]
fn legacy_definitions_are_read_as_their_sources_say() {
    let Some((clangs, folder)) = tools() else { return };
    let expected: [(&str, &[&str]); 8] = [
        ("legacy_16", &["counters hash 8 16 1024 0x0", "events perf_event_array 4 4 64 0x0"]),
        ("legacy_20", &["counters percpu_array 4 16 256 0x0", "routes lpm_trie 8 4 1000 0x1"]),
        (
            "legacy_28",
            &[
                "of_maps array_of_maps 4 4 10 0x0 holds on_a_node",
                "on_a_node hash 4 8 200 0x5 node 1",
                "plain hash 8 24 100 0x0",
            ],
        ),
        ("legacy_280", &["connections hash 16 8 2048 0x0 pinning 2", "tcp_events perf_event_array 4 4 1024 0x0"]),
        (
            "legacy_36",
            &[
                "counters hash 4 16 512 0x1 pinning 2",
                "inner array 4 8 1 0x0",
                "outer array_of_maps 4 4 8 0x0 holds inner",
                "tail_calls prog_array 4 4 10 0x0 pinning by_name",
            ],
        ),
        (
            "legacy_annotated",
            &["bare array 4 8 4 0x0", "flows hash 8 16 100 0x0 typed", "totals array 4 8 4 0x0 typed"],
        ),
        ("legacy_own_section", &["decoder_state_map array 4 8 1 0x0"]),
        ("mixed", &["old_map hash 4 8 16 0x0"]),
    ];
    for (clang, order) in clangs.iter().flat_map(|clang| Order::BOTH.map(|order| (clang, order))) {
        for (name, expected) in expected {
            let object = Fixture::named(name).compile(clang, order, folder.path()).expect("an object");
            let maps = maps_of(&std::fs::read(&object).expect("an object")).expect("its maps");
            let mut found: Vec<_> = maps.iter().filter(|map| map.origin == Origin::Legacy).map(describe).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{}", object.display());
        }
    }
}

fn describe(map: &MapDef) -> String {
    let MapDef { name, map_type, key_size, value_size, max_entries, flags, .. } = map;
    let mut text = format!("{name} {map_type} {key_size} {value_size} {max_entries} {flags:#x}");
    if map.pinning != Pinning::None {
        text += &format!(" pinning {}", map.pinning);
    }
    if map.numa_node != 0 {
        text += &format!(" node {}", map.numa_node);
    }
    if let Some(inner) = &map.inner {
        text += &format!(" holds {}", inner.name);
    }
    text + if map.value.is_some() { " typed" } else { "" }
}
