//! The programs that convert entries on the way, each for one entry.
//!
//! As in `writer.rs`, R6 is a key, R7 the old map's value, R8 the new map's and R9 the snapshot's; but keys and values change
//! their layout on the way, so that what is needed again is put aside in the frame, and what is made lies in a work area.

use std::io;
use std::os::fd::AsFd as _;

use maplock_layout::conversion::{Collide, Steps};

use super::super::emit::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use super::super::emit::asm::{Code, Helper, If, Label, Reg, Size};
use super::super::emit::writer::{Count, Cpus, Maps, Source, Writer, at, build};
use super::super::types::is_array;
use super::emit::{self, Onto};
use super::types::Side;
use super::way;
use crate::sys::Map;

pub(super) const BPF_ANY: i32 = 0;
pub(super) const BPF_NOEXIST: i32 = 1;
pub(super) const EEXIST: i32 = -17;
const ERANGE: i32 = -34;

/// Where things are in a work area. Areas are as large as the largest thing that comes into them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Areas {
    pub(super) key: u32,
    pub(super) value: u32,
}

/// A place in the work area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    /// Keys, the converted one and those on the way to it.
    Keys([u8; 2]),
    /// The old value, as it was read once.
    Read,
    /// What the entry is to become.
    Target,
    /// What it was when it was last settled, in the new map's layout.
    Expected,
    /// Values on their way over several stages.
    Between(u8),
}

impl Areas {
    fn offset(self, area: Area) -> u32 {
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
const KEY: Area = Area::Keys([0, 1]);
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
    /// The same for values. Where the snapshot is of the new map, what it does not bring is the snapshot's.
    pub(super) values: &'a [Steps],
    /// For entries that are made: with what the old map does not tell.
    pub(super) fresh: &'a [Steps],
    /// From the new map's keys to the old map's, where the snapshot is of the new map.
    pub(super) back: &'a [Steps],
}

impl<'a> Converting<'a> {
    fn base(&self) -> io::Result<&'a Map> {
        self.maps.base.ok_or_else(|| io::Error::other("entries are converted only with a snapshot"))
    }
}

/// True where bytes become the same bytes.
fn is_same(chain: &[Steps]) -> bool {
    chain.iter().all(way::is_same)
}

/// Copies an entry to the new map, and as it was to the snapshot, which is of the old map.
pub(super) fn copy(of: Converting<'_>, source: Source<'_>) -> io::Result<Code> {
    let base = of.base()?;
    build(of.maps, source, "maplock_convert", |w| {
        let keyed = matches!(source, Source::Iterator { .. });
        let unfit = of.begin(w, source);
        let Maps { from, to, .. } = of.maps;
        if of.maps.per_cpu {
            if keyed {
                w.write(base, BPF_ANY, |asm| asm.map_value(R3, of.maps.zeros));
                w.failed_unless_zero();
            }
            of.convert_key(w, of.keys, KEY, unfit);
            if !is_array(to.info().map_type) {
                w.write(to, BPF_ANY, |asm| asm.map_value(R3, of.maps.zeros));
                w.failed_unless_zero();
            }
            w.each_cpu(&Cpus::Range(0..of.maps.possible_cpus), |w, cpus| {
                of.with_old_key(w);
                w.lookup_cpu(R7, from, cpus, w.done);
                of.read(w);
                w.lookup_cpu(R9, base, cpus, w.done);
                of.area(w, R7, Area::Read);
                w.copy_bytes(R9, R7, from.info().value_size);
                of.convert_value(w, of.fresh, Area::Read, Area::Target, Onto::Nothing, unfit);
                of.with_new_key(w);
                w.lookup_cpu(R8, to, cpus, w.done);
                of.area(w, R7, Area::Target);
                w.copy_bytes(R8, R7, to.info().value_size);
            });
        } else {
            if !keyed {
                w.lookup(R7, from, w.done);
            }
            of.read(w);
            of.convert_value(w, of.fresh, Area::Read, Area::Target, Onto::Nothing, unfit);
            of.convert_key(w, of.keys, KEY, unfit);
            of.write(w, to, Area::Target, BPF_ANY);
            w.failed_unless_zero();
            of.with_old_key(w);
            of.write(w, base, Area::Read, BPF_ANY);
            w.failed_unless_zero();
        }
        of.end(w, unfit);
    })
}

