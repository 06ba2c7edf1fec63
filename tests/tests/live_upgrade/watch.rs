//! A reader that opens the pins over and over: none may ever be absent.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use maplock::internals::sys::Object;

/// The pins of every release.
const PINS: [&str; 5] = ["backends", "connect4", "frontends", "services", "stats"];

pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    misses: Receiver<String>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins to open the pins in `dir` by BPF_OBJ_GET.
    pub(crate) fn start(dir: &Path) -> Self {
        let (is_over, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (miss, misses) = channel();
        let paths = PINS.map(|name| dir.join(name));
        let (over, count) = (is_over.clone(), opened.clone());
        let thread = thread::spawn(move || {
            for path in paths.iter().cycle().take_while(|_| !over.load(Ordering::Relaxed)) {
                match Object::open(path) {
                    Ok(_) => _ = count.fetch_add(1, Ordering::Relaxed),
                    // Who listens has heard enough when the channel is closed.
                    Err(error) => _ = miss.send(format!("{}: {error}", path.display())),
                }
            }
        });
        Self { is_over, opened, misses, thread }
    }

    /// Waits until a pin is absent.
    pub(crate) fn wait_for_a_miss(&self) {
        self.misses.recv().unwrap();
    }

    /// Ends it: how often a pin was opened.
    ///
    /// # Panics
    /// Where one was absent.
    pub(crate) fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let misses: Vec<_> = self.misses.try_iter().collect();
        assert!(misses.is_empty(), "{} times a pin was absent: {}", misses.len(), misses[0]);
        self.opened.load(Ordering::Relaxed)
    }
}
