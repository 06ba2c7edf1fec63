//! Other names of a map that is left behind: whoever opens it there goes on with the old entries.

use super::types::{Action, Inputs, MapPlan};
use crate::generation::names;

/// Says of each map in whose place another comes under which other names it is pinned beside its own.
pub(super) fn tell(inputs: &Inputs<'_>, maps: &mut [MapPlan]) {
    // What has a row of its own is told there.
    let told = maps.iter().filter_map(|map| map.action.live()?.pin.file_name());
    let told: Vec<_> = told.map(|pin| pin.to_string_lossy().into_owned()).collect();
    for map in maps {
        let is_left = match &map.action {
            Action::Grow { .. }
            | Action::Shrink { .. }
            | Action::Convert { .. }
            | Action::Swap { .. }
            | Action::CarryBack { .. }
            | Action::TakeBack { .. } => true,
            Action::GiveUp { pin_stays, .. } => !pin_stays,
            Action::Create { .. } | Action::Reuse { .. } | Action::GoAlong { .. } | Action::Refuse { .. } => false,
        };
        let Some(live) = map.action.live().filter(|_| is_left) else { continue };
        let others = inputs.live.iter().filter(|other| other.id == live.id && !told.contains(&other.pin));
        let others = others.filter(|other| !names::is_own(&other.pin));
        let others: Vec<_> = others.map(|other| other.pin.clone()).collect();
        for pin in &others {
            map.why.push_str(&format!("; `{pin}` is a pin of the same map, and goes on showing the old entries"));
        }
        map.other_pins = others;
    }
}
