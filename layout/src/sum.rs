//! Members of a value whose counts can be added up: what `merge = { MEMBER = "sum" }` of an epoch may name.

use std::fmt;
use std::sync::Arc;

use crate::config::did_you_mean;
use crate::layout::{IntKind, Layout, Shape};

/// Most places that one path may stand for.
const MAX_PLACES: u64 = 4096;
/// How many members are looked at, and how many are named, when others than the wrong one are suggested: layouts are
/// shared, so that there may be any number of paths.
const MAX_LOOKED_AT: usize = 4096;
const MAX_NAMED: usize = 12;
/// What a value goes by that is no struct, and so has no members.
pub(crate) const VALUE: &str = "value";

/// A count in a value: an integer, aligned to its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SumPlace {
    /// Bytes from the start of the value.
    pub offset: u32,
    /// Width in bytes: 4 or 8.
    pub width: u32,
    /// True if it may be less than nothing.
    pub signed: bool,
}

/// Why a member can't be summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumError {
    /// What is wrong with the member, which it names with its type.
    pub problem: String,
    /// The paths that could be summed, the first of them if they are many.
    pub qualify: Vec<String>,
}

impl fmt::Display for SumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.qualify.as_slice() {
            [] => write!(f, "{}; no member qualifies", self.problem),
            paths => write!(f, "{}; members that qualify: {}", self.problem, paths.join(", ")),
        }
    }
}

impl std::error::Error for SumError {}

/// The counts that `path` stands for in a value: an integer (not a bool, a char, an enum, a bit-field, or one of a fixed
/// byte order) of 4 or 8 bytes, aligned to its size.
///
/// Members of a struct are named as C does, `stats.bytes`, and elements of an array all at once, `counts[]`. A value that
/// is no struct is called `value`.
///
/// # Errors
/// If there is no such member, or it does not qualify.
pub fn sum_places(value: &Layout, path: &str) -> Result<Vec<SumPlace>, SumError> {
    find(value, path).and_then(|spot| spot.places()).map_err(|problem| SumError { problem, qualify: qualify(value) })
}

/// True if `value` has a member of that path, whether it qualifies or not.
pub(crate) fn has_member(value: &Layout, path: &str) -> bool {
    find(value, path).is_ok()
}

fn find<'a>(value: &'a Layout, path: &str) -> Result<Spot<'a>, String> {
    let mut spot = Spot::of(value);
    for (at, segment) in path.split('.').enumerate() {
        let name = segment.trim_end_matches("[]");
        if at > 0 || spot.layout.composite().is_some() {
            let members = spot.members();
            let Some(found) = members.iter().position(|member| member.name() == name) else {
                let hint = did_you_mean(name, members.iter().map(Spot::name));
                let within = if at == 0 { "the value".to_owned() } else { format!("`{}`", spot.path) };
                return Err(format!("{within} ({}) has no member `{name}`{hint}", spot.layout.spelling()));
            };
            spot = members.into_iter().nth(found).unwrap_or(spot);
        } else if name != VALUE {
            return Err(format!(
                "`{name}` is no member: the value is {}, and called `{VALUE}`",
                spot.layout.spelling()
            ));
        }
        for _ in 0..(segment.len() - name.len()) / 2 {
            let Some(element) = spot.elements() else {
                return Err(format!("`{}` is {}, not an array", spot.path, spot.layout.spelling()));
            };
            spot = element;
        }
    }
    Ok(spot)
}

fn qualify(value: &Layout) -> Vec<String> {
    qualifying(value).map(|spot| spot.path).take(MAX_NAMED).collect()
}

/// The path of the member that has these places, as [`sum_places`] tells them.
pub(crate) fn path_of(value: &Layout, places: &[SumPlace]) -> Option<String> {
    qualifying(value).find(|spot| spot.places().is_ok_and(|of| of == places)).map(|spot| spot.path)
}

/// The members that can be summed.
fn qualifying(value: &Layout) -> impl Iterator<Item = Spot<'_>> {
    let mut waiting = vec![Spot::of(value)];
    let spots = (0..MAX_LOOKED_AT).map_while(move |_| {
        let spot = waiting.pop()?;
        if let Some(elements) = spot.elements() {
            waiting.push(elements);
            return Some(None);
        }
        if spot.layout.composite().is_some() {
            let mut members = spot.members();
            members.truncate(MAX_LOOKED_AT);
            waiting.extend(members.into_iter().rev());
            return Some(None);
        }
        Some(Some(spot).filter(|spot| spot.problem().is_none()))
    });
    spots.flatten()
}

