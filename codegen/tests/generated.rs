//! The generated Rust, for every object at hand: it compiles in the strictest of crates, says the same whether it comes from
//! the object or from the lock, and reads and writes the bytes that C reads and writes.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use maplock_codegen::Inputs;
use maplock_layout::{Config, Lock, epochs};

use support::{Build, Project, clang, compile_for_bpf, root, run};

const MANIFEST: &str = r#"[package]
name = "generated"
version = "0.1.0"
edition = "2021" # in which a program may still change its environment

[build-dependencies]
maplock-codegen = { path = "CODEGEN" }

[dev-dependencies]
maplock = { path = "RUNTIME" }

[workspace]
"#;

/// The object whose module is in a program of its own, so that it can't be in the way of the others.
const NAMES: &str = "names";

/// Generates three modules for each object, as the build script of a package of its own would: from the object, from the lock alone,
/// and from the object with what needs `maplock`.
const BUILD_SCRIPT: &str = r#"use std::{env, fs, path::PathBuf};

fn main() {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    for name in include_str!("objects.txt").lines() {
        env::set_var("CARGO_MANIFEST_DIR", folder.join("packages").join(name));
        for source in ["object", "lock", "runtime"] {
            let out_dir = out_dir.join(source).join(name);
            fs::create_dir_all(&out_dir).unwrap();
            env::set_var("OUT_DIR", &out_dir);
            env::remove_var("DOCS_RS");
            if source == "lock" {
                env::set_var("DOCS_RS", "1");
            }
            let builder = maplock_codegen::Builder::new().object(name, "object.o").module("spec");
            builder.runtime(source == "runtime").generate().unwrap();
        }
    }
}
"#;

/// Lints that a careful project denies for its own code, and that generated code must not trip.
const LINTS: &[&str] = &[
    "warnings",
    "missing_docs",
    "missing_debug_implementations",
    "unreachable_pub",
    "unused",
    "nonstandard_style",
    "future_incompatible",
    "rust_2018_idioms",
    "unsafe_code",
    "trivial_numeric_casts",
    "unused_qualifications",
    "clippy::all",
    "clippy::pedantic",
    "clippy::nursery",
    "clippy::cast_possible_truncation",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
    "clippy::as_conversions",
];

/// An object, and the name of the module that is generated for it.
struct Object {
    name: String,
    path: PathBuf,
}

/// The objects that are committed, and the fixtures as clang compiles them.
fn objects(clang: &str) -> Vec<Object> {
    let mut objects: Vec<_> = ["v1", "v2", "v3", "v4"]
        .map(|release| root().join(format!("bpf/minimesh/{release}/minimesh.bpf.o")))
        .into_iter()
        .zip(1..)
        .map(|(path, number)| Object { name: format!("minimesh_v{number}"), path })
        .collect();
    for path in files(&root().join("bpf/rust/objects"), ".o") {
        objects.push(Object { name: format!("rust_{}", stem(&path).replace('.', "_")), path });
    }
    let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated-objects");
    fs::create_dir_all(&compiled).expect("a folder of the tests alone");
    for source in files(&root().join("bpf/fixtures"), ".bpf.c") {
        let name = stem(&source).trim_end_matches(".bpf").to_owned();
        let path = compiled.join(format!("{name}.o"));
        compile_for_bpf(clang, &format!("bpf/fixtures/{name}.bpf.c"), &path);
        objects.push(Object { name, path });
    }
    assert!(objects.len() > 40, "only {} objects", objects.len());
    let path = compiled.join("names.o");
    compile_for_bpf(clang, "codegen/tests/roundtrip/names.bpf.c", &path);
    let mut object = fs::read(&path).expect("it was compiled a moment ago");
    rename(&mut object, "nameless_in_btf", "");
    rename(&mut object, "odd_one", "odd 1\u{e9}");
    rename(&mut object, "odd_two", "odd 1\u{e9}");
    fs::write(&path, object).expect("a folder of the tests alone");
    objects.push(Object { name: NAMES.to_owned(), path });
    objects
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("it was there a moment ago").path());
    let mut files: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file").to_string_lossy().into_owned()
}

/// Gives what is called `from` another name, that is no longer, wherever the object has it.
fn rename(object: &mut [u8], from: &str, to: &str) {
    let mut found = 0;
    while let Some(at) = object.windows(from.len() + 1).position(|name| name == format!("{from}\0").as_bytes()) {
        let name = &mut object[at..at + from.len()];
        name.fill(0);
        name[..to.len()].copy_from_slice(to.as_bytes());
        found += 1;
    }
    assert!(found > 0, "no `{from}` in the object");
}

