//! The second pass over entries that did not change, beside the least that could find that out: `bpf_for_each_map_elem` with a callback that
//! looks the key up in the snapshot and compares the value. Then the window over 4,000,000 entries of which 1% change in a second. Needs root.
//!
//! Both are over the same maps, by turns; figures are medians of CPU time, of the process with all its threads, and the least of the
//! time that passed. `MAPLOCK_BENCH_ENTRIES` is the number of entries in place of 4,000,000; `-- scans` and `-- windows` are for one of the two.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use maplock::internals::sys::{Btf, Map, NewMap, NewProg, Prog, possible_cpus, wait_for_running_programs};
use maplock::internals::transfer::{Sum, Transfer, TransferOptions, new_base};
use maplock::layout::map::MapType as T;
use maplock_bench::compare::{in_units, median};
use maplock_bench::is_measuring;
use nix::time::{ClockId, clock_gettime};

const SUMS: [Sum; 1] = [Sum { offset: 0, width: 8, signed: false }];

fn main() {
    if let Err(error) = Map::create(&NewMap::new(T::HASH, 4, 4, 1)) {
        eprintln!("skipped: needs CAP_BPF: {error}");
        return;
    }
    let (few, many, rounds) = if is_measuring() { (600_000, 4_000_000, 5) } else { (1_000, 60_000, 1) };
    let wanted = std::env::var("MAPLOCK_BENCH_ENTRIES").ok().and_then(|wanted| wanted.parse().ok());
    let (few, many) = wanted.map_or((few, many), |wanted| (few.min(wanted), wanted));
    let asked = |part: &str| {
        let mut parts = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
        parts.peek().is_none() || parts.any(|asked| asked == part)
    };
    if asked("scans") {
        println!(
            "\n| map | entries | value | | CPU time | times | passed, least |\n|---|---:|---:|---|---:|---:|---:|"
        );
        for (map_type, entries, value_size) in
            [(T::HASH, few, 16), (T::HASH, few, 64), (T::HASH, many, 16), (T::LRU_HASH, few, 16), (T::ARRAY, many, 16)]
        {
            scans(map_type, entries, value_size, rounds);
        }
    }
    if asked("windows") {
        println!(
            "\n| entries | changed a second | rounds before the switch took | the window: least | median | CPU time |\n|---:|---:|---:|---:|---:|---:|"
        );
        windows(many, rounds);
    }
}

/// An old map with its copy and its snapshot.
struct Maps {
    from: Map,
    to: Map,
    base: Map,
}

impl Maps {
    fn new(map_type: T, entries: u32, value_size: u32) -> Self {
        let key_size = if map_type == T::ARRAY { 4 } else { 8 };
        let slack = if map_type == T::LRU_HASH { 128 * possible_cpus().expect("sysfs") } else { 0 };
        let new = || Map::create(&NewMap::new(map_type, key_size, value_size, entries + slack)).expect("memory");
        let (from, to) = (new(), new());
        for chunk in (0..entries).collect::<Vec<_>>().chunks(4096) {
            let keys: Vec<u8> = chunk.iter().flat_map(|number| key(&from, *number)).collect();
            let values = vec![7; chunk.len() * value_size as usize];
            from.update_batch(&keys, &values, chunk.len(), 0).1.expect("room");
        }
        let base = new_base(&from).expect("memory");
        let maps = Self { from, to, base };
        maps.transfer().copy(&mut TransferOptions::default()).expect("copied");
        maps
    }

    fn transfer(&self) -> Transfer<'_> {
        Transfer { from: &self.from, to: &self.to, base: Some(&self.base), sums: &SUMS }
    }
}

fn key(map: &Map, number: u32) -> Vec<u8> {
    let mut key = number.to_ne_bytes().to_vec();
    key.resize(map.info().key_size as usize, 0);
    key
}

