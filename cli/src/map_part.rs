//! The parts of a map that have bytes: the key and the value of its entries, and of entries of the maps that it holds.

use maplock_layout::{Layout, MapDef};

/// A key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapPart {
    Key,
    Value,
    InnerKey,
    InnerValue,
}

impl MapPart {
    /// As they are shown. There is no third level: the kernel takes no inner map that holds maps itself (`bpf_map_meta_alloc`).
    pub(crate) const ALL: [Self; 4] = [Self::Key, Self::Value, Self::InnerKey, Self::InnerValue];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::InnerKey => "inner key",
            Self::InnerValue => "inner value",
        }
    }

    pub(crate) const fn is_key(self) -> bool {
        matches!(self, Self::Key | Self::InnerKey)
    }

    pub(crate) const fn is_inner(self) -> bool {
        matches!(self, Self::InnerKey | Self::InnerValue)
    }

    /// Its layout; `None` if nothing tells it, or if the map holds no maps.
    pub(crate) fn layout(self, def: &MapDef) -> Option<&Layout> {
        let of = self.owner(def)?;
        if self.is_key() { of.key.as_deref() } else { of.value.as_deref() }
    }

    /// True if it is data of the user's own: an index or a handle of a kernel object has no members.
    pub(crate) fn has_members(self, def: &MapDef) -> bool {
        self.owner(def).is_some_and(|of| if self.is_key() { of.key_has_layout() } else { of.value_has_layout() })
    }

    /// The map itself, or the template of those that it holds.
    fn owner(self, def: &MapDef) -> Option<&MapDef> {
        if self.is_inner() { def.inner.as_deref() } else { Some(def) }
    }
}
