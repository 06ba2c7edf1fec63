//! What an upgrade will do: a plan, as plain data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use maplock_layout::conversion::Conversion;
use maplock_layout::{Digest, Disposition, Finding, Loss, MapDef, Untold};

use crate::generation::meta::Meta;
use crate::generation::pinned_lock::PinnedLock;
use crate::inspect::normalise::Node;
use crate::inspect::{Looked, Observed, WayBack};
use crate::plan::commit_by::CommitBy;
use crate::plan::hazard::Hazard;
use crate::plan::kept::KeptNow;
use crate::plan::policy::Policies;
use crate::plan::spec::Spec;
use crate::plan::unfinished::Unfinished;
use crate::plan::unpinned::Unpinned;
use crate::transfer::migrate::Migrations;
use crate::transfer::{Found, Sum};

/// What an upgrade will do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Plan {
    /// The directory of the live generation.
    pub dir: PathBuf,
    /// One for each map of the spec and each that goes, by name.
    pub maps: Vec<MapPlan>,
    /// How the pins of the new generation come into the place of the old.
    pub commit: CommitBy,
    /// True if the same release starts again and nothing changes, but for tables that its loader fills anew. The kept
    /// generation then stays the kept one, and a roll-back leads past this start to what was there before. False if none is
    /// kept.
    pub leaves_kept: bool,
    /// What a roll-back leads to after it; `None` if nothing is kept then, it does not start, or an upgrade that did not end
    /// decides that first.
    pub way_back: Option<WayBack>,
    /// The generations that are kept now, the newest first ([`Self::kept_then`]).
    pub kept: Vec<KeptNow>,
    /// If an upgrade or a roll-back lies there that did not end, or runs: what comes of it first. `None` when an upgrade begins, which brings
    /// that into order before it plans.
    pub unfinished: Option<Unfinished>,
    /// If no map of the release is pinned there: what is there instead.
    pub unpinned: Option<Unpinned>,
    /// Where the plan looked for others who have a map that is left behind. `None` if no map is, and when an upgrade
    /// begins, which does not wait for that.
    pub looked: Option<Looked>,
}

/// What an upgrade will do to one map.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MapPlan {
    /// Name of the map.
    pub map: String,
    /// The name of its live pin, if that is another: it was renamed.
    pub was: Option<String>,
    /// What is done, with all that it takes.
    pub action: Action,
    /// Why: a phrase.
    pub why: String,
    /// The findings that led there.
    pub findings: Vec<Finding>,
    /// The kernel's number of the map whose pin somebody removed, if the live generation lists one of that name.
    pub removed: Option<u32>,
    /// Other pins of the map that is left behind: by name, or by path if they are in another directory. Whoever opens the
    /// map there goes on with the old entries.
    pub other_pins: Vec<String>,
    /// The capability that this process lacks, if the map is refused for that alone.
    pub needs: Option<&'static str>,
    /// What may go wrong with entries that are carried over.
    pub hazard: Hazard,
}

impl MapPlan {
    pub(super) fn new(map: &str, was: Option<String>, action: Action, why: String, findings: Vec<Finding>) -> Self {
        let (removed, other_pins, needs, hazard) = (None, Vec::new(), None, Hazard::default());
        Self { map: map.to_owned(), was, action, why, findings, removed, other_pins, needs, hazard }
    }
}

