//! What is true of every program that this module emits, looked at without a kernel.

use std::fmt::Write as _;

use super::super::convert;
use super::super::types::{Sum, is_array};
use super::asm::{Code, Helper, WIDE};
use super::examples::{ALL_CPUS, Example, T, map, source};
use super::inputs::{Cpus, Over, record};
use super::{programs, records};
use crate::sys::Insn;

/// A count of 8 bytes that lies on 4.
const HALVES: &str = "halves of lpm_trie 16 bytes 1 sums";

fn every_program() -> Vec<(String, Code)> {
    let mut all = Vec::new();
    let counters = [Sum { offset: 0, width: 8, signed: false }, Sum { offset: 16, width: 4, signed: false }];
    let only_counters = [Sum { offset: 0, width: 8, signed: false }, Sum { offset: 8, width: 8, signed: false }];
    for map_type in [T::HASH, T::PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY, T::LPM_TRIE] {
        for (value_size, sums) in [(16, &only_counters[..]), (23, &counters), (4096, &[])] {
            programs_of(map_type, value_size, sums, &mut all);
        }
    }
    // Halves lie the other way round where the other byte comes first.
    if cfg!(target_endian = "little") {
        let of = Example::with_keys(T::LPM_TRIE, 8, 16, &counters[..1]);
        let code = programs::settle(of.maps(), source(&of.from)).expect("it can be emitted");
        all.push((format!("settle {HALVES}"), code));
    }
    for map_type in [T::QUEUE, T::STACK] {
        let (from, to, way, work) =
            (map(map_type, 0, 8), map(map_type, 0, 8), map(T::STACK, 0, 8), map(T::ARRAY, 4, 8));
        let way = (map_type == T::STACK).then_some(&way);
        let code = programs::move_all(&from, &to, way, &work, &work).expect("it can be emitted");
        all.push((format!("move {map_type}"), code));
    }
    all.extend(convert::emitted::every_program());
    all
}

fn programs_of(map_type: T, value_size: u32, sums: &[Sum], all: &mut Vec<(String, Code)>) {
    let of = Example::new(map_type, value_size, sums);
    let (maps, over) = (of.maps(), source(&of.from));
    let marked = map(T::HASH, 8, 1);
    let mut add = |name: &str, code: std::io::Result<Code>| {
        let name = format!("{name} {map_type} {value_size} bytes {} sums", sums.len());
        all.push((name, code.expect("it can be emitted")));
    };
    if map_type != T::LPM_TRIE {
        add("copy", programs::copy(maps, over));
    }
    if map_type == T::ARRAY {
        add("copy plainly", programs::copy_plain_array(maps));
    }
    if maps.per_cpu {
        add("settle own", programs::settle_cpu(maps, over, &Cpus::Own));
        add("settle others", programs::settle_cpu(maps, over, &ALL_CPUS));
    } else {
        add("settle", programs::settle(maps, over));
    }
    if map_type == T::HASH && value_size < 4096 {
        let records = map(T::ARRAY, 4, record::size(8, value_size) as u32);
        let recorded = Over::Iterator { btf_id: 1, key_size: 8, half: None, records: Some(&records) };
        add("record", records::record(maps, over, &records));
        add("settle recorded", programs::settle(maps, recorded));
        add("find unseen", records::find_unseen(maps, &records, &marked));
    }
    if is_array(map_type) {
        return;
    }
    if maps.per_cpu {
        add("insert", programs::insert(maps, over));
    }
    let is_trie = map_type == T::LPM_TRIE;
    add("find gone", programs::find_gone(maps, over, (!is_trie).then_some(&marked)));
    add("delete gone", programs::delete_gone(maps, if is_trie { over } else { source(&marked) }));
    if !is_trie {
        add("count", programs::count(maps, 1));
        if let (Some(base), false) = (maps.base, maps.per_cpu) {
            add("find changed", programs::find_changed(maps, over, base, &marked));
        }
    }
}

#[test]
fn what_a_helper_returns_as_an_int_is_extended_before_it_is_looked_at() {
    const CALL: u8 = 0x85;
    const SHIFTED: [(u8, u8, i32); 2] = [(0x67, 0, 32), (0xc7, 0, 32)];
    let ints =
        [Helper::MapUpdateElem, Helper::MapDeleteElem, Helper::MapPushElem, Helper::MapPopElem, Helper::MapPeekElem];
    let mut met = std::collections::BTreeSet::new();
    for (name, code) in every_program() {
        let insns: Vec<_> = code.insns.iter().map(|insn| (insn.code, insn.dst, insn.imm)).collect();
        for at in (0..insns.len()).filter(|at| insns[*at].0 == CALL) {
            let helper = insns[at].2;
            let is_int = ints.iter().any(|int| *int as i32 == helper);
            let is_extended = insns[at + 1..].starts_with(&SHIFTED);
            assert_eq!(is_extended, is_int, "{name}: instruction {at} calls {helper}");
            met.insert(helper);
        }
    }
    assert!(ints.iter().all(|int| met.contains(&(*int as i32))), "{met:?}");
}

/// Of a program: its instructions, but for the descriptors of its maps (FNV-1a).
fn digest(code: &Code) -> u64 {
    const PSEUDO_MAP: std::ops::RangeInclusive<u8> = 1..=2;
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for Insn { code, dst, src, off, imm } in &code.insns {
        let is_map = *code == WIDE && PSEUDO_MAP.contains(src);
        let imm = if is_map { 0 } else { *imm };
        for byte in [*code, *dst, *src].into_iter().chain(off.to_le_bytes()).chain(imm.to_le_bytes()) {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    digest
}

/// Nor is any another one if the other byte comes first: `tests/big-endian` holds it against the same file.
#[test]
fn no_program_changes_unnoticed() {
    let mut counts = String::new();
    for (name, code) in every_program() {
        writeln!(counts, "{:5} {:016x} {name}", code.insns.len(), digest(&code)).expect("a string");
    }
    let known = include_str!("emitted.txt").lines();
    let known: String = known
        .filter(|line| cfg!(target_endian = "little") || !line.ends_with(HALVES))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(counts == known, "where that is meant, it belongs into emitted.txt:\n{counts}");
}
