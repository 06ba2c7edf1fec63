//! What old and new programs write around the switch, to the same keys: each entry is right, or the report accounts for it.
//!
//! The upgrade is a process that stands still where it is about to wait for old programs: the links are switched, nothing is settled. What
//! old programs still wrote, and then new ones, is written then.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use std::os::fd::{AsFd as _, AsRawFd as _};

use maplock::internals::sys::{Insn, Map, NewProg, Prog, possible_cpus, run_on_cpu};
use maplock::layout::config::Levels;
use maplock::layout::lock::{LockedMap, OnUpgrade};
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{
    Composite, CompositeKind, IntKind, Layout, Lock, MapDef, Member, Observation, ProgramUse, Shape, epochs,
};
use maplock::{Options, Spec};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::trace::{self, Call, Fate};
use serde_json::Value;

const MAP: &str = "st";

/// How the map comes into the new release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Grow,
    GrowSummed,
    /// `x` gets wider.
    MigrateSummed,
}

const WAYS: [Way; 3] = [Way::Grow, Way::GrowSummed, Way::MigrateSummed];

impl Way {
    fn is_summed(self) -> bool {
        self != Self::Grow
    }
}

fn uint(size: u64) -> Arc<Layout> {
    Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)))
}

fn structure(name: &str, size: u64, members: &[(&str, u64, u64)]) -> Arc<Layout> {
    let member = |(name, offset, size): &(&str, u64, u64)| Member {
        name: (*name).into(),
        offset_bits: offset * 8,
        bits: None,
        layout: uint(*size),
    };
    let members = members.iter().map(member).collect();
    let of = Composite::new(CompositeKind::Struct, Some(name.into()), members).expect("few members");
    Arc::new(Layout::new(size, Shape::Composite(Arc::new(of))))
}

/// `struct v { u64 n; u32 x; }`, or with an `x` of 64 bits.
pub(crate) fn def(map_type: MapType, max_entries: u32, is_wide: bool) -> MapDef {
    let value = structure("v", 16, &[("n", 0, 8), ("x", 8, if is_wide { 8 } else { 4 })]);
    MapDef {
        key_size: 4,
        value_size: 16,
        max_entries,
        pinning: Pinning::ByName,
        key: Some(uint(4)),
        value: Some(value),
        ..MapDef::new(MAP, map_type)
    }
}

/// What programs of both releases do, but for `deletes`.
pub(crate) fn counting(deletes: bool) -> ProgramUse {
    ProgramUse { inserts: true, deletes, adds: ["n".to_owned()].into(), ..ProgramUse::default() }
}

pub(crate) fn lock(def: MapDef, programs: Option<ProgramUse>, user_never_deletes: bool) -> Lock {
    let locked = LockedMap { programs, user_never_deletes, ..LockedMap::new(def) };
    Lock { maps: [(MAP.to_owned(), locked)].into(), ..Lock::default() }
}

/// The lock of a release whose map is converted.
pub(crate) fn converted(old: &Lock, new: Lock) -> Lock {
    let observed = Observation { lock: new.clone(), ..Observation::default() };
    let accepted = epochs::accept(old, &observed, MAP, OnUpgrade::Migrate, "for the test", &Levels::default());
    let converted = epochs::convert(&accepted.expect("a break"), MAP, None).expect("nothing is asked");
    let mut lock = converted;
    let (known, asked) = (lock.maps.get_mut(MAP).expect("it is there"), &new.maps[MAP]);
    (known.programs, known.user_never_deletes) = (asked.programs.clone(), asked.user_never_deletes);
    lock
}

/// A node on which a release runs.
pub(crate) struct Node {
    bpffs: Bpffs,
    old: Lock,
}

impl Node {
    pub(crate) fn new(old: Lock) -> Self {
        let node = Self { bpffs: Bpffs::mount(), old };
        let upgrade = Options::new(Spec::from(node.old.clone()), node.dir()).begin().expect("begun");
        upgrade.stage().expect("staged").commit().expect("committed");
        node
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.bpffs.path().join("daemon")
    }

    pub(crate) fn map(&self) -> Map {
        Map::open(&self.dir().join(MAP)).expect("pinned")
    }

    fn staged(&self) -> Map {
        Map::open(&self.bpffs.path().join("daemon@next").join(MAP)).expect("staged")
    }