/// What is done to a map. Each has what it needs, and nothing else.
#[derive(Debug, Clone)]
pub enum Action {
    /// Nothing is pinned: a map is made.
    Create {
        /// What is made.
        new: Asked,
        /// True if the live generation had such a map, and somebody removed its pin.
        loses_entries: bool,
    },
    /// The live map is used as it is.
    Reuse {
        /// The live map.
        live: Live,
        /// What it counts as from now on.
        new: Asked,
    },
    /// Every entry is copied into a larger map.
    Grow {
        /// The live map.
        live: Live,
        /// The larger one.
        new: Asked,
        /// What the copy takes.
        carry: Carry,
    },
    /// Every entry is copied into a map with less room, as was accepted.
    Shrink {
        /// The live map.
        live: Live,
        /// The smaller one.
        new: Asked,
        /// What the copy takes.
        carry: Carry,
    },
    /// Every entry is converted into another layout.
    Convert {
        /// The live map.
        live: Live,
        /// The one of the new layout.
        new: Asked,
        /// How entries become those of the new layout.
        conversion: Conversion,
        /// What entries lose of themselves by that, as far as two layouts tell.
        loss: Loss,
        /// If the way leads back, to an older layout.
        back: Option<Return>,
        /// What it takes.
        carry: Carry,
    },
    /// An empty map takes the place of the live one.
    Swap {
        /// The live map.
        live: Live,
        /// The empty one.
        new: Asked,
        /// True if entries that the live map holds are not there afterwards: it has some, and nobody fills the new one.
        loses_entries: bool,
    },
    /// The map of the kept generation is taken up again.
    TakeBack {
        /// The kept map.
        kept: Kept,
        /// What it counts as.
        new: Asked,
        /// What becomes of what was written since.
        since: Since,
    },
    /// The live map's entries are copied into a new map that is like the kept one.
    CarryBack {
        /// The live map.
        live: Live,
        /// The map like the kept one.
        new: Asked,
        /// What the copy takes.
        carry: Carry,
    },
    /// The upgrade does not start: somebody must decide.
    Refuse {
        /// The live map, if there is one.
        live: Option<Live>,
        /// What was asked for; `None` of a map that the new release does not have.
        new: Option<Asked>,
    },
    /// The build lacks the map, as it may: the live one goes along, untouched.
    GoAlong {
        /// The live map.
        live: Live,
    },
    /// The new release has no such map.
    GiveUp {
        /// The live map.
        live: Live,
        /// True if it holds entries that nobody fills anew.
        loses_entries: bool,
        /// True if it stays pinned all the same, since nothing says that it is the daemon's.
        pin_stays: bool,
    },
}

/// A map that is pinned in the live generation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Live {
    /// The kernel's number for it.
    pub id: u32,
    /// Its pin.
    pub pin: PathBuf,
    /// Digest of what it counts as.
    pub digest: Digest,
    /// Its definition, in the words of the one that it is, of those that the lock knows.
    pub def: MapDef,
    /// How many entries it holds, if that is known.
    pub entries: Option<u64>,
}

/// A map that is pinned in the kept generation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kept {
    /// The kernel's number for it.
    pub id: u32,
    /// Its pin.
    pub pin: PathBuf,
}

/// What the new release gets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Asked {
    /// Its definition, capacity chosen.
    pub def: MapDef,
    /// Digest of it.
    pub digest: Digest,
}

/// What becomes of entries that were written after a map was left, if that map is taken up again.
#[derive(Debug, Clone)]
pub enum Since {
    /// No map of that name is live.
    Nothing,
    /// It is converted back into the kept map.
    ConvertedBack {
        /// The live map.
        live: Live,
        /// What its entries hold, if somebody has looked.
        found: Option<Found>,
    },
    /// It stays behind in the live map.
    Left {
        /// The live map.
        live: Live,
        /// True if that holds entries.
        loses_entries: bool,
    },
}

/// What becomes of entries that go back to an older layout, by the lock of the newer release.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Return {
    /// From the older layout to the newer one again: by that it is told what an entry loses.
    pub(crate) again: Conversion,
    /// Members of the key that tell newer entries apart, but not older ones: entries that differ only there are put
    /// together.
    pub together: BTreeSet<String>,
    /// What the entries hold, if somebody has looked.
    pub found: Option<Found>,
}

/// What it takes to carry entries over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Carry {
    /// Members that are added up.
    pub sums: Vec<Sum>,
    /// Bytes of memory for a snapshot of the old entries, and for its records in their order, if there are any. 0 if the
    /// entries have no keys, or are handles of kernel objects.
    pub snapshot: u64,
    /// An estimate of the time.
    pub estimate: Duration,
    /// True if a full LRU may drop some entries on the way, or entries whose keys become one are put together.
    pub may_drop_entries: bool,
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
    /// What the live generation says of itself. Without it, nothing says whose the maps are that the spec does not name.
    pub meta: Option<&'a Meta>,
    /// The lock of the release that made it.
    pub newer: &'a PinnedLock,
    /// What is to be done if the lock's history has no answer.
    pub policies: &'a Policies,
    /// The conversions by hand that the daemon has. `None` if somebody else plans, who has none and needs none.
    pub migrations: Option<&'a Migrations>,
    /// The machine.
    pub node: Node,
}