/// CPU time of this process, in user space and in the kernel: whatever else the machine does is not in it.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("Linux has this clock").into()
}

fn scans(map_type: T, entries: u32, value_size: u32, rounds: usize) {
    let maps = Maps::new(map_type, entries, value_size);
    let least = for_each(&maps.from, &maps.base);
    let transfer = maps.transfer();
    let mut prepared = transfer.prepare(&TransferOptions::default()).expect("loaded");
    let (mut cpu, mut passed) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for round in 0..rounds * 2 {
        let at = round % 2;
        if at == 1 {
            prepared.catch_up();
        }
        let (start, start_cpu) = (Instant::now(), cpu_time());
        if at == 0 {
            let differ = least.run(&mut [0; 56], &[0; 64]).expect("it runs");
            assert_eq!(differ, 0);
        } else {
            let settled = prepared.settle(&mut TransferOptions::default()).expect("settled");
            assert_eq!((settled.added, settled.deleted), (0, 0));
        }
        passed[at].push(start.elapsed().as_secs_f64());
        cpu[at].push((cpu_time() - start_cpu).as_secs_f64());
    }
    let passed = passed.map(|times| times.into_iter().fold(f64::MAX, f64::min));
    let cpu = cpu.map(|times| median(times.into_iter()));
    for (name, at) in [("for_each, look-up, comparison", 0), ("maplock", 1)] {
        let (time, times) = (in_units(cpu[at]), cpu[at] / cpu[0]);
        println!("| {map_type} | {entries} | {value_size} | {name} | {time} | {times:.2} | {} |", in_units(passed[at]));
    }
}

/// A program that counts the entries of a map that are not as in another one.
fn for_each(from: &Map, base: &Map) -> Prog {
    let insn = |code: u8, dst: u8, src: u8, off: i16, imm: i32| {
        let registers = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
        let ([off0, off1], [imm0, imm1, imm2, imm3]) = (off.to_ne_bytes(), imm.to_ne_bytes());
        u64::from_ne_bytes([code, registers, off0, off1, imm0, imm1, imm2, imm3])
    };
    let map = |dst: u8, map: &Map| [insn(0x18, dst, 1, 0, map.as_fd().as_raw_fd()), insn(0, 0, 0, 0, 0)];
    let mut insns = vec![insn(0x7a, 10, 0, -8, 0)];
    insns.extend(map(1, from));
    let callback = insns.len();
    insns.extend([insn(0x18, 2, 4, 0, 0), insn(0, 0, 0, 0, 0)]);
    insns.extend([
        insn(0xbf, 3, 10, 0, 0),
        insn(0x07, 3, 0, 0, -8),
        insn(0xb7, 4, 0, 0, 0),
        insn(0x85, 0, 0, 0, 164), // bpf_for_each_map_elem
        insn(0x79, 0, 10, -8, 0),
        insn(0x95, 0, 0, 0, 0),
    ]);
    let function = insns.len();
    let distance = i32::try_from(function - callback - 1).expect("near");
    insns[callback] = insn(0x18, 2, 4, 0, distance);
    // R1 map, R2 key, R3 value, R4 context.
    insns.extend([insn(0xbf, 6, 3, 0, 0), insn(0xbf, 7, 4, 0, 0)]);
    insns.extend(map(1, base));
    insns.push(insn(0x85, 0, 0, 0, 1));
    let words = i16::try_from(from.info().value_size / 8).expect("small");
    insns.push(insn(0x15, 0, 0, words * 4 + 1, 0));
    insns.push(insn(0xb7, 3, 0, 0, 0));
    for word in 0..words {
        insns.extend([
            insn(0x79, 1, 6, word * 8, 0),
            insn(0x79, 2, 0, word * 8, 0),
            insn(0xaf, 1, 2, 0, 0),
            insn(0x4f, 3, 1, 0, 0),
        ]);
    }
    insns.push(insn(0x15, 3, 0, 3, 0));
    // It differs, or is not there.
    insns.extend([insn(0x79, 1, 7, 0, 0), insn(0x07, 1, 0, 0, 1), insn(0x7b, 7, 1, 0, 0)]);
    insns.extend([insn(0xb7, 0, 0, 0, 0), insn(0x95, 0, 0, 0, 0)]);
    let absent = insns.iter().position(|insn| insn.to_ne_bytes()[0] == 0x15).expect("after the look-up");
    let differs = i16::try_from(insns.len() - 5 - absent - 1).expect("near");
    insns[absent] = insn(0x15, 0, 0, differs, 0);
    let btf = Btf::load(&functions()).expect("valid BTF");
    let starts = [[0, 3], [u32::try_from(function).expect("small"), 3]];
    let new = NewProg {
        prog_type: 1,
        expected_attach_type: 0,
        name: "for_each",
        insns: &insns,
        flags: 0,
        functions: Some((&btf, &starts)),
        attach_btf_id: 0,
    };
    Prog::load(&new).expect("a valid program")
}

