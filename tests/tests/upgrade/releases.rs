//! The releases of minimesh, as specs and objects.

use std::path::{Path, PathBuf};

use maplock::Spec;

/// The compiled object of a release.
pub(crate) fn object(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../bpf/minimesh/{release}/minimesh.bpf.o"))
}

/// What a release was built with.
pub(crate) fn spec(release: &str) -> Spec {
    let lock = if release == "v1" { "maps.lock".to_owned() } else { format!("releases/{release}.lock") };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../minimesh").join(lock);
    let text = std::fs::read_to_string(path).expect("the release has a lock");
    Spec::parse(&text).expect("it is one")
}
