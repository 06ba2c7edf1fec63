//! Maps with a handle.

use maplock::Spec;
use maplock::handles::{Handle, Verified};
use maplock::internals::sys::{Map, NewMap};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::MapType;
use maplock::layout::{Lock, MapDef};

/// The spec of one map that says sizes and no types.
pub(crate) fn spec_of(def: MapDef) -> Spec {
    Spec::from(Lock { maps: [(def.name.clone(), LockedMap::new(def))].into(), ..Lock::default() })
}

/// A new map called `m`, and its handle.
pub(crate) fn new<H: Handle>(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> H {
    const NO_PREALLOC: u32 = 1;
    let flags = if map_type == MapType::LPM_TRIE { NO_PREALLOC } else { 0 };
    let map = Map::create(&NewMap { flags, name: "m", ..NewMap::new(map_type, key_size, value_size, max_entries) });
    let def = MapDef { key_size, value_size, max_entries, flags, ..MapDef::new("m", map_type) };
    let verified = Verified::of_fd(&spec_of(def), "m", map.expect("the kernel makes it"));
    H::from_verified(verified.expect("it is as declared")).expect("the types fit")
}
