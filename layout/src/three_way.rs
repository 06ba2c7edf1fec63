//! Two locks that come from one: what both say together, map by map, and where they say two things of one.
//!
//! Text is not looked at. What one side changed of a map counts if the other did not touch that map, nor a type that the change brought
//! into it. A map that is new on one side is made of the types that the other side has changed since.

use std::collections::{BTreeMap, BTreeSet};

use crate::lock::{Gone, Lock, LockedMap};
use crate::retyping::{Retyping, types_of};

/// What two locks say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The lock of both; if they are in conflict, as our side has it.
    pub lock: Lock,
    /// The same; if they are in conflict, as their side has it.
    pub theirs: Lock,
    /// Names of which the two sides say two things.
    pub conflicts: BTreeSet<String>,
}

/// A map as a lock has it.
#[derive(Clone, PartialEq)]
enum Entry {
    Map(Box<LockedMap>),
    Gone(Gone),
}

type Entries = BTreeMap<String, Entry>;

impl Entry {
    fn renamed_from(&self) -> &[String] {
        match self {
            Self::Map(map) => &map.renamed_from,
            Self::Gone(gone) => &gone.renamed_from,
        }
    }
}

/// Puts together what `ours` and `theirs` made of `base`.
#[must_use]
pub fn merge_three(base: &Lock, ours: &Lock, theirs: &Lock) -> Merged {
    let (was, our, their) = (entries(base), entries(ours), entries(theirs));
    let names: BTreeSet<&String> = was.keys().chain(our.keys()).chain(their.keys()).collect();
    let to_ours = Retyping::between(&types_of(base), &types_of(ours));
    let to_theirs = Retyping::between(&types_of(base), &types_of(theirs));
    let mut merged = Entries::new();
    let mut conflicts = BTreeSet::new();
    for name in names {
        let (was, our, their) = (was.get(name), our.get(name), their.get(name));
        let entry = match (was, our, their) {
            (_, our, their) if our == their => Ok(our.cloned()),
            // What is new on one side has the types of the other as they are now.
            (None, Some(our), None) => to_theirs.over(our).map(Some),
            (None, None, Some(their)) => to_ours.over(their).map(Some),
            // What was accepted on one side was not accepted of types that the other side has changed.
            (was, our, their) if their == was => to_theirs.fits(our),
            (was, our, their) if our == was => to_ours.fits(their),
            (Some(Entry::Map(was)), Some(Entry::Map(our)), Some(Entry::Map(their))) => {
                both(was, our, their).map(|map| Some(Entry::Map(Box::new(map)))).ok_or(())
            }
            _ => Err(()),
        };
        match entry {
            Ok(entry) => merged.extend(entry.map(|entry| (name.clone(), entry))),
            Err(()) => _ = conflicts.insert(name.clone()),
        }
    }
    // Two maps that go on with the entries of one: no side says that.
    let known: BTreeSet<_> = [&was, &our, &their].into_iter().flat_map(claimed_twice).collect();
    for (claimed, by) in claims(&merged) {
        if by.len() > 1 && !known.contains(&claimed) {
            conflicts.extend(by);
        }
    }
    // A struct that is new on both sides, and is not the same: one of them is not what the other has by now.
    let two = Retyping::between(&types_of(ours), &types_of(theirs)).without(&types_of(base));
    let is_new = |name: &&String| !was.contains_key(*name);
    let of_two = merged.iter().filter(|(name, entry)| is_new(name) && two.over(entry).as_ref() != Ok(entry));
    conflicts.extend(of_two.map(|(name, _)| name.clone()).collect::<Vec<_>>());
    // Where it is open what becomes of a map, it is open who goes on with it.
    loop {
        let goes_on = |entry: &Entry| entry.renamed_from().iter().any(|before| conflicts.contains(before));
        let more: Vec<_> = merged
            .iter()
            .filter(|(name, entry)| goes_on(entry) && !conflicts.contains(*name))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        conflicts.extend(more);
    }
    let side = |side: &Entries| {
        let mut all: Entries = merged
            .iter()
            .filter(|(name, _)| !conflicts.contains(*name))
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect();
        all.extend(conflicts.iter().filter_map(|name| Some((name.clone(), side.get(name)?.clone()))));
        lock(all)
    };
    Merged { lock: side(&our), theirs: side(&their), conflicts }
}