/// BTF of `static int f(void)`, for callbacks.
fn functions() -> Vec<u8> {
    const STRINGS: &[u8] = b"\0int\0f\0";
    let types: [u32; 10] = [1, 1 << 24, 4, 1 << 24 | 32, 0, 13 << 24, 1, 5, 12 << 24, 2];
    let (types_len, strings_len) = (size_of_val(&types) as u32, STRINGS.len() as u32);
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    bytes.extend([24, 0, types_len, types_len, strings_len].iter().chain(&types).flat_map(|word| word.to_ne_bytes()));
    bytes.extend(STRINGS);
    bytes
}

fn windows(entries: u32, rounds: usize) {
    let maps = Maps::new(T::HASH, entries, 16);
    let transfer = maps.transfer();
    let (mut before, mut windows, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let each = entries / 10_000;
    for _ in 0..rounds {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(&maps.from, entries, each, &stop));
            std::thread::sleep(Duration::from_millis(if is_measuring() { 500 } else { 20 }));
            let start = Instant::now();
            let mut prepared = transfer.prepare(&TransferOptions::default()).expect("loaded");
            prepared.catch_up();
            before.push(start.elapsed().as_secs_f64());
            stop.store(true, Ordering::Relaxed);
            let start = Instant::now();
            writer.join().expect("a writer");
            wait_for_running_programs().expect("membarrier");
            let start_cpu = cpu_time();
            let settled = prepared.settle(&mut TransferOptions::default()).expect("settled");
            windows.push(start.elapsed().as_secs_f64());
            cpu.push((cpu_time() - start_cpu).as_secs_f64());
            assert_eq!(settled.not_carried, 0);
        });
    }
    let least = windows.iter().copied().fold(f64::MAX, f64::min);
    let [before, windows, cpu] = [before, windows, cpu].map(|times| median(times.into_iter()));
    let [before, least, window, cpu] = [before, least, windows, cpu].map(in_units);
    println!("| {entries} | {} | {before} | {least} | {window} | {cpu} |", each * 100);
}

/// Sets so many entries every 10 ms.
fn write(map: &Map, entries: u32, each: u32, stop: &AtomicBool) {
    let (mut random, mut written, start) = (1_u32, 0_u32, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let mut numbers = Vec::new();
        for _ in 0..each {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            numbers.push((random >> 8) % entries);
        }
        let keys: Vec<u8> = numbers.iter().flat_map(|number| key(map, *number)).collect();
        let count = u64::from(u32::MAX) + start.elapsed().as_nanos() as u64;
        let values = [count, 1].map(u64::to_ne_bytes).concat().repeat(numbers.len());
        map.update_batch(&keys, &values, numbers.len(), 0).1.expect("there");
        written += 1;
        std::thread::sleep((Duration::from_millis(10) * written).saturating_sub(start.elapsed()));
    }
}
