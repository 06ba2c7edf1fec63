//! Why something is done to a map, in a few words.

use maplock_layout::rules::Attribute;
use maplock_layout::{Disposition, Finding, MapDef, Untold, listing};

/// Why the lock says so; of a map that grows, [`carried`] says the rest.
pub(super) fn why(
    disposition: Disposition,
    findings: &[Finding],
    old: &MapDef,
    new: &MapDef,
    reason: Option<&str>,
) -> String {
    let accepted = reason.map_or_else(String::new, |reason| format!(" (accepted: \"{reason}\")"));
    match disposition {
        Disposition::Grow => {
            format!("max_entries {} -> {}{accepted}", old.max_entries, new.max_entries)
        }
        Disposition::Reuse if findings.is_empty() => Untold::same(Untold::of(old)).to_owned(),
        Disposition::Reuse if reason.is_none() => format!("same bytes: {}", change(findings)),
        Disposition::Refuse => format!("{}; accepted as `refuse`{accepted}", change(findings)),
        Disposition::Swap => format!("starts empty: {}{accepted}", change(findings)),
        _ => format!("{}{accepted}", change(findings)),
    }
}

/// The gravest changes in a few words: `connections u32 -> u64`.
pub(super) fn change(findings: &[Finding]) -> String {
    let mut primary: Vec<_> = findings.iter().filter(|finding| finding.consequence_of.is_none()).collect();
    // Of another type, nothing else is worth a word.
    let is_type =
        |finding: &Finding| finding.rule.effect.attribute == Some(Attribute::Type) && finding.subject.is_map();
    primary.sort_by_key(|finding| (!is_type(finding), !finding.needs_decision(), finding.rule.tier));
    // What somebody decides on; where nobody does, one change says enough.
    let asked = primary.iter().filter(|finding| finding.needs_decision()).count();
    primary.truncate(asked.max(1));
    match primary.is_empty() {
        true => "changed".to_owned(),
        false => listing::changes(&primary.iter().map(|finding| finding.brief()).collect::<Vec<_>>()),
    }
}

/// What is to be said of entries that are carried over: `is_grown` if they are as they were, `may_drop` if the new map is an LRU
/// that has hardly room for all of them.
pub(super) fn carried(is_grown: bool, may_drop: bool, old: &MapDef, new: &MapDef) -> String {
    // An LRU before as well drops what it did.
    let evicts = new.map_type.eviction().filter(|_| !old.map_type.evicts());
    match (may_drop, evicts) {
        (true, _) => "; an LRU this full may drop some entries".to_owned(),
        (false, Some(evicts)) => format!("; {evicts}"),
        (false, None) if is_grown => ", every entry kept".to_owned(),
        (false, None) => String::new(),
    }
}
