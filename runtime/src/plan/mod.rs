//! What an upgrade will do to each map, decided before anything is touched.

use std::path::PathBuf;
use std::time::Duration;

use maplock_layout::{Digest, Disposition, Finding, MapDef};

use crate::transfer::Sum;

/// What an upgrade will do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The directory of the live generation.
    pub dir: PathBuf,
    /// One for each map of the spec and each that goes, by name.
    pub maps: Vec<MapPlan>,
}

/// What an upgrade will do to one map.
#[derive(Debug, Clone)]
pub struct MapPlan {
    /// Name of the map.
    pub map: String,
    /// What happens to its state.
    pub disposition: Disposition,
    /// Why: a phrase.
    pub why: String,
    /// The findings that led there.
    pub findings: Vec<Finding>,
    /// The definition that the new release asks for, capacity chosen; `None` where it has none of that name.
    pub def: Option<MapDef>,
    /// Digest of what is pinned.
    pub from: Option<Digest>,
    /// Digest of `def`.
    pub to: Option<Digest>,
    /// The kernel's number of the pinned map that the state comes from.
    pub id: Option<u32>,
    /// The pin that the state comes from: in the live generation, or in the kept one where `from_kept`.
    pub pin: Option<PathBuf>,
    /// True where a map of the kept generation is taken up again, with the entries that the live one has since.
    pub from_kept: bool,
    /// Entries at stake, where that is known.
    pub entries: Option<u64>,
    /// Capacity of the pinned map.
    pub old_max_entries: Option<u32>,
    /// Members that are added up, where entries are carried over.
    pub sums: Vec<Sum>,
    /// Bytes of kernel memory for a snapshot of the old entries, 0 where none is needed.
    pub snapshot: u64,
    /// An estimate of the time it takes.
    pub estimate: Duration,
}

impl Plan {
    /// The plan for one map.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&MapPlan> {
        self.maps.iter().find(|map| map.map == name)
    }
}
