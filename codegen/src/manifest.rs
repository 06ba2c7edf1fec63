//! A package's configuration, from its `Cargo.toml` and that of its workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use maplock_layout::Config;
use maplock_layout::config::Scope;

use crate::file_error::FileError;

/// What the manifests say, and which files were asked.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// The configuration: the workspace's, overruled by the package's.
    pub config: Config,
    /// Every `Cargo.toml` that was read.
    pub files: Vec<PathBuf>,
    /// The workspace's directory, from which Cargo and rustc show paths; the package's own where it is in none.
    pub root: PathBuf,
}

impl Manifest {
    /// Reads the manifest in `package` and, above it, that of the workspace.
    ///
    /// # Errors
    /// Where one can't be read, or says something unknown of maplock: with its path and line.
    pub fn read(package: &Path) -> Result<Self, FileError> {
        let mut manifest = Self { root: package.to_owned(), ..Self::default() };
        let own = package.join("Cargo.toml");
        if let Some(root) = workspace_root(package) {
            root.parent().unwrap_or(package).clone_into(&mut manifest.root);
            manifest.add(root, Scope::Workspace)?;
        }
        manifest.add(own, Scope::Package)?;
        manifest.files.dedup();
        Ok(manifest)
    }

    fn add(&mut self, path: PathBuf, scope: Scope) -> Result<(), FileError> {
        let text = std::fs::read_to_string(&path).map_err(|error| FileError::unreadable(&path, error))?;
        let read = self.config.read(&text, scope);
        read.map_err(|error| FileError::at(&path, error.line, error.problem))?;
        self.files.push(path);
        Ok(())
    }
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
