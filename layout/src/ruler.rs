//! The bytes of a key or a value before and after a change, span by span: what stays, moved, grew, appeared, and where nothing is.

use crate::layout::{Layout, Shape};
use crate::leaves::{Leaf, is_alike, leaves};

/// The bytes of a key or a value, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruler {
    /// Size of the old bytes.
    pub old_size: u64,
    /// Size of the new bytes.
    pub new_size: u64,
    /// The old bytes, each in one span, in their order.
    pub old: Vec<Span>,
    /// The new bytes, likewise.
    pub new: Vec<Span>,
}

/// Bytes that are one member, several that share them, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// The byte behind the last.
    pub end: u64,
    /// The way to the member; of several that share the bytes, all of them with ` | ` between. Empty for a hole and for a key or value that
    /// is one number.
    pub name: String,
    /// Its type, or their types.
    pub spelling: String,
    /// What becomes of it, or has become.
    pub fate: Fate,
    /// On the new side, where it stood before; on the old side, where it stands now. `None` if it is at the same byte, or is not there.
    pub elsewhere: Option<u64>,
}

/// What a change does to the bytes of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The same bytes.
    Kept,
    /// The same, at another place.
    Moved,
    /// More bytes.
    Grew,
    /// Fewer bytes.
    Shrank,
    /// As many bytes of another type, or in which numbers have other names.
    Retyped,
    /// The same bytes under another name: the name on the other side.
    Renamed(String),
    /// On the new side: it was not there.
    New,
    /// On the old side: it is not there any more.
    Gone,
    /// No member has these bytes.
    Hole,
}

impl Ruler {
    /// Of the two layouts; `None` if one has too many members to look at.
    #[must_use]
    pub fn of(old: &Layout, new: &Layout) -> Option<Self> {
        let (was, is) = (cells(old)?, cells(new)?);
        let marked = |own: &[Cell<'_>], others: &[Cell<'_>], size: u64, is_new: bool| {
            let spans = own.iter().map(|cell| span(cell, own, others, is_new)).collect();
            with_holes(spans, size)
        };
        Some(Self {
            old_size: old.size,
            new_size: new.size,
            old: marked(&was, &is, old.size, false),
            new: marked(&is, &was, new.size, true),
        })
    }

    /// True if both sides say the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let stays = |span: &Span| matches!(span.fate, Fate::Kept | Fate::Hole);
        self.old_size == self.new_size && self.old.iter().chain(&self.new).all(stays)
    }
}

/// Members that share bytes.
struct Cell<'a> {
    start: u64,
    end: u64,
    leaves: Vec<Leaf<'a>>,
}

impl Cell<'_> {
    fn joined(&self, what: impl Fn(&Leaf<'_>) -> String) -> String {
        // Arms of a union may lie at one place under many names.
        const MOST: usize = 4;
        let mut told: Vec<String> = Vec::new();
        for one in self.leaves.iter().map(what) {
            if !told.contains(&one) {
                told.push(one);
            }
        }
        let more = told.len().saturating_sub(MOST);
        told.truncate(MOST);
        if more > 0 {
            told.push(format!("{more} more"));
        }
        told.join(" | ")
    }

    /// Its members' names; of several that are all within one, the name of that.
    fn name(&self) -> String {
        let parent = |leaf: &Leaf<'_>| leaf.path.rsplit_once('.').map(|(parent, _)| parent.to_owned());
        match (self.leaves.len(), parent(&self.leaves[0])) {
            (2.., Some(of)) if self.leaves.iter().all(|leaf| parent(leaf).as_ref() == Some(&of)) => of,
            _ => self.joined(|leaf| leaf.path.clone()),
        }
    }

    /// True if both hold the same members, each at the same bits of its cell and of the same type.
    fn is_like(&self, other: &Self) -> bool {
        let place = |of: &Self, leaf: &Leaf<'_>| leaf.place.offset_bits - of.start * 8;
        self.leaves.len() == other.leaves.len()
            && self.leaves.iter().zip(&other.leaves).all(|(own, its)| {
                own.bits == its.bits
                    && place(self, own) == place(other, its)
                    && is_alike(own.layout, its.layout)
                    && has_numbers_of(own.layout, its.layout)
            })
    }

    fn has_names_of(&self, other: &Self) -> bool {
        self.leaves.len() == other.leaves.len()
            && self.leaves.iter().zip(&other.leaves).all(|(own, its)| own.path == its.path)
    }

    fn shares_a_name(&self, other: &Self) -> bool {
        self.leaves.iter().any(|own| other.leaves.iter().any(|its| its.path == own.path))
    }
}

