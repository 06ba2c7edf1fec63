//! Whether entries fit into a smaller map.

use maplock_layout::{Disposition, MapDef};

use super::decision::Decision;
use crate::inspect::Observed;

/// Entries that somebody accepted to bring into less room must fit it.
pub(super) fn fits(decision: Decision, live: &Observed, old: &MapDef) -> Decision {
    let room = decision.def.max_entries;
    if decision.disposition != Disposition::Migrate || room >= old.max_entries {
        return decision;
    }
    let unless = match (old.map_type.is_array(), live.entries) {
        (false, Some(entries)) if entries > u64::from(room) => {
            let why = format!("{entries} entries don't fit into {room}");
            return Decision { disposition: Disposition::Refuse, why, ..decision };
        }
        (false, Some(_)) => return decision,
        (false, None) => format!("there are more than {room}"),
        // An array is always full. The copy finds out whether what it has beyond the new end is zero, and changes nothing where not.
        (true, _) if decision.def.map_type.is_array() => format!("an entry from index {room} on is not zero"),
        (true, _) if decision.def.map_type.evicts() => return decision,
        (true, _) => format!("its entries don't fit into {room}"),
    };
    Decision { why: format!("{}; refused if {unless}", decision.why), ..decision }
}
