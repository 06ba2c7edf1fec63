//! The parts that programs which convert are put together from.
//!
//! As in `emit/writer.rs`, R6 is a key, R7 the old map's value, R8 the new map's and R9 the snapshot's; but keys and values change
//! their layout on the way, so that what is needed again is put aside in the frame, and what is made lies in a work area.

use std::os::fd::AsFd as _;

use maplock_layout::conversion::Steps;

use super::super::emit::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use super::super::emit::asm::{EEXIST, ERANGE, Helper, If, Label, Reg, Size};
use super::super::emit::inputs::{Count, Maps, Over};
use super::super::emit::writer::{Writer, at};
use super::super::pieces::LOOPED;
use super::steps::{self, Onto};
use super::types::Side;
use super::way;
use crate::sys::Map;

/// Where things are in a work area. Areas are as large as the largest thing that comes into them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Areas {
    pub(super) key: u32,
    pub(super) value: u32,
}

/// A place in the work area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    /// Keys, the converted one and those on the way to it.
    Keys([u8; 2]),
    /// The old value, as it was read once.
    Read,
    /// What the entry is to become.
    Target,
    /// What it was when it was last settled, in the new map's layout.
    Expected,
    /// Values on their way over several legs.
    Between(u8),
}

impl Areas {
    pub(super) fn offset(self, area: Area) -> u32 {
        match area {
            Area::Keys([at, _]) => self.key * u32::from(at),
            Area::Read => self.key * 4,
            Area::Target => self.key * 4 + self.value,
            Area::Expected => self.key * 4 + self.value * 2,
            Area::Between(at) => self.key * 4 + self.value * (3 + u32::from(at)),
        }
    }

    /// Bytes of the whole area.
    pub(super) fn size(self) -> u32 {
        self.key * 4 + self.value * 5
    }
}

/// The key of the new map.
pub(super) const KEY: Area = Area::Keys([0, 1]);
/// A key that is only looked at.
const OTHER_KEY: Area = Area::Keys([2, 3]);

/// What programs that convert have to know, beyond [`Maps`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Converting<'a> {
    pub(super) maps: Maps<'a>,
    /// An array with a value for each CPU that a program runs on, or one.
    pub(super) work: &'a Map,
    pub(super) areas: Areas,
    /// Whose layout and keys the snapshot has.
    pub(super) base_of: Side,
    /// From the old map to the new.
    pub(super) keys: &'a [Steps],
    /// The same for values. If the snapshot is of the new map, what it does not bring is the snapshot's.
    pub(super) values: &'a [Steps],
    /// For entries that are made: with what the old map does not tell.
    pub(super) fresh: &'a [Steps],
    /// From the new map's keys to the old map's, if the snapshot is of the new map.
    pub(super) back: &'a [Steps],
}

/// True if bytes become the same bytes.
fn is_same(chain: &[Steps]) -> bool {
    chain.iter().all(way::is_same)
}

