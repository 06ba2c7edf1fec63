//! What the programs of a release do with a map's entries.

use std::collections::BTreeSet;

/// What the programs of a release do with the entries of one map, as their instructions tell.
///
/// It is no part of a definition and under no digest: a release whose programs do something else with a map reads the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramUse {
    /// True if programs make entries under keys that were not there.
    pub inserts: bool,
    /// True if programs delete entries.
    pub deletes: bool,
    /// Members of the value that programs add to and never set, by path ([`sum_places`](crate::sum_places)): counters.
    pub adds: BTreeSet<String>,
    /// Members that programs set, by path; the entry's first value is no such thing.
    pub sets: BTreeSet<String>,
    /// True if something of what they do could not be followed: what is not said here may happen all the same.
    pub partly: bool,
}

impl ProgramUse {
    /// What programs do that do what these or those do.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let sets: BTreeSet<_> = self.sets.union(&other.sets).cloned().collect();
        Self {
            inserts: self.inserts || other.inserts,
            deletes: self.deletes || other.deletes,
            adds: self.adds.union(&other.adds).filter(|path| !sets.contains(*path)).cloned().collect(),
            sets,
            partly: self.partly || other.partly,
        }
    }
}