impl Action {
    /// What happens to the map's state, in the word that `--deny`, the table and the JSON have for it.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Create { .. } => Disposition::Create,
            Self::Reuse { .. } | Self::GoAlong { .. } | Self::TakeBack { .. } | Self::CarryBack { .. } => {
                Disposition::Reuse
            }
            Self::Grow { .. } => Disposition::Grow,
            Self::Shrink { .. } | Self::Convert { .. } => Disposition::Migrate,
            Self::Swap { .. } => Disposition::Swap,
            Self::Refuse { .. } => Disposition::Refuse,
            Self::GiveUp { .. } => Disposition::Drop,
        }
    }

    /// The live map, if there is one.
    #[must_use]
    pub fn live(&self) -> Option<&Live> {
        match self {
            Self::Create { .. } | Self::TakeBack { since: Since::Nothing, .. } => None,
            Self::Reuse { live, .. }
            | Self::Grow { live, .. }
            | Self::Shrink { live, .. }
            | Self::Convert { live, .. }
            | Self::Swap { live, .. }
            | Self::TakeBack { since: Since::ConvertedBack { live, .. } | Since::Left { live, .. }, .. }
            | Self::CarryBack { live, .. }
            | Self::GoAlong { live }
            | Self::GiveUp { live, .. } => Some(live),
            Self::Refuse { live, .. } => live.as_ref(),
        }
    }

    /// What the new release gets; `None` if it has no such map.
    #[must_use]
    pub fn new_map(&self) -> Option<&Asked> {
        match self {
            Self::Create { new, .. }
            | Self::Reuse { new, .. }
            | Self::Grow { new, .. }
            | Self::Shrink { new, .. }
            | Self::Convert { new, .. }
            | Self::Swap { new, .. }
            | Self::TakeBack { new, .. }
            | Self::CarryBack { new, .. } => Some(new),
            Self::Refuse { new, .. } => new.as_ref(),
            Self::GoAlong { .. } | Self::GiveUp { .. } => None,
        }
    }

    /// What it takes to carry entries over, if they are.
    #[must_use]
    pub fn carry(&self) -> Option<&Carry> {
        match self {
            Self::Grow { carry, .. }
            | Self::Shrink { carry, .. }
            | Self::Convert { carry, .. }
            | Self::CarryBack { carry, .. } => Some(carry),
            Self::Create { .. }
            | Self::Reuse { .. }
            | Self::Swap { .. }
            | Self::TakeBack { .. }
            | Self::Refuse { .. }
            | Self::GoAlong { .. }
            | Self::GiveUp { .. } => None,
        }
    }

    /// The pin that the state comes from, with the kernel's number of its map. It is in the live generation, or in the kept
    /// one if that map is taken up again.
    #[must_use]
    pub fn source(&self) -> Option<(&Path, u32)> {
        match self {
            Self::TakeBack { kept, .. } => Some((&kept.pin, kept.id)),
            _ => self.live().map(|live| (live.pin.as_path(), live.id)),
        }
    }

    /// True if entries that the live map holds are not there after the upgrade.
    #[must_use]
    pub fn loses_entries(&self) -> bool {
        match self {
            Self::Create { loses_entries, .. }
            | Self::Swap { loses_entries, .. }
            | Self::GiveUp { loses_entries, .. }
            | Self::TakeBack { since: Since::Left { loses_entries, .. }, .. } => *loses_entries,
            Self::Reuse { .. }
            | Self::Grow { .. }
            | Self::Shrink { .. }
            | Self::Convert { .. }
            | Self::TakeBack { since: Since::Nothing | Since::ConvertedBack { .. }, .. }
            | Self::CarryBack { .. }
            | Self::GoAlong { .. }
            | Self::Refuse { .. } => false,
        }
    }

    /// What entries lose of themselves when they are converted, though they are kept.
    #[must_use]
    pub fn loss(&self) -> Option<&Loss> {
        match self {
            Self::Convert { loss, .. } => Some(loss),
            _ => None,
        }
    }

    /// True if the way leads back to a layout that an older release had: into the kept map, or into a new one. What the
    /// newer release said in members that the older one lacks is not there then. Whoever fills the map settles it before
    /// programs see it.
    #[must_use]
    pub fn leads_back(&self) -> bool {
        self.returns_to_kept() || matches!(self, Self::Convert { back: Some(_), .. })
    }
}

