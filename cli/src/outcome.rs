//! What a verb found or did about one lock: plain data, which every format tells in its own way.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use maplock_codegen::report::{self, Sides};
use maplock_codegen::{Inputs, SourceLine, counters};
use maplock_layout::history::Converting;
use maplock_layout::lock::{Epoch, Lines, LockedMap, Merge, OnUpgrade};
use maplock_layout::map_type::Fate;
use maplock_layout::rules::{Attribute, Compares, Level};
use maplock_layout::{Comparison, Disposition, Finding, Lock, MapDef, Untold, Verdict, listing};

use crate::conversion::{Conversion, answered};
use crate::error::Error;
use crate::project::{self, Target};
use crate::undone::Undone;
use crate::verbs::on_nodes::OnNodes;
use crate::way_back;

/// How reports name a side that is what the objects of today define.
pub(crate) const OBJECTS: &str = "the objects";

/// What a verb found or did about one lock.
pub(crate) struct Outcome {
    /// The Cargo package, if there is one.
    pub(crate) package: Option<String>,
    /// The lockfile, as a person would write its path.
    pub(crate) lock: String,
    /// The revision that it was held against.
    pub(crate) against: Option<String>,
    pub(crate) old: Side,
    pub(crate) new: Side,
    pub(crate) comparison: Comparison,
    /// Maps whose break leads one way only, each with why, if the configuration denies that.
    pub(crate) one_way: Vec<(String, String)>,
    /// What an upgrade does on nodes, if that is what was asked.
    pub(crate) on_nodes: Option<OnNodes>,
    /// What was written, or waits to be.
    pub(crate) changes: Vec<Change>,
    pub(crate) ending: Ending,
    /// What follows `cargo maplock accept MAP` in the commands to type next; `None` if nothing can be accepted.
    pub(crate) accept: Option<String>,
    /// What selects this lock on the command line.
    pub(crate) selection: String,
    /// What else should be known.
    pub(crate) notes: Vec<String>,
    /// Where the new side's sources are found.
    pub(crate) inputs: Option<Inputs>,
    /// Directories to which the paths of sources may be relative.
    pub(crate) roots: Vec<PathBuf>,
    /// Why it could not be done or is wrong as a whole, if that is its ending.
    pub(crate) undone: Option<Error>,
}

/// One side of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// How reports name it.
    pub(crate) name: String,
    /// Text of the lockfile, if it is one.
    pub(crate) text: Option<String>,
    /// Where that file is now, unless it is one of another revision.
    pub(crate) file: Option<PathBuf>,
    pub(crate) lock: Lock,
    /// Where what is written in the text; asked by every finding.
    pub(crate) lines: OnceCell<Lines>,
}

/// How a verb ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// `check`: the lock is what `update` would write.
    UpToDate,
    /// `check`: `update` would write something else.
    OutOfDate,
    /// Something needs a decision.
    Breaks,
    /// `check --against`: every break is accepted.
    Compatible,
    /// `diff`.
    Compared,
    /// `check --against`: that revision has no lock yet, and so it was said to be right.
    New,
    /// `update`, `accept`: the lock was written.
    Written,
    /// `check --fleet`: held against what nodes have pinned.
    OnNodes,
    /// `check --workspace`: another package locks a map of it otherwise.
    Disagrees,
    /// It could not be done.
    Undone(Undone),
}

/// One change of a lock.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) map: String,
    /// In one word: `created`, `grew`, `shrank`, `dropped`, `respelled`, `changed`, `programs`, `epoch`, `accepted`, `undone`,
    /// `merged`.
    pub(crate) kind: &'static str,
    /// The change in words.
    pub(crate) what: String,
    /// The epoch that was recorded, accepted or taken back.
    pub(crate) epoch: Option<Epoch>,
    /// What old bytes are read as, if it was accepted that they stay.
    pub(crate) readings: Vec<String>,
    /// How entries are converted, if that was accepted.
    pub(crate) conversion: Option<Conversion>,
    /// How members are merged for the life of the map.
    pub(crate) merge: BTreeMap<String, Merge>,
}

