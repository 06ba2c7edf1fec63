//! From the maps of a package's objects to the set that its lock should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::change::{Change, Subject};
use crate::config::{Config, did_you_mean};
use crate::diff;
use crate::finding::Finding;
use crate::lock::{Lock, LockedMap};
use crate::map::{MapDef, Origin, Pinning};
use crate::objects::ObjectMaps;
use crate::rules::{self, Level};
use crate::sections;
use crate::versions::{self, Adopted};

/// What a package's objects define.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The declared maps. Those that don't count as pinned are marked as ephemeral.
    pub lock: Lock,
    /// Maps that two objects define differently.
    pub conflicts: Vec<Finding>,
    /// Maps that still count as pinned, as they did before, though their objects declare only others as pinned.
    pub counted_before: BTreeSet<String>,
    /// Maps that this build lacks, as it may. They are in [`Self::lock`] as they were locked.
    pub absent: BTreeSet<String>,
    /// Structs that no object gives a version, though the lock has one: it goes on counting.
    pub adopted: Vec<Adopted>,
}

/// A configuration that names what is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserveError(String);

impl fmt::Display for ObserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ObserveError {}

/// Puts the maps of all objects together, if there is no lock as yet. See [`observe_after`].
///
/// # Errors
/// As there.
pub fn observe(objects: &[ObjectMaps], config: &Config) -> Result<Observation, ObserveError> {
    observe_after(objects, config, &Lock::default())
}

/// Puts the maps of all objects together, for a lock that is there.
///
/// A map counts as pinned if it says so (`pinning`), or if it is declared at all in an object in which no map says so: many
/// daemons pin at run time. The configuration's `pinned` and `ephemeral` overrule both. A map that counts in `lock` without
/// such a word still counts, or else the first map that says so would take all others out. Global data and `struct_ops`
/// tables never count: loaders fill them anew. If no object gives a version of the meaning, that of `lock` holds.
///
/// # Errors
/// If the configuration names a map that no object has.
pub fn observe_after(objects: &[ObjectMaps], config: &Config, lock: &Lock) -> Result<Observation, ObserveError> {
    let objects = &sections::as_pinned(objects, &config.pinned).map_err(ObserveError)?;
    let mut observation = Observation::default();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for object in objects {
        let some_say_so = object.maps.iter().any(|map| map.pinning != Pinning::None);
        for def in &object.maps {
            let declared = matches!(def.origin, Origin::Declared | Origin::Legacy);
            let says_so = def.pinning != Pinning::None || !some_say_so;
            let pinned =
                config.pinned.contains(&def.name) || declared && says_so && !config.ephemeral.contains(&def.name);
            if !declared && !pinned {
                continue;
            }
            let map = LockedMap { ephemeral: !pinned, ..at_run_time(def, config, lock) };
            match observation.lock.maps.get(&def.name) {
                // Pinned in one object is pinned; two private maps may share a name and nothing else.
                Some(known) if known.ephemeral != map.ephemeral => {
                    if known.ephemeral {
                        observation.lock.maps.insert(def.name.clone(), map);
                        owners.insert(&def.name, &object.name);
                    }
                }
                Some(known) => {
                    let known = &alike(known, &map);
                    let map = alike(&map, known);
                    if pinned && differ(&known.def, &map.def) {
                        let first = owners.get(def.name.as_str()).copied().unwrap_or_default();
                        observation.conflicts.push(conflict(known, first, &map, &object.name));
                    }
                    let known = known.clone();
                    observation.lock.maps.insert(def.name.clone(), known);
                }
                None => {
                    owners.insert(&def.name, &object.name);
                    observation.lock.maps.insert(def.name.clone(), map);
                }
            }
        }
    }
    if objects.is_empty() {
        return Ok(observation);
    }
    observation.adopt_versions(lock);
    count_as_before(&mut observation, objects, config, lock);
    observation.enter_programs(objects);
    observation.allow_to_lack(objects, config, lock);
    let known = || objects.iter().flat_map(|object| &object.maps).map(|map| map.name.as_str());
    let named = config.pinned.iter().map(|name| ("pinned", name));
    let named = named.chain(config.ephemeral.iter().map(|name| ("ephemeral", name)));
    for (key, name) in named.chain(config.bindings.keys().map(|name| ("maps", name))) {
        if !known().any(|map| map == name) && !config.optional.contains(name) {
            let hint = did_you_mean(name, known());
            return Err(ObserveError(format!("`{key}` names map `{name}`, which no object has{hint}")));
        }
    }
    Ok(observation)
}

impl Observation {
    /// Says of each pinned map what the programs of all objects that declare it do with it.
    fn enter_programs(&mut self, objects: &[ObjectMaps]) {
        for (name, map) in self.lock.maps.iter_mut().filter(|(_, map)| !map.ephemeral) {
            let declare = objects.iter().filter(|object| object.maps.iter().any(|def| def.name == *name));
            let uses: Option<Vec<_>> = declare.map(|object| object.programs_of(name)).collect();
            map.programs = uses.and_then(|uses| uses.into_iter().reduce(|one, other| one.and(&other)));
        }
    }

    /// Marks maps that a build may lack. One that no object of this build has is as it was locked, so that each build is held against
    /// what it has.
    fn allow_to_lack(&mut self, objects: &[ObjectMaps], config: &Config, lock: &Lock) {
        for name in &config.optional {
            if let Some(map) = self.lock.maps.get_mut(name) {
                map.optional = !map.ephemeral;
            }
            let is_there = objects.iter().flat_map(|object| &object.maps).any(|def| def.name == *name);
            if let Some(known) = lock.maps.get(name).filter(|known| !is_there && !known.ephemeral) {
                let known = LockedMap { optional: true, epochs: Vec::new(), ..known.clone() };
                self.lock.maps.insert(name.clone(), known);
                self.absent.insert(name.clone());
            }
        }
    }

