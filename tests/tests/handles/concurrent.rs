//! Going through a map while others change it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use maplock::handles::{HashMap, LpmKey, LpmTrie, PerCpu, PerCpuHashMap};
use maplock::layout::map::MapType as T;
use maplock_tests::kernel;

use crate::support::new;

/// Entries that stay all the time.
const STAY: u32 = 3000;

/// Runs `change` for numbers from `STAY` on, over and over, on two threads, while `walk` runs.
fn meanwhile<R>(change: impl Fn(u32) + Sync, walk: impl FnOnce() -> R) -> R {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for offset in [0, 500] {
            let (is_over, change) = (&is_over, &change);
            scope.spawn(move || {
                for number in (0..500).cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    change(STAY + offset + number);
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(walk));
        is_over.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What stayed came once, and nothing came twice.
fn check(keys: &[u32]) {
    let distinct: BTreeSet<u32> = keys.iter().copied().collect();
    assert_eq!(distinct.len(), keys.len(), "a key came twice");
    let missing: Vec<_> = (0..STAY).filter(|key| !distinct.contains(key)).collect();
    assert!(missing.is_empty(), "{} keys that stayed did not come: {missing:?}", missing.len());
}

#[test]
fn a_hash_is_read_whole_while_entries_come_and_go() {
    if !kernel::available() {
        return;
    }
    for map_type in [T::HASH, T::LRU_HASH] {
        let map: HashMap<u32, u64> = new(map_type, 4, 8, 100_000);
        map.insert_batch((0..STAY).map(|key| (key, 1))).expect("inserted");
        let change = |key| {
            map.insert(key, 2).expect("inserted");
            map.remove(key).expect("removed");
        };
        meanwhile(change, || {
            for _ in 0..40 {
                let keys: Vec<u32> = map.keys().collect::<Result<_, _>>().expect("read");
                check(&keys);
            }
        });
    }
}

#[test]
fn a_per_cpu_hash_is_read_whole_while_entries_come_and_go() {
    if !kernel::available() {
        return;
    }
    let map: PerCpuHashMap<u32, u64> = new(T::PERCPU_HASH, 4, 8, 100_000);
    let value = PerCpu::filled(1).expect("CPUs");
    map.insert_batch((0..STAY).map(|key| (key, value.clone()))).expect("inserted");
    let change = |key| {
        map.insert(key, &value).expect("inserted");
        map.remove(key).expect("removed");
    };
    meanwhile(change, || {
        for _ in 0..20 {
            let keys: Vec<u32> = map.iter().map(|entry| entry.expect("read").0).collect();
            check(&keys);
        }
    });
}

#[test]
fn a_trie_is_read_whole_though_the_kernel_starts_again_at_each_deleted_key() {
    if !kernel::available() {
        return;
    }
    let key = |number: u32| LpmKey::new(32, number.to_be_bytes());
    let map: LpmTrie<LpmKey<[u8; 4]>, u64> = new(T::LPM_TRIE, 8, 8, 100_000);
    (0..STAY).for_each(|number| map.insert(key(number), 1).expect("inserted"));
    let change = |number| {
        map.insert(key(number), 2).expect("inserted");
        map.remove(key(number)).expect("removed");
    };
    meanwhile(change, || {
        for _ in 0..10 {
            let keys: Vec<u32> = map.keys().map(|key| u32::from_be_bytes(key.expect("read").data())).collect();
            check(&keys);
        }
    });
}

#[test]
fn what_is_read_can_be_removed_on_the_way() {
    if !kernel::available() {
        return;
    }
    let map: HashMap<u32, u64> = new(T::HASH, 4, 8, 10_000);
    map.insert_batch((0..STAY).map(|key| (key, u64::from(key)))).expect("inserted");
    let trie: LpmTrie<LpmKey<[u8; 4]>, u64> = new(T::LPM_TRIE, 8, 8, 10_000);
    (0..STAY).for_each(|number| trie.insert(LpmKey::new(32, number.to_be_bytes()), 1).expect("inserted"));
    let mut removed = 0;
    for key in map.keys() {
        assert!(map.remove(key.expect("read")).expect("removed"), "it came once");
        removed += 1;
    }
    assert_eq!((removed, map.count().expect("counted")), (STAY, 0));
    for key in trie.keys() {
        assert!(trie.remove(key.expect("read")).expect("removed"), "it came once");
        removed -= 1;
    }
    assert_eq!((removed, trie.count().expect("counted")), (0, 0));
}
