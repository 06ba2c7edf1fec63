//! Programs for entries that stay as they are.

use std::io;

use super::super::emit::asm::Code;
use super::super::emit::inputs::{Cpus, Half, Maps, Over};
use super::super::emit::programs as emit;
use super::super::pieces::Pieces;
use super::super::types::{Transfer, is_array, is_per_cpu};
use super::counts;
use super::programs::{Programs, work};
use crate::sys::{self, Map};

/// What they need.
pub(in crate::transfer) struct Same<'a> {
    transfer: Transfer<'a>,
    pieces: Pieces,
    counts: Map,
    /// For each of two programs that run at once.
    scratch: [Map; 2],
    zeros: Map,
    possible_cpus: u32,
}

impl<'a> Same<'a> {
    pub(in crate::transfer) fn new(transfer: Transfer<'a>, pieces: &Pieces) -> io::Result<Self> {
        let size = transfer.from.info().value_size;
        Ok(Self {
            transfer,
            pieces: pieces.clone(),
            counts: counts::new()?,
            scratch: [work(size, 1)?, work(size, 1)?],
            zeros: work(size, 1)?,
            possible_cpus: sys::possible_cpus()?,
        })
    }

    /// With the scratch of the half which a program has.
    fn maps_of(&self, over: Over<'_>) -> Maps<'_> {
        let scratch = match over {
            Over::Iterator { half: Some(Half::Other), .. } => &self.scratch[1],
            _ => &self.scratch[0],
        };
        Maps { scratch, ..self.maps() }
    }
}

impl Programs for Same<'_> {
    fn maps(&self) -> Maps<'_> {
        let Transfer { from, to, base, .. } = self.transfer;
        Maps {
            from,
            to,
            base,
            pieces: &self.pieces,
            counts: &self.counts,
            scratch: &self.scratch[0],
            zeros: &self.zeros,
            per_cpu: is_per_cpu(from.info().map_type),
            possible_cpus: self.possible_cpus,
        }
    }

    fn copy(&self, over: Over<'_>) -> io::Result<Code> {
        emit::copy(self.maps_of(over), over)
    }

    fn copy_plainly(&self) -> Option<io::Result<Code>> {
        let maps = self.maps();
        (self.keeps_indexes() && !maps.per_cpu).then(|| emit::copy_plain_array(maps))
    }

    fn settle(&self, over: Over<'_>) -> io::Result<Code> {
        emit::settle(self.maps_of(over), over)
    }

    fn settle_cpus(&self, over: Over<'_>, cpus: &Cpus) -> io::Result<Code> {
        emit::settle_cpu(self.maps(), over, cpus)
    }

    fn insert(&self, over: Over<'_>) -> io::Result<Code> {
        emit::insert(self.maps(), over)
    }

    fn remembers_each(&self) -> bool {
        true
    }

    fn can_be_recorded(&self) -> bool {
        true
    }

    fn find_gone(&self, over: Over<'_>, gone: Option<&Map>) -> io::Result<Code> {
        emit::find_gone(self.maps(), over, gone)
    }

    fn delete_gone(&self, over: Over<'_>) -> io::Result<Code> {
        emit::delete_gone(self.maps(), over)
    }

    fn keeps_indexes(&self) -> bool {
        is_array(self.transfer.from.info().map_type)
    }
}
