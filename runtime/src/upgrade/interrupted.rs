//! What an upgrade or a roll-back that another process began may have lost: what that process had counted went with it.

use std::collections::BTreeSet;

use crate::generation::derivation::{Derivation, Ways, staged_transfers};
use crate::generation::records::{Commit, Unfinished};
use crate::generation::site::Site;
use crate::generation::{directory, names};
use crate::inspect::{self, Inventory, Pinned};
use crate::plan::hazard::{Doubt, Side, hazard};
use crate::sys::bpffs::Dir;
use crate::sys::possible_cpus;
use crate::transfer;
use crate::upgrade::inputs::COUNTING;
use crate::upgrade::probe;

/// The maps, by their pins, of which it is not certain that all that programs wrote was brought over, or will be: by what programs do with
/// them and what this kernel takes. What can't be looked at is not certain.
pub(crate) fn may_lack(site: &Site, unfinished: Unfinished) -> BTreeSet<String> {
    let (commit, coming) = match unfinished {
        Unfinished::InPlace(commit) => (commit, vec![&site.dir]),
        Unfinished::Switching { commit, is_moving: false } => (commit, vec![&site.next]),
        // Some of what is staged is there already.
        Unfinished::Switching { commit, is_moving: true } => (commit, vec![&site.next, &site.dir]),
        Unfinished::Staged | Unfinished::Returning => return BTreeSet::new(),
    };
    let mut records: Vec<_> = coming.iter().flat_map(|dir| records_in(dir, commit)).collect();
    let left = site.next.dir(names::LEFT);
    if let Some(old) = directory::meta_of(&left).ok().flatten() {
        // It has records of its own, of how its maps were derived.
        records.retain(|(_, record, _)| old.maps.values().any(|map| map.id == record.from));
    }
    if records.is_empty() {
        return BTreeSet::new();
    }
    // The older generation is in one of them.
    let dirs = [&site.dir, &site.next, &left].into_iter().chain(&site.places);
    let found: Vec<_> = dirs.filter_map(|dir| inspect::within(dir).ok()).collect();
    let lacks = records.into_iter().filter(|(_, record, ways)| !is_certain(record, ways.as_ref(), &found));
    lacks.map(|(name, ..)| name).collect()
}

/// How maps were derived, and how their entries were converted.
fn records_in(dir: &Dir, commit: Commit) -> Vec<(String, Derivation, Option<Ways>)> {
    let records = staged_transfers(dir, commit).unwrap_or_else(|error| {
        tracing::warn!(%error, "what an upgrade carried over is not known");
        Vec::new()
    });
    let with_ways = records.into_iter().map(|(name, record)| {
        let ways = record.converted.is_some().then(|| Ways::read(dir, &name, record.came).ok()).flatten();
        (name, record, ways)
    });
    with_ways.collect()
}

fn pinned(found: &[Inventory], id: u32) -> Option<&Pinned> {
    found.iter().flat_map(|found| found.maps.values()).find(|pinned| pinned.observed.id == id)
}

fn is_certain(record: &Derivation, ways: Option<&Ways>, found: &[Inventory]) -> bool {
    let (Some(from), Some(to)) = (pinned(found, record.from), pinned(found, record.to)) else { return false };
    let programs = |id: u32| {
        found.iter().filter_map(|found| found.meta.as_ref()).find_map(|meta| {
            let (name, _) = meta.maps.iter().find(|(_, map)| map.id == id)?;
            meta.programs.get(name)
        })
    };
    let old_sums = record.converted.as_ref().map_or(&record.sums, |converted| &converted.old_sums);
    let (old, new) = (&from.observed.def, &to.observed.def);
    let entries = transfer::count(&to.map, COUNTING);
    let hazard = hazard(
        Side { def: old, sums: old_sums, programs: programs(record.from) },
        Side { def: new, sums: &record.sums, programs: programs(record.to) },
        // Who deletes is no matter of what is brought over.
        true,
        entries,
        possible_cpus().unwrap_or(u32::MAX),
    );
    let loses = [Doubt::UserMayReplace, Doubt::Evicts].iter().any(|doubt| hazard.doubts.contains(doubt));
    hazard.overwritten.is_none() && !loses && probe::is_certain([(old, &from.map), (new, &to.map)], record, ways)
}
