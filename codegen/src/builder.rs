//! The part that a `build.rs` sees.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use maplock_layout::Lock;
use maplock_layout::epochs::as_built;
use maplock_layout::lock::LOCK_VARIABLE;

use crate::clang;
use crate::declarations::{self, Declarations};
use crate::gate::{self, LockFile, Mode};
use crate::included::includer;
use crate::inputs::{Inputs, object_name};
use crate::manifest::Manifest;
use crate::rust_module;

/// The file in `OUT_DIR` in which the builder leaves the paths of the objects for `cargo maplock`: a line each, name and
/// absolute path with a tab in between.
pub const OBJECTS_FILE: &str = "maplock.objects";

/// The file in `OUT_DIR` in which the builder leaves for the derives where things are declared: a line each for a member, a type
/// and a map, sorted, its four columns with tabs in between. Paths are relative to the workspace, or to the package.
///
/// ```text
/// map     flows               flowtop   bpf/flow.bpf.c:30
/// member  struct flow_stats   bytes     bpf/flow.h:12
/// type    struct flow_stats             bpf/flow.h:9
/// ```
pub const LINES_FILE: &str = "maplock.lines";

/// The file in `OUT_DIR` in which the builder leaves, while a build fails, the lock as the objects would have it. The
/// derives then compare types with that lock: types that are written for the new layout are right, and the report is not
/// buried under errors that say they are not those of the release before.
pub const BUILT_FILE: &str = "maplock.built.lock";

/// Generates a Rust module for a package's pinned maps, and holds the maps against `maps.lock`.
///
/// ```no_run
/// // build.rs
/// fn main() -> Result<(), maplock_codegen::BuildError> {
///     maplock_codegen::Builder::new().compile("bpf/flowtop.bpf.c").generate()
/// }
/// ```
///
/// ```text
/// // src/main.rs
/// mod maps {
///     include!(concat!(env!("OUT_DIR"), "/maps.rs"));
/// }
/// ```
///
/// A build script has one builder: all objects of a package go into one lock.
///
/// A change that would break pinned state makes the *module* fail to compile, with the whole report, so that it reaches
/// the terminal, `--message-format=json` and an IDE alike; all else in the module is generated as ever.
#[derive(Debug, Default)]
pub struct Builder {
    inputs: Vec<Input>,
    /// The C sources of objects that something else compiles, by the object's name.
    sources: BTreeMap<String, Vec<PathBuf>>,
    clang_args: Vec<OsString>,
    module: Option<String>,
    runtime: bool,
    externs: BTreeMap<String, String>,
}

#[derive(Debug)]
enum Input {
    Object { name: String, path: PathBuf },
    Source(PathBuf),
}

/// Why a build script fails. Outside of Cargo, or if `OUT_DIR` can't be written, it can't do its work at all. What is wrong
/// with objects, sources or the lock is told by the generated module; if nothing includes the module, by this error.
pub struct BuildError(String);

/// The text as it is: `main` of a build script prints what it returns by `Debug`.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

/// A file in `OUT_DIR` that never exists: a build script that watches it runs at each build.
const NEVER: &str = "never";

/// The environment variable by which `cargo maplock`, which judges by itself, asks for the objects alone. A build script
/// that would fail the build then succeeds, and runs again at the next build.
pub const OBJECTS_VARIABLE: &str = "MAPLOCK_OBJECTS_ALONE";

/// Environment variables that change what a build does.
const VARIABLES: [&str; 5] = ["CI", "MAPLOCK_LOCKED", "MAPLOCK_GATE", "DOCS_RS", "CLANG"];

impl Builder {
    /// A builder for the package whose build script runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a compiled object, whoever made it (clang, `libbpf-cargo`, `aya-build`, bpf2go).
    ///
    /// - `name`: how reports name it.
    /// - `path`: absolute, or relative to the package.
    ///
    /// Several objects may share maps; each must then define them alike.
    #[must_use]
    pub fn object(mut self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.inputs.push(Input::Object { name: name.into(), path: path.into() });
        self
    }

    /// Names a C source of the object that was added last, relative to the package. Reports and docs show the lines of its declarations,
    /// and of headers that it includes in quotes, if the object has no DWARF: libbpf-cargo strips it. Without this, the file of the
    /// object's name is looked for in `src/bpf`, `bpf`, `src`, `ebpf` and the package itself.
    #[must_use]
    pub fn source(mut self, source: impl Into<PathBuf>) -> Self {
        if let Some(Input::Object { name, .. }) = self.inputs.last() {
            self.sources.entry(name.clone()).or_default().push(source.into());
        }
        self
    }