impl Outcome {
    /// An outcome that compares nothing yet.
    pub(crate) fn new(target: &Target, ending: Ending) -> Self {
        Self {
            package: target.name().map(str::to_owned),
            lock: target.shown_lock(),
            against: None,
            old: Side::default(),
            new: Side::default(),
            comparison: Comparison::default(),
            one_way: Vec::new(),
            on_nodes: None,
            changes: Vec::new(),
            ending,
            accept: None,
            selection: target.selection.clone(),
            notes: Vec::new(),
            inputs: None,
            roots: target.roots(),
            undone: None,
        }
    }

    /// What could not be done with one lock, though others could.
    pub(crate) fn undone(target: &Target, undone: Undone, error: Error) -> Self {
        Self { undone: Some(error), ..Self::new(target, Ending::Undone(undone)) }
    }

    /// What could not be done. That two locks disagree is found out, and is none.
    pub(crate) fn into_undone(self) -> Option<Error> {
        self.undone.filter(|_| matches!(self.ending, Ending::Undone(_)))
    }

    /// True if it fails a build or a review; of a `diff`, also if a node does not upgrade, as was accepted.
    pub(crate) fn fails(&self) -> bool {
        self.comparison.has_breaks()
            || !self.one_way.is_empty()
            || self.on_nodes.as_ref().is_some_and(OnNodes::fails)
            || matches!(self.ending, Ending::OutOfDate | Ending::Breaks | Ending::Disagrees | Ending::Undone(_))
            || self.ending == Ending::Compared && self.refused().is_some()
    }

    /// The maps for which a node does not upgrade, though all is decided: so it was accepted.
    fn refused(&self) -> Option<String> {
        let refused = self.comparison.maps.iter().filter(|verdict| verdict.disposition == Disposition::Refuse);
        let refused: Vec<_> = refused.map(|verdict| format!("`{}`", verdict.map)).collect();
        (!refused.is_empty())
            .then(|| format!("a node does not upgrade: {} is accepted as `refuse`", refused.join(", ")))
    }

    /// The outcome in one line.
    pub(crate) fn headline(&self) -> String {
        self.headline_against(self.against.as_deref())
    }

    /// The same, where it stands for the comparisons with other revisions, too.
    pub(crate) fn headline_against(&self, revisions: Option<&str>) -> String {
        let verdict = self.verdict_against(revisions);
        let is_verdict = matches!(
            self.ending,
            Ending::UpToDate | Ending::Breaks | Ending::Compatible | Ending::Compared | Ending::New
        );
        match self.comparison.untold().filter(|_| is_verdict) {
            Some(untold) => format!("{verdict}; {untold}"),
            None => verdict,
        }
    }

