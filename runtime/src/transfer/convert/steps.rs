//! Instructions for the steps of a conversion.

use maplock_layout::conversion::{Bits, Cast, Int, Scale, Step, Steps};

use super::super::emit::asm::Reg::{R0, R1, R2, R3, R7, R8, R10};
use super::super::emit::asm::{Asm, Helper, If, Label, Reg, Size};
use super::super::emit::writer::at;
use super::super::pieces::UNROLLED;

/// Offsets of loads and stores have 16 bits.
pub(super) const MAX_SIZE: u32 = i16::MAX as u32 - 8;

/// How deep arrays of arrays are looped over; each takes a place in the frame.
const MAX_DEPTH: usize = 4;

/// Whether the new bytes are made, or written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onto {
    /// All of them are written: those that no step writes are 0. Room for a multiple of 8 bytes is needed.
    Nothing,
    /// What no step writes stays as it is.
    There,
}

/// Converts the bytes at R7 to those at R8, and goes to `unfit` if a number does not fit. Spoils R0 to R5. The steps are
/// trusted: they were checked against the sizes before.
pub(super) fn convert(asm: &mut Asm, steps: &Steps, onto: Onto, unfit: Label) {
    if onto == Onto::Nothing {
        zero(asm, steps.to_size.next_multiple_of(8));
    }
    Emit { asm, onto, unfit, depth: 0 }.steps(&steps.steps);
}

/// Zeros at R8.
fn zero(asm: &mut Asm, size: u32) {
    if size <= UNROLLED * 4 {
        (0..size).step_by(8).for_each(|at| asm.store_imm(Size::B8, R8, at as i16, 0));
        return;
    }
    let next = asm.label();
    asm.mov_imm(R1, 0);
    asm.bind(next);
    asm.mov(R2, R8);
    asm.add(R2, R1);
    asm.store_imm(Size::B8, R2, 0, 0);
    asm.add_imm(R1, 8);
    asm.jump_if_imm(R1, If::Lt, size.cast_signed(), next);
}

struct Emit<'a> {
    asm: &'a mut Asm,
    onto: Onto,
    unfit: Label,
    /// Of arrays.
    depth: usize,
}

impl Emit<'_> {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Copy { from, to, len } => self.copy(*from, *to, *len),
                Step::Int(int) => self.int(int),
                Step::Set { to, bytes } if self.onto == Onto::Nothing => {
                    for (at, byte) in (*to..).zip(bytes).filter(|(_, byte)| **byte != 0) {
                        self.asm.store_imm(Size::B1, R8, at as i16, i32::from(*byte));
                    }
                }
                Step::Set { .. } => {}
                Step::Repeat { from, from_stride, to, to_stride, count, steps } => {
                    self.repeat((*from, *from_stride), (*to, *to_stride), *count, steps);
                }
            }
        }
    }

    fn copy(&mut self, from: u32, to: u32, len: u32) {
        let is_shifted = (from ^ to) & 7 != 0;
        if len > if is_shifted { UNROLLED / 4 } else { UNROLLED } {
            self.asm.mov(R1, R8);
            self.asm.add_imm(R1, to.cast_signed());
            self.asm.mov_imm(R2, len.cast_signed());
            self.asm.mov(R3, R7);
            self.asm.add_imm(R3, from.cast_signed());
            self.asm.call(Helper::ProbeReadKernel);
            return;
        }
        let mut at = 0;
        while at < len {
            let fits = |width: &u32| {
                at + width <= len && (from + at).is_multiple_of(*width) && (to + at).is_multiple_of(*width)
            };
            let width = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
            self.asm.load(Size::of(width), R1, R7, (from + at) as i16);
            self.asm.store(Size::of(width), R8, (to + at) as i16, R1);
            at += width;
        }
    }

    fn repeat(&mut self, (from, from_stride): (u32, u32), (to, to_stride): (u32, u32), count: u32, steps: &[Step]) {
        if count == 0 {
            return;
        }
        let (old, new) = (|by: u32| by.cast_signed(), |by: u32| by.cast_signed());
        self.asm.add_imm(R7, old(from));
        self.asm.add_imm(R8, new(to));
        let (next, counter) = (self.asm.label(), at::LOOPS - 8 * self.depth as i16);
        self.asm.store_imm(Size::B8, R10, counter, 0);
        self.asm.bind(next);
        self.depth += 1;
        self.steps(steps);
        self.depth -= 1;
        self.asm.add_imm(R7, old(from_stride));
        self.asm.add_imm(R8, new(to_stride));
        self.asm.load(Size::B8, R1, R10, counter);
        self.asm.add_imm(R1, 1);
        self.asm.store(Size::B8, R10, counter, R1);
        self.asm.jump_if_imm(R1, If::Lt, count.cast_signed(), next);
        self.asm.add_imm(R7, -old(from + count * from_stride));
        self.asm.add_imm(R8, -new(to + count * to_stride));
    }

    fn int(&mut self, int: &Int) {
        load(self.asm, int.from);
        let done = self.asm.label();
        for (old, new) in &int.numbers {
            let other = self.asm.label();
            self.asm.mov_wide(R1, *old);
            self.asm.jump_if(R0, If::Ne, R1, other);
            self.asm.mov_wide(R0, *new);
            self.asm.jump(done);
            self.asm.bind(other);
        }
        self.asm.bind(done);
        let cast = int.cast.filter(|cast| *cast != Cast::Truncate);
        if let Some(scale) = int.scale {
            self.scale(scale, int.to, cast);
        }
        if let Some(cast) = cast {
            // Scaled numbers are unsigned.
            self.fit(int.from.signed, int.to, cast);
        }
        store(self.asm, int.to);
    }

    fn scale(&mut self, scale: Scale, to: Bits, cast: Option<Cast>) {
        let Scale { multiply, divide } = scale;
        let end = self.asm.label();
        if multiply > 1 {
            if let Some(cast) = cast {
                let fits = self.asm.label();
                self.asm.mov_wide(R1, u64::MAX / u64::from(multiply) + 1);
                self.asm.jump_if(R0, If::Lt, R1, fits);
                self.too_far(cast, range(to).1, end);
                self.asm.bind(fits);
            }
            self.asm.mov_wide(R1, multiply.into());
            self.asm.mul(R0, R1);
        }
        if divide > 1 {
            self.asm.mov_wide(R1, divide.into());
            self.asm.div(R0, R1);
        }
        self.asm.bind(end);
    }

    /// The number in R0, within what `to` can hold.
    fn fit(&mut self, signed: bool, to: Bits, cast: Cast) {
        let (least, most) = range(to);
        let end = self.asm.label();
        let bounds = if signed {
            let below = (!to.signed || to.width < 64).then_some((If::SignedLt, least));
            let above = (to.width < 64).then_some((If::SignedGt, most));
            [below, above]
        } else {
            // An unsigned number is too large only.
            [None, (to.signed || to.width < 64).then_some((If::Gt, most))]
        };
        for (condition, bound) in bounds.into_iter().flatten() {
            let (beyond, within) = (self.asm.label(), self.asm.label());
            self.asm.mov_wide(R1, bound);
            self.asm.jump_if(R0, condition, R1, beyond);
            self.asm.jump(within);
            self.asm.bind(beyond);
            self.too_far(cast, bound, end);
            self.asm.bind(within);
        }
        self.asm.bind(end);
    }

    fn too_far(&mut self, cast: Cast, bound: u64, end: Label) {
        match cast {
            Cast::Saturate => {
                self.asm.mov_wide(R0, bound);
                self.asm.jump(end);
            }
            Cast::Refuse | Cast::Truncate => self.asm.jump(self.unfit),
        }
    }
}

