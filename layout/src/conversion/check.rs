//! Whether steps can be done: all within the bytes, and none over another.

use std::fmt;

use super::{Bits, Cast, Int, Step, Steps};

/// How deep arrays may be nested.
pub(super) const MAX_DEPTH: usize = 4;
/// Most steps of a key or value, those in arrays counted once.
pub(super) const MAX_STEPS: usize = 65_536;
/// Most bytes of a key or value.
pub(super) const MAX_SIZE: u32 = 1 << 28;

/// Why steps can't be done: the first that is wrong, as a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepsError(String);

impl fmt::Display for StepsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StepsError {}

impl Steps {
    /// Checks that each step reads and writes within the bytes, that no two write the same bits, that a number without a
    /// cast always fits, and that all is within what the programs that run them can do.
    ///
    /// # Errors
    /// The first that is wrong, in words.
    pub fn check(&self) -> Result<(), StepsError> {
        for (what, size) in [("old", self.from_size), ("new", self.to_size)] {
            if size > MAX_SIZE {
                return Err(StepsError(format!("{size} bytes on the {what} side, over {MAX_SIZE}")));
            }
        }
        if count(&self.steps) > MAX_STEPS {
            return Err(StepsError(format!("over {MAX_STEPS} steps")));
        }
        check(&self.steps, self.from_size, self.to_size, 0).map_err(StepsError)
    }
}

fn count(steps: &[Step]) -> usize {
    steps.iter().fold(0, |sum, step| match step {
        Step::Repeat { steps, .. } => sum.saturating_add(1).saturating_add(count(steps)),
        _ => sum.saturating_add(1),
    })
}

fn check(steps: &[Step], from_size: u32, to_size: u32, depth: usize) -> Result<(), String> {
    let within = |what: &str, at: u32, len: u64, size: u32| {
        let fits = u64::from(at) + len <= u64::from(size);
        if fits && len > 0 { Ok(()) } else { Err(format!("{len} bytes {what} at {at}, where {size} are")) }
    };
    let mut written = Vec::with_capacity(steps.len());
    for step in steps {
        match step {
            Step::Copy { from, to, len } => {
                within("read", *from, u64::from(*len), from_size)?;
                within("written", *to, u64::from(*len), to_size)?;
            }
            Step::Int(int) => int.check(from_size, to_size)?,
            Step::Set { to, bytes } => within("written", *to, bytes.len() as u64, to_size)?,
            Step::Repeat { from, from_stride, to, to_stride, count, steps } => {
                if depth == MAX_DEPTH {
                    return Err(format!("arrays are nested over {MAX_DEPTH} deep"));
                }
                let len = |stride: u32| u64::from(stride) * u64::from(*count);
                within("read", *from, len(*from_stride), from_size)?;
                within("written", *to, len(*to_stride), to_size)?;
                check(steps, *from_stride, *to_stride, depth + 1)?;
            }
        }
        written.push(step.written());
    }
    written.sort_unstable();
    match written.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        None => Ok(()),
        Some(pair) => Err(format!("bit {} is written twice", pair[1].0)),
    }
}

impl Step {
    /// The bits that it writes, from the first to behind the last; of an array, from its first element to its last.
    pub(super) fn written(&self) -> (u64, u64) {
        let bytes = |at: u32, len: u64| (u64::from(at) * 8, len.saturating_add(at.into()).saturating_mul(8));
        match self {
            Self::Copy { to, len, .. } => bytes(*to, u64::from(*len)),
            Self::Int(int) => (u64::from(int.to.offset), u64::from(int.to.offset) + u64::from(int.to.width)),
            Self::Set { to, bytes: set } => bytes(*to, set.len() as u64),
            Self::Repeat { to, to_stride, count, .. } => bytes(*to, u64::from(*to_stride) * u64::from(*count)),
        }
    }
}

impl Int {
    fn check(&self, from_size: u32, to_size: u32) -> Result<(), String> {
        self.from.check(from_size)?;
        self.to.check(to_size)?;
        if let Some(scale) = self.scale {
            if scale.multiply == 0 || scale.divide == 0 {
                return Err("scaled by or to nothing".to_owned());
            }
            if self.from.signed || self.to.signed || !self.numbers.is_empty() {
                return Err("scaled, though signed or renumbered".to_owned());
            }
        }
        let mut olds: Vec<_> = self.numbers.iter().map(|(old, _)| old).collect();
        olds.sort_unstable();
        if olds.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("one number becomes two".to_owned());
        }
        if self.cast.is_none() && !self.always_fits() {
            return Err(format!("a number of {} does not fit {}, and no cast says what then", self.from, self.to));
        }
        Ok(())
    }

    /// True if each number that can be there fits.
    pub(super) fn always_fits(&self) -> bool {
        let (low, high) = self.from.range();
        let high = match self.scale {
            // 64 bits times 32 are below 2^96; on the way, 64 bits must do.
            Some(scale) => match high * i128::from(scale.multiply) {
                product if product > i128::from(u64::MAX) => return false,
                product => product / i128::from(scale.divide.max(1)),
            },
            None => high,
        };
        let fits = |number: i128| self.to.fits(number);
        fits(low) && fits(high) && self.numbers.iter().all(|(_, new)| fits(self.to.number(*new)))
    }

    /// True if the old number can be had back from the new one.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        let news: std::collections::BTreeSet<_> = self.numbers.iter().map(|(_, new)| new).collect();
        // What a number becomes must be no other's, and none that stays.
        let injective =
            news.len() == self.numbers.len() && news.iter().all(|new| self.numbers.iter().any(|(old, _)| old == *new));
        self.scale.is_none() && matches!(self.cast, None | Some(Cast::Refuse)) && injective
    }
}

impl Bits {
    fn check(self, size: u32) -> Result<(), String> {
        if !(1..=64).contains(&self.width) || self.offset % 8 + self.width > 64 {
            return Err(format!("{self} are not within 8 bytes"));
        }
        if u64::from(self.offset) + u64::from(self.width) > u64::from(size) * 8 {
            return Err(format!("{self}, where {size} bytes are"));
        }
        Ok(())
    }

    /// The least and the greatest number that it holds.
    pub(super) fn range(self) -> (i128, i128) {
        match (self.signed, self.width.min(64)) {
            (false, width) => (0, (1 << width) - 1),
            (true, width) => (-(1 << width.saturating_sub(1)), (1 << width.saturating_sub(1)) - 1),
        }
    }

    /// True for a number that it can hold.
    pub(super) fn fits(self, number: i128) -> bool {
        let (low, high) = self.range();
        (low..=high).contains(&number)
    }

    /// What 64 bits say here.
    pub(super) fn number(self, bits: u64) -> i128 {
        if self.signed { i128::from(bits.cast_signed()) } else { i128::from(bits) }
    }
}

impl std::fmt::Display for Bits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.signed { "signed" } else { "unsigned" };
        write!(f, "{} {sign} bits at {}", self.width, self.offset)
    }
}
