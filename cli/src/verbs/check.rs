//! `cargo maplock check`: is the lock what the objects say, does it account for every break since other revisions, and what does it do on nodes?

use maplock_layout::counters::{unmerged, unmerged_since};
use maplock_layout::{Lock, compare, epochs, rules};

use super::{base, disagree, on_nodes};
use crate::Said;
use crate::args::{CheckArgs, Project};
use crate::changes::changes;
use crate::error::Error;
use crate::observed;
use crate::outcome::{Ending, Outcome, Side, demand_decisions};
use crate::programs;
use crate::progress::Waiting;
use crate::project::git::{self, Base, Revision};
use crate::project::{self, Target};
use crate::undone::Undone;
use crate::way_back;

pub(crate) fn run(args: &CheckArgs) -> Result<Said, Error> {
    let targets = project::targets(&args.input)?;
    let mut outcomes = Vec::new();
    if args.against.is_empty() || !args.input.object.is_empty() {
        outcomes = all_fresh(&targets, &args.input.project)?;
    }
    let refuse_several = targets.len() > 1 && args.against.iter().any(|base| matches!(base, Base::File(_)));
    if refuse_several {
        return Err(Error::new("REV:PATH is one lock, and several packages have one now")
            .help("choose the package that it became with -p"));
    }
    let from = outcomes.len();
    for target in &targets {
        outcomes.extend(held(target, &args.against, args.allow_new));
        if target.config.across_all && !args.against.is_empty() {
            outcomes.extend(releases(target, &args.against));
        }
    }
    once(&mut outcomes[from..]);
    if targets.iter().any(Target::is_one_of_all) {
        let compared: Vec<_> = outcomes[from..].iter().map(|outcome| outcome.old.name.clone()).collect();
        for base in &args.against {
            let Base::Revision(revision) = base else { continue };
            // A revision that git does not know was told above.
            let vanished = base::vanished(&targets, revision, &compared).unwrap_or_default();
            outcomes.extend(vanished.into_iter().map(|(target, error)| not_compared(&target, base, error)));
        }
    }
    match targets.as_slice() {
        _ if args.fleet.is_empty() => {}
        [target] => on_nodes::add(target, &args.fleet, &mut outcomes),
        _ => {
            return Err(Error::new("a node's pins are those of one lock, and several packages have one")
                .help("choose the package with -p"));
        }
    }
    if args.input.project.workspace {
        outcomes.extend(disagree::between(&targets));
    }
    Said::of(outcomes, args.message_format)
}

/// The lock held against each release that the configuration names, but for those that are compared anyway and those that have no lock.
fn releases(target: &Target, bases: &[Base]) -> Vec<Outcome> {
    let named = || -> Result<Vec<Revision>, Error> {
        let patterns = &target.config.releases;
        if patterns.is_empty() {
            return Err(Error::new("`across = \"all\"` names no releases")
                .help("say which tags are releases: `releases = \"v*\"`"));
        }
        let tags = git::tags(&target.lock, patterns)?;
        if tags.is_empty() {
            return Err(Error::new(format!("no tag is called {}", patterns.join(" or ")))
                .help("a clone without tags, as CI makes it, must fetch them first: `git fetch --tags origin`"));
        }
        let waiting = Waiting::over(tags.len(), "Looking for locks");
        let has_lock = |(done, tag): &(usize, Revision)| {
            waiting.step(*done, short(&tag.to_string()));
            git::locks_at(tag, &target.lock).map_or(true, |locks| !locks.is_empty())
        };
        Ok(tags.into_iter().enumerate().filter(has_lock).map(|(_, tag)| tag).collect())
    };
    let tags = match named() {
        Ok(tags) => tags,
        Err(error) => return vec![Outcome::undone(target, Undone::Compared, error)],
    };
    let is_named = |tag: &Revision| bases.iter().any(|base| format!("{TAGS}{base}") == tag.to_string());
    let bases: Vec<_> = tags.into_iter().filter(|tag| !is_named(tag)).map(Base::Revision).collect();
    let mut outcomes = held(target, &bases, true);
    for outcome in &mut outcomes {
        // As a person calls it: that it is no branch is known here.
        outcome.against = outcome.against.as_deref().map(|name| short(name).to_owned());
        outcome.old.name = short(&outcome.old.name).to_owned();
    }
    outcomes
}

/// Holds the lock against that of each of these; what could not be compared is told as that.
pub(super) fn held(target: &Target, bases: &[Base], allow_new: bool) -> Vec<Outcome> {
    let waiting = Waiting::over(bases.len(), "Comparing");
    let compared = bases.iter().enumerate().map(|(done, base)| {
        waiting.step(done, short(&base.to_string()));
        against(target, base, allow_new).unwrap_or_else(|error| not_compared(target, base, error))
    });
    compared.collect()
}

/// A tag as a person calls it.
fn short(name: &str) -> &str {
    name.strip_prefix(TAGS).unwrap_or(name)
}

/// How git calls tags in full.
const TAGS: &str = "refs/tags/";

