//! The parts that programs for one entry are put together from.
//!
//! Registers: R6 is the entry's key, R7 the old map's value, R8 the new map's, R9 the snapshot's.

use std::io;
use std::os::fd::AsFd as _;

use super::super::pieces::{UNROLLED, widths};
use super::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R10};
use super::asm::{Asm, Code, Helper, If, Kind, Label, Reg, Size};
use super::inputs::{Count, Cpus, Half, Maps, Over, slot};
use crate::sys::Map;

/// Places in the frame.
pub(in crate::transfer) mod at {
    /// Two flags of 4 bytes: for an entry one of whose counts would go below nothing, and for one that may be another.
    pub(in crate::transfer) const NOT_CARRIED: i16 = -8;
    pub(in crate::transfer) const MAYBE_ANOTHER: i16 = -4;
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
    /// Four counters of loops, downwards. If a loop is a function: three registers for it, and whether something differed.
    pub(in crate::transfer) const LOOPS: i16 = -112;
    pub(in crate::transfer) const SAVED: [i16; 3] = [-112, -120, -128];
    pub(in crate::transfer) const DIFFERS: i16 = -136;
    pub(in crate::transfer) const BYTE: i16 = -144;
    /// Below, for a key: the frame has 512 bytes.
    pub(in crate::transfer) const KEY_ROOM: i16 = 512 - 144;
}

/// A program under construction.
pub(in crate::transfer) struct Writer<'a> {
    pub(in crate::transfer) asm: Asm,
    pub(in crate::transfer) maps: Maps<'a>,
    /// For LPM tries: where the shorter key is behind the key.
    shorter: Option<i16>,
    /// Where an entry is done with.
    pub(in crate::transfer) done: Label,
    /// Where one goes on that something else changed at the same moment.
    pub(in crate::transfer) again: Label,
    /// Points to the frame: in the function of a loop, another register than in the program.
    pub(in crate::transfer) frame: Reg,
}

/// Builds a program of which `body` is the part for one entry.
pub(in crate::transfer) fn build<'a>(
    maps: Maps<'a>,
    source: Over<'_>,
    name: &'static str,
    body: impl FnOnce(&mut Writer<'a>),
) -> io::Result<Code> {
    let mut asm = Asm::default();
    let done = asm.label();
    let mut w = Writer { asm, maps, shorter: None, done, again: done, frame: R10 };
    match source {
        Over::Iterator { btf_id, key_size, half, records } => {
            // `struct bpf_iter__bpf_map_elem`: meta, map, key, value. At the end, key and value are null.
            let end = w.asm.label();
            w.asm.store(Size::B8, R10, at::CONTEXT, R1);
            w.asm.load(Size::B8, R6, R1, 16);
            w.asm.load(Size::B8, R7, R1, 24);
            w.asm.jump_if_imm(R6, If::Eq, 0, end);
            w.asm.jump_if_imm(R7, If::Eq, 0, end);
            if let Some(records) = records {
                w.asm.store_imm(Size::B1, R10, at::BYTE, 1);
                w.skip_as_recorded(records, key_size);
            }
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
        Over::Indexes | Over::Keys(_) => {
            let each = w.in_loop();
            w.asm.function(each);
            match source {
                Over::Keys(keys) => {
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
            let kind = if maps.pieces.lock.is_some() { Kind::Locking } else { Kind::Runnable };
            w.asm.finish(name, kind)
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
        self.asm.jump(self.again);
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

    /// As [`Self::lookup`], in per-CPU maps that CPU's.
    pub(in crate::transfer) fn lookup_of(&mut self, dst: Reg, map: &Map, cpus: &Cpus, absent: Label) {
        if self.maps.per_cpu { self.lookup_cpu(dst, map, cpus, absent) } else { self.lookup(dst, map, absent) }
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

    /// Takes the entry out of the snapshot.
    pub(in crate::transfer) fn forget(&mut self, base: &Map) {
        let not_there = self.asm.label();
        self.delete(base);
        self.asm.jump_if_imm(R0, If::Ne, 0, not_there);
        self.count(Count::Forgotten);
        self.asm.bind(not_there);
    }

    pub(in crate::transfer) fn count(&mut self, count: Count) {
        self.asm.map_value(R1, self.maps.counts);
        self.asm.mov_imm(R2, 1);
        self.asm.atomic_add(Size::B8, R1, count as i16 * 8, R2);
    }

    /// If R0 is an error, the entry is done with.
    pub(in crate::transfer) fn failed_unless_zero(&mut self) {
        let fine = self.asm.label();
        self.asm.jump_if_imm(R0, If::Eq, 0, fine);
        self.failed();
        self.asm.jump(self.done);
        self.asm.bind(fine);
    }

    /// R0 is the error of an entry.
    pub(in crate::transfer) fn failed(&mut self) {
        self.asm.map_value(R1, self.maps.counts);
        self.asm.store(Size::B8, R1, Count::Error as i16 * 8, R0);
        self.count(Count::Failed);
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

    /// Copies the old map's value, which old programs may write, and takes the copy for it. Linux 5.15 and 6.1 write no value of
    /// an iterator, either.
    pub(in crate::transfer) fn read_once(&mut self) {
        self.asm.map_value(R8, self.maps.scratch);
        self.copy_value(R8, R7);
        self.asm.mov(R7, R8);
    }

    /// Copies a value, but for its lock.
    pub(in crate::transfer) fn copy_value(&mut self, dst: Reg, src: Reg) {
        match self.maps.pieces.lock {
            None => self.copy_bytes(dst, src, self.maps.from.info().value_size),
            Some(_) => self.copy_steps(dst, src),
        }
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
}
