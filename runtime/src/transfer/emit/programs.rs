//! The programs that copy and settle entries, each for one entry; `drive` says over which entries they run, and
//! `writer.rs` what R6 to R9 are.

use std::io;
use std::os::fd::AsFd as _;

use super::super::pieces::LOOPED;
use super::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use super::asm::{Asm, BPF_ANY, BPF_NOEXIST, Code, EEXIST, Helper, If, Kind, Label, Size};
use super::inputs::{Count, Cpus, Maps, Over, slot};
use super::writer::{at, build};
use crate::sys::Map;

/// Copies an entry to the new map and the snapshot. The value is in R7 for iterators.
pub(in crate::transfer) fn copy(maps: Maps<'_>, source: Over<'_>) -> io::Result<Code> {
    build(maps, source, "maplock_copy", |w| {
        let keyed = matches!(source, Over::Iterator { .. });
        let Maps { from, to, base, .. } = maps;
        if maps.per_cpu {
            if keyed {
                w.asm.store_imm(Size::B8, R10, at::CPU, 0);
                w.write(to, BPF_ANY, |asm| asm.map_value(R3, maps.zeros));
                w.failed_unless_zero();
                if let Some(base) = base {
                    w.write(base, BPF_ANY, |asm| asm.map_value(R3, maps.zeros));
                    w.failed_unless_zero();
                }
            }
            w.each_cpu(&Cpus::Range(0..maps.possible_cpus), |w, cpus| {
                w.lookup_cpu(R7, from, cpus, w.done);
                w.lookup_cpu(R8, to, cpus, w.done);
                w.copy_value(R8, R7);
                if let Some(base) = base {
                    w.lookup_cpu(R9, base, cpus, w.done);
                    w.copy_value(R9, R8);
                }
            });
            return;
        }
        if !keyed {
            w.lookup(R7, from, w.done);
        }
        w.read_once();
        w.write(to, BPF_ANY, |asm| asm.mov(R3, R7));
        w.failed_unless_zero();
        if let Some(base) = base {
            w.write(base, BPF_ANY, |asm| asm.mov(R3, R7));
            w.failed_unless_zero();
        }
    })
}

/// Copies a value of an array in place, without the calls that an update takes. The kernel refuses it if the value has
/// members that programs may not look at.
pub(in crate::transfer) fn copy_plain_array(maps: Maps<'_>) -> io::Result<Code> {
    build(maps, Over::Indexes, "maplock_copy", |w| {
        w.lookup(R7, maps.from, w.done);
        w.lookup(R8, maps.to, w.done);
        w.copy_value(R8, R7);
        if let Some(base) = maps.base {
            w.lookup(R9, base, w.done);
            w.copy_value(R9, R8);
        }
    })
}

/// Counts entries: the iterator's bytes are the count.
pub(in crate::transfer) fn count(maps: Maps<'_>, btf_id: u32) -> io::Result<Code> {
    let source = Over::Iterator { btf_id, key_size: maps.from.info().key_size, half: None, records: None };
    build(maps, source, "maplock_count", |_| {})
}

/// Settles an entry of the old map that is not as in the snapshot: counts follow by the difference, words if the new map's are as in
/// the snapshot, and a key that only the old map has is inserted. Per-CPU maps have [`insert`] and [`settle_cpu`] instead.
pub(in crate::transfer) fn settle(maps: Maps<'_>, source: Over<'_>) -> io::Result<Code> {
    let base = maps.snapshot()?;
    build(maps, source, "maplock_settle", |w| {
        let Maps { from, to, .. } = maps;
        let (insert, dropped) = (w.asm.label(), w.asm.label());
        let keyed = !matches!(source, Over::Indexes);
        // An iterator has the value itself, not a copy; it takes no offsets that are known at run time only.
        if !matches!(source, Over::Iterator { .. }) {
            w.lookup(R7, from, w.done);
        } else if from.info().value_size > LOOPED {
            w.read_once();
        }
        w.lookup(R9, base, insert);
        // Most entries are done with here.
        w.jump_if_same_value(R7, R9, w.done);
        w.clear_flags();
        w.lookup(R8, to, dropped);
        w.merge();
        w.count_flags();
        w.asm.jump(w.done);

        // New programs deleted it: it stays deleted, and its counts go with it.
        w.asm.bind(dropped);
        w.drop_differing_counts();
        w.copy_value(R9, R7);
        if !keyed {
            w.asm.bind(insert);
            return;
        }
        w.asm.jump(w.done);

        // Old programs inserted it. The snapshot comes first: without room there, nothing has happened.
        w.asm.bind(insert);
        let (by_both, again, failed) = (w.asm.label(), w.asm.label(), w.asm.label());
        w.clear_flags();
        w.read_once();
        w.write(base, BPF_ANY, |asm| asm.mov(R3, R7));
        w.failed_unless_zero();
        w.again = again;
        if matches!(source, Over::Keys(_)) {
            // Before Linux 6.13 (eae6a075e953), an LPM trie does not heed the flag.
            let absent = w.asm.label();
            w.lookup(R8, to, absent);
            w.asm.jump(by_both);
            w.asm.bind(absent);
        }
        w.write(to, BPF_NOEXIST, |asm| asm.mov(R3, R7));
        let exists = w.asm.label();
        w.asm.jump_if_imm(R0, If::Eq, EEXIST, exists);
        w.asm.jump_if_imm(R0, If::Ne, 0, failed);
        w.count(Count::Inserted);
        w.count(Count::Remembered);
        w.asm.jump(w.done);

        // So did new programs: their words stay.
        w.asm.bind(exists);
        let gone = w.asm.label();
        w.lookup(R8, to, gone);
        w.asm.bind(by_both);
        w.add_sums();
        w.made_by_both();
        w.count(Count::Remembered);
        w.asm.jump(w.done);

        w.asm.bind(failed);
        w.failed();
        w.asm.jump(again);
        w.asm.bind(gone);
        w.count(Count::Again);
        w.asm.bind(again);
        w.delete(base);
    })
}

