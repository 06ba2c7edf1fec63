//! What conversions in user space came to, brought into the maps by a program: an entry of the old map with all that it became is
//! done, or is not, whatever happens to the process.

use std::io;
use std::os::fd::AsFd as _;

use maplock_layout::conversion::Collide;
use maplock_layout::map::MapType;

use super::super::drive::{counts, run::run};
use super::super::emit::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use super::super::emit::asm::{BPF_ANY, BPF_NOEXIST, Code, EEXIST, Helper, If, Size};
use super::super::emit::inputs::{Count, Maps, Over};
use super::super::emit::writer::{Writer, at, build};
use super::super::error::TransferError;
use super::super::pieces::Pieces;
use super::super::types::{Settled, is_array};
use super::types::Convert;
use crate::sys::consts::BPF_F_MMAPABLE;
use crate::sys::{Map, Mmap, NewMap, Prog};

/// One entry of the new map, brought from what it is expected to be to what it is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Its key.
    pub(super) key: Vec<u8>,
    /// What it is expected to be; `None` if it is not expected to be there.
    pub(super) expected: Option<Vec<u8>>,
    /// What it is to become; `None` if it is to go.
    pub(super) target: Option<Vec<u8>>,
}

/// What is to be done for one entry of the old map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changes {
    /// In the new map.
    pub(super) changes: Vec<Change>,
    /// The entry of the snapshot afterwards: its key, and its value or none.
    pub(super) base: (Vec<u8>, Option<Vec<u8>>),
    /// True in a first pass: nothing is done if the snapshot has the entry, which was met a second time. Of an array, each is met once.
    pub(super) is_copy: bool,
}

/// Bits of a slot's first word.
mod op {
    pub(super) const EXPECTED: u32 = 1;
    pub(super) const TARGET: u32 = 2;
    pub(super) const WRITE_BASE: u32 = 4;
    pub(super) const DELETE_BASE: u32 = 8;
    pub(super) const IS_COPY: u32 = 16;
}

/// Where things are in a slot.
#[derive(Debug, Clone, Copy)]
struct Places {
    key: usize,
    expected: usize,
    target: usize,
    base_key: usize,
    base: usize,
    size: usize,
}

impl Places {
    fn new(to: &Map, base: &Map) -> Self {
        let room = |bytes: u32| (bytes as usize).next_multiple_of(8);
        let (key, value) = (room(to.info().key_size), room(to.info().value_size));
        let (base_key, base_value) = (room(base.info().key_size), room(base.info().value_size));
        let at_key = 8;
        let expected = at_key + key;
        let target = expected + value;
        let at_base_key = target + value;
        let base = at_base_key + base_key;
        Self { key: at_key, expected, target, base_key: at_base_key, base, size: base + base_value }
    }
}

