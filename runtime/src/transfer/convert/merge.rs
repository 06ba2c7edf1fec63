//! An entry of the new map, brought from what it was expected to be to what it is to become, while new programs write it.
//!
//! R7 is what it is to become, R8 the new map's value, R9 what that is expected to be, all in the new map's layout.

use super::super::emit::asm::Reg::{R0, R1, R2, R3, R4, R7, R8, R9, R10};
use super::super::emit::asm::{If, Reg, Size};
use super::super::emit::writer::{Count, Writer, at};
use super::super::shape::Run;

impl Writer<'_> {
    /// Counts by the difference, and all other words where each of them is as expected.
    pub(super) fn merge(&mut self) {
        self.add_sums(Some(R9));
        if self.maps.shape.is_additive() {
            return;
        }
        let end = self.asm.label();
        self.gather_differences(R7, R9, at::OLD_CHANGED);
        self.jump_unless(at::OLD_CHANGED, end);
        self.gather_differences(R8, R9, at::NEW_CHANGED);
        self.asm.load(Size::B8, R1, R10, at::NEW_CHANGED);
        self.asm.jump_if_imm(R1, If::Ne, 0, end);
        self.each_word(|w, run| {
            w.load_both(run, R7, R4, R9, R0);
            w.exchange_word(run);
        });
        self.asm.bind(end);
    }

    /// Adds to the new map's counts what they are to become, less what they are at `less`.
    pub(super) fn add_sums(&mut self, less: Option<Reg>) {
        self.each_sum(R7, |w, run| {
            let (next, size) = (w.asm.label(), Size::of(run.width));
            w.asm.load(size, R0, R2, 0);
            if let Some(less) = less {
                w.asm.mov(R2, less);
                w.asm.add(R2, R1);
                w.asm.load(size, R3, R2, 0);
                w.asm.sub(R0, R3);
            }
            w.gather(R0, at::ADDED);
            w.asm.jump_if_imm(R0, If::Eq, 0, next);
            w.asm.mov(R2, R8);
            w.asm.add(R2, R1);
            if run.atomic {
                w.asm.atomic_add(size, R2, 0, R0);
            } else {
                w.asm.load(size, R3, R2, 0);
                w.asm.add(R3, R0);
                w.asm.store(size, R2, 0, R3);
            }
            w.asm.bind(next);
        });
    }

    /// Counts an entry whose counts would have changed, and that is gone.
    pub(super) fn drop_differing_counts(&mut self) {
        self.gather_sum_differences(R7, R9, at::ADDED);
        let none = self.asm.label();
        self.jump_unless(at::ADDED, none);
        self.count(Count::Dropped);
        self.asm.bind(none);
    }

    /// A flag for values that differ, in words or counts.
    pub(super) fn gather_all_differences(&mut self, one: Reg, other: Reg, flag: i16) {
        self.gather_differences(one, other, flag);
        self.gather_sum_differences(one, other, flag);
    }

    fn gather_sum_differences(&mut self, one: Reg, other: Reg, flag: i16) {
        let shape = self.maps.shape;
        self.each_step(&shape.sums, |w, run: Run| {
            w.load_both(run, one, R4, other, R0);
            w.asm.xor(R0, R4);
            w.gather(R0, flag);
        });
    }
}
