//! `cargo maplock accept`: a break that is right, and what nodes do about it.

use std::collections::BTreeMap;

use maplock_layout::config::Levels;
use maplock_layout::conversion::Answers;
use maplock_layout::epochs::{self, EpochError};
use maplock_layout::history::Converting;
use maplock_layout::identity::Identities;
use maplock_layout::lock::{Merge, OnUpgrade};
use maplock_layout::rules;
use maplock_layout::{Lock, MapDef, Observation, compare};

use super::base;
use super::new_meaning;
use crate::Said;
use crate::args::{AcceptArgs, OnUpgradeArg, Project};
use crate::asked;
use crate::conversion::Conversion;
use crate::effect;
use crate::error::Error;
use crate::observed;
use crate::outcome::{self, Change, Ending, Outcome, Side, demand_decisions};
use crate::programs;
use crate::project::git::Base;
use crate::project::lockfile::{self, Editing};
use crate::project::{self, Target};

impl From<OnUpgradeArg> for OnUpgrade {
    fn from(arg: OnUpgradeArg) -> Self {
        match arg {
            OnUpgradeArg::Reuse => Self::Reuse,
            OnUpgradeArg::Migrate => Self::Migrate,
            OnUpgradeArg::Swap => Self::Swap,
            OnUpgradeArg::Drop => Self::Drop,
            OnUpgradeArg::Refuse => Self::Refuse,
        }
    }
}

pub(crate) fn run(args: &AcceptArgs) -> Result<Said, Error> {
    let outcome = into(&chosen(args)?, args, &args.input.project)?;
    Ok(Said::well(args.message_format.tell(&[outcome][..])?))
}

/// Writes the answer into the lock of `target`, whose objects are built as `project` says.
pub(super) fn into(target: &Target, args: &AcceptArgs, project: &Project) -> Result<Outcome, Error> {
    if let (Some(old), [_, _, ..]) = (&args.renamed_from, args.maps.as_slice()) {
        return Err(Error::new(format!("only one map can be `{old}` under another name")));
    }
    let merge: BTreeMap<_, _> = args.merge.iter().cloned().collect();
    let accepts = args.on_upgrade.is_some() || args.renamed_from.is_some();
    match (args.undo, &args.reason) {
        (false, _) if !accepts => merged(target, args, &merge),
        (false, Some(reason)) => {
            let once = args.merge_once.iter().cloned().collect();
            let answers = args.convert.answers();
            let on_upgrade = args.on_upgrade.map(OnUpgrade::from);
            let renamed_from = args.renamed_from.as_deref();
            let answer = Answer { maps: &args.maps, on_upgrade, renamed_from, merge, once, answers, reason };
            match &args.against {
                Some(revision) => accept_against(target, revision, answer),
                None => accept(target, project, args.new_meaning, answer),
            }
        }
        _ => undo(target, &args.maps),
    }
}

/// The one lock that has the maps.
fn chosen(args: &AcceptArgs) -> Result<Target, Error> {
    let mut targets = project::targets(&args.input)?;
    if targets.len() > 1 {
        let has_all = |target: &Target| {
            let lock = target.read_lock().map(|(_, lock)| lock).unwrap_or_default();
            let named = args.renamed_from.as_ref().map_or(args.maps.as_slice(), std::slice::from_ref);
            named.iter().all(|map| lock.maps.contains_key(map) || lock.gone.contains_key(map))
        };
        let with = targets.iter().filter(|target| has_all(target)).count();
        if with == 1 {
            return targets.into_iter().find(has_all).ok_or_else(|| Error::new("no package is selected"));
        }
        // Of none that has the maps, or of several, any may be meant.
        let candidates = targets.iter().filter(|target| with == 0 || has_all(target));
        let names: Vec<_> = candidates.filter_map(Target::name).collect();
        let maps: Vec<_> = args.maps.iter().map(|map| format!("`{map}`")).collect();
        return Err(Error::new(format!("could not tell which package's {} is meant", maps.join(", ")))
            .help(format!("choose one with -p: {}", names.join(", "))));
    }
    targets.pop().ok_or_else(|| Error::new("no package is selected"))
}

#[derive(Clone)]
struct Answer<'a> {
    maps: &'a [String],
    /// `None` if a map goes on under another name, and nothing else is said.
    on_upgrade: Option<OnUpgrade>,
    renamed_from: Option<&'a str>,
    /// For the life of the map.
    merge: BTreeMap<String, Merge>,
    /// On this way alone.
    once: BTreeMap<String, Merge>,
    answers: Option<Answers>,
    reason: &'a str,
}

