//! Every type, size and method, entry for entry.

use std::time::Duration;

use maplock::internals::transfer::{Method, Sum, TransferError, count};
use maplock_tests::kernel;

use crate::support::*;

/// After both passes, the new map is what the old one was.
fn copies(map_type: T, value_size: u32, entries: u32, sums: &[Sum], method: Option<Method>) {
    let maps = Maps::new(map_type, value_size, entries, sums);
    let before = contents(&maps.from);
    let what = format!("{map_type}, {entries} values of {value_size} bytes, {sums:?}, {method:?}");
    let copied = maps.copy(method).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(copied.entries as usize, before.len(), "{what}");
    assert_eq!(copied.lost, 0, "{what}");
    assert!(contents(&maps.to) == before, "{what}: after the copy");
    let settled = maps.settle(method);
    assert!(contents(&maps.to) == before, "{what}: after settling");
    assert_eq!(settled.inserted + settled.deleted + settled.dropped + settled.kept_new, 0, "{what}: {settled:?}");
    if method.is_none() && has_programs(map_type) {
        assert_eq!(settled.method, Some(Method::Kernel), "{what}");
    }
    let once = contents(&maps.from);
    let again = maps.settle(method);
    assert_eq!(again.added + again.changed + again.inserted + again.deleted, 0, "{what}: {again:?}");
    assert!(contents(&maps.to) == before && contents(&maps.from) == once, "{what}: settled twice");
}

#[test]
fn values_of_all_sizes_are_copied_by_every_method() {
    if !can_run() {
        return;
    }
    for map_type in COPIED {
        for value_size in [1, 2, 3, 4, 7, 8, 12, 16, 64, 127, 128, 129, 256, 1000, 4096] {
            for method in methods(map_type).into_iter().map(Some).chain([None]) {
                if map_type == T::LPM_TRIE && value_size > 256 && method == Some(Method::OneByOne) {
                    continue;
                }
                copies(map_type, value_size, 33, &[], method);
            }
        }
    }
}

#[test]
fn sums_are_carried_over_wherever_they_are_in_the_value() {
    if !can_run() {
        return;
    }
    let sum = |offset, width| Sum { offset, width, signed: false };
    for map_type in COPIED {
        for (value_size, sums) in [
            (4, vec![sum(0, 4)]),
            (8, vec![sum(0, 8)]),
            (8, vec![sum(0, 4), sum(4, 4)]),
            (16, vec![sum(8, 8)]),
            (16, vec![sum(4, 4)]),
            (24, vec![sum(16, 8), sum(0, 8)]),
            (27, vec![sum(8, 8), sum(20, 4)]),
            (4096, (0..512).map(|at| sum(at * 8, 8)).collect()),
            (4096, (0..256).map(|at| sum(at * 16, 8)).collect()),
            (512, (0..32).map(|at| sum(at * 16, 8)).collect()),
        ] {
            for method in methods(map_type).into_iter().map(Some).chain([None]) {
                copies(map_type, value_size, 21, &sums, method);
            }
        }
    }
}

#[test]
fn maps_of_all_sizes_are_copied() {
    if !can_run() {
        return;
    }
    for map_type in COPIED {
        for entries in [0, 1, 2, 1023, 1024, 1025, 4096, 20_000].into_iter().take(kernel::times(8, 6) as usize) {
            if entries == 0 && is_array(map_type) {
                continue;
            }
            copies(map_type, 16, entries, &[], None);
            copies(
                map_type,
                16,
                entries,
                &[Sum { offset: 0, width: 8, signed: false }, Sum { offset: 8, width: 8, signed: false }],
                None,
            );
        }
    }
}

#[test]
fn a_hash_of_a_million_entries_and_more_is_copied_whole() {
    if !can_run() {
        return;
    }
    // Fact 23: the kernel interrupts an iterator after each million.
    let entries = 1_100_000;
    let maps = Maps::new(T::HASH, 8, entries, &[Sum { offset: 0, width: 8, signed: false }]);
    let (mut told, mut calls) = (0, 0);
    let mut progress = |done, _| (told, calls) = (done, calls + 1);
    let mut options =
        maplock::internals::transfer::TransferOptions { progress: Some(&mut progress), ..Default::default() };
    assert_eq!(maps.transfer().copy(&mut options).expect("copied").entries, u64::from(entries));
    assert_eq!(told, u64::from(entries));
    assert!(calls > 1000, "it is done in chunks");
    assert_eq!(count(&maps.to, Duration::MAX), Some(entries.into()));
    // What did not change since has nothing to add.
    assert_eq!(maps.settle(None).added, 0);
    for number in [0, 1, entries / 2, entries - 1] {
        assert_eq!(maps.to.lookup(&key(&maps.to, number)).expect("read"), Some(value(&maps.to, number)));
    }
}

#[test]
fn a_copy_that_was_stopped_may_be_run_again() {
    if !can_run() {
        return;
    }
    for map_type in COPIED {
        let maps = Maps::new(map_type, 16, 100, &[Sum { offset: 0, width: 8, signed: false }]);
        let before = contents(&maps.from);
        maps.copy(None).expect("copied");
        maps.copy(None).expect("copied again");
        maps.settle(None);
        assert!(contents(&maps.to) == before, "{map_type}");
    }
}