/// Per-CPU maps: inserts a key that old programs inserted since the copy, with all of its values 0, also in the snapshot.
/// [`settle_cpu`] fills them.
pub(in crate::transfer) fn insert(maps: Maps<'_>, source: Over<'_>) -> io::Result<Code> {
    let base = maps.snapshot()?;
    build(maps, source, "maplock_insert", |w| {
        let (insert, exists, there) = (w.asm.label(), w.asm.label(), w.asm.label());
        w.lookup(R9, base, insert);
        w.asm.jump(w.done);
        w.asm.bind(insert);
        w.write(maps.to, BPF_NOEXIST, |asm| asm.map_value(R3, maps.zeros));
        w.asm.jump_if_imm(R0, If::Eq, EEXIST, exists);
        w.failed_unless_zero();
        w.count(Count::Inserted);
        w.asm.jump(there);
        w.asm.bind(exists);
        w.count(Count::MaybeAnother);
        w.asm.bind(there);
        w.write(base, BPF_NOEXIST, |asm| asm.map_value(R3, maps.zeros));
        w.failed_unless_zero();
        w.count(Count::Remembered);
    })
}

/// Per-CPU maps: settles the values of some CPUs of an entry that all maps have.
pub(in crate::transfer) fn settle_cpu(maps: Maps<'_>, source: Over<'_>, cpus: &Cpus) -> io::Result<Code> {
    let base = maps.snapshot()?;
    build(maps, source, "maplock_settle", |w| {
        let Maps { from, to, .. } = maps;
        w.each_cpu(cpus, |w, cpus| {
            let (missing, dropped, next) = (w.asm.label(), w.asm.label(), w.asm.label());
            w.lookup_cpu(R7, from, cpus, w.done);
            w.lookup_cpu(R9, base, cpus, missing);
            w.jump_if_same(R7, R9, from.info().value_size, next);
            w.clear_flags();
            w.lookup_cpu(R8, to, cpus, dropped);
            w.merge();
            w.count_flags();
            w.asm.jump(next);
            w.asm.bind(missing);
            w.count(Count::Missing);
            w.asm.jump(next);
            w.asm.bind(dropped);
            w.drop_differing_counts();
            w.copy_value(R9, R7);
            w.asm.bind(next);
        });
    })
}

/// Finds keys of the snapshot that the old map does not have any more, and remembers them: in `gone`, or by a mark in the slot that they
/// came from.
pub(in crate::transfer) fn find_gone(maps: Maps<'_>, source: Over<'_>, gone: Option<&Map>) -> io::Result<Code> {
    build(maps, source, "maplock_gone", |w| {
        let absent = w.asm.label();
        w.lookup(R7, maps.from, absent);
        w.asm.jump(w.done);
        w.asm.bind(absent);
        match gone {
            Some(gone) => {
                w.write(gone, BPF_ANY, |asm| asm.map_value(R3, maps.zeros));
                w.failed_unless_zero();
            }
            None => w.asm.store_imm(Size::B4, R6, slot::MARKED as i16 - slot::KEY as i16, 1),
        }
    })
}

