//! Records: what the snapshot has, once more, in the order in which an iterator walks the old map. The last pass compares an entry with the
//! record whose turn it is, and looks nothing up. They are written while nothing else writes the snapshot, so that a record is as the
//! snapshot wherever it is; it is of no account which of the two an entry is compared with.
//!
//! If an entry is not the one whose turn it is (keys were deleted, inserted or made anew since), a record tells by a hash of the key where
//! its own record is, if no other key of that hash was recorded later. An entry whose record is not found is looked up in the snapshot.

use std::io;
use std::os::fd::AsFd as _;

use super::super::pieces::widths;
use super::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use super::asm::{BPF_NOEXIST, Code, EEXIST, Helper, If, Label, Reg, Size};
use super::inputs::{Count, Maps, Over, record, slot};
use super::writer::{Writer, at, build};
use crate::sys::Map;

/// Records an entry of the old map that the snapshot has: its key, and its value if both have the same.
pub(in crate::transfer) fn record(maps: Maps<'_>, source: Over<'_>, records: &Map) -> io::Result<Code> {
    let (base, key_size) = (maps.snapshot()?, maps.from.info().key_size);
    let value = i32::try_from(record::value(key_size)).map_err(io::Error::other)?;
    build(maps, source, "maplock_record", |w| {
        let (same, recorded) = (w.asm.label(), w.asm.label());
        w.lookup(R9, base, w.done);
        w.asm.map_value(R1, maps.counts);
        w.asm.load(Size::B8, R1, R1, Count::Turn as i16 * 8);
        w.asm.store(Size::B4, R10, at::INDEX, R1);
        w.record_at_index(R8, records, w.done);
        w.asm.store_imm(Size::B4, R8, record::STATE, record::KNOWN);
        for (at, width) in widths(key_size) {
            w.asm.load(Size::of(width), R1, R6, at);
            w.asm.store(Size::of(width), R8, record::KEY + at, R1);
        }
        w.jump_if_same_value(R7, R9, same);
        w.asm.jump(recorded);
        w.asm.bind(same);
        w.asm.store_imm(Size::B4, R8, record::STATE, record::KNOWN | record::SAME);
        w.asm.add_imm(R8, value);
        w.copy_value(R8, R9);

        w.asm.bind(recorded);
        w.asm.load(Size::B4, R7, R10, at::INDEX);
        w.index_by_hash(R6, key_size, records);
        w.record_at_index(R8, records, w.done);
        w.asm.store(Size::B4, R8, record::PLACE, R7);
        w.asm.add_imm(R7, 1);
        w.asm.map_value(R1, maps.counts);
        w.asm.store(Size::B8, R1, Count::Turn as i16 * 8, R7);
    })
}

/// Finds records that no entry of the old map was found to have, and remembers in `gone` the keys that it does not have any more.
pub(in crate::transfer) fn find_unseen(maps: Maps<'_>, records: &Map, gone: &Map) -> io::Result<Code> {
    build(maps, Over::Indexes, "maplock_unseen", |w| {
        let absent = w.asm.label();
        w.record_at_index(R9, records, w.done);
        w.asm.load(Size::B4, R1, R9, record::STATE);
        w.asm.and_imm(R1, record::KNOWN | record::SEEN);
        w.asm.jump_if_imm(R1, If::Ne, record::KNOWN, w.done);
        w.asm.mov(R6, R9);
        w.asm.add_imm(R6, record::KEY.into());
        w.lookup(R7, maps.from, absent);
        w.asm.jump(w.done);
        w.asm.bind(absent);
        w.write(gone, BPF_NOEXIST, |asm| asm.map_value(R3, maps.zeros));
        w.asm.jump_if_imm(R0, If::Eq, EEXIST, w.done);
        w.failed_unless_zero();
        w.count(Count::Gone);
    })
}

impl Writer<'_> {
    /// Goes on, and is done with the entry if it is as its record says. R6 and R7 are the iterator's.
    pub(super) fn skip_as_recorded(&mut self, records: &Map, key_size: u32) {
        let (other, found, unlike) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.asm.map_value(R8, self.maps.counts);
        self.asm.load(Size::B8, R1, R8, Count::Turn as i16 * 8);
        self.asm.store(Size::B4, R10, at::INDEX, R1);
        self.record_at_index(R9, records, other);
        self.jump_unless_key(key_size, other);

        self.asm.bind(found);
        self.asm.load(Size::B4, R2, R9, record::STATE);
        // Nothing was recorded there.
        self.asm.jump_if_imm(R2, If::Eq, 0, unlike);
        self.asm.load(Size::B4, R1, R10, at::INDEX);
        self.asm.add_imm(R1, 1);
        self.asm.store(Size::B8, R8, Count::Turn as i16 * 8, R1);
        self.asm.mov(R1, R2);
        self.asm.or_imm(R1, record::SEEN);
        self.asm.store(Size::B4, R9, record::STATE, R1);
        self.asm.and_imm(R2, record::SAME);
        self.asm.jump_if_imm(R2, If::Eq, 0, unlike);
        self.asm.add_imm(R9, slot::key_room(key_size) as i32 + i32::from(record::KEY));
        self.jump_if_same_value(R7, R9, self.done);
        self.asm.jump(unlike);

        self.asm.bind(other);
        self.index_by_hash(R6, key_size, records);
        self.record_at_index(R9, records, unlike);
        self.asm.load(Size::B4, R1, R9, record::PLACE);
        self.asm.store(Size::B4, R10, at::INDEX, R1);
        self.record_at_index(R9, records, unlike);
        self.jump_unless_key(key_size, unlike);
        self.asm.jump(found);
        self.asm.bind(unlike);
    }

    /// The record at the index in the frame.
    fn record_at_index(&mut self, dst: Reg, records: &Map, absent: Label) {
        self.asm.map(R1, records.as_fd());
        self.asm.mov(R2, R10);
        self.asm.add_imm(R2, at::INDEX.into());
        self.asm.call(Helper::MapLookupElem);
        self.asm.jump_if_imm(R0, If::Eq, 0, absent);
        self.asm.mov(dst, R0);
    }

    /// Goes on if the record at R9 is of the key at R6.
    fn jump_unless_key(&mut self, key_size: u32, to: Label) {
        for (at, width) in widths(key_size) {
            self.asm.load(Size::of(width), R1, R6, at);
            self.asm.load(Size::of(width), R2, R9, record::KEY + at);
            self.asm.jump_if(R1, If::Ne, R2, to);
        }
    }

    /// The index in the frame becomes one by a hash of a key.
    fn index_by_hash(&mut self, key: Reg, key_size: u32, records: &Map) {
        self.asm.mov_imm(R1, 0);
        // 2^64 / golden ratio.
        self.asm.mov_wide(R3, 0x9e37_79b9_7f4a_7c15);
        for (at, width) in widths(key_size) {
            self.asm.load(Size::of(width), R2, key, at);
            self.asm.xor(R1, R2);
            self.asm.mul(R1, R3);
            self.asm.mov(R2, R1);
            self.asm.shift_right_imm(R2, 32);
            self.asm.xor(R1, R2);
        }
        self.asm.mul(R1, R3);
        self.asm.shift_right_imm(R1, 32);
        self.asm.mul_imm(R1, records.info().max_entries.cast_signed());
        self.asm.shift_right_imm(R1, 32);
        self.asm.store(Size::B4, R10, at::INDEX, R1);
    }
}
