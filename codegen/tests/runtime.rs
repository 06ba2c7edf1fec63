//! A daemon that depends on `maplock` gets the functions with which it starts an upgrade.

mod support;

use std::fs;
use std::process::Command;

use maplock_codegen::Inputs;
use maplock_layout::conversion::Answers;
use maplock_layout::lock::OnUpgrade;
use maplock_layout::{Config, Lock, epochs};
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

const BY_HAND: &str = r#"//! A daemon that converts by hand.
#![forbid(unsafe_code)]
maplock::include_maps!("minimesh");

use minimesh::previous::vPREVIOUS;
use minimesh::stats;

IMPLEMENTATION

fn main() {
    println!("{:?}", minimesh::upgrade("/sys/fs/bpf/minimesh"));
    let opened = minimesh::Maps::open("/nowhere/at/all").map(|maps| maps.stats().get(&stats::Key::default()).is_ok());
    println!("{}", opened.expect_err("there is none"));
}
"#;

const IMPLEMENTATION: &str = "impl maplock::Migrate<vPREVIOUS::Value> for stats::Value {
    type OldKey = vPREVIOUS::Key;
    type Key = stats::Key;

    fn migrate(
        key: &vPREVIOUS::Key,
        old: &vPREVIOUS::Value,
        new: &mut maplock::Entries<'_, stats::Key, Self>,
    ) -> Result<(), maplock::MigrateError> {
        if old.connections == u32::MAX {
            return Err(\"a counter that wraps\".into());
        }
        let key = stats::Key { service: key.service, index: key.index };
        let (passed_over, connections) = (old.passed_over.into(), old.connections.into());
        new.insert(key, stats::Value { passed_over, connections, last_seen: old.last_seen });
        Ok(())
    }
}";

/// The lock of v3, whose counters are converted from those of v1 by hand; and the digits of the older one's module.
fn converted_by_hand() -> (String, String) {
    let inputs = |release: &str| {
        let object = root().join(format!("bpf/minimesh/{release}/minimesh.bpf.o"));
        Inputs::read(&[("minimesh".to_owned(), object)], &Config::default()).expect("an object").observation
    };
    let levels = Config::default().levels;
    let first = epochs::update(&Lock::default(), &inputs("v1"), &levels).expect("the first lock");
    let new = inputs("v3");
    let accepted = epochs::accept(&first, &new, "stats", OnUpgrade::Migrate, "wider", &levels).expect("a break");
    let answers = Answers { by_hand: true, ..Answers::default() };
    let accepted = epochs::convert(&accepted, "stats", Some(&answers)).expect("nothing is asked");
    let lock = epochs::update(&accepted, &new, &levels).expect("nothing else is open");
    let digits = lock.maps["stats"].epochs[0].from.to_string()[..4].to_owned();
    (lock.to_string(), digits)
}

#[test]
fn a_conversion_by_hand_is_required_by_the_compiler_and_tried_by_a_test() {
    let (lock, digits) = converted_by_hand();
    let project = Project::kept("by-hand");
    project.write("Cargo.toml", MANIFEST.replace("ROOT", &root().display().to_string()).replace("daemon", "by-hand"));
    project.write("build.rs", BUILD_SCRIPT);
    project.copy("bpf/minimesh/v3/minimesh.bpf.o", "minimesh.bpf.o");
    project.write("maps.lock", &lock);
    let program = |implementation: &str| {
        BY_HAND.replace("IMPLEMENTATION", implementation).replace("vPREVIOUS", &format!("v{digits}"))
    };
    project.write("src/main.rs", program(""));
    let wanted = "says that entries of `vPREVIOUS::Stats` become `minimesh::Stats` by hand, and nothing says how";
    let error = project.build().fails(&wanted.replace("PREVIOUS", &digits)).told();
    assert!(error.contains("::Stats> for minimesh::Stats`"), "{error}");

    project.write("src/main.rs", program(IMPLEMENTATION));
    project.build().succeeds();
    let output = run(&mut Command::new(target_dir().join("debug/by-hand")));
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(printed.contains("can't open directory `/nowhere/at/all`"), "{printed}");

    let entry = |connections: &str| {
        format!(
            r#"[{{"key":["0x01","0x00","0x00","0x00","0x00","0x00","0x00","0x00"],"value":["0x01","0x00","0x00","0x00",{connections},"0x00","0x00","0x00","0x00","0x00","0x00","0x00","0x00"]}}]"#
        )
    };
    project.write("stats.json", entry(r#""0x05","0x00","0x00","0x00""#));
    let dump = project.path("stats.json");
    let test = || {
        project
            .cargo("test")
            .arg("maplock_migrations")
            .arg("--")
            .arg("--nocapture")
            .env("MAPLOCK_DUMPS", &dump)
            .run_as_it_is()
    };
    let tried = test().succeeds().stdout;
    assert!(tried.contains("1002 generated entries tried, 1 refused by the code; 1 of dumps converted"), "{tried}");
    project.write("stats.json", entry(r#""0xff","0xff","0xff","0xff""#));
    let refused = test().told();
    assert!(refused.contains("a counter that wraps"), "{refused}");
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
