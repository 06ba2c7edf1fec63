//! `cargo maplock review`: the breaks that nobody has decided on, one map after the other, each with what can be answered.
//!
//! In a terminal, an answer is a key; elsewhere, the commands are printed.

mod walk;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use maplock_codegen::report;
use maplock_layout::Finding;
use maplock_layout::rules::Compares;

use super::check;
use crate::Said;
use crate::args::ReviewArgs;
use crate::error::Error;
use crate::formats::ruler;
use crate::outcome::{Ending, Outcome, count};
use crate::project::{self, Target};

/// A map that waits for answers.
struct Pending<'a> {
    target: &'a Target,
    map: String,
    /// The findings with their sources, and the bytes before and after.
    told: String,
    /// What is asked, each with what can be answered: the change, then counters that nothing merges.
    asks: Vec<Vec<report::Command>>,
}

pub(crate) fn run(args: &ReviewArgs) -> Result<Said, Error> {
    let targets = project::targets(&args.input)?;
    let look = || check::all_fresh(&targets, &args.input.project);
    let mut outcomes = look()?;
    let mut pending = all(&targets, &outcomes);
    let mut text = String::new();
    if !pending.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal() {
        walk::walk(&pending, &args.input.project)?;
        // What is left, the lock as it is now tells.
        outcomes = look()?;
        pending = all(&targets, &outcomes);
    } else {
        text = commands(&pending);
    }
    let behind = outcomes.iter().filter(|outcome| outcome.ending == Ending::OutOfDate);
    let updates: Vec<_> = behind.map(|outcome| format!("cargo maplock update{}", outcome.selection)).collect();
    updates.iter().for_each(|update| _ = writeln!(text, "# all else, without a question\n{update}"));
    // What no answer settles, as two packages that lock one map.
    for outcome in &outcomes {
        let has_verdict = |map: &str| outcome.comparison.verdict(map).is_some();
        let is_left = |finding: &Finding| finding.is_break() && !has_verdict(&finding.map);
        if outcome.comparison.findings.iter().any(is_left) {
            _ = writeln!(text, "{}", outcome.report_alone(true, is_left).trim_end());
        }
    }
    let fails = outcomes.iter().any(Outcome::fails);
    _ = match pending.len() {
        0 if !fails => writeln!(text, "nothing waits for an answer"),
        0 => Ok(()),
        left => writeln!(text, "{} {} for an answer", count(left, "map"), if left == 1 { "waits" } else { "wait" }),
    };
    Ok(Said::new(text, fails, outcomes.into_iter().filter_map(Outcome::into_undone).collect()))
}

/// All that waits.
fn all<'a>(targets: &'a [Target], outcomes: &[Outcome]) -> Vec<Pending<'a>> {
    targets.iter().zip(outcomes).flat_map(|(target, outcome)| of(target, outcome)).collect()
}

fn of<'a>(target: &'a Target, outcome: &Outcome) -> Vec<Pending<'a>> {
    let waits = outcome.verdicts().into_iter().filter_map(|verdict| {
        let breaks: Vec<_> = outcome.comparison.of_map(&verdict.map).filter(|finding| finding.is_break()).collect();
        (!breaks.is_empty()).then(|| {
            let answers = outcome.commands(&verdict.map).into_iter().filter(|command| command.is_answer).collect();
            let counts = breaks.iter().any(|finding| finding.rule.effect.compares == Compares::Programs);
            let merging = if counts { outcome.merging(&verdict.map) } else { Vec::new() };
            // What can be answered stands below it, with a key for each.
            let mut told = outcome.report_alone(true, |finding| finding.map == verdict.map);
            if let Some(bytes) = outcome.bytes(verdict) {
                _ = write!(told, "\n\n{}", ruler::text(&verdict.map, &bytes));
            }
            let asks = [answers, merging].into_iter().filter(|answers| !answers.is_empty()).collect();
            Pending { target, map: verdict.map.clone(), told, asks }
        })
    });
    waits.collect()
}

/// What to type, for each map.
fn commands(pending: &[Pending<'_>]) -> String {
    let mut out = String::new();
    for Pending { map, asks, .. } in pending {
        for report::Command { purpose, line, .. } in asks.iter().flatten() {
            _ = writeln!(out, "# {map}: {purpose}\n{line}");
        }
        if asks.is_empty() {
            _ = writeln!(out, "# {map}: no answer settles it; `cargo maplock check` says why");
        }
        out.push('\n');
    }
    out
}
