//! What may go wrong with entries that are carried over while programs write them, as far as it is known before: by what the programs of
//! both releases do with the map.

use std::borrow::Cow;
use std::collections::BTreeSet;

use maplock_layout::map_type::Behaviour;
use maplock_layout::{Layout, MapDef, ProgramUse, sum_places};

use crate::sys::consts::{BPF_F_NO_COMMON_LRU, LOCAL_FREE_TARGET};
use crate::transfer::{Inexact, Sum};

/// Why it is not certain that every entry ends as it should, if entries come and go while a map is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Doubt {
    /// Nothing says what all programs of the older release do with the map.
    OldProgramsUnknown,
    /// Nothing says what all programs of the newer release do with it.
    NewProgramsUnknown,
    /// Programs of the older release delete entries.
    OldProgramsDelete,
    /// Programs of the newer release delete entries.
    NewProgramsDelete,
    /// Nobody has said that user space deletes no entries.
    UserMayDelete,
    /// The map holds objects of the kernel, and user space may put another in the place of one that was copied.
    UserMayReplace,
    /// The map drops entries by itself if it is this full.
    Evicts,
    /// Keys that differ in padding alone have one place in the new map.
    KeysMeet,
    /// Not everything that was written since the copy is brought over by atomic instructions: one step is a look and then
    /// a write.
    Settling(Inexact),
    /// What an earlier call had begun was completed: what became of entries before is not known any more.
    Interrupted,
}

impl Doubt {
    /// It in a few words.
    #[must_use]
    pub fn words(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::OldProgramsUnknown => "nothing says what all old programs do",
            Self::NewProgramsUnknown => "nothing says what all new programs do",
            Self::OldProgramsDelete => "old programs delete",
            Self::NewProgramsDelete => "new programs delete",
            Self::UserMayDelete => "user space may delete",
            Self::UserMayReplace => "user space may replace what it holds",
            Self::Evicts => "it evicts by itself",
            Self::KeysMeet => "keys that differ in padding alone may have become one",
            Self::Settling(why) => {
                return format!("a write at the very moment of settling may be lost: {}", why.words()).into();
            }
            Self::Interrupted => "what the call that was interrupted had lost is not known",
        })
    }
}

/// What old programs write until the switch, and what is lost if new programs write the same entry before it is settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overwritten {
    /// Members that they add to, and that are not added up. If they are merged, nothing of them is lost.
    pub adds: BTreeSet<String>,
    /// Members that they set.
    pub sets: BTreeSet<String>,
    /// True if nothing says what all programs do with the map.
    pub is_unknown: bool,
}

/// What may go wrong with the entries of a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hazard {
    /// Why entries that are deleted meanwhile may come back, or keep a wrong count. Empty if they can't.
    pub doubts: BTreeSet<Doubt>,
    /// What may be overwritten; `None` if nothing is.
    pub overwritten: Option<Overwritten>,
    /// Of maps that drop entries by themselves: how many entries both have room for without that.
    pub(crate) room: Option<u64>,
    /// True if keys that differ in padding alone become one.
    pub(crate) loses_padding: bool,
}

impl Hazard {
    /// True if nothing may go wrong.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.doubts.is_empty() && self.overwritten.is_none()
    }
}

/// One of the two maps, with the release whose programs write it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) def: &'a MapDef,
    /// Places of its value that are added up.
    pub(crate) sums: &'a [Sum],
    pub(crate) programs: Option<&'a ProgramUse>,
}

/// What may go wrong when entries are carried from one map to another, of which the old one holds so many, if that is known.
pub(crate) fn hazard(
    old: Side<'_>,
    new: Side<'_>,
    user_never_deletes: bool,
    entries: Option<u64>,
    cpus: u32,
) -> Hazard {
    let behaviour = old.def.map_type.row().entries;
    let is_copied = behaviour == Behaviour::Copied;
    let mut hazard = Hazard::default();
    let by_user = match behaviour {
        // An array's entries can't go; those of a hash that an array becomes can.
        Behaviour::Copied => !(old.def.map_type.is_array() && new.def.map_type.is_array()),
        Behaviour::MovedAtSettle => true,
        // Only keys that the new map lacks are brought over after the copy.
        Behaviour::InnerMapsById | Behaviour::OneByOne => {
            hazard.doubts.insert(Doubt::UserMayReplace);
            true
        }
        // Nothing is carried over.
        Behaviour::Refilled | Behaviour::Events | Behaviour::NotCopyable(_) => return hazard,
    };
    if by_user && !user_never_deletes {
        hazard.doubts.insert(Doubt::UserMayDelete);
    }
    if !is_copied {
        return hazard;
    }
    if !old.def.map_type.is_array() {
        hazard.doubts.extend(deletes(old.programs, Doubt::OldProgramsUnknown, Doubt::OldProgramsDelete));
    }
    if !new.def.map_type.is_array() {
        hazard.doubts.extend(deletes(new.programs, Doubt::NewProgramsUnknown, Doubt::NewProgramsDelete));
    }
    hazard.room = [old.def, new.def].into_iter().filter_map(|def| room(def, cpus)).min();
    if hazard.room.is_some_and(|room| entries.unwrap_or(u64::MAX) > room) {
        hazard.doubts.insert(Doubt::Evicts);
    }
    hazard.overwritten = overwritten(old, new);
    hazard
}

