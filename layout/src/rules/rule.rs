//! What a rule is.

use std::fmt;

/// One rule, as data. Its detection lives in `diff`; all else that maplock knows of it is here.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name, in kebab-case.
    pub id: &'static str,
    /// What is at stake.
    pub tier: Tier,
    /// Level where the configuration says nothing.
    pub default_level: Level,
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
    /// The same bytes in the same sense, spelled otherwise.
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

impl Rule {
    /// True for a change after which the kernel or the loader refuses the pinned map.
    #[must_use]
    pub fn rules_out_reuse(&self) -> bool {
        use super::*;
        [
            &KEY_SIZE_CHANGED,
            &VALUE_SIZE_CHANGED,
            &MAP_TYPE_CHANGED,
            &FLAGS_CHANGED,
            &MAP_EXTRA_CHANGED,
            &INNER_MAP_CHANGED,
            &MAX_ENTRIES_DECREASED,
        ]
        .contains(&self)
    }
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
