//! `cargo maplock matrix`: what an upgrade from each release keeps, and what the way back to each does.

use maplock_layout::config::Levels;
use maplock_layout::history::Converting;
use maplock_layout::{Comparison, Disposition, Lock, Loss, Risk, Verdict, compare};

use super::base;
use crate::Said;
use crate::args::MatrixArgs;
use crate::error::Error;
use crate::outcome::{Side, count, demand_decisions};
use crate::progress::Waiting;
use crate::project::git::{self, Revision};
use crate::project::{self, Target};
use crate::way_back::{self, Back};

/// What upgrades from releases do to the maps of a lock.
pub(crate) struct Matrix {
    pub(crate) lock: String,
    /// In the order of their versions, oldest first.
    pub(crate) releases: Vec<Release>,
    pub(crate) maps: Vec<Row>,
    /// The same for ways back, if that was asked for.
    pub(crate) back: Option<Vec<Row>>,
    /// True if a release could not be read.
    is_undone: bool,
}

/// A release, by its tag.
pub(crate) struct Release {
    tag: String,
    /// Why nothing is known of what it pinned.
    pub(crate) unknown: Option<String>,
}

/// A map, with what becomes of its entries from each release; `None` if that one does not have it, or nothing is known of it.
pub(crate) struct Row {
    pub(crate) map: String,
    pub(crate) cells: Vec<Option<Cell>>,
}

/// What becomes of a map's entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) what: Disposition,
    /// True if entries, or parts of them, are lost or misread, or the upgrade does not happen.
    pub(crate) loses: bool,
    /// True if the map is known by its size alone, so that nothing tells whether its bytes mean the same.
    pub(crate) untold: bool,
    /// How many entries there may be at most; with more, nothing happens.
    pub(crate) must_fit: Option<u32>,
    /// True if so many entries, or numbers in them, must fit.
    pub(crate) is_bounded: bool,
    pub(crate) why: String,
}

pub(crate) fn run(args: &MatrixArgs) -> Result<Said, Error> {
    let target = project::target(&args.input)?;
    let patterns = if args.tags.is_empty() { &target.config.releases } else { &args.tags };
    if patterns.is_empty() {
        return Err(Error::new("no release is named")
            .help("name tags: `--tags 'v*'`, or `releases = \"v*\"` in the configuration"));
    }
    let (matrix, undone) = of(&target, patterns, args.reverse)?;
    Ok(Said::new(args.message_format.tell(&matrix)?, matrix.fails(), undone))
}

/// The matrix of a lock, and what could not be read.
pub(crate) fn of(target: &Target, patterns: &[String], reverse: bool) -> Result<(Matrix, Vec<Error>), Error> {
    let tags = git::tags(&target.lock, patterns)?;
    if tags.is_empty() {
        return Err(Error::new(format!("no tag is called {}", patterns.join(" or ")))
            .help("a clone without tags, as CI makes it, must fetch them first: `git fetch --tags origin`"));
    }
    let (_, today) = target.read_lock()?;
    let (mut locks, mut releases, mut undone) = (Vec::new(), Vec::new(), Vec::new());
    let waiting = Waiting::over(tags.len(), "Reading releases");
    for (done, tag) in tags.into_iter().enumerate() {
        waiting.step(done, tag.to_string().trim_start_matches("refs/tags/"));
        let (lock, unknown) = match at(target, &tag) {
            Ok(Some(lock)) => (Some(lock), None),
            // That a release is older than the lock is no failure.
            Ok(None) => (None, Some("it has no lock".to_owned())),
            Err(error) => {
                let told = error.to_string();
                undone.push(error);
                (None, Some(told))
            }
        };
        releases.push(Release { tag: tag.to_string(), unknown });
        locks.push(lock);
    }
    drop(waiting);
    let waiting = Waiting::at("Comparing releases");
    let maps = rows(&locks, |lock| forward(lock, &today, &target.config.levels));
    let back = reverse.then(|| rows(&locks, |lock| backward(lock, &today)));
    drop(waiting);
    if locks.iter().all(Option::is_none) && undone.is_empty() {
        return Err(Error::new(format!("no release has {}", target.shown_lock()))
            .help("releases are known since the first that has a lock; `cargo maplock check --against REV` takes a commit, too"));
    }
    let matrix = Matrix { lock: target.shown_lock(), releases, maps, back, is_undone: !undone.is_empty() };
    Ok((matrix, undone))
}

