//! The way back to an older release, by the lock of the newer one that runs.

use maplock_layout::conversion::Conversion;
use maplock_layout::history::LeadError;
use maplock_layout::lock::LockedMap;
use maplock_layout::{Digest, Disposition, MapDef, NoWayBack, SumPlace};

use super::decision::{By, Decision};
use super::recognise::{Recognised, recognise};
use super::sums;
use super::types::{Inputs, Return};
use crate::inspect::Observed;
use crate::transfer::Sum;

/// How the entries of a live map of a newer layout come back to that of the release that starts.
pub(super) struct Back {
    /// What the live map is, in the newer lock's words.
    pub(super) known: Recognised,
    pub(super) conversion: Conversion,
    pub(super) sums: Vec<Sum>,
    pub(super) entries: Return,
}

/// The way back; a phrase if the newer lock knows the map and no way leads back; `None` if it does not know it.
pub(super) fn find(inputs: &Inputs<'_>, live: &Observed, to: Digest) -> Option<Result<Back, String>> {
    let newer = inputs.newer.map(&live.pin)?;
    let digest = newer.def.digest();
    let known = recognise(inputs, live, newer, digest);
    if known.digest != digest {
        return None;
    }
    let way = match newer.way_back(to) {
        Ok(way) => way,
        // A release of another branch: neither knows the other.
        Err(NoWayBack::Lead(LeadError::NoWay(_))) => return None,
        Err(problem) => return Some(Err(problem.to_string())),
    };
    let sum = |place: &SumPlace| Sum { offset: place.offset, width: place.width, signed: place.signed };
    let sums = way.sums.iter().map(sum).collect();
    let entries = Return { again: way.again, together: way.together, found: None };
    Some(Ok(Back { known, conversion: way.back, sums, entries }))
}

/// Members that are added up, with those that the newer release's lock knows, if the live map differs in its capacity alone.
pub(super) fn with_newer_sums(
    inputs: &Inputs<'_>,
    live: &Observed,
    (asked, digest): (&LockedMap, Digest),
    sums: Vec<Sum>,
) -> Vec<Sum> {
    // With all that this release knows in its history: that one came later.
    let is_newer = |newer: &&LockedMap| {
        newer.def.digest() == digest && asked.epochs.iter().all(|epoch| newer.epochs.contains(epoch))
    };
    match inputs.newer.map(&live.pin).filter(is_newer) {
        Some(newer) => sums::with_locks(sums, newer, digest),
        None => sums,
    }
}

impl Back {
    /// What is done with the live map by it, if one as `asked` is wanted.
    pub(super) fn decision(&self, asked: &MapDef, live: &Observed) -> Decision {
        let stays = self.conversion.legs.is_empty();
        let room = live.def.max_entries;
        let (disposition, def) = match stays {
            false => (Disposition::Migrate, asked.clone()),
            true if asked.max_entries > room => (Disposition::Grow, asked.clone()),
            true => (Disposition::Reuse, MapDef { max_entries: room, ..asked.clone() }),
        };
        let members: Vec<_> = self.entries.together.iter().map(String::as_str).collect();
        let how = match (stays, members.is_empty()) {
            (true, _) => "its bytes are right as they are".to_owned(),
            (false, true) => "converted back".to_owned(),
            (false, false) => format!("converted back, and put together if only {} differs", members.join(", ")),
        };
        Decision { disposition, why: format!("{how}, by the lock of the newer release"), def, by: By::Lock }
    }
}