impl Converting<'_> {
    /// Puts the key aside, and the work area of the CPU. The label is for entries that do not fit.
    pub(super) fn begin(&self, w: &mut Writer<'_>, source: Over<'_>) -> Label {
        w.asm.store(Size::B8, R10, at::KEY, R6);
        if matches!(source, Over::Iterator { .. }) {
            w.asm.store(Size::B8, R10, at::OLD, R7);
        }
        if self.work.info().max_entries == 1 {
            w.asm.map_value(R1, self.work);
            w.asm.store(Size::B8, R10, at::WORK, R1);
        } else {
            w.asm.call(Helper::GetSmpProcessorId);
            w.asm.store(Size::B4, R10, at::FOUND, R0);
            w.asm.map(R1, self.work.as_fd());
            w.asm.mov(R2, R10);
            w.asm.add_imm(R2, at::FOUND.into());
            w.asm.call(Helper::MapLookupElem);
            w.asm.jump_if_imm(R0, If::Eq, 0, w.done);
            w.asm.store(Size::B8, R10, at::WORK, R0);
        }
        w.asm.label()
    }

    /// True if a key may become one that another key becomes too.
    pub(super) fn changes_keys(&self) -> bool {
        !is_same(self.keys)
    }

    /// After a write to the new map: done if this very key was met before, and failed if another one has become this one.
    pub(super) fn failed_unless_met_before(&self, w: &mut Writer<'_>, base: &Map) {
        if self.changes_keys() {
            let (written, other) = (w.asm.label(), w.asm.label());
            w.asm.jump_if_imm(R0, If::Ne, EEXIST, written);
            self.with_old_key(w);
            w.lookup(R9, base, other);
            w.asm.jump(w.done);
            w.asm.bind(other);
            w.asm.mov_imm(R0, EEXIST);
            w.asm.bind(written);
        }
        w.failed_unless_zero();
    }

    /// Counts an entry that does not fit, if one did not.
    pub(super) fn end(&self, w: &mut Writer<'_>, unfit: Label) {
        if !w.asm.is_used(unfit) {
            return;
        }
        if w.asm.is_reached() {
            w.asm.jump(w.done);
        }
        w.asm.bind(unfit);
        w.asm.mov_imm(R0, ERANGE);
        w.failed_unless_zero();
    }

    pub(super) fn area(&self, w: &mut Writer<'_>, dst: Reg, area: Area) {
        w.asm.load(Size::B8, dst, R10, at::WORK);
        w.asm.add_imm(dst, self.areas.offset(area).cast_signed());
    }

    /// The value at R7, read once.
    pub(super) fn read(&self, w: &mut Writer<'_>) {
        self.area(w, R8, Area::Read);
        w.copy_bytes(R8, R7, self.maps.from.info().value_size);
    }

    pub(super) fn write(&self, w: &mut Writer<'_>, map: &Map, value: Area, flags: i32) {
        self.area(w, R7, value);
        w.write(map, flags, |asm| asm.mov(R3, R7));
    }

    pub(super) fn with_old_key(&self, w: &mut Writer<'_>) {
        w.asm.load(Size::B8, R6, R10, at::KEY);
    }

    /// The key that was converted before.
    pub(super) fn with_new_key(&self, w: &mut Writer<'_>) {
        if is_same(self.keys) { self.with_old_key(w) } else { self.area(w, R6, KEY) }
    }

    /// Converts the key at R6; R6 is the result. R7 is lost, and R8.
    pub(super) fn convert_key(&self, w: &mut Writer<'_>, chain: &[Steps], into: Area, unfit: Label) {
        if is_same(chain) {
            return;
        }
        let Area::Keys([last, other]) = into else { unreachable!("keys have areas of their own") };
        for (at, steps) in chain.iter().enumerate() {
            let to = if (chain.len() - at) % 2 == 1 { last } else { other };
            w.asm.mov(R7, R6);
            self.area(w, R8, Area::Keys([to, to]));
            steps::convert(&mut w.asm, steps, Onto::Nothing, unfit);
            w.asm.mov(R6, R8);
        }
    }

    /// Converts from one area to another, over several legs if there are.
    pub(super) fn convert_value(
        &self,
        w: &mut Writer<'_>,
        chain: &[Steps],
        from: Area,
        into: Area,
        onto: Onto,
        unfit: Label,
    ) {
        self.area(w, R7, from);
        for (at, steps) in chain.iter().enumerate() {
            let is_last = at + 1 == chain.len();
            let (to, onto) = if is_last { (into, onto) } else { (Area::Between((at % 2) as u8), Onto::Nothing) };
            self.area(w, R8, to);
            steps::convert(&mut w.asm, steps, onto, unfit);
            w.asm.mov(R7, R8);
        }
    }

    /// The entry of the snapshot in R9. If that is of the new map, the key is converted before.
    pub(super) fn find_base<'w>(
        &self,
        w: &mut Writer<'w>,
        base: &Map,
        unfit: Label,
        lookup: impl FnOnce(&mut Writer<'w>, &Map, Label),
        absent: Label,
    ) {
        if self.base_of == Side::To {
            self.convert_key(w, self.keys, KEY, unfit);
            self.skip_without_counterpart(w, unfit);
        }
        lookup(w, base, absent);
        w.asm.store(Size::B8, R10, at::BASE, R9);
    }

    /// An entry of the old map whose key, converted and back again, is another has no counterpart in the new map, though it may
    /// look so: it stays where it is.
    pub(super) fn skip_without_counterpart(&self, w: &mut Writer<'_>, unfit: Label) {
        if is_same(self.back) || is_same(self.keys) {
            return;
        }
        let (same, differs) = (w.asm.label(), w.asm.label());
        self.convert_key(w, self.back, OTHER_KEY, unfit);
        w.asm.load(Size::B8, R7, R10, at::KEY);
        let size = self.maps.from.info().key_size;
        w.jump_if_same(R6, R7, size, same);
        w.asm.bind(differs);
        w.count(Count::Dropped);
        w.asm.jump(w.done);
        w.asm.bind(same);
        self.area(w, R6, KEY);
    }

    /// What the entry is to become, and what it was in the snapshot, in the new map's layout. Done if both are the same.
    pub(super) fn targets(&self, w: &mut Writer<'_>, unfit: Label) {
        let done = w.done;
        self.targets_or(w, unfit, done);
    }

    pub(super) fn targets_or(&self, w: &mut Writer<'_>, unfit: Label, unchanged: Label) {
        w.asm.load(Size::B8, R7, R10, at::OLD);
        match self.base_of {
            Side::From => {
                if self.maps.from.info().value_size > LOOPED {
                    // An iterator's value takes no offsets that are known at run time only.
                    self.read(w);
                    self.area(w, R7, Area::Read);
                }
                w.jump_if_same(R7, R9, self.maps.from.info().value_size, unchanged);
                self.area(w, R8, Area::Between(0));
                w.asm.load(Size::B8, R9, R10, at::BASE);
                w.copy_bytes(R8, R9, self.maps.from.info().value_size);
                w.asm.load(Size::B8, R7, R10, at::OLD);
                self.read(w);
                // The old entry first, for its room is used up on the way.
                self.area(w, R7, Area::Between(0));
                self.convert_expected(w, unfit);
                self.convert_value(w, self.fresh, Area::Read, Area::Target, Onto::Nothing, unfit);
                self.with_old_key(w);
                self.convert_key(w, self.keys, KEY, unfit);
            }
            Side::To => {
                self.read(w);
                self.area(w, R8, Area::Target);
                w.copy_bytes(R8, R9, self.maps.to.info().value_size);
                self.convert_value(w, self.values, Area::Read, Area::Target, Onto::There, unfit);
                self.area(w, R7, Area::Target);
                w.asm.load(Size::B8, R9, R10, at::BASE);
                w.jump_if_same(R7, R9, self.maps.to.info().value_size, unchanged);
            }
        }
    }

    /// The snapshot's value, at R7, in the new map's layout.
    pub(super) fn convert_expected(&self, w: &mut Writer<'_>, unfit: Label) {
        for (at, steps) in self.fresh.iter().enumerate() {
            let is_last = at + 1 == self.fresh.len();
            let to = if is_last { Area::Expected } else { Area::Between(((at + 1) % 2) as u8) };
            self.area(w, R8, to);
            steps::convert(&mut w.asm, steps, Onto::Nothing, unfit);
            w.asm.mov(R7, R8);
        }
    }

    /// What the new map's entry is expected to be.
    pub(super) fn expected(&self, w: &mut Writer<'_>, dst: Reg) {
        match self.base_of {
            Side::From => self.area(w, dst, Area::Expected),
            Side::To => w.asm.load(Size::B8, dst, R10, at::BASE),
        }
    }

    /// R7 is the target, R9 what is expected.
    pub(super) fn load_both(&self, w: &mut Writer<'_>) {
        self.area(w, R7, Area::Target);
        self.expected(w, R9);
    }

    /// What the snapshot is to hold.
    pub(super) fn remembered(&self) -> Area {
        match self.base_of {
            Side::From => Area::Read,
            Side::To => Area::Target,
        }
    }

    /// The key of the snapshot's entry, if the new map's was converted before.
    pub(super) fn with_base_key(&self, w: &mut Writer<'_>) {
        match self.base_of {
            Side::From => self.with_old_key(w),
            Side::To => self.with_new_key(w),
        }
    }

    /// The snapshot becomes what was settled.
    pub(super) fn follow(&self, w: &mut Writer<'_>) {
        let of = match self.base_of {
            Side::From => self.maps.from,
            Side::To => self.maps.to,
        };
        self.area(w, R7, self.remembered());
        w.asm.load(Size::B8, R9, R10, at::BASE);
        w.copy_bytes(R9, R7, of.info().value_size);
    }
}
