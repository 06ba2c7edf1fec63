//! Helpers of the tests that need a compiler and no kernel; the tests are under `tests/layouts/tests`.
//!
//! [`toolchain`] finds the compilers and makes objects. Nothing here depends on `maplock`, aya or libbpf, so that who changes
//! a rule or the reader builds little.

pub mod toolchain;

use maplock_codegen::{Object, ObjectError};
use maplock_layout::{Config, Lock, MapDef, ObjectMaps, observe};

/// The maps of an object.
///
/// # Errors
/// Where maplock does not read it.
pub fn maps_of(object: &[u8]) -> Result<Vec<MapDef>, ObjectError> {
    Object::parse(object).map(|object| object.maps)
}

/// The lock of one object's maps, under the default configuration; those that don't count as pinned are marked.
///
/// # Panics
/// Where two of them conflict, which the maps of one object can't.
#[must_use]
pub fn lock(maps: &[MapDef]) -> Lock {
    let object = ObjectMaps::new("the object", maps.to_vec());
    let observation = observe(&[object], &Config::default()).expect("the configuration names no map");
    assert!(observation.conflicts.is_empty(), "{:?}", observation.conflicts);
    observation.lock
}

/// The text of [`lock()`].
#[must_use]
pub fn lock_text(maps: &[MapDef]) -> String {
    lock(maps).to_string()
}
