//! Programs that count without a pause, while their map is replaced by another.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use maplock::Migrations;
use maplock::internals::sys::{Insn, Map, NewProg, Prog, run_on_cpu, wait_for_running_programs};
use maplock::internals::transfer::{Convert, Settled, Side, Sum, Transfer, TransferOptions, Way, new_base};
use maplock::layout::Digest;
use maplock::layout::conversion::{Bits, Conversion, DerivedLeg, Int, Leg, Step, Steps};
use maplock::{Entries, MapValue, Migrate, MigrateError};
use maplock_tests::kernel;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::support::*;

const KEYS: u32 = 20_000;
const WRITERS: u32 = 2;

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    Insn { code, dst, src, off, imm }.word()
}

/// Where a value has what the programs write.
#[derive(Clone, Copy)]
struct Places {
    /// The counter, and its width.
    count: (i16, usize),
    /// What was written last, in 8 bytes.
    last: Option<i16>,
}

/// A counter, and where there is room the last number behind it.
fn plain(value_size: u32) -> Places {
    Places { count: (0, 8), last: (value_size > 8).then_some(8) }
}

/// A program that adds 1 to the counter of the entry that `cb[0]` names, and writes `cb[1]` behind it; it inserts the entry
/// where it is missing.
fn counter(map: &Map, places: Places) -> Prog {
    let room = -i16::try_from(map.info().value_size.next_multiple_of(8)).expect("small") - 16;
    let fd = map.as_fd().as_raw_fd();
    let is_trie = map.info().map_type == T::LPM_TRIE;
    let load_map_and_key =
        [insn(0x18, 1, 1, 0, fd), insn(0, 0, 0, 0, 0), insn(0xbf, 2, 10, 0, 0), insn(0x07, 2, 0, 0, -16)];
    let mut insns = vec![
        insn(0x61, 6, 1, 48, 0), // r6 = cb[0]
        insn(0x61, 7, 1, 52, 0), // r7 = cb[1]
    ];
    if is_trie {
        insns.push(insn(0x62, 10, 0, -16, (map.info().key_size as i32 - 4) * 8)); // prefix length
        insns.push(insn(0x63, 10, 6, -12, 0));
        insns.push(insn(0x62, 10, 0, -8, 0));
    } else {
        insns.push(insn(0x7b, 10, 6, -16, 0));
    }
    insns.extend(load_map_and_key);
    insns.push(insn(0x85, 0, 0, 0, 1)); // lookup
    let words = (-16 - room) / 8;
    insns.push(insn(0x55, 0, 0, 16 + words, 0)); // found
    insns.extend((0..words).map(|word| insn(0x7a, 10, 0, room + word * 8, 0)));
    insns.extend(load_map_and_key);
    insns.push(insn(0xbf, 3, 10, 0, 0));
    insns.push(insn(0x07, 3, 0, 0, room.into()));
    insns.push(insn(0xb7, 4, 0, 0, 1)); // BPF_NOEXIST
    insns.push(insn(0x85, 0, 0, 0, 2)); // update
    insns.extend(load_map_and_key);
    insns.push(insn(0x85, 0, 0, 0, 1)); // lookup
    insns.push(insn(0x55, 0, 0, 2, 0)); // found
    insns.push(insn(0xb7, 0, 0, 0, 1));
    insns.push(insn(0x95, 0, 0, 0, 0));
    insns.push(insn(0xb7, 1, 0, 0, 1)); // found:
    let (at, width) = places.count;
    insns.push(insn(if width == 8 { 0xdb } else { 0xc3 }, 0, 1, at, 0)); // lock *r0 += 1
    if let Some(at) = places.last {
        insns.push(insn(0x7b, 0, 7, at, 0));
    }
    insns.push(insn(0xb7, 0, 0, 0, 0));
    insns.push(insn(0x95, 0, 0, 0, 0));
    Prog::load(&NewProg {
        prog_type: 1,
        expected_attach_type: 0,
        name: "counter",
        insns: &insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    })
    .expect("a valid program")
}

/// What a writer did: how often it counted each key, and what it wrote last.
struct Truth {
    counts: Vec<u64>,
    last: Vec<u32>,
}

/// Counts, on a CPU of its own, over keys of its own.
fn write(writer: u32, progs: [&Prog; 2], switched: &AtomicBool, stop: &AtomicBool, rounds: &AtomicU64) -> Truth {
    run_on_cpu(writer % maplock::internals::sys::possible_cpus().expect("sysfs")).expect("a CPU that runs");
    let mut truth = Truth { counts: vec![0; KEYS as usize], last: vec![0; KEYS as usize] };
    let (mut random, mut done) = (writer + 1, 0_u32);
    while !stop.load(Ordering::Relaxed) {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Keys come to be over time, and some are hot.
        let range = (1 + done / 4).min(KEYS / WRITERS);
        let range = if random & 0x100 == 0 { range.min(64) } else { range };
        let key = (random >> 12) % range * WRITERS + writer;
        done += 1;
        let mut context = [0; 56];
        context[48..52].copy_from_slice(&key.to_ne_bytes());
        context[52..56].copy_from_slice(&done.to_ne_bytes());
        let prog = progs[usize::from(switched.load(Ordering::Acquire))];
        assert_eq!(prog.run(&mut context, &[0; 64]).expect("it runs"), 0);
        rounds.fetch_add(1, Ordering::Release);
        truth.counts[key as usize] += 1;
        truth.last[key as usize] = done;
    }
    truth
}