/// True unless both are enumerations in which a name stands for two numbers.
fn has_numbers_of(own: &Layout, its: &Layout) -> bool {
    match (&own.shape, &its.shape) {
        (Shape::Enum(own), Shape::Enum(its)) => own.values.iter().all(|(name, number)| {
            let other = its.values.iter().find(|(other, _)| other == name);
            other.is_none_or(|(_, other)| other == number)
        }),
        (Shape::Array { element: own, .. }, Shape::Array { element: its, .. }) => has_numbers_of(own, its),
        _ => true,
    }
}

/// The members of a layout, those that share bytes together, in the order of the bytes.
fn cells(layout: &Layout) -> Option<Vec<Cell<'_>>> {
    let mut leaves = leaves(layout)?;
    leaves.sort_by_key(|leaf| leaf.place.offset_bits);
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for leaf in leaves {
        let (start, end) = (leaf.place.offset_bits / 8, leaf.end().div_ceil(8));
        match cells.last_mut() {
            Some(last) if start < last.end => {
                last.end = last.end.max(end);
                last.leaves.push(leaf);
            }
            _ => cells.push(Cell { start, end, leaves: vec![leaf] }),
        }
    }
    Some(cells)
}

fn span(cell: &Cell<'_>, own: &[Cell<'_>], others: &[Cell<'_>], is_new: bool) -> Span {
    // By all of its names, else by one of them: an arm may have been added to a union.
    let named = others.iter().find(|other| other.has_names_of(cell));
    let other = named.or_else(|| others.iter().find(|other| other.shares_a_name(cell)));
    let (fate, elsewhere) = match other {
        Some(other) => {
            let elsewhere = (other.start != cell.start).then_some(other.start);
            let (was, is) = if is_new { (other, cell) } else { (cell, other) };
            let fate = match (is.end - is.start).cmp(&(was.end - was.start)) {
                std::cmp::Ordering::Greater => Fate::Grew,
                std::cmp::Ordering::Less => Fate::Shrank,
                std::cmp::Ordering::Equal if named.is_none() || !cell.is_like(other) => Fate::Retyped,
                std::cmp::Ordering::Equal if elsewhere.is_some() => Fate::Moved,
                std::cmp::Ordering::Equal => Fate::Kept,
            };
            (fate, elsewhere)
        }
        None => {
            let is_free = |other: &&Cell<'_>| !own.iter().any(|own| own.shares_a_name(other));
            let there = others.iter().find(|other| (other.start, other.end) == (cell.start, cell.end));
            let renamed = there.filter(is_free).filter(|other| cell.is_like(other));
            let otherwise = if is_new { Fate::New } else { Fate::Gone };
            (renamed.map_or(otherwise, |other| Fate::Renamed(other.name())), None)
        }
    };
    let (name, spelling) = (cell.name(), cell.joined(|leaf| leaf.spelling()));
    Span { start: cell.start, end: cell.end, name, spelling, fate, elsewhere }
}

/// The spans with those between them, up to the end.
fn with_holes(spans: Vec<Span>, size: u64) -> Vec<Span> {
    let mut all = Vec::with_capacity(spans.len());
    let mut at = 0;
    let hole = |start, end| Span {
        start,
        end,
        name: String::new(),
        spelling: String::new(),
        fate: Fate::Hole,
        elsewhere: None,
    };
    for span in spans {
        if at < span.start {
            all.push(hole(at, span.start));
        }
        at = span.end;
        all.push(span);
    }
    if at < size {
        all.push(hole(at, size));
    }
    all
}
