//! The first half: what the build of each release says, standing on the lock of the first.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use maplock_codegen::gate::{self, LockFile, Mode};
use maplock_codegen::{Inputs, Manifest};

use crate::{maps, release};

/// Tells it.
///
/// # Errors
/// Where the files of this package are not where they were when it was built.
pub fn tell() -> Result<String, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The workspace's: cargo, which could tell, is not on root's path everywhere.
    let root = package.parent().unwrap_or(package).to_owned();
    let manifest = Manifest::read(package).map_err(|error| error.to_string())?;
    let lock = LockFile::read(package.join("maps.lock"));
    let mut story = format!(
        "minimesh pins {} maps; minimesh/maps.lock has their layouts as of v1.\n",
        maplock_layout::Lock::parse(maps::SPEC).map_err(|error| error.to_string())?.maps.len()
    );
    for (release, change) in release::all() {
        let object = PathBuf::from(format!("bpf/minimesh/{release}/minimesh.bpf.o"));
        let inputs = Inputs::read(&[("minimesh".to_owned(), root.join(&object))], &manifest.config)
            .map_err(|error| error.to_string())?;
        let outcome =
            gate::judge(&lock, &inputs, &manifest.config, Mode::default(), std::slice::from_ref(&root), " -p minimesh");
        _ = write!(story, "\n== {release}: {change} ==\n\n");
        for warning in &outcome.warnings {
            _ = writeln!(story, "warning: {warning}");
        }
        match &outcome.error {
            Some(error) => _ = writeln!(story, "cargo build fails:\n\n{}", error.trim_end()),
            None => story.push_str("cargo build succeeds.\n"),
        }
    }
    Ok(story)
}