fn key_size(map_type: T) -> u32 {
    match map_type {
        T::LPM_TRIE => 12,
        T::ARRAY | T::PERCPU_ARRAY => 4,
        _ => 8,
    }
}

fn is_exact(map_type: T, key_size: u32, value_size: u32, round: u32) {
    let sums = [Sum { offset: 0, width: 8, signed: false }];
    let room = room(map_type, KEYS);
    let new = || new_map(map_type, key_size, value_size, room);
    let (from, to) = (new(), new());
    let needs_base = maplock::internals::transfer::needs_base(map_type);
    let base = needs_base.then(|| maplock::internals::transfer::new_base(&from).expect("memory"));
    let maps = Maps { from, to, base, sums: sums.to_vec() };
    let copy = || _ = maps.copy(None).expect("copied");
    let sides = [(&maps.from, plain(value_size)), (&maps.to, plain(value_size))];
    nothing_is_lost(sides, round, &copy, &|| maps.settle(None));
}

/// `{ u32 count; u32 unused; u64 last; }` to `{ u64 last; u64 unused; u64 count; }`.
fn is_exact_converted(map_type: T, by_hand: bool, round: u32) {
    let room = room(map_type, KEYS);
    let (from, to) = (new_map(map_type, key_size(map_type), 16, room), new_map(map_type, key_size(map_type), 24, room));
    let base = maplock::internals::transfer::new_base(&from).expect("memory");
    let there = if by_hand { by_code(map_type) } else { by_steps(key_size(map_type)) };
    let sums = [Sum { offset: 16, width: 8, signed: false }];
    let convert = Convert {
        from: &from,
        to: &to,
        base: Some(&base),
        base_of: Side::From,
        there: &there,
        back: None,
        sums: &sums,
    };
    let old = Places { count: (0, 4), last: Some(8) };
    let new = Places { count: (16, 8), last: Some(0) };
    let copy = || _ = convert.copy(&mut TransferOptions::default()).expect("copied");
    let settle = || convert.settle(&mut TransferOptions::default()).expect("settled");
    nothing_is_lost([(&from, old), (&to, new)], round, &copy, &settle);
}

fn by_steps(key_size: u32) -> Way {
    let bits = |offset, width| Bits { offset, width, signed: false };
    let count = Int { from: bits(0, 32), to: bits(128, 64), cast: None, scale: None, numbers: Vec::new() };
    let value = vec![Step::Int(count), Step::Copy { from: 8, to: 0, len: 8 }];
    let key = vec![Step::Copy { from: 0, to: 0, len: key_size }];
    let leg = DerivedLeg {
        key: Steps { from_size: key_size, to_size: key_size, steps: key },
        value: Steps { from_size: 16, to_size: 24, steps: value },
        collide: None,
        keeps_key: true,
    };
    Way::new(&Conversion { legs: vec![Leg::Derived(leg)] }, &Migrations::default(), 0, 0).expect("no code")
}

#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Old {
    count: u32,
    unused: u32,
    last: u64,
}

impl MapValue for Old {}

macro_rules! new {
    ($name:ident, $key:ty) => {
        #[derive(FromBytes, IntoBytes, Immutable)]
        #[repr(C)]
        struct $name {
            last: u64,
            unused: u64,
            count: u64,
        }

        impl MapValue for $name {}

        impl Migrate<Old> for $name {
            type OldKey = $key;
            type Key = $key;

            fn migrate(key: &$key, old: &Old, new: &mut Entries<'_, $key, Self>) -> Result<(), MigrateError> {
                new.insert(*key, Self { last: old.last, unused: 0, count: old.count.into() });
                Ok(())
            }
        }
    };
}

new!(OfIndex, u32);
new!(OfKey, u64);

pub(crate) fn by_code(map_type: T) -> Way {
    let digest = |digit: &str| Digest::parse(&digit.repeat(32)).expect("a digest");
    let (from, to) = (digest("a"), digest("b"));
    let mut migrations = Migrations::default();
    match key_size(map_type) {
        4 => migrations.add::<OfIndex, Old>(from, to),
        _ => migrations.add::<OfKey, Old>(from, to),
    }
    Way::new(&Conversion { legs: vec![Leg::ByHand { from, to }] }, &migrations, 0, 0).expect("it is there")
}

