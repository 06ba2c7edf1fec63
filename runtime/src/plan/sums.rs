//! Members whose counts are added up: from paths to bytes.

use std::collections::BTreeSet;

use maplock_layout::{Layout, sum_places};

use crate::transfer::Sum;

/// The places of `paths` in a value, sorted.
///
/// # Errors
/// Where a path names nothing, or nothing that can be added up: a phrase that names the member, its type and why.
pub(super) fn resolve(value: Option<&Layout>, paths: &BTreeSet<String>) -> Result<Vec<Sum>, String> {
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
