//! A map that goes on under another name.

use crate::config::Levels;
use crate::epoch::OnUpgrade;
use crate::epoch_error::EpochError;
use crate::epochs::{Step, epoch, rules_of, undo};
use crate::finding::answers;
use crate::identity::{before_rename, renamed, why_no_rename};
use crate::lock::{Lock, LockedMap};
use crate::map_type::why_no_node;
use crate::observe::Observation;
use crate::rules;

/// The lock in which `map` is the map that it has as `old`, under another name, with its history. Where that was accepted before, it is
/// answered anew. What else changed is answered by `on_upgrade`, which may be left out where nothing else asks for an answer.
///
/// # Errors
/// Where it can't be; where something else changed, and `on_upgrade` says nothing, or what is no answer to it.
pub fn rename(
    lock: &Lock,
    observed: &Observation,
    (old, map): (&str, &str),
    on_upgrade: Option<OnUpgrade>,
    reason: &str,
    levels: &Levels,
) -> Result<Lock, EpochError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(EpochError::NoReason);
    }
    let is_again = lock.maps.get(map).and_then(before_rename).is_some_and(|before| before.def.name == old);
    let undone = is_again.then(|| undo(lock, map)).transpose()?;
    let lock = undone.as_ref().unwrap_or(lock);
    if let Some(because) = why_no_rename(lock, &observed.lock, old, map) {
        return Err(EpochError::NoRename { map: map.to_owned(), old: old.to_owned(), because });
    }
    let (known, now) = (&lock.maps[old], &observed.lock.maps[map]);
    let from = renamed(known, map);
    let to = LockedMap { epochs: from.epochs.clone(), renamed_from: from.renamed_from.clone(), ..now.clone() };
    let step = Step { levels, from: &from, to };
    let is_renamed = rules::MAP_RENAMED.id.to_owned();
    let (findings, asks) = step.asked(None);
    let entry = match (asks.is_empty(), on_upgrade) {
        (true, None | Some(OnUpgrade::Reuse)) => {
            let mut rules = rules_of(findings.iter(), |_| true);
            rules.push(is_renamed);
            rules.sort_unstable();
            epoch(&from, &step.to, rules, OnUpgrade::Reuse, reason)
        }
        (true, Some(on_upgrade)) => {
            let because = "it has another name, and no more; `reuse` goes on with its entries".to_owned();
            let answers = vec![OnUpgrade::Reuse];
            return Err(EpochError::CannotBe { map: map.to_owned(), on_upgrade, because, is_refused: false, answers });
        }
        (false, Some(on_upgrade)) => step.answered(on_upgrade, reason, &[is_renamed])?,
        (false, None) => {
            let because = findings.iter().find(|finding| asks.iter().any(|id| id == finding.rule.id));
            let because = because.map(|finding| finding.message()).unwrap_or_default();
            let all: Vec<_> = findings.iter().collect();
            let mut answers = answers(&all);
            answers.retain(|way| why_no_node(&from.def, &step.to.def, *way).is_none());
            return Err(EpochError::MoreThanRenamed { map: map.to_owned(), because, answers });
        }
    };
    let mut accepted = lock.clone();
    let mut next = step.to;
    next.epochs.push(entry);
    accepted.maps.remove(old);
    accepted.maps.insert(map.to_owned(), next);
    Ok(accepted)
}
