//! Programs that no hook names, and that run all the same: those in tables, held against the staged maps as those at hooks are.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use maplock::internals::sys::{Map, NewMap, NewProg, Prog};
use maplock::layout::MapDef;
use maplock::layout::map::{MapType, Pinning};
use maplock::{AttachType, ErrorKind, Options, Spec, Staged};
use maplock_tests::kernel::{self, Bpffs, Cgroup};

use crate::hooks::{SOCK, XDP, sock_hook};

const CREATE: AttachType = AttachType::CGROUP_INET_SOCK_CREATE;

/// `BPF_XDP_CPUMAP`
const XDP_CPUMAP: u32 = 35;

/// A hash `m`, a table of programs `calls`, and a cpumap `cpus` whose entries may have a program.
fn spec(max_entries: u32) -> Spec {
    let def = |name: &str, map_type, value_size, max_entries| MapDef {
        key_size: 4,
        value_size,
        max_entries,
        pinning: Pinning::ByName,
        ..MapDef::new(name, map_type)
    };
    let m = def("m", MapType::HASH, 8, max_entries);
    Spec::from(maplock_tests::lock(&[m, def("calls", MapType::PROG_ARRAY, 4, 4), def("cpus", MapType::CPUMAP, 8, 1)]))
}

fn staged(dir: &Path, max_entries: u32) -> Staged {
    Options::new(spec(max_entries), dir).begin().expect("begun").stage().expect("staged")
}

/// A program that uses these maps.
fn prog(prog_type: u32, expected_attach_type: u32, maps: &[&Map]) -> Prog {
    let load = |map: &&Map| [0x18 | 1 << 8 | 1 << 12 | u64::from(map.as_fd().as_raw_fd().cast_unsigned()) << 32, 0];
    let insns: Vec<u64> = maps.iter().flat_map(load).chain([0xb7 | 1 << 32, 0x95]).collect();
    let new = NewProg {
        prog_type,
        expected_attach_type,
        name: "pass",
        insns: &insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    };
    Prog::load(&new).expect("the verifier takes it")
}

fn sock(maps: &[&Map]) -> Prog {
    prog(SOCK, CREATE.0, maps)
}

fn enter(table: &Map, at: u32, prog: &Prog) {
    table.update(&at.to_ne_bytes(), &prog.as_fd().as_raw_fd().to_ne_bytes(), 0).expect("it fits the table");
}

fn map(name: &str, map_type: MapType, value_size: u32) -> Map {
    Map::create(&NewMap { name, ..NewMap::new(map_type, 4, value_size, 4) }).expect("made")
}

fn of<'s>(staged: &'s Staged, name: &str) -> &'s Map {
    staged.map(name).expect("staged")
}

/// The commit is refused with that, and nothing has happened.
fn refused(staged: Staged, bpffs: &Bpffs, wanted: &str) {
    let error = staged.commit().expect_err("another map");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let text = error.to_string();
    assert!(text.starts_with(wanted), "{text}");
    for way in ["staged.pin(\"m\")", "`map_pin_path`", "clears the map's pin path and calls `reuse_fd`"] {
        assert!(text.contains(way), "{text}");
    }
    assert!(!bpffs.path().join("daemon@next").exists());
}

#[test]
fn a_program_in_a_table_uses_the_staged_maps_or_nothing_is_committed() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("daemon");
    let own = map("m", MapType::HASH, 8);

    // In a staged table.
    let mut first = staged(&dir, 4);
    let hooked = sock(&[of(&first, "calls"), of(&first, "m")]);
    enter(of(&first, "calls"), 1, &sock(&[&own]));
    first.hook("create", &hooked, sock_hook(&cgroup, CREATE)).expect("its own maps are the staged ones");
    refused(first, &bpffs, "the program at 1 of table `calls` uses a map of its own called `m` (id ");
    assert!(!dir.exists());

    // In a table of the loader's own, behind another one, entered after the hook was named.
    let mut second = staged(&dir, 4);
    let (table, behind) = (map("jumps", MapType::PROG_ARRAY, 4), map("more_jumps", MapType::PROG_ARRAY, 4));
    let hooked = sock(&[&table]);
    second.hook("create", &hooked, sock_hook(&cgroup, CREATE)).expect("its own maps are none of the spec's");
    enter(&table, 0, &sock(&[&behind, of(&second, "m")]));
    enter(&behind, 3, &sock(&[&own]));
    refused(second, &bpffs, "the program at 3 of table `more_jumps` uses a map of its own called `m` (id ");

    // A program that packets meet behind a cpumap.
    let third = staged(&dir, 4);
    let behind = prog(XDP, XDP_CPUMAP, &[&own]);
    let value = [192_u32.to_ne_bytes(), behind.as_fd().as_raw_fd().to_ne_bytes()].concat();
    of(&third, "cpus").update(&[0; 4], &value, 0).expect("it fits");
    refused(third, &bpffs, "the program at 0 of table `cpus` uses a map of its own called `m` (id ");

    // Each as it should be, and one that calls itself.
    let mut fourth = staged(&dir, 4);
    let hooked = sock(&[of(&fourth, "calls"), of(&fourth, "m")]);
    enter(of(&fourth, "calls"), 1, &hooked);
    enter(of(&fourth, "calls"), 2, &sock(&[of(&fourth, "m"), of(&fourth, "calls")]));
    fourth.hook("create", &hooked, sock_hook(&cgroup, CREATE)).expect("it fits");
    fourth.commit().expect("committed");

    // The live map, where the staged one is another.
    let live = Map::open(&dir.join("m")).expect("pinned");
    let fifth = staged(&dir, 8);
    enter(of(&fifth, "calls"), 1, &sock(&[&live]));
    refused(fifth, &bpffs, "the program at 1 of table `calls` uses the live map `m` (id ");
    assert_eq!(Map::open(&dir.join("m")).expect("pinned").info().id, live.info().id);
}

#[test]
fn a_staged_pin_that_a_loader_put_another_map_in_the_place_of_is_noticed() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let staged = staged(&bpffs.path().join("daemon"), 4);
    let pin = staged.pin("m").expect("staged").to_owned();
    std::fs::remove_file(&pin).expect("a pin");
    map("m", MapType::HASH, 8).pin(&pin).expect("pinned");
    refused(staged, &bpffs, &format!("the pin `{}` is of another map `m` (id ", pin.display()));
}
