//! Copying 1,000,000 entries of 8 and 64 bytes: entry by entry, by batch calls, and by maplock; then what a copy does to
//! another task on its CPU, what memory it takes, and how long settling takes beside a writer. Needs CAP_BPF.
//!
//! Entry by entry is get_next_key, lookup, update; batch calls are of 4,096 entries from one thread. Each has its turn in
//! each round, into a new map that is made beforehand; figures are medians of CPU time, and the least of the time that passed.
//! maplock's time has the loading of its program in it; large hashes are copied by two threads, so that both kinds of time differ.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use maplock::internals::sys::{Batch, Map, NewMap, possible_cpus, run_on_cpu, wait_for_running_programs};
use maplock::internals::transfer::{Sum, Transfer, TransferOptions, new_base};
use maplock::layout::map::MapType as T;
use maplock_bench::compare::{in_units, median};
use maplock_bench::is_measuring;
use nix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 3;

/// Set where this process is to measure its own memory.
const MEMORY: &str = "MAPLOCK_BENCH_MEMORY";

fn main() {
    if let Err(error) = Map::create(&NewMap::new(T::HASH, 4, 4, 1)) {
        eprintln!("skipped: needs CAP_BPF: {error}");
        return;
    }
    if std::env::var_os(MEMORY).is_some() {
        return memory();
    }
    let entries = if is_measuring() { 1_000_000 } else { 1_000 };
    copies(entries);
    latency(entries);
    in_a_process_of_its_own();
    settling(entries / 10);
}

fn new_map(map_type: T, value_size: u32, entries: u32) -> Map {
    let key_size = if matches!(map_type, T::ARRAY | T::PERCPU_ARRAY) { 4 } else { 8 };
    let is_lru = matches!(map_type, T::LRU_HASH | T::LRU_PERCPU_HASH);
    let slack = if is_lru { 128 * possible_cpus().expect("sysfs") } else { 0 };
    let mut new = NewMap::new(map_type, key_size, value_size, entries + slack);
    new.flags = u32::from(map_type == T::LPM_TRIE);
    Map::create(&new).expect("memory for a map")
}

fn filled(map_type: T, value_size: u32, entries: u32) -> Map {
    let map = new_map(map_type, value_size, entries);
    let values = vec![7; 4096 * map.value_bytes()];
    for chunk in (0..entries).collect::<Vec<_>>().chunks(4096) {
        let keys: Vec<u8> = chunk.iter().flat_map(|number| key(&map, *number)).collect();
        map.update_batch(&keys, &values[..chunk.len() * map.value_bytes()], chunk.len(), 0).1.expect("room");
    }
    map
}

fn key(map: &Map, number: u32) -> Vec<u8> {
    match map.info().map_type {
        T::ARRAY | T::PERCPU_ARRAY => number.to_ne_bytes().to_vec(),
        T::LPM_TRIE => [32_u32.to_ne_bytes(), number.to_be_bytes()].concat(),
        _ => u64::from(number).to_ne_bytes().to_vec(),
    }
}

fn one_by_one(from: &Map, to: &Map) {
    let mut value = vec![0; from.value_bytes()];
    let mut next = from.next_key(None).expect("a key");
    while let Some(key) = next {
        assert!(from.lookup_into(&key, &mut value).expect("an entry"));
        to.update(&key, &value, 0).expect("room");
        next = from.next_key(Some(&key)).expect("a key");
    }
}

fn batches(from: &Map, to: &Map) {
    let mut batch = Batch::default();
    while !batch.at_end {
        from.lookup_batch(&mut batch, 4096).expect("a batch");
        let keys = &batch.keys[..batch.count * from.info().key_size as usize];
        let values = &batch.values[..batch.count * from.value_bytes()];
        to.update_batch(keys, values, batch.count, 0).1.expect("room");
    }
}