    /// Compiles a C source with clang (`-target bpf -O2 -g`) and adds the object, under the name of the file up to its
    /// first dot. The object is left at `OUT_DIR/NAME.bpf.o`, for the loader to embed.
    ///
    /// - `source`: relative to the package.
    #[must_use]
    pub fn compile(mut self, source: impl Into<PathBuf>) -> Self {
        self.inputs.push(Input::Source(source.into()));
        self
    }

    /// Adds an argument for clang, such as `-Ibpf/include`, for every source. Paths are relative to the package.
    #[must_use]
    pub fn clang_arg(mut self, arg: impl Into<OsString>) -> Self {
        self.clang_args.push(arg.into());
        self
    }

    /// Names the generated file: `OUT_DIR/NAME.rs`. Without it, `maps.rs`.
    #[must_use]
    pub fn module(mut self, name: impl Into<String>) -> Self {
        self.module = Some(name.into());
        self
    }

    /// Whether the module gets what a daemon that depends on `maplock` uses. These are `spec` and `upgrade`, which take
    /// over the maps of the release before; `Maps` and a `Handle` for each map, which read and write entries; and for the
    /// types, the traits of `maplock` and zerocopy:
    ///
    /// ```no_run
    /// // build.rs
    /// fn main() -> Result<(), maplock_codegen::BuildError> {
    ///     maplock_codegen::Builder::new().compile("bpf/flowtop.bpf.c").module("flowtop").runtime(true).generate()
    /// }
    /// ```
    ///
    /// ```text
    /// // src/main.rs
    /// maplock::include_maps!("flowtop");
    ///
    /// let upgrade = flowtop::upgrade("/sys/fs/bpf/flowtop").begin()?;
    /// let maps = flowtop::Maps::open("/sys/fs/bpf/flowtop")?;
    /// let stats = maps.flows().get(key)?;
    /// ```
    #[must_use]
    pub fn runtime(mut self, runtime: bool) -> Self {
        self.runtime = runtime;
        self
    }

    /// Uses a type that you wrote in the place of the one that would be generated:
    ///
    /// - `c`: the C type as the lock labels it: `struct flow_stats`, `union address`, `enum verdict`. A struct that has a name only
    ///   by a typedef is `struct NAME` too.
    /// - `rust`: the type's whole path: `crate::FlowStats`, `::flow_types::FlowStats`.
    ///
    /// The type is `repr(C)` and `Copy`. Its fields have the members' names and are visible from the generated module. That
    /// module does not compile unless the type's size is right, and the place and size of each member. For a handle, the
    /// type implements `maplock::MapKey` or `maplock::MapValue`, by their derives.
    ///
    /// ```no_run
    /// # fn f() -> Result<(), maplock_codegen::BuildError> {
    /// maplock_codegen::Builder::new()
    ///     .compile("bpf/flowtop.bpf.c")
    ///     .extern_type("struct flow_stats", "crate::FlowStats")
    ///     .generate()
    /// # }
    /// ```
    #[must_use]
    pub fn extern_type(mut self, c: impl Into<String>, rust: impl Into<String>) -> Self {
        self.externs.insert(c.into(), rust.into());
        self
    }

