//! What an upgrade will do to each map, decided before anything is touched.

mod cost;
mod decide;
pub mod policy;
mod same;
pub mod sample;
mod show;
pub mod spec;
mod sums;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub(crate) use decide::lacks_layout;
pub use spec::Spec;

pub(crate) use same::same_but_for_capacity;
use std::collections::BTreeSet;

use std::path::{Path, PathBuf};
use std::time::Duration;

use maplock_layout::conversion::Conversion;
use maplock_layout::{Digest, Disposition, Finding, MapDef};

use crate::generation::meta::Meta;
use crate::inspect::Observed;
use crate::inspect::normalise::Node;
use crate::plan::policy::Policies;
use crate::transfer::Sum;
use crate::transfer::migrate::Migrations;

/// What an upgrade will do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The directory of the live generation.
    pub dir: PathBuf,
    /// One for each map of the spec and each that goes, by name.
    pub maps: Vec<MapPlan>,
    /// How the pins of the new generation come into the place of the old.
    pub commit: CommitBy,
    /// True where nothing changes, as the same release starts again: the generation that is kept stays the kept one, and a roll-back
    /// leads past this one to what was there before. False where none is kept.
    pub leaves_kept: bool,
}

/// How the pins of the new generation come into the place of the old.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CommitBy {
    /// One atomic exchange of two directories.
    #[default]
    Exchange,
    /// A rename for each pin. No path is ever absent, but a reader of two of them can see two generations.
    EachPin {
        /// Why the directory can't be exchanged: a phrase.
        why: String,
    },
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
    /// The definition that the new release gets, capacity chosen; `None` where it has none of that name.
    pub def: Option<MapDef>,
    /// Digest of what is pinned.
    pub from: Option<Digest>,
    /// Digest of `def`.
    pub to: Option<Digest>,
    /// The kernel's number of the pinned map that the state comes from.
    pub id: Option<u32>,
    /// The pin that the state comes from: in the live generation, or in the kept one where `from_kept` and not
    /// `carried_back`.
    pub pin: Option<PathBuf>,
    /// True where a map of the kept generation is taken up again, with the entries that it had then.
    pub from_kept: bool,
    /// True where the live map's entries are carried over into a new map that is like the kept one.
    pub carried_back: bool,
    /// True where a map of the kept generation is taken up again that has another layout, and what was written to the live map since
    /// is converted back into it.
    pub settled_back: bool,
    /// True where entries that the live map holds are not there after the upgrade.
    pub loses_entries: bool,
    /// True where a full LRU may drop some while they are carried over.
    pub may_drop_entries: bool,
    /// Entries at stake, where that is known: those of the live map.
    pub entries: Option<u64>,
    /// Capacity of the live map.
    pub old_max_entries: Option<u32>,
    /// How entries become those of the new layout, where they are converted.
    pub conversion: Option<Conversion>,
    /// The definition of the live map, where there is one.
    pub old: Option<MapDef>,
    /// Members that are added up, where entries are carried over.
    pub sums: Vec<Sum>,
    /// Bytes of memory for a snapshot of the old entries, 0 where none is needed.
    pub snapshot: u64,
    /// An estimate of the time it takes.
    pub estimate: Duration,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What the new release was built with.
    pub spec: &'a Spec,
    /// The directory of the live generation.
    pub dir: &'a Path,
    /// The maps that are pinned there.
    pub live: &'a [Observed],
    /// Those of the generation that is kept for roll-back, if there is one.
    pub kept: &'a [Observed],
    /// Live maps, by the names of their pins, whose entries can be converted back into the map of that name which is kept.
    pub ways_back: &'a BTreeSet<String>,
    /// What the live generation says of itself. Without it nothing says whose the maps are that the spec does not name.
    pub meta: Option<&'a Meta>,
    /// What is to be done where the lock's history has no answer.
    pub policies: &'a Policies,
    /// The conversions by hand that the daemon has; `None` where somebody else plans, who has none and needs none.
    pub migrations: Option<&'a Migrations>,
    /// The machine.
    pub node: Node,
}

/// Decides for each map, from plain data alone.
#[must_use]
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let mut maps: Vec<_> = inputs.spec.maps().map(|locked| decide::map(inputs, locked)).collect();
    maps.extend(decide::gone(inputs));
    maps.sort_by(|a, b| a.map.cmp(&b.map));
    let leaves_kept = !inputs.kept.is_empty() && changes_nothing(inputs, &maps);
    Plan { dir: inputs.dir.to_owned(), maps, commit: CommitBy::default(), leaves_kept }
}

/// True where the live generation says that it asked for the very same maps.
fn changes_nothing(inputs: &Inputs<'_>, maps: &[MapPlan]) -> bool {
    let Some(meta) = inputs.meta else { return false };
    let is_same = |map: &MapPlan| {
        let asked = inputs.spec.map(&map.map).map(|locked| inputs.policies.max_entries(&locked.def));
        let was = meta.maps.get(&map.map).map(|was| (was.id, was.max_entries));
        map.disposition == Disposition::Reuse
            && !map.from_kept
            && map.from == map.to
            && was.is_some()
            && was == map.id.zip(asked)
    };
    meta.maps.len() == maps.len() && maps.iter().all(is_same)
}

impl Plan {
    /// The plan for one map.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&MapPlan> {
        self.maps.iter().find(|map| map.map == name)
    }

    /// The maps for which the upgrade does what must not be: `plan --deny swap,refuse`. A swap is denied also where the map is empty
    /// as yet, and so is a return to a kept map that leaves the live one's entries behind, and a map that goes with entries in it.
    /// Maps that are always made anew, such as tables of programs, are not denied as a swap.
    pub fn denied<'a>(&'a self, deny: &'a [Disposition]) -> impl Iterator<Item = &'a MapPlan> {
        self.maps.iter().filter(|map| {
            let is_anew = map.def.as_ref().is_some_and(|def| !def.map_type.is_state());
            let disposition = match map.disposition {
                Disposition::Swap if is_anew && !map.loses_entries => Disposition::Create,
                Disposition::Reuse if map.from_kept && map.loses_entries => Disposition::Swap,
                disposition => disposition,
            };
            let is_swap = disposition == Disposition::Drop && map.loses_entries;
            deny.contains(&disposition) || is_swap && deny.contains(&Disposition::Swap)
        })
    }

    /// True where the upgrade does not start.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.maps.iter().any(|map| map.disposition == Disposition::Refuse)
    }

    /// An estimate of the time that carrying entries over takes.
    #[must_use]
    pub fn estimate(&self) -> Duration {
        self.maps.iter().map(|map| map.estimate).sum()
    }
}
