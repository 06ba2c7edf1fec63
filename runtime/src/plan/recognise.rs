//! What a pinned map is, of all that the lock knows of.

use maplock_layout::lock::LockedMap;
use maplock_layout::{Digest, Layout, MapDef};

use super::same::same_but_for_capacity;
use super::types::Inputs;
use crate::inspect::Observed;
use crate::inspect::normalise::normalise;
use crate::inspect::{as_its_release_said, as_said, with_version};

/// What is pinned.
pub(super) struct Recognised {
    /// In the words of the definition that it is, of those that the lock knows; else in those of today's.
    pub(super) old: MapDef,
    pub(super) digest: Digest,
    /// True if it is one of those that the lock knows.
    pub(super) is_known: bool,
    /// True if it is today's, but for the capacity.
    pub(super) is_asked: bool,
    /// Which version of its meaning it counts as, if nothing tells: a phrase.
    pub(super) note: Option<String>,
}

pub(super) fn recognise(inputs: &Inputs<'_>, live: &Observed, asked: &LockedMap, asked_digest: Digest) -> Recognised {
    let told = told_by_its_release(inputs, live, asked);
    let (live, note) = with_version(told.as_ref().unwrap_or(live), asked, inputs.node);
    let old = normalise(&live, &asked.def, inputs.node);
    if same_but_for_capacity(&old, &asked.def) {
        return Recognised { old, digest: asked_digest, is_known: true, is_asked: true, note };
    }
    let digest = old.digest();
    if digest == asked_digest {
        return Recognised { old, digest, is_known: true, is_asked: false, note };
    }
    for previous in asked.epochs.iter().rev().map(|epoch| &epoch.previous) {
        // One of before the flags were left to the daemon has them.
        let bare = asked.runtime_flags.then(|| previous.without_flags_of_memory());
        let known = bare.as_ref().unwrap_or(previous);
        let words = normalise(&live, known, inputs.node);
        if words.digest() == known.digest() {
            let (old, digest) = (MapDef { flags: previous.flags, ..words }, previous.digest());
            return Recognised { old, digest, is_known: true, is_asked: false, note };
        }
    }
    Recognised { old, digest, is_known: false, is_asked: false, note }
}

/// A map whose BTF this process may not read, and whose digest the release does not know: the lock of the release that made it does.
fn told_by_its_release(inputs: &Inputs<'_>, live: &Observed, asked: &LockedMap) -> Option<Observed> {
    if !live.is_denied || as_said(live, asked, inputs.node).is_some() {
        return None;
    }
    as_its_release_said(live, inputs.newer.map(&live.pin)?, inputs.node)
}

/// True for a map that the new release could have made.
pub(super) fn is_exactly(inputs: &Inputs<'_>, kept: &Observed, asked: &LockedMap) -> bool {
    let words = normalise(&with_version(kept, asked, inputs.node).0, &asked.def, inputs.node);
    words.max_entries == asked.def.max_entries
        && (same_but_for_capacity(&words, &asked.def) || words.digest() == asked.def.digest())
}

/// True if today's definition says types for what the pinned map says bytes, in keys or values that are data.
pub(crate) fn lacks_layout(old: &MapDef, new: &MapDef) -> bool {
    let lacks = |old: &Option<std::sync::Arc<Layout>>, new: &Option<std::sync::Arc<Layout>>, has: bool| {
        has && old.is_none() && new.is_some()
    };
    lacks(&old.key, &new.key, new.key_has_layout())
        || lacks(&old.value, &new.value, new.value_has_layout())
        || old.inner.as_deref().zip(new.inner.as_deref()).is_some_and(|(old, new)| lacks_layout(old, new))
}
