//! What the bytes of old entries are read as, if nobody converts them.

use crate::arms::Arms;
use crate::change::Part;
use crate::layout::Layout;
use crate::leaves::{Leaf, leaves};
use crate::map::MapDef;
use crate::place::Place;

/// A part of a key or value that the new programs read otherwise than the old ones wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Of the map, or of the maps that it holds.
    pub inner: usize,
    /// The key or the value.
    pub part: Part,
    /// The bits.
    pub place: Place,
    /// What the old release wrote there.
    pub wrote: Vec<Named>,
    /// True if some of the bits were padding.
    pub has_padding: bool,
    /// What the new programs take them for. `None` for bytes of a key that no member of the new one has: keys differ by them still.
    pub reads: Option<Named>,
    /// What may come of it.
    pub risk: Risk,
}

/// A member, and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The way to it; nothing for the whole key or value.
    pub path: String,
    /// Its type.
    pub spelling: String,
}

/// What may come of bytes that are read otherwise, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// They were something else.
    Misread,
    /// They were padding, which is right if the old release wrote 0.
    Padding,
    /// They are a new arm of a union too, in which each of the old arms is still what it was: right if programs choose the arm by what
    /// else an entry says, for old entries say none of it. A member that an old arm has got is none: programs rightly read that arm.
    Arm,
    /// The member has another name, and neither name is that of another member.
    OtherName,
}

/// What the new programs read otherwise in entries of the old map, worst first. `None` if a side does not tell its members, or too
/// many.
pub(crate) fn readings(old: &MapDef, new: &MapDef) -> Option<Vec<Reading>> {
    let mut readings = Vec::new();
    of_map(old, new, 0, &mut readings)?;
    readings.sort_by_key(|reading| reading.risk);
    Some(readings)
}

fn of_map(old: &MapDef, new: &MapDef, inner: usize, readings: &mut Vec<Reading>) -> Option<()> {
    for (part, before, after) in [(Part::Key, &old.key, &new.key), (Part::Value, &old.value, &new.value)] {
        match (before, after) {
            (Some(before), Some(after)) => of_layout(before, after, (inner, part), readings)?,
            (None, None) => {}
            _ => return None,
        }
    }
    match (&old.inner, &new.inner) {
        (Some(old), Some(new)) => of_map(old, new, inner + 1, readings),
        _ => Some(()),
    }
}

fn named(leaf: &Leaf<'_>) -> Named {
    Named { path: leaf.path.clone(), spelling: leaf.spelling() }
}

fn of_layout(old: &Layout, new: &Layout, (inner, part): (usize, Part), readings: &mut Vec<Reading>) -> Option<()> {
    let (was, is) = (leaves(old)?, leaves(new)?);
    let arms = Arms::of(&was, &is);
    for leaf in is.iter().filter(|leaf| !leaf.is_filler()) {
        let there: Vec<_> = was.iter().filter(|old| old.overlaps(leaf)).collect();
        let same: Vec<_> = there.iter().filter(|old| leaf.continues(old)).collect();
        let is_itself = same.iter().any(|old| old.path == leaf.path);
        // Under its own name, or as a new arm of a union in which that is still to be found.
        if is_itself || same.iter().any(|old| arms.stays(old)) && arms.is_in_new(leaf) {
            continue;
        }
        let is_gone = |old: &Leaf<'_>| is.iter().all(|new| new.path != old.path);
        let is_added = was.iter().all(|old| old.path != leaf.path);
        let risk = if there.iter().all(|old| old.is_filler()) {
            Risk::Padding
        } else if is_added && same.iter().any(|old| is_gone(old) && arms.may_share(leaf, old)) {
            Risk::OtherName
        } else if arms.is_in_new(leaf) && there.iter().all(|old| arms.stays(old)) {
            Risk::Arm
        } else {
            Risk::Misread
        };
        let covered = |bit: u64| there.iter().any(|old| old.place.offset_bits <= bit && bit < old.end());
        let has_padding = (leaf.place.offset_bits..leaf.end()).step_by(8).any(|bit| !covered(bit));
        let wrote = there.iter().map(|old| named(old)).collect();
        let reads = Some(named(leaf));
        readings.push(Reading { inner, part, place: leaf.place, wrote, has_padding, reads, risk });
    }
    if part == Part::Key {
        let gone =
            was.iter().filter(|old| !old.is_filler() && !is.iter().any(|new| !new.is_filler() && new.overlaps(old)));
        readings.extend(gone.map(|old| {
            let wrote = vec![named(old)];
            Reading { inner, part, place: old.place, wrote, has_padding: false, reads: None, risk: Risk::Misread }
        }));
    }
    Some(())
}
