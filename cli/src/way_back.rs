//! Whether entries come back to an older release: for those who must be able to go down.

use maplock_layout::config::Levels;
use maplock_layout::history::{self, Converting};
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::map_type::{Fate, fate};
use maplock_layout::{Comparison, Lock, Risk, compare, listing};

use crate::outcome::count;

/// What the way back does to entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Back {
    /// Both releases have one layout.
    Same,
    /// Every entry comes back as it was.
    Whole { converts: bool },
    /// A way leads back, over which parts of entries that old programs wrote do not come back: a phrase.
    Lossy { converts: bool, why: String },
    /// No way leads back: a phrase.
    None(String),
}

/// What a map of an older release is called in today's lock.
pub(crate) fn newer<'a>(today: &'a Lock, name: &str) -> Option<&'a LockedMap> {
    let came_of = |map: &&LockedMap| map.renamed_from.iter().any(|old| old == name);
    today.maps.get(name).or_else(|| today.maps.values().find(came_of)).filter(|map| !map.ephemeral)
}

/// The way from a map of today's lock back to what it was.
pub(crate) fn to(newer: &LockedMap, older: &LockedMap) -> Back {
    let (to, now) = (older.def.digest(), newer.def.digest());
    if to == now {
        return Back::Same;
    }
    let Some(way) = history::way(newer, to) else {
        return Back::None(format!("no accepted change leads from layout {}", to.short()));
    };
    if let Some(epoch) = way.iter().find(|epoch| !epoch.on_upgrade.keeps_entries()) {
        return Back::None(format!(
            "the change from layout {} is accepted as `{}`",
            epoch.from.short(),
            epoch.on_upgrade
        ));
    }
    // What stays as it is, is read by each side in its own way.
    let alone = |map: &LockedMap| Lock { maps: [(map.def.name.clone(), map.clone())].into(), ..Lock::default() };
    let comparison = compare(&alone(older), &alone(newer), &Levels::default());
    // Of an arm that new programs wrote, old ones know nothing.
    let is_misread = |risk| matches!(risk, Risk::Misread | Risk::Arm);
    if comparison.maps.iter().flat_map(|verdict| verdict.misread()).any(|reading| is_misread(reading.risk)) {
        let why = "old programs and new ones read the same bytes differently, as was accepted".to_owned();
        return Back::Lossy { converts: false, why };
    }
    if let Err(problem) = newer.way_back(to) {
        return Back::None(problem.to_string());
    }
    let mut lost = Vec::new();
    for step in Converting::on_way(newer, to) {
        match step.derive() {
            Ok(Some(derived)) => lost.extend(
                derived
                    .members
                    .iter()
                    .filter(|member| !member.lossless && !member.is_padding())
                    .map(|member| format!("`{}`", member.name())),
            ),
            Ok(None) => return Back::None("entries were converted by hand".to_owned()),
            Err(problems) => return Back::None(problems.to_string()),
        }
    }
    match lost.len() {
        0 => Back::Whole { converts: way.iter().any(|epoch| epoch.on_upgrade == OnUpgrade::Migrate) },
        1 => Back::Lossy { converts: true, why: format!("{} does not come back as it was", lost[0]) },
        _ => Back::Lossy { converts: true, why: format!("{} do not come back as they were", listing::list(&lost)) },
    }
}

/// How many entries the older map has room for, if the newer one has room for more: the way back does not happen if there are more.
pub(crate) fn room(newer: &LockedMap, older: &LockedMap) -> Option<u32> {
    let way = if older.def.digest() == newer.def.digest() { OnUpgrade::Reuse } else { OnUpgrade::Migrate };
    let is_another_map = matches!(fate(&older.def, &newer.def, way), Fate::Carried | Fate::Converted);
    older.smaller_room_than(newer).filter(|_| is_another_map)
}

/// The maps whose break leads one way only, each with why.
pub(crate) fn one_way(comparison: &Comparison, old: &Lock, new: &Lock) -> Vec<(String, String)> {
    let accepted = comparison.maps.iter().filter(|verdict| {
        comparison.of_map(&verdict.map).any(|finding| finding.accepted.is_some() && finding.rule.effect.in_digest)
            || new.gone.contains_key(&verdict.map)
    });
    let of = accepted.filter_map(|verdict| {
        let older = old.maps.get(verdict.was.as_ref()?)?;
        let why = match newer(new, &older.def.name).map(|newer| to(newer, older)) {
            Some(Back::Same | Back::Whole { .. }) => return None,
            Some(Back::Lossy { why, .. } | Back::None(why)) => why,
            None => "the map is given up".to_owned(),
        };
        Some((verdict.map.clone(), why))
    });
    of.collect()
}

/// In one line.
pub(crate) fn headline(one_way: &[(String, String)]) -> String {
    let names: Vec<_> = one_way.iter().map(|(map, _)| format!("`{map}`")).collect();
    format!(
        "{} without a lossless way back, which `direction = \"both\"` denies: {}",
        count(one_way.len(), "break"),
        names.join(", ")
    )
}
