//! `maplock rollback`: back to a kept generation.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use maplock::internals::inspect::generations;
use maplock::{Progress, Report, Rollback};
use tempfile::NamedTempFile;

use super::args::RollbackArgs;
use super::{failed, or_waiting};
use crate::error::Error;
use crate::progress::Waiting;
use crate::project::parent;
use crate::{Said, terminal};

/// What a roll-back did.
pub(crate) struct Returned {
    pub(crate) dir: PathBuf,
    /// The number of the generation that was asked for; `None` for one step back.
    pub(crate) to: Option<u64>,
    /// One for each step.
    pub(crate) reports: Vec<Report>,
}

pub(super) fn run(args: &RollbackArgs) -> Result<Said, Error> {
    // What can fail without harm goes first.
    let metrics = args.prometheus.as_deref().map(Metrics::at).transpose()?;
    let mut bars = Bars::over(&args.dir);
    let rollback = args.without.iter().fold(Rollback::new(&args.dir), |rollback, map| rollback.without(map.as_str()));
    let rollback = rollback.wait(args.wait.time).progress(move |progress| bars.show(&progress));
    let dir = args.dir.display();
    let reports = match args.to {
        Some(generation) => rollback.run_to(generation),
        None => rollback.run().map(|report| vec![report]),
    };
    let reports = reports.map_err(|error| failed(format!("could not roll {dir} back"), error))?;
    if let (Some(metrics), Some(report)) = (metrics, reports.last()) {
        metrics.write(&report.to_prometheus())?;
    }
    Ok(Said::well(args.message_format.tell(&Returned { dir: args.dir.clone(), to: args.to, reports })?))
}

/// A bar for the map that is copied at the moment; nothing if stderr is no terminal.
#[derive(Default)]
struct Bars {
    /// How many entries each map holds, if a copy does not tell.
    totals: BTreeMap<String, u64>,
    current: Option<(String, ProgressBar)>,
    /// Until a map is copied.
    waiting: Option<Waiting>,
}

impl Bars {
    fn over(dir: &Path) -> Self {
        /// How long the entries of one map may be counted, for those who wait.
        const COUNTING: Duration = Duration::from_millis(50);

        let mut bars = Self::default();
        bars.waiting = Some(Waiting::at(or_waiting("Rolling back", dir)));
        // What can't be looked at can't be rolled back either, and that is said there.
        if let (true, Ok(mut found)) = (terminal::is_watched(), generations(dir)) {
            found.live.count_entries(|map| maplock::internals::transfer::count(map, COUNTING));
            let maps = found.live.maps.into_iter();
            bars.totals = maps.filter_map(|(name, map)| Some((name, map.observed.entries?))).collect();
        }
        bars
    }

    fn show(&mut self, progress: &Progress<'_>) {
        let is_current = self.current.as_ref().is_some_and(|(map, _)| map == progress.map);
        if !is_current {
            self.waiting = None;
            self.clear();
            let total = progress.total.or_else(|| self.totals.get(progress.map).copied());
            self.current = Some((progress.map.to_owned(), bar(progress.map, total)));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(progress.done);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(map: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{prefix} [{bar:30}] {human_pos}/{human_len} entries, {eta} left",
        None => "{prefix} {spinner} {human_pos} entries, {elapsed}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let target = if terminal::is_watched() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(total, target);
    bar.with_style(style.progress_chars("=> ")).with_prefix(map.to_owned())
}

/// A file of metrics that is not there until it is whole: the collector may read at any time.
struct Metrics<'a> {
    path: &'a Path,
    file: NamedTempFile,
}

impl<'a> Metrics<'a> {
    fn at(path: &'a Path) -> Result<Self, Error> {
        let mut builder = tempfile::Builder::new();
        // The collector reads what ends with `.prom`, as a user of its own.
        builder.prefix(".maplock.").suffix(".tmp").permissions(std::fs::Permissions::from_mode(0o644));
        let file = builder
            .tempfile_in(parent(path))
            .map_err(|error| Error::new(format!("could not write {}", path.display())).because(error))?;
        Ok(Self { path, file })
    }

    fn write(mut self, text: &str) -> Result<(), Error> {
        let path = self.path;
        let written = self.file.write_all(text.as_bytes());
        written
            .and_then(|()| self.file.persist(path).map(drop).map_err(|error| error.error))
            .map_err(|error| Error::new(format!("rolled back, but could not write {}", path.display())).because(error))
    }
}
