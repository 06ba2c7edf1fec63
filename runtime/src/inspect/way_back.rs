//! What a roll-back leads to.

use std::fmt;

use maplock_layout::Digest;
use serde::Serialize;

use super::directory::Inventory;
use super::observe::{Observed, Source};
use crate::generation::names::pin_name;

/// What a roll-back leads to: the kept generation, held against the live one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WayBack {
    /// The number of the generation; `None` if nothing tells one, for example if another loader made it.
    pub generation: Option<u64>,
    /// Maps that have another layout there, or are in one of the two only: by the names of their pins.
    pub maps: Vec<MapBack>,
    /// Maps of which nothing tells whether they have another layout.
    pub unknown: Vec<String>,
}

/// A map that a roll-back changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MapBack {
    /// The name of its pin, of the live one if it is in both.
    pub map: String,
    /// Digest of what it is before the roll-back; `None` if there is no such map.
    #[serde(serialize_with = "digest")]
    pub from: Option<Digest>,
    /// Digest of what it is after it; `None` if there is no such map.
    #[serde(serialize_with = "digest")]
    pub to: Option<Digest>,
}

fn digest<S: serde::Serializer>(value: &Option<Digest>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(digest) => serializer.collect_str(digest),
        None => serializer.serialize_none(),
    }
}

impl WayBack {
    /// From one generation to another, as both are pinned.
    #[must_use]
    pub fn between(live: &Inventory, kept: &Inventory) -> Self {
        let mut back = Self { generation: generation_number(kept), maps: Vec::new(), unknown: Vec::new() };
        let mut left: Vec<&Observed> = own(kept).collect();
        for map in own(live) {
            let found = left.iter().position(|kept| is_same_map((live, map), kept));
            let Some(kept) = found.map(|at| left.swap_remove(at)) else {
                back.maps.push(MapBack { map: map.pin.clone(), from: Some(map.digest()), to: None });
                continue;
            };
            let (from, to) = (map.digest(), kept.digest());
            if from != to {
                back.maps.push(MapBack { map: map.pin.clone(), from: Some(from), to: Some(to) });
            } else if kept.id != map.id && [map, kept].iter().any(|map| lacks_layout(map)) {
                back.unknown.push(map.pin.clone());
            }
        }
        back.maps.extend(left.into_iter().map(|map| MapBack {
            map: map.pin.clone(),
            from: None,
            to: Some(map.digest()),
        }));
        back.maps.sort_by(|a, b| a.map.cmp(&b.map));
        back
    }

    /// True if every map has the layout there that it has now: a roll-back changes the programs at the most.
    #[must_use]
    pub fn is_same_layout(&self) -> bool {
        self.maps.is_empty() && self.unknown.is_empty()
    }
}

/// The number of a generation.
pub(crate) fn generation_number(generation: &Inventory) -> Option<u64> {
    generation.meta.as_ref().map(|meta| meta.generation)
}

/// The maps that belong to a generation; all of them, if it does not say.
fn own(generation: &Inventory) -> impl Iterator<Item = &Observed> {
    let is_own =
        |pin: &str| generation.meta.as_ref().is_none_or(|meta| meta.maps.keys().any(|map| pin_name(map) == pin));
    let names: Vec<&str> = generation.map_names().collect();
    let maps = generation.maps.values().map(|map| &map.observed);
    maps.filter(move |map| names.contains(&map.pin.as_str()) && is_own(&map.pin))
}

/// True if the kept map is that live one's: by name, by a name that either had before, or since it is the very same.
fn is_same_map((live, map): (&Inventory, &Observed), kept: &Observed) -> bool {
    let older = live.meta.as_ref().and_then(|meta| meta.renamed.get(&map.pin));
    kept.id == map.id || kept.pin == map.pin || older.is_some_and(|older| older.contains(&kept.pin))
}

/// True if nothing tells the layout of a map that has one.
pub(crate) fn lacks_layout(map: &Observed) -> bool {
    map.source == Source::Attributes && (map.def.key_has_layout() || map.def.value_has_layout())
}

impl fmt::Display for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            Some(number) => write!(f, "generation {number}")?,
            None => f.write_str("a generation without a number")?,
        }
        if self.is_same_layout() {
            return f.write_str(", whose maps have the same layouts");
        }
        let changes = self.maps.iter().map(|MapBack { map, from, to }| match (from, to) {
            (Some(from), Some(to)) => format!("`{map}` {} -> {}", from.short(), to.short()),
            (Some(_), None) => format!("without `{map}`"),
            (None, _) => format!("with `{map}`"),
        });
        let unknown = self.unknown.iter().map(|map| format!("`{map}`, whose layout is unknown"));
        let parts: Vec<_> = changes.chain(unknown).collect();
        write!(f, ": {}", parts.join(", "))
    }
}
