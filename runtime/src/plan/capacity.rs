//! How many entries a map has room for, if the lock leaves that to the daemon.

use maplock_layout::lock::LockedMap;
use maplock_layout::map_type::{Behaviour, Capacity};
use maplock_layout::{Disposition, MapDef, Untold};

use super::decision::{By, Decision};
use super::policy::Policy;
use super::types::Inputs;
use crate::inspect::normalise::created_max_entries;

/// The capacity of what is pinned, if it counts the same. A map that is reused at its size loses nothing.
pub(super) fn of_pinned(asked: &MapDef, pinned: &MapDef) -> Option<u32> {
    let counts = |def: &MapDef| match def.map_type.row().capacity {
        Capacity::EvenOverCpus => Capacity::Entries,
        other => other,
    };
    let is_alike = asked.map_type.row().kind == pinned.map_type.row().kind && counts(asked) == counts(pinned);
    is_alike.then_some(pinned.max_entries)
}

/// That nobody has said it, and who can.
pub(super) fn untold(map: &str) -> String {
    format!(
        "maps.lock says no capacity, because the daemon chooses it: set `Policy::max_entries`, or plan with `--max-entries {map}=N`"
    )
}

/// Refuses to make a map of which nobody has said how many entries it is to have room for: the kernel would not make it. If the
/// pinned one has told it, that is said.
pub(super) fn told(inputs: &Inputs<'_>, is_told: bool, decision: Decision) -> Decision {
    let Decision { disposition, def, .. } = &decision;
    let is_made = matches!(disposition, Disposition::Migrate | Disposition::Swap);
    let is_counted = def.map_type.is_known() && def.map_type.row().capacity != Capacity::Nothing;
    if is_made && is_counted && created_max_entries(def, inputs.node) == 0 {
        let why = format!("{}; {}", decision.why, untold(&def.name));
        return Decision { disposition: Disposition::Refuse, why, ..decision };
    }
    if is_told || *disposition == Disposition::Refuse {
        return decision;
    }
    let why = format!("{}; max_entries stays at {}: nobody gives another", decision.why, def.max_entries);
    Decision { why, ..decision }
}

/// How much room is asked for, and by whom: a phrase.
pub(super) fn asked_for(asked: &MapDef, policy: &Policy) -> String {
    let wanted = asked.max_entries;
    match policy.max_entries {
        Some(_) => format!("the daemon's policy asks for {wanted}"),
        None => format!("{wanted} asked"),
    }
}

/// The larger map stays.
pub(super) fn stays(old: &MapDef, asked: &LockedMap, policy: &Policy) -> Decision {
    let (room, def) = (old.max_entries, &asked.def);
    // One that loaders fill is made anew all the same.
    let max_entries = if old.map_type.row().entries == Behaviour::Refilled { def.max_entries } else { room };
    let whose = if asked.runtime_capacity && policy.max_entries.is_none() { ", as a daemon chose it" } else { "" };
    let same = Untold::same(Untold::of(old));
    let why = format!("{same}; max_entries stays at {room}{whose}: {}", asked_for(def, policy));
    Decision { disposition: Disposition::Reuse, why, def: MapDef { max_entries, ..def.clone() }, by: By::Lock }
}