impl Answer<'_> {
    /// The lock in which the change of `map` is accepted so. `today` has it as it was before somebody answered.
    fn entered(
        &self,
        lock: &Lock,
        today: &Lock,
        observed: &Observation,
        map: &str,
        levels: &Levels,
    ) -> Result<Lock, EpochError> {
        let accepted = match self.renamed_from {
            Some(old) => epochs::rename(lock, observed, (old, map), self.on_upgrade, self.reason, levels)?,
            None => epochs::accept(lock, observed, map, self.way(), self.reason, levels)?,
        };
        if accepted.gone.contains_key(map) {
            return self.only_given_up(map).map(|()| accepted);
        }
        let accepted = epochs::convert(&accepted, map, self.answers.as_ref())?;
        let accepted = epochs::keep_merged(&accepted, today, map);
        let accepted = epochs::merge(&accepted, map, &self.merge)?;
        // Another answer to what was accepted before does not take back how members are merged.
        if self.once.is_empty() { Ok(accepted) } else { epochs::merge_once(&accepted, map, &self.once) }
    }
}

impl Answer<'_> {
    fn way(&self) -> OnUpgrade {
        self.on_upgrade.unwrap_or(OnUpgrade::Reuse)
    }

    /// Of a map that is no more, nothing else can be said.
    fn only_given_up(&self, map: &str) -> Result<(), EpochError> {
        let (map, on_upgrade) = (map.to_owned(), OnUpgrade::Drop);
        match (&self.answers, self.merge.is_empty() && self.once.is_empty()) {
            (Some(_), _) => Err(EpochError::NothingToConvert { map, on_upgrade }),
            (None, false) => Err(EpochError::NothingToMerge { map, on_upgrade }),
            (None, true) => Ok(()),
        }
    }
}

fn accept(target: &Target, project: &Project, new_meaning: bool, answer: Answer<'_>) -> Result<Outcome, Error> {
    target.read_lock()?;
    let mut inputs = project::inputs_of(target, project)?;
    let editing = Editing::begin(&target.lock)?;
    let (text, before) = parse(target, &editing)?;
    if new_meaning {
        new_meaning::raise(&mut inputs, &before, answer.maps)?;
    }
    let observed = &inputs.observation;
    let levels = &target.config.levels;
    if let Some(conflict) = observed.conflicts.iter().find(|conflict| answer.maps.contains(&conflict.map)) {
        return Err(Error::new(conflict.message())
            .help("which of the two a node gets depends on the order of loading; make them alike"));
    }
    let mut after = before.clone();
    for map in answer.maps {
        after = answer.entered(&after, &before, observed, map, levels).map_err(|error| match error {
            EpochError::NothingToAccept(_) => refused(&error, &before).help(new_meaning::hint(map, &target.selection)),
            error => refused(&error, &before),
        })?;
    }
    let mut outcome = written(target, editing, text, before, after, "accepted", answer.maps)?;
    // As a text: of what is not in it, nothing waits.
    let new_text = outcome.new.lock.to_string();
    let mut rest = compare(&outcome.new.lock, &observed.lock, levels);
    demand_decisions(&mut rest);
    let mut open: Vec<_> =
        rest.findings.iter().filter(|finding| finding.is_break()).map(|f| format!("`{}`", f.map)).collect();
    open.dedup();
    if !open.is_empty() {
        outcome.notes.push(format!("still to be decided: {}", open.join(", ")));
    } else if epochs::update(&outcome.new.lock, observed, levels).is_ok_and(|updated| updated.to_string() != new_text) {
        outcome.notes.push(format!("safe changes wait for `cargo maplock update{}`", target.selection));
    }
    outcome.notes.extend(observed::notes_of_versions(observed));
    outcome.notes.extend(programs::counters(target, &outcome.new.lock, &inputs, answer.maps));
    outcome.inputs = Some(inputs);
    Ok(outcome)
}

