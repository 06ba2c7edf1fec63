//! Parts of programs that go through values, step by step, and settle them.

use super::super::pieces::{Run, UNROLLED, widths};
use super::asm::Reg::{R0, R1, R2, R3, R4, R5, R7, R8, R9, R10};
use super::asm::{If, Label, Reg, Size};
use super::inputs::{Count, Cpus};
use super::writer::{Writer, at};
use crate::sys::Map;

impl Writer<'_> {
    pub(in crate::transfer) fn zero_sums(&mut self, value: Reg) {
        self.each_sum(value, |w, run| w.asm.store_imm(Size::of(run.width), R2, 0, 0));
    }

    /// Does `body` for each step, with R1 as its offset.
    pub(in crate::transfer) fn each_step(&mut self, runs: &[Run], mut body: impl FnMut(&mut Self, Run)) {
        for run in runs {
            let (start, end, width) = (run.start.cast_signed(), run.end.cast_signed(), run.width.cast_signed());
            let next = self.asm.label();
            self.asm.mov_imm(R1, start);
            self.asm.bind(next);
            body(self, *run);
            if run.end - run.start > run.width {
                self.asm.add_imm(R1, width);
                self.asm.jump_if_imm(R1, If::Lt, end, next);
            }
        }
    }

    /// Does `body` for each member that is added up, with its address in R2.
    pub(in crate::transfer) fn each_sum(&mut self, value: Reg, mut body: impl FnMut(&mut Self, Run)) {
        let pieces = self.maps.pieces;
        self.each_step(&pieces.sums, |w, run| {
            w.asm.mov(R2, value);
            w.asm.add(R2, R1);
            body(w, run);
        });
    }

    pub(in crate::transfer) fn each_word(&mut self, body: impl FnMut(&mut Self, Run)) {
        let pieces = self.maps.pieces;
        self.each_step(&pieces.words, body);
    }

    /// Loads the step at R1 of two values. R2 is its address in the second.
    pub(in crate::transfer) fn load_both(&mut self, run: Run, value: Reg, dst: Reg, other: Reg, other_dst: Reg) {
        for (value, dst) in [(value, dst), (other, other_dst)] {
            self.asm.mov(R2, value);
            self.asm.add(R2, R1);
            self.asm.load(Size::of(run.width), dst, R2, 0);
        }
    }

    pub(in crate::transfer) fn clear_flags(&mut self) {
        for flag in [at::ADDED, at::OLD_CHANGED, at::NEW_CHANGED] {
            self.asm.store_imm(Size::B8, R10, flag, 0);
        }
    }

    /// Adds `reg` to what makes a flag, without a branch: the verifier walks a loop once for each way through it.
    pub(in crate::transfer) fn gather(&mut self, reg: Reg, flag: i16) {
        self.asm.load(Size::B8, R5, R10, flag);
        self.asm.or(R5, reg);
        self.asm.store(Size::B8, R10, flag, R5);
    }

    /// A flag for a value with counts.
    pub(in crate::transfer) fn gather_sums(&mut self, value: Reg, flag: i16) {
        self.each_sum(value, |w, run| {
            w.asm.load(Size::of(run.width), R0, R2, 0);
            w.gather(R0, flag);
        });
    }

    /// Goes on where the value has counts.
    pub(in crate::transfer) fn jump_unless_counted(&mut self, value: Reg, to: Label) {
        self.asm.mov_imm(R3, 0);
        self.each_sum(value, |w, run| {
            w.asm.load(Size::of(run.width), R0, R2, 0);
            w.asm.or(R3, R0);
        });
        self.asm.jump_if_imm(R3, If::Eq, 0, to);
    }

    /// A flag for values that differ in words.
    pub(in crate::transfer) fn gather_differences(&mut self, one: Reg, other: Reg, flag: i16) {
        self.each_word(|w, run| {
            w.load_both(run, one, R4, other, R0);
            w.asm.xor(R0, R4);
            w.gather(R0, flag);
        });
    }

    pub(in crate::transfer) fn jump_unless(&mut self, flag: i16, to: Label) {
        self.asm.load(Size::B8, R1, R10, flag);
        self.asm.jump_if_imm(R1, If::Eq, 0, to);
    }

    /// Moves what the old value counted to the new one: takes it out, then adds it.
    pub(in crate::transfer) fn move_sums(&mut self) {
        self.each_sum(R7, |w, run| {
            let (next, size) = (w.asm.label(), Size::of(run.width));
            w.asm.load(size, R0, R2, 0);
            w.gather(R0, at::ADDED);
            w.asm.jump_if_imm(R0, If::Eq, 0, next);
            if run.atomic {
                w.asm.mov_imm(R0, 0);
                w.asm.exchange(size, R2, 0, R0);
            } else {
                w.asm.store_imm(size, R2, 0, 0);
            }
            w.asm.mov(R2, R8);
            w.asm.add(R2, R1);
            w.add_count(run);
            w.asm.bind(next);
        });
    }

    /// Adds R0 to the count at R2.
    pub(in crate::transfer) fn add_count(&mut self, run: Run) {
        let size = Size::of(run.width);
        if run.atomic {
            self.asm.atomic_add(size, R2, 0, R0);
        } else {
            self.asm.load(size, R3, R2, 0);
            self.asm.add(R3, R0);
            self.asm.store(size, R2, 0, R3);
        }
    }

    /// Three ways: where old programs changed the entry since the snapshot and new ones did not, it follows the old one. The
    /// snapshot does in any case, so that a second settling changes nothing.
    pub(in crate::transfer) fn settle_words(&mut self) {
        if self.maps.pieces.is_additive() {
            return;
        }
        let (end, follow, nothing) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.gather_differences(R7, R9, at::OLD_CHANGED);
        self.jump_unless(at::OLD_CHANGED, nothing);
        self.gather_differences(R8, R9, at::NEW_CHANGED);
        self.jump_unless(at::NEW_CHANGED, follow);
        self.follow(R9);
        self.asm.jump(end);
        self.asm.bind(follow);
        self.each_word(|w, run| {
            w.load_both(run, R7, R4, R9, R0);
            w.asm.store(Size::of(run.width), R2, 0, R4);
            w.exchange_word(run);
        });
        self.asm.bind(end);
        self.asm.bind(nothing);
    }

    /// The new map's word, of the value in R8, becomes R4 where it is R0; a flag where it was not.
    pub(in crate::transfer) fn exchange_word(&mut self, run: Run) {
        let (size, changed) = (Size::of(run.width), self.asm.label());
        self.asm.mov(R3, R0);
        self.asm.mov(R2, R8);
        self.asm.add(R2, R1);
        if run.atomic {
            self.asm.compare_exchange(size, R2, 0, R4);
        } else {
            self.asm.load(size, R0, R2, 0);
            self.asm.jump_if(R0, If::Ne, R3, changed);
            self.asm.store(size, R2, 0, R4);
            self.asm.bind(changed);
        }
        self.asm.xor(R0, R3);
        self.gather(R0, at::NEW_CHANGED);
    }

    /// Gathers in R3 where so many bytes of two differ: 0 where they don't.
    pub(in crate::transfer) fn each_difference(&mut self, one: Reg, other: Reg, size: u32) {
        if size <= UNROLLED {
            for (at, width) in widths(size) {
                self.asm.load(Size::of(width), R1, one, at);
                self.asm.load(Size::of(width), R2, other, at);
                self.asm.xor(R1, R2);
                self.asm.or(R3, R1);
            }
            return;
        }
        let whole = size / 8 * 8;
        let runs = [(0, whole, 8), (whole, size, 1)].into_iter().filter(|(start, end, _)| start < end);
        for (start, end, width) in runs {
            let run = Run { start, end, width, signed: false, atomic: false };
            self.each_step(&[run], |w, run| {
                w.load_both(run, one, R4, other, R0);
                w.asm.xor(R0, R4);
                w.asm.or(R3, R0);
            });
        }
    }

    /// So many zeros to `dst`.
    pub(in crate::transfer) fn copy_from_zeros(&mut self, dst: Reg, size: u32) {
        self.asm.map_value(R4, self.maps.zeros);
        self.asm.mov(R9, R4);
        self.copy_bytes(dst, R9, size);
    }

    /// The snapshot in `base` becomes what the old value is.
    pub(in crate::transfer) fn follow(&mut self, base: Reg) {
        self.each_word(|w, run| {
            w.load_both(run, R7, R4, base, R0);
            w.asm.store(Size::of(run.width), R2, 0, R4);
        });
    }

    /// The counts of an entry that new programs deleted.
    pub(in crate::transfer) fn drop_counts(&mut self) {
        self.gather_sums(R7, at::ADDED);
        self.zero_sums(R7);
        self.count_where(at::ADDED, Count::Dropped);
    }

    /// Counts the entry where it has that flag.
    pub(in crate::transfer) fn count_where(&mut self, flag: i16, count: Count) {
        let none = self.asm.label();
        self.jump_unless(flag, none);
        self.count(count);
        self.asm.bind(none);
    }

    /// Counts what became of the entry, by all of its flags.
    pub(in crate::transfer) fn count_flags(&mut self) {
        let (not_changed, changed, end) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.count_where(at::ADDED, Count::Added);
        self.jump_unless(at::OLD_CHANGED, not_changed);
        self.jump_unless(at::NEW_CHANGED, changed);
        self.count(Count::KeptNew);
        self.asm.jump(end);
        self.asm.bind(changed);
        self.count(Count::Changed);
        self.asm.bind(not_changed);
        self.asm.bind(end);
    }

    /// Goes on where the new map's entry has no counts, and its words are those of `base`; else to `changed`.
    pub(in crate::transfer) fn unchanged(&mut self, base: Option<&Map>, changed: Label) {
        let maps = self.maps;
        let cpus = if maps.per_cpu { Cpus::Range(0..maps.possible_cpus) } else { Cpus::Own };
        let unchanged = self.asm.label();
        self.clear_flags();
        self.each_cpu(&cpus, |w, cpus| {
            let look = |w: &mut Self, dst, map| {
                if w.maps.per_cpu { w.lookup_cpu(dst, map, cpus, changed) } else { w.lookup(dst, map, changed) }
            };
            look(w, R8, maps.to);
            w.gather_sums(R8, at::NEW_CHANGED);
            if let Some(base) = base {
                look(w, R9, base);
                w.gather_differences(R8, R9, at::NEW_CHANGED);
            }
        });
        self.jump_unless(at::NEW_CHANGED, unchanged);
        self.asm.jump(changed);
        self.asm.bind(unchanged);
    }
}
