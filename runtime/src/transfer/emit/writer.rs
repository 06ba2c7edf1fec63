//! The parts that programs for one entry are put together from.
//!
//! Registers: R6 is the entry's key, R7 the old map's value, R8 the new map's, R9 the snapshot's.

use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;

use super::super::shape::{Run, Shape};
use super::asm::Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
use super::asm::{Asm, Code, Helper, If, Kind, Label, Reg, Size};
use crate::sys::Map;

/// Places in the frame.
pub(in crate::transfer) mod at {
    /// A flag for an entry one of whose counts would go below nothing.
    pub(in crate::transfer) const NOT_CARRIED: i16 = -8;
    pub(in crate::transfer) const CONTEXT: i16 = -16;
    pub(in crate::transfer) const ADDED: i16 = -24;
    pub(in crate::transfer) const OLD_CHANGED: i16 = -32;
    pub(in crate::transfer) const NEW_CHANGED: i16 = -40;
    pub(in crate::transfer) const CPU: i16 = -48;
    pub(in crate::transfer) const FOUND: i16 = -56;
    pub(in crate::transfer) const INDEX: i16 = -64;
    /// Pointers that programs which convert put aside: to values, and to their work area.
    pub(in crate::transfer) const OLD: i16 = -72;
    pub(in crate::transfer) const NEW: i16 = -80;
    pub(in crate::transfer) const BASE: i16 = -88;
    pub(in crate::transfer) const WORK: i16 = -96;
    /// And to the key of the entry that they started with.
    pub(in crate::transfer) const KEY: i16 = -104;
    /// Four counters of loops, downwards.
    pub(in crate::transfer) const LOOPS: i16 = -112;
    pub(in crate::transfer) const BYTE: i16 = -144;
    /// Below, for a key: the frame has 512 bytes.
    pub(in crate::transfer) const KEY_ROOM: i16 = 512 - 144;
}

/// What programs count, in an array of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Count {
    Added,
    Changed,
    Inserted,
    Deleted,
    Dropped,
    KeptNew,
    NotCarried,
    /// Entries that something else changed at the same moment: to be settled once more.
    Again,
    /// Per-CPU values without a place in the new map, or in the snapshot.
    Missing,
    Failed,
    /// Not a count: the last error, as the kernel returns it.
    Error,
}

/// Up to so many bytes, loads and stores are faster than a call.
const UNROLLED: u32 = 128;

/// How many words [`Count`] takes.
pub(in crate::transfer) const COUNTS: u32 = 11;

/// A slot of the array through which user space hands keys to a program: words `has_shorter` and `marked`, the key, and the
/// key with a prefix that is one bit shorter.
pub(in crate::transfer) mod slot {
    pub(in crate::transfer) const HAS_SHORTER: usize = 0;
    pub(in crate::transfer) const MARKED: usize = 4;
    pub(in crate::transfer) const KEY: usize = 8;

    pub(in crate::transfer) fn key_room(key_size: u32) -> usize {
        (key_size as usize).next_multiple_of(8)
    }

    pub(in crate::transfer) fn size(key_size: u32) -> usize {
        KEY + 2 * key_room(key_size)
    }
}

/// Where a program's entries come from.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) enum Source<'a> {
    /// An iterator over a map whose keys have so many bytes; of all entries, or of those that one of two programs takes.
    Iterator { btf_id: u32, key_size: u32, half: Option<Half> },
    /// The indexes of an array, from one that is given at each run.
    Indexes,
    /// Keys that user space wrote to an array.
    Keys(&'a Map),
}

/// One of two programs, which have about half of the keys each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) enum Half {
    One,
    Other,
}

/// Whose values a program looks at in per-CPU maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transfer) enum Cpus {
    /// Those of the CPU that it runs on.
    Own,
    /// Those of each of these.
    Range(Range<u32>),
}

/// All that the programs of a transfer have to know.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) struct Maps<'a> {
    pub(in crate::transfer) from: &'a Map,
    pub(in crate::transfer) to: &'a Map,
    pub(in crate::transfer) base: Option<&'a Map>,
    pub(in crate::transfer) shape: &'a Shape,
    /// An array of one value of [`COUNTS`] words.
    pub(in crate::transfer) counts: &'a Map,
    /// An array of one value as large as the maps', to put values together.
    pub(in crate::transfer) scratch: &'a Map,
    /// The same, always zero.
    pub(in crate::transfer) zeros: &'a Map,
    pub(in crate::transfer) per_cpu: bool,
    pub(in crate::transfer) possible_cpus: u32,
}

