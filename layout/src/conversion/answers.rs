//! What two layouts do not tell of a conversion, and the lock's epoch does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Cast, Collide, Scale};

/// Answers of an epoch that migrates. Members go by their paths, as in findings without the map's name: `key.port`,
/// `value.stats.bytes`, `value.items[].x`; a key or value that is no struct is `key` or `value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// True if the conversion is written by hand: `impl Migrate` in the daemon.
    pub by_hand: bool,
    /// Members that have another name or another place: new path and old path.
    pub rename: BTreeMap<String, String>,
    /// What new members begin as, by new path: an integer (decimal, or hexadecimal after `0x`), or text in quotes for an
    /// array of `char`. Of an enum: the number that enumerators become which are gone.
    pub default: BTreeMap<String, String>,
    /// Members that are given up, by old path.
    pub drop: BTreeSet<String>,
    /// What becomes of numbers that do not fit, by new path.
    pub cast: BTreeMap<String, Cast>,
    /// Changes of unit, by new path.
    pub scale: BTreeMap<String, Scale>,
    /// What becomes of entries whose keys become one.
    pub collide: Option<Collide>,
}

impl Answers {
    /// True if nothing is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Cast {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Saturate, Self::Truncate];

    /// Its name, as in the lockfile and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Saturate => "saturate",
            Self::Truncate => "truncate",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cast| cast.name() == name)
    }
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Collide {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Sum, Self::KeepOne];

    /// Its name, as in the lockfile and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Sum => "sum",
            Self::KeepOne => "keep-one",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collide| collide.name() == name)
    }
}

impl fmt::Display for Collide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Scale {
    /// The same unit.
    pub const ONE: Self = Self { multiply: 1, divide: 1 };

    /// From `1000`, `1/1000` or `3/2`; neither number is 0.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (multiply, divide) = text.split_once('/').unwrap_or((text, "1"));
        let number = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|&number| plain && number != 0)
        };
        Some(Self { multiply: number(multiply)?, divide: number(divide)? })
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.divide {
            1 => write!(f, "{}", self.multiply),
            divide => write!(f, "{}/{divide}", self.multiply),
        }
    }
}
