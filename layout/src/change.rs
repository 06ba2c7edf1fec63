//! What differs, as parts: [`sentence`](crate::Finding::message) makes words of it.

use crate::digest::Digest;
use crate::map::{MapDef, MapType, Pinning};
use crate::place::Place;

/// What of a map a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// How many templates deep: 0 is the map itself, 1 that of the maps that it holds.
    pub inner: usize,
    /// The map, or its key or value.
    pub part: Part,
    /// The way into the key or value.
    pub steps: Vec<Step>,
}

/// A map as a whole, its key or its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The map.
    Map,
    /// Its key.
    Key,
    /// Its value.
    Value,
}

/// One step into a key or value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// To a member, or to an enumerator.
    Member(String),
    /// To the elements of an array.
    Element,
}

impl Subject {
    /// A map as a whole.
    pub const MAP: Self = Self { inner: 0, part: Part::Map, steps: Vec::new() };

    /// Its key or value, or itself.
    #[must_use]
    pub fn part(&self, part: Part) -> Self {
        Self { part, steps: Vec::new(), ..self.clone() }
    }

    /// Behind one more step.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// True for a map itself, and not a template.
    #[must_use]
    pub fn is_map(&self) -> bool {
        *self == Self::MAP
    }

    /// The name that a declaration has for it: a member's or an enumerator's. None for a key, a value or a map.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Member(name) => Some(name.as_str()),
            Step::Element => None,
        })
    }

    /// True if it is in elements of an array, one of many.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.steps.contains(&Step::Element)
    }

    /// The same place under another last name.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Self {
        let mut other = self.clone();
        if let Some(last) = other.steps.iter_mut().rfind(|step| **step != Step::Element) {
            *last = Step::Member(name.to_owned());
        }
        other
    }
}

/// A type, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// As C spells it.
    pub spelling: String,
    /// The bits that it takes.
    pub place: Place,
}

/// A map's measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Its type.
    pub map_type: MapType,
    /// Its capacity.
    pub max_entries: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
}

impl Outline {
    /// That of a map.
    #[must_use]
    pub fn of(def: &MapDef) -> Self {
        let MapDef { map_type, max_entries, key_size, value_size, .. } = *def;
        Self { map_type, max_entries, key_size, value_size }
    }
}

/// What differs between two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "`old` and `new` are the two sides")]
pub enum Change {
    /// A map that one side has.
    Map { old: Option<Outline>, new: Option<Outline> },
    /// A map under another name: both.
    MapRenamed { old: String, new: String },
    /// A template of the maps that the map holds, which one side has.
    Template { old: Option<Outline>, new: Option<Outline> },
    /// Whether the map counts as pinned at all.
    Pinned { new: bool },
    /// The map's type.
    Type { old: MapType, new: MapType },
    /// Its capacity.
    MaxEntries { old: u32, new: u32 },
    /// That of a template, which maps that are in the map already do not get.
    InnerCapacity { old: u32, new: u32 },
    /// Its capacity, which the map does not get, and why.
    CapacityStays { old: u32, new: u32, because: String },
    /// Its capacity, which the daemon sets on the side that has 0.
    CapacityAtRunTime { old: u32, new: u32 },
    /// Its flags, as the kernel has them.
    Flags { old: u32, new: u32 },
    /// What depends on its type.
    MapExtra { old: u64, new: u64 },
    /// How it is pinned.
    Pinning { old: Pinning, new: Pinning },
    /// Nothing is told of a type but its bytes.
    Untyped { new: u64 },
    /// Rust may lay a type out anew: which member of it shows that, and why.
    Unpromised { new: String, member: String, because: &'static str },
    /// The kernel refuses the types of a map with such a key.
    TypesDropped { new: String, because: &'static str },
    /// A type is told now, where it was only bytes.
    TypeTold { old: u64, new: String },
    /// No type is told any more, only bytes.
    TypeUntold { old: String, new: u64 },
    /// The version of what the same bytes mean; of a struct, with its spelling. 0 if none was ever given.
    Meaning { old: u32, new: u32, of: Option<String> },
    /// Bytes of a key, a value or a struct.
    Size { old: u64, new: u64 },
    /// Bytes from one element of an array to the next; the subject is the element.
    Stride { old: u64, new: u64 },
    /// The words for the same type.
    Spelling { old: String, new: String },
    /// Elements of an array, each with the whole array.
    Length { old: (u32, Typed), new: (u32, Typed) },
    /// Another type; of numbers, which are wider or narrower.
    Retyped { old: Typed, new: Typed, are_numbers: bool },
    /// Bits of a bit-field.
    Width { old: Typed, new: Typed },
    /// A member or an arm of a union that one side has.
    Added { new: Typed, in_union: bool },
    /// As above.
    Removed { old: Typed, in_union: bool },
    /// A member of 0 bytes, as it is spelled on the sides that have it.
    Empty { old: Option<String>, new: Option<String> },
    /// A member under another name.
    Renamed { old: (String, Place), new: (String, Place) },
    /// A member in another place.
    Moved { old: Place, new: Place },
    /// An enumerator's number, on the sides that have it.
    Enumerator { old: Option<i128>, new: Option<i128> },
    /// An enumerator under another name.
    EnumeratorRenamed { old: String, new: String, number: i128 },
    /// Members that programs only add to, and that nothing says how to merge: the path of each, as in [`sum_places`](crate::sum_places), and
    /// where it is.
    Counted { members: Vec<(String, Subject)> },
    /// An epoch from which nothing leads to today's definition.
    Stale { from: Digest, old: Digest, new: Digest },
    /// Two objects that define a map differently, and the first difference.
    Conflict { old: String, new: String, difference: Option<Box<Self>> },
    /// More than anybody reads; not all was looked at.
    TooMuch { looked_at: usize },
}

impl Change {
    /// The bits that hold either side, if the change is about bytes. A size is that of all of `subject`.
    #[must_use]
    pub fn places(&self, subject: &Subject) -> (Option<Place>, Option<Place>) {
        let whole = |bytes: u64| Some(Place { offset_bits: 0, size_bits: bytes * 8 });
        match self {
            Self::Size { old, new } if subject.steps.is_empty() => (whole(*old), whole(*new)),
            Self::Length { old, new } => (Some(old.1.place), Some(new.1.place)),
            Self::Retyped { old, new, .. } | Self::Width { old, new } => (Some(old.place), Some(new.place)),
            Self::Added { new, .. } => (None, Some(new.place)),
            Self::Removed { old, .. } => (Some(old.place), None),
            Self::Renamed { old, new } => (Some(old.1), Some(new.1)),
            Self::Moved { old, new } => (Some(*old), Some(*new)),
            _ => (None, None),
        }
    }
}
