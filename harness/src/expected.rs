//! What the entries of a picture become by an upgrade, as the plan says.

use std::collections::{BTreeMap, BTreeSet};

use maplock::Migrations;
use maplock::Plan;
use maplock::internals::transfer::{self, Way};
use maplock::layout::{Disposition, MapDef};
use maplock::plan::{Action, Since};

use crate::picture::{Entry, MapPicture, Picture};

/// What the entries of one map are to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Expected {
    /// The map's name then.
    pub map: String,
    /// Its name before, if that is another.
    pub was: Option<String>,
    /// What happens to its state.
    pub disposition: Disposition,
    /// How many entries there were, if they can be read.
    pub before: Option<usize>,
    /// What they are to be; or why that can't be said: a phrase.
    pub entries: Result<Entries, String>,
}

/// Entries as they are to be.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    pub(crate) all: BTreeMap<Vec<u8>, Entry>,
    /// Those that more than one entry becomes.
    pub(crate) met: BTreeSet<Vec<u8>>,
}

impl Expected {
    /// All of them as they are.
    #[must_use]
    pub fn same(before: &Picture) -> Vec<Self> {
        before.maps.iter().map(|(name, map)| Self::of(name, Disposition::Reuse, map, as_they_are(map))).collect()
    }

    /// As a plan for what is in the picture says.
    #[must_use]
    pub fn by(plan: &Plan, before: &Picture) -> Vec<Self> {
        let of = |map: &maplock::plan::MapPlan| {
            let old = map.was.as_ref().unwrap_or(&map.map);
            // A plan names the pin, a picture the map.
            let before =
                before.maps.iter().find(|(name, _)| *name == old || maplock::internals::pin_name(name) == *old)?.1;
            let expected = Self::of(&map.map, map.disposition(), before, becomes(&map.action, before));
            Some(Self { was: map.was.clone(), ..expected })
        };
        plan.maps.iter().filter_map(of).collect()
    }

    fn of(name: &str, disposition: Disposition, before: &MapPicture, entries: Result<Entries, String>) -> Self {
        Self { map: name.to_owned(), was: None, disposition, before: before.count(), entries }
    }
}

fn as_they_are(map: &MapPicture) -> Result<Entries, String> {
    map.entries.clone().map(|all| Entries { all, met: BTreeSet::new() })
}

fn becomes(action: &Action, before: &MapPicture) -> Result<Entries, String> {
    match action {
        Action::Reuse { .. } | Action::GoAlong { .. } | Action::Grow { .. } | Action::CarryBack { .. } => as_they_are(before),
        Action::Shrink { new, .. } => {
            let mut entries = as_they_are(before)?;
            let index = |key: &[u8]| <[u8; 4]>::try_from(key).map(u32::from_ne_bytes);
            // What a smaller array has no place for is all zero, or the upgrade refuses it.
            let is_array = new.def.map_type.is_array();
            entries.all.retain(|key, _| !is_array || index(key).is_ok_and(|index| index < new.def.max_entries));
            Ok(entries)
        }
        Action::Convert { new, conversion, back: None, .. } => {
            let way = Way::new(conversion, &Migrations::default(), before.def.key_size, before.def.value_size)
                .map_err(|_| "its entries are converted by the daemon's own code, which alone knows what they become".to_owned())?;
            converted(&way, before, &new.def)
        }
        Action::Convert { .. } | Action::TakeBack { since: Since::ConvertedBack { .. }, .. } => {
            Err("its entries go back to an older layout, and get back what only that layout has".to_owned())
        }
        Action::TakeBack { .. } => Err("the kept map returns".to_owned()),
        Action::Swap { .. } => Err("an empty map takes its place".to_owned()),
        Action::GiveUp { .. } => Err("it is given up".to_owned()),
        Action::Create { .. } => Err("it is made anew".to_owned()),
        Action::Refuse { .. } => {
            Err("the plan refuses it by the lock alone: the daemon has a policy of its own, which the command line can give".to_owned())
        }
    }
}

fn converted(way: &Way, before: &MapPicture, new: &MapDef) -> Result<Entries, String> {
    let mut entries = Entries::default();
    for entry in before.entries.as_ref().map_err(Clone::clone)?.values() {
        // Of a per-CPU map, each value on its own.
        let mut becomes: Vec<Entry> = Vec::new();
        for value in &entry.values {
            let mut at = 0;
            let converted = way.convert(&entry.key, value, &mut |key, value| {
                match becomes.get_mut(at) {
                    Some(entry) => entry.values.push(value.to_vec()),
                    None => becomes.push(Entry { key: key.to_vec(), values: vec![value.to_vec()] }),
                }
                at += 1;
            });
            converted.map_err(|error| format!("an entry of it can't be converted: {error}"))?;
        }
        for entry in becomes {
            let key = transfer::significant(new.map_type, &entry.key);
            if entries.all.insert(key.clone(), entry).is_some() {
                entries.met.insert(key);
            }
        }
    }
    Ok(entries)
}
