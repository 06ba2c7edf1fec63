//! What is known of the snapshot before a pass, and the records of its entries in the order of the old map (`emit/records.rs`).

use std::io;

use maplock_layout::map::MapType;

use super::super::base::record_room;
use super::super::emit::asm::Code;
use super::super::emit::inputs::{Count, Over, record};
use super::super::emit::records::find_unseen;
use super::super::error::TransferError;
use super::counts;
use super::programs::Programs;
use super::run::{iterate, run_over_indexes};
use crate::sys::{Map, NewMap, Prog};

/// What is known of the snapshot, while nothing else writes it.
#[derive(Default)]
pub(in crate::transfer) struct Known {
    /// How many entries it has.
    pub(in crate::transfer) entries: Option<u64>,
    /// For the last pass, when nothing writes the old map any more.
    pub(in crate::transfer) recorded: Option<Recorded>,
}

/// Records, and the programs that look at them.
pub(in crate::transfer) struct Recorded {
    records: Map,
    settle: Prog,
    /// Finds what is gone.
    unseen: Option<Prog>,
}

impl Recorded {
    /// Records what a snapshot of so many entries has. `None` if that is not worth it.
    ///
    /// # Errors
    /// The kernel's, such as one that takes no such program.
    pub(super) fn new(
        programs: &dyn Programs,
        btf_id: u32,
        gone: Option<&Map>,
        entries: u64,
    ) -> Result<Option<Self>, TransferError> {
        let maps = programs.maps();
        let from = maps.from;
        let failed = |what| TransferError::kernel(from, what);
        let (key_size, value_size) = (from.info().key_size, from.info().value_size);
        let room = match record_room(from.info().map_type, key_size, value_size, entries) {
            Some(room) if programs.can_be_recorded() => room,
            _ => return Ok(None),
        };
        let records = new_records(key_size, value_size, room).map_err(failed("making records"))?;
        let source = |records| Over::Iterator { btf_id, key_size, half: None, records };
        let load = |code: io::Result<Code>| code.and_then(Code::load).map_err(failed("loading a program for records"));
        let recording = load(programs.record(source(None), &records))?;
        let settle = load(programs.settle(source(Some(&records))))?;
        // Calls itself for each record (Linux 5.17).
        let unseen = gone.and_then(|gone| load(find_unseen(maps, &records, gone)).ok());
        counts::set(maps.counts, Count::Turn, 0)?;
        iterate(&recording, from, &mut |_, _| Ok(()))?;
        Ok(Some(Self { records, settle, unseen }))
    }

    /// The program that settles, from the first entry on.
    pub(super) fn settle(&self, counts: &Map) -> Result<&Prog, TransferError> {
        counts::set(counts, Count::Turn, 0)?;
        Ok(&self.settle)
    }

    /// Finds the keys that are gone, after all entries were settled. True if these are as many as that.
    pub(super) fn find_gone(&self, counts: &Map, expected: u64) -> Result<bool, TransferError> {
        let Some(prog) = &self.unseen else { return Ok(false) };
        run_over_indexes(prog, &self.records, (self.records.info().max_entries, usize::MAX), &mut |_, _| Ok(()))?;
        Ok(counts::get(counts, Count::Gone)? == expected)
    }
}

fn new_records(key_size: u32, value_size: u32, room: u32) -> io::Result<Map> {
    let size = u32::try_from(record::size(key_size, value_size)).map_err(io::Error::other)?;
    let mut new = NewMap::new(MapType::ARRAY, 4, size, room);
    new.name = "maplock_records";
    Map::create(&new)
}
