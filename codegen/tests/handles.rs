//! What a daemon has of a generated module: handles, types, older releases' types, and a test of its conversions.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use maplock_codegen::Inputs;
use maplock_layout::conversion::Answers;
use maplock_layout::lock::{Epoch, LockedMap, OnUpgrade};
use maplock_layout::{Config, Lock, MapDef};

use support::{Project, clang, root, run, skip, target_dir};

const MANIFEST: &str = r#"[package]
name = "flowtop"
version = "0.1.0"
edition = "2024"

[dependencies]
maplock = { path = "ROOT/runtime" }

[build-dependencies]
maplock-codegen = { path = "ROOT/codegen" }

[workspace]
"#;

const BUILD_SCRIPT: &str = r#"fn main() -> Result<(), maplock_codegen::BuildError> {
    maplock_codegen::Builder::new()
        .compile("bpf/flow.bpf.c")
        .clang_arg("-IROOT/bpf/include")
        .module("flowtop")
        .runtime(true)
        .generate()
}
"#;

const MAIN: &str = "//! A daemon.\nfn main() -> Result<(), Box<dyn std::error::Error>> {\n    \
                    let dir = std::env::args_os().nth(1).ok_or(\"a directory\")?;\n    flowtop::run(dir.as_ref())\n}\n";

/// The maps of an object that clang makes of these sources.
fn maps(clang: &str, folder: &Path) -> BTreeMap<String, MapDef> {
    let object = folder.join("flow.o");
    let mut command = Command::new(clang);
    command.args(["-target", "bpf", "-O2", "-g", "-I"]).arg(root().join("bpf/include"));
    run(command.arg("-c").arg(folder.join("flow.bpf.c")).arg("-o").arg(&object));
    let inputs = Inputs::read(&[("flow".to_owned(), object)], &Config::default()).expect("a good object");
    inputs.observation.lock.maps.into_iter().map(|(name, map)| (name, map.def)).collect()
}

fn by_hand(old: &MapDef, new: &MapDef) -> Epoch {
    Epoch {
        from: old.digest(),
        to: new.digest(),
        rules: vec!["member-type-changed".to_owned(), "value-size-changed".to_owned()],
        on_upgrade: OnUpgrade::Migrate,
        merge: BTreeMap::new(),
        convert: Answers { by_hand: true, ..Answers::default() },
        reason: "wider counts".to_owned(),
        max_entries: None,
        previous: old.clone(),
    }
}

/// The project, whose lock has a history: the counts of the release before were narrower. None where there is no clang.
fn project() -> Option<Project> {
    let clang = clang()?;
    let project = Project::kept("flowtop");
    let write_sources = |folder: &str, change: &dyn Fn(String) -> String| {
        for file in ["flow.h", "flow.bpf.c"] {
            let text = fs::read_to_string(root().join("codegen/tests/daemon").join(file)).expect("it is committed");
            project.write(&format!("{folder}/{file}"), change(text));
        }
    };
    write_sources("bpf", &|text| text);
    write_sources("old", &|text| {
        text.replace("__u64 packets", "__u32 packets").replace("__u32, __u64, 16", "__u32, __u32, 16")
    });
    let (old, new) = (maps(&clang, &project.path("old")), maps(&clang, &project.path("bpf")));
    let locked = |(name, def): (&String, &MapDef)| {
        let epochs = if old[name].digest() == def.digest() { Vec::new() } else { vec![by_hand(&old[name], def)] };
        (name.clone(), LockedMap { epochs, ..LockedMap::new(def.clone()) })
    };
    let lock = Lock { maps: new.iter().map(locked).collect(), ..Lock::default() };
    project.write("maps.lock", lock.to_string());
    let repository = root().display().to_string();
    project.write("Cargo.toml", MANIFEST.replace("ROOT", &repository));
    project.write("build.rs", BUILD_SCRIPT.replace("ROOT", &repository));
    let digits = |map: &str| old[map].digest().to_string()[..4].to_owned();
    let library = fs::read_to_string(root().join("codegen/tests/daemon/lib.rs")).expect("it is committed");
    project.write("src/lib.rs", library.replace("COUNTS", &digits("counts")).replace("FLOWS", &digits("flows")));
    project.write("src/main.rs", MAIN);
    Some(project)
}