/// Settles an entry of the old map: what changed in it since the snapshot follows into the new map. Where `collide` is given, the
/// new map is used by nobody yet, and an entry that is there came from another key of the old map.
pub(super) fn settle(of: Converting<'_>, source: Source<'_>, collide: Option<Collide>) -> io::Result<Code> {
    let base = of.base()?;
    build(of.maps, source, "maplock_settle", |w| {
        let Maps { from, to, .. } = of.maps;
        let (insert, dropped) = (w.asm.label(), w.asm.label());
        let unfit = of.begin(w, source);
        w.clear_flags();
        if !matches!(source, Source::Iterator { .. }) {
            w.lookup(R7, from, w.done);
        }
        w.asm.store(Size::B8, R10, at::OLD, R7);
        of.find_base(w, base, unfit, |w, map, absent| w.lookup(R9, map, absent), insert);
        of.targets(w, unfit);
        of.with_new_key(w);
        w.lookup(R8, to, dropped);
        of.load_both(w);
        w.merge();
        of.follow(w);
        w.count_flags();
        w.asm.jump(w.done);

        // New programs deleted it: it stays deleted, and its counts go with it.
        w.asm.bind(dropped);
        of.load_both(w);
        w.drop_differing_counts();
        of.follow(w);
        w.asm.jump(w.done);

        // Old programs inserted it.
        w.asm.bind(insert);
        let (there, again, made) = (w.asm.label(), w.asm.label(), w.asm.label());
        w.asm.load(Size::B8, R7, R10, at::OLD);
        of.read(w);
        of.convert_value(w, of.fresh, Area::Read, Area::Target, Onto::Nothing, unfit);
        if of.base_of == Side::From {
            of.convert_key(w, of.keys, KEY, unfit);
        }
        of.write(w, to, Area::Target, BPF_NOEXIST);
        w.asm.jump_if_imm(R0, If::Eq, EEXIST, there);
        w.failed_unless_zero();
        w.count(Count::Inserted);
        w.asm.jump(made);
        w.asm.bind(there);
        if collide == Some(Collide::Refuse) {
            w.failed_unless_zero();
        }
        if collide != Some(Collide::KeepOne) {
            // So did new programs: their words stay.
            w.lookup(R8, to, again);
            of.area(w, R7, Area::Target);
            w.add_sums();
            if collide.is_none() {
                w.gather_differences(R8, R7, at::OLD_CHANGED);
                w.asm.store_imm(Size::B8, R10, at::NEW_CHANGED, 1);
            }
            w.count_flags();
        }
        w.asm.bind(made);
        match of.base_of {
            Side::From => {
                of.with_old_key(w);
                of.write(w, base, Area::Read, BPF_ANY);
            }
            Side::To => of.write(w, base, Area::Target, BPF_ANY),
        }
        w.failed_unless_zero();
        w.asm.jump(w.done);
        if w.asm.is_used(again) {
            w.asm.bind(again);
            w.count(Count::Again);
        }
        of.end(w, unfit);
    })
}

