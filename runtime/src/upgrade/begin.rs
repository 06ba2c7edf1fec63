//! The start of an upgrade: whose it is, what is there, what will be done.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use maplock_layout::Digest;

use crate::entry::MapValue;
use crate::error::Error;
use crate::generation::exclusive::Exclusive;
use crate::generation::records::Recovered;
use crate::generation::site::{MOST_KEPT, Site};
use crate::plan::policy::Policies;
use crate::plan::spec::Spec;
use crate::plan::{self, Plan};
use crate::transfer::migrate::{Migrate, Migrations};
use crate::upgrade::inputs::look;
use crate::upgrade::recover;
use crate::upgrade::report::Progress;
use crate::upgrade::shown;
use crate::upgrade::taken_back::LeftBehind;

/// An upgrade that is about to begin.
pub struct Options {
    pub(crate) spec: Spec,
    dir: PathBuf,
    policies: Policies,
    wait: Duration,
    each_pin: bool,
    keep: usize,
    pub(crate) migrations: Migrations,
    progress: Box<dyn FnMut(Progress<'_>) + Send>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("dir", &self.dir).field("policies", &self.policies).finish_non_exhaustive()
    }
}

impl Options {
    /// An upgrade of the pins at `dir`, a directory on a bpffs that need not be there yet, to the maps of `spec`.
    #[must_use]
    pub fn new(spec: Spec, dir: impl Into<PathBuf>) -> Self {
        Self {
            spec,
            dir: dir.into(),
            policies: Policies::default(),
            wait: Duration::from_secs(60),
            each_pin: false,
            keep: 1,
            migrations: Migrations::default(),
            progress: Box::new(|_| {}),
        }
    }

    /// What to do if the lock's history has no answer. By default the upgrade refuses.
    #[must_use]
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = policies;
        self
    }

    /// How long to wait for another upgrade of these pins to end: 60 seconds by default.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Renames the pins one by one even if the whole directory could be exchanged. That is chosen by itself if the directory
    /// is a mount's root, is shared with others, or the kernel is older than 5.16.
    #[must_use]
    pub fn each_pin(mut self) -> Self {
        self.each_pin = true;
        self
    }

    /// How many generations are kept for a [`Rollback`](crate::Rollback), including the one that this upgrade replaces: 1
    /// by default, which is the least, and 9 at the most. Generations share the maps that they have in common, so each
    /// costs the memory of those that differ. A start on the same maps keeps all that are there.
    #[must_use]
    pub fn keep(mut self, generations: usize) -> Self {
        self.keep = generations.clamp(1, MOST_KEPT);
        self
    }

    /// Enters a conversion by hand: from `Old` to `New`, for the epoch that leads from the digest `from` to the digest
    /// `to`. The generated module does so for each that the lock asks for.
    ///
    /// # Panics
    /// If one of the two is not a digest.
    #[must_use]
    pub fn migration<New: Migrate<Old>, Old: MapValue>(mut self, from: &str, to: &str) -> Self {
        let digest = |text| Digest::parse(text).unwrap_or_else(|| panic!("`{text}` is no digest of 32 digits"));
        self.migrations.add::<New, Old>(digest(from), digest(to));
        self
    }

    /// Calls `progress` with how far a copy is, a few times a second at most.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress<'_>) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Takes the lock, brings what a crash left into order, looks at what is pinned, and plans. Touches no live pin.
    ///
    /// # Errors
    /// If `dir` is not on a bpffs; if something that is not a map has the name of one; if another upgrade does not end in
    /// time; if the directory shows a generation that is not live; if the kernel does not let us look.
    pub fn begin(self) -> Result<Upgrade, Error> {
        let _span = tracing::info_span!("begin", dir = %self.dir.display()).entered();
        let start = Instant::now();
        let site = Site::at(&self.dir)?;
        let lock = Exclusive::lock(&site, self.wait)?;
        let recover::Found { recovered, left_behind, .. } = recover::recover(&site, &self.migrations)?;
        shown::check(&site)?;
        shown::check_links(&site)?;
        let (mut plan, taken) = look(&self.spec, &site, &self.policies, Some(&self.migrations))?;
        if let Some(error) = taken {
            return Err(error);
        }
        if self.each_pin {
            plan.commit = plan::CommitBy::EachPin { why: "asked for".to_owned() };
        }
        for map in &plan.maps {
            tracing::info!(map = map.map, disposition = map.disposition().name(), why = map.why, "planned");
        }
        let Self { spec, policies, keep, progress, migrations, .. } = self;
        Ok(Upgrade { spec, policies, keep, site, plan, recovered, left_behind, lock, migrations, progress, start })
    }
}

/// An upgrade that holds the lock and has a plan. Dropped, it has changed nothing.
pub struct Upgrade {
    pub(crate) spec: Spec,
    pub(crate) policies: Policies,
    /// So many generations are kept.
    pub(crate) keep: usize,
    pub(crate) site: Site,
    pub(crate) plan: Plan,
    recovered: Recovered,
    pub(crate) left_behind: Vec<LeftBehind>,
    pub(crate) lock: Exclusive,
    pub(crate) migrations: Migrations,
    pub(crate) progress: Box<dyn FnMut(Progress<'_>) + Send>,
    pub(crate) start: Instant,
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade").field("plan", &self.plan).field("recovered", &self.recovered).finish_non_exhaustive()
    }
}

impl Upgrade {
    /// What will be done.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was found of an earlier upgrade that did not end.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// What programs wrote around the switch of that upgrade, if it is lost or may be. The upgrade may have been taken
    /// back, because this program does not have the code that converts its entries; or it was completed by steps that can
    /// lose a write. The report has it too.
    #[must_use]
    pub fn left_behind(&self) -> &[LeftBehind] {
        &self.left_behind
    }
}