#[test]
fn a_daemon_reads_and_writes_its_maps_and_tries_its_conversions() {
    let Some(project) = project() else { return };
    let build = project.build().succeeds_silently();
    project.cargo("clippy").run().succeeds();
    project.cargo("doc").arg("--no-deps").run().succeeds();

    // What C says is in the docs, and where.
    let module = build.generated("flowtop.rs");
    for line in [
        "/// A flow, as\n/// a node sees it.\n///\n/// `struct flow_key`; bpf/flow.h:9.\n",
        "    /// in network byte order\n    ///\n    /// `__be16` at bytes 4..6; bpf/flow.h:11.\n    pub port: u16,\n",
        "    /// since the flow began\n    ///\n    /// `u64` at bytes 0..8; bpf/flow.h:26.\n    pub packets: u64,\n",
        "    /// Decided when the flow began.\n    ///\n    /// `enum verdict` at bytes 12..16; bpf/flow.h:30.\n",
        "    /// in \\[ms\\]\n    ///\n    /// `u16` at bytes 0..2; bpf/flow.h:33.\n    pub start: u16,\n",
        "/// Map `flows`: hash of 1024 entries; bpf/flow.bpf.c:13.\n",
        "    /// where 'flow_stats.is_v6' is 0\n    ///\n    /// `__be32` at bytes 0..4; bpf/flow.h:21.\n    pub fn v4(&self) -> u32 {\n",
    ] {
        assert!(module.contains(line), "{line}\n==== is not in ====\n{module}");
    }
    assert!(!module.contains(&project.path("").display().to_string()), "a path of this machine");
    let lines = build.generated("maplock.lines");
    for line in [
        "map\tflows\tflow\tbpf/flow.bpf.c:13",
        "member\tstruct flow_key\tport\tbpf/flow.h:11",
        "member\tstruct flow_stats\tlast\tbpf/flow.h:28",
        "member\tstruct flow_stats\twindow.start\tbpf/flow.h:33",
        "type\tenum verdict\t\tbpf/flow.h:15",
        "type\tstruct flow_key\t\tbpf/flow.h:9",
        "type\tunion peer\t\tbpf/flow.h:20",
    ] {
        assert!(lines.lines().any(|told| told == line), "{line}\n==== is not in ====\n{lines}");
    }
    assert!(lines.lines().is_sorted(), "{lines}");
    let times = support::times(&build.out_dir());
    project.touch("bpf/flow.bpf.c");
    let again = support::times(&project.build().succeeds_silently().out_dir());
    for file in ["flowtop.rs", "flowtop.mod.rs", "maplock.lines"] {
        let path = build.out_dir().join(file);
        assert_eq!(times[&path], again[&path], "{file} is written only where it changes");
    }

    conversions_are_tried(&project);
    a_missing_conversion_is_one_error(&project);
    if can_mount() {
        entries_are_there(&project);
    }
    without_maplock_there_are_the_types_alone(&project);
}