    /// The same, without what nothing tells.
    fn verdict_against(&self, revisions: Option<&str>) -> String {
        let Self { lock, selection, .. } = self;
        let against = revisions.map_or_else(String::new, |revisions| format!(" against {revisions}"));
        let maps = || count(self.new.lock.maps.len(), "map");
        match self.ending {
            Ending::UpToDate => format!("{lock} is up to date: {}", maps()),
            Ending::OutOfDate => format!("{lock} is out of date; run `cargo maplock update{selection}` and commit it"),
            Ending::Breaks if !self.comparison.has_breaks() && !self.one_way.is_empty() => {
                format!("{lock}{against}: {}", way_back::headline(&self.one_way))
            }
            Ending::Breaks => format!("{lock}{against}: {}", report::summary(&self.comparison)),
            Ending::Compatible => {
                let accepted = self.comparison.maps.iter().filter(|verdict| self.accepted(verdict).is_some()).count();
                let refused = self.refused();
                let breaks = match accepted {
                    0 => "no break".to_owned(),
                    _ => format!("breaks of {} accepted", count(accepted, "map")),
                };
                let lost = refused.or_else(|| (accepted > 0).then(|| self.what_is_lost()));
                let lost = lost.map_or_else(String::new, |lost| format!("; {lost}"));
                format!("{lock}{against}: {}, {breaks}{lost}", maps())
            }
            Ending::Compared if self.comparison.has_breaks() => report::summary(&self.comparison),
            Ending::Compared => self.refused().unwrap_or_else(|| self.what_is_lost()),
            Ending::New => format!("{lock}{against}: nothing to compare with, {} are new since", maps()),
            Ending::OnNodes => {
                format!("{lock}: {}", self.on_nodes.as_ref().map_or_else(String::new, OnNodes::headline))
            }
            Ending::Disagrees => {
                let what = self.undone.as_ref().map_or_else(String::new, ToString::to_string);
                format!("{lock}: {what}")
            }
            Ending::Undone(undone) => format!("{lock}{against}: {}", undone.words()),
            Ending::Written if self.changes.is_empty() => format!("{lock} is up to date already"),
            Ending::Written => format!("{lock} is written; commit it"),
        }
    }

    /// The report of `codegen`, of all findings that `wanted` keeps.
    pub(crate) fn report(&self, styled: bool, wanted: impl Fn(&Finding) -> bool) -> String {
        self.report_with(self.accept.as_deref(), styled, wanted)
    }

    /// The same without the commands that answer a break, if they stand elsewhere.
    pub(crate) fn report_alone(&self, styled: bool, wanted: impl Fn(&Finding) -> bool) -> String {
        self.report_with(None, styled, wanted)
    }

    fn report_with(&self, accept: Option<&str>, styled: bool, wanted: impl Fn(&Finding) -> bool) -> String {
        let findings = self.comparison.findings.iter().filter(|finding| wanted(finding)).cloned().collect();
        let comparison = Comparison { findings, ..self.comparison.clone() };
        let sides = Sides {
            old_name: &self.old.name,
            old_text: self.old.text.as_deref(),
            old: &self.old.lock,
            new: &self.new.lock,
            accept,
            selection: &self.selection,
            roots: &self.roots,
        };
        report::render(&comparison, sides, &|finding| self.locate(finding), styled)
    }

    /// Where the new side of a finding is written: in the sources, or in a lockfile that is the new side.
    fn locate(&self, finding: &Finding) -> Option<SourceLine> {
        match &self.inputs {
            Some(inputs) => inputs.place(finding),
            None => self.new.line(finding),
        }
    }

    /// Where a finding is best shown to a reviewer: in the sources, else in the lockfile of today.
    pub(crate) fn place(&self, finding: &Finding) -> Option<SourceLine> {
        let source = self.inputs.as_ref().and_then(|inputs| inputs.place(finding));
        let source = source.and_then(|at| self.existing(&at));
        source.or_else(|| self.new.line(finding)).or_else(|| self.old.line(finding))
    }

    /// The line with the path of a file that is there.
    fn existing(&self, at: &SourceLine) -> Option<SourceLine> {
        let candidates = self.roots.iter().map(|root| root.join(&at.file));
        let file = candidates.into_iter().find(|path| path.is_file())?;
        Some(SourceLine { file: file.to_string_lossy().into_owned(), line: at.line })
    }

    /// What was accepted of a map's breaks: the answer, with its reason.
    pub(crate) fn accepted(&self, verdict: &Verdict) -> Option<(OnUpgrade, String)> {
        let way = self.comparison.of_map(&verdict.map).filter_map(|finding| finding.accepted).max()?;
        Some((way, verdict.reason.clone().unwrap_or_default()))
    }