    /// Upgrades: `staged` is called when all is staged, and `switched` when the links are switched and nothing is settled. Returns the map's
    /// report.
    fn upgrade(&self, new: &Lock, is_summed: bool, staged: impl FnOnce(), switched: impl FnOnce()) -> Value {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), new.to_string()).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meanwhile"));
        command.arg(self.dir()).arg(file.path()).args(is_summed.then(|| format!("{MAP}.n")));
        let (mut staged, mut switched) = (Some(staged), Some(switched));
        let ended = trace::run(&mut command, |call: Call| {
            if let Some(staged) = staged.take() {
                staged();
            }
            if call.number == nix::libc::SYS_membarrier
                && let Some(switched) = switched.take()
            {
                switched();
            }
            Fate::Made
        });
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(switched.is_none(), "it waited for old programs");
        let report: Value = serde_json::from_str(&ended.stderr).expect("a report");
        report["maps"][0].clone()
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Counts(u64),
    Deletes,
}

use Act::{Counts, Deletes};

/// What a program does with an entry.
fn act(map: &Map, key: u32, act: Act) {
    let key = key.to_ne_bytes();
    match act {
        Deletes => assert!(map.delete(&key).expect("a hash"), "it is there"),
        Counts(by) => {
            let mut value = map.lookup(&key).expect("a hash").unwrap_or_else(|| vec![0; 16]);
            let sum = count_of(&value) + by;
            value[..8].copy_from_slice(&sum.to_ne_bytes());
            map.update(&key, &value, 0).expect("room");
        }
    }
}

fn count_of(value: &[u8]) -> u64 {
    u64::from_ne_bytes(value[..8].try_into().expect("8 bytes"))
}

fn count(map: &Map, key: u32) -> Option<u64> {
    map.lookup(&key.to_ne_bytes()).expect("a map").map(|value| count_of(&value))
}

/// What was there when it was copied, what old programs did, what new ones did, and what is right.
type Row = (Option<u64>, &'static [Act], &'static [Act], Option<u64>);

const ROWS: [Row; 11] = [
    (Some(5), &[Deletes], &[Counts(1)], Some(1)),
    (Some(5), &[], &[Deletes, Counts(1)], Some(1)),
    (None, &[Counts(3)], &[Deletes], None),
    (Some(5), &[Deletes, Counts(1)], &[Deletes, Counts(1)], Some(1)),
    (None, &[Counts(3)], &[Deletes, Counts(1)], Some(1)),
    (Some(5), &[], &[Deletes], None),
    (Some(5), &[Deletes], &[], None),
    (Some(5), &[Deletes], &[Deletes], None),
    (Some(5), &[Counts(1)], &[Counts(1)], Some(7)),
    // Made anew, it is not lower than it was.
    (Some(5), &[Counts(1)], &[Deletes, Counts(7)], Some(7)),
    (Some(5), &[Deletes], &[Deletes, Counts(5)], Some(5)),
];

/// One row: old programs write before the links are switched, or as late as they can. Returns what the map holds, and the report.
fn row(way: Way, (copied, old, new, _): Row, is_late: bool, deletes: bool) -> (Option<u64>, Value) {
    let older = lock(def(MapType::HASH, 64, false), Some(counting(deletes)), true);
    let asked = lock(
        def(MapType::HASH, if way == Way::MigrateSummed { 64 } else { 128 }, way == Way::MigrateSummed),
        Some(counting(deletes)),
        true,
    );
    let asked = if way == Way::MigrateSummed { converted(&older, asked) } else { asked };
    let node = Node::new(older);
    let live = node.map();
    if let Some(copied) = copied {
        act(&live, 1, Counts(copied));
    }
    let by_old = || old.iter().for_each(|what| act(&live, 1, *what));
    let early = || {
        if !is_late {
            by_old()
        }
    };
    let late = || {
        if is_late {
            by_old();
        }
        let staged = node.staged();
        // A new program deletes what it finds.
        let new = new.iter().filter(|what| !matches!(what, Deletes) || count(&staged, 1).is_some());
        new.for_each(|what| act(&staged, 1, *what));
    };
    let report = node.upgrade(&asked, way.is_summed(), early, late);
    (count(&node.map(), 1), report)
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().expect("a number")
}