/// Accepts how the lock of today follows from that of a revision from which no epoch leads here: a release of another
/// branch, or one whose lock was written anew since.
fn accept_against(target: &Target, revision: &Base, answer: Answer<'_>) -> Result<Outcome, Error> {
    let mut notes = Vec::new();
    let base = base::of(target, revision, false, &mut notes)?.lock;
    let editing = Editing::begin(&target.lock)?;
    let (text, before) = parse(target, &editing)?;
    let now = Observation { lock: before.clone(), ..Observation::default() };
    let levels = &target.config.levels;
    let mut after = before.clone();
    for map in answer.maps {
        if let Some(old) = answer.renamed_from {
            let known = epochs::renamed_since(&after, &base, (old, map)).map_err(|error| refused(&error, &before))?;
            after = answer.entered(&known, &before, &now, map, levels).map_err(|error| refused(&error, &before))?;
            continue;
        }
        if answer.on_upgrade == Some(OnUpgrade::Drop) {
            answer.only_given_up(map).map_err(|error| refused(&error, &before))?;
            after = epochs::gone_since(&after, &base, map, answer.reason).map_err(|error| refused(&error, &before))?;
            continue;
        }
        let was = |name: &str| base.maps.get(name).is_some_and(|map| !map.ephemeral);
        let was = Identities::find(&before, was).before(map).unwrap_or(map);
        let (Some(released), Some(current)) = (base.maps.get(was), before.maps.get(map)) else {
            let known: Vec<_> =
                base.maps.keys().filter(|name| before.maps.contains_key(*name)).map(String::as_str).collect();
            return Err(Error::new(format!("map `{map}` is not in both {} and {revision}", target.shown_lock()))
                .help(format!("in both are: {}", known.join(", "))));
        };
        let (from, to) = (released.def.digest(), current.def.digest());
        // What was accepted for this very step before is said anew, but for what it sums.
        let mut answer = answer.clone();
        let before = current.epochs.iter().rfind(|epoch| (epoch.from, epoch.to) == (from, to));
        if let Some(before) = before.filter(|_| answer.once.is_empty() && answer.way().keeps_entries()) {
            answer.once.clone_from(&before.merge);
        }
        if let Some(before) = before.filter(|_| answer.answers.is_none() && answer.way() == OnUpgrade::Migrate) {
            answer.answers = Some(before.convert.clone());
        }
        let mut known = current.clone();
        known.def = MapDef { name: map.clone(), ..released.def.clone() };
        known.epochs.retain(|epoch| epoch.from == to || (epoch.from, epoch.to) != (from, to));
        let mut observed = now.clone();
        observed.lock.maps.entry(map.clone()).and_modify(|map| map.epochs.clear());
        let one =
            |of: &maplock_layout::lock::LockedMap| Lock { maps: [(map.clone(), of.clone())].into(), ..Lock::default() };
        let changed = compare(&one(&known), &one(&observed.lock.maps[map]), levels);
        if !changed.findings.iter().any(|finding| finding.is_break() || finding.needs_decision()) {
            return Err(Error::new(format!("map `{map}` broke nothing since {revision}: there is nothing to accept")));
        }
        after.maps.insert(map.clone(), known);
        after =
            answer.entered(&after, &now.lock, &observed, map, levels).map_err(|error| refused(&error, &now.lock))?;
    }
    let mut outcome = written(target, editing, text, before, after, "accepted", answer.maps)?;
    outcome.notes.extend(notes);
    Ok(outcome)
}

/// How members of maps are merged for life, if no change is accepted.
fn merged(target: &Target, args: &AcceptArgs, members: &BTreeMap<String, Merge>) -> Result<Outcome, Error> {
    if !args.merge_once.is_empty() || args.new_meaning || args.convert.answers().is_some() || args.against.is_some() {
        return Err(Error::new("`--merge` alone accepts no change, but the other options are about one")
            .help("say what nodes do with the entries: --on-upgrade, and --reason why"));
    }
    let editing = Editing::begin(&target.lock)?;
    let (text, before) = parse(target, &editing)?;
    let mut after = before.clone();
    for map in &args.maps {
        after = epochs::merge(&after, map, members).map_err(|error| refused(&error, &before))?;
    }
    let mut outcome = written(target, editing, text, before, after, "merged", &args.maps)?;
    if args.reason.is_some() {
        outcome.notes.push("the reason is not recorded: `--merge` alone needs none".to_owned());
    }
    Ok(outcome)
}

fn undo(target: &Target, maps: &[String]) -> Result<Outcome, Error> {
    let editing = Editing::begin(&target.lock)?;
    let (text, before) = parse(target, &editing)?;
    let mut after = before.clone();
    for map in maps {
        after = epochs::undo(&after, map).map_err(|error| refused(&error, &before))?;
    }
    written(target, editing, text, before, after, "undone", maps)
}

fn parse(target: &Target, editing: &Editing) -> Result<(String, Lock), Error> {
    let text = editing.text.clone().ok_or_else(|| target.no_lock())?;
    let lock = lockfile::parse(&target.shown_lock(), &text)?;
    Ok((text, lock))
}