/// What programs do is no matter of the release that is compared with: what was said of a lock is not said again.
fn once(outcomes: &mut [Outcome]) {
    let mut told: Vec<(String, String, String)> = Vec::new();
    for outcome in outcomes {
        let lock = outcome.lock.clone();
        outcome.comparison.findings.retain(|finding| {
            let this = (lock.clone(), finding.map.clone(), finding.message());
            let is_again = finding.rule == &rules::UNMERGED_COUNTER && told.contains(&this);
            told.extend((finding.rule == &rules::UNMERGED_COUNTER && !is_again).then_some(this));
            !is_again
        });
    }
}

fn not_compared(target: &Target, base: &Base, error: Error) -> Outcome {
    Outcome { against: Some(base.to_string()), ..Outcome::undone(target, Undone::Compared, error) }
}

/// Holds the objects of each target against its lock. What can't be done for one hinders no other.
pub(super) fn all_fresh(targets: &[Target], project: &Project) -> Result<Vec<Outcome>, Error> {
    // A lock that can't be read is told before a build that may take minutes.
    let locks: Vec<_> = targets.iter().map(Target::read_lock).collect();
    let readable = targets.iter().zip(&locks).filter(|(_, lock)| lock.is_ok()).map(|(target, _)| target);
    let mut inputs = project::inputs(&readable.collect::<Vec<_>>(), project)?.into_iter();
    let outcomes = targets.iter().zip(locks).map(|(target, lock)| {
        let compared = lock.and_then(|(text, lock)| match inputs.next() {
            Some(inputs) => Ok(fresh(target, inputs?, text, lock)),
            None => Err(Error::new("there are no objects")),
        });
        compared.unwrap_or_else(|error| Outcome::undone(target, Undone::Compared, error))
    });
    Ok(outcomes.collect())
}

/// Holds the objects against the lock.
fn fresh(target: &Target, inputs: maplock_codegen::Inputs, text: String, lock: Lock) -> Outcome {
    let observation = &inputs.observation;
    let mut comparison = compare(&lock, &observation.lock, &target.config.levels);
    comparison.findings.splice(0..0, observation.conflicts.iter().cloned());
    let mut outcome = Outcome::new(target, Ending::Breaks);
    let mut programs = None;
    match epochs::update(&lock, observation, &target.config.levels) {
        Err(_) => demand_decisions(&mut comparison),
        Ok(_) if !observation.conflicts.is_empty() => {}
        Ok(updated) => {
            outcome.changes = changes(&lock, &updated);
            // What programs do is no part of what is locked: nodes know it from the build.
            let is_fresh = updated.to_string() == text || programs::as_known(&updated, &lock).to_string() == text;
            outcome.ending = if is_fresh { Ending::UpToDate } else { Ending::OutOfDate };
            if is_fresh {
                outcome.changes.clear();
                programs = programs::unrecorded(&lock, &updated, &target.selection);
            }
        }
    }
    comparison.findings.extend(unmerged(&lock, &observation.lock, &target.config.levels));
    if outcome.ending == Ending::UpToDate && comparison.has_breaks() {
        outcome.ending = Ending::Breaks;
    }
    outcome.accept = Some(target.selection.clone());
    outcome.comparison = comparison;
    outcome.new = Side::of_objects(&inputs);
    outcome.new.lock.maps.retain(|_, map| !map.ephemeral);
    outcome.old = Side::of_lock(target, text, lock);
    // Once the lock has it, it is known.
    if outcome.ending != Ending::UpToDate {
        outcome.notes = observed::notes(observation);
    } else {
        outcome.notes = observed::notes_of_versions(observation);
    }
    outcome.notes.extend(programs);
    outcome.inputs = Some(inputs);
    outcome
}

/// Holds the lock against that of another revision.
fn against(target: &Target, revision: &Base, allow_new: bool) -> Result<Outcome, Error> {
    let (text, lock) = target.read_lock()?;
    let mut outcome = Outcome::new(target, Ending::Compatible);
    outcome.against = Some(revision.to_string());
    outcome.old = base::of(target, revision, allow_new, &mut outcome.notes)?;
    outcome.comparison = compare(&outcome.old.lock, &lock, &target.config.levels);
    // The levels are those of the tree that is under review; they don't decide whether its breaks count.
    demand_decisions(&mut outcome.comparison);
    if outcome.old.text.is_some() {
        outcome.comparison.findings.extend(unmerged_since(&outcome.old.lock, &lock, &target.config.levels));
    }
    outcome.accept = Some(format!(" --against {}{}", project::shell_word(&revision.to_string()), target.selection));
    outcome.new = Side::of_lock(target, text, lock);
    outcome.notes.extend(programs::note(&outcome.old.lock, &outcome.new.lock));
    if outcome.old.text.is_none() {
        outcome.ending = Ending::New;
    }
    if target.config.both_directions {
        outcome.one_way = way_back::one_way(&outcome.comparison, &outcome.old.lock, &outcome.new.lock);
    }
    if outcome.comparison.has_breaks() || !outcome.one_way.is_empty() {
        outcome.ending = Ending::Breaks;
    }
    Ok(outcome)
}
