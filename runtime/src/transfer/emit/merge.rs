//! Parts of programs that go through values, step by step, and bring an entry of the new map from what it was expected to be to what it
//! is to become, while new programs write it.
//!
//! R7 is what it is to become, R8 the new map's value, R9 what that is expected to be, all in the new map's layout. If nothing is
//! converted, these are the old map's value and the snapshot's.

use super::super::pieces::{By, LOOPED, Run, UNROLLED, widths};
use super::asm::Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
use super::asm::{Helper, If, Label, Reg, Size};
use super::inputs::Count;
use super::writer::{Writer, at};

impl Writer<'_> {
    /// Does `body` for each step, with R1 as its offset. It uses those of R7 to R9 that are given. Longer ways than [`LOOPED`] are gone by
    /// `bpf_loop` (Linux 5.17): the verifier would walk them step by step.
    fn each_step(&mut self, runs: &[Run], uses: &[Reg], mut body: impl FnMut(&mut Self, Run)) {
        for run in runs {
            if run.end - run.start > LOOPED {
                self.looped(*run, uses, &mut body);
                continue;
            }
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

    fn looped(&mut self, run: Run, uses: &[Reg], body: &mut impl FnMut(&mut Self, Run)) {
        let (function, end) = (self.asm.label(), self.asm.label());
        let saved: Vec<(Reg, i16)> = uses.iter().copied().zip(at::SAVED).collect();
        let steps = ((run.end - run.start) / run.width).cast_signed();
        saved.iter().for_each(|(reg, at)| self.asm.store(Size::B8, R10, *at, *reg));
        self.asm.mov_imm(R1, steps);
        self.asm.callback(R2, function);
        self.asm.mov(R3, R10);
        self.asm.mov_imm(R4, 0);
        self.asm.call(Helper::Loop);

        // R1 is the step, R2 the frame of the program.
        let start = self.asm.here();
        self.asm.bind(function);
        self.asm.mov(R6, R2);
        self.asm.jump_if_imm(R1, If::Ge, steps, end);
        self.asm.mul_imm(R1, run.width.cast_signed());
        self.asm.add_imm(R1, run.start.cast_signed());
        saved.iter().for_each(|(reg, at)| self.asm.load(Size::B8, *reg, R6, *at));
        self.frame = R6;
        body(self, run);
        self.frame = R10;
        self.asm.bind(end);
        self.asm.mov_imm(R0, 0);
        self.asm.exit();
        self.asm.move_behind(start);
    }

    /// Does `body` for each member that is added up, with its address in R2.
    fn each_sum(&mut self, value: Reg, uses: &[Reg], mut body: impl FnMut(&mut Self, Run)) {
        let pieces = self.maps.pieces;
        self.each_step(&pieces.sums, uses, |w, run| {
            w.asm.mov(R2, value);
            w.asm.add(R2, R1);
            body(w, run);
        });
    }

    fn each_word(&mut self, body: impl FnMut(&mut Self, Run)) {
        let pieces = self.maps.pieces;
        self.each_step(&pieces.words, &[R7, R8, R9], body);
    }

    /// Loads the step at R1 of two values. R2 is its address in the second.
    fn load_both(&mut self, run: Run, value: Reg, dst: Reg, other: Reg, other_dst: Reg) {
        for (value, dst) in [(value, dst), (other, other_dst)] {
            self.asm.mov(R2, value);
            self.asm.add(R2, R1);
            self.asm.load(Size::of(run.width), dst, R2, 0);
        }
    }

    pub(in crate::transfer) fn clear_flags(&mut self) {
        for flag in [at::ADDED, at::OLD_CHANGED, at::NEW_CHANGED, at::NOT_CARRIED] {
            self.asm.store_imm(Size::B8, R10, flag, 0);
        }
    }

    /// Adds `reg` to what makes a flag, without a branch: the verifier walks a loop once for each way through it.
    fn gather(&mut self, reg: Reg, flag: i16) {
        self.asm.load(Size::B8, R5, self.frame, flag);
        self.asm.or(R5, reg);
        self.asm.store(Size::B8, self.frame, flag, R5);
    }

    /// A flag for values that differ in words.
    pub(in crate::transfer) fn gather_differences(&mut self, one: Reg, other: Reg, flag: i16) {
        let pieces = self.maps.pieces;
        self.gather_differing(&pieces.words, one, other, flag);
    }

    /// A flag for values that differ, in words or counts.
    pub(in crate::transfer) fn gather_all_differences(&mut self, one: Reg, other: Reg, flag: i16) {
        let pieces = self.maps.pieces;
        self.gather_differing(&pieces.words, one, other, flag);
        self.gather_differing(&pieces.sums, one, other, flag);
    }

    fn gather_differing(&mut self, runs: &[Run], one: Reg, other: Reg, flag: i16) {
        self.each_step(runs, &[one, other], |w, run| {
            w.load_both(run, one, R4, other, R0);
            w.asm.xor(R0, R4);
            w.gather(R0, flag);
        });
    }

    pub(in crate::transfer) fn jump_unless(&mut self, flag: i16, to: Label) {
        self.jump_unless_of(Size::B8, flag, to);
    }

    fn jump_unless_of(&mut self, size: Size, flag: i16, to: Label) {
        self.asm.load(size, R1, R10, flag);
        self.asm.jump_if_imm(R1, If::Eq, 0, to);
    }

    /// Does `body` while the new map's value is locked, if it has a lock that programs of this kind can take: those that write it hold it
    /// then, and count by a load and a store.
    fn locked(&mut self, body: impl FnOnce(&mut Self)) {
        let lock = self.maps.pieces.lock.filter(|lock| lock.is_taken);
        let call = |w: &mut Self, helper| {
            if let Some(lock) = lock {
                w.asm.mov(R1, R8);
                w.asm.add_imm(R1, lock.start.cast_signed());
                w.asm.call(helper);
            }
        };
        call(self, Helper::SpinLock);
        body(self);
        call(self, Helper::SpinUnlock);
    }

    /// Copies the steps of a value.
    pub(in crate::transfer) fn copy_steps(&mut self, dst: Reg, src: Reg) {
        let pieces = self.maps.pieces;
        for runs in [&pieces.words, &pieces.sums] {
            self.each_step(runs, &[dst, src], |w, run| {
                w.load_both(run, src, R4, dst, R0);
                w.asm.store(Size::of(run.width), R2, 0, R4);
            });
        }
    }

    /// Goes on if two values of the maps differ, but for their locks.
    pub(in crate::transfer) fn jump_if_same_value(&mut self, one: Reg, other: Reg, to: Label) {
        if self.maps.pieces.lock.is_none() {
            return self.jump_if_same(one, other, self.maps.from.info().value_size, to);
        }
        self.asm.store_imm(Size::B8, R10, at::DIFFERS, 0);
        self.gather_all_differences(one, other, at::DIFFERS);
        self.jump_unless(at::DIFFERS, to);
    }

    /// Counts by the difference, and all other words if each of them is as expected. What was expected becomes what the entry became, so
    /// that a second settling changes nothing; each word of it is read once, while old programs may write it.
    pub(in crate::transfer) fn merge(&mut self) {
        self.locked(Self::merge_unlocked);
    }

    fn merge_unlocked(&mut self) {
        if !self.maps.pieces.sums.is_empty() {
            self.add_differences();
            let (carried, same) = (self.asm.label(), self.asm.label());
            self.jump_unless_of(Size::B4, at::NOT_CARRIED, carried);
            self.count(Count::NotCarried);
            self.asm.store_imm(Size::B8, R10, at::ADDED, 0);
            self.asm.bind(carried);
            self.jump_unless_of(Size::B4, at::MAYBE_ANOTHER, same);
            self.count_where(at::ADDED, Count::MaybeAnother);
            self.asm.bind(same);
        }
        if self.maps.pieces.is_additive() {
            return;
        }
        let (end, follow) = (self.asm.label(), self.asm.label());
        self.gather_differences(R7, R9, at::OLD_CHANGED);
        self.jump_unless(at::OLD_CHANGED, end);
        self.gather_differences(R8, R9, at::NEW_CHANGED);
        self.jump_unless(at::NEW_CHANGED, follow);
        self.each_word(|w, run| {
            w.load_both(run, R7, R4, R9, R0);
            w.asm.store(Size::of(run.width), R2, 0, R4);
        });
        self.asm.jump(end);
        self.asm.bind(follow);
        self.each_word(|w, run| {
            w.load_both(run, R7, R4, R9, R0);
            w.asm.store(Size::of(run.width), R2, 0, R4);
            w.exchange_word(run);
        });
        self.asm.bind(end);
    }

    /// The new map's word, of the value in R8, becomes R4 if it is R0; a flag if it was not.
    fn exchange_word(&mut self, run: Run) {
        let (size, changed) = (Size::of(run.width), self.asm.label());
        self.asm.mov(R3, R0);
        self.asm.mov(R2, R8);
        self.asm.add(R2, R1);
        if self.maps.pieces.exchanges(run) {
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

    /// Adds to the new map's counts what they are to become, less what they are expected to be. An unsigned one that would go below nothing
    /// stays as it is: see [`Settled::not_carried`](crate::transfer::Settled::not_carried).
    fn add_differences(&mut self) {
        self.each_sum(R7, &[R7, R8, R9], |w, run| {
            let (next, size) = (w.asm.label(), Size::of(run.width));
            w.asm.load(size, R0, R2, 0);
            w.asm.mov(R2, R9);
            w.asm.add(R2, R1);
            w.asm.load(size, R3, R2, 0);
            w.asm.store(size, R2, 0, R0);
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
            let (same, less, add, below) = (w.asm.label(), w.asm.label(), w.asm.label(), w.asm.label());
            w.asm.load(size, R5, R2, 0);
            w.asm.jump_if(R5, If::Ge, R3, same);
            w.asm.store_imm(Size::B4, w.frame, at::MAYBE_ANOTHER, 1);
            w.asm.bind(same);
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
            w.lower_count(run, next, below);
            w.asm.bind(below);
            w.asm.store_imm(Size::B4, w.frame, at::NOT_CARRIED, 1);
            w.asm.bind(next);
        });
    }

    /// Adds R0, which is less than nothing, to the count at R2, and goes on; elsewhere if that is less than it would take.
    fn lower_count(&mut self, run: Run, next: Label, below: Label) {
        let size = Size::of(run.width);
        self.asm.mov_imm(R4, 0);
        self.asm.sub(R4, R0);
        self.asm.load(size, R3, R2, 0);
        self.asm.jump_if(R3, If::Lt, R4, below);
        let by = self.maps.pieces.adds_by(run);
        if by == By::Halves {
            self.lower_halves(next);
        } else if by == By::One && !self.maps.pieces.fetches {
            self.lower_without_fetch(run, next);
        } else if by == By::One {
            // What a new program took away in between is seen by what was there, and then all of it goes back.
            self.asm.fetch_add(size, R2, 0, R0);
            let back = self.asm.label();
            self.asm.jump_if(R0, If::Lt, R4, back);
            self.asm.jump(next);
            self.asm.bind(back);
            self.asm.atomic_add(size, R2, 0, R4);
        } else {
            self.asm.sub(R3, R4);
            self.asm.store(size, R2, 0, R3);
            self.asm.jump(next);
        }
    }

    /// Adds R0, which is -R4, to the count at R2, which was R3 and not less than R4. By what it holds afterwards it is seen whether a new program
    /// took something away in between: then its top bit is set, which was not, and all of it goes back.
    fn lower_without_fetch(&mut self, run: Run, next: Label) {
        let (size, top) = (Size::of(run.width), if run.width == 4 { 31 } else { 63 });
        self.asm.atomic_add(size, R2, 0, R0);
        self.asm.shift_right_imm(R3, top);
        self.asm.jump_if_imm(R3, If::Ne, 0, next);
        self.asm.load(size, R5, R2, 0);
        self.asm.shift_right_imm(R5, top);
        self.asm.jump_if_imm(R5, If::Eq, 0, next);
        self.asm.atomic_add(size, R2, 0, R4);
    }

    /// The same, in halves.
    fn lower_halves(&mut self, next: Label) {
        let has_room = self.asm.label();
        self.asm.shift_right_imm(R3, 63);
        self.asm.jump_if_imm(R3, If::Eq, 0, has_room);
        self.add_halves();
        self.asm.jump(next);
        self.asm.bind(has_room);
        self.add_halves();
        self.asm.load(Size::B8, R5, R2, 0);
        self.asm.shift_right_imm(R5, 63);
        self.asm.jump_if_imm(R5, If::Eq, 0, next);
        self.asm.mov(R0, R4);
        self.add_halves();
    }

    /// Adds R0 to the count of 8 bytes at R2, which lies on 4. Whatever others add to all of it in between, the sum is right afterwards; not so if
    /// they set it. Spoils R0, R3 and R5.
    fn add_halves(&mut self) {
        let (low, high) = if cfg!(target_endian = "little") { (0, 4) } else { (4, 0) };
        self.asm.mov(R5, R0);
        self.asm.shift_left_imm(R5, 32);
        self.asm.shift_right_imm(R5, 32);
        self.asm.mov(R3, R5);
        self.asm.fetch_add(Size::B4, R2, low, R3);
        // What was there and what was added: bit 32 is what the other half gets.
        self.asm.add(R5, R3);
        self.asm.shift_right_imm(R5, 32);
        self.asm.shift_right_imm(R0, 32);
        self.asm.add(R0, R5);
        self.asm.atomic_add(Size::B4, R2, high, R0);
    }

    /// Adds R0 to the count at R2.
    fn add_count(&mut self, run: Run) {
        let size = Size::of(run.width);
        match self.maps.pieces.adds_by(run) {
            By::One => self.asm.atomic_add(size, R2, 0, R0),
            By::Halves => self.add_halves(),
            By::Steps => {
                self.asm.load(size, R3, R2, 0);
                self.asm.add(R3, R0);
                self.asm.store(size, R2, 0, R3);
            }
        }
    }

    /// Adds to the new map's counts all of what they are to become.
    pub(in crate::transfer) fn add_sums(&mut self) {
        self.locked(Self::add_sums_unlocked);
    }

    fn add_sums_unlocked(&mut self) {
        self.each_sum(R7, &[R7, R8], |w, run| {
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

    /// Takes from the new map's counts what they are expected to be: the entry is one of the new programs', and holds what they counted. One
    /// that is lower than that was made anew by them, and stays.
    pub(in crate::transfer) fn take_expected(&mut self) {
        self.locked(Self::take_expected_unlocked);
    }

    fn take_expected_unlocked(&mut self) {
        self.each_sum(R9, &[R8, R9], |w, run| {
            let next = w.asm.label();
            w.asm.load(Size::of(run.width), R3, R2, 0);
            w.asm.mov_imm(R0, 0);
            w.asm.sub(R0, R3);
            w.asm.jump_if_imm(R0, If::Eq, 0, next);
            w.asm.mov(R2, R8);
            w.asm.add(R2, R1);
            if run.signed {
                w.add_count(run);
            } else {
                w.lower_count(run, next, next);
            }
            w.asm.bind(next);
        });
    }

    /// Counts an entry whose counts would have changed, and that is gone.
    pub(in crate::transfer) fn drop_differing_counts(&mut self) {
        let pieces = self.maps.pieces;
        self.gather_differing(&pieces.sums, R7, R9, at::ADDED);
        self.count_where(at::ADDED, Count::Dropped);
    }

    /// Goes on if so many bytes of two differ.
    pub(in crate::transfer) fn jump_if_same(&mut self, one: Reg, other: Reg, size: u32, to: Label) {
        if size > UNROLLED {
            self.asm.store_imm(Size::B8, R10, at::DIFFERS, 0);
            let whole = size / 8 * 8;
            let run = |start, end, width| Run { start, end, width, signed: false, by: By::Steps };
            let runs = [run(0, whole, 8), run(whole, size, 1)];
            self.gather_differing(&runs[..1 + usize::from(whole < size)], one, other, at::DIFFERS);
            self.asm.load(Size::B8, R3, R10, at::DIFFERS);
        } else {
            self.asm.mov_imm(R3, 0);
            for (at, width) in widths(size) {
                self.asm.load(Size::of(width), R1, one, at);
                self.asm.load(Size::of(width), R2, other, at);
                self.asm.xor(R1, R2);
                self.asm.or(R3, R1);
            }
        }
        self.asm.jump_if_imm(R3, If::Eq, 0, to);
    }

    /// So many zeros to `dst`.
    pub(in crate::transfer) fn copy_from_zeros(&mut self, dst: Reg, size: u32) {
        self.asm.map_value(R4, self.maps.zeros);
        self.asm.mov(R9, R4);
        self.copy_bytes(dst, R9, size);
    }

    /// Counts the entry if it has that flag.
    fn count_where(&mut self, flag: i16, count: Count) {
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

    /// Counts an entry that both programs made, after [`Self::add_sums`]: its words are those of the new ones. Also if they are the same:
    /// two counters of 1 are no 1.
    pub(in crate::transfer) fn made_by_both(&mut self) {
        let has_words = i32::from(!self.maps.pieces.is_additive());
        self.asm.store_imm(Size::B8, R10, at::OLD_CHANGED, has_words);
        self.asm.store_imm(Size::B8, R10, at::NEW_CHANGED, 1);
        self.count_where(at::ADDED, Count::MaybeAnother);
        self.count_flags();
    }
}
