//! What the tests of this crate share: layouts from C declarations, locks of a few maps, findings as lines of text.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod any;
pub mod c;
pub mod pairs;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use maplock_layout::config::Levels;
use maplock_layout::lock::LockedMap;
use maplock_layout::map::{MapDef, MapType, Pinning};
use maplock_layout::{Comparison, Finding, Layout, Lock, Observation, compare};

/// A pinned hash called `m` with `u32` keys, 1,024 entries, and the value that the C declarations end with.
pub fn map(value: &str) -> MapDef {
    map_of("u32", value)
}

/// The same with another key.
pub fn map_of(key: &str, value: &str) -> MapDef {
    let mut def = MapDef::new("m", MapType::HASH);
    (def.max_entries, def.pinning) = (1024, Pinning::ByName);
    let sized = |layout: Arc<Layout>| (u32::try_from(layout.size).unwrap(), Some(layout));
    (def.key_size, def.key) = sized(c::layout(key));
    (def.value_size, def.value) = sized(c::layout(value));
    def
}

/// A lock of these maps, without a history.
pub fn lock(maps: impl IntoIterator<Item = MapDef>) -> Lock {
    Lock { maps: maps.into_iter().map(|def| (def.name.clone(), LockedMap::new(def))).collect() }
}

/// What objects with these maps, all of them pinned, come to.
pub fn observed(maps: impl IntoIterator<Item = MapDef>) -> Observation {
    Observation { lock: lock(maps), conflicts: Vec::new() }
}

/// Compares by the rules' own levels.
pub fn diff(old: &Lock, new: &Lock) -> Comparison {
    compare(old, new, &Levels::default())
}

/// `rule path: old -> new`, and for a consequence ` <- path of its cause`.
pub fn line(finding: &Finding) -> String {
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    let cause = finding.consequence_of.as_ref().map(|cause| format!(" <- {cause}")).unwrap_or_default();
    format!("{} {}: {} -> {}{cause}", finding.rule.id, finding.path, side(&finding.old), side(&finding.new))
}

pub fn lines(comparison: &Comparison) -> Vec<String> {
    comparison.findings.iter().map(line).collect()
}

/// The result of `work`, which must not take more than a moment however slow the machine is.
pub fn quickly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()).unwrap());
    match receiver.recv_timeout(Duration::from_secs(20)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("took over 20 seconds: it may never end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => panic!("ended without a result"),
        },
    }
}