    /// Why a map's state has the fate that it has.
    pub(crate) fn why(&self, verdict: &Verdict) -> String {
        let told = || {
            let findings = self.comparison.of_map(&verdict.map);
            let is_change = |finding: &&Finding| {
                let compares = finding.rule.effect.compares;
                finding.consequence_of.is_none() && !matches!(compares, Compares::History | Compares::Programs)
            };
            findings.filter(is_change)
        };
        let mut grave: Vec<_> = told().filter(|finding| finding.level != Level::Allow).collect();
        if grave.is_empty() {
            grave = told().collect();
        }
        // Of another type, all else is of less account.
        grave.sort_by_key(|finding| (finding.rule.effect.attribute != Some(Attribute::Type), finding.rule.tier));
        let first = grave.first();
        let change = match first {
            None => Untold::same(verdict.untold).to_owned(),
            Some(_) => listing::changes(&grave.iter().map(|finding| finding.short()).collect::<Vec<_>>()),
        };
        let change = match &verdict.fate {
            Fate::KeepSize(because) => {
                format!("{change}, but the map keeps its size, and new programs run on that: {because}")
            }
            _ => change,
        };
        let accepted = self.comparison.of_map(&verdict.map).any(|finding| finding.accepted.is_some());
        let why = match verdict.disposition {
            Disposition::Create => "new in this release".to_owned(),
            Disposition::Drop if accepted => {
                let reason = verdict.reason.as_ref().map_or_else(String::new, |reason| format!(": \"{reason}\""));
                format!("gone from this release (accepted{reason}): unpinned at commit, kept for roll-back")
            }
            Disposition::Drop => {
                let is_open = self.comparison.of_map(&verdict.map).any(Finding::is_break);
                let open = if is_open { "; not accepted" } else { "" };
                format!("gone from this release: unpinned at commit, kept for roll-back{open}")
            }
            Disposition::Grow if !accepted => match &verdict.eviction {
                Some(eviction) => format!("{change}; {eviction}"),
                None => format!("{change}, every entry kept"),
            },
            Disposition::Refuse if !accepted => format!("{change}; not accepted"),
            Disposition::Reuse if self.comparison.meanwhile(verdict).is_some() => {
                let meanwhile = self.comparison.meanwhile(verdict).unwrap_or_default();
                format!("{change}; not accepted: {meanwhile}")
            }
            Disposition::Swap if !accepted => match (verdict.fate.words(), first) {
                (Some(words), None) => words.to_owned(),
                (Some(words), Some(_)) => format!("{change}; {words}"),
                (None, _) => change,
            },
            _ if accepted => {
                let reason = verdict.reason.as_ref().map_or_else(String::new, |reason| format!(": \"{reason}\""));
                let more: String = self.answers(verdict).iter().map(|answer| format!("; {answer}")).collect();
                let eviction = verdict.eviction.as_ref().map_or_else(String::new, |eviction| format!("; {eviction}"));
                format!("{change} (accepted{reason}{more}){eviction}")
            }
            _ => change,
        };
        match verdict.untold.filter(|_| matches!(verdict.disposition, Disposition::Reuse | Disposition::Grow)) {
            Some(untold) => format!("{why}; {untold}"),
            None => why,
        }
    }

    /// What was answered beside the reason: how members are merged, and how they are converted.
    pub(crate) fn answers(&self, verdict: &Verdict) -> Vec<String> {
        merged(&verdict.merge).into_iter().chain(answered(&self.steps(verdict))).collect()
    }

    /// The epochs that convert entries on their way.
    pub(crate) fn steps(&self, verdict: &Verdict) -> Vec<Converting<'_>> {
        let map = self.new.lock.maps.get(&verdict.map);
        let steps = map.zip(verdict.from).map(|(map, from)| Converting::on_way(map, from));
        steps.unwrap_or_default()
    }

    /// What to do about the breaks of `map`.
    pub(crate) fn commands(&self, map: &str) -> Vec<report::Command> {
        let commands = self
            .accept
            .as_ref()
            .map(|more| report::commands(&self.comparison, (&self.old.lock, &self.new.lock), map, more));
        commands.unwrap_or_default()
    }

    /// What to do about counters of `map` that nothing says how to merge.
    pub(crate) fn merging(&self, map: &str) -> Vec<report::Command> {
        counters::merging(&self.comparison, map, &self.selection)
    }
}

