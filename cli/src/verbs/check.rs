//! `cargo maplock check`: is the lock what the objects say, and does it account for every break since other revisions?

use maplock_layout::{Lock, compare, epochs};

use crate::Said;
use crate::args::CheckArgs;
use crate::error::Error;
use crate::observed;
use crate::outcome::{Ending, Outcome, Side, changes, demand_decisions};
use crate::project::git::Revision;
use crate::project::{self, Target, git, lockfile};
use crate::undone::Undone;

pub(crate) fn run(args: &CheckArgs) -> Result<Said, Error> {
    let targets = project::targets(&args.input)?;
    let mut outcomes = Vec::new();
    if args.against.is_empty() || !args.input.object.is_empty() {
        outcomes = all_fresh(&targets, args)?;
    }
    for target in &targets {
        for revision in &args.against {
            let compared = against(target, revision, args.allow_new);
            outcomes.push(compared.unwrap_or_else(|error| {
                let undone = Outcome::undone(target, Undone::Compared, error);
                Outcome { against: Some(revision.to_string()), ..undone }
            }));
        }
    }
    Said::of(outcomes, args.message_format)
}

/// Holds the objects of each target against its lock. What can't be done for one hinders no other.
fn all_fresh(targets: &[Target], args: &CheckArgs) -> Result<Vec<Outcome>, Error> {
    // A lock that can't be read is told before a build that may take minutes.
    let locks: Vec<_> = targets.iter().map(Target::read_lock).collect();
    let readable = targets.iter().zip(&locks).filter(|(_, lock)| lock.is_ok()).map(|(target, _)| target);
    let mut inputs = project::inputs(&readable.collect::<Vec<_>>(), &args.input.project)?.into_iter();
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
    match epochs::update(&lock, observation, &target.config.levels) {
        Err(_) => demand_decisions(&mut comparison),
        Ok(_) if !observation.conflicts.is_empty() => {}
        Ok(updated) => {
            outcome.changes = changes(&lock, &updated);
            outcome.ending = if updated.to_string() == text { Ending::UpToDate } else { Ending::OutOfDate };
        }
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
    outcome.inputs = Some(inputs);
    outcome
}

/// Holds the lock against that of another revision.
fn against(target: &Target, revision: &Revision, allow_new: bool) -> Result<Outcome, Error> {
    let (text, lock) = target.read_lock()?;
    let mut outcome = Outcome::new(target, Ending::Compatible);
    outcome.against = Some(revision.to_string());
    let base = git::file_at(revision, &target.lock)?;
    outcome.old = old_side(target, revision, base, allow_new, &mut outcome.notes)?;
    outcome.comparison = compare(&outcome.old.lock, &lock, &target.config.levels);
    // The levels are those of the tree that is under review; they don't decide whether its breaks count.
    demand_decisions(&mut outcome.comparison);
    outcome.accept = Some(format!(" --against {}{}", project::shell_word(&revision.to_string()), target.selection));
    outcome.new = Side::of_lock(target, text, lock);
    if outcome.old.text.is_none() {
        outcome.ending = Ending::New;
    }
    if outcome.comparison.has_breaks() {
        outcome.ending = Ending::Breaks;
    }
    Ok(outcome)
}

/// The lock that a target had at another revision; an empty one, with a note, where it had none.
pub(crate) fn old_side(
    target: &Target,
    revision: &Revision,
    bytes: Option<Vec<u8>>,
    allow_new: bool,
    notes: &mut Vec<String>,
) -> Result<Side, Error> {
    let shown = target.shown_lock();
    let Some(bytes) = bytes else {
        let moved = git::files_gone_since(revision, &target.lock)?;
        if !moved.is_empty() {
            return Err(Error::new(format!("{revision} has no {shown}, but {}, which is no more", moved.join(", ")))
                .because("a lock that moved has to be moved with what it says; `git mv` it, and don't `init` anew")
                .help(format!("compare the two: `cargo maplock diff {revision}:{} {shown}`", moved[0])));
        }
        // A lock that is new beside others of that revision is one of a new package. Where there is none, most likely the wrong revision
        // was named, or the lock was never committed.
        if !allow_new && git::locks_at(revision, &target.lock)?.is_empty() {
            return Err(Error::new(format!("{revision} has no {shown}, nor any other"))
                .help("name a revision that has one, or say by --allow-new that the lock is newer than it"));
        }
        notes.push(format!("{revision} has no {shown}: every map is new since"));
        return Ok(Side { name: revision.to_string(), ..Side::default() });
    };
    let name = format!("{revision}:{shown}");
    let (text, lock) = historic(&name, &bytes)?;
    Ok(Side { name, text: Some(text), file: None, lock })
}

/// A lockfile out of git's history, where nobody can mend the ends of its lines any more.
pub(crate) fn historic(name: &str, bytes: &[u8]) -> Result<(String, Lock), Error> {
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|error| Error::new(format!("could not read {name}")).because(error))?;
    let text = text.replace("\r\n", "\n");
    let lock = lockfile::parse(name, &text)?;
    Ok((text, lock))
}