#[test]
fn a_map_that_is_too_small_is_an_error_that_says_so() {
    if !can_run() {
        return;
    }
    for map_type in [T::HASH, T::PERCPU_HASH, T::LPM_TRIE] {
        for method in methods(map_type).into_iter().map(Some).chain([None]) {
            let mut maps = Maps::new(map_type, 8, 500, &[]);
            maps.to = new_map(map_type, 8, 8, 300);
            let error = maps.copy(method).expect_err("no room");
            let TransferError::Full { map, max_entries: 300, failed } = &error else { panic!("{error}") };
            assert_eq!(map, "test");
            assert!(*failed > 0, "{map_type} {method:?}: {error}");
            assert!(error.to_string().contains("it is full with 300 entries"), "{error}");
        }
    }
}

#[test]
fn an_lru_map_with_room_loses_nothing() {
    if !can_run() {
        return;
    }
    const NO_COMMON_LRU: u32 = 2;
    for map_type in [T::LRU_HASH, T::LRU_PERCPU_HASH] {
        for flags in [0, NO_COMMON_LRU] {
            let entries = 10_000;
            let mut new = maplock::internals::sys::NewMap::new(map_type, 8, 16, room(map_type, entries));
            new.flags = flags;
            let make = || maplock::internals::sys::Map::create(&new).expect("memory");
            let from = maplock::internals::sys::Map::create(&maplock::internals::sys::NewMap::new(
                map_type,
                8,
                16,
                4 * room(map_type, entries),
            ))
            .expect("memory");
            fill(&from, entries);
            let before = contents(&from);
            assert_eq!(before.len(), entries as usize);
            let maps = Maps {
                base: Some(maplock::internals::transfer::new_base(&from).expect("memory")),
                from,
                to: make(),
                sums: vec![],
            };
            let copied = maps.copy(None).expect("copied");
            assert_eq!((copied.entries, copied.lost), (entries.into(), 0), "{map_type} {flags}");
            assert!(contents(&maps.to) == before, "{map_type} {flags}");
        }
    }
}

#[test]
fn an_lru_map_without_room_says_how_many_it_lost() {
    if !can_run() {
        return;
    }
    let mut maps = Maps::new(T::LRU_HASH, 8, 4000, &[Sum { offset: 0, width: 8, signed: false }]);
    maps.to = new_map(T::LRU_HASH, 8, 8, 1000);
    let copied = maps.copy(None).expect("copied");
    let there = contents(&maps.to).len() as u64;
    assert_eq!(copied.lost, copied.entries - there);
    assert!(copied.lost >= 3000);
}

#[test]
fn maps_that_do_not_fit_each_other_are_refused() {
    if !can_run() {
        return;
    }
    let wrong = |change: &dyn Fn(&mut Maps)| {
        let mut maps = Maps::new(T::HASH, 16, 1, &[]);
        change(&mut maps);
        maps.copy(None).expect_err("refused").to_string()
    };
    assert!(wrong(&|maps| maps.to = new_map(T::LRU_HASH, 8, 16, 4)).contains("its type is 9"));
    assert!(
        wrong(&|maps| maps.to = new_map(T::HASH, 4, 16, 4)).contains("its key_size is 4, that of the old map is 8")
    );
    assert!(wrong(&|maps| maps.to = new_map(T::HASH, 8, 24, 4)).contains("value_size is 24"));
    assert!(wrong(&|maps| maps.base = Some(new_map(T::HASH, 8, 24, 4))).contains("value_size is 24"));
    for (offset, width) in [(0, 2), (4, 8), (16, 4), (u32::MAX - 3, 4)] {
        assert!(
            wrong(&|maps| maps.sums = vec![Sum { offset, width, signed: false }]).contains("can't be added up"),
            "{offset} {width}"
        );
    }
    let overlapping = vec![Sum { offset: 0, width: 8, signed: false }, Sum { offset: 4, width: 4, signed: false }];
    assert!(wrong(&|maps| maps.sums = overlapping.clone()).contains("bytes 4..8"));
    let mut maps = Maps::new(T::HASH, 16, 1, &[Sum { offset: 0, width: 8, signed: false }]);
    maps.base = None;
    assert!(matches!(maps.transfer().settle(&mut by(None)), Err(TransferError::NeedsBase { .. })));
}

#[test]
fn entries_are_counted() {
    if !can_run() {
        return;
    }
    for map_type in COPIED {
        let maps = Maps::new(map_type, 8, 2000, &[]);
        assert_eq!(count(&maps.from, Duration::MAX), Some(2000), "{map_type}");
    }
    let empty = new_map(T::HASH, 8, 8, 10);
    assert_eq!(count(&empty, Duration::MAX), Some(0));
    let large = Maps::new(T::HASH, 8, 50_000, &[]);
    assert_eq!(count(&large.from, Duration::ZERO), None);
}
