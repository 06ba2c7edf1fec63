//! Why a change was not entered into a lock, and the words for it.

use std::fmt;

use crate::conversion::Problems;
use crate::epoch::OnUpgrade;
use crate::sum::SumError;

/// Why a change was not entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EpochError {
    /// The lock has no map of that name.
    NoSuchMap {
        /// The name asked for.
        map: String,
        /// What it may have been meant to be, as a half sentence.
        hint: String,
    },
    /// The objects have it, and the lock does not.
    NewMap {
        /// The map.
        map: String,
        /// A map that is gone, of which it may be another name.
        may_be: Option<String>,
    },
    /// The map is gone, and that is all that can be said of it.
    IsGone {
        /// The map.
        map: String,
        /// What was answered.
        on_upgrade: OnUpgrade,
        /// A new map, of which it may be an older name.
        may_be: Option<String>,
    },
    /// The map is not gone.
    StillThere(String),
    /// The map can't be an older one under another name.
    NoRename {
        /// The map.
        map: String,
        /// The older one.
        old: String,
        /// Why: a phrase.
        because: String,
    },
    /// More than the name of the map has changed.
    MoreThanRenamed {
        /// The map.
        map: String,
        /// What else changed, in words.
        because: String,
        /// What can be answered.
        answers: Vec<OnUpgrade>,
    },
    /// The map is as the lock has it, and nothing was accepted before that could be changed.
    NothingToAccept(String),
    /// The map did change, but in nothing that needs anybody's decision.
    NothingToDecide(String),
    /// There is no epoch to take back.
    NothingToUndo(String),
    /// The answer is none to this change.
    CannotBe {
        /// The map.
        map: String,
        /// The answer.
        on_upgrade: OnUpgrade,
        /// The change, in words.
        because: String,
        /// True if it is one that the kernel or the loader sees.
        is_refused: bool,
        /// What can be answered.
        answers: Vec<OnUpgrade>,
    },
    /// An epoch needs a reason, for those who review and run it.
    NoReason,
    /// A member of the value can't be merged.
    CannotMerge {
        /// The map.
        map: String,
        /// The path that was given.
        path: String,
        /// True if it is the definition that the epoch leaves in which it does not qualify.
        was: bool,
        /// Why not.
        because: SumError,
    },
    /// Nothing is known of the value's members.
    NoMembers(String),
    /// Of an epoch that does not convert entries, nothing is to be answered.
    NothingToConvert {
        /// The map.
        map: String,
        /// What the epoch does.
        on_upgrade: OnUpgrade,
    },
    /// What the two definitions do not tell of a conversion, and no answer does.
    Unanswered {
        /// The map.
        map: String,
        /// What is open, and which answers fit nothing.
        problems: Problems,
    },
    /// Only what a lock has can be merged for the life of the map.
    NotLocked {
        /// The map.
        map: String,
        /// A name that may have been meant, as the end of a sentence, or nothing.
        hint: String,
    },
    /// Of an epoch that keeps no entries, none can be merged.
    NothingToMerge {
        /// The map.
        map: String,
        /// What the epoch does.
        on_upgrade: OnUpgrade,
    },
}

impl fmt::Display for EpochError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchMap { map, hint } => write!(f, "no map `{map}` in the lock or the objects{hint}"),
            Self::NewMap { map, may_be: None } => {
                write!(f, "map `{map}` is new, so there is nothing to accept; run `cargo maplock update`")
            }
            Self::NewMap { map, may_be: Some(old) } => {
                write!(f, "map `{map}` is new; if it is `{old}` under another name, say so with `--renamed-from {old}`")
            }
            Self::IsGone { map, on_upgrade, may_be } => {
                write!(f, "map `{map}` is gone, and `{on_upgrade}` is no answer to that; choose `drop`")?;
                may_be.as_ref().map_or(Ok(()), |new| {
                    write!(f, ", or accept `{new}` with `--renamed-from {map}` if that is its new name")
                })
            }
            Self::StillThere(map) => {
                write!(f, "`drop` gives up a map that is gone, and map `{map}` is still there")
            }
            Self::NoRename { map, old, because } => {
                write!(f, "map `{map}` can't be `{old}` under another name: {because}")
            }
            Self::MoreThanRenamed { map, because, answers } => {
                let answers: Vec<_> = answers.iter().map(|answer| format!("`{answer}`")).collect();
                write!(f, "map `{map}` changed more than its name: {because}; ")?;
                match answers.as_slice() {
                    [] => f.write_str("no node could go on with its entries, so take the change back, or give them up"),
                    answers => write!(f, "say what nodes do with the entries: --on-upgrade {}", answers.join(" or ")),
                }
            }
            Self::NothingToAccept(map) => {
                write!(f, "map `{map}` is as in the lock: there is nothing to accept")
            }
            Self::NothingToDecide(map) => {
                write!(f, "the change of map `{map}` is safe and needs no decision; run `cargo maplock update`")
            }
            Self::NothingToUndo(map) => write!(f, "nothing was accepted for map `{map}`: there is nothing to undo"),
            Self::CannotBe { map, on_upgrade, because, is_refused, answers } => {
                match on_upgrade {
                    OnUpgrade::Reuse => write!(f, "map `{map}` cannot be reused: {because}")?,
                    other => write!(f, "`{other}` is no answer for map `{map}`: {because}")?,
                }
                if *on_upgrade == OnUpgrade::Reuse && *is_refused {
                    f.write_str(", and the kernel would refuse the pinned map")?;
                }
                if answers.is_empty() {
                    return f.write_str("; no answer can be, so take the change back");
                }
                let answers: Vec<_> = answers.iter().map(|answer| format!("`{answer}`")).collect();
                write!(f, "; choose {}", answers.join(" or "))
            }
            Self::NoReason => f.write_str("the reason is empty; say for the reviewers why this break is right"),
            Self::CannotMerge { map, path, was, because } => {
                let when = if *was { " as it was" } else { "" };
                write!(f, "`{path}` of map `{map}`{when} cannot be merged: {because}")
            }
            Self::NoMembers(map) => write!(
                f,
                "the value of map `{map}` is declared by its size alone, so it has no member to merge; bind it to a type in Cargo.toml"
            ),
            Self::NothingToConvert { map, on_upgrade } => write!(
                f,
                "`{on_upgrade}` converts no entry of map `{map}`, so answers about its members do nothing; choose `migrate`, or leave the answers out"
            ),
            Self::Unanswered { map, problems } => write!(f, "map `{map}` can't be converted as it is: {problems}"),
            Self::NotLocked { map, hint } => {
                write!(f, "the lock has no map `{map}`{hint}; `cargo maplock update` enters those that are new")
            }
            Self::NothingToMerge { map, on_upgrade } => write!(
                f,
                "`{on_upgrade}` keeps no entry of map `{map}` that could be merged on this way; choose `reuse` or `migrate`, or leave `--merge-once` out"
            ),
        }
    }
}

impl EpochError {
    /// The reason that was given, without the space around it.
    pub(crate) fn reason(given: &str) -> Result<&str, Self> {
        let reason = given.trim();
        if reason.is_empty() { Err(Self::NoReason) } else { Ok(reason) }
    }
}

impl std::error::Error for EpochError {}