/// A member, or all elements of an array.
struct Spot<'a> {
    path: String,
    layout: &'a Layout,
    /// Bytes from the start of the value; of the first element.
    offset: u64,
    /// Bytes from one element to the next, and how many there are, of each array that it is in.
    arrays: Vec<(u64, u32)>,
    is_bit_field: bool,
    is_in_union: bool,
}

impl<'a> Spot<'a> {
    fn of(value: &'a Layout) -> Self {
        let path = if value.composite().is_some() { "" } else { VALUE }.to_owned();
        Self { path, layout: value, offset: 0, arrays: Vec::new(), is_bit_field: false, is_in_union: false }
    }

    /// The last part of its path.
    fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    fn members(&self) -> Vec<Self> {
        let members = self.layout.composite().map(|composite| composite.flat_members()).unwrap_or_default();
        let of = |flat: crate::layout::FlatMember<'a>| Self {
            path: if self.path.is_empty() {
                flat.member.name.to_string()
            } else {
                format!("{}.{}", self.path, flat.member.name)
            },
            layout: &flat.member.layout,
            offset: self.offset + flat.offset_bits / 8,
            arrays: self.arrays.clone(),
            is_bit_field: flat.member.bits.is_some(),
            is_in_union: self.is_in_union || flat.in_union,
        };
        members.into_iter().map(of).collect()
    }

    fn elements(&self) -> Option<Self> {
        let Shape::Array { element, len } = &self.layout.shape else { return None };
        let mut arrays = self.arrays.clone();
        arrays.push((element.size, *len));
        Some(Self { path: format!("{}[]", self.path), layout: Arc::as_ref(element), arrays, ..*self })
    }

    fn count(&self) -> u64 {
        self.arrays.iter().fold(1, |count, (_, len)| count.saturating_mul(u64::from(*len)))
    }

    /// Why it can't be summed.
    fn problem(&self) -> Option<String> {
        let Self { path, layout, .. } = self;
        let (ty, size) = (layout.spelling(), layout.size);
        let kind = match &layout.shape {
            Shape::Int(IntKind::Unsigned | IntKind::Signed) if self.is_bit_field => "a bit-field",
            Shape::Int(IntKind::Unsigned | IntKind::Signed) => "",
            Shape::Int(IntKind::Bool) => "a bool",
            Shape::Int(IntKind::Char) => "a char",
            Shape::Float => "a floating-point number",
            Shape::Enum(_) => "an enum",
            Shape::Pointer { .. } => "a pointer",
            Shape::Array { .. } => {
                return Some(format!("`{path}` ({ty}) is an array: write `{path}[]` for each of its elements"));
            }
            Shape::Composite(of) => return Some(format!("`{path}` ({ty}) is a {}, not a count", of.kind().keyword())),
            Shape::Opaque { .. } => "nothing that has bytes",
        };
        let problem = if !kind.is_empty() {
            format!("is {kind}, and only integers can be summed")
        } else if !matches!(size, 4 | 8) {
            format!("has {size} byte{}, and only 4 or 8 can be summed at once", if size == 1 { "" } else { "s" })
        } else if layout.typedef.as_deref().is_some_and(|name| name.starts_with("__be") || name.starts_with("__le")) {
            "has a byte order of its own, and only numbers in the machine's can be summed".to_owned()
        } else if self.is_in_union {
            "shares its bytes with others, being in a union".to_owned()
        } else if !self.offset.is_multiple_of(size) {
            format!("is at byte {}, not aligned to its {size} bytes", self.offset)
        } else if let Some((stride, _)) = self.arrays.iter().find(|(stride, _)| !stride.is_multiple_of(size)) {
            format!("is in elements of {stride} bytes, so that not each is aligned to its {size} bytes")
        } else if !(1..=MAX_PLACES).contains(&self.count()) {
            format!("has {} elements, and 1 to {MAX_PLACES} can be summed", self.count())
        } else if self.offset + size > u64::from(u32::MAX) {
            format!("is at byte {}, and values have up to 4 GiB", self.offset)
        } else {
            return None;
        };
        Some(format!("`{path}` ({ty}) {problem}"))
    }

    fn places(&self) -> Result<Vec<SumPlace>, String> {
        if let Some(problem) = self.problem() {
            return Err(problem);
        }
        let mut offsets = vec![self.offset];
        for &(stride, len) in &self.arrays {
            offsets =
                offsets.into_iter().flat_map(|offset| (0..u64::from(len)).map(move |n| offset + n * stride)).collect();
        }
        let (width, signed) = (self.layout.size as u32, self.layout.shape == Shape::Int(IntKind::Signed));
        Ok(offsets.into_iter().map(|offset| SumPlace { offset: offset as u32, width, signed }).collect())
    }
}