/// Writes the lock, and tells what became of each map's epochs.
fn written(
    target: &Target,
    editing: Editing,
    text: String,
    before: Lock,
    after: Lock,
    kind: &'static str,
    maps: &[String],
) -> Result<Outcome, Error> {
    let new_text = after.to_string();
    editing.write(&new_text)?;
    let mut outcome = Outcome::new(target, Ending::Written);
    let mut notes = Vec::new();
    for map in maps {
        let newest = |lock: &Lock| {
            let epochs =
                lock.maps.get(map).map(|map| &map.epochs).or_else(|| lock.gone.get(map).map(|gone| &gone.epochs));
            epochs.and_then(|epochs| epochs.last().cloned())
        };
        let epoch = newest(if kind == "undone" { &before } else { &after }).filter(|_| kind != "merged");
        let verdict = epoch.as_ref().and_then(|epoch| effect::verdict(map, epoch, &after));
        let mut what = epoch.as_ref().map_or_else(String::new, |epoch| effect::words(epoch, verdict.as_ref()));
        let readings = verdict.filter(|_| kind == "accepted").as_ref().map(Outcome::readings).unwrap_or_default();
        let is_renamed = epoch.as_ref().is_some_and(|epoch| epoch.rules.iter().any(|id| id == rules::MAP_RENAMED.id));
        let old = after.maps.get(map).and_then(|map| map.renamed_from.first()).filter(|_| is_renamed);
        if let Some(old) = old.filter(|_| kind == "accepted") {
            what.push_str(&format!("; it finds them under the old name, `{old}`"));
        }
        let converts = after.maps.get(map).filter(|_| kind == "accepted").and_then(|locked| {
            let steps = Converting::all(locked).into_iter();
            steps.rev().find(|step| Some(step.epoch) == epoch.as_ref())
        });
        let conversion = converts.map(|step| Conversion::of(map, &step));
        let members = |lock: &Lock| lock.maps.get(map).map(|map| map.merge.clone()).unwrap_or_default();
        let (merged, merge) = (members(&before), members(&after));
        if kind == "merged" {
            what = merge_words(&merged, &merge);
        } else if let Some(lost) = no_longer(&merged, &merge) {
            notes.push(format!("`{map}`: {lost}"));
        }
        outcome.changes.push(Change { epoch, readings, conversion, merge, ..Change::new(map, kind, what) });
    }
    if kind == "accepted" {
        let older = |name: &String| after.maps.get(name).into_iter().flat_map(|map| &map.renamed_from);
        let is_told = |name: &String| maps.contains(name) || maps.iter().flat_map(older).any(|older| older == name);
        let only = |lock: &Lock| {
            let mut lock = lock.clone();
            lock.maps.retain(|name, _| is_told(name));
            lock.gone.retain(|name, _| is_told(name));
            lock
        };
        outcome.comparison = compare(&only(&before), &only(&after), &target.config.levels);
    }
    outcome.notes = notes;
    outcome.old = Side::of_lock(target, text, before);
    outcome.new = Side::of_lock(target, new_text, after);
    Ok(outcome)
}

/// What is merged otherwise than before, in words.
fn merge_words(before: &BTreeMap<String, Merge>, after: &BTreeMap<String, Merge>) -> String {
    let new = |how: Merge, effect: &str| {
        let new = after.iter().filter(|(path, now)| **now == how && before.get(*path) != Some(now));
        let new: BTreeMap<_, _> = new.map(|(path, how)| (path.clone(), *how)).collect();
        outcome::merged(&new)
            .map(|new| format!("{new}, for the life of the map: whenever its entries are carried over, {effect}"))
    };
    let words = [
        new(Merge::Sum, "the counts of old and new programs are added up"),
        new(Merge::None, "what new programs wrote stays as it is"),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { "merged so already".to_owned() } else { words.join("; ") }
}

/// `hits no longer summed`, if members were and are not.
fn no_longer(before: &BTreeMap<String, Merge>, after: &BTreeMap<String, Merge>) -> Option<String> {
    let summed_alone = |of: &BTreeMap<String, Merge>, other: &BTreeMap<String, Merge>| -> Vec<String> {
        let summed = of.iter().filter(|(path, how)| **how == Merge::Sum && !other.contains_key(*path));
        summed.map(|(path, _)| path.clone()).collect()
    };
    let (gone, now) = (summed_alone(before, after), summed_alone(after, before));
    let now = if now.is_empty() { String::new() } else { format!(", {} is", now.join(", ")) };
    (!gone.is_empty()).then(|| format!("no longer summed: {}{now}", gone.join(", ")))
}

/// `lock` is the one that was to be changed.
fn refused(error: &EpochError, lock: &Lock) -> Error {
    match error {
        EpochError::Unanswered { map, problems } => asked::error(map, problems),
        EpochError::NoSuchMap { .. } | EpochError::NotLocked { .. } if !lock.maps.is_empty() => {
            let names: Vec<_> = lock.maps.keys().map(String::as_str).collect();
            Error::new(error.to_string()).help(format!("the lock has {}", names.join(", ")))
        }
        _ => Error::new(error.to_string()),
    }
}