fn maplock(from: &Map, to: &Map) {
    let copied = Transfer { from, to, base: None, sums: &[] }.copy(&mut TransferOptions::default()).expect("copied");
    assert_eq!(copied.lost, 0);
}

/// CPU time of this process, in user space and in the kernel: whatever else the machine does is not in it.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock").into()
}

/// A way to copy.
type Way = fn(&Map, &Map);

fn copies(entries: u32) {
    println!(
        "\n{entries} entries of 8 (arrays: 4) and 64 bytes, ns an entry: elapsed time (least), CPU time (median)\n"
    );
    println!("| type | | one by one | batches of 4096 | maplock | one by one / maplock | batches / maplock |");
    println!("|---|---|---:|---:|---:|---:|---:|");
    for map_type in [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY, T::LPM_TRIE] {
        let from = filled(map_type, 64, entries);
        // The last is maplock on one CPU: what it does with two threads otherwise.
        let ways: [Way; 4] = [one_by_one, batches, maplock, on_one_cpu];
        let (mut passed, mut cpu) = ([const { Vec::new() }; 4], [const { Vec::new() }; 4]);
        for round in 0..ROUNDS {
            for turn in 0..ways.len() {
                let at = (round + turn) % ways.len();
                let to = new_map(map_type, 64, entries);
                let (start, start_cpu) = (Instant::now(), cpu_time());
                ways[at](&from, &to);
                passed[at].push(start.elapsed().as_secs_f64() * 1e9 / f64::from(entries));
                cpu[at].push((cpu_time() - start_cpu).as_secs_f64() * 1e9 / f64::from(entries));
            }
        }
        let passed = passed.map(|times| times.into_iter().fold(f64::MAX, f64::min));
        let cpu = cpu.map(|times| median(times.into_iter()));
        for (name, [one, batch, ours, on_one]) in [("elapsed", passed), ("CPU", cpu)] {
            println!(
                "| {map_type} | {name} | {one:.0} | {batch:.0} | {ours:.1} | {:.1} | {:.1} |",
                one / ours,
                batch / ours
            );
            if matches!(map_type, T::HASH | T::LRU_HASH | T::PERCPU_HASH) {
                let (one, batch) = (one / on_one, batch / on_one);
                println!("| {map_type} | {name}, on one CPU | | | {on_one:.1} | {one:.1} | {batch:.1} |");
            }
        }
    }
}

/// On a machine with one CPU, maplock has one thread.
fn on_one_cpu(from: &Map, to: &Map) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run_on_cpu(0).expect("CPU 0");
            maplock(from, to);
        });
    });
}

/// The longest that a task that sleeps for 1 ms overslept while `work` ran on its CPU.
fn oversleeps(work: impl FnOnce() + Send) -> Duration {
    const CPU: u32 = 0;
    let (stop, worst) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run_on_cpu(CPU).expect("CPU 0");
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                std::thread::sleep(Duration::from_millis(1));
                let over = start.elapsed().saturating_sub(Duration::from_millis(1));
                worst.fetch_max(over.as_nanos() as u64, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            run_on_cpu(CPU).expect("CPU 0");
            std::thread::sleep(Duration::from_millis(5));
            work();
            stop.store(true, Ordering::Relaxed);
        });
    });
    Duration::from_nanos(worst.into_inner())
}

fn latency(entries: u32) {
    println!("\n| beside it, on one CPU | a task that sleeps for 1 ms overslept by at most |\n|---|---:|");
    let idle = oversleeps(|| std::thread::sleep(Duration::from_millis(500)));
    println!("| nothing | {} |", in_units(idle.as_secs_f64()));
    let spinning = oversleeps(|| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(500) {
            black_box(());
        }
    });
    println!("| a loop in user space | {} |", in_units(spinning.as_secs_f64()));
    for map_type in [T::HASH, T::PERCPU_HASH, T::ARRAY, T::LPM_TRIE] {
        let from = filled(map_type, 64, entries);
        let ways: [(&str, Way); 2] = [("batches of 4096", batches), ("maplock", maplock)];
        for (name, way) in ways {
            let worst = (0..ROUNDS).map(|_| {
                let to = new_map(map_type, 64, entries);
                oversleeps(|| way(&from, &to)).as_secs_f64()
            });
            println!("| {map_type}, {name} | {} |", in_units(worst.fold(0.0, f64::max)));
        }
    }
}

