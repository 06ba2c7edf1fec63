//! Which version of what bytes mean a pinned map counts as.
//!
//! The generation's meta map tells it by the number of the map. Else the tags do that are in the BTF which the kernel keeps: loaders
//! leave them out before Linux 5.16, which refuses them, and most give it those of structs alone. What neither tells was made before
//! there was a version, as far as anybody knows.

use maplock_layout::lock::LockedMap;
use maplock_layout::{MapDef, said_version, versioned_as};

use super::normalise::{Node, normalise};
use super::observe::Observed;
use super::said::as_said;

/// What is pinned, with the versions that it counts as among those that `asked` and its history have; and a phrase if nothing tells
/// which of several it is: the oldest.
pub(crate) fn with_version(observed: &Observed, asked: &LockedMap, node: Node) -> (MapDef, Option<String>) {
    // Flags that daemons set are no part of what a map is.
    let bare =
        asked.runtime_flags.then(|| Observed { def: observed.def.without_flags_of_memory(), ..observed.clone() });
    let observed = bare.as_ref().unwrap_or(observed);
    if let Some(said) = as_said(observed, asked, node) {
        return (said, None);
    }
    let known = || asked.epochs.iter().map(|epoch| &epoch.previous).chain([&asked.def]);
    if observed.tells_version || known().all(|def| said_version(def).is_none()) {
        return (observed.def.clone(), None);
    }
    let alike = |as_known: fn(&MapDef, &MapDef) -> MapDef| -> Vec<(MapDef, &MapDef)> {
        let is_like = |def: &&MapDef| as_known(&normalise(&observed.def, def, node), def).digest() == def.digest();
        known().filter(is_like).map(|def| (as_known(&observed.def, def), def)).collect()
    };
    let mut candidates = alike(as_tagged);
    if candidates.is_empty() {
        candidates = alike(as_made);
    }
    let Some((oldest, of)) = candidates.first() else { return (observed.def.clone(), None) };
    let is_one = candidates.iter().all(|(_, def)| def.digest() == of.digest());
    let note = (!is_one).then(|| {
        let version =
            said_version(of).map_or_else(|| "no version".to_owned(), |(_, version)| format!("version {version}"));
        format!("nothing tells the version of its meaning, so it counts as the oldest: {version}")
    });
    (oldest.clone(), note)
}

/// With what hardly any BTF has: the versions of maps, and all of an inner map that can't be seen.
fn as_tagged(observed: &MapDef, known: &MapDef) -> MapDef {
    let inner = match (&observed.inner, &known.inner) {
        (Some(inner), Some(known)) => Some(Box::new(as_tagged(inner, known))),
        (None, known) => known.clone(),
        (inner, None) => inner.clone(),
    };
    let version = if observed.version == 0 { known.version } else { observed.version };
    MapDef { version, inner, ..observed.clone() }
}

/// With the versions of structs besides that have no tag.
fn as_made(observed: &MapDef, known: &MapDef) -> MapDef {
    versioned_as(&as_tagged(observed, known), known)
}
