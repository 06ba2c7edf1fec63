//! The instructions of a conversion, run one by one without a kernel, do what the steps do in user space: on this machine's byte order, and by
//! `tests/big-endian` on the other.

use maplock_layout::conversion::{Bits, Cast, Int, Scale, Step, Steps};

use super::super::emit::asm::{Asm, Helper, Kind, Reg, WIDE};
use super::steps::{Onto, convert};
use crate::sys::Insn;

/// Memory of a program, in three pieces far from each other: the old bytes, the new ones, the frame.
struct Machine {
    memory: [Vec<u8>; 3],
    registers: [u64; 11],
}

const FROM: u64 = 1 << 32;
const TO: u64 = 2 << 32;
const FRAME: u64 = 3 << 32;

impl Machine {
    fn new(from: &[u8], to: &[u8]) -> Self {
        let mut registers = [0xdead_beef_dead_beef; 11];
        (registers[7], registers[8], registers[10]) = (FROM, TO, FRAME + 512);
        Self { memory: [from.to_vec(), to.to_vec(), vec![0xa5; 512]], registers }
    }

    fn at(&mut self, address: u64, len: usize) -> &mut [u8] {
        &mut self.memory[(address >> 32) as usize - 1][address as u32 as usize..][..len]
    }

    fn read(&mut self, address: u64, len: usize) -> u64 {
        assert!(address.is_multiple_of(len as u64), "some kernels take nothing else");
        match *self.at(address, len) {
            [a] => a.into(),
            [a, b] => u16::from_ne_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
            [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            _ => unreachable!("a width"),
        }
    }

    fn write(&mut self, address: u64, len: usize, number: u64) {
        assert!(address.is_multiple_of(len as u64), "some kernels take nothing else");
        let bytes = self.at(address, len);
        match len {
            1 => bytes.copy_from_slice(&(number as u8).to_ne_bytes()),
            2 => bytes.copy_from_slice(&(number as u16).to_ne_bytes()),
            4 => bytes.copy_from_slice(&(number as u32).to_ne_bytes()),
            _ => bytes.copy_from_slice(&number.to_ne_bytes()),
        }
    }

    /// Runs to the end; returns what is in R0 then.
    fn run(&mut self, insns: &[Insn]) -> u64 {
        let mut at = 0;
        loop {
            let Insn { code, dst, src, off, imm } = insns[at];
            at += 1;
            let (dst, other) = (dst as usize, self.registers[src as usize]);
            let is_register = code & 0x08 != 0;
            let operand = if is_register { other } else { i64::from(imm).cast_unsigned() };
            let width = [4, 2, 1, 8][usize::from(code >> 3 & 3)];
            match code & 0x07 {
                _ if code == WIDE => {
                    self.registers[dst] =
                        u64::from(imm.cast_unsigned()) | u64::from(insns[at].imm.cast_unsigned()) << 32;
                    at += 1;
                }
                1 => self.registers[dst] = self.read(other.wrapping_add_signed(off.into()), width),
                2 => self.write(
                    self.registers[dst].wrapping_add_signed(off.into()),
                    width,
                    i64::from(imm).cast_unsigned(),
                ),
                3 => self.write(self.registers[dst].wrapping_add_signed(off.into()), width, other),
                7 => {
                    let is = self.registers[dst];
                    self.registers[dst] = match code >> 4 {
                        0x0 => is.wrapping_add(operand),
                        0x1 => is.wrapping_sub(operand),
                        0x2 => is.wrapping_mul(operand),
                        0x3 => is.checked_div(operand).unwrap_or(0),
                        0x4 => is | operand,
                        0x5 => is & operand,
                        0x6 => is << operand,
                        0x7 => is >> operand,
                        0xa => is ^ operand,
                        0xb => operand,
                        0xc => (is.cast_signed() >> operand).cast_unsigned(),
                        _ => panic!("{:?}", insns[at - 1]),
                    };
                }
                5 if code == 0x95 => return self.registers[0],
                5 if code == 0x85 => {
                    assert_eq!(imm, Helper::ProbeReadKernel as i32);
                    let [_, to, len, from, ..] = self.registers;
                    let bytes = self.at(from, len as usize).to_vec();
                    self.at(to, len as usize).copy_from_slice(&bytes);
                    // What a call spoils.
                    self.registers[1..6].fill(0xbad0_bad0_bad0_bad0);
                    self.registers[0] = 0;
                }
                5 => {
                    let is = self.registers[dst];
                    let goes = match code >> 4 {
                        0x0 => true,
                        0x1 => is == operand,
                        0x2 => is > operand,
                        0x3 => is >= operand,
                        0x5 => is != operand,
                        0x6 => is.cast_signed() > operand.cast_signed(),
                        0xa => is < operand,
                        0xc => is.cast_signed() < operand.cast_signed(),
                        _ => panic!("{:?}", insns[at - 1]),
                    };
                    if goes {
                        at = at.checked_add_signed(off.into()).expect("within the program");
                    }
                }
                _ => panic!("{:?}", insns[at - 1]),
            }
        }
    }
}

/// What the instructions for `steps` make of the bytes; `None` if a number does not fit.
fn interpreted(steps: &Steps, onto: Onto, from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let mut asm = Asm::default();
    let unfit = asm.label();
    convert(&mut asm, steps, onto, unfit);
    asm.mov_imm(Reg::R0, 0);
    asm.exit();
    asm.bind(unfit);
    asm.mov_imm(Reg::R0, 1);
    asm.exit();
    let code = asm.finish("test", Kind::Runnable).expect("it is short");
    let mut machine = Machine::new(from, to);
    (machine.run(&code.insns) == 0).then(|| machine.memory[1][..steps.to_size as usize].to_vec())
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        ((self.0 >> 33) % u64::from(end)) as u32
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.below(one_in) == 0
    }

