//! The four releases: what each was built with, and embeds.

use std::path::Path;

use maplock::Spec;

/// A release of minimesh: its eBPF object, and the lock that it was built against.
#[derive(Debug)]
pub struct Release {
    /// `v1` to `v4`; for files, the object's name.
    pub name: String,
    /// The compiled object.
    pub object: Vec<u8>,
    /// Its maps, with the history that leads to them.
    pub spec: Spec,
}

/// Name, what the developers would say of it, object, lock.
const RELEASES: [(&str, &str, &[u8], &str); 4] = [
    (
        "v1",
        "the release that runs on every node",
        include_bytes!("../../bpf/minimesh/v1/minimesh.bpf.o"),
        include_str!("../maps.lock"),
    ),
    (
        "v2",
        "4,096 backends instead of 64, and a new map",
        include_bytes!("../../bpf/minimesh/v2/minimesh.bpf.o"),
        include_str!("../releases/v2.lock"),
    ),
    (
        "v3",
        "counters of 64 bits",
        include_bytes!("../../bpf/minimesh/v3/minimesh.bpf.o"),
        include_str!("../releases/v3.lock"),
    ),
    (
        "v4",
        "backends can be drained, and counts are kept for each port",
        include_bytes!("../../bpf/minimesh/v4/minimesh.bpf.o"),
        include_str!("../releases/v4.lock"),
    ),
];

/// The release that the features of this build choose.
pub const DEFAULT: &str = if cfg!(feature = "v4") {
    "v4"
} else if cfg!(feature = "v3") {
    "v3"
} else if cfg!(feature = "v2") {
    "v2"
} else {
    "v1"
};

/// The names of the releases, oldest first, with what each changed.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    RELEASES.iter().map(|(name, change, ..)| (*name, *change))
}

impl Release {
    /// One that this program embeds.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn embedded(name: &str) -> Result<Self, String> {
        let (name, _, object, lock) = RELEASES
            .iter()
            .find(|release| release.0 == name)
            .ok_or_else(|| format!("there is no release `{name}`, only v1 to v4"))?;
        let spec = Spec::parse(lock).map_err(|error| format!("release {name}: {error}"))?;
        Ok(Self { name: (*name).to_owned(), object: object.to_vec(), spec })
    }

    /// One that somebody else built: an object, and the lock that belongs to it.
    ///
    /// # Errors
    /// Where a file can't be read, or the lock is none.
    pub fn read(object: &Path, lock: &Path) -> Result<Self, String> {
        let at = |path: &Path, problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
        let text = std::fs::read_to_string(lock).map_err(|error| at(lock, &error))?;
        let spec = Spec::parse(&text).map_err(|error| at(lock, &error))?;
        let bytes = std::fs::read(object).map_err(|error| at(object, &error))?;
        Ok(Self { name: object.display().to_string(), object: bytes, spec })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::{Path, PathBuf};

    use maplock_codegen::gate::{LockFile, Mode, judge};
    use maplock_codegen::{Inputs, Manifest};

    #[test]
    fn each_release_embeds_the_lock_of_its_object() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = Manifest::read(package).unwrap();
        for (release, _) in super::all() {
            let lock = if release == "v1" { "maps.lock".into() } else { format!("releases/{release}.lock") };
            let object = manifest.root.join(PathBuf::from(format!("bpf/minimesh/{release}/minimesh.bpf.o")));
            let inputs = Inputs::read(&[("minimesh".to_owned(), object)], &manifest.config).unwrap();
            let mode = Mode { locked: true, warn: false };
            let outcome = judge(&LockFile::read(package.join(lock)), &inputs, &manifest.config, mode, &[], "");
            assert_eq!(outcome.error, None, "{release}");
            assert_eq!(outcome.warnings, Vec::<String>::new(), "{release}");
        }
    }
}
