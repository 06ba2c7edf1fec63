//! How a lock follows its objects: safe changes at once, breaks only as somebody accepted them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::Levels;
use crate::conversion::{Answers, Problems};
use crate::diff::compare;
use crate::epoch::{Epoch, Merge, OnUpgrade};
use crate::finding::{Comparison, Finding, answers};
use crate::history::{Converting, leading_to};
use crate::lock::{Lock, LockedMap};
use crate::map_type::why_no_node;
use crate::observe::Observation;
use crate::rules::{self, Attribute, Compares, Level, Tier};
use crate::sum::{SumError, has_member, sum_places};

/// Why a change was not entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EpochError {
    /// The lock has no map of that name.
    NoSuchMap {
        /// The name asked for.
        map: String,
        /// What it may have been meant to be, as a half sentence.
        hint: String,
    },
    /// The map is as the lock has it, and nothing was accepted before that could be changed.
    NothingToAccept(String),
    /// The map did change, but in nothing that needs anybody's decision.
    NothingToDecide(String),
    /// There is no epoch to take back.
    NothingToUndo(String),
    /// The answer is none to this change.
    CannotBe {
        /// The map.
        map: String,
        /// The answer.
        on_upgrade: OnUpgrade,
        /// The change, in words.
        because: String,
        /// True where it is one that the kernel or the loader sees.
        is_refused: bool,
        /// What can be answered.
        answers: Vec<OnUpgrade>,
    },
    /// An epoch needs a reason, for those who review and run it.
    NoReason,
    /// A member of the value can't be merged.
    CannotMerge {
        /// The map.
        map: String,
        /// The path that was given.
        path: String,
        /// True where it is the definition that the epoch leaves in which it does not qualify.
        was: bool,
        /// Why not.
        because: SumError,
    },
    /// Nothing is known of the value's members.
    NoMembers(String),
    /// Of an epoch that does not convert entries, nothing is to be answered.
    NothingToConvert {
        /// The map.
        map: String,
        /// What the epoch does.
        on_upgrade: OnUpgrade,
    },
    /// What the two definitions do not tell of a conversion, and no answer does.
    Unanswered {
        /// The map.
        map: String,
        /// What is open, and which answers fit nothing.
        problems: Problems,
    },
    /// Of an epoch that keeps no entries, none can be merged.
    NothingToMerge {
        /// The map.
        map: String,
        /// What the epoch does.
        on_upgrade: OnUpgrade,
    },
}

impl fmt::Display for EpochError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchMap { map, hint } => write!(f, "no map `{map}` in the lock or the objects{hint}"),
            Self::NothingToAccept(map) => {
                write!(f, "map `{map}` is as the lock has it: there is nothing to accept")
            }
            Self::NothingToDecide(map) => {
                write!(f, "the change of map `{map}` is safe and needs no decision; run `cargo maplock update`")
            }
            Self::NothingToUndo(map) => write!(f, "nothing was accepted for map `{map}`: there is nothing to undo"),
            Self::CannotBe { map, on_upgrade, because, is_refused, answers } => {
                match on_upgrade {
                    OnUpgrade::Reuse => write!(f, "map `{map}` cannot be reused: {because}")?,
                    other => write!(f, "`{other}` is no answer for map `{map}`: {because}")?,
                }
                if *on_upgrade == OnUpgrade::Reuse && *is_refused {
                    f.write_str(", and the kernel would refuse the pinned map")?;
                }
                if answers.is_empty() {
                    return f.write_str("; no answer can be, so take the change back");
                }
                let answers: Vec<_> = answers.iter().map(|answer| format!("`{answer}`")).collect();
                write!(f, "; choose {}", answers.join(" or "))
            }
            Self::NoReason => f.write_str("the reason is empty; say for the reviewers why this break is right"),
            Self::CannotMerge { map, path, was, because } => {
                let when = if *was { " as it was" } else { "" };
                write!(f, "`{path}` of map `{map}`{when} cannot be merged: {because}")
            }
            Self::NoMembers(map) => write!(
                f,
                "the value of map `{map}` is declared by its size alone, so that it has no member to merge; bind it to a type in Cargo.toml"
            ),
            Self::NothingToConvert { map, on_upgrade } => write!(
                f,
                "`{on_upgrade}` converts no entry of map `{map}`, so that nothing is to be said of its members; choose `migrate`, or leave the answers out"
            ),
            Self::Unanswered { map, problems } => write!(f, "map `{map}` can't be converted as it is: {problems}"),
            Self::NothingToMerge { map, on_upgrade } => write!(
                f,
                "`{on_upgrade}` keeps no entry of map `{map}` that could be merged; choose `reuse` or `migrate`, or merge nothing"
            ),
        }
    }
}

