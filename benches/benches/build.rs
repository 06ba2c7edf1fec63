//! What maplock costs a build: nothing when nothing changed, and little when everything is new.
//!
//! Measured is CPU time, user and system, of Cargo and all that it starts (`getrusage(RUSAGE_CHILDREN)`), on throw-away
//! packages in a temporary folder. The first run needs the network, or all crates in Cargo's cache.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use maplock_bench::compare::{in_units, median};
use maplock_tests::toolchain::root;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::Value;

/// Builds of the same package when nothing changed, and runs of its build script.
const REPEATS: usize = 31;

/// Cold builds of each contestant.
const COLD_RUNS: usize = 3;

/// What build scripts of eBPF and of generated code commonly depend on. The first is ours.
const CONTESTANTS: [(&str, &str); 3] =
    [("maplock-codegen", ""), ("prost-build", "=0.14.4"), ("libbpf-cargo", "=0.27.2")];

/// A build script that does nothing, and says so to Cargo.
const IDLE: &str = "fn main() {\n    println!(\"cargo::rerun-if-changed=build.rs\");\n}\n";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let others: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if !maplock_bench::is_measuring() || !(others.is_empty() || others.iter().any(|name| "build".contains(&**name))) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    nothing_changed(folder.path())?;
    cold(folder.path())
}

/// A package in a folder and workspace of its own, with a target folder inside.
struct Package {
    folder: PathBuf,
}

impl Package {
    fn new(parent: &Path, name: &str, dependency: &str, files: &[(&str, &str)]) -> Result<Self> {
        let folder = parent.join(name);
        fs::create_dir_all(folder.join("src"))?;
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [build-dependencies]\n{dependency}\n"
        );
        fs::write(folder.join("Cargo.toml"), manifest)?;
        for (path, text) in files {
            fs::write(folder.join(path), text)?;
        }
        Ok(Self { folder })
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.args(args).current_dir(&self.folder).env("CARGO_TARGET_DIR", self.folder.join("target"));
        command.env("CARGO_INCREMENTAL", "0").env("CARGO_TERM_COLOR", "never");
        for name in ["CI", "MAPLOCK_GATE", "MAPLOCK_LOCKED", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(name);
        }
        command
    }

    fn build(&self) -> Command {
        self.cargo(&["build", "--offline", "--quiet", "--jobs", "2"])
    }

    /// What Cargo says of a build, one JSON value a line.
    fn messages(&self) -> Result<Vec<Value>> {
        let output = run(&mut self.cargo(&["build", "--offline", "--message-format", "json"]))?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?)
    }
}

/// CPU time of builds in which nothing changed, and of the build script when it runs.
fn nothing_changed(parent: &Path) -> Result<()> {
    let main = "#![allow(missing_docs, dead_code)]\nmod maps {\n    include!(MAPS);\n}\n\nfn main() {}\n";
    let object = root().join("bpf/minimesh/v1/minimesh.bpf.o");
    let build_script = format!(
        "fn main() -> Result<(), maplock_codegen::BuildError> {{\n    \
         maplock_codegen::Builder::new().object(\"minimesh\", {object:?}).generate()\n}}\n"
    );
    let dependency = format!("maplock-codegen = {{ path = {:?} }}", root().join("codegen"));
    let gated = Package::new(
        parent,
        "gated",
        &dependency,
        &[
            ("build.rs", &build_script),
            ("src/main.rs", &main.replace("MAPS", "concat!(env!(\"OUT_DIR\"), \"/maps.rs\")")),
        ],
    )?;
    fs::copy(root().join("minimesh/maps.lock"), gated.folder.join("maps.lock"))?;
    fs::copy(root().join("Cargo.lock"), gated.folder.join("Cargo.lock"))?;
    run(&mut gated.cargo(&["fetch"]))?;
    run(&mut gated.build())?;
    let messages = gated.messages()?;
    let stale: Vec<_> =
        messages.iter().filter(|message| message["fresh"] == false).map(|message| &message["target"]["name"]).collect();
    assert!(stale.is_empty(), "built again, though nothing changed: {stale:?}");
    let fresh = messages.iter().filter(|message| message["fresh"] == true).count();

    // What Cargo does about the dependencies, whatever the script that has them.
    let idle = Package::new(parent, "idle", &dependency, &[("build.rs", IDLE), ("src/main.rs", "fn main() {}\n")])?;
    fs::copy(root().join("Cargo.lock"), idle.folder.join("Cargo.lock"))?;
    run(&mut idle.build())?;

    let script = BuildScript::find(&gated, &messages)?;
    let plain = Package::new(parent, "plain", "", &[("src/main.rs", &main.replace("MAPS", "\"maps.rs\""))])?;
    fs::copy(script.out_dir.join("maps.rs"), plain.folder.join("src/maps.rs"))?;
    run(&mut plain.build())?;

    let mut rounds = Vec::with_capacity(REPEATS);
    for round in 0..REPEATS {
        let mut builds = [0.0; 3];
        for turn in 0..builds.len() {
            let at = (round + turn) % builds.len();
            builds[at] = cpu_of(&mut [&gated, &idle, &plain][at].build())?;
        }
        let [with, idle, without] = builds;
        rounds.push([with, without, with - without, with - idle, cpu_of(&mut script.command(&gated))?]);
    }
    println!("\n{fresh} artifacts of the package with the gate are fresh in a second build; none is built again\n");
    println!("| nothing changed | CPU time (median of {REPEATS}) | goal |\n|---|---:|---|");
    let names = [
        "`cargo build` with the gate",
        "the same package without build.rs",
        "difference",
        "difference to a build.rs that does nothing, with the same dependencies",
        "one run of build.rs, when something changed",
    ];
    for (at, name) in names.into_iter().enumerate() {
        let time = median(rounds.iter().map(|round| round[at]));
        let goal = match at {
            0 | 1 => "",
            _ if time < 10e-3 => "under 10 ms: met",
            _ => "under 10 ms: **missed**",
        };
        println!("| {name} | {} | {goal} |", in_units(time));
    }
    println!();
    Ok(())
}

