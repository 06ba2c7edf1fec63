//! Under which pin a map of the spec is found: an earlier release may have given it another name.

use std::collections::{BTreeMap, BTreeSet};

use maplock_layout::identity::Identities;

use super::types::Inputs;
use crate::generation::names::pin_name;
use crate::inspect::Observed;

/// What of the live pins is which map's.
pub(super) struct Found<'a> {
    /// Maps of the spec.
    pins: BTreeMap<&'a str, &'a Observed>,
    /// Pins of maps that the lock says are gone, with the names by which it knows them now.
    gone: BTreeMap<&'a str, &'a str>,
    /// Pins of maps that this build lacks, as it may.
    lacked: BTreeSet<&'a str>,
    inputs: Inputs<'a>,
}

impl<'a> Found<'a> {
    pub(super) fn find(inputs: &Inputs<'a>) -> Self {
        let live = |name: &str| {
            let pin = pin_name(name);
            inputs.live.iter().find(|map| map.pin == pin)
        };
        let lock = inputs.spec.lock();
        let identities = Identities::find(lock, |name| live(name).is_some());
        let before = |name: &str| identities.before(name).and_then(live);
        let maps: Vec<&str> = inputs.spec.maps().map(|locked| locked.def.name.as_str()).collect();
        let mut pins: BTreeMap<&str, &Observed> = maps.iter().filter_map(|name| Some((*name, before(name)?))).collect();
        let gone = lock.gone.keys().filter_map(|name| Some((before(name)?.pin.as_str(), name.as_str()))).collect();
        let lacked = inputs.spec.lacked().filter_map(|name| Some(before(name)?.pin.as_str())).collect();
        // An older release does not know what its maps are called since: the live generation does.
        for name in maps {
            let came_of = |older: &&Vec<String>| older.iter().any(|older| older == name);
            let renamed = inputs.meta.iter().flat_map(|meta| &meta.renamed);
            let now = renamed.filter(|(_, older)| came_of(older)).find_map(|(now, _)| live(now));
            let is_free = |map: &&Observed| !pins.values().any(|taken| taken.pin == map.pin);
            if let Some(now) = now.filter(is_free)
                && !pins.contains_key(name)
            {
                pins.insert(name, now);
            }
        }
        Self { pins, gone, lacked, inputs: *inputs }
    }

    /// The live map that is this one.
    pub(super) fn live(&self, name: &str) -> Option<&'a Observed> {
        self.pins.get(name).copied()
    }

    /// True for the pin of a map of the spec.
    pub(super) fn has(&self, pin: &str) -> bool {
        self.pins.values().any(|map| map.pin == pin)
    }

    /// The map of the spec that this very map is, under whatever pin.
    pub(super) fn name_of(&self, id: u32) -> Option<&'a str> {
        self.pins.iter().find(|(_, map)| map.id == id).map(|(name, _)| *name)
    }

    /// True for the pin of a map that another build of the release has.
    pub(super) fn is_lacked(&self, pin: &str) -> bool {
        self.lacked.contains(pin)
    }

    /// The name by which the lock knows the map that was pinned so, of those that are gone.
    pub(super) fn gone(&self, pin: &str) -> Option<&'a str> {
        self.gone.get(pin).copied()
    }

    /// Another map that is pinned under a name which this one had before.
    pub(super) fn rival(&self, name: &str) -> Option<&'a Observed> {
        let found = self.live(name)?;
        let older = &self.inputs.spec.map(name)?.renamed_from;
        let is_rival = |map: &&Observed| {
            map.id != found.id && !self.has(&map.pin) && older.iter().any(|older| pin_name(older) == map.pin)
        };
        self.inputs.live.iter().find(is_rival)
    }
}
