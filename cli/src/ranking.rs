//! What a reviewer should see first of an outcome.

use std::collections::BTreeMap;

use maplock_layout::{Finding, Verdict};

use crate::outcome::{Ending, Outcome, count};

/// Most readings of a map that are told.
const MOST: usize = 8;

/// The outcomes, worst first; as they were, if none is worse.
pub(crate) fn worst_first(outcomes: &[Outcome]) -> Vec<&Outcome> {
    let mut sorted: Vec<_> = outcomes.iter().collect();
    sorted.sort_by_key(|outcome| outcome.urgency());
    sorted
}

impl Outcome {
    /// How much a reader should look at it: the less, the sooner. What could not be compared may be anything.
    fn urgency(&self) -> (u8, u8) {
        let of = match self.ending {
            Ending::Undone(_) => 0,
            _ if self.comparison.has_breaks() => 1,
            _ if self.fails() => 2,
            _ => 3,
        };
        let worst = self.comparison.maps.iter().map(Verdict::urgency).min();
        (of, worst.unwrap_or(u8::MAX))
    }

    /// The verdicts, worst first; as they were, if none is worse.
    pub(crate) fn verdicts(&self) -> Vec<&Verdict> {
        let mut verdicts: Vec<_> = self.comparison.maps.iter().collect();
        // What waits for a decision comes first.
        verdicts.sort_by_key(|verdict| self.comparison.meanwhile(verdict).map_or(verdict.urgency(), |_| 0));
        verdicts
    }

    /// The findings of maps in the order of their verdicts, and those of no verdict before them.
    pub(crate) fn findings(&self) -> Vec<&Finding> {
        let ranks: BTreeMap<_, _> =
            self.verdicts().iter().enumerate().map(|(rank, verdict)| (verdict.map.as_str(), rank + 1)).collect();
        let mut findings: Vec<_> = self.comparison.findings.iter().collect();
        findings.sort_by_key(|finding| ranks.get(finding.map.as_str()).copied().unwrap_or_default());
        findings
    }

    /// What is read otherwise in the entries of a map that stays as it is, in sentences.
    pub(crate) fn readings(verdict: &Verdict) -> Vec<String> {
        let mut told: Vec<_> = verdict.misread().take(MOST).map(|reading| reading.sentence(&verdict.map)).collect();
        let more = verdict.misread().count() - told.len();
        if more > 0 {
            told.push(format!("{} more {} read otherwise", count(more, "place"), if more == 1 { "is" } else { "are" }));
        }
        told
    }
}
