//! The last pass over a map that is large enough for records: it comes to the same as one that looks each entry up in the snapshot.

use std::sync::atomic::{AtomicBool, Ordering};

use maplock::Migrations;
use maplock::internals::sys::Map;
use maplock::internals::transfer::{Convert, Prepared, Settled, Side, Sum, TransferOptions, Way};
use maplock::layout::conversion::Conversion;
use maplock_tests::kernel;

use crate::support::*;

const ENTRIES: u32 = 12_000;
const SUMS: [Sum; 1] = [Sum { offset: 0, width: 8, signed: false }];
const VALUE: u32 = 24;

/// A count, and two words.
fn value(count: u64, word: u64) -> Vec<u8> {
    [count, word, !word].map(u64::to_ne_bytes).concat()
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(most)) as u32
    }
}

/// An old map with as many entries, and its copy.
fn copied(map_type: MapType) -> Maps {
    let mut maps = Maps::new(map_type, VALUE, 0, &SUMS);
    let new = || new_map(map_type, 8, VALUE, room(map_type, ENTRIES * 2));
    (maps.from, maps.to) = (new(), new());
    maps.base = Some(maplock::internals::transfer::new_base(&maps.from).expect("memory"));
    for number in 0..ENTRIES {
        maps.from.update(&key(&maps.from, number), &value(100, 7), 0).expect("room");
    }
    maps.copy(None).expect("copied");
    maps
}

fn base(maps: &Maps) -> &Map {
    maps.base.as_ref().expect("a snapshot")
}

/// Programs of one side do something to so many entries.
fn work(map: &Map, random: &mut Random, times: u32) {
    for _ in 0..times {
        let key = key(map, random.below(ENTRIES + 500));
        let there = map.lookup(&key).expect("readable");
        let by = u64::from(random.below(3));
        let set = |bytes: &[u8]| map.update(&key, bytes, 0).expect("room");
        match (random.below(5), there) {
            (0, Some(_)) => assert!(map.delete(&key).expect("deletable")),
            // Made anew, it may be what it was.
            (1, Some(there)) => {
                assert!(map.delete(&key).expect("deletable"));
                set(&there);
            }
            (2, Some(mut there)) => {
                there[8] ^= by as u8;
                set(&there);
            }
            (3, Some(there)) => set(&there),
            (_, Some(mut there)) => {
                let count = u64::from_ne_bytes(there[..8].try_into().expect("8 bytes"));
                there[..8].copy_from_slice(&(count + by).to_ne_bytes());
                set(&there);
            }
            (_, None) => set(&value(by, by)),
        }
    }
}

/// What settled the same, however it went about it.
fn done(settled: Settled) -> Settled {
    Settled { grown_before: 0, ..settled }
}

#[test]
fn what_is_compared_with_its_record_is_settled_as_what_is_looked_up() {
    if !can_run() {
        return;
    }
    let way = Way::new(&Conversion { legs: Vec::new() }, &Migrations::default(), 8, VALUE).expect("no code");
    for (map_type, is_converted, times) in [
        (T::HASH, false, 3),
        (T::HASH, false, 400),
        (T::HASH, false, kernel::times(12_000, 2_000)),
        (T::LRU_HASH, false, 2_000),
        (T::HASH, true, 2_000),
    ] {
        let both = [true, false].map(|is_recorded| {
            let maps = copied(map_type);
            let Maps { from, to, .. } = &maps;
            let prepare = || -> Prepared<'_> {
                let convert = Convert {
                    from,
                    to,
                    base: maps.base.as_ref(),
                    base_of: Side::From,
                    there: &way,
                    back: None,
                    sums: &SUMS,
                };
                let options = TransferOptions::default();
                match is_converted {
                    true => convert.prepare(&options),
                    false => maps.transfer().prepare(&options),
                }
                .expect("prepared")
            };
            let mut random = Random(times.into());
            work(from, &mut random, times);
            let mut prepared = prepare();
            prepared.catch_up();
            if !is_recorded {
                prepared = prepare();
            }
            work(from, &mut random, times);
            work(to, &mut random, times);
            let settled = prepared.settle(&mut TransferOptions::default()).expect("settled");
            let again = prepared.settle(&mut TransferOptions::default()).expect("settled");
            let nothing = Settled { method: again.method, inexact: again.inexact, ..Settled::default() };
            let what = format!("{map_type} {is_converted} {times} {is_recorded}");
            assert_eq!(done(again), nothing, "{what}");
            assert!(contents(base(&maps)) == contents(from), "{what}");
            (done(settled), contents(to))
        });
        let what = format!("{map_type} {is_converted} {times}: {:?} {:?}", both[0].0, both[1].0);
        assert!(both[0] == both[1], "{what}");
        let Settled { added, deleted, inserted, .. } = both[0].0;
        assert!(times < 10 || [added, deleted, inserted].iter().all(|met| *met > 10), "{what}");
    }
}

