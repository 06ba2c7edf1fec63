//! What the tests of this crate share: layouts from C declarations, locks of a few maps, findings as lines of text.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod any;
pub mod c;
pub mod pairs;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

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
    Lock { maps: maps.into_iter().map(|def| (def.name.clone(), LockedMap::new(def))).collect(), ..Lock::default() }
}

/// What objects with these maps, all of them pinned, come to.
pub fn observed(maps: impl IntoIterator<Item = MapDef>) -> Observation {
    Observation { lock: lock(maps), ..Observation::default() }
}

/// Compares by the rules' own levels.
pub fn diff(old: &Lock, new: &Lock) -> Comparison {
    compare(old, new, &Levels::default())
}

/// `rule path: old -> new`, and for a consequence ` <- path of its cause`.
pub fn line(finding: &Finding) -> String {
    let side = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
    let cause = finding.cause().map(|cause| format!(" <- {cause}")).unwrap_or_default();
    format!(
        "{} {}: {} -> {}{cause}",
        finding.rule.id,
        finding.path(),
        side(finding.old_text()),
        side(finding.new_text())
    )
}

pub fn lines(comparison: &Comparison) -> Vec<String> {
    comparison.findings.iter().map(line).collect()
}

/// The CPU time within which every computation must have ended. None takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(20);

/// The result of `work`, which must take no more than a moment of the CPU, however slow or busy the machine is.
pub fn quickly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let (clock_sender, clock_receiver) = mpsc::channel();
    let worker = thread::spawn(move || {
        clock_sender.send(ThreadClock::here()).unwrap();
        sender.send(work()).unwrap();
    });
    let clock = clock_receiver.recv().unwrap();
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => return result,
            Err(mpsc::RecvTimeoutError::Timeout) if clock.time() < LIMIT => {}
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("took over {LIMIT:?}: it may never end"),
            Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => panic!("ended without a result"),
            },
        }
    }
}

/// The CPU time of a thread, as others may read it.
struct ThreadClock {
    /// `/proc/PROCESS/task/THREAD/stat`; the clock on the wall counts where there is none.
    stat: Option<PathBuf>,
    start: Instant,
}

impl ThreadClock {
    /// That of the calling thread.
    fn here() -> Self {
        let stat = fs::read_link("/proc/thread-self").ok().map(|thread| Path::new("/proc").join(thread).join("stat"));
        Self { stat, start: Instant::now() }
    }

    fn time(&self) -> Duration {
        let Some(stat) = &self.stat else { return self.start.elapsed() };
        // A thread that is gone has sent its result, or has dropped the channel.
        let Ok(text) = fs::read_to_string(stat) else { return Duration::ZERO };
        // proc(5): the fields behind the name in parentheses, which may hold anything; utime and stime are numbers 14 and 15.
        let fields = text.rsplit(") ").next().unwrap().split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        // USER_HZ is 100 on every architecture that Linux has for BPF.
        Duration::from_millis(ticks * 10)
    }
}
