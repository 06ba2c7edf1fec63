//! What the maps of a generation hold at a moment.

use std::collections::BTreeMap;
use std::path::Path;

use maplock::Error;
use maplock::internals::inspect::{Inventory, generations};
use maplock::internals::sys::{Map, Prog};
use maplock::internals::{pin_name, transfer};
use maplock::layout::MapDef;
use maplock::layout::map_type::Behaviour;

/// What the maps of a live generation hold at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// The generation's number.
    pub generation: Option<u64>,
    /// Its maps, by name.
    pub maps: BTreeMap<String, MapPicture>,
    /// Names in its directory that are not the generation's.
    pub foreign: Vec<String>,
    /// Of each of its links, the ids of the maps that the program which it runs uses.
    pub links: BTreeMap<String, Vec<u32>>,
    /// True if something is staged beside it.
    pub is_staged: bool,
}

/// One map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapPicture {
    /// The kernel's number for it.
    pub id: u32,
    /// What it is.
    pub def: MapDef,
    /// Its entries, by what tells their keys apart; or why they can't be read: a phrase.
    pub entries: Result<BTreeMap<Vec<u8>, Entry>, String>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; in a per-CPU map, that of each CPU.
    pub values: Vec<Vec<u8>>,
}

impl Picture {
    /// Of the generation that is live in a directory. What programs write meanwhile is in it or not.
    ///
    /// # Errors
    /// If the directory can't be looked at.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        let found = generations(dir)?;
        let mut picture = Self {
            generation: found.live.meta.as_ref().map(|meta| meta.generation),
            foreign: found.foreign,
            is_staged: found.staged.is_some(),
            ..Self::default()
        };
        picture.read(&found.live);
        Ok(picture)
    }

    fn read(&mut self, live: &Inventory) {
        // Where maplock made no generation, each map is the daemon's.
        let names: Vec<&str> = match &live.meta {
            Some(meta) => meta.maps.keys().map(String::as_str).collect(),
            None => live.map_names().collect(),
        };
        for name in names {
            let Some(pinned) = live.maps.get(&pin_name(name)) else { continue };
            let def = pinned.observed.def.clone();
            let map = MapPicture { id: pinned.observed.id, entries: entries(&pinned.map, &def), def };
            self.maps.insert(name.to_owned(), map);
        }
        for (name, link) in &live.links {
            let uses = link.info().and_then(|info| Prog::from_id(info.prog_id)?.info());
            self.links.extend(uses.ok().map(|info| (name.clone(), info.map_ids)));
        }
    }

    /// The link that runs a program which uses a map of this older picture that another has taken the place of since: its name, and the
    /// map's.
    #[must_use]
    pub fn mixed<'a>(&'a self, older: &'a Self) -> Option<(&'a str, &'a str)> {
        let is_live = |id: u32| self.maps.values().any(|map| map.id == id);
        let left = || older.maps.iter().filter(|(_, map)| !is_live(map.id));
        self.links.iter().find_map(|(link, uses)| {
            let (name, _) = left().find(|(_, map)| uses.contains(&map.id))?;
            Some((link.as_str(), name.as_str()))
        })
    }
}

impl Picture {
    /// The map that is another than in an older picture, or in one of the two only. What a roll-back leads to are the very maps that were kept.
    #[must_use]
    pub fn another<'a>(&'a self, older: &'a Self) -> Option<&'a str> {
        let of = |picture: &Self, name: &str| picture.maps.get(name).map(|map| (map.id, map.def.digest()));
        let mut names = older.maps.keys().chain(self.maps.keys()).map(String::as_str);
        names.find(|name| of(self, name) != of(older, name))
    }
}

impl MapPicture {
    /// How many entries it holds, if they can be read.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.entries.as_ref().ok().map(BTreeMap::len)
    }
}

fn entries(map: &Map, def: &MapDef) -> Result<BTreeMap<Vec<u8>, Entry>, String> {
    match def.map_type.row().entries {
        Behaviour::Copied | Behaviour::InnerMapsById => {}
        Behaviour::OneByOne => return Err("its entries name objects of the kernel".to_owned()),
        Behaviour::MovedAtSettle => return Err("it can't be read without taking its entries out".to_owned()),
        Behaviour::Refilled => return Err("the loader fills it anew".to_owned()),
        Behaviour::Events => return Err("it holds events on their way to a reader".to_owned()),
        Behaviour::NotCopyable(why) => return Err(why.to_owned()),
    }
    let mut entries = BTreeMap::new();
    let read = transfer::each_entry(map, &mut |key, values| {
        let entry = Entry { key: key.to_vec(), values: values.iter().map(|value| value.to_vec()).collect() };
        entries.insert(transfer::significant(def.map_type, key), entry);
        Ok(())
    });
    read.map(|()| entries).map_err(|error| format!("it can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use maplock::layout::map::MapType;

    use super::*;

    #[test]
    fn a_map_of_the_same_layout_is_another_if_the_kernel_made_it_anew() {
        let with = |maps: &[(&str, u32, u32)]| {
            let map = |&(name, id, value_size): &(&str, u32, u32)| {
                let def = MapDef { key_size: 4, value_size, max_entries: 4, ..MapDef::new(name, MapType::HASH) };
                (name.to_owned(), MapPicture { id, def, entries: Ok(BTreeMap::new()) })
            };
            Picture { maps: maps.iter().map(map).collect(), ..Picture::default() }
        };
        let before = with(&[("flows", 1, 8), ("stats", 2, 8)]);
        assert_eq!(before.another(&before), None);
        assert_eq!(with(&[("flows", 1, 8), ("stats", 3, 8)]).another(&before), Some("stats"));
        assert_eq!(with(&[("flows", 1, 16), ("stats", 2, 8)]).another(&before), Some("flows"));
        assert_eq!(with(&[("stats", 2, 8)]).another(&before), Some("flows"));
        assert_eq!(with(&[("flows", 1, 8), ("stats", 2, 8), ("wide", 4, 8)]).another(&before), Some("wide"));
    }
}