/// The least and the greatest number that fits, in two's complement.
fn range(bits: Bits) -> (u64, u64) {
    let all = u64::MAX >> (64 - bits.width.clamp(1, 64));
    if bits.signed { (!(all >> 1), all >> 1) } else { (0, all) }
}

/// Where the bytes that hold an integer are, and its place in them as one number: first byte, bytes, shift.
fn span(bits: Bits) -> (u32, u32, u32) {
    let first = bits.offset / 8;
    let len = (bits.offset + bits.width).div_ceil(8) - first;
    let into = bits.offset % 8;
    let shift = if cfg!(target_endian = "little") { into } else { len * 8 - into - bits.width };
    (first, len, shift)
}

/// How far a byte of `len` is shifted in their number.
fn byte_shift(at: u32, len: u32) -> i32 {
    let place = if cfg!(target_endian = "little") { at } else { len - 1 - at };
    (place * 8).cast_signed()
}

/// Loads an integer at R7 into R0, extended to 64 bits.
fn load(asm: &mut Asm, bits: Bits) {
    match bits.bytes() {
        Some((at, width)) if at.is_multiple_of(width) => asm.load(Size::of(width), R0, R7, at as i16),
        _ => {
            let (first, len, shift) = span(bits);
            asm.mov_imm(R0, 0);
            for at in 0..len {
                asm.load(Size::B1, R1, R7, (first + at) as i16);
                shift_left(asm, R1, byte_shift(at, len));
                asm.or(R0, R1);
            }
            // What is above goes, and what is below.
            shift_left(asm, R0, (64 - bits.width - shift).cast_signed());
            shift_right(asm, R0, (64 - bits.width).cast_signed());
        }
    }
    if bits.signed && bits.width < 64 {
        let unused = (64 - bits.width).cast_signed();
        asm.shift_left_imm(R0, unused);
        asm.shift_right_signed_imm(R0, unused);
    }
}

/// Stores R0 as an integer at R8.
fn store(asm: &mut Asm, bits: Bits) {
    if let Some((at, width)) = bits.bytes()
        && at.is_multiple_of(width)
    {
        asm.store(Size::of(width), R8, at as i16, R0);
        return;
    }
    let (first, len, shift) = span(bits);
    let mask = (u64::MAX >> (64 - bits.width)) << shift;
    shift_left(asm, R0, (64 - bits.width).cast_signed());
    shift_right(asm, R0, (64 - bits.width - shift).cast_signed());
    for at in 0..len {
        let by = byte_shift(at, len);
        let own = (mask >> by & 0xff) as i32;
        asm.mov(R1, R0);
        shift_right(asm, R1, by);
        if own != 0xff {
            asm.and_imm(R1, own);
            asm.load(Size::B1, R2, R8, (first + at) as i16);
            asm.and_imm(R2, !own);
            asm.or(R1, R2);
        }
        asm.store(Size::B1, R8, (first + at) as i16, R1);
    }
}

fn shift_left(asm: &mut Asm, reg: Reg, by: i32) {
    if by != 0 {
        asm.shift_left_imm(reg, by);
    }
}

fn shift_right(asm: &mut Asm, reg: Reg, by: i32) {
    if by != 0 {
        asm.shift_right_imm(reg, by);
    }
}

/// True if a program can be made of the steps.
pub(super) fn can_emit(steps: &Steps) -> bool {
    fn depth(steps: &[Step]) -> usize {
        let below = steps.iter().map(|step| match step {
            Step::Repeat { steps, .. } => 1 + depth(steps),
            _ => 0,
        });
        below.max().unwrap_or(0)
    }
    steps.from_size.max(steps.to_size) <= MAX_SIZE && depth(&steps.steps) <= MAX_DEPTH
}