fn in_a_process_of_its_own() {
    let this = std::env::current_exe().expect("this program");
    let status = std::process::Command::new(this).args(std::env::args().skip(1)).env(MEMORY, "1").status();
    assert!(status.expect("it starts").success());
}

fn memory() {
    let entries = if is_measuring() { 4_000_000 } else { 1_000 };
    let (from, to) = (filled(T::HASH, 16, entries), new_map(T::HASH, 16, entries));
    let sums = [Sum { offset: 0, width: 8, signed: false }, Sum { offset: 8, width: 8, signed: false }];
    let before = high_water();
    let base = new_base(&from).expect("memory");
    let transfer = Transfer { from: &from, to: &to, base: Some(&base), sums: &sums };
    let start = Instant::now();
    transfer.copy(&mut TransferOptions::default()).expect("copied");
    let copied = start.elapsed();
    let settled = transfer.settle(&mut TransferOptions::default()).expect("settled");
    assert_eq!((settled.added, settled.inserted), (0, 0));
    println!(
        "\n{entries} entries of 8 and 16 bytes, of which none changed: copied in {}, settled in {}, \
         peak memory of the process {before} KiB before, {} KiB after",
        in_units(copied.as_secs_f64()),
        in_units((start.elapsed() - copied).as_secs_f64()),
        high_water()
    );
}

/// The most memory that this process ever had, in KiB.
fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line for it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn settling(entries: u32) {
    println!(
        "\n| settling {entries} entries of 8 and 64 bytes, all changed | time | beside writes a second |\n|---|---:|---:|"
    );
    let all: Vec<Sum> = (0..8).map(|at| Sum { offset: at * 8, width: 8, signed: false }).collect();
    for map_type in [T::HASH, T::PERCPU_HASH, T::ARRAY, T::LPM_TRIE] {
        for (name, sums) in [("all added up", &all[..]), ("two added up", &all[..2])] {
            let from = filled(map_type, 64, entries);
            let base = new_base(&from).expect("memory");
            let to = new_map(map_type, 64, entries);
            let transfer = Transfer { from: &from, to: &to, base: Some(&base), sums };
            transfer.copy(&mut TransferOptions::default()).expect("copied");
            let value = vec![9; from.value_bytes()];
            for number in 0..entries {
                from.update(&key(&from, number), &value, 0).expect("there");
            }
            let (stop, writes) = (AtomicBool::new(false), AtomicU64::new(0));
            let (time, rate) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    let value = vec![1; to.value_bytes()];
                    let mut random = 1_u32;
                    while !stop.load(Ordering::Relaxed) {
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        to.update(&key(&to, (random >> 8) % entries), &value, 0).expect("there");
                        writes.fetch_add(1, Ordering::Relaxed);
                        // About 300,000 a second.
                        let pause = Instant::now();
                        while pause.elapsed() < Duration::from_micros(2) {
                            std::hint::spin_loop();
                        }
                    }
                });
                std::thread::sleep(Duration::from_millis(10));
                let (before, start) = (writes.load(Ordering::Relaxed), Instant::now());
                wait_for_running_programs().expect("membarrier");
                transfer.settle(&mut TransferOptions::default()).expect("settled");
                let time = start.elapsed();
                let writes = writes.load(Ordering::Relaxed) - before;
                stop.store(true, Ordering::Relaxed);
                (time, writes as f64 / time.as_secs_f64())
            });
            println!("| {map_type}, {name} | {} | {rate:.0} |", in_units(time.as_secs_f64()));
        }
    }
}