/// Per-CPU maps: inserts a key that only the old map has, with values as if all of the old were 0, and an empty one into the
/// snapshot. [`settle_cpu`] fills them.
pub(super) fn insert(of: Converting<'_>, source: Source<'_>, collide: Option<Collide>) -> io::Result<Code> {
    let base = of.base()?;
    build(of.maps, source, "maplock_insert", |w| {
        let to = of.maps.to;
        let (insert, there) = (w.asm.label(), w.asm.label());
        let unfit = of.begin(w, source);
        of.find_base(w, base, unfit, |w, map, absent| w.lookup(R9, map, absent), insert);
        w.asm.jump(w.done);
        w.asm.bind(insert);
        of.with_old_key(w);
        of.convert_key(w, of.keys, KEY, unfit);
        w.write(to, BPF_NOEXIST, |asm| asm.map_value(R3, of.maps.zeros));
        w.asm.jump_if_imm(R0, If::Eq, EEXIST, there);
        w.failed_unless_zero();
        w.count(Count::Inserted);
        // As the snapshot's value, which is all 0, is converted.
        of.area(w, R8, Area::Target);
        w.copy_from_zeros(R8, to.info().value_size);
        if of.base_of == Side::From {
            of.area(w, R8, Area::Read);
            w.copy_from_zeros(R8, of.maps.from.info().value_size);
            of.convert_value(w, of.fresh, Area::Read, Area::Target, Onto::Nothing, unfit);
        }
        w.each_cpu(&Cpus::Range(0..of.maps.possible_cpus), |w, cpus| {
            of.with_new_key(w);
            w.lookup_cpu(R8, to, cpus, w.done);
            of.area(w, R7, Area::Target);
            w.copy_bytes(R8, R7, to.info().value_size);
        });
        w.asm.bind(there);
        if collide == Some(Collide::Refuse) {
            w.failed_unless_zero();
        }
        if of.base_of == Side::From {
            of.with_old_key(w);
        }
        w.write(base, BPF_NOEXIST, |asm| asm.map_value(R3, of.maps.zeros));
        w.failed_unless_zero();
        w.asm.jump(w.done);
        of.end(w, unfit);
    })
}

/// Per-CPU maps: settles the values of some CPUs of an entry that the snapshot has.
pub(super) fn settle_cpu(of: Converting<'_>, source: Source<'_>, cpus: &Cpus) -> io::Result<Code> {
    let base = of.base()?;
    build(of.maps, source, "maplock_settle", |w| {
        let Maps { from, to, .. } = of.maps;
        let unfit = of.begin(w, source);
        of.convert_key(w, of.keys, KEY, unfit);
        if of.base_of == Side::To {
            of.skip_without_counterpart(w, unfit);
        }
        w.each_cpu(cpus, |w, cpus| {
            let (missing, dropped, next) = (w.asm.label(), w.asm.label(), w.asm.label());
            w.clear_flags();
            of.with_old_key(w);
            w.lookup_cpu(R7, from, cpus, w.done);
            w.asm.store(Size::B8, R10, at::OLD, R7);
            if of.base_of == Side::To {
                of.with_new_key(w);
            }
            w.lookup_cpu(R9, base, cpus, missing);
            w.asm.store(Size::B8, R10, at::BASE, R9);
            of.targets_or(w, unfit, next);
            of.with_new_key(w);
            w.lookup_cpu(R8, to, cpus, dropped);
            of.load_both(w);
            w.merge();
            of.follow(w);
            w.count_flags();
            w.asm.jump(next);
            w.asm.bind(missing);
            w.count(Count::Missing);
            w.asm.jump(next);
            w.asm.bind(dropped);
            of.load_both(w);
            w.drop_differing_counts();
            of.follow(w);
            w.asm.bind(next);
        });
        of.end(w, unfit);
    })
}

/// Finds keys of the snapshot that the old map does not have any more, and remembers them in `gone`.
pub(super) fn find_gone(of: Converting<'_>, source: Source<'_>, gone: &Map) -> io::Result<Code> {
    build(of.maps, source, "maplock_gone", |w| {
        let absent = w.asm.label();
        let unfit = of.begin(w, source);
        if of.base_of == Side::To {
            of.convert_key(w, of.back, KEY, unfit);
        }
        w.lookup(R7, of.maps.from, absent);
        w.asm.jump(w.done);
        w.asm.bind(absent);
        of.with_old_key(w);
        w.write(gone, BPF_ANY, |asm| asm.map_value(R3, of.maps.zeros));
        w.failed_unless_zero();
        w.asm.jump(w.done);
        of.end(w, unfit);
    })
}

