//! Members whose counts are added up: from paths to bytes.

use maplock_layout::lock::LockedMap;
use maplock_layout::{Digest, Layout, sum_places};

use crate::transfer::Sum;

/// The places of `paths` in a value, sorted.
///
/// # Errors
/// If a path names nothing, or nothing that can be added up: a phrase that names the member, its type and why.
pub(super) fn resolve<'a>(
    value: Option<&Layout>,
    paths: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<Sum>, String> {
    let mut sums = Vec::new();
    for path in paths {
        let value = value.ok_or_else(|| format!("`sum` names `{path}`, but the value says no type"))?;
        let places = sum_places(value, path).map_err(|error| format!("`sum` names `{path}`: {error}"))?;
        sums.extend(places.into_iter().map(|place| Sum {
            offset: place.offset,
            width: place.width,
            signed: place.signed,
        }));
    }
    sums.sort_unstable();
    sums.dedup();
    Ok(sums)
}

/// The policy's sums, and those that the lock has of a map for life or of the way from the definition with the digest `from`.
pub(super) fn with_locks(sums: Vec<Sum>, asked: &LockedMap, from: Digest) -> Vec<Sum> {
    // A lock names only what today's value has.
    together(sums, resolve(asked.def.value.as_deref(), &asked.summed(from)).unwrap_or_default())
}

/// Each of them once, sorted.
pub(super) fn together(mut sums: Vec<Sum>, more: Vec<Sum>) -> Vec<Sum> {
    sums.extend(more);
    sums.sort_unstable();
    sums.dedup();
    sums
}
