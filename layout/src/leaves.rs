//! What a key or a value is made of, down to what has no members.

use crate::kernel_field;
use crate::layout::{IntKind, Layout, Shape};
use crate::place::Place;

/// Most members that are looked at on a side. Layouts are shared, so that there may be any number.
const MAX_LEAVES: usize = 1024;

/// A number, an array, a field of the kernel's.
pub(crate) struct Leaf<'a> {
    /// The way to it; nothing for the whole key or value.
    pub(crate) path: String,
    pub(crate) place: Place,
    /// Width of a bit-field.
    pub(crate) bits: Option<u32>,
    pub(crate) layout: &'a Layout,
}

impl Leaf<'_> {
    /// Its type as reports write it.
    pub(crate) fn spelling(&self) -> String {
        let spelled = self.layout.spelling();
        self.bits.map_or(spelled.clone(), |bits| format!("{spelled}:{bits}"))
    }

    /// The bit behind its last one.
    pub(crate) fn end(&self) -> u64 {
        self.place.offset_bits + self.place.size_bits
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.place.offset_bits < other.end() && other.place.offset_bits < self.end()
    }

    /// True if it is read as the other was written, or as the beginning of that.
    pub(crate) fn continues(&self, old: &Self) -> bool {
        self.place.offset_bits == old.place.offset_bits
            && self.bits == old.bits
            && (self.place == old.place && is_alike(old.layout, self.layout)
                || self.place.size_bits <= old.place.size_bits
                    && match (&old.layout.shape, &self.layout.shape) {
                        (Shape::Array { element: was, .. }, Shape::Array { element: is, .. }) => is_alike(was, is),
                        _ => false,
                    })
    }

    /// True for a member that is there to fill a gap, and that nobody reads.
    pub(crate) fn is_filler(&self) -> bool {
        let name = self.path.rsplit('.').next().unwrap_or_default();
        let lower = name.trim_matches('_').to_ascii_lowercase();
        let rest = ["padding", "pad", "reserved", "rsvd", "unused"].iter().find_map(|word| lower.strip_prefix(word));
        rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'))
    }
}

/// True if both are the same scalars.
pub(crate) fn is_alike(old: &Layout, new: &Layout) -> bool {
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

/// The numbers, arrays and fields of the kernel's that a key or a value is made of, in the order of the declaration; `None` if they are
/// too many.
pub(crate) fn leaves(layout: &Layout) -> Option<Vec<Leaf<'_>>> {
    let mut found = Vec::new();
    collect(layout, None, (String::new(), 0), &mut found)?;
    Some(found)
}

fn collect<'a>(
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
                collect(&flat.member.layout, flat.member.bits, way, found)?;
            }
        }
        Shape::Array { element, len } if has_members(element) => {
            for at in 0..u64::from(*len) {
                collect(element, None, (format!("{path}[{at}]"), offset_bits + at * element.size * 8), found)?;
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
