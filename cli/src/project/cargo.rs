//! Packages, and the objects that their build scripts used.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use cargo_metadata::{DependencyKind, Message, MetadataCommand, PackageId, TargetKind};
use maplock_codegen::{OBJECTS_FILE, OBJECTS_VARIABLE};
use maplock_layout::lock::FILE_NAME;

use crate::args::Project;
use crate::error::Error;
use crate::progress::{self, Waiting};
use crate::terminal;

/// The crate that a build script with the gate depends on.
const CODEGEN: &str = "maplock-codegen";

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Where its `Cargo.toml` is.
    pub(crate) dir: PathBuf,
    /// The root of its workspace.
    pub(crate) workspace: PathBuf,
    id: PackageId,
    manifest: PathBuf,
    /// True if all packages of the workspace were asked for.
    pub(crate) is_one_of_all: bool,
    has_gate: bool,
    has_build_script: bool,
}

/// The packages that the arguments select: at least one.
///
/// Without a choice, that of the manifest; for a workspace's root without a package, or with `--workspace`, all members
/// that have a lock or a build script with the gate.
pub(crate) fn select(manifest: &Path, project: &Project) -> Result<Vec<Package>, Error> {
    let mut members = members(manifest)?;
    if !project.package.is_empty() {
        if let Some(unknown) = project.package.iter().find(|name| !members.iter().any(|member| member.name == **name)) {
            let known: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            return Err(Error::new(format!("no package `{unknown}` in the workspace"))
                .help(format!("it has: {}", known.join(", "))));
        }
        members.retain(|member| project.package.contains(&member.name));
        return Ok(members);
    }
    let here = super::absolute(manifest);
    if !project.workspace && members.iter().any(|member| super::absolute(&member.manifest) == here) {
        members.retain(|member| super::absolute(&member.manifest) == here);
        return Ok(members);
    }
    members.retain(|member| member.has_gate || member.dir.join(FILE_NAME).exists());
    if members.is_empty() {
        let what = format!("no package of the workspace has a {FILE_NAME} or a build script with maplock");
        return Err(Error::new(what).help("choose one with -p"));
    }
    members.iter_mut().for_each(|member| member.is_one_of_all = true);
    Ok(members)
}

fn members(manifest: &Path) -> Result<Vec<Package>, Error> {
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().map_err(|error| match error {
        cargo_metadata::Error::CargoMetadata { stderr } => {
            Error::new("cargo could not read the project").because(stderr.trim().trim_start_matches("error: "))
        }
        other => Error::new("could not run `cargo metadata`")
            .because(other)
            .help("without Cargo, name the objects and the lock: `--object FILE.. --lock FILE`"),
    })?;
    let package = |package: &cargo_metadata::Package| {
        let manifest = package.manifest_path.clone().into_std_path_buf();
        let depends = |dependency: &cargo_metadata::Dependency| {
            dependency.kind == DependencyKind::Build && dependency.name == CODEGEN
        };
        Package {
            name: package.name.to_string(),
            dir: super::parent(&manifest),
            workspace: metadata.workspace_root.clone().into_std_path_buf(),
            id: package.id.clone(),
            manifest,
            is_one_of_all: false,
            has_gate: package.dependencies.iter().any(depends),
            has_build_script: package.targets.iter().any(|target| target.kind.contains(&TargetKind::CustomBuild)),
        }
    };
    Ok(metadata.workspace_packages().into_iter().map(package).collect())
}

/// Arguments that decide what is built.
pub(crate) fn build_arguments(project: &Project) -> Vec<String> {
    let mut arguments = Vec::new();
    for features in &project.features {
        arguments.extend(["--features".to_owned(), features.clone()]);
    }
    if project.all_features {
        arguments.push("--all-features".to_owned());
    }
    if project.no_default_features {
        arguments.push("--no-default-features".to_owned());
    }
    if let Some(target) = &project.target {
        arguments.extend(["--target".to_owned(), target.clone()]);
    }
    arguments
}

/// Objects, as (name, path).
type Objects = Vec<(String, PathBuf)>;

