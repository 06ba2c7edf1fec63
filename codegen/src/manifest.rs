//! A package's configuration, from its `Cargo.toml` and that of its workspace.

use std::path::{Path, PathBuf};

use maplock_layout::Config;
use maplock_layout::config::Scope;

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
    pub fn read(package: &Path) -> Result<Self, String> {
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

    fn add(&mut self, path: PathBuf, scope: Scope) -> Result<(), String> {
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        self.config.read(&text, scope).map_err(|error| format!("{}: {error}", path.display()))?;
        self.files.push(path);
        Ok(())
    }
}

/// The nearest manifest, from the package upwards, that has a `[workspace]`. (Cargo tells build scripts nothing of it.)
fn workspace_root(package: &Path) -> Option<PathBuf> {
    package.ancestors().map(|dir| dir.join("Cargo.toml")).find(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with("[workspace]") || line.starts_with("[workspace.")
        })
    })
}