/// A program under construction.
pub(in crate::transfer) struct Writer<'a> {
    pub(in crate::transfer) asm: Asm,
    pub(in crate::transfer) maps: Maps<'a>,
    /// For LPM tries: where the shorter key is behind the key.
    shorter: Option<i16>,
    /// Where an entry is done with.
    pub(in crate::transfer) done: Label,
}

/// Builds a program of which `body` is the part for one entry.
pub(in crate::transfer) fn build<'a>(
    maps: Maps<'a>,
    source: Source<'_>,
    name: &'static str,
    body: impl FnOnce(&mut Writer<'a>),
) -> io::Result<Code> {
    let mut asm = Asm::default();
    let done = asm.label();
    let mut w = Writer { asm, maps, shorter: None, done };
    match source {
        Source::Iterator { btf_id, key_size, half } => {
            // `struct bpf_iter__bpf_map_elem`: meta, map, key, value. At the end, key and value are null.
            let end = w.asm.label();
            w.asm.store(Size::B8, R10, at::CONTEXT, R1);
            w.asm.load(Size::B8, R6, R1, 16);
            w.asm.load(Size::B8, R7, R1, 24);
            w.asm.jump_if_imm(R6, If::Eq, 0, end);
            w.asm.jump_if_imm(R7, If::Eq, 0, end);
            // Helpers take no key from the iterator's own memory.
            let room = i16::try_from(slot::key_room(key_size)).ok().filter(|room| *room <= at::KEY_ROOM);
            let room =
                room.ok_or_else(|| io::Error::other(format!("a key of {key_size} bytes has no room on the stack")))?;
            w.asm.mov(R8, R10);
            w.asm.add_imm(R8, (at::BYTE - room).into());
            w.copy_bytes(R8, R6, key_size);
            w.asm.mov(R6, R8);
            w.asm.store_imm(Size::B1, R10, at::BYTE, 0);
            let others = w.asm.label();
            if let Some(half) = half {
                w.skip_other_half(half, key_size, others);
            }
            w.asm.store_imm(Size::B1, R10, at::BYTE, 1);
            body(&mut w);
            w.asm.bind(done);
            w.asm.bind(others);
            // A byte for each entry: a read of n bytes walks over n entries, and returns.
            w.asm.load(Size::B8, R1, R10, at::CONTEXT);
            w.asm.load(Size::B8, R1, R1, 0);
            w.asm.load(Size::B8, R1, R1, 0);
            w.asm.mov(R2, R10);
            w.asm.add_imm(R2, at::BYTE.into());
            w.asm.mov_imm(R3, 1);
            w.asm.call(Helper::SeqWrite);
            w.asm.bind(end);
            w.asm.mov_imm(R0, 0);
            w.asm.exit();
            w.asm.finish(name, Kind::Iterator { btf_id })
        }
        Source::Indexes | Source::Keys(_) => {
            let each = w.in_loop();
            w.asm.function(each);
            match source {
                Source::Keys(keys) => {
                    // The value of the index in R1 is the slot.
                    let key_size = maps.from.info().key_size;
                    w.shorter = i16::try_from(slot::key_room(key_size)).ok();
                    w.asm.store(Size::B4, R10, at::INDEX, R1);
                    w.asm.map(R1, keys.as_fd());
                    w.asm.mov(R2, R10);
                    w.asm.add_imm(R2, at::INDEX.into());
                    w.asm.call(Helper::MapLookupElem);
                    w.asm.jump_if_imm(R0, If::Eq, 0, done);
                    w.asm.mov(R6, R0);
                    w.asm.add_imm(R6, slot::KEY as i32);
                }
                _ => {
                    // R2 is the context: the first index.
                    w.asm.load(Size::B8, R2, R2, 0);
                    w.asm.add(R1, R2);
                    w.asm.store(Size::B4, R10, at::INDEX, R1);
                    w.asm.mov(R6, R10);
                    w.asm.add_imm(R6, at::INDEX.into());
                }
            }
            body(&mut w);
            w.asm.bind(done);
            w.asm.mov_imm(R0, 0);
            w.asm.exit();
            w.asm.finish(name, Kind::Runnable)
        }
    }
}

