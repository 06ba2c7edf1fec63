//! From the maps of a package's objects to the set that its lock should hold.

use std::collections::BTreeMap;
use std::fmt;

use crate::change::{Change, Subject};
use crate::config::{Config, did_you_mean};
use crate::diff;
use crate::finding::Finding;
use crate::lock::{Lock, LockedMap};
use crate::map::{MapDef, Origin, Pinning};
use crate::rules::{self, Level};

/// One object's maps.
#[derive(Debug, Clone)]
pub struct ObjectMaps {
    /// How reports name the object.
    pub name: String,
    /// All of its maps.
    pub maps: Vec<MapDef>,
}

/// What a package's objects define.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The declared maps. Those that don't count as pinned are marked as ephemeral.
    pub lock: Lock,
    /// Maps that two objects define differently.
    pub conflicts: Vec<Finding>,
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

/// Puts the maps of all objects together.
///
/// A map counts as pinned where it says so (`pinning`), or, in an object in which no map does, where it is declared at
/// all: many daemons pin at run time. The configuration's `pinned` and `ephemeral` overrule both. Global data and
/// `struct_ops` tables never count: loaders fill them anew.
///
/// # Errors
/// Where the configuration names a map that no object has.
pub fn observe(objects: &[ObjectMaps], config: &Config) -> Result<Observation, ObserveError> {
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
            let map = LockedMap { ephemeral: !pinned, ..LockedMap::new(def.clone()) };
            match observation.lock.maps.get(&def.name) {
                // Pinned in one object is pinned; two private maps may share a name and nothing else.
                Some(known) if known.ephemeral != map.ephemeral => {
                    if known.ephemeral {
                        observation.lock.maps.insert(def.name.clone(), map);
                        owners.insert(&def.name, &object.name);
                    }
                }
                Some(known) => {
                    // C and Rust may call one struct by two names.
                    let (one, two) = (&known.def, &map.def);
                    let differ = one.digest() != two.digest()
                        || one.max_entries != two.max_entries
                        || one.pinning != two.pinning;
                    if pinned && differ {
                        let first = owners.get(def.name.as_str()).copied().unwrap_or_default();
                        observation.conflicts.push(conflict(known, first, &map, &object.name));
                    }
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
    let known = || objects.iter().flat_map(|object| &object.maps).map(|map| map.name.as_str());
    let named = config.pinned.iter().map(|name| ("pinned", name));
    let named = named.chain(config.ephemeral.iter().map(|name| ("ephemeral", name)));
    for (key, name) in named.chain(config.bindings.keys().map(|name| ("maps", name))) {
        if !known().any(|map| map == name) {
            let hint = did_you_mean(name, known());
            return Err(ObserveError(format!("`{key}` names map `{name}`, which no object has{hint}")));
        }
    }
    Ok(observation)
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