/// Deletes what a key of the snapshot that the old map does not have any more became, where no new program changed it.
pub(super) fn delete_gone(of: Converting<'_>, source: Source<'_>) -> io::Result<Code> {
    let base = of.base()?;
    build(of.maps, source, "maplock_delete", |w| {
        let (absent, kept, not_there) = (w.asm.label(), w.asm.label(), w.asm.label());
        let unfit = of.begin(w, source);
        if of.base_of == Side::To {
            of.convert_key(w, of.back, KEY, unfit);
        }
        w.lookup(R7, of.maps.from, absent);
        w.asm.jump(w.done);
        w.asm.bind(absent);
        of.with_old_key(w);
        w.clear_flags();
        let cpus = if of.maps.per_cpu { Cpus::Range(0..of.maps.possible_cpus) } else { Cpus::Own };
        if of.base_of == Side::From {
            of.convert_key(w, of.keys, KEY, unfit);
        } else {
            w.asm.load(Size::B8, R6, R10, at::KEY);
        }
        w.asm.store(Size::B8, R10, at::NEW, R6);
        let look = |w: &mut Writer<'_>, dst, map, cpus: &Cpus, absent| match of.maps.per_cpu {
            true => w.lookup_cpu(dst, map, cpus, absent),
            false => w.lookup(dst, map, absent),
        };
        w.each_cpu(&cpus, |w, cpus| {
            of.with_old_key(w);
            look(w, R9, base, cpus, not_there);
            w.asm.store(Size::B8, R10, at::BASE, R9);
            if of.base_of == Side::From {
                w.asm.mov(R7, R9);
                of.read(w);
                of.convert_value(w, of.fresh, Area::Read, Area::Expected, Onto::Nothing, unfit);
            }
            w.asm.load(Size::B8, R6, R10, at::NEW);
            look(w, R8, of.maps.to, cpus, not_there);
            of.expected(w, R9);
            w.gather_all_differences(R8, R9, at::NEW_CHANGED);
        });
        w.asm.load(Size::B8, R1, R10, at::NEW_CHANGED);
        w.asm.jump_if_imm(R1, If::Ne, 0, kept);
        w.asm.load(Size::B8, R6, R10, at::NEW);
        w.delete(of.maps.to);
        w.count(Count::Deleted);
        w.asm.jump(not_there);
        w.asm.bind(kept);
        w.count(Count::KeptNew);
        w.asm.bind(not_there);
        of.with_old_key(w);
        w.delete(base);
        w.asm.jump(w.done);
        of.end(w, unfit);
    })
}

