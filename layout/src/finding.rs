//! One rule applied to one place.

use std::collections::BTreeMap;

use crate::change::{Change, Subject};
use crate::digest::Digest;
use crate::epoch::{Merge, OnUpgrade};
use crate::map_type::Fate;
use crate::must_fit::MustFit;
use crate::reading::{Reading, Risk};
use crate::rules::{self, Attribute, Compares, Decision, Level, Rule};
use crate::untold::Untold;

/// A rule that applies to one place of one map, with both sides of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Its level here: the configuration's, or the rule's own.
    pub level: Level,
    /// The map.
    pub map: String,
    /// What of it.
    pub subject: Subject,
    /// How it differs.
    pub change: Change,
    /// The change that brought this one about, so that it needs no decision of its own.
    pub consequence_of: Option<Subject>,
    /// What an epoch of the lock says to do about it, if one leads from the old definition to the new.
    pub accepted: Option<OnUpgrade>,
}

impl Finding {
    /// True if it fails a build or a review: denied, and accepted by nobody.
    #[must_use]
    pub fn is_break(&self) -> bool {
        self.level == Level::Deny && self.accepted.is_none()
    }

    /// True if state cannot simply stay: bytes that would be misread, attributes that the kernel refuses, and what
    /// the configuration denies. A level of `allow` silences a finding, but does not make old bytes right.
    #[must_use]
    pub fn needs_decision(&self) -> bool {
        match self.rule.effect.decision {
            Decision::Never => false,
            Decision::IfDenied => self.level == Level::Deny,
            Decision::OnNodes | Decision::Always => true,
        }
    }

    /// What can be answered to it. If only the way of pinning changed, and the map still counts as pinned, nothing else
    /// changes.
    #[must_use]
    pub fn answers(&self) -> &'static [OnUpgrade] {
        match self.change {
            Change::Pinning { .. } => &[OnUpgrade::Reuse],
            _ => self.rule.effect.answers,
        }
    }

    /// True if everything that is there stays where it is and what it is.
    #[must_use]
    pub fn keeps_bytes(&self) -> bool {
        self.rule.effect.keeps_bytes || matches!(self.change, Change::Pinning { .. })
    }

    /// True if the answer decides on entries. A change that keeps every byte, and that no digest tells, goes along with any
    /// answer.
    fn decides(&self) -> bool {
        // Room or entries: that was asked for.
        let stays = matches!(self.change, Change::CapacityStays { .. }) && self.needs_decision();
        let effect = &self.rule.effect;
        effect.compares == Compares::Releases && (effect.in_digest || !self.keeps_bytes() || stays)
    }

    /// True if the lock can't follow the objects before somebody has decided.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.is_break() || self.needs_decision() && self.rule.effect.decision != Decision::OnNodes
    }
}

/// What can be answered to all that was found of one map. A change that keeps every byte, and that no digest tells, goes
/// along with any answer to the rest.
#[must_use]
pub fn answers(findings: &[&Finding]) -> Vec<OnUpgrade> {
    let is_alone = !findings.iter().any(|finding| finding.decides());
    let asked = |finding: &&&Finding| match finding.rule.effect.compares {
        Compares::Releases => is_alone || finding.decides(),
        Compares::Objects => true,
        Compares::History | Compares::Programs => false,
    };
    let takes = |answer: &OnUpgrade| findings.iter().filter(asked).all(|finding| finding.answers().contains(answer));
    OnUpgrade::ALL.into_iter().filter(takes).collect()
}

/// True if somebody has to decide on the capacity, and on nothing else.
pub(crate) fn is_capacity_open(findings: &[Finding]) -> bool {
    let mut open = findings.iter().filter(|finding| finding.needs_decision() && finding.accepted.is_none()).peekable();
    open.peek().is_some()
        && open.all(|finding| finding.rule.effect.attribute == Some(Attribute::MaxEntries))
        && !findings.iter().any(|finding| finding.rule.effect.rules_out_reuse)
}

/// What happens to a map's existing state in an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// There is none; the map is made anew.
    Create,
    /// The map is used as it is.
    Reuse,
    /// A larger map takes its place, with every entry.
    Grow,
    /// A map of the new layout takes its place, with every entry converted.
    Migrate,
    /// An empty map takes its place.
    Swap,
    /// The upgrade does not start.
    Refuse,
    /// The map is unpinned, for the new release has none of that name.
    Drop,
}

impl Disposition {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Reuse => "reuse",
            Self::Grow => "grow",
            Self::Migrate => "migrate",
            Self::Swap => "swap",
            Self::Refuse => "refuse",
            Self::Drop => "drop",
        }
    }
}

