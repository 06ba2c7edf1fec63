//! Whether a plan is one over nothing.

use std::collections::BTreeSet;

use super::types::{Action, Inputs, MapPlan};
use super::unpinned::Unpinned;
use crate::generation::names;

/// Looks whether it is so, and says it of each map that is made. What else is there and near, who asks the node adds.
pub(super) fn find(inputs: &Inputs<'_>, maps: &mut [MapPlan]) -> Option<Unpinned> {
    let is_absent = |map: &MapPlan| {
        matches!(
            map.action,
            Action::Create { .. } | Action::Refuse { live: None, .. } | Action::GiveUp { pin_stays: true, .. }
        )
    };
    let has_any = inputs.spec.maps().next().is_some();
    if inputs.meta.is_some() || !has_any || !maps.iter().all(is_absent) {
        // Where some are pinned, others may be under names that nobody looks for.
        let made = maps.iter_mut().filter(|map| matches!(map.action, Action::Create { .. }));
        made.for_each(|map| map.why.push_str(&may_be(&map.map, inputs)));
        return None;
    }
    for map in maps.iter_mut().filter(|map| matches!(map.action, Action::Create { .. })) {
        map.why = format!("not pinned here{}", may_be(&map.map, inputs));
    }
    let names: BTreeSet<_> = inputs.live.iter().map(|live| live.pin.clone()).collect();
    Some(Unpinned { exists: !names.is_empty(), names, has_kept: !inputs.kept.is_empty(), near: Vec::new() })
}

/// That a pin is there which may be the map's: a phrase behind another.
fn may_be(map: &str, inputs: &Inputs<'_>) -> String {
    let alike = inputs.live.iter().filter_map(|live| Some((&live.pin, names::alike(map, &live.pin)?)));
    alike.map(|(pin, why)| format!("; `{pin}` may be it: {}", why.why())).collect()
}
