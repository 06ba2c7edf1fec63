//! What was accepted for a map, and what nodes do about it.

use std::collections::BTreeMap;
use std::fmt;

use crate::conversion::Answers;
use crate::digest::Digest;
use crate::map::MapDef;

/// An accepted break: what nodes that still hold the old definition are to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Digest of the definition that it leaves.
    pub from: Digest,
    /// Digest of the definition that it leads to.
    pub to: Digest,
    /// Ids of the rules that were broken: this and nothing else is accepted. Sorted.
    pub rules: Vec<String>,
    /// What to do with the state.
    pub on_upgrade: OnUpgrade,
    /// How members that both releases count are merged on the way over this epoch alone, by path
    /// ([`sum_places`](crate::sum_places)). This overrules what is said for the life of the map.
    pub merge: BTreeMap<String, Merge>,
    /// What the two definitions do not tell about converting entries. Only an epoch that migrates has any.
    pub convert: Answers,
    /// Why, for those who review and run it.
    pub reason: String,
    /// The smaller capacity that was accepted, though entries may not fit it.
    pub max_entries: Option<u32>,
    /// The definition that it leaves.
    pub previous: MapDef,
}

/// What an epoch does with existing state, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnUpgrade {
    /// The old bytes are right as they are.
    Reuse,
    /// Entries are converted.
    Migrate,
    /// The state is given up: an empty map takes its place.
    Swap,
    /// The map is no more: its entries are given up, and its pin is taken away.
    Drop,
    /// The upgrade does not start; somebody must decide on the node.
    Refuse,
}

impl OnUpgrade {
    /// True if a node has entries of the old release afterwards, which can be merged with those of the new.
    #[must_use]
    pub const fn keeps_entries(self) -> bool {
        matches!(self, Self::Reuse | Self::Migrate)
    }

    /// All of them.
    pub const ALL: [Self; 5] = [Self::Reuse, Self::Migrate, Self::Swap, Self::Drop, Self::Refuse];

    /// Those to a change of a map that is still there.
    pub const OF_A_CHANGE: [Self; 4] = [Self::Reuse, Self::Migrate, Self::Swap, Self::Refuse];

    /// Its name, as in the file and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reuse => "reuse",
            Self::Migrate => "migrate",
            Self::Swap => "swap",
            Self::Drop => "drop",
            Self::Refuse => "refuse",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|on_upgrade| on_upgrade.name() == name)
    }
}

impl fmt::Display for OnUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the counts of the old release in a member are combined with those of the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Merge {
    /// Added up.
    Sum,
    /// Not added up: if both wrote it, what the new release wrote stays.
    None,
}

impl Merge {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sum, Self::None];

    /// Its name, as in the file and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::None => "none",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|merge| merge.name() == name)
    }
}

impl fmt::Display for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Epoch {
    /// True for one that `update` recorded by itself, since nothing needed a decision. People give a reason.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        self.reason.is_empty()
    }
}
