//! What the bytes of old entries are read as, where nobody converts them.

use crate::change::Part;
use crate::kernel_field;
use crate::layout::{IntKind, Layout, Shape};
use crate::map::MapDef;
use crate::place::Place;

/// Most members that are looked at on a side. Layouts are shared, so that there may be any number.
const MAX_LEAVES: usize = 1024;

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
    /// True where some of the bits were padding.
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
    /// They were padding, which is right where the old release wrote 0.
    Padding,
    /// The member has another name, and neither name is that of another member.
    OtherName,
}

/// What the new programs read otherwise in entries of the old map, worst first. `None` where a side does not tell its members, or too
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

/// A number, an array, a field of the kernel's.
struct Leaf<'a> {
    path: String,
    place: Place,
    bits: Option<u32>,
    layout: &'a Layout,
}

impl Leaf<'_> {
    fn end(&self) -> u64 {
        self.place.offset_bits + self.place.size_bits
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.place.offset_bits < other.end() && other.place.offset_bits < self.end()
    }

    /// True where it is read as the other was written, or as the beginning of that.
    fn continues(&self, old: &Self) -> bool {
        self.place.offset_bits == old.place.offset_bits
            && self.bits == old.bits
            && (self.place == old.place && is_alike(old.layout, self.layout)
                || self.place.size_bits <= old.place.size_bits
                    && match (&old.layout.shape, &self.layout.shape) {
                        (Shape::Array { element: was, .. }, Shape::Array { element: is, .. }) => is_alike(was, is),
                        _ => false,
                    })
    }

    fn named(&self) -> Named {
        let spelled = self.layout.spelling();
        let spelling = self.bits.map_or(spelled.clone(), |bits| format!("{spelled}:{bits}"));
        Named { path: self.path.clone(), spelling }
    }

    /// True for a member that is there to fill a gap, and that nobody reads.
    fn is_filler(&self) -> bool {
        let name = self.path.rsplit('.').next().unwrap_or_default();
        let lower = name.trim_matches('_').to_ascii_lowercase();
        let rest = ["padding", "pad", "reserved", "rsvd", "unused"].iter().find_map(|word| lower.strip_prefix(word));
        rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'))
    }
}

/// True where both are the same scalars.
fn is_alike(old: &Layout, new: &Layout) -> bool {
    old.size == new.size
        && match (&old.shape, &new.shape) {
            (Shape::Int(_) | Shape::Enum(_), Shape::Int(_) | Shape::Enum(_)) => sense(old) == sense(new),
            (Shape::Float, Shape::Float) | (Shape::Opaque { .. }, Shape::Opaque { .. }) => true,
            (Shape::Pointer { target: was }, Shape::Pointer { target: is }) => {
                kernel_field::tag(was) == kernel_field::tag(is)
            }
            (Shape::Array { element: was, len: m }, Shape::Array { element: is, len: n }) => {
                m == n && is_alike(was, is)
            }
            (Shape::Composite(was), Shape::Composite(is)) => was.kernel_name() == is.kernel_name(),
            _ => false,
        }
}

/// How a number's bits are read. The names that an enum gives to numbers are of no account here.
fn sense(layout: &Layout) -> u8 {
    match &layout.shape {
        Shape::Int(IntKind::Signed) => 1,
        Shape::Int(IntKind::Bool) => 2,
        _ => 0,
    }
}

fn leaves<'a>(
    layout: &'a Layout,
    bits: Option<u32>,
    (path, offset_bits): (String, u64),
    found: &mut Vec<Leaf<'a>>,
) -> Option<()> {
    if found.len() >= MAX_LEAVES {
        return None;
    }
    let size_bits = bits.map_or(layout.size * 8, u64::from);
    match &layout.shape {
        _ if size_bits == 0 => {}
        Shape::Composite(of) if of.kernel_name().is_none() => {
            for flat in of.flat_members() {
                let dot = if path.is_empty() { "" } else { "." };
                let way = (format!("{path}{dot}{}", flat.member.name), offset_bits + flat.offset_bits);
                leaves(&flat.member.layout, flat.member.bits, way, found)?;
            }
        }
        Shape::Array { element, len } if has_members(element) => {
            for at in 0..u64::from(*len) {
                leaves(element, None, (format!("{path}[{at}]"), offset_bits + at * element.size * 8), found)?;
            }
        }
        _ => found.push(Leaf { path, place: Place { offset_bits, size_bits }, bits, layout }),
    }
    Some(())
}

fn has_members(layout: &Layout) -> bool {
    match &layout.shape {
        Shape::Composite(of) => of.kernel_name().is_none(),
        Shape::Array { element, .. } => has_members(element),
        _ => false,
    }
}

fn of_layout(old: &Layout, new: &Layout, (inner, part): (usize, Part), readings: &mut Vec<Reading>) -> Option<()> {
    let (mut was, mut is) = (Vec::new(), Vec::new());
    leaves(old, None, (String::new(), 0), &mut was)?;
    leaves(new, None, (String::new(), 0), &mut is)?;
    for leaf in is.iter().filter(|leaf| !leaf.is_filler()) {
        let there: Vec<_> = was.iter().filter(|old| old.overlaps(leaf)).collect();
        let same: Vec<_> = there.iter().filter(|old| leaf.continues(old)).collect();
        // Under its own name, or as another arm of a union in which that is still to be found.
        let stays = |old: &Leaf<'_>| is.iter().any(|new| new.path == old.path && new.continues(old));
        if same.iter().any(|old| stays(old)) {
            continue;
        }
        let is_gone = |old: &Leaf<'_>| is.iter().all(|new| new.path != old.path);
        let is_new = || was.iter().all(|old| old.path != leaf.path);
        let risk = match same.first() {
            _ if there.iter().all(|old| old.is_filler()) => Risk::Padding,
            Some(old) if is_gone(old) && is_new() => Risk::OtherName,
            _ => Risk::Misread,
        };
        let covered = |bit: u64| there.iter().any(|old| old.place.offset_bits <= bit && bit < old.end());
        let has_padding = (leaf.place.offset_bits..leaf.end()).step_by(8).any(|bit| !covered(bit));
        let wrote = there.iter().map(|old| old.named()).collect();
        let reads = Some(leaf.named());
        readings.push(Reading { inner, part, place: leaf.place, wrote, has_padding, reads, risk });
    }
    if part == Part::Key {
        let gone =
            was.iter().filter(|old| !old.is_filler() && !is.iter().any(|new| !new.is_filler() && new.overlaps(old)));
        readings.extend(gone.map(|old| {
            let wrote = vec![old.named()];
            Reading { inner, part, place: old.place, wrote, has_padding: false, reads: None, risk: Risk::Misread }
        }));
    }
    Some(())
}
