//! What the programs of [`generations`](crate::generations) do, instruction by instruction.

use std::os::fd::{AsFd as _, AsRawFd as _};

use maplock::internals::sys::{Insn, Map};

use crate::generations::DOOMED;

/// A program, by the numbers of Documentation/bpf/standardization/instruction-set.rst.
#[derive(Default)]
pub(crate) struct Program(Vec<u64>);

impl Program {
    fn insn(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.0.push(Insn { code, dst, src, off, imm }.word());
    }

    /// `r1 = map; r2 = &key`, where the key is the 4 bytes at `r10 - 4`.
    fn map_and_key(&mut self, map: &Map) {
        self.insn(0x18, 1, 1, 0, map.as_fd().as_raw_fd());
        self.insn(0, 0, 0, 0, 0);
        self.insn(0xbf, 2, 10, 0, 0);
        self.insn(0x07, 2, 0, 0, -4);
    }

    fn key(&mut self, key: u32) {
        self.insn(0x62, 10, 0, -4, key.cast_signed());
    }

    /// Adds to the counters at these offsets of an entry, if it is there.
    pub(crate) fn count(&mut self, map: &Map, key: u32, counters: &[(i16, i32)]) {
        self.key(key);
        self.map_and_key(map);
        self.insn(0x85, 0, 0, 0, 1);
        self.insn(0x15, 0, 0, i16::try_from(counters.len() * 2).expect("few counters"), 0);
        for (offset, by) in counters {
            self.insn(0xb7, 1, 0, 0, *by);
            // lock *(u64 *)(r0 + offset) += r1
            self.insn(0xdb, 0, 1, *offset, 0);
        }
    }

    /// Adds 1 to a counter of 4 bytes at the start of an entry, if it is there.
    pub(crate) fn count_narrow(&mut self, map: &Map, key: u32) {
        self.key(key);
        self.map_and_key(map);
        self.insn(0x85, 0, 0, 0, 1);
        self.insn(0x15, 0, 0, 2, 0);
        self.insn(0xb7, 1, 0, 0, 1);
        // lock *(u32 *)r0 += r1
        self.insn(0xc3, 0, 1, 0, 0);
    }

    /// Deletes one key, and writes one of some others.
    pub(crate) fn churn(&mut self, map: &Map) {
        self.key(DOOMED);
        self.map_and_key(map);
        self.insn(0x85, 0, 0, 0, 3);
        // get_prandom_u32() & 7, + 100
        self.insn(0x85, 0, 0, 0, 7);
        self.insn(0x57, 0, 0, 0, 7);
        self.insn(0x07, 0, 0, 0, 100);
        self.insn(0x63, 10, 0, -4, 0);
        for (offset, word) in [(-16, 7), (-12, 8), (-8, 9)] {
            self.insn(0x62, 10, 0, offset, word);
        }
        self.map_and_key(map);
        self.insn(0xbf, 3, 10, 0, 0);
        self.insn(0x07, 3, 0, 0, -16);
        self.insn(0xb7, 4, 0, 0, 0);
        self.insn(0x85, 0, 0, 0, 2);
    }

    /// `return 1`: the socket may be made.
    pub(crate) fn allow(mut self) -> Vec<u64> {
        self.insn(0xb7, 0, 0, 0, 1);
        self.insn(0x95, 0, 0, 0, 0);
        self.0
    }
}
