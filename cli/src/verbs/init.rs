//! `cargo maplock init`: the first lock.

use maplock_codegen::Inputs;
use maplock_layout::rules::{self, Compares, Level};
use maplock_layout::{Comparison, Lock, compare};

use super::add;
use crate::Said;
use crate::args::InitArgs;
use crate::changes::changes;
use crate::error::Error;
use crate::observed;
use crate::outcome::{Ending, Outcome, Side};
use crate::programs;
use crate::project::lockfile::Editing;
use crate::project::{self, Target};
use crate::undone::Undone;

pub(crate) fn run(args: &InitArgs) -> Result<Said, Error> {
    // Of a workspace, those that have none yet. Asked before a build that may take minutes.
    let (there, targets): (Vec<_>, Vec<_>) =
        project::targets(&args.input)?.into_iter().partition(|target| target.lock.exists());
    if let (Some(target), true) = (there.first(), targets.is_empty()) {
        if args.add.is_empty() {
            return Err(exists(target));
        }
        // The lock stays as it is.
        let outcome = Outcome { notes: add::all(&args.add, &there)?, ..Outcome::new(target, Ending::Written) };
        return Said::of(vec![outcome], args.message_format);
    }
    add::check(&args.add, &targets)?;
    let inputs = project::inputs(&targets.iter().collect::<Vec<_>>(), &args.input.project)?;
    let mut outcomes = Vec::new();
    for (target, inputs) in targets.iter().zip(inputs) {
        let written = inputs.and_then(|inputs| first(target, inputs));
        outcomes.push(written.unwrap_or_else(|error| Outcome::undone(target, Undone::Written, error)));
    }
    let told = add::all(&args.add, &targets)?;
    outcomes.iter_mut().take(1).for_each(|outcome| outcome.notes.extend(told.clone()));
    Said::of(outcomes, args.message_format)
}

fn first(target: &Target, inputs: Inputs) -> Result<Outcome, Error> {
    let mut lock = inputs.observation.lock.clone();
    lock.maps.retain(|_, map| !map.ephemeral);
    let mut findings = inputs.observation.conflicts.clone();
    let conflicts = !findings.is_empty();
    findings.extend(compare(&Lock::default(), &lock, &target.config.levels).findings);
    // There is no older release for which a map could be new.
    findings.retain(|finding| finding.rule != &rules::MAP_ADDED);
    findings.iter_mut().filter(|finding| finding.rule.effect.compares != Compares::Objects).for_each(|finding| {
        finding.level = finding.level.min(Level::Warn);
    });

    let mut outcome = Outcome::new(target, if conflicts { Ending::Breaks } else { Ending::Written });
    if !conflicts {
        outcome.changes = changes(&Lock::default(), &lock);
        let editing = Editing::begin(&target.lock)?;
        if editing.text.is_some() {
            return Err(exists(target));
        }
        editing.write(&lock.to_string())?;
        outcome.notes = programs::counters(target, &lock, &inputs, lock.maps.keys());
    }
    outcome.notes.extend(observed::unknown_inner(&inputs.observation));
    outcome.notes.extend(observed::left_out(&inputs.observation, &target.config));
    outcome.comparison = Comparison { findings, ..Comparison::default() };
    outcome.old.name = target.shown_lock();
    outcome.new = Side::of_objects(&inputs);
    outcome.inputs = Some(inputs);
    Ok(outcome)
}

fn exists(target: &Target) -> Error {
    Error::new(format!("{} is there already", target.shown_lock()))
        .help(format!("`cargo maplock update{}` brings it up to date", target.selection))
}