impl MapPlan {
    /// What happens to the map's state.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.action.disposition()
    }

    /// What of the pinned map is known by its size alone.
    #[must_use]
    pub fn untold(&self) -> Option<Untold> {
        self.action.live().and_then(|live| Untold::of(&live.def))
    }

    /// The name of the pin that the map is copied from, if it is another than its own.
    pub(crate) fn old_pin(&self) -> Option<String> {
        self.was.clone()
    }

    /// Entries at stake, if that is known: those of the live map.
    #[must_use]
    pub fn entries(&self) -> Option<u64> {
        self.action.live().and_then(|live| live.entries)
    }

    /// An estimate of the time it takes.
    #[must_use]
    pub fn estimate(&self) -> Duration {
        self.action.carry().map_or(Duration::ZERO, |carry| carry.estimate)
    }
}

impl Plan {
    /// What lies there of an upgrade or a roll-back that did not end, if another plan is made once that is brought into order.
    #[must_use]
    pub fn unsettled(&self) -> Option<&Unfinished> {
        self.unfinished.as_ref().filter(|unfinished| !unfinished.holds)
    }

    /// The plan for one map.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&MapPlan> {
        self.maps.iter().find(|map| map.map == name)
    }

    /// The live pins that are not there after the upgrade: those of maps that go, or that got another name.
    pub(crate) fn former(&self) -> impl Iterator<Item = &str> {
        let goes = |map: &&MapPlan| matches!(map.action, Action::GiveUp { pin_stays: false, .. }) || map.was.is_some();
        let pins = self.maps.iter().filter(goes).filter_map(|map| map.action.live());
        pins.filter_map(|live| live.pin.file_name()?.to_str())
    }

    /// The maps to which the upgrade does what must not be: `plan --deny swap,refuse`. A swap is denied even if the map is
    /// still empty. So is a return to a kept map that leaves the live one's entries behind, and so is giving up a map with
    /// entries in it. Maps that are always made anew, such as tables of programs, do not count as a swap.
    pub fn denied<'a>(&'a self, deny: &'a [Disposition]) -> impl Iterator<Item = &'a MapPlan> {
        self.maps.iter().filter(|map| {
            let action = &map.action;
            let disposition = match action {
                Action::Swap { new, loses_entries: false, .. } if !new.def.map_type.is_state() => Disposition::Create,
                Action::TakeBack { since: Since::Left { loses_entries: true, .. }, .. } => Disposition::Swap,
                action => action.disposition(),
            };
            let is_swap = matches!(
                action,
                Action::GiveUp { loses_entries: true, .. } | Action::Create { loses_entries: true, .. }
            );
            deny.contains(&disposition) || is_swap && deny.contains(&Disposition::Swap)
        })
    }

    /// How many of the pinned maps are known by their sizes alone: a phrase; `None` if types tell of each.
    #[must_use]
    pub fn untold(&self) -> Option<String> {
        Untold::counted(self.maps.iter().filter(|map| map.action.live().is_some()).map(MapPlan::untold))
    }

    /// True if the upgrade does not start.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.maps.iter().any(|map| matches!(map.action, Action::Refuse { .. }))
    }

    /// An estimate of the time that carrying entries over takes.
    #[must_use]
    pub fn estimate(&self) -> Duration {
        self.maps.iter().map(MapPlan::estimate).sum()
    }
}
