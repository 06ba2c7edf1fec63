//! What a rule is.

use std::fmt;

use crate::epoch::OnUpgrade;

/// One rule, as data. Its detection lives in `diff`; all else that maplock knows of it is here.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name, in kebab-case.
    pub id: &'static str,
    /// What is at stake.
    pub tier: Tier,
    /// Level if the configuration says nothing.
    pub default_level: Level,
    /// What the change is about, and what it does.
    pub effect: Effect,
    /// One line: what the rule finds.
    pub purpose: &'static str,
    /// Markdown: what the change does to pinned state and what to do about it.
    pub explanation: &'static str,
    /// C declarations before and after a change that the rule finds.
    pub example: Example,
}

/// Two releases of an object's map declarations. They see `__uint`, `__type`, `__array`, `SEC` and the kernel's integer
/// types, and each holds a map called `flows`, unless the rule is about maps that come and go.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// As released.
    pub old: &'static str,
    /// As changed.
    pub new: &'static str,
}

/// What is at stake in a finding, gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Old bytes would be read from other places or in other widths than they were written.
    Bytes,
    /// An attribute that the kernel or the loader holds against the pinned map.
    Kernel,
    /// The same bytes in another sense.
    Meaning,
    /// The same bytes in the same sense, spelled differently.
    Spelling,
}

impl Tier {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Kernel => "kernel",
            Self::Meaning => "meaning",
            Self::Spelling => "spelling",
        }
    }
}

/// What a change is about and what it does: all that gate, lock and node ask of a rule. Begin with the constant of the rule's
/// tier, and name what is otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Effect {
    /// What the two sides are.
    pub compares: Compares,
    /// The attribute of the map that differs, if it is one.
    pub attribute: Option<Attribute>,
    /// True if digests of the two sides differ. An epoch for a rule outside of the digest may lead from a digest to itself.
    pub in_digest: bool,
    /// True if everything that is there stays where it is and what it is.
    pub keeps_bytes: bool,
    /// True if the kernel or a loader refuses the pinned map, so that nobody can go on with it.
    pub rules_out_reuse: bool,
    /// Whether somebody has to say what becomes of the entries.
    pub decision: Decision,
    /// What can be said. Nothing if the change itself has to go; that the bytes stay, and no more, if no node can tell the two
    /// sides apart.
    pub answers: &'static [OnUpgrade],
    /// What to do if nothing can be said.
    pub remedy: Option<&'static str>,
}

/// What the two sides of a finding are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compares {
    /// The definitions of two releases.
    Releases,
    /// Two definitions in one release. There is no level at which it passes.
    Objects,
    /// An acceptance in the lock, and today's definition. No upgrade depends on it.
    History,
    /// What programs do with a map, and what the lock says of it. No upgrade depends on it, and the lock can follow the objects.
    Programs,
}

/// Whether somebody has to say what becomes of a map's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nobody: there are none yet, there are none any more, or all of them stay.
    Never,
    /// Somebody, if the configuration denies the change.
    IfDenied,
    /// Somebody, before a node takes the change. The lock takes it without, if it is not denied: it has no more to say of the
    /// map.
    OnNodes,
    /// Somebody, before the lock takes the change.
    Always,
}

/// An attribute of a map's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The type.
    Type,
    /// The capacity.
    MaxEntries,
    /// The flags.
    Flags,
    /// What depends on the type.
    MapExtra,
    /// Whether and how it is pinned.
    Pinning,
    /// The template of the maps that it holds.
    Inner,
}

impl Attribute {
    /// The member of a declaration in C.
    #[must_use]
    pub const fn in_source(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::MaxEntries => "max_entries",
            Self::Flags => "map_flags",
            Self::MapExtra => "map_extra",
            Self::Pinning => "pinning",
            Self::Inner => "values",
        }
    }

    /// The key in a lockfile.
    #[must_use]
    pub const fn in_lock(self) -> &'static str {
        match self {
            Self::Flags => "flags",
            Self::Inner => "inner",
            other => other.in_source(),
        }
    }
}

impl Effect {
    /// Of a change of bytes.
    pub(super) const BYTES: Self = Self {
        compares: Compares::Releases,
        attribute: None,
        in_digest: true,
        keeps_bytes: false,
        rules_out_reuse: false,
        decision: Decision::Always,
        answers: &OnUpgrade::OF_A_CHANGE,
        remedy: None,
    };

    /// Of an attribute that is fixed when a map is made.
    pub(super) const FIXED: Self = Self {
        rules_out_reuse: true,
        answers: &[OnUpgrade::Migrate, OnUpgrade::Swap, OnUpgrade::Refuse],
        ..Self::BYTES
    };

    /// Of a change of meaning.
    pub(super) const MEANING: Self = Self { keeps_bytes: true, decision: Decision::IfDenied, ..Self::BYTES };

    /// Of a change of spelling.
    pub(super) const SPELLING: Self = Self { in_digest: false, answers: &[OnUpgrade::Reuse], ..Self::MEANING };
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a finding does to a build or a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    Allow,
    /// It is said.
    Warn,
    /// It fails.
    Deny,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Warn, Self::Deny];

    /// Its name as in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
