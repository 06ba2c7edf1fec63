//! What an upgrade will do to each map, decided before anything is touched.

mod back;
mod capacity;
mod commit_by;
mod cost;
mod decide;
mod decision;
mod fits;
mod flags;
pub(crate) mod foresee;
mod goes_back;
mod gone;
pub(crate) mod hazard;
mod hazards;
mod kept;
mod names;
pub(crate) mod other_pins;
mod over_nothing;
mod phrases;
pub(crate) mod policy;
mod recognise;
pub mod rehearse;
mod removed;
mod same;
pub mod sample;
mod show;
pub(crate) mod spec;
mod sums;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod types;
mod unfinished;
mod unpinned;
pub(crate) mod way_back;

use maplock_layout::map_type::Behaviour;

#[doc(hidden)]
pub use crate::generation::pinned_lock::PinnedLock;
pub use commit_by::CommitBy;
pub use hazard::{Doubt, Hazard, Overwritten};
pub use kept::{KeptNow, KeptThen};
#[doc(hidden)]
pub use types::Inputs;
pub use types::{Action, Asked, Carry, Kept, Live, MapPlan, Plan, Return, Since};

pub use unfinished::Unfinished;
pub use unpinned::Unpinned;

pub use crate::generation::names::Alike;
pub use crate::inspect::{Looked, MapBack, Near, Place, WayBack};
pub use crate::transfer::{Found, Inexact, Sum};

pub(crate) use recognise::lacks_layout;
pub(crate) use same::same_but_for_capacity;

/// Decides for each map, from plain data alone.
#[doc(hidden)]
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let found = names::Found::find(inputs);
    let of = |locked| {
        let map = decide::map(inputs, &found, locked);
        let hazard = foresee::foresee(inputs, &map.action, locked);
        MapPlan { hazard, ..map }
    };
    let mut maps: Vec<_> = inputs.spec.maps().map(of).collect();
    maps.extend(gone::gone(inputs, &found));
    maps.sort_by(|a, b| a.map.cmp(&b.map));
    other_pins::tell(inputs, &mut maps);
    let leaves_kept = !inputs.kept.is_empty() && changes_nothing(inputs, &maps);
    let unpinned = over_nothing::find(inputs, &mut maps);
    let (dir, commit) = (inputs.dir.to_owned(), CommitBy::default());
    Plan { dir, maps, commit, leaves_kept, unpinned, ..Plan::default() }
}

/// True if the live generation says that it asked for the very same maps. What loaders fill is made anew at each start.
fn changes_nothing(inputs: &Inputs<'_>, maps: &[MapPlan]) -> bool {
    let Some(meta) = inputs.meta else { return false };
    let is_same = |map: &MapPlan| {
        let asked = inputs.spec.map(&map.map).map(|locked| inputs.policies.max_entries(&locked.def));
        let was = meta.maps.get(&map.map).map(|was| (was.id, was.max_entries));
        match &map.action {
            Action::Swap { live, .. } if live.def.map_type.row().entries != Behaviour::Refilled => false,
            Action::Reuse { live, new } | Action::Swap { live, new, loses_entries: false } => {
                live.digest == new.digest && was.is_some() && was == Some(live.id).zip(asked)
            }
            Action::GoAlong { live } => was.is_some_and(|(id, _)| id == live.id),
            _ => false,
        }
    };
    meta.maps.len() == maps.len() && maps.iter().all(is_same)
}
