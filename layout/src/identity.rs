//! What a map is to its history: which name of an older release its state is found under.

use std::collections::{BTreeMap, BTreeSet};

use crate::lock::{Gone, Lock, LockedMap};
use crate::map::MapDef;
use crate::rules;

/// The maps of a lock, and those that it says are gone, each with the name of an older release under which its state lies.
#[derive(Debug, Default)]
pub struct Identities<'a> {
    was: BTreeMap<&'a str, &'a str>,
}

impl<'a> Identities<'a> {
    /// `is_there` tells which names the older release pinned.
    ///
    /// A map is found under its own name, or under the newest that it had before. A name that another map had before and that map
    /// is not there under its own is that other map's: it came back since.
    #[must_use]
    pub fn find(lock: &'a Lock, is_there: impl Fn(&str) -> bool) -> Self {
        let of_maps = lock.maps.iter().map(|(name, map)| (name.as_str(), map.renamed_from.iter().collect()));
        // What came back under the name of a map that is gone is compared with it, and somebody asked.
        let is_free = |name: &&String| !lock.maps.contains_key(*name);
        let of_gone =
            lock.gone.iter().map(|(name, gone)| (name.as_str(), gone.renamed_from.iter().filter(is_free).collect()));
        let older: BTreeMap<&str, Vec<&String>> = of_maps.chain(of_gone).collect();
        let mut holders: BTreeMap<&str, &str> = BTreeMap::new();
        // Those that are not there under their own names first, and then those whose names these take.
        let (mut open, own): (Vec<&str>, Vec<&str>) = older.keys().partition(|name| !is_there(name));
        open.reverse();
        while let Some(name) = open.pop() {
            let free = older[name].iter().find(|before| is_there(before) && !holders.contains_key(before.as_str()));
            let Some(before) = free else { continue };
            holders.insert(before, name);
            if older.contains_key(before.as_str()) {
                open.push(before);
            }
        }
        for name in own {
            holders.entry(name).or_insert(name);
        }
        Self { was: holders.into_iter().map(|(before, name)| (name, before)).collect() }
    }

    /// The name under which the older release pinned `map`; `None` if it did not.
    #[must_use]
    pub fn before(&self, map: &str) -> Option<&'a str> {
        self.was.get(map).copied()
    }

    /// The map, of those that are there or gone, whose state the older release pinned as `name`.
    #[must_use]
    pub fn now(&self, name: &str) -> Option<&'a str> {
        self.was.iter().find(|(_, before)| **before == name).map(|(map, _)| *map)
    }

    /// All names of the older release that are somebody's.
    pub fn names_before(&self) -> BTreeSet<&'a str> {
        self.was.values().copied().collect()
    }
}

/// What in a lock no `accept` writes, and a merge may: one name for two maps. The map, and a phrase.
pub(crate) fn contradiction(lock: &Lock) -> Option<(String, String)> {
    let both = lock.gone.keys().find(|name| lock.maps.contains_key(*name));
    if let Some(name) = both {
        return Some((
            name.clone(),
            format!("map `{name}` is there, and gone too; take away what the merge did not mean"),
        ));
    }
    let of_maps = lock.maps.iter().map(|(name, map)| (name, &map.renamed_from));
    let all = of_maps.chain(lock.gone.iter().map(|(name, gone)| (name, &gone.renamed_from)));
    let mut holders: BTreeMap<&String, &String> = BTreeMap::new();
    for (name, older) in all.flat_map(|(name, older)| older.iter().map(move |older| (name, older))) {
        if let Some(other) = holders.insert(older, name).filter(|other| *other != name) {
            let problem =
                format!("maps `{other}` and `{name}` both were `{older}`, and a node could not tell the two apart");
            return Some((name.clone(), problem));
        }
    }
    None
}

/// Why the map that `lock` has as `old` can't go on as `new`, which `now` has: a phrase. `None` if it can.
#[must_use]
pub fn why_no_rename(lock: &Lock, now: &Lock, old: &str, new: &str) -> Option<String> {
    let is_pinned = |lock: &Lock, name: &str| lock.maps.get(name).is_some_and(|map| !map.ephemeral);
    if old == new {
        return Some("it is the same name".to_owned());
    }
    if !is_pinned(now, new) {
        return Some(format!("there is no pinned map `{new}` now"));
    }
    if lock.gone.contains_key(old) {
        return Some(format!("`{old}` was given up; take that back first: `cargo maplock accept {old} --undo`"));
    }
    if !is_pinned(lock, old) {
        return Some(format!("the lock has no map `{old}`"));
    }
    if is_pinned(now, old) {
        return Some(format!("`{old}` is still there"));
    }
    if is_pinned(lock, new) {
        return Some(format!("`{new}` is in the lock already, so a node may have both"));
    }
    if lock.gone.contains_key(new) {
        return Some(format!("`{new}` was given up before, and a node may still have it; choose another name"));
    }
    let names = || lock.maps.iter().map(|(name, map)| (name, &map.renamed_from));
    let names = || names().chain(lock.gone.iter().map(|(name, gone)| (name, &gone.renamed_from)));
    let older = |name: &str| names().find(|(of, _)| *of == name).map(|(_, older)| older);
    if let Some((other, _)) = names().find(|(other, of)| *other != old && of.iter().any(|name| name == old)) {
        return Some(format!("earlier releases pinned `{other}` as `{old}`, and a node could not tell the two apart"));
    }
    // Round a circle of names, every map would be found under that of another.
    let mut waiting: Vec<&String> = older(old).into_iter().flatten().collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if name != new && seen.insert(name) {
            let of = older(name).into_iter().flatten();
            if of.clone().any(|name| name == new) {
                return Some(format!(
                    "earlier releases pinned `{name}` as `{new}`, and this one as `{name}`: a node could not tell the two apart"
                ));
            }
            waiting.extend(of);
        }
    }
    None
}

/// A map as it goes on under another name.
pub(crate) fn renamed(map: &LockedMap, name: &str) -> LockedMap {
    let older = std::iter::once(&map.def.name).chain(&map.renamed_from).cloned().collect();
    named(LockedMap { renamed_from: older, ..map.clone() }, name)
}

/// The map before it got the name that it has; `None` if its newest epoch does not say that it had another.
pub(crate) fn before_rename(map: &LockedMap) -> Option<LockedMap> {
    let epoch = map.epochs.last().filter(|epoch| epoch.rules.iter().any(|id| id == rules::MAP_RENAMED.id))?;
    let (name, older) = map.renamed_from.split_first()?;
    let def = epoch.previous.clone();
    let epochs = map.epochs[..map.epochs.len() - 1].to_vec();
    Some(named(LockedMap { def, epochs, renamed_from: older.to_vec(), ..map.clone() }, name))
}

/// A map that was given up, as it was before.
pub(crate) fn before_drop(name: &str, gone: &Gone) -> Option<LockedMap> {
    let (last, epochs) = gone.epochs.split_last()?;
    let map = LockedMap::new(last.previous.clone());
    Some(named(
        LockedMap {
            epochs: epochs.to_vec(),
            renamed_from: gone.renamed_from.clone(),
            merge: gone.merge.clone(),
            ..map
        },
        name,
    ))
}

/// Everything of it under that name.
fn named(mut map: LockedMap, name: &str) -> LockedMap {
    call(&mut map.def, name);
    map.epochs.iter_mut().for_each(|epoch| call(&mut epoch.previous, name));
    map
}

fn call(def: &mut MapDef, name: &str) {
    name.clone_into(&mut def.name);
    if let Some(inner) = &mut def.inner {
        call(inner, name);
    }
}
