//! Tells what the build of each release says, standing on the lock of the first.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use maplock_codegen::gate::{self, LockFile, Mode};
use maplock_codegen::{Inputs, Manifest};

#[allow(missing_docs, reason = "generated")]
mod maps {
    include!(concat!(env!("OUT_DIR"), "/maps.rs"));
}

/// What each release changed, as its developers would put it.
const RELEASES: [(&str, &str); 4] = [
    ("v1", "the release that runs on every node"),
    ("v2", "4,096 backends instead of 64, and a new map"),
    ("v3", "counters of 64 bits"),
    ("v4", "backends can be drained, and counts are kept for each port"),
];

fn main() -> ExitCode {
    let told = story().unwrap_or_else(|problem| format!("error: {problem}\n"));
    // A closed pipe is the reader's way to say that this is enough.
    _ = io::stdout().write_all(told.as_bytes());
    ExitCode::SUCCESS
}

fn story() -> Result<String, String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = Manifest::read(package)?;
    let lock = LockFile::read(package.join("maps.lock"));
    let mut story = format!(
        "minimesh pins {} maps; minimesh/maps.lock has their layouts as of v1.\n",
        maplock_layout::Lock::parse(maps::SPEC).map_err(|error| error.to_string())?.maps.len()
    );
    for (release, change) in RELEASES {
        let object = PathBuf::from(format!("bpf/minimesh/{release}/minimesh.bpf.o"));
        let inputs = Inputs::read(&[("minimesh".to_owned(), manifest.root.join(&object))], &manifest.config)
            .map_err(|error| error.to_string())?;
        let outcome = gate::judge(
            &lock,
            &inputs,
            &manifest.config,
            Mode::default(),
            std::slice::from_ref(&manifest.root),
            " -p minimesh",
        );
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