/// The program, and the array through which changes get to it.
pub(super) struct Applier<'a> {
    prog: Prog,
    memory: Mmap,
    places: Places,
    slots: usize,
    counts: Map,
    convert: Convert<'a>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(convert: &Convert<'a>, pieces: &Pieces, collide: Option<Collide>) -> io::Result<Self> {
        let Convert { from, to, base, .. } = *convert;
        let base = base.ok_or_else(|| io::Error::other("entries are converted only with a snapshot"))?;
        let places = Places::new(to, base);
        let slots = ((4 << 20) / places.size).clamp(16, 1024);
        let array = |name, size: usize, entries: usize, flags| {
            let size = u32::try_from(size).map_err(io::Error::other)?;
            let mut new = NewMap::new(MapType::ARRAY, 4, size, u32::try_from(entries).map_err(io::Error::other)?);
            (new.name, new.flags) = (name, flags);
            Map::create(&new)
        };
        let memory = array("maplock_slots", places.size, slots, BPF_F_MMAPABLE)?;
        let counts = counts::new()?;
        let maps = Maps::shared((from, to), Some(base), pieces, &counts);
        let prog = program(maps, base, &memory, collide)?.load()?;
        Ok(Self { prog, memory: Mmap::new(&memory)?, places, slots, counts, convert: *convert })
    }

    /// Does all of it. An entry of the old map that becomes more entries than fit is an error.
    pub(super) fn apply(&mut self, all: &[Changes]) -> Result<(), TransferError> {
        let mut used = 0;
        for changes in all {
            // One more that has to do with the snapshot alone, where nothing changes in the new map.
            let wanted = changes.changes.len().max(1);
            if wanted > self.slots {
                let source = io::Error::other(format!("one entry becomes {wanted}, more than {}", self.slots));
                return Err(TransferError::kernel(self.convert.to, "converting")(source));
            }
            if used + wanted > self.slots {
                self.run(used)?;
                used = 0;
            }
            for at in 0..wanted {
                let is_last = at + 1 == wanted;
                self.write(used + at, changes.changes.get(at), changes, is_last);
            }
            used += wanted;
        }
        self.run(used)
    }

    fn write(&mut self, slot: usize, change: Option<&Change>, changes: &Changes, is_last: bool) {
        let start = slot * self.places.size;
        let mut op = if changes.is_copy { op::IS_COPY } else { 0 };
        let (base_key, base) = &changes.base;
        let mut put = |at: usize, bytes: &[u8]| self.memory.write(start + at, bytes);
        put(self.places.base_key, base_key);
        if let Some(change) = change {
            put(self.places.key, &change.key);
            if let Some(expected) = &change.expected {
                op |= op::EXPECTED;
                put(self.places.expected, expected);
            }
            if let Some(target) = &change.target {
                op |= op::TARGET;
                put(self.places.target, target);
            }
        }
        if is_last {
            match base {
                Some(base) => {
                    op |= op::WRITE_BASE;
                    put(self.places.base, base);
                }
                None => op |= op::DELETE_BASE,
            }
        }
        put(0, &op.to_ne_bytes());
    }

    fn run(&self, used: usize) -> Result<(), TransferError> {
        let to = self.convert.to;
        let used = u32::try_from(used).map_err(io::Error::other).map_err(TransferError::kernel(to, "converting"))?;
        if used == 0 {
            return Ok(());
        }
        run(&self.prog, 0, used).map_err(TransferError::kernel(to, "running a program"))?;
        match counts::failed(&self.counts)? {
            None => Ok(()),
            Some((entries, error)) => Err(self.convert.unwritten(entries, error)),
        }
    }

    /// What was done before is of no account any more.
    pub(super) fn begin(&self) -> Result<(), TransferError> {
        counts::forget(&self.counts)
    }

    /// What was done since.
    pub(super) fn settled(&self) -> Result<Settled, TransferError> {
        counts::settled(&self.counts)
    }
}

