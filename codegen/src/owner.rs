//! Maps that another package locks: held against its lock, and not entered here.

use std::fs;
use std::path::Path;

use maplock_layout::{Lock, Observation, disagreement};

use crate::inputs::InputError;

/// Takes `map` out of what the objects define, and holds it against the lock of its owner. A difference is a conflict, which names both
/// sides.
///
/// # Errors
/// If that lock can't be read, or has no such map.
pub(crate) fn hold(observation: &mut Observation, map: &str, owner: &Path, objects: &str) -> Result<(), InputError> {
    let Some(mut ours) = observation.lock.maps.remove(map) else { return Ok(()) };
    observation.conflicts.retain(|conflict| conflict.map != map);
    let fail = |problem: String| InputError { path: owner.to_owned(), problem };
    let text =
        fs::read_to_string(owner).map_err(|error| fail(format!("named as the owner of map `{map}`: {error}")))?;
    let lock = Lock::parse(&text).map_err(|error| fail(format!("line {}: {}", error.line, error.problem)))?;
    let Some(theirs) = lock.maps.get(map) else {
        let known: Vec<_> = lock.maps.keys().map(|name| format!("`{name}`")).collect();
        return Err(fail(format!(
            "named as the owner of map `{map}`, which it does not have; it has {}",
            known.join(", ")
        )));
    };
    // Whether it is pinned, and what its bytes mean, is for the owner to say.
    ours.def.pinning = theirs.def.pinning;
    ours.def.version = theirs.def.version;
    observation.conflicts.extend(disagreement(theirs, &short(owner), &ours, objects));
    Ok(())
}

/// The file with its directory, which is enough to know it in a message.
fn short(path: &Path) -> String {
    let parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}
