//! A map that goes on under another name.

use crate::config::Levels;
use crate::epoch::{Epoch, OnUpgrade};
use crate::epoch_error::EpochError;
use crate::epochs::{Step, epoch, rules_of, undo};
use crate::finding::answers;
use crate::identity::{Identities, before_rename, renamed, why_no_rename};
use crate::lock::{Gone, Lock, LockedMap};
use crate::map_type::why_no_node;
use crate::observe::Observation;
use crate::rules;
use crate::versions::versioned_as;

/// The lock in which `map` is the map that it has as `old`, under another name, with its history. If that was accepted before, it is
/// answered anew. What else changed is answered by `on_upgrade`, which may be left out if nothing else asks for an answer.
///
/// # Errors
/// If it can't be; if something else changed, and `on_upgrade` says nothing, or what is no answer to it.
pub fn rename(
    lock: &Lock,
    observed: &Observation,
    (old, map): (&str, &str),
    on_upgrade: Option<OnUpgrade>,
    reason: &str,
    levels: &Levels,
) -> Result<Lock, EpochError> {
    let reason = EpochError::reason(reason)?;
    let is_again = lock.maps.get(map).and_then(before_rename).is_some_and(|before| before.def.name == old);
    let undone = is_again.then(|| undo(lock, map)).transpose()?;
    let lock = undone.as_ref().unwrap_or(lock);
    if let Some(because) = why_no_rename(lock, &observed.lock, old, map) {
        return Err(EpochError::NoRename { map: map.to_owned(), old: old.to_owned(), because });
    }
    let (known, now) = (&lock.maps[old], &observed.lock.maps[map]);
    // What no object gives a version has that of the lock, whatever it is called.
    let now = &LockedMap { def: versioned_as(&now.def, &known.def), ..now.clone() };
    let from = renamed(known, map);
    // So is a capacity that the daemon chose.
    let capacity_is_set = now.runtime_capacity || from.runtime_capacity;
    let to = LockedMap { runtime_capacity: capacity_is_set, ..now.clone() }.with_past_of(&from);
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
            let because = "only its name changed; `reuse` keeps its entries".to_owned();
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

/// The lock as if it had `map` under the name `old` still, as the one of an older release, `base`, has it: so that [`rename`] can answer
/// how the one follows from the other.
///
/// # Errors
/// If that release has no such map, or the lock does not have `map`.
pub fn renamed_since(lock: &Lock, base: &Lock, (old, map): (&str, &str)) -> Result<Lock, EpochError> {
    let no =
        |because: &str| EpochError::NoRename { map: map.to_owned(), old: old.to_owned(), because: because.to_owned() };
    let released = base.maps.get(old).filter(|map| !map.ephemeral);
    let released = released.ok_or_else(|| no("that release has no pinned map of that name"))?;
    let mut known = lock.clone();
    let current = known.maps.remove(map).ok_or_else(|| no("the lock has no such map"))?;
    if known.maps.get(old).is_some_and(|map| !map.ephemeral) {
        return Err(no("the lock still has that one"));
    }
    let (from, to) = (released.def.digest(), current.def.digest());
    // What was accepted for this very step before is said anew.
    let says_this = |epoch: &Epoch| (epoch.from, epoch.to) == (from, to) && (from != to || is_rename(epoch));
    let epochs = current.epochs.iter().filter(|epoch| !says_this(epoch)).cloned().collect();
    let older = released.renamed_from.iter().chain(current.renamed_from.iter().filter(|name| *name != old));
    let mut renamed_from: Vec<String> = Vec::new();
    for name in older {
        if !renamed_from.contains(name) {
            renamed_from.push(name.clone());
        }
    }
    known.maps.insert(old.to_owned(), LockedMap { epochs, renamed_from, ..released.clone() });
    Ok(known)
}

fn is_rename(epoch: &Epoch) -> bool {
    epoch.rules.iter().any(|id| id == rules::MAP_RENAMED.id)
}

/// The lock in which entries of `map`, as an older release, `base`, has it, are given up.
///
/// # Errors
/// If that release has no such map, or the lock still has it.
pub fn gone_since(lock: &Lock, base: &Lock, map: &str, reason: &str) -> Result<Lock, EpochError> {
    let is_pinned = |lock: &Lock, name: &str| lock.maps.get(name).is_some_and(|map| !map.ephemeral);
    let reason = EpochError::reason(reason)?;
    if !is_pinned(base, map) {
        let hint = crate::config::did_you_mean(map, base.maps.keys().map(String::as_str));
        return Err(EpochError::NoSuchMap { map: map.to_owned(), hint });
    }
    let identities = Identities::find(lock, |name| is_pinned(base, name));
    let name = identities.now(map).unwrap_or(map);
    if lock.maps.contains_key(name) {
        return Err(EpochError::StillThere(name.to_owned()));
    }
    let released = &base.maps[map];
    let mut accepted = lock.clone();
    let rules = vec![rules::MAP_REMOVED.id.to_owned()];
    let entry = Epoch { max_entries: None, ..epoch(released, released, rules, OnUpgrade::Drop, reason) };
    match accepted.gone.get_mut(name) {
        None => {
            let epochs = released.epochs.iter().cloned().chain([entry]).collect();
            accepted.gone.insert(map.to_owned(), Gone { epochs, ..Gone::of(released) });
        }
        Some(gone) => {
            let is_said = gone.given_up(entry.from).is_some();
            match gone.epochs.pop() {
                Some(last) if is_said => gone.epochs.push(Epoch { reason: reason.to_owned(), ..last }),
                // To where the way of the others ends.
                Some(last) => gone.epochs.extend([Epoch { to: last.from, ..entry }, last]),
                None => gone.epochs.push(entry),
            }
        }
    }
    Ok(accepted)
}