impl Converting<'_> {
    /// Puts the key aside, and the work area of the CPU. The label is for entries that do not fit.
    fn begin(&self, w: &mut Writer<'_>, source: Source<'_>) -> Label {
        w.asm.store(Size::B8, R10, at::KEY, R6);
        if matches!(source, Source::Iterator { .. }) {
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

    /// Counts an entry that does not fit, if one did not.
    fn end(&self, w: &mut Writer<'_>, unfit: Label) {
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

    fn area(&self, w: &mut Writer<'_>, dst: Reg, area: Area) {
        w.asm.load(Size::B8, dst, R10, at::WORK);
        w.asm.add_imm(dst, self.areas.offset(area).cast_signed());
    }

    /// The value at R7, read once.
    fn read(&self, w: &mut Writer<'_>) {
        self.area(w, R8, Area::Read);
        w.copy_bytes(R8, R7, self.maps.from.info().value_size);
    }

    fn write(&self, w: &mut Writer<'_>, map: &Map, value: Area, flags: i32) {
        self.area(w, R7, value);
        w.write(map, flags, |asm| asm.mov(R3, R7));
    }

    fn with_old_key(&self, w: &mut Writer<'_>) {
        w.asm.load(Size::B8, R6, R10, at::KEY);
    }

    /// The key that was converted before.
    fn with_new_key(&self, w: &mut Writer<'_>) {
        if is_same(self.keys) { self.with_old_key(w) } else { self.area(w, R6, KEY) }
    }

    /// Converts the key at R6; R6 is the result. R7 is lost, and R8.
    fn convert_key(&self, w: &mut Writer<'_>, chain: &[Steps], into: Area, unfit: Label) {
        if is_same(chain) {
            return;
        }
        let Area::Keys([last, other]) = into else { unreachable!("keys have areas of their own") };
        for (at, steps) in chain.iter().enumerate() {
            let to = if (chain.len() - at) % 2 == 1 { last } else { other };
            w.asm.mov(R7, R6);
            self.area(w, R8, Area::Keys([to, to]));
            emit::convert(&mut w.asm, steps, Onto::Nothing, unfit);
            w.asm.mov(R6, R8);
        }
    }

    /// Converts from one area to another, over several stages where there are.
    fn convert_value(&self, w: &mut Writer<'_>, chain: &[Steps], from: Area, into: Area, onto: Onto, unfit: Label) {
        self.area(w, R7, from);
        for (at, steps) in chain.iter().enumerate() {
            let is_last = at + 1 == chain.len();
            let (to, onto) = if is_last { (into, onto) } else { (Area::Between((at % 2) as u8), Onto::Nothing) };
            self.area(w, R8, to);
            emit::convert(&mut w.asm, steps, onto, unfit);
            w.asm.mov(R7, R8);
        }
    }

    /// The entry of the snapshot in R9. Where that is of the new map, the key is converted before.
    fn find_base<'w>(
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
    fn skip_without_counterpart(&self, w: &mut Writer<'_>, unfit: Label) {
        if is_same(self.back) || is_same(self.keys) {
            return;
        }
        let (same, differs) = (w.asm.label(), w.asm.label());
        self.convert_key(w, self.back, OTHER_KEY, unfit);
        w.asm.load(Size::B8, R7, R10, at::KEY);
        w.asm.mov_imm(R3, 0);
        let size = self.maps.from.info().key_size;
        w.each_difference(R6, R7, size);
        w.asm.jump_if_imm(R3, If::Eq, 0, same);
        w.asm.bind(differs);
        w.count(Count::Dropped);
        w.asm.jump(w.done);
        w.asm.bind(same);
        self.area(w, R6, KEY);
    }

    /// What the entry is to become, and what it was in the snapshot, in the new map's layout. Done where both are the same.
    fn targets(&self, w: &mut Writer<'_>, unfit: Label) {
        let done = w.done;
        self.targets_or(w, unfit, done);
    }

    fn targets_or(&self, w: &mut Writer<'_>, unfit: Label, unchanged: Label) {
        w.asm.load(Size::B8, R7, R10, at::OLD);
        match self.base_of {
            Side::From => {
                w.asm.mov_imm(R3, 0);
                w.each_difference(R7, R9, self.maps.from.info().value_size);
                w.asm.jump_if_imm(R3, If::Eq, 0, unchanged);
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
                w.asm.mov_imm(R3, 0);
                w.each_difference(R7, R9, self.maps.to.info().value_size);
                w.asm.jump_if_imm(R3, If::Eq, 0, unchanged);
            }
        }
    }

    /// The snapshot's value, at R7, in the new map's layout.
    fn convert_expected(&self, w: &mut Writer<'_>, unfit: Label) {
        for (at, steps) in self.fresh.iter().enumerate() {
            let is_last = at + 1 == self.fresh.len();
            let to = if is_last { Area::Expected } else { Area::Between(((at + 1) % 2) as u8) };
            self.area(w, R8, to);
            emit::convert(&mut w.asm, steps, Onto::Nothing, unfit);
            w.asm.mov(R7, R8);
        }
    }

    /// What the new map's entry is expected to be.
    fn expected(&self, w: &mut Writer<'_>, dst: Reg) {
        match self.base_of {
            Side::From => self.area(w, dst, Area::Expected),
            Side::To => w.asm.load(Size::B8, dst, R10, at::BASE),
        }
    }

    /// R7 is the target, R9 what is expected.
    fn load_both(&self, w: &mut Writer<'_>) {
        self.area(w, R7, Area::Target);
        self.expected(w, R9);
    }

    /// The snapshot becomes what was settled.
    fn follow(&self, w: &mut Writer<'_>) {
        let (area, of) = match self.base_of {
            Side::From => (Area::Read, self.maps.from),
            Side::To => (Area::Target, self.maps.to),
        };
        self.area(w, R7, area);
        w.asm.load(Size::B8, R9, R10, at::BASE);
        w.copy_bytes(R9, R7, of.info().value_size);
    }
}
