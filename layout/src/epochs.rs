//! How a lock follows its objects: safe changes at once, breaks only as somebody accepted them.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Levels;
use crate::conversion::Answers;
use crate::diff::compare;
use crate::epoch::{Epoch, OnUpgrade};
use crate::finding::{Comparison, Finding, answers};
use crate::history::{Converting, leading_to};
use crate::identity::{before_drop, before_rename};
use crate::lock::{Gone, Lock, LockedMap};
use crate::map_type::why_no_node;
use crate::merging;
use crate::observe::Observation;
use crate::rules::{self, Attribute, Compares, Level, Tier};

pub use crate::epoch_error::EpochError;
pub use crate::merging::{keep_merged, merge, merge_once};
pub use crate::renaming::{gone_since, rename, renamed_since};

/// The lock with every change that needs nobody's decision. Epochs that lead nowhere are dropped.
///
/// # Errors
/// The comparison, if a change does need a decision.
pub fn update(lock: &Lock, observed: &Observation, levels: &Levels) -> Result<Lock, Box<Comparison>> {
    let comparison = compare(lock, &observed.lock, levels);
    if comparison.findings.iter().any(Finding::holds_back) {
        return Err(Box::new(comparison));
    }
    let mut updated = Lock { gone: lock.gone.clone(), ..Lock::default() };
    for (name, observed) in &observed.lock.maps {
        let known = lock.maps.get(name);
        if observed.ephemeral {
            // What it was when it was last pinned is what a node may still hold.
            if let Some(known) = known.filter(|known| known.ephemeral) {
                updated.maps.insert(name.clone(), known.clone());
            }
            continue;
        }
        let mut map = LockedMap { epochs: Vec::new(), ..observed.clone() };
        if let Some(gone) = updated.gone.remove(name) {
            map = come_back(&gone, map, levels);
        }
        if let Some(known) = known {
            map = map.with_past_of(known);
            // Another compiler may tell less of it.
            if known.same_definition(observed) {
                map.def.clone_from(&known.def);
            }
            if !known.ephemeral && known.def.digest() != map.def.digest() {
                let rules = rules_of(comparison.of_map(name), |_| true);
                let bridge = epoch(known, &map, rules, OnUpgrade::Reuse, "");
                go_on(&mut map, bridge);
            }
        }
        map.drop_unsummed();
        drop_stale(&mut map);
        updated.maps.insert(name.clone(), map);
    }
    Ok(updated)
}

/// What a release is built with: the pinned maps of `observed`, each with what the lock knows of its past, and what it
/// knows of maps that are gone.
#[must_use]
pub fn as_built(lock: &Lock, observed: &Lock, levels: &Levels) -> Lock {
    let mut built = Lock { gone: lock.gone.clone(), ..Lock::default() };
    for (name, map) in observed.maps.iter().filter(|(_, map)| !map.ephemeral) {
        let mut map = map.clone();
        if let Some(gone) = built.gone.remove(name) {
            map = come_back(&gone, map, levels);
        }
        if let Some(known) = lock.maps.get(name) {
            map = map.with_past_of(known);
        }
        built.maps.insert(name.clone(), map);
    }
    built
}

/// A map of the name of one that was given up. Nodes that have the old one still start empty, unless it is the same.
fn come_back(gone: &Gone, now: LockedMap, levels: &Levels) -> LockedMap {
    let Some(before) = before_drop(&now.def.name, gone) else { return now };
    let reason = gone.epochs.last().map_or("", |epoch| epoch.reason.as_str());
    let step = Step { levels, from: &before, to: now.with_past_of(&before) };
    let (findings, asks) = step.asked(None);
    let epoch = match asks.is_empty() {
        true if before.def.digest() == step.to.def.digest() => None,
        true => Some(epoch(&before, &step.to, rules_of(findings.iter(), |_| true), OnUpgrade::Reuse, "")),
        false => Some(step.answer(OnUpgrade::Swap, reason, &[]).0),
    };
    let mut map = step.to;
    if let Some(epoch) = epoch {
        go_on(&mut map, epoch);
    }
    map.drop_unsummed();
    map
}

/// Writes an epoch that leads to the map's definition, in which members that are merged may have other names.
fn go_on(map: &mut LockedMap, epoch: Epoch) {
    let step = Converting { epoch: &epoch, old: &epoch.previous, new: &map.def };
    map.merge = merging::over(&map.merge, &step, merging::Side::New);
    map.epochs.push(epoch);
}

