//! The programs that convert entries on the way, each for one entry; `parts.rs` has what they are put together from.

use std::io;

use maplock_layout::conversion::Collide;

use super::super::emit::asm::Reg::{R0, R1, R3, R6, R7, R8, R9, R10};
use super::super::emit::asm::{BPF_ANY, BPF_NOEXIST, Code, EEXIST, If, Size};
use super::super::emit::inputs::{Count, Cpus, Maps, Over};
use super::super::emit::writer::{Writer, at, build};
use super::super::types::is_array;
use super::parts::{Area, Converting, KEY};
use super::steps::Onto;
use super::types::Side;
use crate::sys::Map;

/// Copies an entry to the new map, and as it was to the snapshot, which is of the old map. If keys change, none may be there that
/// another key of the old map became.
pub(super) fn copy(of: Converting<'_>, source: Over<'_>) -> io::Result<Code> {
    let base = of.maps.snapshot()?;
    build(of.maps, source, "maplock_convert", |w| {
        let keyed = matches!(source, Over::Iterator { .. });
        let unfit = of.begin(w, source);
        let Maps { from, to, .. } = of.maps;
        let may_be_there = of.changes_keys() && !is_array(to.info().map_type);
        let flags = if may_be_there { BPF_NOEXIST } else { BPF_ANY };
        if of.maps.per_cpu {
            of.convert_key(w, of.keys, KEY, unfit);
            if !is_array(to.info().map_type) {
                w.write(to, flags, |asm| asm.map_value(R3, of.maps.zeros));
                of.failed_unless_met_before(w, base);
            }
            if keyed {
                of.with_old_key(w);
                w.write(base, BPF_ANY, |asm| asm.map_value(R3, of.maps.zeros));
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
            of.write(w, to, Area::Target, flags);
            of.failed_unless_met_before(w, base);
            of.with_old_key(w);
            of.write(w, base, Area::Read, BPF_ANY);
            w.failed_unless_zero();
        }
        of.end(w, unfit);
    })
}

/// Settles an entry of the old map: what changed in it since the snapshot follows into the new map. If `collide` is given, the
/// new map is used by nobody yet, and an entry that is there came from another key of the old map, as it may.
pub(super) fn settle(of: Converting<'_>, source: Over<'_>, collide: Option<Collide>) -> io::Result<Code> {
    let base = of.maps.snapshot()?;
    build(of.maps, source, "maplock_settle", |w| {
        let Maps { from, to, .. } = of.maps;
        let (insert, dropped) = (w.asm.label(), w.asm.label());
        let unfit = of.begin(w, source);
        w.clear_flags();
        if !matches!(source, Over::Iterator { .. }) {
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

        // Old programs inserted it. The snapshot comes first: without room there, nothing has happened.
        w.asm.bind(insert);
        let (there, again, failed) = (w.asm.label(), w.asm.label(), w.asm.label());
        w.asm.load(Size::B8, R7, R10, at::OLD);
        of.read(w);
        of.convert_value(w, of.fresh, Area::Read, Area::Target, Onto::Nothing, unfit);
        if of.base_of == Side::From {
            of.convert_key(w, of.keys, KEY, unfit);
        }
        of.with_base_key(w);
        of.write(w, base, of.remembered(), BPF_ANY);
        w.failed_unless_zero();
        of.with_new_key(w);
        of.write(w, to, Area::Target, BPF_NOEXIST);
        w.asm.jump_if_imm(R0, If::Eq, EEXIST, there);
        w.asm.jump_if_imm(R0, If::Ne, 0, failed);
        w.count(Count::Inserted);
        w.count(Count::Remembered);
        w.asm.jump(w.done);
        w.asm.bind(there);
        if collide != Some(Collide::KeepOne) {
            // So did new programs: their words stay.
            let gone = w.asm.label();
            w.lookup(R8, to, gone);
            of.area(w, R7, Area::Target);
            w.add_sums();
            if collide.is_none() {
                w.made_by_both()
            } else {
                w.count_flags()
            }
            w.count(Count::Remembered);
            w.asm.jump(w.done);
            w.asm.bind(gone);
            w.count(Count::Again);
            w.asm.jump(again);
        } else {
            w.count(Count::Remembered);
            w.asm.jump(w.done);
        }
        w.asm.bind(failed);
        w.failed();
        w.asm.bind(again);
        of.with_base_key(w);
        w.delete(base);
        w.asm.jump(w.done);
        of.end(w, unfit);
    })
}

/// Per-CPU maps: inserts a key that only the old map has, with values as if all of the old were 0, and an empty one into the
/// snapshot. [`settle_cpu`] fills them.
pub(super) fn insert(of: Converting<'_>, source: Over<'_>) -> io::Result<Code> {
    let base = of.maps.snapshot()?;
    build(of.maps, source, "maplock_insert", |w| {
        let to = of.maps.to;
        let (insert, exists, there) = (w.asm.label(), w.asm.label(), w.asm.label());
        let unfit = of.begin(w, source);
        of.find_base(w, base, unfit, |w, map, absent| w.lookup(R9, map, absent), insert);
        w.asm.jump(w.done);
        w.asm.bind(insert);
        of.with_old_key(w);
        of.convert_key(w, of.keys, KEY, unfit);
        w.write(to, BPF_NOEXIST, |asm| asm.map_value(R3, of.maps.zeros));
        w.asm.jump_if_imm(R0, If::Eq, EEXIST, exists);
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
        w.asm.jump(there);
        w.asm.bind(exists);
        w.count(Count::MaybeAnother);
        w.asm.bind(there);
        of.with_base_key(w);
        w.write(base, BPF_NOEXIST, |asm| asm.map_value(R3, of.maps.zeros));
        w.failed_unless_zero();
        w.count(Count::Remembered);
        w.asm.jump(w.done);
        of.end(w, unfit);
    })
}

/// Per-CPU maps: settles the values of some CPUs of an entry that the snapshot has.
pub(super) fn settle_cpu(of: Converting<'_>, source: Over<'_>, cpus: &Cpus) -> io::Result<Code> {
    let base = of.maps.snapshot()?;
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
pub(super) fn find_gone(of: Converting<'_>, source: Over<'_>, gone: &Map) -> io::Result<Code> {
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

/// Deletes what a key of the snapshot that the old map does not have any more became, if no new program changed it.
pub(super) fn delete_gone(of: Converting<'_>, source: Over<'_>) -> io::Result<Code> {
    let base = of.maps.snapshot()?;
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
        // The new map's value in R8, and in R9 what it is expected to be.
        let look = |w: &mut Writer<'_>, cpus: &Cpus| {
            of.with_old_key(w);
            w.lookup_of(R9, base, cpus, not_there);
            w.asm.store(Size::B8, R10, at::BASE, R9);
            if of.base_of == Side::From {
                w.asm.mov(R7, R9);
                of.read(w);
                of.convert_value(w, of.fresh, Area::Read, Area::Expected, Onto::Nothing, unfit);
            }
            w.asm.load(Size::B8, R6, R10, at::NEW);
            w.lookup_of(R8, of.maps.to, cpus, not_there);
            of.expected(w, R9);
        };
        w.each_cpu(&cpus, |w, cpus| {
            look(w, cpus);
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
        if !of.maps.pieces.sums.is_empty() {
            w.each_cpu(&cpus, |w, cpus| {
                look(w, cpus);
                w.take_expected();
            });
        }
        w.asm.bind(not_there);
        of.with_old_key(w);
        w.forget(base);
        w.asm.jump(w.done);
        of.end(w, unfit);
    })
}
