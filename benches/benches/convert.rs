//! Converting 1,000,000 entries of a hash, against the plain copy of the same entries, each with the snapshot that settling needs; both
//! in the kernel. Keys of 8 bytes; values of 64 bytes, of which four counters widen from 4 to 8 bytes and the rest moves. Then the same by code
//! in user space. Needs CAP_BPF.
//!
//! Each has its turn in each round, into new maps that are made beforehand; figures are the least of the time that passed, and
//! medians of CPU time, loading of programs included.

use std::time::{Duration, Instant};

use maplock::Migrations;
use maplock::internals::sys::{Map, NewMap};
use maplock::internals::transfer::{Convert, Method, Side, Transfer, TransferOptions, Way, new_base};
use maplock::layout::conversion::{Bits, Conversion, DerivedLeg, Int, Leg, Step, Steps};
use maplock::layout::map::MapType as T;
use maplock_bench::compare::median;
use maplock_bench::is_measuring;
use nix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 5;
const OLD: u32 = 64;
const NEW: u32 = 80;

fn main() {
    if let Err(error) = Map::create(&NewMap::new(T::HASH, 4, 4, 1)) {
        eprintln!("skipped: needs CAP_BPF: {error}");
        return;
    }
    let entries = if is_measuring() { 1_000_000 } else { 1_000 };
    let from = new_map(OLD, entries);
    for chunk in (0..u64::from(entries)).collect::<Vec<_>>().chunks(4096) {
        let keys: Vec<u8> = chunk.iter().flat_map(|number| number.to_ne_bytes()).collect();
        from.update_batch(&keys, &vec![7; chunk.len() * OLD as usize], chunk.len(), 0).1.expect("room");
    }
    let way = way();
    let names = ["plain copy", "converted in the kernel", "converted in user space"];
    let (mut passed, mut cpu) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for round in 0..ROUNDS {
        for turn in 0..3 {
            let at = (round + turn) % 3;
            let (to, base) = (new_map(if at == 0 { OLD } else { NEW }, entries), new_base(&from).expect("memory"));
            let (start, start_cpu) = (Instant::now(), cpu_time());
            let mut options = TransferOptions::default();
            let copied = if at == 0 {
                Transfer { from: &from, to: &to, base: Some(&base), sums: &[] }.copy(&mut options)
            } else {
                options.method = (at == 2).then_some(Method::Batch);
                let side = Side::From;
                Convert { from: &from, to: &to, base: Some(&base), base_of: side, there: &way, back: None, sums: &[] }
                    .copy(&mut options)
            };
            assert_eq!(copied.expect("copied").entries, u64::from(entries));
            passed[at].push(start.elapsed().as_secs_f64() * 1e9 / f64::from(entries));
            cpu[at].push((cpu_time() - start_cpu).as_secs_f64() * 1e9 / f64::from(entries));
        }
    }
    println!(
        "\n{entries} entries of 8 -> {OLD} bytes (converted: {NEW}), ns an entry, and how often that of the plain copy\n"
    );
    println!("| | passed (least) | x plain | CPU (median) | x plain |\n|---|---:|---:|---:|---:|");
    let passed = passed.map(|times| times.into_iter().fold(f64::MAX, f64::min));
    let cpu = cpu.map(|times| median(times.into_iter()));
    for at in 0..3 {
        let (time, spent) = (passed[at], cpu[at]);
        println!("| {} | {time:.0} | {:.2} | {spent:.0} | {:.2} |", names[at], time / passed[0], spent / cpu[0]);
    }
}

fn new_map(value_size: u32, entries: u32) -> Map {
    Map::create(&NewMap::new(T::HASH, 8, value_size, entries)).expect("memory for a map")
}

/// Four counters from 4 to 8 bytes, and 48 bytes behind them.
fn way() -> Way {
    let bits = |offset: u32, width| Bits { offset: offset * 8, width, signed: false };
    let widened = |at: u32| {
        let (from, to) = (bits(at * 4, 32), bits(at * 8, 64));
        Step::Int(Int { from, to, cast: None, scale: None, numbers: Vec::new() })
    };
    let mut steps: Vec<_> = (0..4).map(widened).collect();
    steps.push(Step::Copy { from: 16, to: 32, len: 48 });
    let key = Steps { from_size: 8, to_size: 8, steps: vec![Step::Copy { from: 0, to: 0, len: 8 }] };
    let leg = DerivedLeg { key, value: Steps { from_size: OLD, to_size: NEW, steps }, collide: None, keeps_key: true };
    Way::new(&Conversion { legs: vec![Leg::Derived(leg)] }, &Migrations::default(), 8, OLD).expect("no code")
}

/// CPU time of this process, in user space and in the kernel.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock").into()
}