fn drop_stale(map: &mut LockedMap) {
    let current = map.def.digest();
    // One that accepted what no digest tells is over once the map is as large, or as pinned, as it was before.
    let is_over = |epoch: &Epoch| {
        let lessens =
            |id: &String| rules::find(id).is_some_and(|rule| !rule.effect.in_digest && !rule.effect.keeps_bytes);
        epoch.rules.iter().all(lessens)
            && epoch.from == epoch.to
            && map.def.max_entries >= epoch.previous.max_entries
            && map.def.pinning == epoch.previous.pinning
            && !map.ephemeral
    };
    let leading = leading_to(&map.epochs, current);
    let kept = map.epochs.iter().filter(|epoch| leading.contains(&epoch.to) && !is_over(epoch)).cloned().collect();
    map.epochs = kept;
}

/// The lock in which the change of `map` is accepted. If lock and objects agree already, the newest epoch gets
/// another answer and another reason.
///
/// # Errors
/// If there is no such map, nothing to accept, or the kernel would not go along.
pub fn accept(
    lock: &Lock,
    observed: &Observation,
    map: &str,
    on_upgrade: OnUpgrade,
    reason: &str,
    levels: &Levels,
) -> Result<Lock, EpochError> {
    let reason = EpochError::reason(reason)?;
    let (Some(known), Some(now)) = (lock.maps.get(map), observed.lock.maps.get(map)) else {
        return come_or_gone(lock, observed, map, on_upgrade, reason);
    };
    if on_upgrade == OnUpgrade::Drop {
        return Err(EpochError::StillThere(map.to_owned()));
    }
    let mut accepted = lock.clone();
    let step = Step { levels, from: known, to: with_past(now, known) };
    if step.asked(None).1.is_empty() {
        if !known.same_definition(now) {
            return Err(EpochError::NothingToDecide(map.to_owned()));
        }
        let today = known.def.digest();
        let entry = accepted.maps.get_mut(map).and_then(|map| map.epochs.last_mut());
        let entry = entry.filter(|epoch| epoch.to == today && !epoch.is_bridge());
        let entry = entry.ok_or_else(|| EpochError::NothingToAccept(map.to_owned()))?;
        let mut others = known.epochs.clone();
        others.pop();
        let before = LockedMap::new(entry.previous.clone());
        let step = Step { levels, from: &before, to: LockedMap { epochs: others, ..with_past(now, known) } };
        let answered = step.answered(on_upgrade, reason, &entry.rules)?;
        (entry.rules, entry.max_entries) = (answered.rules, entry.max_entries.or(answered.max_entries));
        entry.on_upgrade = on_upgrade;
        if !on_upgrade.keeps_entries() {
            entry.merge.clear();
        }
        if on_upgrade != OnUpgrade::Migrate {
            entry.convert = Answers::default();
        }
        reason.clone_into(&mut entry.reason);
        return Ok(accepted);
    }
    let answered = step.answered(on_upgrade, reason, &[])?;
    let mut next = step.to;
    next.epochs.push(answered);
    accepted.maps.insert(map.to_owned(), next);
    Ok(accepted)
}

/// What is, with the history of what was.
fn with_past(now: &LockedMap, known: &LockedMap) -> LockedMap {
    now.clone().with_past_of(known)
}

/// An answer for a map that the lock and the objects do not both have.
fn come_or_gone(
    lock: &Lock,
    observed: &Observation,
    map: &str,
    on_upgrade: OnUpgrade,
    reason: &str,
) -> Result<Lock, EpochError> {
    let renames = || compare(lock, &observed.lock, &Levels::default()).renames.into_iter();
    let is_known = lock.maps.contains_key(map) || lock.gone.contains_key(map);
    if observed.lock.maps.contains_key(map) {
        let may_be = renames().find(|rename| rename.new == map).map(|rename| rename.old);
        return Err(EpochError::NewMap { map: map.to_owned(), may_be });
    }
    if is_known && on_upgrade != OnUpgrade::Drop {
        let may_be = renames().find(|rename| rename.old == map).map(|rename| rename.new);
        return Err(EpochError::IsGone { map: map.to_owned(), on_upgrade, may_be });
    }
    let mut accepted = lock.clone();
    if let Some(known) = accepted.maps.remove(map) {
        let rules = vec![rules::MAP_REMOVED.id.to_owned()];
        let epoch = Epoch { max_entries: None, ..epoch(&known, &known, rules, on_upgrade, reason) };
        let mut gone = Gone::of(&known);
        gone.epochs.push(epoch);
        accepted.gone.insert(map.to_owned(), gone);
        return Ok(accepted);
    }
    if let Some(last) = accepted.gone.get_mut(map).and_then(|gone| gone.epochs.last_mut()) {
        reason.clone_into(&mut last.reason);
        return Ok(accepted);
    }
    let names = lock.maps.keys().chain(observed.lock.maps.keys()).chain(lock.gone.keys()).map(String::as_str);
    Err(EpochError::NoSuchMap { map: map.to_owned(), hint: crate::config::did_you_mean(map, names) })
}

