//! The way from a definition that a node holds to today's, over the epochs between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::conversion::{self, Conversion, Derived, DerivedLeg, Leg, Problems};
use crate::digest::Digest;
use crate::epoch::{Epoch, OnUpgrade};
use crate::lock::{Gone, LockedMap};
use crate::map::MapDef;

/// The shortest way over epochs from one digest to another.
pub(crate) fn chain(epochs: &[Epoch], from: Digest, to: Digest) -> Option<Vec<&Epoch>> {
    let mut leaving: BTreeMap<Digest, Vec<&Epoch>> = BTreeMap::new();
    // Of two answers to one step, the newer counts.
    for epoch in epochs.iter().rev() {
        leaving.entry(epoch.from).or_default().push(epoch);
    }
    let mut reached_by: BTreeMap<Digest, &Epoch> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(at) = open.pop_front() {
        if at == to {
            let back = std::iter::successors(reached_by.get(&to), |epoch| reached_by.get(&epoch.from));
            let mut way: Vec<_> = back.copied().collect();
            way.reverse();
            return Some(way);
        }
        for epoch in leaving.get(&at).into_iter().flatten() {
            if epoch.to != from && !reached_by.contains_key(&epoch.to) {
                reached_by.insert(epoch.to, epoch);
                open.push_back(epoch.to);
            }
        }
    }
    None
}

/// The epochs that entries of the definition with the digest `from` go through to be those of today's `map`, oldest first; `None` if none
/// lead there.
#[must_use]
pub fn way(map: &LockedMap, from: Digest) -> Option<Vec<&Epoch>> {
    chain(&map.epochs, from, map.def.digest())
}

/// The digests from which epochs lead to `to`, and `to` itself.
pub(crate) fn leading_to(epochs: &[Epoch], to: Digest) -> BTreeSet<Digest> {
    let mut arriving: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
    for epoch in epochs {
        arriving.entry(epoch.to).or_default().push(epoch.from);
    }
    let mut leading = BTreeSet::from([to]);
    let mut open = vec![to];
    while let Some(at) = open.pop() {
        open.extend(arriving.remove(&at).into_iter().flatten().filter(|from| leading.insert(*from)));
    }
    leading
}

/// What was said of the entries of a map that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// `drop`, or `refuse` if the way leads over a step that a person has to decide on.
    pub answer: OnUpgrade,
    /// Why.
    pub reason: String,
}

impl Gone {
    /// What becomes of entries of the definition with the digest `from`; `None` if no epochs lead from there to the one that was
    /// given up.
    #[must_use]
    pub fn given_up(&self, from: Digest) -> Option<GivenUp> {
        let (last, before) = self.epochs.split_last()?;
        let way = chain(before, from, last.from)?;
        let answer = way.iter().map(|epoch| epoch.on_upgrade).max().unwrap_or(OnUpgrade::Drop).max(last.on_upgrade);
        Some(GivenUp { answer, reason: last.reason.clone() })
    }
}

/// Why no conversion leads from a definition to today's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeadError {
    /// No epoch leads on from there.
    NoWay(Digest),
    /// An epoch between them gives entries up, or wants a person to decide.
    NotConverted {
        /// Digest of the definition that it leaves.
        from: Digest,
        /// What it does.
        on_upgrade: OnUpgrade,
    },
    /// An epoch does not say all that has to be known.
    Problems {
        /// Digest of the definition that it leaves.
        from: Digest,
        /// What is open.
        problems: Problems,
    },
}

impl fmt::Display for LeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWay(from) => write!(f, "no accepted change leads from layout {}", from.short()),
            Self::NotConverted { from, on_upgrade } => {
                write!(f, "the change from layout {} is accepted as `{on_upgrade}`", from.short())
            }
            Self::Problems { from, problems } => write!(f, "the change from layout {}: {problems}", from.short()),
        }
    }
}

impl std::error::Error for LeadError {}

/// An epoch that converts entries, with both of its definitions.
#[derive(Debug, Clone, Copy)]
pub struct Converting<'a> {
    /// The epoch.
    pub epoch: &'a Epoch,
    /// The definition that it leaves.
    pub old: &'a MapDef,
    /// The one that it leads to.
    pub new: &'a MapDef,
}

impl<'a> Converting<'a> {
    /// The epochs of `map` that convert entries, oldest first.
    #[must_use]
    pub fn all(map: &'a LockedMap) -> Vec<Self> {
        let current = map.def.digest();
        let migrates =
            map.epochs.iter().filter(|epoch| epoch.on_upgrade == OnUpgrade::Migrate && epoch.from != epoch.to);
        let with_sides = |epoch: &'a Epoch| {
            let next = map.epochs.iter().find(|next| next.from == epoch.to).map(|next| &next.previous);
            let new = if epoch.to == current { Some(&map.def) } else { next };
            new.map(|new| Self { epoch, old: &epoch.previous, new })
        };
        migrates.filter_map(with_sides).collect()
    }

    /// Those that an entry of the definition with the digest `from` goes through to be one of today's; none if no way leads there.
    #[must_use]
    pub fn on_way(map: &'a LockedMap, from: Digest) -> Vec<Self> {
        let way = chain(&map.epochs, from, map.def.digest()).unwrap_or_default();
        let side = |(at, epoch): (usize, &&'a Epoch)| {
            let new = way.get(at + 1).map_or(&map.def, |next| &next.previous);
            Self { epoch, old: &epoch.previous, new }
        };
        let all = way.iter().enumerate().map(side);
        all.filter(|of| of.epoch.on_upgrade == OnUpgrade::Migrate && of.epoch.from != of.epoch.to).collect()
    }

    /// What becomes of entries and of each member; `None` if that is written by hand.
    ///
    /// # Errors
    /// What the epoch does not answer.
    pub fn derive(&self) -> Result<Option<Derived>, Problems> {
        if self.epoch.convert.by_hand {
            return conversion::by_hand(self.old, self.new, &self.epoch.convert).map(|()| None);
        }
        DerivedLeg::derive(self.old, self.new, &self.epoch.convert).map(Some)
    }

    fn leg(&self) -> Result<Leg, LeadError> {
        let from = self.epoch.from;
        match self.derive() {
            Ok(Some(derived)) => Ok(Leg::Derived(derived.leg)),
            Ok(None) => Ok(Leg::ByHand { from, to: self.epoch.to }),
            Err(problems) => Err(LeadError::Problems { from, problems }),
        }
    }
}

impl Conversion {
    /// How entries of the definition with the digest `from` become those of today's.
    ///
    /// # Errors
    /// If no epochs lead there, or one of them does not convert.
    pub fn lead(map: &LockedMap, from: Digest) -> Result<Self, LeadError> {
        let way = chain(&map.epochs, from, map.def.digest()).ok_or(LeadError::NoWay(from))?;
        let mut legs = Vec::new();
        for (at, epoch) in way.iter().enumerate() {
            let new = way.get(at + 1).map_or(&map.def, |next| &next.previous);
            match epoch.on_upgrade {
                OnUpgrade::Reuse => {}
                OnUpgrade::Migrate => legs.push(Converting { epoch, old: &epoch.previous, new }.leg()?),
                on_upgrade => return Err(LeadError::NotConverted { from: epoch.from, on_upgrade }),
            }
        }
        Ok(Self { legs })
    }
}
