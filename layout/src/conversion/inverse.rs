//! The way back, as far as one leads back.

use super::{Cast, Collide, Conversion, DerivedLeg, Int, Leg, Step, Steps};
use crate::sum::SumPlace;

impl Steps {
    /// What brings the new bytes back to their old places: the part of it that loses nothing. Numbers that were cast or
    /// scaled, members that are new, and those that were given up have no way back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self { from_size: self.to_size, to_size: self.from_size, steps: inverse(&self.steps) }
    }

    /// Where counts of the new value were in the old one: of `sums`, those that were an integer of 4 or 8 bytes there too,
    /// aligned to its size.
    #[must_use]
    pub fn sums_back(&self, sums: &[SumPlace]) -> Vec<SumPlace> {
        let mut places: Vec<_> = sums.iter().filter_map(|sum| source(&self.steps, *sum, 0)).collect();
        places.sort_unstable();
        places
    }
}

fn inverse(steps: &[Step]) -> Vec<Step> {
    let back = |step: &Step| match step {
        Step::Copy { from, to, len } => Some(Step::Copy { from: *to, to: *from, len: *len }),
        Step::Int(int) => int.inverse().map(Step::Int),
        Step::Set { .. } => None,
        Step::Repeat { from, from_stride, to, to_stride, count, steps } => {
            let steps = inverse(steps);
            let (from, from_stride, to, to_stride) = (*to, *to_stride, *from, *from_stride);
            (!steps.is_empty()).then_some(Step::Repeat { from, from_stride, to, to_stride, count: *count, steps })
        }
    };
    let mut steps: Vec<_> = steps.iter().filter_map(back).collect();
    steps.sort_by_key(Step::written);
    steps
}

impl Int {
    fn inverse(&self) -> Option<Self> {
        if !self.is_lossless() {
            return None;
        }
        let numbers = self.numbers.iter().map(|(old, new)| (*new, *old)).collect();
        let back = Self { from: self.to, to: self.from, cast: None, scale: None, numbers };
        // What came from there fits there; what new programs wrote since is what the old ones would have counted.
        let cast = (!back.always_fits()).then_some(Cast::Truncate);
        Some(Self { cast, ..back })
    }
}

fn source(steps: &[Step], sum: SumPlace, depth: usize) -> Option<SumPlace> {
    let end = sum.offset.checked_add(sum.width)?;
    steps.iter().find_map(|step| match step {
        Step::Copy { from, to, len } if *to <= sum.offset && end <= to.checked_add(*len)? => {
            aligned(from.checked_add(sum.offset - to)?, sum)
        }
        Step::Int(int) if int.to.bytes() == Some((sum.offset, sum.width)) => {
            let (at, width) = int.from.bytes()?;
            let there = SumPlace { width, signed: int.from.signed, ..sum };
            if int.is_lossless() && int.numbers.is_empty() { aligned(at, there) } else { None }
        }
        Step::Repeat { from, from_stride, to, to_stride, count, steps } if *to <= sum.offset && *to_stride > 0 => {
            let turn = (sum.offset - to) / to_stride;
            if turn >= *count || depth == super::check::MAX_DEPTH {
                return None;
            }
            let inside = SumPlace { offset: sum.offset - to - turn * to_stride, ..sum };
            let found = source(steps, inside, depth + 1)?;
            aligned(from.checked_add(turn.checked_mul(*from_stride)?)?.checked_add(found.offset)?, found)
        }
        _ => None,
    })
}

fn aligned(offset: u32, sum: SumPlace) -> Option<SumPlace> {
    (matches!(sum.width, 4 | 8) && offset.is_multiple_of(sum.width)).then_some(SumPlace { offset, ..sum })
}

impl DerivedLeg {
    /// The way back: of the key each member, with padding that was not carried as 0, of the value what loses nothing. `None` if
    /// keys can't be brought back.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        // A key of which a member was given up, or cast, may be that of another entry as well.
        let comes_back = match self.collide {
            None => true,
            Some(Collide::Refuse) => self.keeps_key,
            Some(Collide::Sum | Collide::KeepOne) => false,
        };
        let (key, value) = (&self.key, &self.value);
        comes_back.then(|| Self { key: key.inverse(), value: value.inverse(), collide: None, keeps_key: true })
    }
}

impl Conversion {
    /// The way back. `None` if an epoch was written by hand, or keys can't be brought back.
    #[must_use]
    pub fn inverse(&self) -> Option<Self> {
        let back = |leg: &Leg| match leg {
            Leg::Derived(leg) => leg.inverse().map(Leg::Derived),
            Leg::ByHand { .. } => None,
        };
        self.legs.iter().rev().map(back).collect::<Option<_>>().map(|legs| Self { legs })
    }

    /// Where counts of today's value were in the oldest one, over all legs: those that come back without a loss.
    #[must_use]
    pub fn sums_back(&self, sums: &[SumPlace]) -> Vec<SumPlace> {
        let one = |sums: Vec<SumPlace>, leg: &Leg| match leg {
            Leg::Derived(leg) => leg.value.sums_back(&sums),
            Leg::ByHand { .. } => Vec::new(),
        };
        self.legs.iter().rev().fold(sums.to_vec(), one)
    }
}
