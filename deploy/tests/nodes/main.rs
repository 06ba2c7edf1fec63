//! Nodes, and what runs on them: containers, pods, and a roll-out over many.

#![allow(clippy::unwrap_used, missing_docs)]

mod containers;
mod metrics;
mod pods;
mod ready;
mod rollout;

use std::path::PathBuf;
use std::process::Output;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use maplock_tests::toolchain::built;

fn minimesh() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("minimesh", "minimesh"))
}

fn maplock() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("cargo-maplock", "maplock"))
}

/// What a command said, on both outputs.
fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Asks until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(120), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}