fn entries(lock: &Lock) -> Entries {
    let maps = lock.maps.iter().map(|(name, map)| (name.clone(), Entry::Map(Box::new(map.clone()))));
    let gone = lock.gone.iter().map(|(name, gone)| (name.clone(), Entry::Gone(gone.clone())));
    // A name is either in use or gone.
    gone.chain(maps).collect()
}

fn lock(entries: Entries) -> Lock {
    let mut lock = Lock::default();
    for (name, entry) in entries {
        match entry {
            Entry::Map(map) => _ = lock.maps.insert(name, *map),
            Entry::Gone(gone) => _ = lock.gone.insert(name, gone),
        }
    }
    lock
}

/// Who goes on with the entries of which name.
fn claims(entries: &Entries) -> BTreeMap<String, BTreeSet<String>> {
    let mut claims: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, entry) in entries {
        for claimed in entry.renamed_from().iter().chain([name]) {
            claims.entry(claimed.clone()).or_default().insert(name.clone());
        }
    }
    claims
}

fn claimed_twice(entries: &Entries) -> Vec<String> {
    claims(entries).into_iter().filter(|(_, by)| by.len() > 1).map(|(claimed, _)| claimed).collect()
}

/// What the side says that is not the one before; `None` if both say another thing.
fn one_of<'a, T: PartialEq>(was: &'a T, our: &'a T, their: &'a T) -> Option<&'a T> {
    match () {
        () if our == their || their == was => Some(our),
        () if our == was => Some(their),
        () => None,
    }
}

/// A map that both sides changed: what is said of it apart from its definition goes together with that, and so does more room.
fn both(was: &LockedMap, our: &LockedMap, their: &LockedMap) -> Option<LockedMap> {
    let rest = |map: &LockedMap| {
        let mut rest = map.clone();
        (rest.optional, rest.user_never_deletes, rest.runtime_capacity) = (false, false, false);
        rest.def.max_entries = 0;
        rest
    };
    let rests = [was, our, their].map(rest);
    let mut map = one_of(&rests[0], &rests[1], &rests[2])?.clone();
    let capacity = |map: &LockedMap| (map.def.max_entries, map.runtime_capacity);
    let capacities = [was, our, their].map(capacity);
    (map.def.max_entries, map.runtime_capacity) = *one_of(&capacities[0], &capacities[1], &capacities[2])?;
    // An epoch that accepts a capacity was given for the one that its side had.
    let is_bound = map.epochs.iter().any(|epoch| epoch.max_entries.is_some());
    if is_bound && capacities[1] != capacities[2] {
        return None;
    }
    map.optional = *one_of(&was.optional, &our.optional, &their.optional)?;
    map.user_never_deletes = *one_of(&was.user_never_deletes, &our.user_never_deletes, &their.user_never_deletes)?;
    Some(map)
}

impl Retyping {
    /// The entry, if it has none of the types that have changed.
    fn fits(&self, entry: Option<&Entry>) -> Result<Option<Entry>, ()> {
        match entry {
            Some(Entry::Map(map)) if self.def(&map.def).as_ref() != Ok(&map.def) => Err(()),
            entry => Ok(entry.cloned()),
        }
    }

    /// The entry with the types as they are now.
    fn over(&self, entry: &Entry) -> Result<Entry, ()> {
        match entry {
            Entry::Map(map) if map.epochs.is_empty() => {
                let def = self.def(&map.def)?;
                Ok(Entry::Map(Box::new(LockedMap { def, ..(**map).clone() })))
            }
            // A map under a new name has a past of which its epochs tell; with other types it would need one more.
            Entry::Map(map) if self.def(&map.def).is_ok_and(|def| def == map.def) => Ok(entry.clone()),
            Entry::Map(_) => Err(()),
            Entry::Gone(_) => Ok(entry.clone()),
        }
    }
}
