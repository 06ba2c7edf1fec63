//! What came of it.

use std::path::PathBuf;
use std::time::Duration;

use maplock::Report;

use crate::compare::Compared;

/// What came of a test.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// What was done, in its order.
    pub phases: Vec<Phase>,
    /// What failed; the test ends there.
    pub failure: Option<Failure>,
    /// How often the command that makes traffic was started, and how long it ran in all; `None` if it did not end.
    pub traffic: Option<(u32, Duration)>,
    /// True if a map that programs may write changed before the first upgrade, while the traffic ran.
    pub has_written: bool,
    /// What the times of the kills come from.
    pub seed: u64,
    /// Where it is written what the daemons and the traffic said.
    pub logs: PathBuf,
}

/// One thing that was done, and what the maps were after it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Phase {
    /// What was done: a phrase.
    pub what: &'static str,
    /// What could have been written meanwhile: false if the traffic stood still.
    pub has_traffic: bool,
    /// The number of the generation that is live then.
    pub generation: Option<u64>,
    /// How long the daemon, or the roll-back, took.
    pub took: Duration,
    /// What became of each map; nothing if there was none before.
    pub maps: Vec<Compared>,
    /// True of what was done after a kill, until the older release ran again.
    pub is_after_a_kill: bool,
    /// Where the daemon was killed before.
    pub killed: Option<Killed>,
    /// What a roll-back says of itself.
    pub report: Option<Report>,
}

/// That a start was killed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Killed {
    /// True of a start of the older release.
    pub is_old: bool,
    /// How long after it was started.
    pub after: Duration,
    /// How far it was.
    pub when: When,
}

/// How far a start was when it was killed, by what it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// Nothing was there of it yet.
    BeforeStaging,
    /// It was at its maps and programs, beside the live ones.
    Staging,
    /// A link may have been switched: the next start completes it.
    Committing,
    /// It was live.
    Live,
}

impl When {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::BeforeStaging, Self::Staging, Self::Committing, Self::Live];

    /// It in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::BeforeStaging => "before it staged anything",
            Self::Staging => "while it staged",
            Self::Committing => "at its commit",
            Self::Live => "after its commit",
        }
    }
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// In which phase: a phrase.
    pub phase: String,
    /// What is wrong: a phrase.
    pub what: String,
    /// Where more is said of it.
    pub log: Option<PathBuf>,
}

impl Outcome {
    /// True if something failed.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.failure.is_some()
    }
}