fn deletes(programs: Option<&ProgramUse>, unknown: Doubt, deletes: Doubt) -> Option<Doubt> {
    match programs {
        Some(programs) if programs.deletes => Some(deletes),
        Some(programs) if !programs.partly => None,
        _ => Some(unknown),
    }
}

/// Each CPU takes free entries for itself, up to so many; with lists of its own, each has a part of the room.
pub(super) fn room(def: &MapDef, cpus: u32) -> Option<u64> {
    let slack = u64::from(LOCAL_FREE_TARGET) * u64::from(cpus);
    let has_own_lists = def.flags & BPF_F_NO_COMMON_LRU != 0;
    let room = if has_own_lists { 0 } else { u64::from(def.max_entries).saturating_sub(slack) };
    def.map_type.evicts().then_some(room)
}

/// If new programs write any of an entry that is not added up, all of that is theirs.
fn overwritten(old: Side<'_>, new: Side<'_>) -> Option<Overwritten> {
    let (from, to) = (writes(old)?, writes(new)?);
    // What is scaled or converted by code on its way is added up under its name.
    let adds = from.adds.into_iter().filter(|path| !is_summed(new.def.value.as_deref(), path, new.sums)).collect();
    Some(Overwritten { adds, sets: from.sets, is_unknown: from.is_unknown || to.is_unknown })
}

/// What programs write of entries beside what is added up; `None` if that is nothing.
fn writes(side: Side<'_>) -> Option<Overwritten> {
    let Side { def, sums, programs } = side;
    if !has_more(def, sums) {
        return None;
    }
    let value = def.value.as_deref();
    let plain = |paths: &BTreeSet<String>| -> BTreeSet<String> {
        paths.iter().filter(|path| !is_summed(value, path, sums)).cloned().collect()
    };
    let Some(programs) = programs else { return Some(Overwritten { is_unknown: true, ..Overwritten::default() }) };
    let (adds, sets, is_unknown) = (plain(&programs.adds), plain(&programs.sets), programs.partly);
    // Both may make the same entry.
    let makes = programs.inserts && !def.map_type.is_array();
    (is_unknown || makes || !adds.is_empty() || !sets.is_empty()).then_some(Overwritten { adds, sets, is_unknown })
}

/// True if the value has more than what is added up, and padding.
fn has_more(def: &MapDef, sums: &[Sum]) -> bool {
    let is_summed = |start: u64, end: u64| {
        let within = sums.iter().filter(|sum| start <= sum.offset.into() && u64::from(sum.offset + sum.width) <= end);
        within.map(|sum| u64::from(sum.width)).sum::<u64>() >= end - start
    };
    match def.value.as_deref().map(|value| (value, value.composite())) {
        Some((_, Some(composite))) => composite.flat_members().iter().any(|flat| {
            let start = flat.offset_bits / 8;
            let size = flat.member.layout.size;
            let is_kernels = flat.member.layout.composite().is_some_and(|of| of.kernel_name().is_some());
            size > 0 && !is_kernels && !is_summed(start, start + size)
        }),
        _ => !is_summed(0, def.value_size.into()),
    }
}

/// True if all of a member is added up.
fn is_summed(value: Option<&Layout>, path: &str, sums: &[Sum]) -> bool {
    let places = value.and_then(|value| sum_places(value, path).ok());
    places.is_some_and(|places| {
        places.iter().all(|place| sums.iter().any(|sum| (sum.offset, sum.width) == (place.offset, place.width)))
    })
}