impl std::error::Error for EpochError {}

/// The lock with every change that needs nobody's decision. Epochs that lead nowhere are dropped.
///
/// # Errors
/// The comparison, where a change does need a decision.
pub fn update(lock: &Lock, observed: &Observation, levels: &Levels) -> Result<Lock, Box<Comparison>> {
    let comparison = compare(lock, &observed.lock, levels);
    if comparison.findings.iter().any(Finding::holds_back) {
        return Err(Box::new(comparison));
    }
    let mut updated = Lock::default();
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
        if let Some(known) = known {
            map.epochs.clone_from(&known.epochs);
            if !known.ephemeral && known.def.digest() != map.def.digest() {
                let rules = rules_of(comparison.of_map(name), |_| true);
                map.epochs.push(epoch(known, &map, rules, OnUpgrade::Reuse, ""));
            }
        }
        drop_stale(&mut map);
        updated.maps.insert(name.clone(), map);
    }
    Ok(updated)
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

/// The lock in which the change of `map` is accepted. Where lock and objects agree already, the newest epoch gets
/// another answer and another reason.
///
/// # Errors
/// Where there is no such map, nothing to accept, or the kernel would not go along.
pub fn accept(
    lock: &Lock,
    observed: &Observation,
    map: &str,
    on_upgrade: OnUpgrade,
    reason: &str,
    levels: &Levels,
) -> Result<Lock, EpochError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(EpochError::NoReason);
    }
    let (Some(known), Some(now)) = (lock.maps.get(map), observed.lock.maps.get(map)) else {
        let names = lock.maps.keys().chain(observed.lock.maps.keys()).map(String::as_str);
        return Err(EpochError::NoSuchMap { map: map.to_owned(), hint: crate::config::did_you_mean(map, names) });
    };
    let mut accepted = lock.clone();
    let step = Step { levels, from: known, to: LockedMap { epochs: known.epochs.clone(), ..now.clone() } };
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
        let step = Step { levels, from: &before, to: LockedMap { epochs: others, ..now.clone() } };
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

/// The lock in which the newest epoch of `map`, which [`accept`] has written, says how these members are merged and no
/// others.
///
/// # Errors
/// Where there is no such epoch, or it keeps no entries; where a member does not qualify in the definition that the epoch
/// leads to, or, where the old bytes stay, in the one that it leaves if that has the member.
pub fn merge(lock: &Lock, map: &str, members: &BTreeMap<String, Merge>) -> Result<Lock, EpochError> {
    let mut merged = lock.clone();
    let hint = || crate::config::did_you_mean(map, lock.maps.keys().map(String::as_str));
    let entry = merged.maps.get_mut(map).ok_or_else(|| EpochError::NoSuchMap { map: map.to_owned(), hint: hint() })?;
    let epoch = entry.epochs.last_mut().ok_or_else(|| EpochError::NothingToAccept(map.to_owned()))?;
    if !epoch.on_upgrade.keeps_entries() {
        return Err(EpochError::NothingToMerge { map: map.to_owned(), on_upgrade: epoch.on_upgrade });
    }
    let value = entry.def.value.as_deref().ok_or_else(|| EpochError::NoMembers(map.to_owned()))?;
    for (path, Merge::Sum) in members {
        let cannot = |was, because| EpochError::CannotMerge { map: map.to_owned(), path: path.clone(), was, because };
        sum_places(value, path).map_err(|error| cannot(false, error))?;
        // Converted entries are settled by what they became.
        let previous = epoch.previous.value.as_deref().filter(|_| epoch.on_upgrade == OnUpgrade::Reuse);
        if let Some(old) = previous.filter(|old| has_member(old, path)) {
            sum_places(old, path).map_err(|error| cannot(true, error))?;
        }
    }
    epoch.merge.clone_from(members);
    Ok(merged)
}