/// Finds keys of the old map whose entries are not as in the snapshot, and remembers them in `changed`.
pub(in crate::transfer) fn find_changed(
    maps: Maps<'_>,
    source: Over<'_>,
    base: &Map,
    changed: &Map,
) -> io::Result<Code> {
    build(maps, source, "maplock_changed", |w| {
        let differs = w.asm.label();
        if maps.from.info().value_size > LOOPED {
            w.read_once();
        }
        w.lookup(R9, base, differs);
        w.jump_if_same_value(R7, R9, w.done);
        w.asm.bind(differs);
        w.write(changed, BPF_ANY, |asm| asm.map_value(R3, maps.zeros));
        w.failed_unless_zero();
    })
}

/// Deletes a key that the old map does not have any more, if no new program changed the entry. One that they changed holds what they
/// counted: what the old entry had held is taken from it.
pub(in crate::transfer) fn delete_gone(maps: Maps<'_>, source: Over<'_>) -> io::Result<Code> {
    let base = maps.snapshot()?;
    build(maps, source, "maplock_delete", |w| {
        let (absent, kept, not_there) = (w.asm.label(), w.asm.label(), w.asm.label());
        let cpus = if maps.per_cpu { Cpus::Range(0..maps.possible_cpus) } else { Cpus::Own };
        w.lookup(R7, maps.from, absent);
        w.asm.jump(w.done);
        w.asm.bind(absent);
        w.clear_flags();
        w.each_cpu(&cpus, |w, cpus| {
            w.lookup_of(R9, base, cpus, not_there);
            w.lookup_of(R8, maps.to, cpus, not_there);
            w.gather_all_differences(R8, R9, at::NEW_CHANGED);
        });
        w.asm.load(Size::B8, R1, R10, at::NEW_CHANGED);
        w.asm.jump_if_imm(R1, If::Ne, 0, kept);
        w.delete(maps.to);
        w.count(Count::Deleted);
        w.asm.jump(not_there);
        w.asm.bind(kept);
        w.count(Count::KeptNew);
        if !maps.pieces.sums.is_empty() {
            w.each_cpu(&cpus, |w, cpus| {
                w.lookup_of(R9, base, cpus, not_there);
                w.lookup_of(R8, maps.to, cpus, not_there);
                w.take_expected();
            });
        }
        w.asm.bind(not_there);
        w.forget(base);
    })
}

/// Moves what is left in a queue behind what the other one holds. `turned`, an empty stack, keeps the order of a stack.
/// An entry is in one of the maps at any time, and a program that has started is not interrupted by a signal.
pub(in crate::transfer) fn move_all(
    from: &Map,
    to: &Map,
    turned: Option<&Map>,
    counts: &Map,
    buffer: &Map,
) -> io::Result<Code> {
    const CB: i16 = 48;
    let mut asm = Asm::default();
    let steps: Vec<(&Map, &Map, Label, bool)> = match turned {
        // What `to` has no room for goes back.
        Some(turned) => {
            vec![
                (from, turned, asm.label(), false),
                (turned, to, asm.label(), true),
                (turned, from, asm.label(), false),
            ]
        }
        None => vec![(from, to, asm.label(), true)],
    };
    asm.load(Size::B4, R6, R1, CB + 4);
    for (.., each, _) in &steps {
        asm.mov(R1, R6);
        asm.callback(R2, *each);
        asm.mov_imm(R3, 0);
        asm.mov_imm(R4, 0);
        asm.call(Helper::Loop);
    }
    asm.mov_imm(R0, 0);
    asm.exit();
    for (from, to, each, is_last) in steps {
        let (stop, fine) = (asm.label(), asm.label());
        asm.function(each);
        asm.map(R1, from.as_fd());
        asm.map_value(R2, buffer);
        asm.call(Helper::MapPeekElem);
        asm.jump_if_imm(R0, If::Ne, 0, stop);
        asm.map(R1, to.as_fd());
        asm.map_value(R2, buffer);
        asm.mov_imm(R3, 0);
        asm.call(Helper::MapPushElem);
        asm.jump_if_imm(R0, If::Eq, 0, fine);
        asm.map_value(R1, counts);
        asm.store(Size::B8, R1, Count::Error as i16 * 8, R0);
        asm.mov_imm(R2, 1);
        asm.atomic_add(Size::B8, R1, Count::Failed as i16 * 8, R2);
        asm.jump(stop);
        asm.bind(fine);
        asm.map(R1, from.as_fd());
        asm.map_value(R2, buffer);
        asm.call(Helper::MapPopElem);
        if is_last {
            asm.map_value(R1, counts);
            asm.mov_imm(R2, 1);
            asm.atomic_add(Size::B8, R1, Count::Inserted as i16 * 8, R2);
        }
        asm.mov_imm(R0, 0);
        asm.exit();
        asm.bind(stop);
        asm.mov_imm(R0, 1);
        asm.exit();
    }
    asm.finish("maplock_move", Kind::Runnable)
}
