//! What somebody who waits at a terminal sees of work that takes longer than a second. Nothing of it is in a log.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;

/// How long something may take without a word.
const UNSEEN: Duration = Duration::from_secs(1);

/// How often what is shown moves.
const TICK: Duration = Duration::from_millis(200);

/// What is shown at the moment.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Writes to stderr what is not to be mixed up with it.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn set_shown(bar: Option<ProgressBar>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// Work that is under way, as long as this is there.
pub(crate) struct Waiting {
    bar: ProgressBar,
    /// Dropped at the end of the work.
    under_way: Option<Sender<()>>,
    shows: Option<JoinHandle<()>>,
}

impl Waiting {
    /// For work of which nobody knows how long it takes.
    pub(crate) fn at(what: impl Into<String>) -> Self {
        Self::new(ProgressBar::hidden(), "{spinner} {msg}, {elapsed}", what.into())
    }

    /// For work of so many steps.
    pub(crate) fn over(steps: usize, what: impl Into<String>) -> Self {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
        Self::new(bar, "{prefix} [{bar:30}] {pos}/{len} {msg}", what.into())
    }

    fn new(bar: ProgressBar, template: &str, what: String) -> Self {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_style(style.progress_chars("=> ")).with_prefix(what.clone()).with_message(what);
        let mut waiting = Self { bar, under_way: None, shows: None };
        if terminal::is_watched() {
            set_shown(Some(waiting.bar.clone()));
            let (under_way, ends) = mpsc::channel();
            let bar = waiting.bar.clone();
            waiting.under_way = Some(under_way);
            waiting.shows = Some(thread::spawn(move || {
                if ends.recv_timeout(UNSEEN) == Err(RecvTimeoutError::Timeout) {
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    bar.enable_steady_tick(TICK);
                }
            }));
        }
        waiting
    }

    /// The next step begins, which is called so; those before it are done.
    pub(crate) fn step(&self, done: usize, name: &str) {
        self.bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
        self.bar.set_message(name.to_owned());
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        drop(self.under_way.take());
        if let Some(shows) = self.shows.take() {
            // It only waits and draws.
            _ = shows.join();
        }
        self.bar.finish_and_clear();
        set_shown(None);
    }
}
