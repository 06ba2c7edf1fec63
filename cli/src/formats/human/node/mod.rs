//! The verbs of the node tool.

mod entries;
mod pins;
mod plan;

use crate::formats::Node;
use crate::terminal::{BOLD, GOOD};

pub(super) const FORMS: Node = Node {
    plan: Some(|foreseen| Ok(plan::render(foreseen))),
    pins: Some(pins::render),
    entries: Some(entries::piece),
    returned: Some(|returned| {
        let (dir, report) = (returned.dir.display(), &returned.report);
        let how = if report.resumed { ": what an earlier call had begun was completed" } else { "" };
        let done = format!("{GOOD}rolled back{GOOD:#} {BOLD}{dir}{BOLD:#}{how}");
        Ok(format!("{done}; the generation that was left is kept\n{report}\n"))
    }),
    confirmed: Some(|confirmed| {
        let dir = confirmed.dir.display();
        Ok(match confirmed.was_kept {
            true => format!("{GOOD}confirmed{GOOD:#} {BOLD}{dir}{BOLD:#}: the kept generation is removed\n"),
            false => format!("{BOLD}{dir}{BOLD:#}: no generation is kept, there is nothing to do\n"),
        })
    }),
};