impl<'a> Writer<'a> {
    /// The main function of a runnable program: calls `each` for as many indexes as the packet's mark says. The context of a
    /// run (`struct __sk_buff`) carries numbers in `cb`: the first index, and how many.
    pub(in crate::transfer) fn in_loop(&mut self) -> Label {
        const CB: i16 = 48;
        let each = self.asm.label();
        self.asm.load(Size::B4, R2, R1, CB);
        self.asm.store(Size::B8, R10, -8, R2);
        self.asm.load(Size::B4, R1, R1, CB + 4);
        self.asm.callback(R2, each);
        self.asm.mov(R3, R10);
        self.asm.add_imm(R3, -8);
        self.asm.mov_imm(R4, 0);
        self.asm.call(Helper::Loop);
        self.asm.mov_imm(R0, 0);
        self.asm.exit();
        each
    }

    /// R1 and R2 as the map and the key.
    pub(in crate::transfer) fn map_and_key(&mut self, map: &Map) {
        self.asm.map(R1, map.as_fd());
        self.asm.mov(R2, R6);
    }

    /// The entry's value in `dst`, in per-CPU maps that of this CPU.
    pub(in crate::transfer) fn lookup(&mut self, dst: Reg, map: &Map, absent: Label) {
        self.map_and_key(map);
        self.asm.call(Helper::MapLookupElem);
        self.asm.jump_if_imm(R0, If::Eq, 0, absent);
        let Some(shorter) = self.shorter else {
            self.asm.mov(dst, R0);
            return;
        };
        // A lookup in an LPM trie finds the longest prefix. It is this very key where the prefix that is one bit shorter
        // finds another entry.
        let (found, differs, again) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.store(Size::B8, R10, at::FOUND, R0);
        self.asm.load(Size::B4, R1, R6, slot::HAS_SHORTER as i16 - slot::KEY as i16);
        self.asm.jump_if_imm(R1, If::Eq, 0, found);
        self.map_and_key(map);
        self.asm.add_imm(R2, shorter.into());
        self.asm.call(Helper::MapLookupElem);
        self.asm.load(Size::B8, R1, R10, at::FOUND);
        self.asm.jump_if(R0, If::Ne, R1, differs);
        self.asm.jump(absent);
        // Unless the shorter one was replaced between the two lookups.
        self.asm.bind(differs);
        self.map_and_key(map);
        self.asm.call(Helper::MapLookupElem);
        self.asm.load(Size::B8, R1, R10, at::FOUND);
        self.asm.jump_if(R0, If::Eq, R1, found);
        self.asm.bind(again);
        self.count(Count::Again);
        self.asm.jump(self.done);
        self.asm.bind(found);
        self.asm.load(Size::B8, dst, R10, at::FOUND);
    }

    /// A CPU's value in `dst`.
    pub(in crate::transfer) fn lookup_cpu(&mut self, dst: Reg, map: &Map, cpus: &Cpus, absent: Label) {
        self.map_and_key(map);
        match cpus {
            Cpus::Own => self.asm.call(Helper::MapLookupElem),
            Cpus::Range(_) => {
                self.asm.load(Size::B8, R3, R10, at::CPU);
                self.asm.call(Helper::MapLookupPercpuElem);
            }
        }
        self.asm.jump_if_imm(R0, If::Eq, 0, absent);
        self.asm.mov(dst, R0);
    }

    /// Does `body` for each CPU.
    pub(in crate::transfer) fn each_cpu(&mut self, cpus: &Cpus, body: impl FnOnce(&mut Self, &Cpus)) {
        let Cpus::Range(range) = cpus else {
            return body(self, cpus);
        };
        let next = self.asm.label();
        self.asm.store_imm(Size::B8, R10, at::CPU, range.start.cast_signed());
        self.asm.bind(next);
        body(self, cpus);
        self.asm.load(Size::B8, R1, R10, at::CPU);
        self.asm.add_imm(R1, 1);
        self.asm.store(Size::B8, R10, at::CPU, R1);
        self.asm.jump_if_imm(R1, If::Lt, range.end.cast_signed(), next);
    }

