//! Maps whose own BTF this process may not read: what they are by the word of the generation that they belong to.
//!
//! The word is a digest in its meta map, which is frozen, lies in the same directory, and names the map by its number. What has that
//! digest, the lock knows: today's definition, or one that an epoch leaves. If an older release starts, the lock that is pinned with
//! the generation does.

use maplock_layout::MapDef;
use maplock_layout::lock::LockedMap;

use super::normalise::{Node, attributes_agree};
use super::observe::{Observed, Source};

/// The definition that such a map has, with its capacity. `None` if its BTF is read, if the lock knows nothing of that
/// digest, or if the kernel tells other attributes than that definition has.
pub(crate) fn as_said(observed: &Observed, asked: &LockedMap, node: Node) -> Option<MapDef> {
    if !observed.is_denied || observed.source != Source::Attributes {
        return None;
    }
    let said = observed.said?;
    let past = asked.epochs.iter().rev().find(|epoch| epoch.from == said).map(|epoch| &epoch.previous);
    let known = past.or_else(|| (asked.def.digest() == said).then_some(&asked.def))?;
    let agrees = attributes_agree(&observed.def, known, node);
    agrees.then(|| MapDef {
        key: known.key.clone(),
        value: known.value.clone(),
        inner: known.inner.clone(),
        version: known.version,
        ..observed.def.clone()
    })
}

/// Such a map in the words of the lock of the release that made it, which knows it if the one that starts does not.
pub(crate) fn as_its_release_said(observed: &Observed, newer: &LockedMap, node: Node) -> Option<Observed> {
    // Flags that daemons set are no part of what a map is.
    let bare = Observed { def: observed.def.without_flags_of_memory(), ..observed.clone() };
    let def = as_said(if newer.runtime_flags { &bare } else { observed }, newer, node)?;
    let def = MapDef { flags: observed.def.flags, ..def };
    Some(Observed { def, source: Source::Meta, is_denied: false, problem: None, ..observed.clone() })
}