#[test]
fn around_the_switch_each_entry_is_right_or_the_report_accounts_for_it() {
    if !kernel::available() || !kernel::has_exchange() {
        return;
    }
    for (way, is_late) in WAYS.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        for of in ROWS {
            let (found, report) = row(way, of, is_late, true);
            let what = format!("{way:?}, late: {is_late}, {of:?}: {found:?}, {report}");
            // Programs of both releases delete: whatever became of this entry, no report says that all is certain.
            assert_eq!(report["exact"], false, "{what}");
            let doubts = &report["doubts"];
            assert_eq!(doubts, &serde_json::json!(["old programs delete", "new programs delete"]), "{what}");
            if found != of.3 {
                assert!(number(&report, "not_carried") + number(&report, "uncertain") > 0, "{what}");
            }
            assert!(found.is_none_or(|count| count < 100), "a sum never goes below nothing: {what}");
        }
    }
}

#[test]
fn without_deletions_a_sum_is_exact_and_what_is_no_sum_is_counted_as_not_carried() {
    if !kernel::available() || !kernel::has_exchange() {
        return;
    }
    for way in WAYS {
        let (found, report) = row(way, ROWS[8], true, false);
        let exact = (report["exact"] == true, number(&report, "not_carried"), number(&report, "uncertain"));
        let expected = if way.is_summed() { (Some(7), (true, 0, 0)) } else { (Some(6), (false, 1, 0)) };
        assert_eq!((found, exact), expected, "{way:?} {report}");
        assert_eq!(report["doubts"], serde_json::json!([]));
    }
}

#[test]
fn what_is_not_known_of_programs_and_of_user_space_is_doubted() {
    if !kernel::available() || !kernel::has_exchange() {
        return;
    }
    let doubts = |map_type, old: Option<ProgramUse>, new: Option<ProgramUse>, never| {
        let node = Node::new(lock(def(map_type, 4096, false), old, never));
        act(&node.map(), 1, Counts(1));
        let report = node.upgrade(&lock(def(map_type, 8192, false), new, never), true, || {}, || {});
        assert_eq!(report["exact"] == true, report["doubts"] == serde_json::json!([]), "{report}");
        report["doubts"].to_string()
    };
    let known = || Some(counting(false));
    let partly = || Some(ProgramUse { partly: true, ..counting(false) });
    let hash = MapType::HASH;
    assert_eq!(doubts(hash, known(), known(), true), "[]");
    assert_eq!(doubts(hash, None, known(), true), "[\"nothing says what all old programs do\"]");
    assert_eq!(doubts(hash, known(), partly(), true), "[\"nothing says what all new programs do\"]");
    assert_eq!(doubts(hash, known(), known(), false), "[\"user space may delete\"]");
    // There is room for all entries, and for 128 more on each CPU.
    assert_eq!(doubts(MapType::LRU_HASH, known(), known(), true), "[]");
    // Nothing is deleted from an array.
    assert_eq!(doubts(MapType::ARRAY, None, None, false), "[]");
}

#[test]
fn an_lru_that_is_full_is_not_exact() {
    if !kernel::available() || !kernel::has_exchange() {
        return;
    }
    let programs = || Some(counting(false));
    let node = Node::new(lock(def(MapType::LRU_HASH, 300, false), programs(), true));
    let live = node.map();
    (0..300).for_each(|key| act(&live, key, Counts(1)));
    let are_there = |map: &Map| (0..300).filter(|key| count(map, *key).is_some()).count() as u64;
    // Older kernels evict before it is full.
    let were = are_there(&live);
    let report = node.upgrade(&lock(def(MapType::LRU_HASH, 301, false), programs(), true), true, || {}, || {});
    assert_eq!((&report["exact"], &report["doubts"]), (&false.into(), &serde_json::json!(["it evicts by itself"])));
    let left = are_there(&node.map());
    assert!(
        number(&report, "kept") + number(&report, "lost") >= were && left >= number(&report, "kept"),
        "{left} {report}"
    );
}