pub(super) fn program(maps: Maps<'_>, base: &Map, slots: &Map, collide: Option<Collide>) -> io::Result<Code> {
    let places = Places::new(maps.to, base);
    let at_word = |place: usize| place as i32;
    build(maps, Over::Indexes, "maplock_apply", |w| {
        let done = w.done;
        let (absent, settled) = (w.asm.label(), w.asm.label());
        w.clear_flags();
        w.asm.map(R1, slots.as_fd());
        w.asm.mov(R2, R6);
        w.asm.call(Helper::MapLookupElem);
        w.asm.jump_if_imm(R0, If::Eq, 0, done);
        w.asm.store(Size::B8, R10, at::WORK, R0);
        w.asm.load(Size::B4, R1, R0, 0);
        w.asm.store(Size::B8, R10, at::OLD, R1);
        let slot = |w: &mut Writer<'_>, dst, place| {
            w.asm.load(Size::B8, dst, R10, at::WORK);
            w.asm.add_imm(dst, at_word(place));
        };
        // Goes on where the slot has none of the bits.
        let unless = |w: &mut Writer<'_>, bits: u32, to| {
            w.asm.load(Size::B8, R1, R10, at::OLD);
            w.asm.and_imm(R1, bits.cast_signed());
            w.asm.jump_if_imm(R1, If::Eq, 0, to);
        };

        let fresh = w.asm.label();
        unless(w, op::IS_COPY, fresh);
        // An array has every index from the start, and no one is met twice.
        if !is_array(base.info().map_type) {
            slot(w, R6, places.base_key);
            w.lookup(R9, base, fresh);
            w.asm.jump(done);
        } else if is_array(maps.to.info().map_type) {
            slot(w, R6, places.key);
            slot(w, R7, places.target);
            w.write(maps.to, BPF_ANY, |asm| asm.mov(R3, R7));
            w.failed_unless_zero();
            w.asm.jump(settled);
        }
        w.asm.bind(fresh);

        unless(w, op::EXPECTED | op::TARGET, settled);
        slot(w, R6, places.key);
        slot(w, R7, places.target);
        slot(w, R9, places.expected);
        w.lookup(R8, maps.to, absent);
        let (unexpected, going) = (w.asm.label(), w.asm.label());
        unless(w, op::EXPECTED, unexpected);
        unless(w, op::TARGET, going);
        w.merge();
        w.count_flags();
        w.asm.jump(settled);

        // Another entry of the old map became it too, or new programs inserted it.
        w.asm.bind(unexpected);
        // An index of an array is always there.
        let may_meet = matches!(collide, Some(Collide::Sum | Collide::KeepOne));
        if collide != Some(Collide::Sum) && (may_meet || !is_array(maps.to.info().map_type)) {
            let inserted_by_both = w.asm.label();
            unless(w, op::IS_COPY, inserted_by_both);
            if !may_meet {
                w.asm.mov_imm(R0, EEXIST);
                w.failed_unless_zero();
            }
            w.asm.jump(settled);
            w.asm.bind(inserted_by_both);
        }
        w.add_sums();
        w.made_by_both();
        w.asm.jump(settled);

        w.asm.bind(going);
        let (kept, delete) = (w.asm.label(), w.asm.label());
        w.gather_all_differences(R8, R9, at::NEW_CHANGED);
        w.jump_unless(at::NEW_CHANGED, delete);
        w.asm.bind(kept);
        w.count(Count::KeptNew);
        if collide != Some(Collide::KeepOne) {
            w.take_expected();
        }
        w.asm.jump(settled);
        w.asm.bind(delete);
        w.delete(maps.to);
        w.count(Count::Deleted);
        w.asm.jump(settled);

        w.asm.bind(absent);
        let (insert, inserted, gone) = (w.asm.label(), w.asm.label(), w.asm.label());
        unless(w, op::EXPECTED, insert);
        unless(w, op::TARGET, settled);
        w.drop_differing_counts();
        w.asm.jump(settled);
        w.asm.bind(insert);
        w.write(maps.to, BPF_NOEXIST, |asm| asm.mov(R3, R7));
        w.asm.jump_if_imm(R0, If::Ne, EEXIST, inserted);
        w.lookup(R8, maps.to, gone);
        w.asm.jump(unexpected);
        w.asm.bind(gone);
        w.count(Count::Dropped);
        w.asm.jump(settled);
        w.asm.bind(inserted);
        w.failed_unless_zero();
        w.count(Count::Inserted);

        w.asm.bind(settled);
        let (delete_base, same) = (w.asm.label(), w.asm.label());
        slot(w, R6, places.base_key);
        unless(w, op::WRITE_BASE, delete_base);
        slot(w, R7, places.base);
        w.write(base, BPF_ANY, |asm| asm.mov(R3, R7));
        w.failed_unless_zero();
        w.asm.jump(same);
        w.asm.bind(delete_base);
        unless(w, op::DELETE_BASE, same);
        w.delete(base);
        w.asm.bind(same);
    })
}
