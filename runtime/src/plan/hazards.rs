//! What may go wrong with the entries of some maps, in a few words.

use std::collections::{BTreeMap, BTreeSet};

use maplock_layout::conversion::Collide;
use maplock_layout::listing;

use super::hazard::{Doubt, Overwritten};
use super::types::{Action, MapPlan, Plan, Since};
use crate::transfer::Inexact;

/// Most names in a phrase.
const MOST_NAMES: usize = 4;

impl MapPlan {
    /// True if it is certain before that no entry and no write is lost, and nothing is counted twice: what a report calls exact afterwards.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.hazard.is_none() && self.uncounted().is_empty()
    }

    /// Why it is not certain that all entries are there afterwards, beside what programs do meanwhile.
    fn uncounted(&self) -> Vec<String> {
        let map = &self.map;
        let mut words = Vec::new();
        match &self.action {
            Action::Convert { loss, .. } if loss.by_hand => {
                words.push(format!("the daemon's code says what is kept of `{map}`"));
            }
            Action::Convert { conversion, .. } if conversion.collide() == Some(Collide::KeepOne) => {
                words.push(format!(
                    "of entries of `{map}` whose keys become one, one is kept, and nothing counts the others"
                ));
            }
            // What both releases write is told when it happens.
            Action::TakeBack { since: Since::ConvertedBack { .. }, .. } => {
                words.push(format!("what becomes of what both releases write to an entry of `{map}` around the switch is counted when it happens"));
            }
            action if action.loses_entries() => words.push(format!("entries of `{map}` are not there afterwards")),
            _ => {}
        }
        words.extend(self.goes_back_words().into_iter().flatten());
        words
    }

    /// Why it is not exact, a phrase each.
    #[must_use]
    pub fn why_inexact(&self) -> Vec<String> {
        self.uncounted().into_iter().chain(self.hazards()).collect()
    }

    /// What may go wrong with its entries, a phrase each.
    #[must_use]
    pub fn hazards(&self) -> Vec<String> {
        words(std::slice::from_ref(self))
    }
}

impl Plan {
    /// The maps of which it is not certain beforehand that nothing of them is lost: `plan --deny inexact`.
    pub fn inexact(&self) -> impl Iterator<Item = &MapPlan> {
        self.maps.iter().filter(|map| !map.is_exact())
    }
}

/// A phrase for each thing that may go wrong, with all maps to which it may happen.
pub(super) fn words(maps: &[MapPlan]) -> Vec<String> {
    let mut words = Vec::new();
    let (mut unknown, mut replaced) = (Vec::new(), Vec::new());
    let mut settling: BTreeMap<Inexact, Vec<&str>> = BTreeMap::new();
    let mut doubted: BTreeMap<BTreeSet<Doubt>, Vec<&str>> = BTreeMap::new();
    for map in maps {
        let (name, hazard) = (map.map.as_str(), &map.hazard);
        // Of programs that nobody knows anything may come.
        let is_unknown = hazard.overwritten.as_ref().is_some_and(|of| of.is_unknown)
            || [Doubt::OldProgramsUnknown, Doubt::NewProgramsUnknown].iter().any(|doubt| hazard.doubts.contains(doubt));
        if is_unknown {
            unknown.push(name);
            continue;
        }
        words.extend(hazard.overwritten.as_ref().map(|of| overwritten(name, of)));
        let mut doubts = hazard.doubts.clone();
        if doubts.remove(&Doubt::UserMayReplace) {
            replaced.push(name);
        }
        doubts.retain(|doubt| match doubt {
            Doubt::Settling(why) => {
                settling.entry(*why).or_default().push(name);
                false
            }
            _ => true,
        });
        if map.action.carry().is_some_and(|carry| carry.may_drop_entries) {
            // That is told of it anyway.
            doubts.remove(&Doubt::Evicts);
        }
        if !doubts.is_empty() {
            doubted.entry(doubts).or_default().push(name);
        }
    }
    words.extend(doubted.into_iter().map(|(doubts, maps)| {
        let because: Vec<_> = doubts.into_iter().map(Doubt::words).collect();
        let maps = list(maps.into_iter(), "map");
        format!(
            "entries of {maps} that are deleted meanwhile may come back or keep a wrong count ({})",
            because.join(", ")
        )
    }));
    if !replaced.is_empty() {
        let maps = list(replaced.into_iter(), "map");
        words.push(format!("what user space writes over an entry of {maps} until the switch is not brought over"));
    }
    words.extend(settling.into_iter().map(|(why, maps)| {
        let maps = list(maps.into_iter(), "map");
        format!("what programs write to {maps} at the very moment of settling may be lost: {}", why.words())
    }));
    if !unknown.is_empty() {
        let maps = list(unknown.into_iter(), "map");
        words.push(format!(
            "nothing says what all programs do with {maps}: what they write and delete meanwhile may be lost or come back"
        ));
    }
    words
}

fn overwritten(map: &str, of: &Overwritten) -> String {
    let members = |paths: &BTreeSet<String>| list(paths.iter().map(String::as_str), "member");
    match (of.adds.is_empty(), of.sets.is_empty()) {
        (false, _) => {
            let them = if of.adds.len() == 1 { "it" } else { "them" };
            let adds = members(&of.adds);
            format!("what old programs add to {adds} of `{map}` until the switch may be lost: merge {them}")
        }
        (true, false) => {
            let sets = members(&of.sets);
            format!("what old programs set in {sets} of `{map}` until the switch may be overwritten")
        }
        (true, true) => {
            format!("entries of `{map}` that both releases make around the switch are as the new one made them")
        }
    }
}

/// `a`, `b` and `c`; of many, the first, and how many more of `what`.
fn list<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> String {
    listing::first(names.map(|name| format!("`{name}`")), MOST_NAMES, what)
}