/// A package's compiled build script.
struct BuildScript {
    program: PathBuf,
    out_dir: PathBuf,
}

impl BuildScript {
    fn find(package: &Package, messages: &[Value]) -> Result<Self> {
        let of_package = |message: &&Value| message["package_id"].as_str().is_some_and(|id| id.contains("/gated#"));
        let path = |value: &Value| value.as_str().map(PathBuf::from).ok_or("Cargo named no path");
        let mut script = Self { program: PathBuf::new(), out_dir: package.folder.clone() };
        for message in messages.iter().filter(of_package) {
            if message["reason"] == "build-script-executed" {
                script.out_dir = path(&message["out_dir"])?;
            } else if message["target"]["kind"][0] == "custom-build" {
                script.program = path(&message["filenames"][0])?;
            }
        }
        Ok(script)
    }

    /// Runs it as Cargo would.
    fn command(&self, package: &Package) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&package.folder).env_clear();
        command.env("CARGO_MANIFEST_DIR", &package.folder).env("OUT_DIR", &self.out_dir);
        command
    }
}

/// CPU time of builds from nothing.
fn cold(parent: &Path) -> Result<()> {
    let mut packages = Vec::with_capacity(CONTESTANTS.len());
    for (name, version) in CONTESTANTS {
        let dependency = match version {
            "" => format!("{name} = {{ path = {:?} }}", root().join("codegen")),
            version => format!("{name} = \"{version}\""),
        };
        let files = [("build.rs", "fn main() {}\n"), ("src/lib.rs", "\n")];
        let package = Package::new(parent, &format!("cold-{name}"), &dependency, &files)?;
        if version.is_empty() {
            fs::copy(root().join("Cargo.lock"), package.folder.join("Cargo.lock"))?;
        }
        run(&mut package.cargo(&["fetch"]))?;
        packages.push((name, package));
    }
    let mut rounds = Vec::with_capacity(COLD_RUNS);
    for round in 0..COLD_RUNS {
        let mut each = vec![0.0; packages.len()];
        for turn in 0..packages.len() {
            let at = (round + turn) % packages.len();
            let target = packages[at].1.folder.join("target");
            if target.exists() {
                fs::remove_dir_all(&target)?;
            }
            each[at] = cpu_of(&mut packages[at].1.build())?;
            println!("cold build of {}: {}", packages[at].0, in_units(each[at]));
        }
        rounds.push(each);
    }
    println!(
        "\n| cold build | crates | CPU time (median of {COLD_RUNS}) | times the first | goal |\n|---|---:|---:|---:|---|"
    );
    for (at, (name, package)) in packages.iter().enumerate() {
        let crates = crates(package, name)?;
        let ratio = median(rounds.iter().map(|each| each[at] / each[0]));
        let (goal, is_met) = match at {
            0 => ("at most 30 crates", crates <= 30),
            1 => ("more than maplock-codegen", ratio > 1.0),
            _ => ("over twice maplock-codegen", ratio > 2.0),
        };
        let verdict = if is_met { "met" } else { "**missed**" };
        let time = in_units(median(rounds.iter().map(|each| each[at])));
        println!("| {name} | {crates} | {time} | {ratio:.2} | {goal}: {verdict} |");
    }
    println!();
    Ok(())
}

/// How many crates are built for a dependency, itself included.
fn crates(package: &Package, name: &str) -> Result<usize> {
    let args = ["tree", "--offline", "--prefix", "none", "--no-dedupe", "--edges", "normal,build", "--package", name];
    let text = String::from_utf8(run(&mut package.cargo(&args))?.stdout)?;
    let lines = text.lines().map(|line| line.trim_end_matches(" (proc-macro)")).filter(|line| !line.is_empty());
    Ok(lines.collect::<BTreeSet<_>>().len())
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<Output> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// Seconds of CPU that a command and all that it waited for took.
fn cpu_of(command: &mut Command) -> Result<f64> {
    let before = cpu_of_children()?;
    run(command)?;
    Ok((cpu_of_children()? - before).as_secs_f64())
}

fn cpu_of_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |of: TimeVal| Duration::new(of.tv_sec().cast_unsigned(), of.tv_usec() as u32 * 1000);
    Ok(time(usage.user_time()) + time(usage.system_time()))
}
