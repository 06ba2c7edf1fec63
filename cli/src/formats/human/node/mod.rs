//! The verbs of the node tool.

mod entries;
mod fleet;
mod pins;
mod plan;
mod tried;

use maplock::Report;

use crate::formats::Node;
use crate::outcome::count;
use crate::terminal::{BOLD, CAUTION, GOOD};

pub(super) const FORMS: Node = Node {
    plan: Some(|foreseen| Ok(plan::render(foreseen))),
    pins: Some(pins::render),
    entries: Some(entries::piece),
    returned: Some(|returned| {
        let dir = returned.dir.display();
        let mut out = String::new();
        for report in &returned.reports {
            out.push_str(&step(&dir, report));
        }
        match returned.to {
            Some(goal) if out.is_empty() => {
                Ok(format!("{BOLD}{dir}{BOLD:#}: generation {goal} is live, there is nothing to do\n"))
            }
            _ => Ok(out),
        }
    }),
    recovered: Some(|recovered| {
        let (dir, report) = (recovered.dir.display(), &recovered.report);
        Ok(if report.taken_back {
            format!(
                "{GOOD}took back{GOOD:#} the upgrade of {BOLD}{dir}{BOLD:#} that was interrupted at its commit: what was live before is live again\n{report}\n"
            )
        } else if report.resumed {
            format!(
                "{GOOD}completed{GOOD:#} the upgrade of {BOLD}{dir}{BOLD:#} that was interrupted at its commit\n{report}\n"
            )
        } else if report.discarded {
            format!(
                "{GOOD}removed{GOOD:#} what an upgrade or a roll-back of {BOLD}{dir}{BOLD:#} left that had ended before its commit: the live generation is what it was\n"
            )
        } else {
            format!("{BOLD}{dir}{BOLD:#}: no upgrade is unfinished, there is nothing to do\n")
        })
    }),
    confirmed: Some(|confirmed| {
        let dir = confirmed.dir.display();
        Ok(match confirmed.removed {
            0 if confirmed.keep > 0 => {
                format!("{BOLD}{dir}{BOLD:#}: no other generation is kept, there is nothing to do\n")
            }
            0 => format!("{BOLD}{dir}{BOLD:#}: no generation is kept, there is nothing to do\n"),
            1 if confirmed.keep == 0 => {
                format!("{GOOD}confirmed{GOOD:#} {BOLD}{dir}{BOLD:#}: the kept generation is removed\n")
            }
            removed => {
                format!("{GOOD}confirmed{GOOD:#} {BOLD}{dir}{BOLD:#}: {} removed\n", count(removed, "kept generation"))
            }
        })
    }),
    fleet: Some(|of| Ok(fleet::render(of))),
    tried: Some(tried::render),
    live: Some(|live| {
        let dir = live.dir.display();
        match live.generation.map(|generation| generation.number()) {
            Some(Some(number)) => format!("generation {number} is live in {dir}\n"),
            Some(None) => format!("pins that maplock did not make are live in {dir}\n"),
            None => format!("nothing is live in {dir} any more\n"),
        }
    }),
};

/// One step of a roll-back.
fn step(dir: &std::path::Display<'_>, report: &Report) -> String {
    if report.taken_back {
        let done =
            format!("{GOOD}took back{GOOD:#} the upgrade of {BOLD}{dir}{BOLD:#} that was interrupted at its commit");
        return format!("{done}: what was live before is live again\n{report}\n");
    }
    let how = match &report.way_back {
        _ if report.resumed => ": what an earlier call had begun was completed".to_owned(),
        Some(way_back) => format!(" to {way_back}"),
        None => String::new(),
    };
    let done = format!("{GOOD}rolled back{GOOD:#} {BOLD}{dir}{BOLD:#}{how}");
    let warning = match &report.way_back {
        Some(way_back) if way_back.is_same_layout() => {
            format!(
                "{CAUTION}warning{CAUTION:#}{BOLD}:{BOLD:#} no map has another layout now: what is wrong in the maps is not undone by this\n"
            )
        }
        _ => String::new(),
    };
    format!("{done}; the generation that was left is kept\n{warning}{report}\n")
}
