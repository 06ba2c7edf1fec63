//! Locks of 1,000 maps: reading and writing one, comparing two releases, and telling 2,000 findings. The goals: a comparison of two
//! releases under 100 ms with all that it reads, and a report of 2,000 findings under 1 s.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use maplock_codegen::report::{self, Sides};
use maplock_layout::config::Levels;
use maplock_layout::lock::LockedMap;
use maplock_layout::map::{MapDef, MapType, Pinning};
use maplock_layout::{Composite, CompositeKind, IntKind, Layout, Lock, Member, Shape, compare};

const MAPS: usize = 1000;

/// A struct of numbers, of these bytes each.
fn structure(name: &str, sizes: &[u64]) -> Layout {
    let mut members = Vec::new();
    let mut size: u64 = 0;
    for (number, bytes) in sizes.iter().enumerate() {
        size = size.next_multiple_of(*bytes);
        let layout = Arc::new(Layout::new(*bytes, Shape::Int(IntKind::Unsigned)));
        members.push(Member { name: format!("m{number}").into(), offset_bits: size * 8, bits: None, layout });
        size += bytes;
    }
    let of = Composite::new(CompositeKind::Struct, Some(name.into()), members).expect("few members");
    Layout::new(size.next_multiple_of(8), Shape::Composite(Arc::new(of)))
}

/// A release whose values have these members.
fn release(sizes: &[u64]) -> Lock {
    let key = Arc::new(structure("flow_key", &[8, 8, 4, 2, 1, 1]));
    let mut lock = Lock::default();
    for number in 0..MAPS {
        let mut def = MapDef::new(format!("map_{number}"), MapType::HASH);
        let value = structure(&format!("value_{number}"), sizes);
        (def.key_size, def.value_size) = (24, u32::try_from(value.size).expect("a small struct"));
        (def.max_entries, def.pinning) = (1024, Pinning::ByName);
        (def.key, def.value) = (Some(Arc::clone(&key)), Some(Arc::new(value)));
        lock.maps.insert(def.name.clone(), LockedMap::new(def));
    }
    lock
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // Two members change in each map.
    let (old, new) = (release(&[8, 8, 4, 4, 8]).to_string(), release(&[8, 8, 8, 8, 8]).to_string());
    let read = |text: &str| Lock::parse(text).expect("a lock");
    let (old_lock, new_lock) = (read(&old), read(&new));
    let comparison = compare(&old_lock, &new_lock, &Levels::default());
    println!("lock: {} bytes, {} findings", new.len(), comparison.findings.len());

    criterion.bench_function("lock/read", |bencher| bencher.iter(|| black_box(read(&new))));
    criterion.bench_function("lock/write", |bencher| bencher.iter(|| black_box(new_lock.to_string())));
    criterion.bench_function("lock/read two and compare", |bencher| {
        bencher.iter(|| black_box(compare(&read(&old), &read(&new), &Levels::default())));
    });
    criterion.bench_function("lock/tell", |bencher| {
        let sides = Sides {
            old_name: "maps.lock",
            old_text: Some(&old),
            old: &old_lock,
            new: &new_lock,
            accept: Some(""),
            selection: "",
            roots: &[],
        };
        bencher.iter(|| black_box(report::render(&comparison, sides, &|_| None, false)));
    });
    criterion.final_summary();
}