#[test]
fn of_a_counter_that_nobody_merges_as_many_entries_are_told_as_lack_counts() {
    if !kernel::available() {
        return;
    }
    let programs = || Some(counting(false));
    let node = Node::new(lock(def(MapType::HASH, 512, false), programs(), true));
    let live = node.map();
    (0..400).for_each(|key| act(&live, key, Counts(10)));
    let switched = || {
        let staged = node.staged();
        // Old programs count in 0..300, new ones in 200..400 and the ones that they make.
        (0..300).for_each(|key| act(&live, key, Counts(1)));
        (200..420).for_each(|key| act(&staged, key, Counts(1)));
    };
    let report = node.upgrade(&lock(def(MapType::HASH, 1024, false), programs(), true), false, || {}, switched);
    let now = node.map();
    let right = |key| u64::from(key < 400) * 10 + u64::from(key < 300) + u64::from(key >= 200);
    let wrong = (0..420).filter(|key| count(&now, *key) != Some(right(*key))).count() as u64;
    assert_eq!((wrong, number(&report, "not_carried"), &report["exact"]), (100, 100, &false.into()), "{report}");
}

/// Keys of a storm: each has one writer, which knows what it counted there since it last deleted it.
const KEYS: u32 = 2000;
const WRITERS: u32 = 2;

fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    Insn { code, dst, src, off, imm }.word()
}

/// A program that adds 1 to `n` of the entry that `cb[0]` names, or makes it; where `cb[1]` is not 0, it deletes it or does nothing.
fn program(map: &Map, deletes: bool) -> Prog {
    let fd = map.as_fd().as_raw_fd();
    let map_and_key = [insn(0x18, 1, 1, 0, fd), insn(0, 0, 0, 0, 0), insn(0xbf, 2, 10, 0, 0), insn(0x07, 2, 0, 0, -4)];
    let mut insns = vec![
        insn(0x61, 6, 1, 48, 0), // r6 = cb[0]
        insn(0x61, 7, 1, 52, 0), // r7 = cb[1]
        insn(0x63, 10, 6, -4, 0),
        insn(0x15, 7, 0, 7, 0), // counts
    ];
    insns.extend(map_and_key);
    // A deletion, or nothing.
    insns.push(if deletes { insn(0x85, 0, 0, 0, 3) } else { insn(0xb7, 0, 0, 0, 0) });
    insns.extend([insn(0xb7, 0, 0, 0, 0), insn(0x95, 0, 0, 0, 0)]);
    insns.extend(map_and_key);
    insns.extend([insn(0x85, 0, 0, 0, 1), insn(0x55, 0, 0, 19, 0)]); // lookup, found
    insns.extend([insn(0x7a, 10, 0, -24, 1), insn(0x7a, 10, 0, -16, 0)]);
    insns.extend(map_and_key);
    insns.extend([insn(0xbf, 3, 10, 0, 0), insn(0x07, 3, 0, 0, -24), insn(0xb7, 4, 0, 0, 1)]);
    insns.extend([insn(0x85, 0, 0, 0, 2), insn(0x15, 0, 0, 10, 0)]); // update, NOEXIST; done
    // It was brought over in that moment.
    insns.extend(map_and_key);
    insns.extend([insn(0x85, 0, 0, 0, 1), insn(0x55, 0, 0, 2, 0), insn(0xb7, 0, 0, 0, 1), insn(0x95, 0, 0, 0, 0)]);
    insns.extend([insn(0xb7, 1, 0, 0, 1), insn(0xdb, 0, 1, 0, 0)]); // lock *r0 += 1
    insns.extend([insn(0xb7, 0, 0, 0, 0), insn(0x95, 0, 0, 0, 0)]);
    let new = NewProg {
        prog_type: 1,
        expected_attach_type: 0,
        name: "storm",
        insns: &insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    };
    Prog::load(&new).expect("a valid program")
}

/// Threads that count in keys and delete them, by programs.
struct Storm {
    deletes: bool,
    old: Prog,
    new: OnceLock<Prog>,
    switched: AtomicBool,
    stop: AtomicBool,
    /// What each has done.
    done: [AtomicU64; WRITERS as usize],
}

