//! How members of a value are merged that two releases count: for the life of the map, and otherwise on the way over one epoch.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::did_you_mean;
use crate::conversion::MemberPlan;
use crate::digest::Digest;
use crate::epoch::{Epoch, Merge, OnUpgrade};
use crate::epoch_error::EpochError;
use crate::history::{Converting, chain};
use crate::lock::{Lock, LockedMap};
use crate::map::MapDef;
use crate::sum::{has_member, path_of, sum_places};

/// Members by path, with how they are merged.
type Members = BTreeMap<String, Merge>;

impl LockedMap {
    /// Paths of today's members that are added up if entries of the definition with the digest `from` are carried over: those of the
    /// map for life, unless an epoch on the way says otherwise.
    #[must_use]
    pub fn summed(&self, from: Digest) -> BTreeSet<String> {
        let today = self.def.digest();
        let way = chain(&self.epochs, from, today).unwrap_or_default();
        let mut merge = self.merge.clone();
        // What stays on a digest accepts what no digest tells.
        let stays = |at: Digest| self.epochs.iter().filter(move |epoch| (epoch.from, epoch.to) == (at, at));
        let stations = std::iter::once(from).chain(way.iter().map(|epoch| epoch.to));
        for (at, station) in stations.enumerate() {
            let arriving = at.checked_sub(1).map(|before| way[before]);
            for epoch in arriving.into_iter().chain(stays(station)) {
                merge.extend(self.followed(&epoch.merge, &way[at..]));
            }
        }
        let is_sum = |(path, how): &(String, Merge)| *how == Merge::Sum && can_sum(&self.def, path);
        merge.into_iter().filter(is_sum).map(|(path, _)| path).collect()
    }

    /// Of what is no count any more, nothing is said.
    pub(crate) fn drop_unsummed(&mut self) {
        let Self { def, merge, .. } = self;
        merge.retain(|path, _| can_sum(def, path));
    }

    /// Members of the definition that the first of these epochs leaves, by their paths of today.
    fn followed(&self, members: &Members, way: &[&Epoch]) -> Members {
        let mut members = members.clone();
        for (at, epoch) in way.iter().enumerate() {
            let new = way.get(at + 1).map_or(&self.def, |next| &next.previous);
            members = over(&members, &Converting { epoch, old: &epoch.previous, new }, Side::New);
        }
        members
    }
}

fn can_sum(def: &MapDef, path: &str) -> bool {
    def.value.as_deref().is_some_and(|value| sum_places(value, path).is_ok())
}

/// A side of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// What it leaves.
    Old,
    /// What it leads to.
    New,
}

/// Members of one side of an epoch, as they are called on the other, `to`. Those that are not there, or can't be summed there, are
/// gone.
pub(crate) fn over(members: &Members, step: &Converting<'_>, to: Side) -> Members {
    if members.is_empty() {
        return Members::new();
    }
    let is_converted = step.epoch.on_upgrade == OnUpgrade::Migrate && step.epoch.from != step.epoch.to;
    let derived = is_converted.then(|| step.derive().ok().flatten()).flatten();
    let plans = derived.as_ref().map(|derived| derived.members.as_slice());
    let side = to;
    let (from, to) = if side == Side::Old { (step.new, step.old) } else { (step.old, step.new) };
    let path = |path: &String| match plans.and_then(|plans| planned(plans, path, side)) {
        Some(Some(planned)) => Some(planned).filter(|planned| can_sum(to, planned)),
        Some(None) => None,
        None if can_sum(to, path) => Some(path.clone()),
        // The bytes stay, and are called otherwise.
        None => path_of(to.value.as_deref()?, &sum_places(from.value.as_deref()?, path).ok()?),
    };
    members.iter().filter_map(|(member, how)| Some((path(member)?, *how))).collect()
}