/// The lock in which the newest epoch of `map`, which [`accept`] has written, says how entries are converted: by `answers`,
/// or, if none are given, by those that it has. An epoch that converts nothing has no answers. Members that are merged for
/// the life of the map get the names that they have after it. Those that are gone, or can't be summed any more, are not
/// merged.
///
/// # Errors
/// If there is no such epoch; if the two definitions and the answers do not tell what becomes of each member; if answers are
/// given and nothing is converted.
pub fn convert(lock: &Lock, map: &str, answers: Option<&Answers>) -> Result<Lock, EpochError> {
    let mut converting = lock.clone();
    let hint = || crate::config::did_you_mean(map, lock.maps.keys().map(String::as_str));
    let entry =
        converting.maps.get_mut(map).ok_or_else(|| EpochError::NoSuchMap { map: map.to_owned(), hint: hint() })?;
    let epoch = entry.epochs.last_mut().ok_or_else(|| EpochError::NothingToAccept(map.to_owned()))?;
    if epoch.on_upgrade != OnUpgrade::Migrate {
        epoch.convert = Answers::default();
        if answers.is_some_and(|answers| !answers.is_empty()) {
            return Err(EpochError::NothingToConvert { map: map.to_owned(), on_upgrade: epoch.on_upgrade });
        }
    } else if let Some(answers) = answers {
        epoch.convert.clone_from(answers);
    }
    // The same bytes in a smaller map need no conversion.
    if epoch.on_upgrade == OnUpgrade::Migrate && epoch.from != epoch.to {
        let side = Converting { epoch, old: &epoch.previous, new: &entry.def };
        let derived = side.derive().map_err(|problems| EpochError::Unanswered { map: map.to_owned(), problems })?;
        // What needed no question is said too: by this a reviewer knows it, and a node.
        if let Some(derived) = derived {
            epoch.convert = derived.answers(&epoch.convert);
        }
    }
    entry.merge =
        merging::over(&entry.merge, &Converting { epoch, old: &epoch.previous, new: &entry.def }, merging::Side::New);
    Ok(converting)
}

/// The lock as it was before the newest epoch of `map`.
///
/// # Errors
/// If there is no such map, or nothing was accepted for it.
pub fn undo(lock: &Lock, map: &str) -> Result<Lock, EpochError> {
    let mut undone = lock.clone();
    if let Some(before) = lock.gone.get(map).and_then(|gone| before_drop(map, gone)) {
        undone.gone.remove(map);
        undone.maps.insert(map.to_owned(), before);
        return Ok(undone);
    }
    let merge = |map: &LockedMap| {
        let step = map.epochs.last().map(|epoch| Converting { epoch, old: &epoch.previous, new: &map.def });
        step.map(|step| merging::over(&map.merge, &step, merging::Side::Old)).unwrap_or_default()
    };
    if let Some((map, before)) = lock.maps.get(map).and_then(|map| Some((map, before_rename(map)?))) {
        undone.maps.remove(&map.def.name);
        undone.maps.insert(before.def.name.clone(), LockedMap { merge: merge(map), ..before });
        return Ok(undone);
    }
    let hint = || crate::config::did_you_mean(map, lock.maps.keys().map(String::as_str));
    let entry = undone.maps.get_mut(map).ok_or_else(|| EpochError::NoSuchMap { map: map.to_owned(), hint: hint() })?;
    entry.merge = merge(entry);
    let epoch = entry.epochs.pop().ok_or_else(|| EpochError::NothingToUndo(map.to_owned()))?;
    entry.def = epoch.previous;
    entry.ephemeral = false;
    Ok(undone)
}

