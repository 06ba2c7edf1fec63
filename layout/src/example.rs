//! An entry of a map, made up so that a person sees in it what a change does to entries.

use crate::conversion::{Bits, store};
use crate::layout::{IntKind, Layout, Shape};
use crate::leaves::{Leaf, leaves};
use crate::map::MapDef;

/// An entry that is made up: each number in it is another, small one, and texts are the names of their members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The key.
    pub key: Vec<u8>,
    /// The value; of a per-CPU map, that of one CPU.
    pub value: Vec<u8>,
}

/// Largest key or value of which an example is made.
const LARGEST: u64 = 1 << 16;

impl Example {
    /// One of the entries that `def` describes; `None` if its types are not known, or are too large to show.
    #[must_use]
    pub fn of(def: &MapDef) -> Option<Self> {
        Self::for_reader(def, None)
    }

    /// The same, for programs that read it as `reader` says: a number that is signed to one side alone is negative to that side.
    #[must_use]
    pub fn for_reader(def: &MapDef, reader: Option<&MapDef>) -> Option<Self> {
        let mut next = 1;
        let mut part = |layout: Option<&Layout>, read: Option<&Layout>, size: u32, has_layout: bool| match layout {
            Some(layout) if layout.size <= LARGEST => filled(layout, read, &mut next),
            None if !has_layout || size == 0 => Some(vec![0; size as usize]),
            _ => None,
        };
        let read = |part: fn(&MapDef) -> Option<&Layout>| reader.and_then(part);
        let (key, value) = (read(|def| def.key.as_deref()), read(|def| def.value.as_deref()));
        let key = part(def.key.as_deref(), key, def.key_size, def.key_has_layout())?;
        let value = part(def.value.as_deref(), value, def.value_size, def.value_has_layout())?;
        Some(Self { key, value })
    }
}

fn filled(layout: &Layout, read: Option<&Layout>, next: &mut u64) -> Option<Vec<u8>> {
    let read = read.and_then(leaves).unwrap_or_default();
    let mut bytes = vec![0; usize::try_from(layout.size).ok()?];
    // Of a union, the arm that is declared first.
    let mut taken = 0;
    for leaf in leaves(layout)? {
        if leaf.place.offset_bits < taken || leaf.is_filler() {
            continue;
        }
        taken = leaf.end();
        let is_other = |other: &Leaf<'_>| {
            (other.place, other.bits) == (leaf.place, leaf.bits)
                && is_signed(leaf.layout).zip(is_signed(other.layout)).is_some_and(|(one, two)| one != two)
        };
        let number = if read.iter().any(is_other) { next.wrapping_neg() } else { *next };
        *next += 1;
        fill(&leaf, number, &mut bytes);
    }
    Some(bytes)
}

/// Of a number, or of numbers in a row.
fn is_signed(layout: &Layout) -> Option<bool> {
    match &layout.shape {
        Shape::Array { element, .. } => is_signed(element),
        Shape::Int(kind @ (IntKind::Signed | IntKind::Unsigned)) => Some(*kind == IntKind::Signed),
        _ => None,
    }
}

fn fill(leaf: &Leaf<'_>, number: u64, bytes: &mut [u8]) {
    if let Some(width) = leaf.bits {
        let fits = if width >= 64 { u64::MAX } else { (1 << width) - 1 };
        let place = u32::try_from(leaf.place.offset_bits).map(|offset| Bits { offset, width, signed: false });
        let number = enumerator(leaf.layout).unwrap_or_else(|| number.min(fits));
        _ = place.ok().and_then(|place| store(bytes, place, number));
        return;
    }
    let start = usize::try_from(leaf.place.offset_bits / 8).unwrap_or(usize::MAX);
    let len = usize::try_from(leaf.layout.size).unwrap_or(usize::MAX);
    let Some(bytes) = bytes.get_mut(start..).and_then(|bytes| bytes.get_mut(..len)) else { return };
    let name = leaf.path.rsplit('.').next().unwrap_or_default();
    whole(leaf.layout, name, number, bytes);
}

fn whole(layout: &Layout, name: &str, number: u64, bytes: &mut [u8]) {
    match &layout.shape {
        Shape::Array { element, .. } if matches!(element.shape, Shape::Int(IntKind::Char)) => {
            let room = bytes.len().saturating_sub(1);
            bytes.iter_mut().zip(name.bytes().take(room)).for_each(|(to, from)| *to = from);
        }
        Shape::Array { element, .. } => {
            let size = usize::try_from(element.size).unwrap_or(0).max(1);
            bytes.chunks_exact_mut(size).for_each(|bytes| whole(element, name, number, bytes));
        }
        Shape::Int(IntKind::Bool) => integer(layout, 1, bytes),
        Shape::Int(_) => integer(layout, number, bytes),
        Shape::Enum(_) => integer(layout, enumerator(layout).unwrap_or(number), bytes),
        Shape::Float if bytes.len() == 4 => bytes.copy_from_slice(&(number as f32).to_ne_bytes()),
        Shape::Float if bytes.len() == 8 => bytes.copy_from_slice(&(number as f64).to_ne_bytes()),
        Shape::Pointer { .. } => integer(layout, number, bytes),
        // What the kernel keeps there means nothing to anybody else.
        Shape::Float | Shape::Composite(_) | Shape::Opaque { .. } => {}
    }
}

/// The last enumerator that is no negative number: the one that most changes of an enum give another number.
fn enumerator(layout: &Layout) -> Option<u64> {
    match &layout.shape {
        Shape::Enum(of) => of.values.iter().rev().find_map(|(_, value)| u64::try_from(*value).ok()),
        _ => None,
    }
}

fn integer(layout: &Layout, number: u64, bytes: &mut [u8]) {
    let typedef = layout.typedef.as_deref().unwrap_or_default();
    let is_big = typedef.starts_with("__be") || cfg!(target_endian = "big") && !typedef.starts_with("__le");
    let number = number.to_le_bytes();
    bytes.iter_mut().zip(number).for_each(|(to, from)| *to = from);
    if is_big {
        bytes.reverse();
    }
}
