//! Which live map took the place of which kept one, as a roll-back meets them.

use crate::error::Error;
use crate::generation::derivation::Derivation;
use crate::generation::{directory, names};
use crate::sys::bpffs::Dir;
use crate::sys::{Map, Object};
use crate::transfer;
use crate::upgrade::inputs::COUNTING;

/// True if all entries are always there.
pub(super) fn is_array(map: &Map) -> bool {
    map.info().map_type.is_array()
}

/// Entries that nobody finds after the roll-back; `None` if they can't be counted.
pub(super) fn left_behind(live: &Map) -> Option<u64> {
    if live.info().map_type.is_state() { transfer::count(live, COUNTING) } else { Some(0) }
}

/// The maps in a generation, by the names of their pins.
pub(super) fn maps_in(dir: &Dir) -> Result<Vec<(String, Map)>, Error> {
    let mut maps = Vec::new();
    for name in directory::list(dir)?.into_iter().filter(|name| !names::is_own(name)) {
        if let Some(Object::Map(map)) = directory::object_at(&dir.join(&name))? {
            maps.push((name, map));
        }
    }
    Ok(maps)
}

/// What took the place of a kept map, with the name of its pin: the map that was derived from it, or the very same one, which may have
/// got another name; else the one of its name.
pub(super) fn counterpart<'a>(
    name: &str,
    kept: &Map,
    derived: &[(String, Derivation)],
    live: &'a [(String, Map)],
) -> Option<(&'a String, &'a Map)> {
    let id = kept.info().id;
    let came_of = |pin: &str, map: &Map| {
        let is_it = |(of, record): &(String, Derivation)| {
            of == pin && record.old_name(of) == name && record.is_between((id, map.info().id))
        };
        derived.iter().any(is_it)
    };
    let of = |wanted: &dyn Fn(&str, &Map) -> bool| live.iter().find(|(pin, map)| wanted(pin, map));
    let found = of(&|pin, map| came_of(pin, map))
        .or_else(|| of(&|pin, map| pin == name && map.info().id == id))
        .or_else(|| of(&|_, map| map.info().id == id))
        .or_else(|| of(&|pin, _| pin == name));
    found.map(|(pin, map)| (pin, map))
}