#[test]
fn an_entry_that_is_as_its_record_is_not_looked_up() {
    if !can_run() {
        return;
    }
    let maps = copied(T::HASH);
    let (transfer, key) = (maps.transfer(), |number| key(&maps.from, number));
    let mut prepared = transfer.prepare(&TransferOptions::default()).expect("prepared");
    prepared.catch_up();
    // Nobody does that. It shows what is looked up in the snapshot: these are not, and this is.
    for number in [1, 2, 3] {
        base(&maps).update(&key(number), &value(90, 7), 0).expect("there");
    }
    maps.from.update(&key(3), &value(110, 7), 0).expect("there");
    let settled = prepared.settle(&mut TransferOptions::default()).expect("settled");
    assert_eq!((settled.added, settled.changed), (1, 0), "{settled:?}");
    assert_eq!(maps.to.lookup(&key(3)).expect("readable"), Some(value(120, 7)));
}

#[test]
fn what_is_gone_is_found_by_the_records_where_that_is_all() {
    // Records are looked through by index.
    if !can_run() || !has_programs(T::ARRAY) {
        return;
    }
    for is_all in [true, false] {
        let maps = copied(T::HASH);
        let (transfer, key) = (maps.transfer(), |number| key(&maps.from, number));
        let mut prepared = transfer.prepare(&TransferOptions::default()).expect("prepared");
        prepared.catch_up();
        for number in [5, 6] {
            assert!(maps.from.delete(&key(number)).expect("there"));
        }
        // Another one that the snapshot has: without a record, and not known of, so that no search for it is made; or known of.
        base(&maps).update(&key(ENTRIES), &value(1, 1), 0).expect("room");
        maps.to.update(&key(ENTRIES), &value(1, 1), 0).expect("room");
        if !is_all {
            maps.from.update(&key(ENTRIES + 1), &value(1, 1), 0).expect("room");
            base(&maps).update(&key(ENTRIES + 1), &value(1, 1), 0).expect("room");
            assert!(maps.from.delete(&key(7)).expect("there"));
        }
        let settled = prepared.settle(&mut TransferOptions::default()).expect("settled");
        assert_eq!(settled.deleted, if is_all { 2 } else { 4 }, "{settled:?}");
        let left = maps.to.lookup(&key(ENTRIES)).expect("readable");
        assert_eq!(left.is_some(), is_all);
    }
}

#[test]
fn entries_that_come_and_go_while_they_are_recorded_are_all_settled() {
    if !can_run() {
        return;
    }
    for seed in 0..u64::from(kernel::times(8, 2)) {
        let maps = copied(T::HASH);
        let transfer = maps.transfer();
        let mut prepared = transfer.prepare(&TransferOptions::default()).expect("prepared");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut random = Random(seed);
                while !stop.load(Ordering::Relaxed) {
                    work(&maps.from, &mut random, 100);
                }
            });
            prepared.catch_up();
            stop.store(true, Ordering::Relaxed);
            writer.join().expect("a writer");
        });
        let settled = prepared.settle(&mut TransferOptions::default()).expect("settled");
        assert_eq!((settled.kept_new, settled.not_carried), (0, 0), "{settled:?}");
        let from = contents(&maps.from);
        assert!(contents(&maps.to) == from && contents(base(&maps)) == from, "{seed}: {settled:?}");
    }
}
