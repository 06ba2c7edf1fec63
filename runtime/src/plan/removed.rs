//! A map of the live generation whose pin somebody removed.

use maplock_layout::lock::LockedMap;

use super::capacity;
use super::policy::{OnMissing, Policy};
use super::types::{Action, Asked, Inputs};
use crate::generation::meta::MetaMap;
use crate::generation::names::pin_name;

/// What the live generation calls a map, and which one it is, if its pin is gone. Nothing that is pinned is this map.
pub(super) fn find<'a>(inputs: &Inputs<'a>, locked: &LockedMap) -> Option<(&'a str, MetaMap)> {
    let meta = inputs.meta?;
    let name = &locked.def.name;
    // Under a name that it had before, or, of an older release, under one that it got since.
    let is_it = |listed: &String| {
        listed == name
            || locked.renamed_from.contains(listed)
            || meta.renamed.get(listed).is_some_and(|older| older.contains(name))
    };
    let is_gone = |listed: &String| !inputs.live.iter().any(|live| live.pin == pin_name(listed));
    let found = meta.maps.iter().find(|(listed, _)| is_it(listed) && is_gone(listed));
    found.map(|(listed, map)| (listed.as_str(), *map))
}

/// What is done if neither the pin nor the very map in the kept generation is there.
pub(super) fn answer(
    inputs: &Inputs<'_>,
    (listed, map): (&str, MetaMap),
    new: Asked,
    policy: &Policy,
) -> (Action, String) {
    let generation = inputs.meta.map_or(0, |meta| meta.generation);
    let why =
        format!("somebody removed its pin `{}`: generation {generation} has it as map {}", pin_name(listed), map.id);
    match policy.missing {
        OnMissing::Refuse => (Action::Refuse { live: None, new: Some(new) }, why),
        OnMissing::Create if new.def.lacks_capacity() => {
            let untold = capacity::untold(&new.def.name);
            (Action::Refuse { live: None, new: Some(new) }, untold)
        }
        OnMissing::Create => {
            let loses_entries = new.def.map_type.is_state();
            (Action::Create { new, loses_entries }, format!("{why}; starts empty (policy: create)"))
        }
    }
}
