//! A throw-away Cargo package whose binaries are each checked on their own, against a lock made of C.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_codegen::Inputs;
use serde_json::Value;

/// The text of the lock for a C source.
pub(crate) fn lock_of(source: &Path, folder: &Path) -> String {
    let object = folder.join("maps.bpf.o");
    let mut clang = Command::new("clang-16");
    clang.args(["-target", "bpfel", "-O2", "-g", "-c", "-o"]).arg(&object).arg(source);
    let output = clang.output().expect("clang-16 (apt-get install clang-16)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let inputs = Inputs::read(&[("maps".to_owned(), object)], &maplock_layout::Config::default()).expect("an object");
    inputs.observation.lock.to_string()
}

/// An error of the compiler.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) line: u64,
    pub(crate) column: u64,
    pub(crate) text: String,
}

/// A package that depends on this repository's `maplock`.
pub(crate) struct Project {
    pub(crate) folder: PathBuf,
}

impl Project {
    /// An empty one, in a folder that is kept from run to run.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("a folder of the tests alone");
        }
        fs::create_dir_all(folder.join("src/bin")).expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder of the repository");
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[features]\n\
             aya = [\"maplock/aya\"]\n\n[dependencies]\nmaplock = {{ path = {:?} }}\nzerocopy = {{ version = \"0.8\", \
             features = [\"derive\"] }}\n",
            root.join("runtime")
        );
        fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
        // The versions of the dependencies that are at hand without a network.
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).expect("the workspace's lock");
        Self { folder }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.join(path), text).expect("a file of the project");
    }

    /// `cargo check` of all binaries: the errors of each, in order. The binaries without any are in it too.
    pub(crate) fn check(&self, args: &[&str]) -> BTreeMap<String, Vec<Problem>> {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects-target");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["check", "--offline", "--bins", "--keep-going", "--quiet", "--message-format", "json"]).args(args);
        cargo.current_dir(&self.folder).env("CARGO_TARGET_DIR", target).env_remove("RUSTFLAGS");
        let output = cargo.output().expect("cargo");
        let mut all = BTreeMap::<String, Vec<Problem>>::new();
        let text = String::from_utf8(output.stdout).expect("JSON");
        for message in text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
            let Some(name) = message["target"]["name"].as_str() else { continue };
            if message["target"]["kind"][0] != "bin" {
                continue;
            }
            let problems = all.entry(name.to_owned()).or_default();
            let said = &message["message"];
            let Some(text) = said["message"].as_str().filter(|_| said["level"] == "error") else { continue };
            let spans = said["spans"].as_array().into_iter().flatten();
            let Some(span) = spans.into_iter().find(|span| span["is_primary"] == true) else { continue };
            let number = |name: &str| span[name].as_u64().unwrap_or_default();
            // Which words the compiler puts in front is its own affair.
            let text = text.trim_start_matches("evaluation panicked: ").to_owned();
            problems.push(Problem { line: number("line_start"), column: number("column_start"), text });
        }
        assert!(!all.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        for problems in all.values_mut() {
            problems.sort_by_key(|problem| (problem.line, problem.column));
        }
        all
    }
}