/// The architecture that is built for, as Cargo tells build scripts (`CARGO_CFG_TARGET_ARCH`).
pub(crate) fn target_arch(project: &Project) -> Result<String, Error> {
    let Some(target) = project.target.clone().or_else(|| env::var("CARGO_BUILD_TARGET").ok()) else {
        return Ok(env::consts::ARCH.to_owned());
    };
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = command.args(["--print", "cfg", "--target", &target]).output();
    let failed = || Error::new(format!("could not tell the architecture of target `{target}`"));
    let output = output.map_err(|error| failed().because(error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let arch = said.lines().find_map(|line| line.strip_prefix("target_arch=\"")?.strip_suffix('"'));
    arch.map(str::to_owned).ok_or_else(|| failed().because(String::from_utf8_lossy(&output.stderr).trim()))
}

/// The objects that the build script of each package used.
pub(crate) fn objects(packages: &[&Package], project: &Project) -> Result<Vec<Result<Objects, Error>>, Error> {
    let with_gate = |package: &&&Package| package.has_gate && package.has_build_script;
    let gated: Vec<_> = packages.iter().filter(with_gate).copied().collect();
    let built = gated.first().map(|first| build(first, &gated, project)).transpose()?;
    let objects = packages.iter().map(|package| {
        let built = built.as_ref().filter(|_| with_gate(&package)).ok_or_else(|| without_gate(package))?;
        let out_dir = built.out_dirs.get(&package.id).ok_or_else(|| {
            Error::new(format!("the build script of `{}` did not run to its end", package.name))
                .because(built.said.as_str())
        })?;
        objects_in(package, out_dir)
    });
    Ok(objects.collect())
}

struct Built {
    out_dirs: HashMap<PackageId, PathBuf>,
    /// What cargo wrote to stderr.
    said: String,
}

/// The cargo that runs this plugin.
pub(crate) fn command() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// How cargo begins what it says while it waits for another one.
const WAITS: &str = "Blocking waiting for file lock";

/// Runs cargo and keeps what it writes; but that it waits for another cargo is told at once, for that may take minutes.
pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let said = child.stderr.take();
    thread::scope(|scope| {
        let said = scope.spawn(move || {
            let mut bytes = Vec::new();
            let Some(said) = said else { return bytes };
            for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&line);
                if text.trim_start().starts_with(WAITS) {
                    progress::aside(|| terminal::waits(&text));
                }
                bytes.extend(line);
                bytes.push(b'\n');
            }
            bytes
        });
        let mut output = child.wait_with_output()?;
        output.stderr = said.join().unwrap_or_default();
        Ok(output)
    })
}

/// Runs the build scripts. That the packages themselves may fail to compile is no matter: a gate that found a break does
/// just that.
fn build(first: &Package, packages: &[&Package], project: &Project) -> Result<Built, Error> {
    let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
    let _waiting = Waiting::at(format!("Building {} for the objects (cargo check)", names.join(", ")));
    let mut command = command();
    command.env(OBJECTS_VARIABLE, "1");
    command.args(["check", "--message-format=json-render-diagnostics", "--keep-going", "--manifest-path"]);
    // That of a workspace's root knows all members.
    let root = first.workspace.join("Cargo.toml");
    command.arg(if root.is_file() { &root } else { &first.manifest });
    for package in packages {
        command.arg("-p").arg(&package.id.repr);
    }
    command.args(build_arguments(project));
    let output = output(&mut command).map_err(|error| Error::new("could not run `cargo check`").because(error))?;
    let mut out_dirs = HashMap::new();
    for message in Message::parse_stream(BufReader::new(output.stdout.as_slice())) {
        if let Ok(Message::BuildScriptExecuted(script)) = message {
            out_dirs.insert(script.package_id, script.out_dir.into_std_path_buf());
        }
    }
    Ok(Built { out_dirs, said: String::from_utf8_lossy(&output.stderr).into_owned() })
}

/// Reads the list that `maplock_codegen::Builder` leaves.
fn objects_in(package: &Package, out_dir: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let path = out_dir.join(OBJECTS_FILE);
    let list = fs::read_to_string(&path).map_err(|error| {
        let problem = if error.kind() == std::io::ErrorKind::NotFound {
            Error::new(format!("the build script of `{}` named no objects to maplock", package.name))
        } else {
            Error::new(format!("could not read {}", path.display())).because(error)
        };
        problem.help(format!("{} must call:\n\n{BUILD_RS}", super::shown(&package.dir.join("build.rs"))))
    })?;
    let line = |line: &str| line.split_once('\t').map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
    list.lines().map(line).collect::<Option<_>>().ok_or_else(|| {
        Error::new(format!("could not understand {}", path.display()))
            .help("`maplock-codegen` in Cargo.toml and this cargo-maplock are of different versions")
    })
}

const BUILD_RS: &str = "\
fn main() -> Result<(), maplock_codegen::BuildError> {
    maplock_codegen::Builder::new().object(\"NAME\", \"path/to/NAME.bpf.o\").generate()
}
";

fn without_gate(package: &Package) -> Error {
    let version = env!("CARGO_PKG_VERSION");
    let manifest = super::shown(&package.manifest);
    let script = super::shown(&package.dir.join("build.rs"));
    let mut help = String::new();
    if !package.has_gate {
        help.push_str(&format!("add to {manifest}:\n\n[build-dependencies]\n{CODEGEN} = \"{version}\"\n\n"));
    }
    help.push_str(&format!(
        "{} {script}, with the paths of the objects or `.compile(\"NAME.bpf.c\")`:\n\n{BUILD_RS}\n\
         or name the objects, without a build: `--object FILE..`",
        if package.has_build_script { "call in" } else { "write" }
    ));
    Error::new(format!("package `{}` has no build script with maplock", package.name)).help(help)
}
