//! What is to be tried, and how.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use maplock::Policies;

use crate::driver::Driver;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::world::BPFFS;

/// An upgrade to be tried: two commands of the shell that start a daemon, and one that makes traffic.
///
/// Each finds in its environment `MAPLOCK_PINS`, the directory where the daemon is to pin, `MAPLOCK_CGROUP`, the directory of the cgroup in
/// which the traffic runs, and `MAPLOCK_LOGS`, that of the logs, for files. A daemon may stay, or end well once it has upgraded.
pub struct TestUpgrade {
    pub(crate) old: String,
    pub(crate) new: String,
    pub(crate) with: String,
    pub(crate) setup: Option<String>,
    pub(crate) pins: PathBuf,
    pub(crate) kills: u32,
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) patience: Duration,
    pub(crate) except: BTreeSet<String>,
    pub(crate) policies: Policies,
    pub(crate) logs: Option<PathBuf>,
    pub(crate) own_network: bool,
    pub(crate) stop: Box<dyn Fn() -> bool + Send>,
    pub(crate) progress: Box<dyn FnMut(&str) + Send>,
}

impl std::fmt::Debug for TestUpgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { old, new, with, kills, seed, .. } = self;
        f.debug_struct("TestUpgrade")
            .field("old", old)
            .field("new", new)
            .field("with", with)
            .field("kills", kills)
            .field("seed", seed)
            .finish_non_exhaustive()
    }
}

impl TestUpgrade {
    /// From the daemon that the first command starts to that of the second, while the third makes traffic.
    #[must_use]
    pub fn new(old: impl Into<String>, new: impl Into<String>, with: impl Into<String>) -> Self {
        Self {
            old: old.into(),
            new: new.into(),
            with: with.into(),
            setup: None,
            pins: Path::new(BPFFS).join("maplock-test"),
            kills: 10,
            seed: 0,
            time: Duration::from_secs(1),
            patience: Duration::from_secs(60),
            except: BTreeSet::new(),
            policies: Policies::default(),
            logs: None,
            own_network: true,
            stop: Box::new(|| false),
            progress: Box::new(|_| {}),
        }
    }

    /// A command that is run before all others, such as one that makes devices. What it leaves running ends with the test.
    #[must_use]
    pub fn setup(mut self, command: impl Into<String>) -> Self {
        self.setup = Some(command.into());
        self
    }

    /// Where the daemons pin, if they have no say in it: below [`BPFFS`]. By default, `/sys/fs/bpf/maplock-test`.
    #[must_use]
    pub fn pins(mut self, dir: impl Into<PathBuf>) -> Self {
        self.pins = dir.into();
        self
    }

    /// How often the newer daemon is killed at its start: 10 times by default.
    #[must_use]
    pub fn kills(mut self, kills: u32) -> Self {
        self.kills = kills;
        self
    }

    /// What the times of the kills come from: 0 by default. How far a start is by then is up to the machine.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long there is traffic before and after each step: a second by default.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// How long a daemon may take until it is ready, and the traffic until a program writes a map: a minute by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A map whose entries the daemons write as they like: what differs in it is told, and fails nothing.
    #[must_use]
    pub fn except(mut self, map: impl Into<String>) -> Self {
        self.except.insert(map.into());
        self
    }

    /// What the daemons' own policies are, so that what is expected is what they do.
    #[must_use]
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = policies;
        self
    }

    /// Where it is written what the daemons and the traffic say; by default, in a new directory for temporary files, which stays.
    #[must_use]
    pub fn logs(mut self, dir: impl Into<PathBuf>) -> Self {
        self.logs = Some(dir.into());
        self
    }

    /// In the network that the caller is in, and not in one of its own, in which there is `lo` alone.
    #[must_use]
    pub fn in_this_network(mut self) -> Self {
        self.own_network = false;
        self
    }

    /// Ends as soon as this is true, with all that it has made.
    #[must_use]
    pub fn stop(mut self, stop: impl Fn() -> bool + Send + 'static) -> Self {
        self.stop = Box::new(stop);
        self
    }

    /// Is told of each step as it begins: a phrase.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(&str) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Tries it, on a thread of its own, which alone enters the namespaces.
    ///
    /// # Errors
    /// If it can't be tried, or was told to stop. What a try has found is no error: [`Outcome::failure`].
    pub fn run(self) -> Result<Outcome, Error> {
        let is_below = self.pins.strip_prefix(BPFFS).is_ok_and(|rest| rest.components().next().is_some());
        if !is_below {
            return Err(Error::new(format_args!("the pins have to be below {BPFFS}, not at {}", self.pins.display())));
        }
        thread::scope(|scope| scope.spawn(|| Driver::of(self)?.all()).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