    /// An integer within the 8 bytes at `at`: a member of its own, or a bit-field.
    fn bits(&mut self, at: u32, signed: bool) -> Bits {
        if self.chance(2) {
            let width = 8 << self.below(4);
            return Bits { offset: at * 8 + width * self.below(64 / width), width, signed };
        }
        let width = 1 + self.below(64);
        Bits { offset: at * 8 + self.below(65 - width), width, signed }
    }

    fn int(&mut self, from: u32, to: u32) -> Int {
        let signed = self.chance(2);
        let becomes = if self.chance(4) { !signed } else { signed };
        let (from, to) = (self.bits(from, signed), self.bits(to, becomes));
        let cast = [Cast::Refuse, Cast::Saturate, Cast::Truncate][self.below(3) as usize];
        let is_unsigned = !from.signed && !to.signed;
        let scale = (is_unsigned && self.chance(3))
            .then(|| Scale { multiply: 1 + self.below(1000), divide: 1 + self.below(1000) });
        let numbers = match scale {
            None if self.chance(4) => (0..3).map(|old| (old, old + 7)).collect(),
            _ => Vec::new(),
        };
        Int { from, to, cast: Some(cast), scale, numbers }
    }

    /// Steps for elements of 64 bytes, which are written in words of 8: see [`Steps::check`].
    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut to = 0;
        while to < 56 {
            let from = self.below(57);
            let step = match self.below(6) {
                0 => Step::Copy { from, to: to + self.below(4), len: 1 + self.below(4) },
                1 => Step::Set { to: to + 1, bytes: vec![self.below(256) as u8, 0, 3] },
                _ => Step::Int(self.int(from / 8 * 8, to)),
            };
            steps.push(step);
            to += 8;
        }
        steps
    }
}

#[test]
fn instructions_convert_as_the_steps_do() {
    let mut dice = Dice(1);
    let (mut fit, mut unfit) = (0, 0);
    for round in 0..3000 {
        let element = dice.steps();
        let steps = match round % 3 {
            0 => Steps { from_size: 64, to_size: 64, steps: element },
            // Arrays in an array, behind a copy that is long enough for a call.
            1 => {
                let of = |count, stride, steps| Step::Repeat {
                    from: 0,
                    from_stride: stride,
                    to: 0,
                    to_stride: stride,
                    count,
                    steps,
                };
                let inner = of(2, 64, element);
                let copy = Step::Copy { from: 3, to: 256, len: 200 };
                Steps { from_size: 456, to_size: 456, steps: vec![of(2, 128, vec![inner]), copy] }
            }
            // Room that is left is as it was, or zero.
            _ => Steps { from_size: 64, to_size: 600, steps: element },
        };
        steps.check().unwrap_or_else(|error| panic!("{error}: {steps:?}"));
        // Small numbers too, which fit more often.
        let sparse = dice.chance(2);
        let mut bytes = |len: u32| -> Vec<u8> {
            (0..len).map(|_| if sparse && !dice.chance(6) { 0 } else { dice.below(256) as u8 }).collect()
        };
        let (from, there) = (bytes(steps.from_size), bytes(steps.to_size));
        let made = interpreted(&steps, Onto::Nothing, &from, &there);
        assert_eq!(made, steps.convert(&from).ok(), "round {round}: {steps:?} of {from:?}");
        let mut over = there.clone();
        let wanted = steps.convert_over(&from, &mut over).ok().map(|()| over);
        assert_eq!(interpreted(&steps, Onto::There, &from, &there), wanted, "round {round}: {steps:?} of {from:?}");
        *(if made.is_some() { &mut fit } else { &mut unfit }) += 1;
    }
    assert!(fit > 300 && unfit > 300, "{fit} fit, {unfit} do not");
}
