//! A package's configuration, from its `Cargo.toml` or `maplock.toml` and that of its workspace.

use std::env;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use maplock_layout::Config;
use maplock_layout::config::{FILE_NAME, Scope};
use maplock_layout::lock;

use crate::file_error::FileError;

/// What the manifests say, and which files were asked.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// The configuration: the workspace's, overruled by the package's.
    pub config: Config,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// The workspace's directory, from which Cargo and rustc show paths; the package's own if it is in none.
    pub root: PathBuf,
}

impl Manifest {
    /// Reads the manifest in `package` or the `maplock.toml` beside it and, above it, that of the workspace.
    ///
    /// # Errors
    /// If one can't be read, or says something unknown of maplock: with its path and line. If both the manifest and a
    /// `maplock.toml` say something of the package.
    pub fn read(package: &Path) -> Result<Self, FileError> {
        let mut manifest = Self { root: package.to_owned(), ..Self::default() };
        let own = package.join("Cargo.toml");
        if let Some(root) = workspace_root(package) {
            root.parent().unwrap_or(package).clone_into(&mut manifest.root);
            manifest.add(root, Scope::Workspace)?;
        }
        let says_something = manifest.add(own, Scope::Package)?;
        manifest.files.dedup();
        let file = package.join(FILE_NAME);
        if file.is_file() {
            if says_something {
                let problem =
                    "this package has `[package.metadata.maplock]` in its Cargo.toml too; keep one of the two";
                return Err(FileError::at(&file, 1, problem));
            }
            manifest.add(file, Scope::FileOfPackage)?;
        }
        Ok(manifest)
    }

    /// Reads a `maplock.toml` that belongs to no Cargo package, whatever it is called.
    ///
    /// # Errors
    /// If it can't be read, or says something unknown: with its path and line.
    pub fn read_file(path: &Path) -> Result<Self, FileError> {
        let root = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut manifest = Self { root, ..Self::default() };
        manifest.add(path.to_owned(), Scope::File)?;
        Ok(manifest)
    }

    /// Adds what a file says; true if it says anything.
    fn add(&mut self, path: PathBuf, scope: Scope) -> Result<bool, FileError> {
        let text = std::fs::read_to_string(&path).map_err(|error| FileError::unreadable(&path, error))?;
        let known = self.config.types.len();
        let read = self.config.read(&text, scope);
        let says_something = read.map_err(|error| FileError::at(&path, error.line, error.problem))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for object in &mut self.config.types[known..] {
            *object = folder.join(&*object).to_string_lossy().into_owned();
        }
        let lock = normalised(&folder.join(self.config.lock.as_deref().unwrap_or(lock::FILE_NAME)));
        for binding in self.config.bindings.values_mut() {
            let Some(owner) = binding.owner.as_ref().map(|owner| normalised(&folder.join(owner))) else { continue };
            binding.own = owner == lock;
            binding.owner = (!binding.own).then(|| owner.to_string_lossy().into_owned());
        }
        if matches!(scope, Scope::File | Scope::FileOfPackage) {
            self.config.home = path.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        self.files.push(path);
        Ok(says_something)
    }
}

/// A path without the folders that it leaves again.
fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => _ = out.pop(),
            part => out.push(part),
        }
    }
    out
}

/// The manifest of the package's workspace. Only Cargo knows which that is: `exclude`, `members` and `package.workspace`
/// all have a say in it.
fn workspace_root(package: &Path) -> Option<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["locate-project", "--workspace", "--message-format", "plain", "--manifest-path"]);
    let output = command.arg(package.join("Cargo.toml")).output().ok().filter(|output| output.status.success())?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim_end_matches('\n')))
}
