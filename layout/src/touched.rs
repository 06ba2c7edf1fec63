//! Which members of a value are met by accesses to its bytes.

use crate::layout::{IntKind, Layout, Shape};
use crate::sum::VALUE;

/// How many members are looked at: layouts are shared, so that there may be any number of paths.
const MAX_LOOKED_AT: usize = 4096;
/// How many elements of one array are looked at. If the steps of an access and those of the array agree, the first ones meet all that
/// the others do.
const MAX_ELEMENTS: usize = 16;

/// Accesses to a value's bytes: one, or one at each step of a way through an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accesses {
    /// Bytes from the start of the value to the first.
    pub first: u64,
    /// Bytes from the start of the value to the last; `None` if nothing bounds them but the value.
    pub last: Option<u64>,
    /// Bytes from one to the next; 0 if there is one only.
    pub step: u64,
    /// Bytes of each.
    pub width: u64,
}

/// A member that accesses meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touched {
    /// Its path, as in [`sum_places`](crate::sum_places).
    pub path: String,
    /// True if each access meets all of it and nothing else, and it is a number.
    pub is_number: bool,
}

/// What accesses meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The members, each one that has no members itself.
    pub members: Vec<Touched>,
    /// False if members behind the array that these are of may be met as well: nothing bounds the accesses there.
    pub is_all: bool,
}

/// The members that are met. `None` if nothing tells: they are too many, or nothing bounds the accesses, not even an array.
#[must_use]
pub fn touched(value: &Layout, accesses: Accesses) -> Option<Met> {
    let fits = |last: &u64| last.checked_add(accesses.width).is_some_and(|end| end <= value.size);
    // The kernel lets no program go beyond the value: what seems to do so is bounded in a way that was not understood.
    let (last, is_all) = match accesses.last.map(|last| last.max(accesses.first)).filter(fits) {
        Some(last) => (last, true),
        None => {
            let end = end_of_array(value, accesses.first)?;
            (end.checked_sub(accesses.width)?, end == value.size)
        }
    };
    if accesses.first > last {
        return None;
    }
    let accesses = Accesses { last: Some(last), step: accesses.step.max(1), ..accesses };
    let mut look = Look { accesses, last, found: Vec::new(), looked_at: 0 };
    let path = if value.composite().is_some() { "" } else { VALUE };
    look.at(value, 0, path)?;
    look.found.sort();
    // Of elements of an array, one that is met in part counts.
    look.found.dedup_by(|later, earlier| {
        let is_same = later.path == earlier.path;
        earlier.is_number &= !is_same || later.is_number;
        is_same
    });
    Some(Met { members: look.found, is_all })
}

/// Where the outermost array ends that has this byte.
fn end_of_array(layout: &Layout, byte: u64) -> Option<u64> {
    match &layout.shape {
        Shape::Array { .. } => Some(layout.size),
        Shape::Composite(of) => of.members().iter().find_map(|member| {
            let start = member.offset_bits / 8;
            let within = byte.checked_sub(start).filter(|within| *within < member.layout.size)?;
            Some(start + end_of_array(&member.layout, within)?)
        }),
        _ => None,
    }
}

struct Look {
    accesses: Accesses,
    last: u64,
    found: Vec<Touched>,
    looked_at: usize,
}

impl Look {
    /// Where the first access begins that meets bytes `start..end`.
    fn meets(&self, start: u64, end: u64) -> Option<u64> {
        let Accesses { first, step, width, .. } = self.accesses;
        let at = match (start + 1).checked_sub(width + first) {
            None | Some(0) => first,
            Some(short) => first + short.div_ceil(step) * step,
        };
        (at <= self.last && at < end && at + width > start).then_some(at)
    }

    fn at(&mut self, layout: &Layout, start: u64, path: &str) -> Option<()> {
        self.looked_at += 1;
        if self.looked_at > MAX_LOOKED_AT {
            return None;
        }
        match &layout.shape {
            Shape::Composite(of) => {
                for flat in of.flat_members() {
                    let from = start + flat.offset_bits / 8;
                    let bits = flat.offset_bits % 8 + flat.member.size_bits();
                    if self.meets(from, from + bits.div_ceil(8)).is_none() {
                        continue;
                    }
                    let name = &flat.member.name;
                    let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                    match flat.member.bits {
                        Some(_) => self.found.push(Touched { path, is_number: false }),
                        None => self.at(&flat.member.layout, from, &path)?,
                    }
                }
                Some(())
            }
            Shape::Array { element, len } => {
                let (end, path) = (start + layout.size, format!("{path}[]"));
                let mut from = start;
                for _ in 0..MAX_ELEMENTS {
                    let Some(at) = self.meets(from, end).filter(|_| element.size > 0) else { return Some(()) };
                    let index = at.saturating_sub(start) / element.size;
                    if index >= u64::from(*len) {
                        return Some(());
                    }
                    // An access that begins before the next element may reach into it.
                    let begin = from.max(start + index * element.size);
                    self.at(element, begin, &path)?;
                    from = begin + element.size;
                }
                // The elements that follow meet what these have met, unless steps and elements go differently.
                let agree =
                    self.accesses.step.is_multiple_of(element.size) || element.size.is_multiple_of(self.accesses.step);
                agree.then_some(())
            }
            shape => {
                let Some(at) = self.meets(start, start + layout.size) else { return Some(()) };
                let is_int = matches!(shape, Shape::Int(IntKind::Unsigned | IntKind::Signed));
                let is_number = is_int && at == start && self.accesses.width == layout.size;
                self.found.push(Touched { path: path.to_owned(), is_number });
                Some(())
            }
        }
    }
}