impl std::fmt::Display for Disposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What an upgrade does to one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The map.
    pub map: String,
    /// What the older release pinned it as, if it did.
    pub was: Option<String>,
    /// What happens to its state.
    pub disposition: Disposition,
    /// Digest of the old definition, if there is one.
    pub from: Option<Digest>,
    /// Digest of the new definition, if there is one.
    pub to: Option<Digest>,
    /// Why, if an epoch says so.
    pub reason: Option<String>,
    /// Members of the new definition that are merged, if entries are carried over into another map.
    pub merge: BTreeMap<String, Merge>,
    /// What rules and epochs decide, before the type of the map is looked at.
    pub answer: OnUpgrade,
    /// What becomes of the entries by that.
    pub fate: Fate,
    /// What may be lost if entries are carried over, since the new map drops some by itself: a phrase.
    pub eviction: Option<String>,
    /// What entries must be like to be carried over, if the new map has less room.
    pub must_fit: Option<MustFit>,
    /// If bytes differ: what the new programs read otherwise, if the entries stay as they are, worst first. `None` if nothing
    /// tells.
    pub readings: Option<Vec<Reading>>,
    /// What no node could do, though it may be an answer to what changed, and why: phrases.
    pub cannot: Vec<(OnUpgrade, String)>,
    /// What of the new definition is known by its size alone; of a map that is gone, of the old one.
    pub untold: Option<Untold>,
}

impl Verdict {
    /// True if state is given up.
    #[must_use]
    pub fn loses_entries(&self) -> bool {
        matches!(self.disposition, Disposition::Swap | Disposition::Drop) && self.fate == Fate::GivenUp
    }

    /// What the new programs read otherwise in entries that stay as they are.
    pub fn misread(&self) -> impl Iterator<Item = &Reading> {
        let stays = matches!(self.disposition, Disposition::Reuse | Disposition::Grow);
        self.readings.iter().flatten().filter(move |_| stays)
    }

    /// In which order a reviewer should look at maps: the smallest number first.
    #[must_use]
    pub fn urgency(&self) -> u8 {
        match self.disposition {
            Disposition::Refuse => 0,
            Disposition::Swap | Disposition::Drop if self.loses_entries() => 1,
            Disposition::Reuse | Disposition::Grow if self.misread().any(|reading| reading.risk == Risk::Misread) => 2,
            Disposition::Migrate => 3,
            Disposition::Reuse if self.misread().next().is_some() => 4,
            Disposition::Reuse if matches!(self.fate, Fate::KeepSize(_)) => 4,
            Disposition::Swap | Disposition::Drop => 5,
            Disposition::Grow => 6,
            Disposition::Reuse | Disposition::Create => 7,
        }
    }
}

/// A comparison of two sets of maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// All that was found, by map, then in the order of the bytes.
    pub findings: Vec<Finding>,
    /// What becomes of each map, by name.
    pub maps: Vec<Verdict>,
    /// Maps that are gone without a word, and may be new ones under another name.
    pub renames: Vec<Rename>,
}

/// A map that is gone and one that is new, which may be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The name that is gone.
    pub old: String,
    /// The name that is new.
    pub new: String,
    /// What would be found if they were: of the one map, under its new name.
    pub comparison: Comparison,
}

impl Comparison {
    /// True if a finding fails the build or the review.
    #[must_use]
    pub fn has_breaks(&self) -> bool {
        self.findings.iter().any(Finding::is_break)
    }

    /// How many of the maps that go on or are new are known by their sizes alone: a phrase; `None` if types tell of each.
    #[must_use]
    pub fn untold(&self) -> Option<String> {
        let stay = self.maps.iter().filter(|verdict| verdict.disposition != Disposition::Drop);
        Untold::counted(stay.map(|verdict| verdict.untold))
    }

    /// What nodes do with a map of which the smaller capacity is all that nobody has accepted: a phrase. `None` of any other map.
    #[must_use]
    pub fn meanwhile(&self, verdict: &Verdict) -> Option<&'static str> {
        let is_open = |finding: &Finding| finding.rule == &rules::MAX_ENTRIES_DECREASED && finding.is_break();
        let stays = verdict.disposition == Disposition::Reuse && self.of_map(&verdict.map).any(is_open);
        stays
            .then_some("by default, a node keeps its larger map, and a node without a pinned map makes the smaller one")
    }

    /// What becomes of one map.
    #[must_use]
    pub fn verdict(&self, map: &str) -> Option<&Verdict> {
        self.maps.iter().find(|verdict| verdict.map == map)
    }

    /// The findings about one map.
    pub fn of_map<'a>(&'a self, map: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.map == map)
    }
}