    /// Says of the maps that this build lacks that they are none of its own: their pins go along as they are.
    pub fn leave_out_absent(&self, built: &mut Lock) {
        for (_, map) in built.maps.iter_mut().filter(|(name, _)| self.absent.contains(*name)) {
            map.ephemeral = true;
            map.epochs.clear();
        }
    }
}

/// Lets maps count that are pinned by no word in the objects, and were not when they were locked.
fn count_as_before(observation: &mut Observation, objects: &[ObjectMaps], config: &Config, lock: &Lock) {
    let says_nothing = |map: &LockedMap| map.def.pinning == Pinning::None;
    let counted = lock
        .maps
        .iter()
        .filter(|(name, known)| !known.ephemeral && says_nothing(known) && !config.ephemeral.contains(*name));
    for (name, _) in counted {
        let Some(map) = observation.lock.maps.get_mut(name).filter(|map| map.ephemeral && says_nothing(map)) else {
            continue;
        };
        map.ephemeral = false;
        observation.counted_before.insert(name.clone());
        // Private to none of its objects any more.
        let mut of_objects = objects.iter().filter_map(|object| {
            let def = object.maps.iter().find(|def| def.name == *name)?;
            Some((at_run_time(def, config, lock), object.name.as_str()))
        });
        let Some((first, owner)) = of_objects.next() else { continue };
        let differ = |other: &LockedMap| differ(&alike(&first, other).def, &alike(other, &first).def);
        let others = of_objects.filter(|(other, _)| differ(other));
        observation.conflicts.extend(others.map(|(other, object)| conflict(&first, owner, &other, object)));
    }
}

/// The definition, without what the daemon sets when it loads the map. A placeholder in the object is none of its words.
fn at_run_time(def: &MapDef, config: &Config, lock: &Lock) -> LockedMap {
    let mut map = LockedMap::new(def.clone());
    let (said, known) = (config.bindings.get(&def.name), lock.maps.get(&def.name));
    let capacity_is_set = said.is_some_and(|said| said.runtime_capacity);
    if capacity_is_set {
        map.def.max_entries = 0;
    }
    // Nodes hold maps of every capacity and with all flags that daemons have chosen, whatever is said from now on.
    let was_so = known.is_some_and(|known| known.runtime_capacity);
    map.runtime_capacity = capacity_is_set || map.def.lacks_capacity() || was_so;
    map.runtime_flags = said.is_some_and(|said| said.runtime_flags) || known.is_some_and(|known| known.runtime_flags);
    map.user_never_deletes = said.is_some_and(|said| said.user_never_deletes);
    if map.runtime_flags {
        map.def = map.def.without_flags_of_memory();
    }
    map
}

/// True for what one node can't have both of. C and Rust may call one struct by two names.
fn differ(one: &MapDef, two: &MapDef) -> bool {
    one.digest() != two.digest() || one.max_entries != two.max_entries || one.pinning != two.pinning
}

impl Observation {
    /// Gives maps and structs the versions that `lock` has of them, if no object says one.
    fn adopt_versions(&mut self, lock: &Lock) {
        for (name, map) in &mut self.lock.maps {
            let known = lock.maps.get(name);
            if let Some((def, adopted)) = known.and_then(|known| versions::adopted(&map.def, &known.def)) {
                map.def = def;
                self.adopted.extend(adopted);
            }
        }
    }

    /// The same, if the bytes of `map` mean something else than `lock` says: the next version. `None` if one of them has no such
    /// map.
    #[must_use]
    pub fn with_new_meaning(&self, lock: &Lock, map: &str) -> Option<Self> {
        let known = lock.maps.get(map)?;
        let mut raised = self.clone();
        raised.lock.maps.get_mut(map)?.def.version = known.def.version.checked_add(1)?;
        Some(raised)
    }
}

/// `one` with the versions that the other says: an object that says none is not another definition.
fn alike(one: &LockedMap, other: &LockedMap) -> LockedMap {
    match versions::adopted(&one.def, &other.def) {
        Some((def, _)) => LockedMap { def, ..one.clone() },
        None => one.clone(),
    }
}

/// The finding for a map that two sides define differently, each with what messages call it; `None` if they agree.
#[must_use]
pub fn disagreement(known: &LockedMap, first: &str, other: &LockedMap, second: &str) -> Option<Finding> {
    differ(&known.def, &other.def).then(|| conflict(known, first, other, second))
}

/// The finding for a map that two objects define differently, with the first difference.
fn conflict(known: &LockedMap, first: &str, other: &LockedMap, second: &str) -> Finding {
    let name = &known.def.name;
    let both = |map: &LockedMap| Lock { maps: BTreeMap::from([(name.clone(), map.clone())]), ..Lock::default() };
    let differences = diff::compare(&both(known), &both(other), &Config::default().levels).findings;
    let primary = differences.iter().find(|finding| finding.consequence_of.is_none());
    Finding {
        rule: &rules::MAP_CONFLICT,
        level: Level::Deny,
        map: name.clone(),
        subject: primary.map_or(Subject::MAP, |finding| finding.subject.clone()),
        change: Change::Conflict {
            old: first.to_owned(),
            new: second.to_owned(),
            difference: primary.map(|finding| Box::new(finding.change.clone())),
        },
        consequence_of: None,
        accepted: None,
    }
}