/// The lock in which the newest epoch of `map`, which [`accept`] has written, says how entries are converted: by `answers`, or where
/// none are given by those that it has. An epoch that converts nothing has none.
///
/// # Errors
/// Where there is no such epoch; where the two definitions and the answers do not tell what becomes of each member; where answers are
/// given and nothing is converted.
pub fn convert(lock: &Lock, map: &str, answers: Option<&Answers>) -> Result<Lock, EpochError> {
    let mut converting = lock.clone();
    let hint = || crate::config::did_you_mean(map, lock.maps.keys().map(String::as_str));
    let entry =
        converting.maps.get_mut(map).ok_or_else(|| EpochError::NoSuchMap { map: map.to_owned(), hint: hint() })?;
    let epoch = entry.epochs.last_mut().ok_or_else(|| EpochError::NothingToAccept(map.to_owned()))?;
    if epoch.on_upgrade != OnUpgrade::Migrate {
        epoch.convert = Answers::default();
        return match answers {
            Some(answers) if !answers.is_empty() => {
                Err(EpochError::NothingToConvert { map: map.to_owned(), on_upgrade: epoch.on_upgrade })
            }
            _ => Ok(converting),
        };
    }
    if let Some(answers) = answers {
        epoch.convert.clone_from(answers);
    }
    // The same bytes in a smaller map need no conversion.
    if epoch.from != epoch.to {
        let side = Converting { epoch, old: &epoch.previous, new: &entry.def };
        side.derive().map_err(|problems| EpochError::Unanswered { map: map.to_owned(), problems })?;
    }
    Ok(converting)
}

/// The lock as it was before the newest epoch of `map`.
///
/// # Errors
/// Where there is no such map, or nothing was accepted for it.
pub fn undo(lock: &Lock, map: &str) -> Result<Lock, EpochError> {
    let mut undone = lock.clone();
    let hint = || crate::config::did_you_mean(map, lock.maps.keys().map(String::as_str));
    let entry = undone.maps.get_mut(map).ok_or_else(|| EpochError::NoSuchMap { map: map.to_owned(), hint: hint() })?;
    let epoch = entry.epochs.pop().ok_or_else(|| EpochError::NothingToUndo(map.to_owned()))?;
    entry.def = epoch.previous;
    entry.ephemeral = false;
    Ok(undone)
}

fn epoch(from: &LockedMap, to: &LockedMap, rules: Vec<String>, on_upgrade: OnUpgrade, reason: &str) -> Epoch {
    // What no digest tells is accepted up to here.
    let has_bound =
        to.def.max_entries < from.def.max_entries || rules.iter().any(|rule| rule == rules::CAPACITY_STAYS.id);
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

fn rules_of<'a>(findings: impl Iterator<Item = &'a Finding>, wanted: impl Fn(&Finding) -> bool) -> Vec<String> {
    let rules: BTreeSet<_> = findings.filter(|finding| wanted(finding)).map(|finding| finding.rule.id).collect();
    rules.into_iter().map(str::to_owned).collect()
}

/// A change of one map that is to be answered.
struct Step<'a> {
    levels: &'a Levels,
    from: &'a LockedMap,
    /// With the epochs before it.
    to: LockedMap,
}

impl Step<'_> {
    /// What there is to answer, with that epoch in place: findings, and the rules that ask.
    fn asked(&self, epoch: Option<&Epoch>) -> (Vec<Finding>, Vec<String>) {
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
    fn answered(&self, on_upgrade: OnUpgrade, reason: &str, more: &[String]) -> Result<Epoch, EpochError> {
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