    /// Writes the entry with the value that `value` puts into R3. The result is in R0.
    pub(in crate::transfer) fn write(&mut self, map: &Map, flags: i32, value: impl FnOnce(&mut Asm)) {
        self.map_and_key(map);
        value(&mut self.asm);
        self.asm.mov_imm(R4, flags);
        self.asm.call(Helper::MapUpdateElem);
    }

    pub(in crate::transfer) fn delete(&mut self, map: &Map) {
        self.map_and_key(map);
        self.asm.call(Helper::MapDeleteElem);
    }

    pub(in crate::transfer) fn count(&mut self, count: Count) {
        self.asm.map_value(R1, self.maps.counts);
        self.asm.mov_imm(R2, 1);
        self.asm.atomic_add(Size::B8, R1, count as i16 * 8, R2);
    }

    /// Where R0 is an error, the entry is done with.
    pub(in crate::transfer) fn failed_unless_zero(&mut self) {
        let fine = self.asm.label();
        self.asm.jump_if_imm(R0, If::Eq, 0, fine);
        self.asm.map_value(R1, self.maps.counts);
        self.asm.store(Size::B8, R1, Count::Error as i16 * 8, R0);
        self.count(Count::Failed);
        self.asm.jump(self.done);
        self.asm.bind(fine);
    }

    /// Goes on with the keys of `half`: by a bit of a hash of their first 64 bytes.
    fn skip_other_half(&mut self, half: Half, key_size: u32, to: Label) {
        self.asm.mov_imm(R1, 0);
        for (at, width) in widths(key_size.min(64)) {
            self.asm.load(Size::of(width), R2, R6, at);
            self.asm.add(R1, R2);
        }
        self.asm.mov(R2, R1);
        self.asm.shift_right_imm(R2, 32);
        self.asm.xor(R1, R2);
        // 2^32 / golden ratio: neighbours part.
        self.asm.mul_imm(R1, 0x9e37_79b1_u32.cast_signed());
        self.asm.shift_right_imm(R1, 31);
        self.asm.and_imm(R1, 1);
        self.asm.jump_if_imm(R1, If::Ne, half as i32, to);
    }

    /// Copies a value.
    pub(in crate::transfer) fn copy_value(&mut self, dst: Reg, src: Reg) {
        self.copy_bytes(dst, src, self.maps.from.info().value_size);
    }

    pub(in crate::transfer) fn copy_bytes(&mut self, dst: Reg, src: Reg, size: u32) {
        if size > UNROLLED {
            self.asm.mov(R1, dst);
            self.asm.mov_imm(R2, size.cast_signed());
            self.asm.mov(R3, src);
            self.asm.call(Helper::ProbeReadKernel);
            return;
        }
        for (at, width) in widths(size) {
            self.asm.load(Size::of(width), R1, src, at);
            self.asm.store(Size::of(width), dst, at, R1);
        }
    }

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
        let shape = self.maps.shape;
        self.each_step(&shape.sums, |w, run| {
            w.asm.mov(R2, value);
            w.asm.add(R2, R1);
            body(w, run);
        });
    }

    pub(in crate::transfer) fn each_word(&mut self, body: impl FnMut(&mut Self, Run)) {
        let shape = self.maps.shape;
        self.each_step(&shape.words, body);
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

    /// Three ways: where old programs changed the entry since the snapshot and new ones did not, it follows the old one. The
    /// snapshot does in any case, so that a second settling changes nothing.
    pub(in crate::transfer) fn settle_words(&mut self) {
        if self.maps.shape.is_additive() {
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
            let run = Run { start, end, width, atomic: false };
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
        let none = self.asm.label();
        self.jump_unless(at::ADDED, none);
        self.count(Count::Dropped);
        self.asm.bind(none);
    }

    pub(in crate::transfer) fn count_flags(&mut self) {
        let (not_added, not_changed, changed, end) =
            (self.asm.label(), self.asm.label(), self.asm.label(), self.asm.label());
        self.jump_unless(at::ADDED, not_added);
        self.count(Count::Added);
        self.asm.bind(not_added);
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

/// The widest steps through so many bytes: offsets and widths.
fn widths(size: u32) -> impl Iterator<Item = (i16, u32)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let width = [8, 4, 2, 1].into_iter().find(|width| at + width <= size)?;
        at += width;
        Some(((at - width) as i16, width))
    })
}
