//! One file per problem in `ui/fail`, whose errors are those in the `.stderr` beside it; every supported shape in `ui/pass`.
//!
//! Errors are held as `LINE:COLUMN: TEXT`, the compiler's own drawing left out. `MAPLOCK_BLESS=1` writes them; read them then.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use support::{Project, lock_of};

const HEADER: &str = "#![allow(dead_code, unused_imports)] use maplock::{MapKey, MapValue}; \
                      use zerocopy::{FromBytes, IntoBytes, Immutable}; fn main() {}";

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|of| of == "rs"));
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn project(name: &str, files: &[PathBuf]) -> Project {
    let project = Project::new(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/flow.bpf.c");
    project.write("maps.lock", &lock_of(&source, &project.folder));
    // What the build script of `maplock-codegen` leaves: the lines of the C source.
    project.write(
        "maplock.lines",
        "member\tstruct flow_stats\tbytes\tbpf/flow.h:12\nmap\tflows\tflowtop\tbpf/flow.bpf.c:30\n",
    );
    project.write(
        "build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-changed=maplock.lines\");\n    \
         std::fs::copy(\"maplock.lines\", std::path::Path::new(&std::env::var_os(\"OUT_DIR\").unwrap()).join(\"maplock.lines\")).unwrap();\n}\n",
    );
    for file in files {
        // On the first line, so that line numbers are those of the file.
        let text = fs::read_to_string(file).unwrap();
        project.write(&format!("src/bin/{}.rs", stem(file)), &format!("{HEADER} {text}"));
    }
    project
}

#[test]
fn each_problem_is_told_at_its_field_with_both_sides() {
    let files = files("fail");
    let found = project("ui-fail", &files).check(&[]);
    let mut wrong = String::new();
    for file in &files {
        let mut said = String::new();
        for problem in found.get(&stem(file)).into_iter().flatten() {
            writeln!(said, "{}:{}: {}", problem.line, problem.column, problem.text).unwrap();
        }
        let expected = file.with_extension("stderr");
        if std::env::var_os("MAPLOCK_BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        assert!(!said.is_empty(), "{} compiles", file.display());
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            writeln!(wrong, "{}:\n{said}", file.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_supported_shape_compiles_with_and_without_aya() {
    let files = files("pass");
    let project = project("ui-pass", &files);
    for args in [&[][..], &["--features", "aya"]] {
        let found = project.check(args);
        assert_eq!(found.len(), files.len(), "each was checked: {found:?}");
        assert!(found.values().all(Vec::is_empty), "{args:?}: {found:#?}");
    }
}

#[test]
fn a_package_without_a_lock_is_told_so_once() {
    let project = Project::new("ui-no-lock");
    let one = |name: &str| {
        format!("#[repr(C)] #[derive(MapValue, FromBytes, IntoBytes, Immutable)] struct {name} {{ a: u32 }}\n")
    };
    project.write("src/bin/many.rs", &format!("{HEADER}\n{}{}{}", one("A"), one("B"), one("C")));
    let found = project.check(&[]);
    let [problem] = &found["many"][..] else { panic!("{found:#?}") };
    assert_eq!(problem.line, 2);
    assert!(
        problem.text.contains("maps.lock is not there") && problem.text.contains("cargo maplock init"),
        "{problem:?}"
    );
}