    /// Reads the objects, judges them by `maps.lock`, and writes the module.
    ///
    /// A module with a breaking change does not compile, with the report as its one error. If no source of the package includes the module,
    /// this function returns the report.
    ///
    /// # Errors
    /// Outside of a build script; if `OUT_DIR` can't be written; and for a breaking change that no included module tells.
    pub fn generate(self) -> Result<(), BuildError> {
        let variable = |name| {
            let value = env::var_os(name).map(PathBuf::from);
            value
                .ok_or_else(|| BuildError(format!("{name} is not set: `Builder` is for build scripts that Cargo runs")))
        };
        let (package, out_dir) = (variable("CARGO_MANIFEST_DIR")?, variable("OUT_DIR")?);
        for name in VARIABLES {
            println!("cargo::rerun-if-env-changed={name}");
        }
        let manifest = Manifest::read(&package).map_err(|error| error.to_string());
        let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
        let config = manifest.as_ref().map(|manifest| manifest.config.clone()).unwrap_or_default();
        let lock_name = config.lock_name(&arch);
        let file = LockFile::read(package.join(&lock_name));
        watch(&file.path);
        if !config.targets.is_empty() {
            // For the derives, which no build for a target tells which it is.
            println!("cargo::rustc-env={LOCK_VARIABLE}={lock_name}");
        }

        let mut outcome = gate::Outcome::default();
        let mut lock = file.lock.as_ref().cloned().unwrap_or_default();
        let mut declarations = Declarations::default();
        match manifest.and_then(|manifest| self.inputs(&package, &out_dir, &lock, manifest)) {
            Ok(Found::Nothing(why)) => {
                if file.text.is_none() {
                    outcome.error = Some(format!(
                        "maplock: {why}, and there is no {lock_name} to take the types from; commit it, and don't exclude it from the package"
                    ));
                } else {
                    outcome.error = file.lock.as_ref().err().map(ToString::to_string);
                    println!(
                        "cargo::warning=maplock: {why}; types come from {lock_name} alone, and nothing was checked"
                    );
                }
            }
            Ok(Found::Inputs(inputs, manifest)) => {
                let roots = [manifest.root, package.clone()];
                let name = env::var("CARGO_PKG_NAME").unwrap_or_default();
                let more = if roots[0] == roots[1] { String::new() } else { format!(" -p {name}") };
                outcome = gate::judge(&file, &inputs, &manifest.config, mode(&package), &roots, &more);
                lock = as_built(&lock, &inputs.observation.lock, &manifest.config.levels);
                inputs.observation.leave_out_absent(&mut lock);
                declarations = Declarations::read(&inputs, &lock, &roots);
            }
            Err(problem) => {
                // What puts it right (a clang that is installed, a line of Cargo.toml, a header) may be nothing that
                // is watched.
                watch(&out_dir.join(NEVER));
                outcome.error = Some(format!("maplock: {problem}"));
            }
        }
        for warning in &outcome.warnings {
            println!("cargo::warning={warning}");
        }
        let name = self.module.as_deref().unwrap_or("maps");
        let error_file = format!("{name}.err");
        if let Some(error) = &outcome.error {
            write_if_changed(&out_dir.join(&error_file), error)?;
        }
        let error_file = outcome.error.is_some().then_some(error_file.as_str());
        let built = out_dir.join(BUILT_FILE);
        match error_file {
            Some(_) if !declarations.is_empty() => write_if_changed(&built, &lock.to_string())?,
            _ if built.exists() => {
                fs::remove_file(&built).map_err(|error| BuildError(format!("{}: {error}", built.display())))?;
            }
            _ => {}
        }
        let labels = declarations::labels(&lock);
        for label in self.externs.keys().filter(|label| !labels.contains(*label)) {
            println!("cargo::warning=maplock: no pinned map has a `{label}`, for which build.rs has an `extern_type`");
        }
        let settings = rust_module::Settings {
            error_file,
            runtime: self.runtime,
            declarations: &declarations,
            externs: &self.externs,
        };
        let module = rust_module::render(&lock, &settings);
        write_if_changed(&out_dir.join(LINES_FILE), &declarations.to_lines(&lock))?;
        write_if_changed(&out_dir.join(format!("{name}.mod.rs")), &rust_module::wrapper(name))?;
        write_if_changed(&out_dir.join(format!("{name}.rs")), &module)?;
        let Some(error) = outcome.error else { return Ok(()) };
        if let Some(source) = includer(&package, name) {
            // Should the include go while the break is there, the script has to fail.
            watch(&source);
            return Ok(());
        }
        if is_set(OBJECTS_VARIABLE) {
            watch(&out_dir.join(NEVER));
            return Ok(());
        }
        let package = env::var("CARGO_PKG_NAME").unwrap_or_default();
        Err(BuildError(format!(
            "{}\n\nThe build script fails because no source of `{package}` includes {name}.rs from OUT_DIR.",
            error.trim_end()
        )))
    }

