//! An upgrade or a roll-back that lies at the directory for which a plan is made, and did not end.

use std::path::Path;

use serde_json::{Value, json};

use crate::generation::records::Recovered;

/// What lies at the directory of an upgrade or a roll-back that did not end. It may also run at this moment: a plan does not wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// True of a roll-back.
    pub is_roll_back: bool,
    /// What the next start, roll-back or confirmation does about it first, if it ended.
    pub next: Recovered,
    /// The maps for which completing it takes the code of its own daemon. A start of any other release takes it back.
    pub needs_code: Vec<String>,
    /// True if the plan is the same after that: only what was staged goes. Otherwise the plan is of what is pinned now, and another one is made
    /// then.
    pub holds: bool,
    /// True if what the start of this release does first leads to the very maps that it asks for.
    pub leads_here: bool,
}

impl Unfinished {
    /// What it is.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        if self.is_roll_back { "a roll-back" } else { "an upgrade" }
    }

    /// What comes of it, for the line that says what is lost. `None` if nothing does.
    pub(super) fn outcome(&self) -> Option<String> {
        let is = if self.next == Recovered::Completed { "is at its commit" } else { "has begun" };
        (!self.holds).then(|| format!("{} {is}: this is of what is pinned now", self.noun()))
    }

    /// What to tell first, in a line; and in another what to type.
    #[must_use]
    pub fn lines(&self, dir: &Path) -> Vec<String> {
        let (noun, shown) = (self.noun(), dir.display());
        let maps = format!("`{}`", self.needs_code.join("`, `"));
        let (is, then) = match (self.next, self.holds) {
            (Recovered::Completed, _) if !self.needs_code.is_empty() => (
                "is at its commit, or ended there",
                format!(
                    "a start of its own release completes it first, with its code for {maps}, and any other start takes it back first"
                ),
            ),
            (Recovered::Completed, _) => {
                ("is at its commit, or ended there", "the next start completes it first, or fails".to_owned())
            }
            (_, true) => (
                "runs, or ended before its commit",
                "the next start takes it back first, and this plan holds".to_owned(),
            ),
            (_, false) => ("runs, or ended before its commit", "the next start takes it back first".to_owned()),
        };
        let so = if self.holds { "" } else { "; this plan is of what is pinned now, and another one is made then" };
        vec![
            format!("{noun} at `{shown}` {is}; if it ended, {then}{so}"),
            format!("see what lies there: maplock inspect {shown}"),
        ]
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "roll_back": self.is_roll_back,
            "next": if self.next == Recovered::Completed { "complete" } else { "discard" },
            "needs_code": self.needs_code,
            "holds": self.holds,
            "leads_here": self.leads_here,
        })
    }
}
