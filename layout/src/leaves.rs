//! What a key or a value is made of, down to what has no members.

use crate::kernel_field;
use crate::layout::{Composite, CompositeKind, IntKind, Layout, Shape};
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
    /// The arms of unions that it lies in, from the outside in. Its path does not tell them: structs and unions may have no name.
    pub(crate) arms: Vec<Arm>,
}

/// An arm of a union, around a leaf.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arm {
    /// Which arm it is, of those of the whole key or value.
    pub(crate) number: usize,
    /// Which union it is of.
    pub(crate) union: usize,
    /// The union's bits.
    pub(crate) place: Place,
    /// Length of the path to what names the arm's members.
    scope: usize,
}

impl Leaf<'_> {
    /// The path to the arm that it lies in; of an arm without a name, to the arm's member that it lies in.
    pub(crate) fn root(&self, arm: &Arm) -> &str {
        let name = self.path[arm.scope..].trim_start_matches('.');
        let len = name.find(['.', '[']).unwrap_or(name.len());
        &self.path[..self.path.len() - name.len() + len]
    }

    /// True if a union has them in two of its arms.
    pub(crate) fn is_apart(&self, other: &Self) -> bool {
        let differ = |(one, two): (&Arm, &Arm)| one.union == two.union && one.number != two.number;
        self.arms.iter().zip(&other.arms).any(differ)
    }

    /// Its type as reports write it.
    pub(crate) fn spelling(&self) -> String {
        self.layout.spelling_in(self.bits)
    }

    /// The bit behind its last one.
    pub(crate) fn end(&self) -> u64 {
        self.place.offset_bits + self.place.size_bits
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.is_in(other.place)
    }

    /// True if some of these bits are its.
    pub(crate) fn is_in(&self, place: Place) -> bool {
        self.place.offset_bits < place.offset_bits + place.size_bits && place.offset_bits < self.end()
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
    let mut walk = Walk { found: Vec::new(), around: Vec::new(), count: 0 };
    walk.layout(layout, None, (String::new(), 0))?;
    Some(walk.found)
}

/// A walk through a key or a value.
struct Walk<'a> {
    found: Vec<Leaf<'a>>,
    /// The arms that it is in.
    around: Vec<Arm>,
    /// Unions and arms that it met.
    count: usize,
}

impl<'a> Walk<'a> {
    fn layout(&mut self, layout: &'a Layout, bits: Option<u32>, (path, offset_bits): (String, u64)) -> Option<()> {
        if self.found.len() >= MAX_LEAVES {
            return None;
        }
        let place = Place { offset_bits, size_bits: bits.map_or(layout.size * 8, u64::from) };
        match &layout.shape {
            _ if place.size_bits == 0 => {}
            Shape::Composite(of) if of.kernel_name().is_none() => self.members(of, &path, place)?,
            Shape::Array { element, len } if has_members(element) => {
                for at in 0..u64::from(*len) {
                    self.layout(element, None, (format!("{path}[{at}]"), offset_bits + at * element.size * 8))?;
                }
            }
            _ => self.found.push(Leaf { path, place, bits, layout, arms: self.around.clone() }),
        }
        Some(())
    }

    /// Its members, with those of anonymous structs and unions in their place.
    fn members(&mut self, of: &'a Composite, path: &str, place: Place) -> Option<()> {
        let is_union = of.kind() == CompositeKind::Union;
        self.count += 1;
        let union = self.count;
        for member in of.members() {
            if is_union {
                self.count += 1;
                self.around.push(Arm { number: self.count, union, place, scope: path.len() });
            }
            let offset_bits = place.offset_bits + member.offset_bits;
            match member.promoted() {
                Some(inner) => self.members(inner, path, Place { offset_bits, size_bits: member.size_bits() })?,
                None => {
                    let dot = if path.is_empty() { "" } else { "." };
                    let way = (format!("{path}{dot}{}", member.name), offset_bits);
                    self.layout(&member.layout, member.bits, way)?;
                }
            }
            if is_union {
                self.around.pop();
            }
        }
        Some(())
    }
}

fn has_members(layout: &Layout) -> bool {
    match &layout.shape {
        Shape::Composite(of) => of.kernel_name().is_none(),
        Shape::Array { element, .. } => has_members(element),
        _ => false,
    }
}