    /// The folders of `-I`, in one argument or two.
    fn include_folders(&self, package: &Path) -> Vec<PathBuf> {
        let args: Vec<_> = self.clang_args.iter().map(|arg| arg.to_string_lossy()).collect();
        let glued = args.iter().filter_map(|arg| arg.strip_prefix("-I")).filter(|folder| !folder.is_empty());
        let apart = args.windows(2).filter(|pair| pair[0] == "-I").map(|pair| &*pair[1]);
        glued.chain(apart).map(|folder| package.join(folder)).collect()
    }

    fn inputs(&self, package: &Path, out_dir: &Path, lock: &Lock, manifest: Manifest) -> Result<Found, String> {
        manifest.files.iter().for_each(|file| watch(file));
        manifest
            .config
            .bindings
            .values()
            .filter_map(|map| map.owner.as_ref())
            .for_each(|owner| watch(Path::new(owner)));
        manifest.config.types.iter().for_each(|object| watch(Path::new(object)));
        if is_set("DOCS_RS") && !mode(package).locked {
            return Ok(Found::Nothing("docs.rs has no eBPF objects".to_owned()));
        }
        let mut objects = Vec::with_capacity(self.inputs.len());
        let mut sources = BTreeMap::new();
        for input in &self.inputs {
            match input {
                Input::Object { name, path } => {
                    let path = package.join(path);
                    if !path.exists() {
                        let why = format!("object {} is not there", path.display());
                        let hint = "build the eBPF program first, or correct the path in build.rs";
                        // A gate that opens when its object is mislaid would be none: only a published package may lack it.
                        return if is_published(package) {
                            Ok(Found::Nothing(why))
                        } else {
                            Err(format!("{why}; {hint}"))
                        };
                    }
                    watch(&path);
                    objects.push((name.clone(), path));
                }
                Input::Source(source) => {
                    if is_published(package) && !package.join(source).exists() {
                        return Ok(Found::Nothing(format!("source {} is not there", source.display())));
                    }
                    watch(&package.join(source));
                    let name = object_name(source);
                    if let Some(other) = sources.insert(name.clone(), source) {
                        let (one, two) = (other.display(), source.display());
                        return Err(format!("{one} and {two} would both be compiled to {name}.bpf.o; rename one"));
                    }
                    let compiled = clang::compile(package, source, &name, out_dir, &self.clang_args)?;
                    compiled.dependencies.iter().for_each(|file| watch(file));
                    objects.push((name, compiled.object));
                }
            }
        }
        if objects.is_empty() {
            return Err("the builder was given no object; call `.object(name, path)` or `.compile(source)`".to_owned());
        }
        let list: String = objects.iter().map(|(name, path)| format!("{name}\t{}\n", path.display())).collect();
        write_if_changed(&out_dir.join(OBJECTS_FILE), &list).map_err(|error| error.to_string())?;
        let mut inputs = Inputs::read_after(&objects, &manifest.config, lock).map_err(|error| error.to_string())?;
        let in_package = |paths: &Vec<PathBuf>| paths.iter().map(|path| package.join(path)).collect();
        let sources = self.sources.iter().map(|(name, paths)| (name.clone(), in_package(paths))).collect();
        inputs.find_sources(package, &sources, &self.include_folders(package)).iter().for_each(|file| watch(file));
        Ok(Found::Inputs(Box::new(inputs), Box::new(manifest)))
    }
}

enum Found {
    Inputs(Box<Inputs>, Box<Manifest>),
    /// There are no objects, rightly.
    Nothing(String),
}

/// True for a package that was unpacked from what `cargo package` made. (A `Cargo.toml.orig` alone may be what a merge tool
/// left behind.)
fn is_published(package: &Path) -> bool {
    let was_normalized = || {
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap_or_default();
        package.join("Cargo.toml.orig").exists() && manifest.contains("THIS FILE IS AUTOMATICALLY GENERATED BY CARGO")
    };
    package.join(".cargo_vcs_info.json").exists() || was_normalized()
}

fn mode(package: &Path) -> Mode {
    // Whoever builds a published package in their own CI can't commit to its lock.
    let ci = is_set("CI") && !is_published(package);
    let locked = ci || is_set("MAPLOCK_LOCKED");
    Mode { locked, warn: !locked && env::var("MAPLOCK_GATE").is_ok_and(|gate| gate == "warn") }
}

fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// Leaves a file alone that already says `text`, so that nothing which depends on it is built again.
fn write_if_changed(path: &Path, text: &str) -> Result<(), BuildError> {
    if fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| BuildError(format!("{}: {error}", path.display())))
}
