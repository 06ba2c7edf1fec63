//! What can go wrong in a transfer.

use std::{fmt, io};

use maplock_layout::map::MapType;

use super::convert::way::NoSuchCode;
use super::inexact::Inexact;
use super::types::{Sum, TransferOptions};
use crate::sys::{Map, privileges};

/// Why entries could not be carried over. Maps are named as the kernel names them, in up to 15 bytes.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferError {
    /// The new map has no room for all entries.
    Full {
        /// Name of the new map.
        map: String,
        /// Its capacity.
        max_entries: u32,
        /// How many entries did not fit, as far as it was tried.
        failed: u64,
    },
    /// Entries of this type can't be carried over.
    NotCopyable {
        /// Name of the old map.
        map: String,
        /// Its type.
        map_type: MapType,
        /// Why.
        reason: &'static str,
    },
    /// Old and new map are not of one kind.
    Unlike {
        /// Name of the new map, or of the one for the snapshot.
        map: String,
        /// What differs.
        what: &'static str,
        /// In the old map.
        old: u32,
        /// In the new one.
        new: u32,
    },
    /// A member can't be added up: not 4 or 8 bytes wide, not aligned to its width, outside of the value, or over another.
    Sum {
        /// Name of the old map.
        map: String,
        /// The member.
        sum: Sum,
        /// Bytes of the value.
        value_size: u32,
    },
    /// The value has members that are not added up, so that only a snapshot tells what changed, and there is none.
    NeedsBase {
        /// Name of the old map.
        map: String,
    },
    /// An entry holds what the new layout has no room for.
    Unfit {
        /// Name of the map.
        map: String,
        /// Which entry, and why: a phrase, empty if it is gone by now.
        problem: String,
    },
    /// Code that converts entries failed.
    ByHand {
        /// Name of the old map.
        map: String,
        /// The key of the entry, in hexadecimal digits.
        key: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The conversion is code that this program does not have.
    NoSuchCode {
        /// Name of the map.
        map: String,
        /// Which.
        source: NoSuchCode,
    },
    /// Keys of several entries become one, which was not accepted.
    Collision {
        /// Name of the new map.
        map: String,
        /// How many entries have no key of their own.
        failed: u64,
        /// The first two of the old keys that become one, in hexadecimal digits; none if one is gone by now.
        keys: Option<[String; 2]>,
    },
    /// No way leads back from the new map's entries to the old map's.
    NoWayBack {
        /// Name of the map.
        map: String,
    },
    /// The kernel refused something.
    Kernel {
        /// Name of the map.
        map: String,
        /// What was refused.
        what: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
}

impl TransferError {
    pub(super) fn kernel(map: &Map, what: &'static str) -> impl Fn(io::Error) -> Self {
        let map = map.info().name.clone();
        move |source| Self::Kernel { map: map.clone(), what, source }
    }

    /// An entry that could not be written.
    pub(super) fn write(map: &Map, failed: u64, source: io::Error) -> Self {
        Self::unwritten(&map.info().name, map.info().max_entries, failed, source)
    }

    /// As [`Self::write`], if the map is not at hand.
    pub(super) fn unwritten(map: &str, max_entries: u32, failed: u64, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::E2BIG | libc::ENOSPC) => Self::Full { map: map.to_owned(), max_entries, failed },
            _ => Self::Kernel { map: map.to_owned(), what: "writing an entry", source },
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { map, max_entries, failed } => {
                write!(
                    f,
                    "map `{map}`: it is full with {max_entries} entries, {failed} more did not fit; raise max_entries"
                )
            }
            Self::NotCopyable { map, map_type, reason } => {
                write!(f, "map `{map}`: entries of a {map_type} can't be carried over: {reason}")
            }
            Self::Unlike { map, what, old, new } => {
                write!(f, "map `{map}`: its {what} is {new}, that of the old map is {old}")
            }
            Self::Sum { map, sum, value_size } => write!(
                f,
                "map `{map}`: bytes {}..{} of a value of {value_size} can't be added up: a counter is an integer of 4 or 8 \
                 bytes, aligned to its size, and no two overlap",
                sum.offset,
                u64::from(sum.offset) + u64::from(sum.width)
            ),
            Self::NeedsBase { map } => write!(
                f,
                "map `{map}`: not all of its value is added up, so a snapshot is needed to see what changed, and none was kept"
            ),
            Self::Unfit { map, problem } if problem.is_empty() => {
                write!(f, "map `{map}`: an entry holds a number that does not fit its new place")
            }
            Self::Unfit { map, problem } => write!(f, "map `{map}`: {problem}"),
            Self::ByHand { map, key, source } => write!(f, "map `{map}`: the entry with the key {key}: {source}"),
            Self::Collision { map, failed, keys } => {
                let has = if *failed == 1 { "entry has" } else { "entries have" };
                write!(f, "map `{map}`: {failed} {has} the new key of another")?;
                if let Some([one, other]) = keys {
                    write!(f, ", such as {one} and {other}")?;
                }
                write!(
                    f,
                    "; delete one of them on this node, or release what becomes of them: cargo maplock accept {map} --on-upgrade \
                     migrate --collide sum --reason \"…\""
                )
            }
            Self::NoSuchCode { map, source } => write!(f, "map `{map}`: {source}"),
            Self::NoWayBack { map } => write!(f, "map `{map}`: no way leads back to the entries that it had before"),
            Self::Kernel { map, what, source } => write!(f, "map `{map}`: {what}: {source}"),
        }
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel { source, .. } => Some(source),
            Self::ByHand { source, .. } => Some(&**source),
            Self::NoSuchCode { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// If no program does it, system calls do.
pub(super) fn falls_back(map: &Map, error: &io::Error, options: &TransferOptions<'_>) -> Inexact {
    if !options.is_probe {
        let hint = privileges::hint_of_load(error).unwrap_or_default();
        tracing::warn!(map = map.info().name, %error, "no program for this map: going by system calls{hint}");
    }
    Inexact::of(error)
}
