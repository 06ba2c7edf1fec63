//! Helpers of the tests that span crates; the tests are under `tests/tests`.
//!
//! What maplock reads from an object is held against two programs that share no line with it: libbpf ([`libbpf`]) for
//! the maps and their attributes, and bpftool ([`types`]) for every type that a map reaches. [`agree`] holds the
//! comparisons, [`toolchain`] finds the compilers and makes objects, and [`kernel`] makes what tests of the running kernel
//! need.
//!
//! [`generations`] is a daemon in two releases, [`traffic`] what its programs count, [`truth`] what must be there after
//! whatever happened to it, and [`trace`] what makes things happen, at each of its system calls.

pub mod agree;
pub mod generations;
pub mod kernel;
pub mod libbpf;
pub mod toolchain;
#[cfg(target_arch = "x86_64")]
pub mod trace;
pub mod traffic;
pub mod truth;
pub mod types;

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
    let object = ObjectMaps { name: "the object".to_owned(), maps: maps.to_vec() };
    let observation = observe(&[object], &Config::default()).expect("the configuration names no map");
    assert!(observation.conflicts.is_empty(), "{:?}", observation.conflicts);
    observation.lock
}

/// The text of [`lock()`].
#[must_use]
pub fn lock_text(maps: &[MapDef]) -> String {
    lock(maps).to_string()
}
