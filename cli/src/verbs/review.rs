//! `cargo maplock review`: the breaks that nobody has decided on, one map after the other, each with what can be answered.
//!
//! In a terminal, an answer is a key; elsewhere, the commands are printed.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::Command;

use maplock_codegen::report;

use super::check;
use crate::Said;
use crate::args::ReviewArgs;
use crate::error::Error;
use crate::formats::ruler;
use crate::outcome::{Ending, Outcome, count};
use crate::project::{self, shell_word};
use crate::terminal::{self, BOLD, DIM};

/// What stands in a command for the reason that a person gives.
const REASON: &str = "\"…\"";

/// A map that waits for an answer.
struct Pending {
    /// The findings with their sources, and the bytes before and after.
    told: String,
    map: String,
    answers: Vec<report::Command>,
}

pub(crate) fn run(args: &ReviewArgs) -> Result<Said, Error> {
    let targets = project::targets(&args.input)?;
    let outcomes = check::all_fresh(&targets, &args.input.project)?;
    let pending: Vec<_> = outcomes.iter().flat_map(of).collect();
    let behind: Vec<_> = outcomes.iter().filter(|outcome| outcome.ending == Ending::OutOfDate).collect();
    let behind = behind.into_iter().map(|outcome| format!("cargo maplock update{}", outcome.selection));
    let mut updates: Vec<_> = behind.collect();
    let is_asked = !pending.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let (text, left) = match is_asked {
        true => {
            let left = walk(&pending)?;
            // Once all is decided, the rest needs nobody.
            updates.extend(
                outcomes
                    .iter()
                    .filter(|outcome| left == 0 && outcome.comparison.has_breaks())
                    .map(|outcome| format!("cargo maplock update{}", outcome.selection)),
            );
            (String::new(), left)
        }
        false => (commands(&pending), pending.len()),
    };
    let mut text = text;
    updates.iter().for_each(|update| _ = writeln!(text, "# all else, without a question\n{update}"));
    _ = match left {
        0 if updates.is_empty() => writeln!(text, "nothing waits for an answer"),
        0 => Ok(()),
        left => writeln!(text, "{} {} for an answer", count(left, "map"), if left == 1 { "waits" } else { "wait" }),
    };
    let fails = left > 0 || !updates.is_empty();
    Ok(Said::new(text, fails, outcomes.into_iter().filter_map(Outcome::into_undone).collect()))
}

fn of(outcome: &Outcome) -> Vec<Pending> {
    let waits = outcome.verdicts().into_iter().filter_map(|verdict| {
        let answers: Vec<_> = outcome.commands(&verdict.map).into_iter().filter(|command| command.is_answer).collect();
        let has_breaks = outcome.comparison.of_map(&verdict.map).any(|finding| finding.is_break());
        has_breaks.then(|| {
            // What can be answered stands below it, with a key for each.
            let mut told = outcome.report_alone(true, |finding| finding.map == verdict.map);
            if let Some(bytes) = outcome.bytes(verdict) {
                _ = write!(told, "\n\n{}", ruler::text(&verdict.map, &bytes));
            }
            Pending { told, map: verdict.map.clone(), answers }
        })
    });
    waits.collect()
}

/// What to type, for each map.
fn commands(pending: &[Pending]) -> String {
    let mut out = String::new();
    for Pending { map, answers, .. } in pending {
        for report::Command { purpose, line, .. } in answers {
            _ = writeln!(out, "# {map}: {purpose}\n{line}");
        }
        if answers.is_empty() {
            _ = writeln!(out, "# {map}: no answer settles it; `cargo maplock check` says why");
        }
        out.push('\n');
    }
    out
}

/// Asks for an answer to each; how many are left without.
fn walk(pending: &[Pending]) -> Result<usize, Error> {
    let mut left = 0;
    let say =
        |text: &str| terminal::result(text).map_err(|error| Error::new("could not write to stdout").because(error));
    for (at, one) in pending.iter().enumerate() {
        say(&format!("\n{BOLD}{} of {}: {}{BOLD:#}\n\n{}\n\n", at + 1, pending.len(), one.map, one.told.trim_end()))?;
        for (number, command) in one.answers.iter().enumerate() {
            say(&format!("  {BOLD}{}{BOLD:#}  {:<21} {DIM}{}{DIM:#}\n", number + 1, command.purpose, command.line))?;
        }
        say(&format!("  {BOLD}s{BOLD:#}  skip\n  {BOLD}q{BOLD:#}  quit\n"))?;
        loop {
            let Some(word) = ask("> ")?.filter(|word| word != "q") else { return Ok(left + pending.len() - at) };
            if word == "s" {
                left += 1;
                break;
            }
            let chosen = word.parse::<usize>().ok().and_then(|number| one.answers.get(number.checked_sub(1)?));
            let Some(chosen) = chosen else { continue };
            let Some(reason) = ask("reason: ")? else { return Ok(left + pending.len() - at) };
            if reason.trim().is_empty() {
                say("an answer needs a reason, for those who review and run it\n")?;
                continue;
            }
            if answer(&chosen.line.replace(REASON, &shell_word(&reason)))? {
                break;
            }
        }
    }
    Ok(left)
}

/// A line that is typed; `None` if nobody types any more.
fn ask(prompt: &str) -> Result<Option<String>, Error> {
    let failed = |error| Error::new("could not ask").because(error);
    let mut out = io::stdout();
    out.write_all(prompt.as_bytes()).and_then(|()| out.flush()).map_err(failed)?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok((read > 0).then(|| line.trim().to_owned()))
}

/// Runs a command of ours by this program itself; true if it took the answer.
fn answer(line: &str) -> Result<bool, Error> {
    let program = std::env::current_exe().map_err(|error| Error::new("could not tell this program").because(error))?;
    let rest = line.strip_prefix("cargo maplock").unwrap_or(line);
    let color = match anstream::ColorChoice::global() {
        anstream::ColorChoice::Never => " --color never",
        anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => " --color always",
        anstream::ColorChoice::Auto => "",
    };
    let line = format!("exec {} maplock{rest}{color}", shell_word(&program.to_string_lossy()));
    let status = Command::new("sh").args(["-c", &line]).status();
    Ok(status.map_err(|error| Error::new("could not run sh").because(error))?.success())
}
