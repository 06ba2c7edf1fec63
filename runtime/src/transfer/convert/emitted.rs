//! Every program that converts, as it is emitted for a few maps.

use maplock_layout::conversion::{Bits, Collide, Int, Step, Steps};

use super::super::emit::asm::Code;
use super::super::emit::examples::{ALL_CPUS, Example, T, map, source};
use super::super::emit::inputs::{Cpus, Maps};
use super::super::pieces::Pieces;
use super::super::types::Sum;
use super::apply;
use super::parts::{Areas, Converting};
use super::programs;
use super::types::Side;

/// The program's name, and its instructions.
pub(in crate::transfer) fn every_program() -> Vec<(String, Code)> {
    let mut all = Vec::new();
    for map_type in [T::HASH, T::PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY] {
        for base_of in [Side::From, Side::To] {
            programs_of(map_type, base_of, &mut all);
        }
    }
    all
}

fn programs_of(map_type: T, base_of: Side, all: &mut Vec<(String, Code)>) {
    let is_array = super::super::types::is_array(map_type);
    let of = Example::new(map_type, 24, &[]);
    let old_key = of.from.info().key_size;
    let new_key = if is_array { 4 } else { 12 };
    let to = map(map_type, new_key, 32);
    let base = if base_of == Side::From { map(map_type, old_key, 24) } else { map(map_type, new_key, 32) };
    let gone = map(T::HASH, base.info().key_size, 1);
    let key = |from_size: u32, to_size: u32| Steps {
        from_size,
        to_size,
        steps: vec![Step::Copy { from: 0, to: 0, len: from_size.min(to_size) }],
    };
    let (keys, back) = ([key(old_key, new_key)], [key(new_key, old_key)]);
    let bits = |offset, width| Bits { offset, width, signed: false };
    let widened = |from, to| {
        let (from, to) = (bits(from, 32), bits(to, 64));
        Step::Int(Int { from, to, cast: None, scale: None, numbers: Vec::new() })
    };
    let steps = vec![widened(0, 0), widened(32, 64), Step::Copy { from: 8, to: 16, len: 16 }];
    let values = [Steps { from_size: 24, to_size: 32, steps }];
    let pieces =
        Pieces::new(&to, &[Sum { offset: 0, width: 8, signed: false }, Sum { offset: 16, width: 4, signed: false }]);
    let per_cpu = super::super::types::is_per_cpu(map_type);
    let areas = Areas { key: 16, value: 32 };
    let work = map(T::ARRAY, 4, areas.size());
    let maps = Maps { to: &to, base: Some(&base), pieces: &pieces, ..of.maps() };
    let converting =
        Converting { maps, work: &work, areas, base_of, keys: &keys, values: &values, fresh: &values, back: &back };
    let (over, over_base, over_gone) = (source(&of.from), source(&base), source(&gone));
    let mut add = |name: &str, code: std::io::Result<Code>| {
        let name = format!("convert {name} {map_type} snapshot of {base_of:?}");
        all.push((name, code.expect("it can be emitted")));
    };
    if base_of == Side::From {
        add("copy", programs::copy(converting, over));
    }
    if per_cpu {
        add("settle own", programs::settle_cpu(converting, over, &Cpus::Own));
        add("settle others", programs::settle_cpu(converting, over, &ALL_CPUS));
        if !is_array {
            add("insert", programs::insert(converting, over));
        }
    } else {
        add("settle", programs::settle(converting, over, None));
        for collide in [Collide::Sum, Collide::KeepOne] {
            if base_of == Side::From {
                add(&format!("copy {collide:?}"), programs::settle(converting, over, Some(collide)));
            }
            add(&format!("apply {collide:?}"), apply::program(maps, &base, &work, Some(collide)));
        }
        add("apply", apply::program(maps, &base, &work, None));
    }
    if !is_array {
        add("find gone", programs::find_gone(converting, over_base, &gone));
        add("delete gone", programs::delete_gone(converting, over_gone));
    }
}
