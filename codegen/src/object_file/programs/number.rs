//! Numbers as far as they are known: from here to there, in steps.

/// The numbers that a register can hold, signed or unsigned.
const MIN: i128 = i64::MIN as i128;
const MAX: i128 = u64::MAX as i128;
const MAX32: i128 = u32::MAX as i128;

/// `low`, `low + step`, and so on to `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    pub(super) low: i128,
    pub(super) high: i128,
    /// 0 for one number.
    pub(super) step: i128,
}

impl Number {
    /// Any.
    pub(super) const ANY: Self = Self { low: MIN, high: MAX, step: 1 };

    pub(super) fn of(number: i64) -> Self {
        Self { low: number.into(), high: number.into(), step: 0 }
    }

    /// Any of so many bytes.
    pub(super) fn of_bytes(width: u64) -> Self {
        if width >= 8 { Self::ANY } else { Self { low: 0, high: (1 << (8 * width)) - 1, step: 1 } }
    }

    pub(super) fn one(self) -> Option<i128> {
        (self.low == self.high).then_some(self.low)
    }

    fn between(low: i128, high: i128, step: i128) -> Self {
        if low < MIN || high > MAX {
            return Self::any_in(step, low);
        }
        Self { low, high, step: if low == high { 0 } else { step.max(1) } }
    }

    /// Any number that is so far from `at`, as far as that outlives an overflow.
    fn any_in(step: i128, at: i128) -> Self {
        let step = if step == 0 { 1 } else { step & step.wrapping_neg() };
        Self { low: MIN + at.rem_euclid(step), high: MAX, step }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self::between(self.low + other.low, self.high + other.high, common(self.step, other.step))
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self::between(self.low - other.high, self.high - other.low, common(self.step, other.step))
    }

    fn times(self, by: i128) -> Self {
        match (self.low.checked_mul(by), self.high.checked_mul(by), self.step.checked_mul(by)) {
            (Some(low), Some(high), Some(step)) if by >= 0 => Self::between(low, high, step),
            _ => Self::ANY,
        }
    }

    /// Any two that are put together in any other way.
    fn bits(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        if let (Some(one), Some(other)) = (self.one(), other.one()) {
            return Self {
                low: of(one as u64, other as u64).into(),
                high: of(one as u64, other as u64).into(),
                step: 0,
            };
        }
        let high = self.high.max(other.high);
        match self.low >= 0 && other.low >= 0 && high < MAX / 2 {
            true => Self::between(0, (high as u128 + 1).next_power_of_two() as i128 - 1, 1),
            false => Self::ANY,
        }
    }

    fn masked(self, mask: i128) -> Self {
        if let Some(one) = self.one() {
            return Self::between(i128::from(one as u64 & mask as u64), i128::from(one as u64 & mask as u64), 0);
        }
        let mask = i128::from(mask as u64);
        let is_low_bits = mask & (mask + 1) == 0;
        if self.low >= 0 && self.high <= mask && is_low_bits {
            return self;
        }
        let high = if self.low >= 0 { mask.min(self.high) } else { mask };
        // The bits below the lowest of the mask are 0.
        let step = if mask == 0 { 0 } else { mask & -mask };
        Self::between(0, if step == 0 { 0 } else { high / step * step }, step)
    }

    fn shifted_right(self, by: u32) -> Self {
        if self.low < 0 {
            return Self::between(0, MAX >> by, 1);
        }
        let whole = 1 << by;
        let step = if self.step % whole == 0 && self.low % whole == 0 { self.step / whole } else { 1 };
        Self::between(self.low >> by, self.high >> by, step)
    }

    /// The lower half, and nothing above it.
    pub(super) fn low_half(self) -> Self {
        match self.one() {
            _ if self.low >= 0 && self.high <= MAX32 => self,
            Some(one) => Self::of(i64::from(one as u32)),
            None => {
                let step = self.step & self.step.wrapping_neg();
                let first = self.low.rem_euclid(step.clamp(1, 1 << 32));
                Self::between(first, MAX32, step.clamp(1, 1 << 32))
            }
        }
    }

    /// The lowest bits, with the highest of them as the sign.
    pub(super) fn sign_extended(self, bits: u32) -> Self {
        let half = 1i128 << (bits - 1);
        match self.low >= 0 && self.high < half {
            true => self,
            false => Self::between(-half, half - 1, 1),
        }
    }

