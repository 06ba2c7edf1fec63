//! Others who have a map that is left behind: other names of it in the directory, pins elsewhere, programs, maps of maps. Whoever has it
//! goes on with the old entries.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{Action, Inputs, MapPlan, Plan};
use crate::generation::names;
use crate::inspect::{Looked, User};

/// Says of each map in whose place another comes under which other names it is pinned beside its own.
pub(super) fn tell(inputs: &Inputs<'_>, maps: &mut [MapPlan]) {
    // What has a row of its own is told there.
    let told = maps.iter().filter_map(|map| map.action.live()?.pin.file_name());
    let told: Vec<_> = told.map(|pin| pin.to_string_lossy().into_owned()).collect();
    for map in maps {
        let Some(live) = map.action.live().filter(|_| is_left(&map.action)) else { continue };
        let others = inputs.live.iter().filter(|other| other.id == live.id && !told.contains(&other.pin));
        let others = others.filter(|other| !names::is_own(&other.pin));
        let others: Vec<_> = others.map(|other| other.pin.clone()).collect();
        for pin in &others {
            map.why.push_str(&format!("; `{pin}` is a pin of the same map, and goes on showing the old entries"));
        }
        map.other_pins = others;
    }
}

/// True if another map comes in the place of the live one, or none.
fn is_left(action: &Action) -> bool {
    match action {
        Action::Grow { .. }
        | Action::Shrink { .. }
        | Action::Convert { .. }
        | Action::Swap { .. }
        | Action::CarryBack { .. }
        | Action::TakeBack { .. } => true,
        Action::GiveUp { pin_stays, .. } => !pin_stays,
        Action::Create { .. } | Action::Reuse { .. } | Action::GoAlong { .. } | Action::Refuse { .. } => false,
    }
}

impl Plan {
    /// The ids of the maps that are left behind.
    pub(crate) fn left(&self) -> BTreeSet<u32> {
        let left = self.maps.iter().filter(|map| is_left(&map.action));
        left.filter_map(|map| map.action.live()).map(|live| live.id).collect()
    }

    /// Says of each who else has it, and where was looked.
    pub(crate) fn tell_users(&mut self, (mut users, looked): (BTreeMap<u32, Vec<User>>, Looked)) {
        for map in self.maps.iter_mut().filter(|map| is_left(&map.action)) {
            for user in map.action.live().and_then(|live| users.remove(&live.id)).into_iter().flatten() {
                let what = match user {
                    User::Pin(path) => {
                        let shown = path.display().to_string();
                        map.other_pins.push(shown.clone());
                        format!("`{shown}` is a pin of the same map, and goes on showing the old entries")
                    }
                    User::Program(id, name) => {
                        format!(
                            "program `{name}` (id {id}), of no hook here, uses the same map, and goes on with the old entries"
                        )
                    }
                    User::Holder(id, name) => {
                        format!("map `{name}` (id {id}) holds the same map, and goes on leading to the old entries")
                    }
                };
                map.why.push_str(&format!("; {what}"));
            }
        }
        self.looked = Some(looked);
    }

    /// Where was looked for others who have a map that is left behind, if somebody was found or something was left out: a sentence.
    /// That nobody was found is no proof that there is nobody.
    #[must_use]
    pub fn looked_words(&self) -> Option<String> {
        let is_told = |looked: &&Looked| looked.has_found || !looked.left_out.is_empty();
        self.looked.as_ref().filter(is_told).map(Looked::words)
    }
}
