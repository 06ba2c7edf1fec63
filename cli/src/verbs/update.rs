//! `cargo maplock update`: safe changes into the lock.

use maplock_codegen::Inputs;
use maplock_layout::counters::unmerged;
use maplock_layout::lock::{LockError, LockProblem};
use maplock_layout::{Lock, compare, epochs};

use crate::Said;
use crate::args::UpdateArgs;
use crate::changes::changes;
use crate::error::Error;
use crate::observed;
use crate::outcome::{Change, Ending, Outcome, Side, demand_decisions};
use crate::programs;
use crate::project::lockfile::{self, Editing};
use crate::project::{self, Target};
use crate::undone::Undone;

pub(crate) fn run(args: &UpdateArgs) -> Result<Said, Error> {
    let targets = project::targets(&args.input)?;
    for target in &targets {
        let text = lockfile::read(&target.lock)?.ok_or_else(|| target.no_lock())?;
        parse(target, &text)?;
    }
    let inputs = project::inputs(&targets.iter().collect::<Vec<_>>(), &args.input.project)?;
    let mut outcomes = Vec::new();
    for (target, inputs) in targets.iter().zip(inputs) {
        let written = inputs.and_then(|inputs| update(target, inputs));
        outcomes.push(written.unwrap_or_else(|error| Outcome::undone(target, Undone::Written, error)));
    }
    Said::of(outcomes, args.message_format)
}

/// Reads a lock of which the ends of lines may be wrong: this verb mends them.
fn parse(target: &Target, text: &str) -> Result<Lock, Error> {
    match Lock::parse(text) {
        Err(LockError { problem: LockProblem::CrLf, .. }) => {
            lockfile::parse(&target.shown_lock(), &text.replace("\r\n", "\n"))
        }
        _ => lockfile::parse(&target.shown_lock(), text),
    }
}

fn update(target: &Target, inputs: Inputs) -> Result<Outcome, Error> {
    let editing = Editing::begin(&target.lock)?;
    let text = editing.text.clone().ok_or_else(|| target.no_lock())?;
    let lock = parse(target, &text)?;
    let observation = &inputs.observation;
    let mut outcome = Outcome::new(target, Ending::Written);
    let mut counters = Vec::new();
    outcome.comparison = compare(&lock, &observation.lock, &target.config.levels);
    outcome.comparison.findings.splice(0..0, observation.conflicts.iter().cloned());
    outcome.accept = Some(target.selection.clone());
    match epochs::update(&lock, observation, &target.config.levels) {
        Err(_) => {
            demand_decisions(&mut outcome.comparison);
            outcome.ending = Ending::Breaks;
        }
        Ok(_) if !observation.conflicts.is_empty() => outcome.ending = Ending::Breaks,
        Ok(updated) => {
            outcome.changes = changes(&lock, &updated);
            let written = updated.to_string();
            if written != text {
                if outcome.changes.is_empty() {
                    let what = if text.contains('\r') {
                        "lines end in LF again"
                    } else {
                        "written anew, with the same meaning"
                    };
                    outcome.changes.push(Change::new("", "rewritten", what.to_owned()));
                }
                editing.write(&written)?;
            }
            let changed: std::collections::BTreeSet<_> = outcome.changes.iter().map(|change| &change.map).collect();
            counters = programs::counters(target, &updated, &inputs, changed);
        }
    }
    if outcome.ending == Ending::Breaks {
        outcome.comparison.findings.extend(unmerged(&lock, &observation.lock, &target.config.levels));
    }
    if outcome.ending == Ending::Breaks || !outcome.changes.is_empty() {
        outcome.notes = observed::notes(observation);
        outcome.notes.append(&mut counters);
    }
    outcome.new = Side::of_objects(&inputs);
    outcome.old = Side::of_lock(target, text, lock);
    outcome.inputs = Some(inputs);
    Ok(outcome)
}