/// `cargo test` in the project.
fn conversions_are_tried(project: &Project) {
    let test = |dumps: &str| {
        let cargo = project.cargo("test").arg("--lib").env("MAPLOCK_DUMPS", dumps).env("RUST_TEST_NOCAPTURE", "1");
        cargo.env("MAPLOCK_REHEARSED", project.path("rehearsed")).run_as_it_is()
    };
    let told = test("").succeeds().stdout;
    assert!(told.contains("flowtop::maplock_migrations"), "{told}");
    assert_eq!(told.lines().filter(|line| line.contains(": 1002 made-up entries")).count(), 2, "{told}");

    let lines = project.read("rehearsed");
    let told: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((told.len(), &told[0]["map"], &told[0]["generated"]), (2, &"counts".into(), &1002.into()), "{lines}");

    let (key, value) = (r#"["0x01","0x00","0x00","0x00"]"#, r#"["0x05","0x00","0x00","0x00"]"#);
    project.write("counts.json", format!(r#"[{{"key":{key},"value":{value}}},{{"key":{value},"value":{key}}}]"#));
    let path = project.path("counts.json").display().to_string();
    let told = test(&path).succeeds().stdout;
    assert!(told.contains(&format!("1002 made-up entries, 2 of {path}")), "{told}");

    // A value that the conversion refuses is told with its entry.
    let bytes = |len: usize| format!("[{}]", vec!["\"0x00\""; len].join(","));
    let value = format!(r#"["0xff","0xff","0xff",{}"#, &bytes(33)[1..]);
    project.write("flows.json", format!(r#"[{{"key":{},"value":{value}}}]"#, bytes(8)));
    let failed = test(&project.path("flows.json").display().to_string());
    let told = format!("{}{}", failed.stdout, failed.told());
    assert!(!failed.is_success, "{told}");
    assert!(told.contains("the conversion says: a count that must not be, for key 0x0000000000000000"), "{told}");
    // A dump that fits nothing is no test.
    project.write("counts.json", format!(r#"[{{"key":{key},"value":{key}}},{{"key":{key},"value":["0x00"]}}]"#));
    let failed = test(&path);
    let told = format!("{}{}", failed.stdout, failed.told());
    assert!(!failed.is_success && told.contains("no conversion by hand takes keys of 4"), "{told}");
}

fn a_missing_conversion_is_one_error(project: &Project) {
    let library = project.read("src/lib.rs");
    let (start, end) = (library.find("impl Migrate<").expect("one"), library.rfind("impl Migrate<").expect("another"));
    project.write("src/lib.rs", format!("{}{}", &library[..start], &library[end..]));
    let failed = project.build().fails("::Value` become `u64` by hand, and nothing says how");
    assert!(failed.told().contains("needs `impl maplock::Migrate<v"), "{}", failed.told());
    project.write("src/lib.rs", library);
    project.build().succeeds_silently();
}

/// The types of today and before need no crate.
fn without_maplock_there_are_the_types_alone(project: &Project) {
    project.replace("build.rs", ".runtime(true)", "");
    project.replace("Cargo.toml", "maplock = ", "# maplock = ");
    let names: Vec<_> = project
        .read("src/lib.rs")
        .lines()
        .filter_map(|line| line.split("previous::").nth(1)?.split("::").next().map(str::to_owned))
        .collect();
    let uses: String = names.iter().map(|name| format!("size_of::<maps::previous::{name}::Value>() + ")).collect();
    project.write(
        "src/lib.rs",
        format!(
            "//! Types.\n#![no_std]\n#![forbid(unsafe_code)]\nmod maps {{\n    \
             include!(concat!(env!(\"OUT_DIR\"), \"/flowtop.rs\"));\n}}\n\n/// Their sizes.\n\
             pub const SIZES: usize = {uses}size_of::<maps::FlowStats>();\n"
        ),
    );
    project.write("src/main.rs", "fn main() {\n    println!(\"{}\", flowtop::SIZES);\n}\n");
    project.build().succeeds_silently();
}

/// True where a program can be run with a bpffs of its own.
fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    let can = command.args(["--mount", "mount", "-t", "bpf", "bpf", "/mnt"]).output();
    let can = can.is_ok_and(|output| output.status.success());
    if !can {
        skip("root, to mount a bpffs");
    }
    can
}

fn entries_are_there(project: &Project) {
    // The mount goes with the program.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t bpf bpf \"$0\" && exec \"$1\" \"$0/flowtop\""]);
    command.arg(project.path("src")).arg(target_dir().join("debug/flowtop"));
    let printed = String::from_utf8(run(&mut command).stdout).expect("text");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "FlowKey { addr: 1, port: 2, protocol: 6 }");
    assert!(lines[1].starts_with("FlowStats { packets: 3, verdict: Verdict(1), peer: Peer(["), "{printed}");
    assert!(
        lines[1].ends_with("window: FlowStatsWindow { start: 0, end: 0 }, is_v6: 0, first: 0, last: 5 }"),
        "{printed}"
    );
    assert!(lines[2].contains("is not what this release was built with: key-type-changed: "), "{printed}");
}

#[test]
fn what_the_page_on_handles_shows_compiles() {
    if clang().is_none() {
        return;
    }
    let page = fs::read_to_string(root().join("docs/handles.md")).expect("the page");
    let (_, rest) = page.split_once("```rs\n").expect("a block that the page alone can't compile");
    let (block, rest) = rest.split_once("```").expect("it ends");
    assert!(!rest.contains("```rs"), "one block");
    let project = Project::kept("page");
    let repository = root().display().to_string();
    project.write("Cargo.toml", MANIFEST.replace("ROOT", &repository).replace("flowtop", "page"));
    project.write("build.rs", BUILD_SCRIPT.replace("ROOT", &repository));
    project.copy("codegen/tests/daemon/flow.h", "bpf/flow.h").copy("codegen/tests/daemon/flow.bpf.c", "bpf/flow.bpf.c");
    let used = "/// All of it.\npub fn all(staged: &maplock::Staged, file: &std::fs::File) {\n    let results = (block(\"/\".as_ref()), one_of_them(file), fill(staged), take_over(maplock::Policies::default()));\n    drop(results);\n}\n";
    project.write("src/lib.rs", format!("//! The page.\n#![deny(warnings)]\n{block}\n{used}"));
    project.build().succeeds();
}

const OWN_TYPES: &str = r#"//! A library with types of its own.
#![forbid(unsafe_code)]
maplock::include_maps!("flowtop");

/// As in C.
#[derive(Clone, Copy, maplock::zerocopy::FromBytes, maplock::zerocopy::IntoBytes, maplock::zerocopy::Immutable)]
#[zerocopy(crate = "maplock::zerocopy")]
#[repr(C)]
pub struct MyKey {
    pub addr: u32,
    pub port: u16,
    pub protocol: u8,
    pub rest: u8,
}

impl maplock::MapKey for MyKey {}
impl maplock::MapValue for MyKey {}

/// It is the type of the handle.
pub fn insert(maps: &flowtop::Maps, key: MyKey, stats: flowtop::FlowStats) -> Result<(), maplock::handles::MapError> {
    maps.flows().insert(key, stats)
}
"#;

#[test]
fn a_type_of_the_users_own_takes_the_place_of_a_generated_one_once_it_is_the_same() {
    if clang().is_none() {
        return;
    }
    let project = Project::kept("own_types");
    let repository = root().display().to_string();
    project.write("Cargo.toml", MANIFEST.replace("ROOT", &repository).replace("flowtop", "own_types"));
    let own = ".runtime(true)\n        .extern_type(\"struct flow_key\", \"crate::MyKey\")";
    project.write("build.rs", BUILD_SCRIPT.replace("ROOT", &repository).replace(".runtime(true)", own));
    project.copy("codegen/tests/daemon/flow.h", "bpf/flow.h").copy("codegen/tests/daemon/flow.bpf.c", "bpf/flow.bpf.c");
    project.write("src/lib.rs", OWN_TYPES);
    let build = project.build().succeeds();
    let module = build.generated("flowtop.rs");
    assert!(module.contains("pub type Key = crate::MyKey;") && !module.contains("struct FlowKey"), "{module}");

    for (from, to) in [
        ("pub port: u16,\n    pub protocol: u8,", "pub protocol: u8,\n    pub unused: u8,\n    pub port: u16,"),
        ("pub protocol: u8,\n    pub rest: u8,", "pub protocol: u16,"),
        ("pub rest: u8,", "pub rest: u8,\n    pub more: u32,"),
    ] {
        project.write("src/lib.rs", OWN_TYPES.replace(from, to));
        let failed = project.build();
        assert!(!failed.is_success, "{to}");
        assert!(failed.told().contains("assertion failed"), "{}", failed.told());
    }
    project.write("src/lib.rs", OWN_TYPES);
    let misspelt = ", \"crate::MyKey\").extern_type(\"struct flow_kex\", \"crate::MyKey\")";
    project.replace("build.rs", ", \"crate::MyKey\")", misspelt);
    project.build().warns("no pinned map has a `struct flow_kex`, for which build.rs has an `extern_type`");
}
