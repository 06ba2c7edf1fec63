//! The locks of a document, and the revisions that they were held against: worst first, and nothing twice.

use std::collections::BTreeMap;

use maplock_layout::rules;
use maplock_layout::{Finding, Verdict};

use super::{html, locks};
use crate::outcome::Outcome;
use crate::ranking::worst_first;

/// What is told below one heading.
pub(super) struct Section<'a> {
    pub(super) outcome: &'a Outcome,
    /// The old sides of all comparisons that came to this, as reports name them.
    pub(super) old: Vec<&'a str>,
    /// Revisions, if it was held against any.
    against: Vec<&'a str>,
    /// Maps of which an earlier section told the same, each with what that was held against.
    pub(super) told: BTreeMap<&'a str, &'a str>,
}

pub(super) fn render(outcomes: &[Outcome]) -> String {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for outcome in worst_first(outcomes) {
        let old = outcome.old.name.as_str();
        match sections.iter_mut().find(|section| is_same(section.outcome, outcome)) {
            Some(section) => {
                section.old.push(old);
                section.against.extend(outcome.against.as_deref());
            }
            None => {
                let told = told(&sections, outcome);
                sections.push(Section {
                    outcome,
                    old: vec![old],
                    against: outcome.against.iter().map(String::as_str).collect(),
                    told,
                });
            }
        }
    }
    let told = sections.iter().enumerate().map(|(at, section)| {
        let (heading, rest) = (section.heading(), locks::section(section));
        // A revision that fails nothing, and is not the first, is for those who look for it.
        match at > 0 && section.outcome.against.is_some() && !section.outcome.fails() {
            true => format!("<details><summary>{}</summary>\n{rest}\n</details>\n", html(&heading)),
            false => format!("### {}\n{rest}", super::text(&heading)),
        }
    });
    told.collect::<Vec<_>>().join("\n")
}

/// True if two comparisons of one lock came to the same, whatever revision it was held against.
fn is_same(one: &Outcome, two: &Outcome) -> bool {
    let is_bare =
        |of: &Outcome| of.changes.is_empty() && of.undone.is_none() && of.on_nodes.is_none() && of.against.is_some();
    let same = |one: &Outcome, two: &Outcome| {
        (&one.package, &one.lock, &one.ending, &one.notes) == (&two.package, &two.lock, &two.ending, &two.notes)
            && one.one_way == two.one_way
            && one.comparison.maps == two.comparison.maps
            && one.comparison.renames == two.comparison.renames
    };
    is_bare(one)
        && is_bare(two)
        && same(one, two)
        && has_all(one.comparison.findings.iter(), two.comparison.findings.iter())
}

/// True if both found the same. Of counters that nothing merges, the first revision alone tells.
fn has_all<'a>(one: impl Iterator<Item = &'a Finding>, two: impl Iterator<Item = &'a Finding>) -> bool {
    let is_counter = |finding: &&Finding| finding.rule == &rules::UNMERGED_COUNTER;
    let (told, one): (Vec<_>, Vec<_>) = one.partition(is_counter);
    let (again, two): (Vec<_>, Vec<_>) = two.partition(is_counter);
    one == two && again.iter().all(|finding| told.contains(finding))
}

/// The maps of which these sections told what is to be told of this outcome.
fn told<'a>(sections: &[Section<'a>], outcome: &'a Outcome) -> BTreeMap<&'a str, &'a str> {
    let of_lock = || {
        sections.iter().filter(|section| {
            let other = section.outcome;
            (&other.package, &other.lock) == (&outcome.package, &outcome.lock)
        })
    };
    let before = |verdict: &Verdict| {
        let is_told = |section: &&Section<'a>| {
            let other = &section.outcome.comparison;
            other.verdict(&verdict.map) == Some(verdict)
                && has_all(other.of_map(&verdict.map), outcome.comparison.of_map(&verdict.map))
        };
        of_lock().find(is_told).and_then(|section| section.against.first().copied())
    };
    let is_news = |verdict: &&Verdict| !locks::is_same(outcome, verdict);
    let told = outcome.comparison.maps.iter().filter(is_news);
    told.filter_map(|verdict| Some((verdict.map.as_str(), before(verdict)?))).collect()
}

/// Most revisions that a heading names.
const MOST: usize = 5;

impl Section<'_> {
    fn heading(&self) -> String {
        let package = self.outcome.package.as_ref();
        let whose = package.map_or_else(String::new, |package| format!(" (`{package}`)"));
        format!("maplock{whose}: {}", self.outcome.headline_against(self.revisions().as_deref()))
    }

    /// `v1`, `v1 and v2`, `v1, v2 and 7 more`
    fn revisions(&self) -> Option<String> {
        let (last, first) = self.against.split_last()?;
        Some(match first.len() {
            0 => (*last).to_owned(),
            few if few < MOST => format!("{} and {last}", first.join(", ")),
            many => format!("{} and {} more", first[..MOST - 1].join(", "), many + 2 - MOST),
        })
    }

    /// True if this section says what there is to say of a map.
    pub(super) fn tells(&self, map: &str) -> bool {
        !self.told.contains_key(map)
    }
}
