//! Conversion in user space, by the steps.

use std::fmt;

use super::numbers::{load, store};
use super::{Cast, Int, Step, Steps};

/// Bytes that can't be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// A number that does not fit its new place, which the epoch refuses.
    Number {
        /// The number, scaled if it is.
        number: i128,
        /// First bit of its old place, in the key or value; within an array, in the element.
        offset: u32,
        /// Bits of its new place.
        width: u32,
        /// True if that is signed.
        signed: bool,
    },
    /// Bytes of another length than the steps are for.
    Size {
        /// What there is.
        is: usize,
        /// What the steps are for.
        wanted: u32,
    },
    /// A step outside of the bytes.
    Outside,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { number, offset, width, signed } => {
                let kind = if *signed { "signed" } else { "unsigned" };
                write!(f, "{number}, which is at byte {}, does not fit {width} bits, {kind}", offset / 8)
            }
            Self::Size { is, wanted } => write!(f, "{is} bytes, where {wanted} are converted"),
            Self::Outside => f.write_str("the conversion reaches outside of the bytes"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Steps {
    /// The new bytes, of an entry that is made: what no step writes is 0.
    ///
    /// # Errors
    /// If a number does not fit and the epoch refuses that; if `from` has another length than `from_size`.
    pub fn convert(&self, from: &[u8]) -> Result<Vec<u8>, Unfit> {
        // A size that is wrong must not be one that is allocated.
        if self.to_size > super::check::MAX_SIZE {
            return Err(Unfit::Outside);
        }
        let mut to = vec![0; self.to_size as usize];
        self.run(from, &mut to, true)?;
        Ok(to)
    }

    /// Converts `from` over what is in `to`: what the old bytes do not tell stays there.
    ///
    /// # Errors
    /// As [`Self::convert`]; if `to` has another length than `to_size`.
    pub fn convert_over(&self, from: &[u8], to: &mut [u8]) -> Result<(), Unfit> {
        self.run(from, to, false)
    }

    fn run(&self, from: &[u8], to: &mut [u8], fresh: bool) -> Result<(), Unfit> {
        for (is, wanted) in [(from.len(), self.from_size), (to.len(), self.to_size)] {
            if is != wanted as usize {
                return Err(Unfit::Size { is, wanted });
            }
        }
        run(&self.steps, from, to, fresh, 0)
    }
}

fn run(steps: &[Step], from: &[u8], to: &mut [u8], fresh: bool, depth: usize) -> Result<(), Unfit> {
    let range = |at: u32, len: u32| at as usize..(at as usize).saturating_add(len as usize);
    for step in steps {
        match step {
            Step::Copy { from: old, to: new, len } => {
                let old = from.get(range(*old, *len)).ok_or(Unfit::Outside)?;
                to.get_mut(range(*new, *len)).ok_or(Unfit::Outside)?.copy_from_slice(old);
            }
            Step::Int(int) => int.run(from, to)?,
            Step::Set { to: new, bytes } if fresh => {
                let len = u32::try_from(bytes.len()).map_err(|_| Unfit::Outside)?;
                to.get_mut(range(*new, len)).ok_or(Unfit::Outside)?.copy_from_slice(bytes);
            }
            Step::Set { .. } => {}
            Step::Repeat { from: old, from_stride, to: new, to_stride, count, steps } => {
                // Elements without bytes are any number.
                if depth == super::check::MAX_DEPTH || *from_stride == 0 || *to_stride == 0 {
                    return Err(Unfit::Outside);
                }
                let at = |start: u32, stride: u32, turn: u32| {
                    let start = u64::from(start) + u64::from(stride) * u64::from(turn);
                    usize::try_from(start).map_err(|_| Unfit::Outside)
                };
                for turn in 0..*count {
                    let (old, new) = (at(*old, *from_stride, turn)?, at(*new, *to_stride, turn)?);
                    let element = from.get(old..).and_then(|from| from.get(..*from_stride as usize));
                    let target = to.get_mut(new..).and_then(|to| to.get_mut(..*to_stride as usize));
                    let (Some(element), Some(target)) = (element, target) else { return Err(Unfit::Outside) };
                    run(steps, element, target, fresh, depth + 1)?;
                }
            }
        }
    }
    Ok(())
}

impl Int {
    fn run(&self, from: &[u8], to: &mut [u8]) -> Result<(), Unfit> {
        let bits = load(from, self.from).ok_or(Unfit::Outside)?;
        let bits = self.numbers.iter().find(|(old, _)| *old == bits).map_or(bits, |(_, new)| *new);
        let mut number = self.from.number(bits);
        if let Some(scale) = self.scale {
            let product = number * i128::from(scale.multiply);
            let keeps_low_bits = matches!(self.cast, None | Some(Cast::Truncate));
            number = match u64::try_from(product) {
                Err(_) if keeps_low_bits => i128::from(product as u64) / i128::from(scale.divide.max(1)),
                // What does not fit 64 bits on the way fits no place either.
                Err(_) => product,
                Ok(product) => i128::from(product) / i128::from(scale.divide.max(1)),
            };
        }
        if !self.to.fits(number) {
            number = match self.cast {
                Some(Cast::Saturate) => number.clamp(self.to.range().0, self.to.range().1),
                Some(Cast::Refuse) => {
                    let (offset, width, signed) = (self.from.offset, self.to.width, self.to.signed);
                    return Err(Unfit::Number { number, offset, width, signed });
                }
                None | Some(Cast::Truncate) => number,
            };
        }
        store(to, self.to, number as u64).ok_or(Unfit::Outside)
    }
}