/// One crate with a module for each object, and what building it did. None where there is no clang.
fn generated() -> Option<&'static (Project, Vec<Object>, Build)> {
    static PROJECT: OnceLock<(Project, Vec<Object>, Build)> = OnceLock::new();
    let clang = clang()?;
    Some(PROJECT.get_or_init(|| {
        let objects = objects(&clang);
        let project = Project::kept("generated");
        let codegen = root().join("codegen").display().to_string();
        let runtime = root().join("runtime").display().to_string();
        project.write("Cargo.toml", MANIFEST.replace("CODEGEN", &codegen).replace("RUNTIME", &runtime));
        project.write("build.rs", BUILD_SCRIPT);
        project.write("objects.txt", objects.iter().fold(String::new(), |list, object| list + &object.name + "\n"));
        let mut library = format!("//! One module for each object.\n#![no_std]\n#![deny({})]\n", LINTS.join(", "));
        let lints: Vec<_> = LINTS.iter().filter(|lint| **lint != "unsafe_code").copied().collect();
        let mut daemon = format!(
            "//! The same with handles.\n#![forbid(unsafe_code)]\n#![deny({})]\nfn main() {{}}\n",
            lints.join(", ")
        );
        for Object { name, path } in &objects {
            daemon += &format!(
                "\n/// What is generated for it.\npub mod {name} {{\n    \
                 include!(concat!(env!(\"OUT_DIR\"), \"/runtime/{name}/spec.rs\"));\n}}\n"
            );
            let package = format!("packages/{name}");
            let manifest =
                format!("[package]\nname = \"{name}\"\n\n[package.metadata.maplock]\nunmerged-counter = \"allow\"\n");
            project.write(&format!("{package}/Cargo.toml"), manifest);
            project.write(&format!("{package}/object.o"), fs::read(path).expect("it was listed a moment ago"));
            project.write(&format!("{package}/maps.lock"), lock(path).to_string());
            let module = format!(
                "\n/// What is generated for it.\npub mod {name} {{\n    \
                 include!(concat!(env!(\"OUT_DIR\"), \"/object/{name}/spec.rs\"));\n}}\n"
            );
            if name == NAMES {
                project.write("examples/names.rs", format!("{module}\nfn main() {{}}\n"));
            } else {
                library += &module;
            }
        }
        project.write("src/lib.rs", library);
        project.write("examples/daemon.rs", daemon);
        project.copy("codegen/tests/roundtrip/reader.rs", "src/main.rs");
        let build = project.build();
        (project, objects, build)
    }))
}

/// The lock of an object that nobody has released yet.
fn lock(object: &Path) -> Lock {
    let config = Config::default();
    let objects = [("object".to_owned(), object.to_owned())];
    let observation = Inputs::read(&objects, &config).unwrap_or_else(|error| panic!("{error}")).observation;
    epochs::update(&Lock::default(), &observation, &config.levels).expect("there is nothing to decide in what is new")
}

#[test]
fn the_generated_modules_compile_in_the_strictest_of_crates_without_std() {
    nothing_is_told_of("--lib");
}

#[test]
fn those_with_handles_compile_in_the_strictest_of_crates_which_forbids_unsafe_code() {
    nothing_is_told_of("--example=daemon");
}

fn nothing_is_told_of(target: &str) {
    let Some((project, ..)) = generated() else { return };
    let told = project.cargo("clippy").arg(target).run().told();
    let mut lints: BTreeMap<&str, usize> = BTreeMap::new();
    for line in told.lines().filter(|line| line.starts_with("error") || line.starts_with("warning")) {
        // What the build script says of a package without its object is meant to be said.
        if !line.starts_with("warning: generated@0.1.0: maplock: docs.rs") {
            *lints.entry(line).or_default() += 1;
        }
    }
    assert!(lints.is_empty(), "{lints:#?}");
}

#[test]
fn a_module_is_the_same_from_the_object_and_from_the_lock_alone() {
    let Some((_, objects, build)) = generated() else { return };
    for Object { name, .. } in objects {
        let [from_object, from_lock] =
            ["object", "lock"].map(|source| build.generated(&format!("{source}/{name}/spec.rs")));
        assert!(from_object == from_lock, "{name}:\n{from_object}\n==== from the lock ====\n{from_lock}");
        assert!(from_object.contains("pub const SPEC: &str"), "{name}:\n{from_object}");
        assert!(!from_object.contains("compile_error!"), "{name}:\n{from_object}");
    }
}

#[test]
fn names_that_clash_in_rust_alone_are_told_apart() {
    let Some((project, _, build)) = generated() else { return };
    let module = build.generated("object/names/spec.rs");
    let first = module.split("pub struct Bits {").nth(1).and_then(|rest| rest.split("pub ").nth(1)).unwrap_or(&module);
    let field = first.lines().next().expect("the member `__bits0`");
    assert!(field.ends_with(": u8,"), "the member `__bits0` is taken for the bytes of bit-fields: {field}");
    for own in [
        "pub struct SPEC_(pub u32);",
        "pub const unnamed: Self = Self(0);",
        "pub const odd_1_: Self = Self(1);",
        "pub const odd_1__: Self = Self(2);",
        "pub const crate_: Self = Self(4);",
    ] {
        assert!(module.contains(own), "no `{own}`:\n{module}");
    }
    project.cargo("build").arg("--example=names").run().succeeds();
}

#[test]
fn c_and_rust_read_and_write_the_same_bytes() {
    let Some((project, ..)) = generated() else { return };
    let Some(clang) = clang() else { return };
    project.build().succeeds();
    let reader = support::target_dir().join("debug/generated");
    for name in ["bitfields", "packed", "nested", "scalars"] {
        let program = project.path(name);
        let source = root().join(format!("codegen/tests/roundtrip/{name}.c"));
        let mut command = Command::new(&clang);
        command.args(["-Wno-everything", "-I"]).arg(root().join("bpf/include")).arg(source);
        run(command.arg("-o").arg(&program));
        let by_c = String::from_utf8(run(&mut Command::new(&program)).stdout).expect("text");
        let by_rust = feed(&reader, &by_c);
        assert!(by_c.lines().count() > 500, "{by_c}");
        for (number, (c, rust)) in by_c.lines().zip(by_rust.lines()).enumerate() {
            assert_eq!(rust, c, "line {} of what {name}.c prints", number + 1);
        }
        assert_eq!(by_rust.lines().count(), by_c.lines().count());
    }
}

/// What a program prints that is given `text` to read.
fn feed(program: &Path, text: &str) -> String {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut input = child.stdin.take().expect("it was asked for");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it was started");
    assert!(output.status.success(), "{} fails", program.display());
    writer.join().expect("it does not panic").expect("the program reads to the end");
    String::from_utf8(output.stdout).expect("text")
}
