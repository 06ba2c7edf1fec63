//! Which old numbers a conversion makes others, where that is known.

use std::collections::BTreeMap;

use super::{Cast, Int, Scale};
use crate::layout::{Enumeration, Layout, Shape};
use crate::listing;

/// What becomes of numbers that do not stay what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bent {
    /// Numbers out of bounds.
    Cast {
        /// The least number that stays; `None` if each small one does.
        least: Option<i128>,
        /// The greatest number that stays; `None` if each large one does. Before it is scaled.
        most: Option<i128>,
        /// What becomes of the others.
        becomes: Cut,
    },
    /// All numbers, which are of another unit.
    Scaled(Scale),
    /// Numbers that become one.
    Joined(Vec<Joined>),
    /// All but the bytes of one arm of a union: the arm.
    Beside(String),
}

/// What becomes of a number that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The nearest number: the least or the greatest there is.
    Nearest(i128, i128),
    /// Its low bits, so many.
    Low(u32),
    /// Some other number: it is scaled, and cut off on the way or after it.
    Other,
}

/// Old numbers that become one. Each is a phrase, such as 2 (`CLOSED`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Two or more.
    pub old: Vec<String>,
    /// What they become.
    pub new: String,
}

/// Most numbers that a phrase names.
const MOST: usize = 4;

impl Bent {
    /// What is known of a conversion that loses something; nothing if it is not all.
    pub(super) fn of(int: &Int, old: &Layout, new: &Layout) -> Vec<Self> {
        if !int.numbers.is_empty() {
            let is_alone = int.scale.is_none() && matches!(int.cast, None | Some(Cast::Refuse));
            let joined = if is_alone { joined(int, old, new) } else { Vec::new() };
            return if joined.is_empty() { Vec::new() } else { vec![Self::Joined(joined)] };
        }
        int.scale.map(Self::Scaled).into_iter().chain(cast(int)).collect()
    }

    /// In words, of a member of a map: a phrase.
    #[must_use]
    pub fn words(&self, name: &str, map: &str) -> String {
        let of = format!("`{name}` of `{map}`");
        match self {
            Self::Cast { least, most, becomes } => {
                let bounds = [least.map(|least| format!("under {least}")), most.map(|most| format!("over {most}"))];
                let numbers = bounds.into_iter().flatten().collect::<Vec<_>>().join(" or ");
                let becomes = match (becomes, least, most) {
                    (Cut::Nearest(low, _), Some(_), None) => format!("become {low}"),
                    (Cut::Nearest(_, high), None, _) => format!("become {high}"),
                    (Cut::Nearest(low, high), ..) => format!("become {low} or {high}"),
                    (Cut::Low(bits), ..) => format!("keep only their low {bits} bits"),
                    (Cut::Other, ..) => "do not fit and become other numbers".to_owned(),
                };
                format!("old numbers {numbers} in {of} {becomes}")
            }
            Self::Scaled(Scale { multiply, divide: 1 }) => format!("{of} is multiplied by {multiply}"),
            Self::Scaled(Scale { multiply: 1, divide }) => format!("{of} is divided by {divide} and rounded down"),
            Self::Scaled(scale) => format!("{of} is multiplied by {scale} and rounded down"),
            Self::Joined(joined) => {
                let Some((first, more)) = joined.split_first() else { return format!("{of} may be inexact") };
                let all = if first.old.len() == 2 { "both" } else { "all" };
                let old = listing::first(first.old.iter().cloned(), MOST, "number");
                let more = match more.len() {
                    0 => String::new(),
                    more => format!(" and likewise for {more} more"),
                };
                format!("old numbers {old} in {of} {all} become {}{more}", first.new)
            }
            Self::Beside(arm) => format!("{of} keeps only the bytes of the old arm `{arm}`"),
        }
    }
}

/// Numbers that do not fit, and what becomes of them.
fn cast(int: &Int) -> Option<Bent> {
    let ((low, high), (least, most)) = (int.from.range(), int.to.range());
    let last = match int.scale {
        // The product has to fit 64 bits on the way.
        Some(Scale { multiply, divide }) => {
            let (multiply, divide) = (i128::from(multiply.max(1)), i128::from(divide.max(1)));
            (((most + 1) * divide - 1) / multiply).min(i128::from(u64::MAX) / multiply)
        }
        None => most,
    };
    let becomes = match int.cast? {
        Cast::Refuse => return None,
        Cast::Saturate => Cut::Nearest(least, most),
        Cast::Truncate if int.scale.is_some() => Cut::Other,
        Cast::Truncate => Cut::Low(int.to.width),
    };
    let bounds = ((low < least).then_some(least), (last < high).then_some(last));
    (bounds != (None, None)).then_some(Bent::Cast { least: bounds.0, most: bounds.1, becomes })
}

/// Enumerators that become one number, and numbers without a name that become one with them.
fn joined(int: &Int, old: &Layout, new: &Layout) -> Vec<Joined> {
    let names = |layout: &Layout| match &layout.shape {
        Shape::Enum(enumeration) => names(enumeration),
        _ => BTreeMap::new(),
    };
    let (before, after) = (names(old), names(new));
    let label = |names: &BTreeMap<i128, Vec<String>>, number: i128| match names.get(&number) {
        Some(names) => format!("{number} ({})", names.join(", ")),
        None => format!("{number} (no name)"),
    };
    let mut by_new: BTreeMap<i128, Vec<i128>> = BTreeMap::new();
    for (old, new) in &int.numbers {
        by_new.entry(int.to.number(*new)).or_default().push(int.from.number(*old));
    }
    let moved: Vec<_> = int.numbers.iter().map(|(old, _)| int.from.number(*old)).collect();
    for (new, olds) in &mut by_new {
        // What nothing is said of stays.
        if int.from.fits(*new) && !moved.contains(new) {
            olds.push(*new);
        }
        olds.sort_unstable();
    }
    let several = by_new.into_iter().filter(|(_, olds)| olds.len() > 1);
    let told = several.map(|(new, olds)| Joined {
        old: olds.into_iter().map(|old| label(&before, old)).collect(),
        new: label(&after, new),
    });
    told.collect()
}

fn names(enumeration: &Enumeration) -> BTreeMap<i128, Vec<String>> {
    let mut names: BTreeMap<i128, Vec<String>> = BTreeMap::new();
    for (name, number) in &enumeration.values {
        names.entry(*number).or_default().push(format!("`{name}`"));
    }
    names
}