    /// What an operation of the ALU makes of two numbers; of 64 bits.
    pub(super) fn computed(self, op: u8, other: Self) -> Self {
        let by = other.one();
        match (op, by) {
            (0x00, _) => self.plus(other),
            (0x10, _) => self.minus(other),
            (0x20, Some(by)) => self.times(by),
            (0x20, None) => self.one().map_or(Self::ANY, |one| other.times(one)),
            (0x30, Some(by)) if by > 0 && self.low >= 0 => Self::between(self.low / by, self.high / by, 1),
            (0x90, Some(by)) if by > 0 && self.low >= 0 => {
                if self.high < by {
                    self
                } else {
                    Self::between(0, by - 1, 1)
                }
            }
            (0x40, _) => self.bits(other, |one, other| one | other),
            (0xa0, _) => self.bits(other, |one, other| one ^ other),
            (0x50, Some(mask)) => self.masked(mask),
            (0x50, None) => self.one().map_or(Self::ANY, |mask| other.masked(mask)),
            (0x60, Some(by)) => self.times(1 << (by & 63)),
            (0x70, Some(by)) => self.shifted_right((by & 63) as u32),
            (0xc0, Some(by)) if self.low >= 0 && self.high < MAX / 2 => self.shifted_right((by & 63) as u32),
            (0xb0, _) => other,
            _ => Self::ANY,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        let apart = (self.low - other.low).abs();
        let step = common(common(self.step, other.step), apart);
        Self::between(self.low.min(other.low), self.high.max(other.high), step)
    }

    /// Both, without a bound if the other goes beyond: what is joined again and again comes to an end so.
    pub(super) fn widened(self, other: Self) -> Self {
        let both = self.or(other);
        let low = if both.low < self.low { MIN + (both.low - MIN) % both.step.max(1) } else { both.low };
        Self::between(low, if both.high > self.high { MAX } else { both.high }, both.step)
    }

    pub(super) fn at_most(self, bound: i128) -> Self {
        match bound < self.low {
            true => self,
            false => {
                let high = self.high.min(bound);
                let step = self.step.max(1);
                Self::between(self.low, high - (high - self.low) % step, self.step)
            }
        }
    }

    pub(super) fn at_least(self, bound: i128) -> Self {
        if bound > self.high || bound <= self.low {
            return self;
        }
        let step = self.step.max(1);
        let low = bound + (self.low - bound).rem_euclid(step);
        if low > self.high { self } else { Self::between(low, self.high, self.step) }
    }

    /// True if it can be read as the other kind of number, and is the same.
    pub(super) fn is_small(self) -> bool {
        self.low >= 0 && self.high <= i128::from(i64::MAX)
    }

    pub(super) fn is_half(self) -> bool {
        self.low >= 0 && self.high <= MAX32
    }
}

/// The greatest step that both are multiples of.
fn common(one: i128, other: i128) -> i128 {
    let (mut one, mut other) = (one.abs(), other.abs());
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(low: i128, high: i128, step: i128) -> Number {
        Number { low, high, step }
    }

    #[test]
    fn an_index_is_bounded_by_its_mask_and_goes_in_steps_of_the_element() {
        let index = Number::ANY.computed(0x50, Number::of(7));
        assert_eq!(index, number(0, 7, 1));
        let bytes = index.computed(0x60, Number::of(4)).plus(Number::of(8));
        assert_eq!(bytes, number(8, 120, 16));
        assert_eq!(bytes.or(Number::of(24)), bytes);
        assert_eq!(bytes.widened(number(8, 136, 16)), number(8, MAX, 16));
    }

    #[test]
    fn what_overflows_is_any_number_with_the_low_bits_that_it_had() {
        let any = Number::ANY.computed(0x60, Number::of(3)).plus(Number::of(4));
        assert_eq!((any.high, any.step, any.low.rem_euclid(8)), (MAX, 8, 4));
        assert_eq!(Number::ANY.computed(0x60, Number::of(32)).computed(0x70, Number::of(32)).low, 0);
    }

    #[test]
    fn a_comparison_bounds_it_from_either_side() {
        assert_eq!(Number::ANY.at_least(0).at_most(5), number(0, 5, 1));
        assert_eq!(number(0, 64, 16).at_most(40).at_least(3), number(16, 32, 16));
    }
}
