//! What a roll-back leads to after an upgrade.

use super::types::{Action, MapPlan};
use crate::inspect::{Inventory, MapBack, WayBack, generation_number, lacks_layout};

/// After an upgrade by which the live generation becomes the kept one.
pub(crate) fn after(maps: &[MapPlan], live: &Inventory) -> WayBack {
    let mut back = WayBack { generation: generation_number(live), maps: Vec::new(), unknown: Vec::new() };
    for map in maps {
        let (from, to) = match &map.action {
            Action::GoAlong { .. } | Action::GiveUp { pin_stays: true, .. } => continue,
            action => (action.new_map().map(|new| new.digest), action.live().map(|live| live.digest)),
        };
        let pin = map.action.live().map(|live| live.pin.file_name().unwrap_or_default().to_string_lossy());
        let is_untold = |pin: &str| live.maps.get(pin).is_some_and(|map| lacks_layout(&map.observed));
        if from != to {
            back.maps.push(MapBack { map: map.map.clone(), from, to });
        } else if pin.is_some_and(|pin| is_untold(&pin)) && !matches!(map.action, Action::Reuse { .. }) {
            back.unknown.push(map.map.clone());
        }
    }
    back
}
