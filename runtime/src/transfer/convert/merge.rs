//! An entry of the new map, brought from what it was expected to be to what it is to become, while new programs write it.
//!
//! R7 is what it is to become, R8 the new map's value, R9 what that is expected to be, all in the new map's layout.

use super::super::emit::asm::Reg::{R0, R1, R2, R3, R4, R7, R8, R9, R10};
use super::super::emit::asm::{If, Reg, Size};
use super::super::emit::inputs::Count;
use super::super::emit::writer::{Writer, at};
use super::super::pieces::Run;

impl Writer<'_> {
    /// Counts by the difference, and all other words where each of them is as expected.
    pub(super) fn merge(&mut self) {
        if !self.maps.pieces.sums.is_empty() {
            self.asm.store_imm(Size::B8, R10, at::NOT_CARRIED, 0);
            self.add_differences();
            let carried = self.asm.label();
            self.jump_unless(at::NOT_CARRIED, carried);
            self.count(Count::NotCarried);
            self.asm.store_imm(Size::B8, R10, at::ADDED, 0);
            self.asm.bind(carried);
        }
        if self.maps.pieces.is_additive() {
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

    /// Adds to the new map's counts what they are to become, less what they are expected to be. An unsigned one that would go below nothing
    /// stays as it is: see [`Settled::not_carried`](crate::transfer::Settled::not_carried).
    fn add_differences(&mut self) {
        self.each_sum(R7, |w, run| {
            let (next, size) = (w.asm.label(), Size::of(run.width));
            w.asm.load(size, R0, R2, 0);
            w.asm.mov(R2, R9);
            w.asm.add(R2, R1);
            w.asm.load(size, R3, R2, 0);
            w.asm.mov(R4, R0);
            w.asm.sub(R0, R3);
            w.gather(R0, at::ADDED);
            w.asm.jump_if_imm(R0, If::Eq, 0, next);
            w.asm.mov(R2, R8);
            w.asm.add(R2, R1);
            if run.signed {
                w.add_count(run);
                w.asm.bind(next);
                return;
            }
            let (less, add, below) = (w.asm.label(), w.asm.label(), w.asm.label());
            w.asm.jump_if(R4, If::Lt, R3, less);
            w.asm.bind(add);
            w.add_count(run);
            w.asm.jump(next);

            w.asm.bind(less);
            // By more than half of what it can hold: it was full, and began again.
            match run.width {
                4 => w.asm.jump_if_imm(R0, If::SignedLt, i32::MIN, add),
                _ => w.asm.jump_if_imm(R0, If::SignedGt, -1, add),
            }
            w.asm.mov_imm(R4, 0);
            w.asm.sub(R4, R0);
            w.asm.load(size, R3, R2, 0);
            w.asm.jump_if(R3, If::Lt, R4, below);
            if run.atomic {
                // What a new program took away in between is seen by what was there, and then all of it goes back.
                w.asm.fetch_add(size, R2, 0, R0);
                let back = w.asm.label();
                w.asm.jump_if(R0, If::Lt, R4, back);
                w.asm.jump(next);
                w.asm.bind(back);
                w.asm.atomic_add(size, R2, 0, R4);
            } else {
                w.asm.sub(R3, R4);
                w.asm.store(size, R2, 0, R3);
                w.asm.jump(next);
            }
            w.asm.bind(below);
            w.asm.store_imm(Size::B8, R10, at::NOT_CARRIED, 1);
            w.asm.bind(next);
        });
    }

    /// Adds to the new map's counts all of what they are to become.
    pub(super) fn add_sums(&mut self) {
        self.each_sum(R7, |w, run| {
            let (next, size) = (w.asm.label(), Size::of(run.width));
            w.asm.load(size, R0, R2, 0);
            w.gather(R0, at::ADDED);
            w.asm.jump_if_imm(R0, If::Eq, 0, next);
            w.asm.mov(R2, R8);
            w.asm.add(R2, R1);
            w.add_count(run);
            w.asm.bind(next);
        });
    }

    /// Counts an entry whose counts would have changed, and that is gone.
    pub(super) fn drop_differing_counts(&mut self) {
        self.gather_sum_differences(R7, R9, at::ADDED);
        self.count_where(at::ADDED, Count::Dropped);
    }

    /// A flag for values that differ, in words or counts.
    pub(super) fn gather_all_differences(&mut self, one: Reg, other: Reg, flag: i16) {
        self.gather_differences(one, other, flag);
        self.gather_sum_differences(one, other, flag);
    }

    fn gather_sum_differences(&mut self, one: Reg, other: Reg, flag: i16) {
        let pieces = self.maps.pieces;
        self.each_step(&pieces.sums, |w, run: Run| {
            w.load_both(run, one, R4, other, R0);
            w.asm.xor(R0, R4);
            w.gather(R0, flag);
        });
    }
}
