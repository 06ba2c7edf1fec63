//! Why something is done to a map, in a few words.

use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::{Digest, Disposition, Finding, MapDef};

/// Why the lock says so.
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
            format!("max_entries {} -> {}, every entry kept{accepted}", old.max_entries, new.max_entries)
        }
        Disposition::Reuse if findings.is_empty() => "same layout".to_owned(),
        Disposition::Reuse if reason.is_none() => format!("same bytes: {}", change(findings)),
        Disposition::Refuse => format!("{}; accepted as `refuse`{accepted}", change(findings)),
        Disposition::Swap => format!("starts empty: {}{accepted}", change(findings)),
        _ => format!("{}{accepted}", change(findings)),
    }
}

/// What was said for the newest epoch that kept the bytes.
pub(super) fn reuse_reason<'a>(findings: &[Finding], asked: &'a LockedMap, from: Digest) -> Option<&'a str> {
    findings.iter().find(|finding| finding.accepted == Some(OnUpgrade::Reuse))?;
    let epoch = asked.epochs.iter().rev().find(|epoch| epoch.from == from && !epoch.is_bridge())?;
    Some(epoch.reason.as_str())
}

/// The gravest change in a few words: `connections u32 -> u64`, and how many more there are.
pub(super) fn change(findings: &[Finding]) -> String {
    let mut primary: Vec<_> = findings.iter().filter(|finding| finding.consequence_of.is_none()).collect();
    primary.sort_by_key(|finding| (!finding.needs_decision(), finding.rule.tier));
    let Some(first) = primary.first() else { return "changed".to_owned() };
    let text = first.brief();
    let more = primary.iter().filter(|finding| finding.needs_decision()).count().saturating_sub(1);
    if more == 0 { text } else { format!("{text}, and {more} more") }
}