impl Release {
    /// Its name, as it is said.
    pub(crate) fn tag(&self) -> &str {
        self.tag.strip_prefix("refs/tags/").unwrap_or(&self.tag)
    }
}

impl Matrix {
    /// In one line.
    pub(crate) fn headline(&self) -> String {
        let known: Vec<_> = self.releases.iter().map(|release| release.unknown.is_none()).collect();
        let losing = |rows: &[Row]| {
            let lost = |at: &usize| rows.iter().any(|row| row.cells[*at].as_ref().is_some_and(|cell| cell.loses));
            let columns = (0..self.releases.len()).filter(lost);
            columns.map(|at| self.releases[at].tag().to_owned()).collect::<Vec<_>>()
        };
        let compared = count(known.iter().filter(|known| **known).count(), "release");
        let unknown = known.iter().filter(|known| !**known).count();
        let must_fit =
            |rows: &[Row]| rows.iter().flat_map(|row| row.cells.iter().flatten()).any(|cell| cell.is_bounded);
        let mut told = match losing(&self.maps).as_slice() {
            _ if unknown == known.len() => "nothing was compared".to_owned(),
            [] if must_fit(&self.maps) => format!(
                "{compared} compared: no upgrade is refused, loses entries or misreads them, as far as the locks tell, if entries fit into smaller maps and members"
            ),
            [] => {
                format!(
                    "{compared} compared: no upgrade is refused, loses entries or misreads them, as far as the locks tell"
                )
            }
            tags => {
                format!(
                    "{compared} compared: upgrades from {} may lose or misread entries or parts of them, or are refused",
                    tags.join(", ")
                )
            }
        };
        if let Some(back) = &self.back {
            told.push_str(&match losing(back).as_slice() {
                [] if must_fit(back) => {
                    "; what each release wrote comes back to it whole, if the entries fit into smaller maps".to_owned()
                }
                [] => "; what each release wrote comes back to it whole".to_owned(),
                tags => format!("; ways back to {} lose something or do not exist", tags.join(", ")),
            });
        }
        let untold = self.maps.iter().filter(|row| row.cells.iter().flatten().any(|cell| cell.untold)).count();
        if untold > 0 {
            told.push_str(&format!("; {} known by size alone", count(untold, "map")));
        }
        if unknown > 0 {
            told.push_str(&format!(
                "; {} {} not known",
                count(unknown, "release"),
                if unknown == 1 { "is" } else { "are" }
            ));
        }
        told
    }

    /// True if a release can't be upgraded from, or not without a loss that nobody accepted: the cells say `refuse`. Also if one could not be read.
    pub(crate) fn fails(&self) -> bool {
        let mut cells = self.maps.iter().flat_map(|row| row.cells.iter().flatten());
        self.is_undone || cells.any(|cell| cell.what == Disposition::Refuse)
    }
}

/// The lock of a release; `None` if it has none.
fn at(target: &Target, tag: &Revision) -> Result<Option<Lock>, Error> {
    let bytes = git::file_at(tag, &target.lock)?;
    if bytes.is_none() && git::locks_at(tag, &target.lock)?.is_empty() {
        return Ok(None);
    }
    let side: Side = base::at_revision(target, tag, bytes, false, &mut Vec::new())?;
    Ok(side.text.is_some().then_some(side.lock))
}

