//! What may go wrong with what is planned for a map.

use maplock_layout::conversion::Collide;
use maplock_layout::lock::LockedMap;
use maplock_layout::{MapDef, SumPlace};

use super::hazard::{Hazard, Side, hazard};
use super::types::{Action, Inputs, Since};
use crate::generation::meta::Meta;
use crate::sys::{MapInfo, possible_cpus};
use crate::transfer::Sum;

/// What may go wrong with what is done to a map.
pub(super) fn foresee(inputs: &Inputs<'_>, action: &Action, locked: &LockedMap) -> Hazard {
    let none: &[Sum] = &[];
    let (live, new, sums) = match action {
        Action::Grow { live, new, carry }
        | Action::Shrink { live, new, carry }
        | Action::CarryBack { live, new, carry }
        | Action::Convert { live, new, carry, .. } => (live, new, carry.sums.as_slice()),
        Action::TakeBack { since: Since::ConvertedBack { live, .. }, new, .. } => (live, new, none),
        _ => return Hazard::default(),
    };
    let conversion = match action {
        Action::Convert { conversion, .. } => Some(conversion),
        _ => None,
    };
    let old_sums = conversion.map(|conversion| {
        let place = |sum: &Sum| SumPlace { offset: sum.offset, width: sum.width, signed: sum.signed };
        let back = conversion.sums_back(&sums.iter().map(place).collect::<Vec<_>>());
        back.into_iter().map(|at| Sum { offset: at.offset, width: at.width, signed: at.signed }).collect::<Vec<_>>()
    });
    let told = inputs.meta.and_then(|meta| {
        let (name, _) = meta.maps.iter().find(|(_, map)| map.id == live.id)?;
        meta.programs.get(name)
    });
    let old = Side { def: &live.def, sums: old_sums.as_deref().unwrap_or(sums), programs: told };
    let new = Side { def: &new.def, sums, programs: locked.programs.as_ref() };
    let mut hazard = hazard(old, new, locked.user_never_deletes, live.entries, inputs.node.cpus);
    hazard.loses_padding = conversion.is_some_and(|conversion| conversion.collide() == Some(Collide::Refuse));
    if matches!(action, Action::TakeBack { .. }) {
        // The record of how it was converted tells what is added up, and is read when it is staged.
        hazard.overwritten = None;
    }
    hazard
}

/// A map of a generation, with what that says of itself.
pub(crate) type Of<'a> = (Option<&'a Meta>, &'a MapInfo);

/// What may go wrong when entries are carried back from a live map to a kept one. What is overwritten is counted when it happens.
pub(crate) fn on_the_way_back((live, from): Of<'_>, (kept, to): Of<'_>) -> Hazard {
    let of = |meta: Option<&Meta>, info: &MapInfo| {
        let name =
            meta.and_then(|meta| meta.maps.iter().find(|(_, map)| map.id == info.id)).map(|(name, _)| name.clone());
        let programs = meta.zip(name.as_ref()).and_then(|(meta, name)| meta.programs.get(name).cloned());
        let never = meta.zip(name.as_ref()).is_some_and(|(meta, name)| meta.user_never_deletes.contains(name));
        let def = MapDef { flags: info.flags, max_entries: info.max_entries, ..MapDef::new("", info.map_type) };
        (def, programs, never)
    };
    let (old, new) = (of(live, from), of(kept, to));
    let cpus = possible_cpus().unwrap_or(u32::MAX);
    // How many entries there are is known at the end.
    let mut hazard = hazard(
        Side { def: &old.0, sums: &[], programs: old.1.as_ref() },
        Side { def: &new.0, sums: &[], programs: new.1.as_ref() },
        old.2,
        Some(0),
        cpus,
    );
    hazard.overwritten = None;
    hazard
}
