//! A daemon that depends on `maplock` gets the functions with which it starts an upgrade.

mod support;

use std::fs;
use std::process::Command;

use support::{Project, root, run, target_dir};

const MANIFEST: &str = r#"[package]
name = "daemon"
version = "0.1.0"
edition = "2024"

[dependencies]
maplock = { path = "ROOT/runtime" }

[build-dependencies]
maplock-codegen = { path = "ROOT/codegen" }

[workspace]
"#;

const BUILD_SCRIPT: &str = r#"fn main() -> Result<(), maplock_codegen::BuildError> {
    maplock_codegen::Builder::new().object("minimesh", "minimesh.bpf.o").module("minimesh").runtime(true).generate()
}
"#;

const PROGRAM: &str = r#"//! A daemon.
#![deny(warnings, missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::panic, clippy::unwrap_used)]

maplock::include_maps!("minimesh");

fn main() {
    let options: maplock::Options = minimesh::upgrade("/sys/fs/bpf/minimesh");
    println!("{options:?}");
    for map in minimesh::spec().maps() {
        println!("{} {}", map.def.name, map.def.digest());
    }
    assert_eq!(size_of::<minimesh::stats::Value>(), 16);
}
"#;

#[test]
fn a_daemon_starts_an_upgrade_from_what_was_generated() {
    let project = Project::kept("daemon");
    project.write("Cargo.toml", MANIFEST.replace("ROOT", &root().display().to_string()));
    project.write("build.rs", BUILD_SCRIPT);
    project.write("src/main.rs", PROGRAM);
    project.copy("bpf/minimesh/v1/minimesh.bpf.o", "minimesh.bpf.o");
    let committed = fs::read_to_string(root().join("minimesh/maps.lock")).expect("the lock of v1");
    project.write("maps.lock", &committed);
    project.build().succeeds();
    project.cargo("clippy").run().succeeds();

    let output = run(&mut Command::new(target_dir().join("debug/daemon")));
    let printed = String::from_utf8(output.stdout).expect("text");
    let (options, maps) = printed.split_once('\n').expect("lines");
    assert!(options.contains("/sys/fs/bpf/minimesh"), "{options}");
    let digests = committed.lines().filter_map(|line| line.strip_prefix("digest = \"")?.strip_suffix('"'));
    let names = ["backends", "frontends", "services", "stats"];
    let expected: Vec<_> = names.iter().zip(digests).map(|(name, digest)| format!("{name} {digest}")).collect();
    assert_eq!(maps.lines().collect::<Vec<_>>(), expected);

    // Without being asked for, nothing needs the crate.
    project.replace("build.rs", ".runtime(true)", "");
    project.replace("Cargo.toml", "maplock = ", "# maplock = ");
    project.write("src/main.rs", "mod maps {\n    include!(concat!(env!(\"OUT_DIR\"), \"/minimesh.rs\"));\n}\nfn main() { println!(\"{}\", maps::SPEC); }\n");
    project.build().succeeds();
}

#[test]
fn without_a_name_the_module_is_maps() {
    let project = Project::kept("unnamed");
    project.write("Cargo.toml", MANIFEST.replace("ROOT", &root().display().to_string()).replace("daemon", "unnamed"));
    project.write("build.rs", BUILD_SCRIPT.replace(".module(\"minimesh\")", ""));
    project.write(
        "src/lib.rs",
        "//! A library.\n#![no_implicit_prelude]\n::maplock::include_maps!();\n/// Its spec.\n#[must_use]\npub fn spec() -> ::maplock::Spec {\n    maps::spec()\n}\n",
    );
    project.copy("bpf/minimesh/v1/minimesh.bpf.o", "minimesh.bpf.o");
    project.copy("minimesh/maps.lock", "maps.lock");
    project.build().succeeds();
}

/// A daemon with a handle, a generated type, and one of its own.
const USER: &str = r#"//! A daemon.
use maplock::MapValue;
use maplock::zerocopy::{FromBytes, Immutable, IntoBytes};

maplock::include_maps!("minimesh");

#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)]
#[zerocopy(crate = "maplock::zerocopy")]
#[repr(C)]
#[maplock(map = "stats")]
struct Stats {
MEMBERS
}

fn main() {
    let maps = minimesh::Maps::open("/sys/fs/bpf/minimesh").unwrap();
    for entry in maps.stats().iter() {
        let (_, value): (minimesh::stats::Key, minimesh::stats::Value) = entry.unwrap();
        let connections: WIDTH = value.connections;
        println!("{connections} {}", size_of::<Stats>());
    }
}
"#;

const OLD_STATS: &str = "    passed_over: u32,
    connections: u32,
    last_seen: u64,";
const NEW_STATS: &str = "    passed_over: u64,
    connections: u64,
    last_seen: u64,";

#[test]
fn a_break_is_not_buried_under_errors_that_follow_from_it() {
    let project = Project::kept("broken");
    project.write("Cargo.toml", MANIFEST.replace("ROOT", &root().display().to_string()).replace("daemon", "broken"));
    project.write("build.rs", BUILD_SCRIPT);
    let old = USER.replace("MEMBERS", OLD_STATS).replace("WIDTH", "u32");
    project.write("src/main.rs", &old);
    project.copy("bpf/minimesh/v1/minimesh.bpf.o", "minimesh.bpf.o");
    project.copy("minimesh/maps.lock", "maps.lock");
    project.build().succeeds();

    // Whoever has written the daemon for the new layout is told of the break alone.
    project.copy("bpf/minimesh/v3/minimesh.bpf.o", "minimesh.bpf.o");
    project.write("src/main.rs", USER.replace("MEMBERS", NEW_STATS).replace("WIDTH", "u64"));
    project.build().fails("pinned state of map `stats` would be misread or lost");

    // Whoever has not has the break first, and then what is wrong in the daemon: nothing in what is generated.
    project.write("src/main.rs", &old);
    let build = project.build();
    let told = build.told();
    assert!(!build.is_success, "{told}");
    let errors: Vec<_> = told.lines().filter(|line| line.starts_with("error")).collect();
    assert!(errors[0].contains("pinned state of map `stats`"), "{told}");
    let places: Vec<_> = told.lines().filter(|line| line.trim_start().starts_with("--> ")).collect();
    let elsewhere = places.iter().skip_while(|place| !place.contains("minimesh.rs"));
    assert!(elsewhere.skip(1).all(|place| place.contains("src/main.rs")), "{told}");

    // What follows is judged by the lock again.
    project.copy("bpf/minimesh/v1/minimesh.bpf.o", "minimesh.bpf.o");
    project.build().succeeds();
}
