//! What a daemon wants done if the lock's history has no answer.

use std::collections::BTreeMap;

use maplock_layout::MapDef;

/// What to do with a pinned map that the spec does not fit, or that can't be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnMismatch {
    /// The upgrade does not start.
    #[default]
    Refuse,
    /// An empty map takes its place.
    Swap,
    /// The pinned map is used as it is. Taken only if the kernel's sizes, type and flags are the spec's.
    Reuse,
}

/// What to do if somebody removed the pin of a map that the live generation lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnMissing {
    /// The upgrade does not start: the map may be there still, and can be pinned again.
    #[default]
    Refuse,
    /// An empty map is made, as in a first installation.
    Create,
}

/// What to do with one map if the lock's history has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A pin of another layout, from which no epoch leads.
    pub unknown: OnMismatch,
    /// A pin whose layout is unknown: it has no BTF, and no `maplock_meta` speaks of it.
    pub unverifiable: OnMismatch,
    /// A pin of the same layout with room for more entries than the spec asks for, as after a downgrade. By default it is
    /// used as it is. `Refuse` returns to the kept map, if that has the size asked for and the entries fit.
    pub larger: OnMismatch,
    /// A map of the live generation whose pin somebody removed.
    pub missing: OnMissing,
    /// A capacity chosen at run time, in place of the spec's `max_entries`.
    pub max_entries: Option<u32>,
    /// Flags (`BPF_F_NO_PREALLOC`, `BPF_F_ZERO_SEED`) for a map that is made, if the lock says `runtime-flags`. A pinned
    /// map with other flags is used as it is. Without a policy, a map that takes the place of a pinned one gets its flags.
    pub map_flags: Option<u32>,
    /// Members of the value whose old and new counts are added up when entries are carried over: paths such as
    /// `connections` or `stats.bytes`. Each must be an integer of 4 or 8 bytes, aligned to its size.
    pub sum: Vec<String>,
}

impl Default for Policy {
    /// Nothing is risked: a pin of another layout, or of an unknown one, is refused. More room than asked for does no harm.
    fn default() -> Self {
        Self {
            unknown: OnMismatch::Refuse,
            unverifiable: OnMismatch::Refuse,
            larger: OnMismatch::Reuse,
            missing: OnMissing::Refuse,
            max_entries: None,
            map_flags: None,
            sum: Vec::new(),
        }
    }
}

/// The policy for each map: its own, or the one for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    /// For every map that has none of its own.
    pub all: Policy,
    /// By the map's name.
    pub maps: BTreeMap<String, Policy>,
}

impl Policies {
    /// How many entries a map is to have room for: the daemon's choice, or else what the release was built with.
    #[must_use]
    pub fn max_entries(&self, def: &MapDef) -> u32 {
        self.of(&def.name).max_entries.unwrap_or(def.max_entries)
    }

    /// The policy for a map.
    #[must_use]
    pub fn of(&self, map: &str) -> &Policy {
        self.maps.get(map).unwrap_or(&self.all)
    }
}
