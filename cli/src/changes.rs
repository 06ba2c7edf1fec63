//! What differs between two states of a lock.

use std::collections::BTreeSet;

use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::rules::{Attribute, Tier};
use maplock_layout::{Disposition, Lock, compare};

use crate::outcome::{Change, describe, merged};
use crate::programs;

/// What differs between two states of a lock, map by map.
pub(crate) fn changes(old: &Lock, new: &Lock) -> Vec<Change> {
    let mut changes = Vec::new();
    let names: BTreeSet<_> = old.maps.keys().chain(new.maps.keys()).collect();
    for name in names {
        match (old.maps.get(name), new.maps.get(name)) {
            (Some(before), Some(after)) => definition_changes(before, after, &mut changes),
            (None, Some(after)) => {
                // A node may still have what was given up under that name.
                let swaps = after.epochs.last().is_some_and(|epoch| epoch.on_upgrade == OnUpgrade::Swap);
                let since = match old.gone.contains_key(name) {
                    true if swaps => "; nodes that still have the one that was given up start empty",
                    true => "; nodes that still have the one that was given up go on with it",
                    false => "",
                };
                changes.push(Change::new(name, "created", format!("{}{since}", describe(after))));
            }
            (Some(before), None) => changes.push(Change::new(name, "dropped", describe(before))),
            (None, None) => {}
        }
        if let (Some(before), Some(after)) = (old.maps.get(name), new.maps.get(name)) {
            let programs = programs::changed(before, after);
            changes.extend(programs.map(|what| Change::new(name, "programs", what)));
            epoch_changes(before, after, &mut changes);
        }
    }
    changes
}

fn definition_changes(before: &LockedMap, after: &LockedMap, changes: &mut Vec<Change>) {
    let name = &after.def.name;
    if before.merge != after.merge {
        let members = merged(&after.merge).unwrap_or_else(|| "no member is summed".to_owned());
        changes.push(Change::new(name, "changed", members));
    }
    if before.same_definition(after) {
        return;
    }
    let alone = |map: &LockedMap| {
        let map = LockedMap { epochs: Vec::new(), ..map.clone() };
        Lock { maps: [(name.clone(), map)].into(), ..Lock::default() }
    };
    let comparison = compare(&alone(before), &alone(after), &maplock_layout::Config::default().levels);
    let grows = comparison.maps.iter().any(|verdict| verdict.disposition == Disposition::Grow);
    let findings = comparison.findings;
    for finding in findings.iter().filter(|finding| finding.consequence_of.is_none()) {
        let effect = &finding.rule.effect;
        let kind = match effect.attribute {
            Some(Attribute::MaxEntries)
                if matches!(finding.change, maplock_layout::Change::MaxEntries { .. }) && grows =>
            {
                "grew"
            }
            Some(Attribute::MaxEntries) if !effect.keeps_bytes => "shrank",
            _ if finding.rule.tier == Tier::Spelling => "respelled",
            _ => "changed",
        };
        changes.push(Change::new(name, kind, finding.short()));
    }
    let is_said = before.user_never_deletes != after.user_never_deletes;
    if is_said {
        let what = match after.user_never_deletes {
            true => "nothing in user space deletes entries, by the configuration",
            false => "the configuration no longer says that nothing in user space deletes entries",
        };
        changes.push(Change::new(name, "changed", what.to_owned()));
    }
    if findings.is_empty() && !is_said {
        changes.push(Change::new(name, "respelled", "same meaning, written differently".to_owned()));
    }
}

fn epoch_changes(before: &LockedMap, after: &LockedMap, changes: &mut Vec<Change>) {
    let name = &after.def.name;
    for epoch in after.epochs.iter().filter(|epoch| !before.epochs.contains(epoch)) {
        let what = format!(
            "the change from layout {} to {} is recorded: {}",
            epoch.from.short(),
            epoch.to.short(),
            epoch.on_upgrade
        );
        changes.push(Change { epoch: Some(epoch.clone()), ..Change::new(name, "epoch", what) });
    }
    for epoch in before.epochs.iter().filter(|epoch| !after.epochs.contains(epoch)) {
        let what = format!(
            "the accepted change from layout {} to {} is dropped: it leads nowhere",
            epoch.from.short(),
            epoch.to.short()
        );
        changes.push(Change { epoch: Some(epoch.clone()), ..Change::new(name, "epoch", what) });
    }
}