pub(crate) fn epoch(
    from: &LockedMap,
    to: &LockedMap,
    rules: Vec<String>,
    on_upgrade: OnUpgrade,
    reason: &str,
) -> Epoch {
    // What no digest tells is accepted up to here.
    let shrinks = to.def.max_entries < from.def.max_entries && !to.def.lacks_capacity();
    let has_bound = shrinks || rules.iter().any(|rule| rule == rules::CAPACITY_STAYS.id);
    Epoch {
        from: from.def.digest(),
        to: to.def.digest(),
        rules,
        on_upgrade,
        merge: BTreeMap::new(),
        convert: Answers::default(),
        reason: reason.to_owned(),
        max_entries: has_bound.then_some(to.def.max_entries),
        previous: from.def.clone(),
    }
}

pub(crate) fn rules_of<'a>(
    findings: impl Iterator<Item = &'a Finding>,
    wanted: impl Fn(&Finding) -> bool,
) -> Vec<String> {
    let rules: BTreeSet<_> = findings.filter(|finding| wanted(finding)).map(|finding| finding.rule.id).collect();
    rules.into_iter().map(str::to_owned).collect()
}

/// A change of one map that is to be answered.
pub(crate) struct Step<'a> {
    pub(crate) levels: &'a Levels,
    pub(crate) from: &'a LockedMap,
    /// With the epochs before it.
    pub(crate) to: LockedMap,
}

impl Step<'_> {
    /// What there is to answer, with that epoch in place: findings, and the rules that ask.
    pub(crate) fn asked(&self, epoch: Option<&Epoch>) -> (Vec<Finding>, Vec<String>) {
        let one =
            |locked: LockedMap| Lock { maps: BTreeMap::from([(self.to.def.name.clone(), locked)]), ..Lock::default() };
        let mut to = self.to.clone();
        to.epochs.extend(epoch.cloned());
        let mut findings = compare(&one(self.from.clone()), &one(to), self.levels).findings;
        findings.retain(|finding| finding.rule.effect.compares == Compares::Releases);
        let rules = rules_of(findings.iter(), |finding| finding.level == Level::Deny || finding.needs_decision());
        (findings, rules)
    }

    /// The epoch of that answer, which may bring up what is asked of no other, and what it is an answer to. It names `more` rules,
    /// which were accepted before.
    fn answer(&self, on_upgrade: OnUpgrade, reason: &str, more: &[String]) -> (Epoch, Vec<Finding>) {
        let of = |rules: Vec<String>| {
            let rules: BTreeSet<_> = rules.into_iter().chain(more.iter().cloned()).collect();
            epoch(self.from, &self.to, rules.into_iter().collect(), on_upgrade, reason)
        };
        let (findings, rules) = self.asked(Some(&of(self.asked(None).1)));
        (of(rules), findings)
    }

    /// The epoch of that answer, if it is one, and nodes can do it.
    pub(crate) fn answered(&self, on_upgrade: OnUpgrade, reason: &str, more: &[String]) -> Result<Epoch, EpochError> {
        let (old, new) = (&self.from.def, &self.to.def);
        let is_one =
            |way: OnUpgrade, findings: &[Finding]| answers(&findings.iter().collect::<Vec<_>>()).contains(&way);
        let (epoch, findings) = self.answer(on_upgrade, reason, more);
        let no_node = why_no_node(old, new, on_upgrade).filter(|_| is_one(on_upgrade, &findings));
        if no_node.is_none() && is_one(on_upgrade, &findings) {
            return Ok(epoch);
        }
        // That nodes refuse can be said of nearly anything, and is no way on.
        let ways = OnUpgrade::ALL.into_iter().filter(|way| *way != OnUpgrade::Refuse);
        let can_be =
            |way: &OnUpgrade| why_no_node(old, new, *way).is_none() && is_one(*way, &self.answer(*way, reason, more).1);
        let answers = ways.filter(can_be).collect();
        let against = findings.iter().find(|finding| !finding.answers().contains(&on_upgrade));
        // Of a map that is pinned no more, the kernel is not asked.
        let is_kernels = |finding: &Finding| {
            finding.rule.tier == Tier::Kernel && finding.rule.effect.attribute != Some(Attribute::Pinning)
        };
        let is_refused = no_node.is_none() && against.is_some_and(is_kernels);
        let because = no_node.or_else(|| against.map(Finding::message)).unwrap_or_default();
        Err(EpochError::CannotBe { map: new.name.clone(), on_upgrade, because, is_refused, answers })
    }
}