fn nothing_is_lost(
    sides: [(&Map, Places); 2],
    round: u32,
    copy: &(dyn Fn() + Sync),
    settle: &(dyn Fn() -> Settled + Sync),
) {
    let [(from, old), (to, new)] = sides;
    let (map_type, value_size) = (to.info().map_type, to.info().value_size);
    let progs = [counter(from, old), counter(to, new)];
    let (switched, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let rounds = [AtomicU64::new(0), AtomicU64::new(0)];
    let (settled, truths) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (progs, rounds) = ([&progs[0], &progs[1]], &rounds[writer as usize]);
                let (switched, stop) = (&switched, &stop);
                scope.spawn(move || write(writer, progs, switched, stop, rounds))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(40));
        copy();
        std::thread::sleep(Duration::from_millis(u64::from(round) * 5));
        switched.store(true, Ordering::Release);
        // The switch of a link is seen by whoever starts a program after it. Here, a writer may be between the two.
        for rounds in &rounds {
            // On the wall: it waits for another thread, and so long only where that one is gone.
            let (before, waiting) = (rounds.load(Ordering::Acquire), Instant::now());
            while rounds.load(Ordering::Acquire) < before + 2 {
                assert!(waiting.elapsed() < Duration::from_secs(60), "a writer stopped");
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        wait_for_running_programs().expect("membarrier");
        let settled = settle();
        std::thread::sleep(Duration::from_millis(5));
        stop.store(true, Ordering::Relaxed);
        let truths: Vec<_> = writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
        (settled, truths)
    });
    assert!(settled.is_exact(), "{map_type}: {settled:?}");
    assert_eq!(settled.method, Some(maplock::internals::transfer::Method::Kernel));
    let mut lost = 0;
    let contents = contents(to);
    for number in 0..KEYS {
        let truth = &truths[(number % WRITERS) as usize];
        let key = match map_type {
            T::LPM_TRIE => {
                let size = to.info().key_size as usize;
                let bits = (to.info().key_size - 4) * 8;
                [bits.to_ne_bytes(), number.to_ne_bytes(), [0; 4]].concat()[..size].to_vec()
            }
            _ => key(to, number),
        };
        let part = part(to);
        let word = |value: &[u8], at: i16| {
            let at = at.unsigned_abs() as usize;
            u64::from_ne_bytes(value[at..at + 8].try_into().expect("8 bytes"))
        };
        let (count, last) = contents.get(&key).map_or((0, 0), |value| {
            let parts = || value.chunks(part);
            let last = new.last.map_or(0, |at| parts().map(|part| word(part, at)).max().unwrap_or(0));
            (parts().map(|part| word(part, new.count.0)).sum(), last)
        });
        let wanted = truth.counts[number as usize];
        lost += wanted.abs_diff(count);
        if new.last.is_some() {
            assert_eq!(last, u64::from(truth.last[number as usize]), "{map_type} {number} {settled:?}");
        }
    }
    let total: u64 = truths.iter().flat_map(|truth| &truth.counts).sum();
    assert_eq!(lost, 0, "{map_type} {value_size}: of {total}; {settled:?}");
    println!("{map_type} {value_size}: {total} counts, {settled:?}");
}

#[test]
fn no_count_is_lost_while_entries_are_converted() {
    if !can_run() {
        return;
    }
    for round in 0..kernel::times(2, 1) {
        for map_type in [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::LRU_PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY] {
            if has_programs(map_type) && kernel::has_exchange() {
                is_exact_converted(map_type, false, round);
            }
        }
        for map_type in [T::HASH, T::LRU_HASH, T::ARRAY] {
            if has_programs(map_type) && kernel::has_exchange() {
                is_exact_converted(map_type, true, round);
            }
        }
    }
}

#[test]
fn no_count_is_lost_under_traffic() {
    if !can_run() {
        return;
    }
    for round in 0..kernel::times(2, 1) {
        for map_type in COPIED {
            for value_size in [8, 16] {
                // Behind the count is what is set.
                if !has_programs(map_type) || value_size > 8 && !kernel::has_exchange() {
                    continue;
                }
                is_exact(map_type, key_size(map_type), value_size, round);
                // A value behind an IPv4 prefix lies on 4 bytes.
                if map_type == T::LPM_TRIE && kernel::has_exchange() {
                    is_exact(map_type, 8, value_size, round);
                }
            }
        }
    }
}

#[test]
fn a_full_hash_in_which_keys_come_and_go_is_copied() {
    const ENTRIES: u32 = 30_000;
    if !can_run() {
        return;
    }
    let from = new_map(T::HASH, 4, 8, ENTRIES);
    (0..ENTRIES).for_each(|key| from.update(&key.to_ne_bytes(), &[1; 8], 0).expect("room"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The oldest key goes, a new one comes: the map is full all the time.
            let mut oldest = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                from.delete(&oldest.to_ne_bytes()).expect("deleted");
                from.update(&(oldest + ENTRIES).to_ne_bytes(), &[1; 8], 0).expect("room");
                oldest += 1;
            }
        });
        let copy = |_| {
            let (to, base) = (new_map(T::HASH, 4, 8, ENTRIES * 2), new_base(&from).expect("a snapshot"));
            Transfer { from: &from, to: &to, base: Some(&base), sums: &[] }.copy(&mut TransferOptions::default())
        };
        let results: Vec<_> = (0..10).map(copy).collect();
        stop.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| _ = result.expect("the snapshot has room"));
    });
}