impl Storm {
    /// Writes until it is stopped: what is right then, by key.
    fn write(&self, writer: u32, seed: u32) -> Vec<u64> {
        _ = run_on_cpu(writer % possible_cpus().expect("sysfs"));
        let mut right = vec![0; KEYS as usize];
        let mut random = seed.wrapping_mul(7919).wrapping_add(writer);
        while !self.stop.load(Ordering::Relaxed) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (random >> 8) % (KEYS / WRITERS) * WRITERS + writer;
            let deletes = random >> 28 == 0;
            let mut context = [0; 56];
            context[48..52].copy_from_slice(&key.to_ne_bytes());
            context[52..56].copy_from_slice(&u32::from(deletes).to_ne_bytes());
            let is_switched = self.switched.load(Ordering::Acquire);
            let prog = if is_switched { self.new.get().expect("it was loaded") } else { &self.old };
            assert_eq!(prog.run(&mut context, &[0; 64]).expect("it runs"), 0);
            let count = &mut right[key as usize];
            match (deletes, self.deletes) {
                (false, _) => *count += 1,
                (true, true) => *count = 0,
                (true, false) => {}
            }
            self.done[writer as usize].fetch_add(1, Ordering::Release);
        }
        right
    }

    /// Waits until each writer has done so much more.
    fn wait_for(&self, more: u64) {
        let start = Instant::now();
        for done in &self.done {
            let before = done.load(Ordering::Acquire);
            while done.load(Ordering::Acquire) < before + more {
                assert!(start.elapsed() < Duration::from_secs(60), "a writer stopped");
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

/// An upgrade in a storm: how many entries are wrong, and the report.
fn storm(way: Way, deletes: bool, seed: u32) -> (u64, Value) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let older = lock(def(MapType::HASH, 4096, false), Some(counting(deletes)), true);
    let is_converted = way == Way::MigrateSummed;
    let room = if is_converted { 4096 } else { 8192 };
    let asked = lock(def(MapType::HASH, room, is_converted), Some(counting(deletes)), true);
    let asked = if is_converted { converted(&older, asked) } else { asked };
    let node = Node::new(older);
    let storm = Storm {
        deletes,
        old: program(&node.map(), deletes),
        new: OnceLock::new(),
        switched: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        done: [AtomicU64::new(0), AtomicU64::new(0)],
    };
    std::thread::scope(|scope| {
        let stop = Stop(&storm.stop);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let storm = &storm;
                scope.spawn(move || storm.write(writer, seed))
            })
            .collect();
        storm.wait_for(5000);
        let staged = || {
            storm.new.get_or_init(|| program(&node.staged(), deletes));
            storm.wait_for(1000);
        };
        let switched = || {
            storm.switched.store(true, Ordering::Release);
            // After two of each, none runs the old program any more.
            storm.wait_for(u64::from(seed % 4) * 300 + 2);
        };
        let report = node.upgrade(&asked, way.is_summed(), staged, switched);
        storm.wait_for(1000);
        drop(stop);
        let now = node.map();
        let mut wrong = 0;
        for (writer, right) in writers.into_iter().enumerate() {
            let right = right.join().expect("a writer");
            let own = (0..KEYS).filter(|key| key % WRITERS == writer as u32);
            wrong += own.filter(|key| count(&now, *key).unwrap_or(0) != right[*key as usize]).count() as u64;
        }
        (wrong, report)
    })
}

/// So many storms for each way; more by `MAPLOCK_STORMS`.
#[test]
fn in_a_storm_no_entry_is_wrong_that_the_report_does_not_account_for() {
    if !kernel::available() || !kernel::has_exchange() {
        return;
    }
    let storms = std::env::var("MAPLOCK_STORMS").map_or(3, |storms| storms.parse().expect("a number"));
    for (way, deletes) in WAYS.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let (mut all, mut told) = (0, 0);
        for seed in 0..storms {
            let (wrong, report) = storm(way, deletes, seed);
            let accounted = number(&report, "not_carried") + number(&report, "uncertain");
            let what = format!("{way:?}, deletes: {deletes}, seed {seed}: {wrong} wrong, {report}");
            assert!(wrong <= accounted, "{what}");
            assert!(report["exact"] == (!deletes && accounted == 0), "{what}");
            assert!(wrong == 0 || report["exact"] == false, "{what}");
            assert!(!way.is_summed() || deletes || report["exact"] == true, "{what}");
            (all, told) = (all + wrong, told + accounted);
        }
        eprintln!("{way:?}, deletes: {deletes}: {storms} upgrades, {all} entries wrong, {told} accounted for");
    }
}