/// A row for each map that any release or today's lock has.
fn rows(locks: &[Option<Lock>], cells: impl Fn(&Lock) -> Vec<(String, Cell)>) -> Vec<Row> {
    let columns: Vec<_> = locks.iter().map(|lock| lock.as_ref().map(&cells).unwrap_or_default()).collect();
    let mut names: Vec<_> = columns.iter().flatten().map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    let mut columns: Vec<_> =
        columns.into_iter().map(|cells| cells.into_iter().collect::<std::collections::BTreeMap<_, _>>()).collect();
    let row = |map: String| {
        let cells = columns.iter_mut().map(|column| column.remove(&map)).collect();
        Row { map, cells }
    };
    names.into_iter().map(row).collect()
}

fn forward(release: &Lock, today: &Lock, levels: &Levels) -> Vec<(String, Cell)> {
    let mut comparison = compare(release, today, levels);
    demand_decisions(&mut comparison);
    let of = |verdict: &Verdict| {
        let mut cell = Cell::of(&comparison, verdict, today);
        cell.must_fit = verdict.must_fit.filter(|_| !cell.loses).map(|must_fit| must_fit.room);
        cell.is_bounded |= cell.must_fit.is_some();
        (verdict.map.clone(), cell)
    };
    comparison.maps.iter().map(of).collect()
}

impl Cell {
    /// What becomes of a map, by the verdict of a comparison with today's lock.
    pub(crate) fn of(comparison: &Comparison, verdict: &Verdict, today: &Lock) -> Self {
        let mut why: Vec<_> = comparison
            .of_map(&verdict.map)
            .filter(|finding| finding.consequence_of.is_none())
            .map(maplock_layout::Finding::short)
            .collect();
        let loss = steps(verdict, today).map(|steps| Loss::of(&steps)).unwrap_or_default();
        why.extend(loss.words(&verdict.map));
        let unfit = loss.unfit(None);
        let is_bounded = unfit.is_some();
        why.extend(unfit.map(|unfit| format!("refused on a node with {unfit}")));
        let is_misread = verdict.misread().any(|reading| reading.risk == Risk::Misread);
        why.extend(verdict.eviction.clone());
        let loses = match verdict.disposition {
            Disposition::Refuse => true,
            Disposition::Migrate => !loss.is_nothing() || verdict.eviction.is_some(),
            _ => verdict.loses_entries() || is_misread || verdict.eviction.is_some(),
        };
        let untold = verdict.untold.is_some() && verdict.disposition != Disposition::Drop;
        Self { what: verdict.disposition, loses, untold, must_fit: None, is_bounded, why: why.join("; ") }
    }
}

fn steps<'a>(verdict: &Verdict, today: &'a Lock) -> Option<Vec<Converting<'a>>> {
    Some(Converting::on_way(today.maps.get(&verdict.map)?, verdict.from?))
}

fn backward(release: &Lock, today: &Lock) -> Vec<(String, Cell)> {
    let of = release.maps.iter().filter(|(_, map)| !map.ephemeral).map(|(name, map)| {
        let newer = way_back::newer(today, name);
        let must_fit = newer.and_then(|newer| way_back::room(newer, map));
        let cell = |what, loses, why: String| Cell {
            what,
            loses,
            untold: map.def.value.is_none() && map.def.value_has_layout(),
            must_fit: must_fit.filter(|_| !loses),
            is_bounded: must_fit.is_some(),
            why,
        };
        let cell = match newer.map(|newer| way_back::to(newer, map)) {
            None => cell(Disposition::Create, false, "the newer release has none".to_owned()),
            Some(Back::Same | Back::Whole { converts: false }) if must_fit.is_none() => {
                cell(Disposition::Reuse, false, String::new())
            }
            Some(Back::Same) => cell(Disposition::Migrate, false, String::new()),
            Some(Back::Whole { .. }) => cell(Disposition::Migrate, false, String::new()),
            Some(Back::Lossy { converts, why }) => {
                cell(if converts { Disposition::Migrate } else { Disposition::Reuse }, true, why)
            }
            Some(Back::None(why)) => cell(Disposition::Refuse, true, why),
        };
        (newer.map_or_else(|| name.clone(), |newer| newer.def.name.clone()), cell)
    });
    of.collect()
}