/// What a conversion makes of a member: `Some(None)` if it is given up, `None` if it does not speak of it.
fn planned(plans: &[MemberPlan], path: &str, to: Side) -> Option<Option<String>> {
    let sides = |plan: &MemberPlan| {
        let name =
            |side: &Option<String>| side.as_deref().map(|path| path.strip_prefix("value.").unwrap_or(path).to_owned());
        let (old, new) = (name(&plan.old), name(&plan.new));
        if to == Side::Old { (new, old) } else { (old, new) }
    };
    let within = |plan: &MemberPlan| {
        let (from, to) = sides(plan);
        let from = from?;
        let rest = path.strip_prefix(&from)?;
        // The member itself, or one of it.
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| (from.len(), to.map(|to| format!("{to}{rest}"))))
    };
    let found = plans.iter().filter(|plan| !plan.is_of_key()).filter_map(within);
    found.max_by_key(|(length, _)| *length).map(|(_, to)| to)
}

/// The lock in which these members of `map` are merged so for the life of the map, in addition to those of which it is said
/// already.
///
/// # Errors
/// If the lock has no such map, or a member is no count.
pub fn merge(lock: &Lock, map: &str, members: &BTreeMap<String, Merge>) -> Result<Lock, EpochError> {
    let mut merged = lock.clone();
    let hint = || did_you_mean(map, lock.maps.keys().map(String::as_str));
    let entry = merged.maps.get_mut(map).ok_or_else(|| EpochError::NotLocked { map: map.to_owned(), hint: hint() })?;
    for (path, how) in members {
        check(map, &entry.def, path)?;
        entry.merge.insert(path.clone(), *how);
    }
    Ok(merged)
}

/// The lock in which members of `map` are merged for life as `today` says, if that has it with the same definition: another answer to
/// a change, or one since another release, makes no other members of those that are there.
#[must_use]
pub fn keep_merged(lock: &Lock, today: &Lock, map: &str) -> Lock {
    let mut kept = lock.clone();
    if let (Some(entry), Some(known)) = (kept.maps.get_mut(map), today.maps.get(map))
        && entry.def.digest() == known.def.digest()
    {
        entry.merge.clone_from(&known.merge);
    }
    kept
}

/// The lock in which the newest epoch of `map`, which [`accept`](crate::epochs::accept) has written, says how these members are merged on
/// its way, and no others: this counts more than what is said for the life of the map.
///
/// # Errors
/// If there is no such epoch, or it keeps no entries; if a member does not qualify in the definition that the epoch
/// leads to, or, if the old bytes stay, in the one that it leaves if that has the member.
pub fn merge_once(lock: &Lock, map: &str, members: &BTreeMap<String, Merge>) -> Result<Lock, EpochError> {
    let mut merged = lock.clone();
    let hint = || did_you_mean(map, lock.maps.keys().map(String::as_str));
    let entry = merged.maps.get_mut(map).ok_or_else(|| EpochError::NoSuchMap { map: map.to_owned(), hint: hint() })?;
    let epoch = entry.epochs.last_mut().ok_or_else(|| EpochError::NothingToAccept(map.to_owned()))?;
    if !epoch.on_upgrade.keeps_entries() {
        return Err(EpochError::NothingToMerge { map: map.to_owned(), on_upgrade: epoch.on_upgrade });
    }
    for path in members.keys() {
        check(map, &entry.def, path)?;
        // Converted entries are settled by what they became.
        let previous = epoch.previous.value.as_deref().filter(|_| epoch.on_upgrade == OnUpgrade::Reuse);
        if let Some(old) = previous.filter(|old| has_member(old, path)) {
            sum_places(old, path).map_err(|error| cannot(map, path, true, error))?;
        }
    }
    epoch.merge.clone_from(members);
    Ok(merged)
}

fn check(map: &str, def: &MapDef, path: &str) -> Result<(), EpochError> {
    let value = def.value.as_deref().ok_or_else(|| EpochError::NoMembers(map.to_owned()))?;
    sum_places(value, path).map_err(|error| cannot(map, path, false, error)).map(drop)
}

fn cannot(map: &str, path: &str, was: bool, because: crate::sum::SumError) -> EpochError {
    EpochError::CannotMerge { map: map.to_owned(), path: path.to_owned(), was, because }
}
