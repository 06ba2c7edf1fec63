//! From the switch of the links to the commit: a hash of 100,000 entries of 8 and 64 bytes grows to twice its room, while
//! programs in a cgroup add to about 300,000 of its counters a second. At the end every count is there. Needs root.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use maplock::internals::sys::{Batch, Map, NewProg, Prog};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Composite, CompositeKind, IntKind, Layout, Lock, MapDef, Member, Shape};
use maplock::{AttachType, Hook, Options, Policies, Policy, Report, Spec};
use maplock_bench::compare::{in_units, median};
use maplock_bench::is_measuring;
use maplock_tests::kernel::{self, Bpffs, Cgroup};

const MEMBERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Counters that one run of the program adds to; and how often it is run.
const EACH: u32 = 16;
const PAUSE: Duration = Duration::from_nanos(1_000_000_000 * EACH as u64 / 300_000);

fn main() {
    if !kernel::available() {
        return;
    }
    let (entries, rounds) = if is_measuring() { (100_000, 9) } else { (1_000, 1) };
    println!("\n{entries} entries of 8 and 64 bytes, {rounds} upgrades each\n");
    println!("| type | members | the window: least | median | counts a second |");
    println!("|---|---|---:|---:|---:|");
    for map_type in [MapType::HASH, MapType::PERCPU_HASH] {
        for (name, sums) in [("8 added up", &MEMBERS[..]), ("2 added up", &MEMBERS[..2])] {
            let done: Vec<[f64; 2]> = (0..rounds).map(|_| upgrade(map_type, entries, sums)).collect();
            let of = |at: usize| done.iter().map(move |done| done[at]);
            let [least, window] = [of(0).fold(f64::MAX, f64::min), median(of(0))].map(in_units);
            println!("| {map_type} | {name} | {least} | {window} | {:.0} |", median(of(1)));
        }
    }
}

/// One upgrade: its window in seconds, and counts a second all the while.
fn upgrade(map_type: MapType, entries: u32, sums: &[&str]) -> [f64; 2] {
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::threaded());
    let dir = bpffs.path().join("bench");
    start(&dir, &cgroup, map_type, entries, entries, sums);
    let map = Map::open(&dir.join("counts")).expect("pinned");
    for chunk in (0..entries).collect::<Vec<_>>().chunks(4096) {
        let keys: Vec<u8> = chunk.iter().flat_map(|key| u64::from(*key).to_ne_bytes()).collect();
        map.update_batch(&keys, &vec![0; chunk.len() * map.value_bytes()], chunk.len(), 0).1.expect("room");
    }
    let (stop, runs) = (AtomicBool::new(false), AtomicU64::new(0));
    let (report, rate) = std::thread::scope(|scope| {
        scope.spawn(|| {
            cgroup.run(|| {
                let start = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    drop(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
                    let runs = runs.fetch_add(1, Ordering::Relaxed) + 1;
                    let due = PAUSE * u32::try_from(runs).expect("seconds");
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                }
            });
        });
        // Most entries count before the upgrade.
        std::thread::sleep(Duration::from_secs(u64::from(is_measuring())));
        let (before, at) = (runs.load(Ordering::Relaxed), Instant::now());
        let report = start(&dir, &cgroup, map_type, entries, entries * 2, sums);
        let counts = (runs.load(Ordering::Relaxed) - before) as f64 * f64::from(EACH);
        let rate = counts / at.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        (report, rate)
    });
    let counted = total(&Map::open(&dir.join("counts")).expect("pinned"));
    assert_eq!(counted, runs.into_inner() * u64::from(EACH), "every count is there");
    [report.window.as_secs_f64(), rate]
}

fn total(map: &Map) -> u64 {
    let (mut batch, mut total) = (Batch::default(), 0);
    while !batch.at_end {
        map.lookup_batch(&mut batch, 4096).expect("a batch");
        let values = &batch.values[..batch.count * map.value_bytes()];
        let firsts = values.chunks_exact(64).map(|value| u64::from_ne_bytes(value[..8].try_into().expect("8 bytes")));
        total += firsts.sum::<u64>();
    }
    total
}

/// A release of the daemon starts, with room for `room` entries.
fn start(dir: &Path, cgroup: &Cgroup, map_type: MapType, entries: u32, room: u32, sums: &[&str]) -> Report {
    let uint = || Arc::new(Layout::new(8, Shape::Int(IntKind::Unsigned)));
    let member =
        |(at, name): (u64, &&str)| Member { name: (*name).into(), offset_bits: at * 64, bits: None, layout: uint() };
    let members = (0..).zip(&MEMBERS).map(member).collect();
    let value = Composite::new(CompositeKind::Struct, Some("counts".into()), members).expect("few members");
    let def = MapDef {
        key_size: 8,
        value_size: 64,
        max_entries: room,
        pinning: Pinning::ByName,
        key: Some(uint()),
        value: Some(Arc::new(Layout::new(64, Shape::Composite(Arc::new(value))))),
        ..MapDef::new("counts", map_type)
    };
    let spec = Spec::from(Lock { maps: [("counts".to_owned(), LockedMap::new(def))].into(), ..Lock::default() });
    let all = Policy { sum: sums.iter().map(|name| (*name).to_owned()).collect(), ..Policy::default() };
    let options = Options::new(spec, dir).policies(Policies { all, ..Policies::default() });
    let mut staged = options.begin().expect("planned").stage().expect("staged");
    let prog = counter(staged.map("counts").expect("staged"), entries);
    let cgroup = File::open(cgroup.path()).expect("a cgroup");
    let hook = Hook::cgroup(&cgroup, AttachType::CGROUP_INET_SOCK_CREATE).expect("a descriptor");
    staged.hook("sock_create", &prog, hook).expect("a hook");
    staged.commit().expect("committed")
}

/// A program that adds 1 to the first member of some entries.
fn counter(map: &Map, entries: u32) -> Prog {
    let insn = |code: u8, dst: u8, src: u8, off: i16, imm: i32| {
        let registers = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
        let ([off0, off1], [imm0, imm1, imm2, imm3]) = (off.to_ne_bytes(), imm.to_ne_bytes());
        u64::from_ne_bytes([code, registers, off0, off1, imm0, imm1, imm2, imm3])
    };
    let insns = [
        insn(0xb7, 6, 0, 0, EACH.cast_signed()),
        // get_prandom_u32() % entries
        insn(0x85, 0, 0, 0, 7),
        insn(0x97, 0, 0, 0, entries.cast_signed()),
        insn(0x7b, 10, 0, -8, 0),
        insn(0x18, 1, 1, 0, map.as_fd().as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(0xbf, 2, 10, 0, 0),
        insn(0x07, 2, 0, 0, -8),
        insn(0x85, 0, 0, 0, 1),
        insn(0x15, 0, 0, 2, 0),
        insn(0xb7, 1, 0, 0, 1),
        insn(0xdb, 0, 1, 0, 0),
        insn(0x07, 6, 0, 0, -1),
        insn(0x55, 6, 0, -13, 0),
        // The socket may be made.
        insn(0xb7, 0, 0, 0, 1),
        insn(0x95, 0, 0, 0, 0),
    ];
    let new = NewProg {
        prog_type: 9,
        expected_attach_type: AttachType::CGROUP_INET_SOCK_CREATE.0,
        name: "counter",
        insns: &insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    };
    Prog::load(&new).expect("a valid program")
}