impl Side {
    /// The line of the lockfile that says what a finding is about: a member, or an attribute of the map.
    fn line(&self, finding: &Finding) -> Option<SourceLine> {
        let lines = self.lines()?;
        let (map, path) = (finding.map.as_str(), finding.path());
        let line = match finding.rule.effect.attribute.filter(|_| path == map) {
            None => lines.find(map, &path)?,
            Some(attribute) => lines.find_attribute(map, attribute)?,
        };
        self.at(line)
    }

    /// The line of the lockfile at which a map begins.
    pub(crate) fn line_of_map(&self, map: &str) -> Option<SourceLine> {
        self.at(self.lines()?.find(map, map)?)
    }

    fn lines(&self) -> Option<&Lines> {
        let text = self.text.as_ref()?;
        Some(self.lines.get_or_init(|| Lines::of(text)))
    }

    fn at(&self, line: usize) -> Option<SourceLine> {
        let file = self.file.as_ref()?.to_string_lossy().into_owned();
        Some(SourceLine { file, line: u64::try_from(line).ok()? })
    }

    /// The lockfile of a target as it is now.
    pub(crate) fn of_lock(target: &Target, text: String, lock: Lock) -> Self {
        let file = Some(project::absolute(&target.lock));
        Self { name: target.shown_lock(), text: Some(text), file, lock, ..Self::default() }
    }

    /// What objects define.
    pub(crate) fn of_objects(inputs: &Inputs) -> Self {
        Self { name: OBJECTS.to_owned(), lock: inputs.observation.lock.clone(), ..Self::default() }
    }
}

/// Denies what must be decided and is not, whatever the configuration says: a level of `allow` silences a finding, but
/// does not tell a node what to do with the entries.
pub(crate) fn demand_decisions(comparison: &mut Comparison) {
    for finding in &mut comparison.findings {
        if finding.holds_back() && finding.accepted.is_none() {
            finding.level = Level::Deny;
        }
    }
}

impl Change {
    /// True if somebody decided, or took that back.
    pub(crate) fn is_decision(&self) -> bool {
        matches!(self.kind, "accepted" | "undone" | "merged")
    }

    pub(crate) fn new(map: &str, kind: &'static str, what: String) -> Self {
        Self {
            map: map.to_owned(),
            kind,
            what,
            epoch: None,
            readings: Vec::new(),
            conversion: None,
            merge: BTreeMap::new(),
        }
    }
}

/// `sum of connections, stats.bytes`, if anything is merged.
pub(crate) fn merged(members: &BTreeMap<String, Merge>) -> Option<String> {
    let of = |how: Merge| {
        let paths: Vec<_> = members.iter().filter(|(_, merge)| **merge == how).map(|(path, _)| path.as_str()).collect();
        let words = if how == Merge::None { "no sum" } else { how.name() };
        (!paths.is_empty()).then(|| format!("{words} of {}", paths.join(", ")))
    };
    let ways: Vec<_> = Merge::ALL.into_iter().filter_map(of).collect();
    (!ways.is_empty()).then(|| ways.join("; "))
}

/// `hash of 64, 8 -> 16 bytes`
pub(crate) fn describe(map: &LockedMap) -> String {
    let of = |def: &MapDef| {
        let capacity = def.map_type.capacity_words(def.max_entries);
        format!("{} {capacity}, {} -> {} bytes", def.map_type, def.key_size, def.value_size)
    };
    let inner = map.def.inner.as_deref().map_or_else(String::new, |inner| format!("; inner map: {}", of(inner)));
    of(&map.def) + &inner
}

/// `1 map`, `2 maps`
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
