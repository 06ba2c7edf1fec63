//! The three-way settlement, case by case: what old programs, new programs or both did between the copy and the settlement.
//! Writes are made by system calls here, from this thread; `live` has programs that write at the same time.

use maplock::internals::sys::Map;
use maplock::internals::transfer::{Inexact, Method, Settled, Sum};
use maplock_tests::kernel;

use crate::support::*;

/// Values are two counters around a word and a tail: `sum u64, word u64, sum u32, tail 3 bytes`.
const VALUE_SIZE: u32 = 23;
const SUMS: [Sum; 2] = [Sum { offset: 0, width: 8, signed: false }, Sum { offset: 16, width: 4, signed: false }];

/// A value with the same on every CPU.
fn entry(maps: &Maps, sum: u64, word: u64, tail: u8) -> Vec<u8> {
    let mut value = vec![0; maps.from.value_bytes()];
    for part in value.chunks_mut(part(&maps.from)) {
        part[..8].copy_from_slice(&sum.to_ne_bytes());
        part[8..16].copy_from_slice(&word.to_ne_bytes());
        part[16..20].copy_from_slice(&u32::try_from(sum % 1000).expect("small").to_ne_bytes());
        part[20..23].fill(tail);
    }
    value
}

/// For each type and method: entries `before` the copy; `old` and `new` write after it; then what is in the new map, by number.
fn settles(
    types: &[T],
    before: &[(u32, (u64, u64, u8))],
    meanwhile: impl Fn(&Maps),
    after: &[(u32, (u64, u64, u8))],
    check: impl Fn(Settled, u64),
) {
    if !can_run() {
        return;
    }
    for map_type in types {
        for method in methods(*map_type) {
            let maps = Maps::new(*map_type, VALUE_SIZE, 0, &SUMS);
            for (number, (sum, word, tail)) in before {
                maps.from.update(&key(&maps.from, *number), &entry(&maps, *sum, *word, *tail), 0).expect("room");
            }
            maps.copy(Some(method)).expect("copied");
            meanwhile(&maps);
            let settled = maps.settle(Some(method));
            let what = format!("{map_type} {method:?} {settled:?}");
            let why = if method == Method::Kernel { Inexact::NoWord } else { Inexact::Asked };
            assert_eq!(settled.inexact, Some(why), "{what}: the tail is no word");
            let is = |when: &str| {
                let wanted: Contents = after
                    .iter()
                    .map(|(number, (sum, word, tail))| (key(&maps.to, *number), entry(&maps, *sum, *word, *tail)))
                    .collect();
                assert_eq!(contents(&maps.to), wanted, "{what}: {when}");
            };
            is("settled");
            // A program counts each CPU's value.
            let each_cpu = is_per_cpu(*map_type) && method == Method::Kernel;
            let cpus = if each_cpu { maplock::internals::sys::possible_cpus().expect("sysfs").into() } else { 1 };
            check(Settled { method: None, inexact: None, ..settled }, cpus);
            let left = contents(&maps.from);
            let again = maps.settle(Some(method));
            is("settled twice");
            assert_eq!(contents(&maps.from), left, "{what}");
            let Settled { method: way, inexact, .. } = settled;
            let nothing = Settled { method: way, inexact, kept_new: again.kept_new, ..Settled::default() };
            assert_eq!(again, nothing, "{what}");
        }
    }
}

/// Types with keys. LPM tries have longer prefixes below shorter ones, so that an inexact lookup would show.
const KEYED: [T; 5] = [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::LRU_PERCPU_HASH, T::LPM_TRIE];

fn put(map: &maplock::internals::sys::Map, maps: &Maps, number: u32, (sum, word, tail): (u64, u64, u8)) {
    map.update(&key(map, number), &entry(maps, sum, word, tail), 0).expect("room");
}

fn nothing() -> Settled {
    Settled::default()
}

#[test]
fn what_nobody_changed_is_as_it_was() {
    settles(
        &KEYED,
        &[(1, (5, 6, 7)), (4, (0, 1, 2))],
        |_| {},
        &[(1, (5, 6, 7)), (4, (0, 1, 2))],
        |settled, _| {
            assert_eq!(settled, nothing());
        },
    );
}

#[test]
fn what_old_programs_changed_follows() {
    let meanwhile = |maps: &Maps| {
        put(&maps.from, maps, 1, (50, 60, 70));
        put(&maps.from, maps, 4, (9, 1, 2));
        put(&maps.from, maps, 5, (0, 1, 9));
    };
    let before = [(1, (5, 6, 7)), (4, (0, 1, 2)), (5, (0, 1, 2))];
    settles(&KEYED, &before, meanwhile, &[(1, (50, 60, 70)), (4, (9, 1, 2)), (5, (0, 1, 9))], |settled, cpus| {
        assert_eq!(settled, Settled { added: 2 * cpus, changed: 2 * cpus, ..nothing() });
    });
}

#[test]
fn what_new_programs_changed_stays_and_counts_add_up() {
    let meanwhile = |maps: &Maps| put(&maps.to, maps, 1, (105, 8, 9));
    settles(&KEYED, &[(1, (5, 6, 7))], meanwhile, &[(1, (105, 8, 9))], |settled, _| {
        assert_eq!(settled, nothing());
    });
}

#[test]
fn what_both_changed_is_as_new_programs_wrote_it_and_counts_add_up() {
    let meanwhile = |maps: &Maps| {
        put(&maps.from, maps, 1, (50, 60, 7));
        // The tail only: the whole entry is theirs.
        put(&maps.to, maps, 1, (105, 6, 9));
    };
    settles(&KEYED, &[(1, (5, 6, 7))], meanwhile, &[(1, (150, 6, 9))], |settled, cpus| {
        assert_eq!(settled, Settled { added: cpus, kept_new: cpus, ..nothing() });
    });
}

#[test]
fn what_old_programs_inserted_is_inserted() {
    let meanwhile = |maps: &Maps| {
        put(&maps.from, maps, 1, (5, 6, 7));
        put(&maps.from, maps, 4, (0, 0, 0));
    };
    settles(&KEYED, &[(8, (1, 1, 1))], meanwhile, &[(1, (5, 6, 7)), (4, (0, 0, 0)), (8, (1, 1, 1))], |settled, _| {
        assert_eq!(settled.inserted, 2);
        assert_eq!((settled.deleted, settled.dropped, settled.kept_new), (0, 0, 0));
    });
}

#[test]
fn what_new_programs_inserted_stays() {
    let meanwhile = |maps: &Maps| put(&maps.to, maps, 1, (5, 6, 7));
    settles(&KEYED, &[(4, (1, 1, 1))], meanwhile, &[(1, (5, 6, 7)), (4, (1, 1, 1))], |settled, _| {
        assert_eq!(settled, nothing());
    });
}

#[test]
fn what_both_inserted_is_as_new_programs_wrote_it_and_counts_add_up() {
    let meanwhile = |maps: &Maps| {
        put(&maps.from, maps, 1, (5, 6, 7));
        put(&maps.to, maps, 1, (10, 60, 70));
    };
    settles(&KEYED, &[], meanwhile, &[(1, (15, 60, 70))], |settled, cpus| {
        assert_eq!((settled.kept_new, settled.deleted, settled.dropped), (cpus, 0, 0));
        assert_eq!(settled.maybe_another, 1, "{settled:?}");
    });
}

#[test]
fn what_old_programs_deleted_is_deleted() {
    let meanwhile = |maps: &Maps| assert!(maps.from.delete(&key(&maps.from, 1)).expect("there"));
    settles(&KEYED, &[(1, (5, 6, 7)), (4, (1, 1, 1))], meanwhile, &[(4, (1, 1, 1))], |settled, _| {
        assert_eq!(settled, Settled { deleted: 1, ..nothing() });
    });
}

#[test]
fn what_new_programs_deleted_stays_deleted() {
    let meanwhile = |maps: &Maps| {
        // Old programs counted and changed it before that.
        put(&maps.from, maps, 1, (50, 60, 70));
        assert!(maps.to.delete(&key(&maps.to, 1)).expect("there"));
        assert!(maps.to.delete(&key(&maps.to, 5)).expect("there"));
    };
    settles(
        &KEYED,
        &[(1, (5, 6, 7)), (4, (1, 1, 1)), (5, (0, 0, 1))],
        meanwhile,
        &[(4, (1, 1, 1))],
        |settled, cpus| {
            assert_eq!(settled, Settled { dropped: cpus, ..nothing() });
        },
    );
}

#[test]
fn what_old_programs_deleted_and_new_ones_wrote_stays() {
    let meanwhile = |maps: &Maps| {
        for number in [1, 4] {
            assert!(maps.from.delete(&key(&maps.from, number)).expect("there"));
        }
        // 1 is set; in 4, three are counted. What the old entry had counted was deleted with it.
        put(&maps.to, maps, 1, (5, 8, 7));
        put(&maps.to, maps, 4, (4, 1, 1));
    };
    settles(&KEYED, &[(1, (5, 6, 7)), (4, (1, 1, 1))], meanwhile, &[(1, (0, 8, 7)), (4, (3, 1, 1))], |settled, _| {
        assert_eq!(settled, Settled { kept_new: 2, ..nothing() });
    });
}

#[test]
fn what_both_deleted_is_gone() {
    let meanwhile = |maps: &Maps| {
        for map in [&maps.from, &maps.to] {
            assert!(map.delete(&key(map, 1)).expect("there"));
        }
    };
    settles(&KEYED, &[(1, (5, 6, 7))], meanwhile, &[], |settled, _| assert_eq!(settled, nothing()));
}

#[test]
fn a_prefix_above_is_not_taken_for_the_prefix_itself() {
    // 4 is 0.0.1.0/24; 5, 6 and 7 are prefixes of 32 bits below it.
    let meanwhile = |maps: &Maps| {
        put(&maps.from, maps, 5, (5, 5, 5));
        assert!(maps.from.delete(&key(&maps.from, 6)).expect("there"));
        assert!(maps.to.delete(&key(&maps.to, 7)).expect("there"));
        put(&maps.from, maps, 7, (70, 70, 70));
    };
    let before = [(4, (4, 4, 4)), (6, (6, 6, 6)), (7, (7, 7, 7))];
    settles(&[T::LPM_TRIE], &before, meanwhile, &[(4, (4, 4, 4)), (5, (5, 5, 5))], |settled, cpus| {
        assert_eq!(settled, Settled { inserted: 1, deleted: 1, dropped: cpus, ..nothing() });
    });
}

#[test]
fn arrays_are_settled_by_index() {
    if !can_run() {
        return;
    }
    for map_type in [T::ARRAY, T::PERCPU_ARRAY] {
        for method in methods(map_type) {
            let maps = Maps::new(map_type, VALUE_SIZE, 5, &SUMS);
            for number in 0..5 {
                put(&maps.from, &maps, number, (1, 2, 3));
            }
            maps.copy(Some(method)).expect("copied");
            put(&maps.from, &maps, 1, (10, 20, 3));
            put(&maps.to, &maps, 2, (101, 7, 3));
            put(&maps.from, &maps, 3, (10, 20, 3));
            put(&maps.to, &maps, 3, (101, 2, 9));
            for _ in 0..2 {
                let settled = maps.settle(Some(method));
                let wanted = [(1, 2, 3), (10, 20, 3), (101, 7, 3), (110, 2, 9), (1, 2, 3)];
                for (number, (sum, word, tail)) in (0..).zip(wanted) {
                    let value = maps.to.lookup(&key(&maps.to, number)).expect("an index");
                    let what = format!("{map_type} {method:?} {number} {settled:?}");
                    assert_eq!(value, Some(entry(&maps, sum, word, tail)), "{what}");
                }
            }
        }
    }
}

#[test]
fn keys_that_hold_nothing_but_counts_follow_too() {
    if !can_run() {
        return;
    }
    for map_type in KEYED {
        for method in methods(map_type) {
            let maps = Maps::new(map_type, 8, 0, &[Sum { offset: 0, width: 8, signed: false }]);
            let count = |count: u64| count.to_ne_bytes().repeat(maps.from.value_bytes() / 8);
            let set = |map: &maplock::internals::sys::Map, number, sum| {
                map.update(&key(map, number), &count(sum), 0).expect("room")
            };
            for number in 0..6 {
                set(&maps.from, number, 10);
            }
            maps.copy(Some(method)).expect("copied");
            set(&maps.from, 1, 11);
            set(&maps.to, 2, 15);
            assert!(maps.from.delete(&key(&maps.from, 3)).expect("there"));
            assert!(maps.from.delete(&key(&maps.from, 4)).expect("there"));
            set(&maps.to, 4, 17);
            set(&maps.from, 10, 3);
            set(&maps.to, 11, 4);
            set(&maps.from, 12, 1);
            set(&maps.to, 12, 2);
            let mut all = Settled::default();
            for _ in 0..2 {
                let settled = maps.settle(Some(method));
                all.deleted += settled.deleted;
                all.inserted += settled.inserted;
                let wanted: Contents = [(0, 10), (1, 11), (2, 15), (4, 7), (5, 10), (10, 3), (11, 4), (12, 3)]
                    .map(|(number, sum)| (key(&maps.to, number), count(sum)))
                    .into();
                assert_eq!(contents(&maps.to), wanted, "{map_type} {method:?} {settled:?}");
            }
            assert_eq!((all.deleted, all.inserted), (1, 1), "{map_type} {method:?}");
        }
    }
}

#[test]
fn a_count_that_new_programs_lowered_takes_the_difference_down_to_nothing() {
    if !can_run() {
        return;
    }
    for map_type in KEYED {
        for method in methods(map_type) {
            // A counter of 8 bytes, one of 4, and a word.
            let maps = Maps::new(
                map_type,
                16,
                0,
                &[Sum { offset: 0, width: 8, signed: false }, Sum { offset: 8, width: 4, signed: false }],
            );
            let counted = |map: &maplock::internals::sys::Map, wide: u64, narrow: u32| {
                let mut value = vec![0; map.value_bytes()];
                for part in value.chunks_mut(part(map)) {
                    part[..8].copy_from_slice(&wide.to_ne_bytes());
                    part[8..12].copy_from_slice(&narrow.to_ne_bytes());
                }
                value
            };
            let set = |map: &maplock::internals::sys::Map, number, wide, narrow| {
                _ = map.delete(&key(map, number)).expect("deletable");
                map.update(&key(map, number), &counted(map, wide, narrow), 0).expect("room");
            };
            for number in [1, 2, 3, 5, 6] {
                set(&maps.from, number, 5, 5);
            }
            maps.copy(Some(method)).expect("copied");
            // 1: both delete it, make it anew and count. 2: a gauge that both lower. 3: half of what they hold, and more.
            // 5: a gauge of which all is given back, by new programs. 6: old programs count; new ones make it anew, or lower it.
            set(&maps.from, 1, 1, 1);
            set(&maps.to, 1, 1, 1);
            set(&maps.from, 2, 3, 3);
            set(&maps.to, 2, 4, 4);
            set(&maps.from, 3, 1 << 63, 1 << 31);
            set(&maps.to, 3, 12, 12);
            set(&maps.to, 5, 0, 0);
            set(&maps.from, 6, 6, 6);
            set(&maps.to, 6, 1, 1);
            let settled = maps.settle(Some(method));
            let what = format!("{map_type} {method:?} {settled:?}");
            for (number, wide, narrow) in
                [(1, 1, 1), (2, 2, 2), (3, (1 << 63) + 7, (1 << 31) + 7), (5, 0, 0), (6, 2, 2)]
            {
                let value = maps.to.lookup(&key(&maps.to, number)).expect("readable");
                assert_eq!(value, Some(counted(&maps.to, wide, narrow)), "{what}: {number}");
            }
            let each_cpu = is_per_cpu(map_type) && method == Method::Kernel;
            let cpus = if each_cpu { maplock::internals::sys::possible_cpus().expect("sysfs").into() } else { 1 };
            assert_eq!((settled.not_carried, settled.maybe_another), (cpus, 2 * cpus), "{what}");
            assert!(!settled.is_exact(), "{what}");
        }
    }
}

/// The verifier takes a million instructions: it can't walk such values word by word.
#[test]
fn large_values_are_settled_by_programs() {
    if !can_run() {
        return;
    }
    for map_type in [T::HASH, T::LRU_HASH, T::ARRAY, T::PERCPU_ARRAY, T::LPM_TRIE] {
        // Those of an iterator go through values by it, too.
        if !has_programs(T::ARRAY) || !has_programs(map_type) {
            continue;
        }
        for size in [4104_u32, 32 << 10, 64 << 10, 128 << 10] {
            if is_per_cpu(map_type) && size > 32 << 10 {
                // There are no larger ones.
                continue;
            }
            // Counters up to the middle; then words.
            let half = size / 2;
            let sum = |at| Sum { offset: at * 8, width: 8, signed: false };
            let sums: Vec<Sum> = (0..half / 8).map(sum).collect();
            let maps = Maps::new(map_type, size, 3, &sums);
            let set = |map: &maplock::internals::sys::Map, number: u32, at: u32, to: u8| {
                let mut value = map.lookup(&key(map, number)).expect("readable").expect("there");
                value.chunks_mut(part(map)).for_each(|part| part[at as usize] = to);
                map.update(&key(map, number), &value, 0).expect("there");
            };
            let get = |number: u32, at: u32| {
                maps.to.lookup(&key(&maps.to, number)).expect("readable").expect("there")[at as usize]
            };
            let start = half - 8;
            for (number, at) in [(0, start), (1, start), (1, size - 1), (2, size - 8)] {
                set(&maps.from, number, at, 10);
            }
            maps.copy(Some(Method::Kernel)).unwrap_or_else(|error| panic!("{map_type} {size}: {error}"));
            assert!(contents(&maps.to) == contents(&maps.from), "{map_type} {size}");
            // A count on both sides; a word on one, and on both.
            set(&maps.from, 0, start, 12);
            set(&maps.to, 0, start, 15);
            set(&maps.from, 1, size - 1, 11);
            set(&maps.from, 2, size - 8, 11);
            set(&maps.to, 2, size - 8, 12);
            let settled = maps.settle(Some(Method::Kernel));
            let there = [get(0, start), get(1, start), get(1, size - 1), get(2, size - 8)];
            assert_eq!(there, [17, 10, 11, 12], "{map_type} {size} {settled:?}");
            let cpus =
                if is_per_cpu(map_type) { maplock::internals::sys::possible_cpus().expect("sysfs").into() } else { 1 };
            assert_eq!((settled.added, settled.changed, settled.kept_new), (cpus, cpus, cpus), "{map_type} {size}");
        }
    }
}

#[test]
fn many_deletions_are_all_found() {
    if !can_run() {
        return;
    }
    let entries = kernel::times(20_000, 2_000);
    for sums in [&[][..], &[Sum { offset: 0, width: 8, signed: false }]] {
        for map_type in KEYED {
            let maps = Maps::new(map_type, 8, entries, sums);
            maps.copy(None).expect("copied");
            let deleted = || (0..entries).filter(|number| number % 3 != 0);
            for number in deleted() {
                assert!(maps.from.delete(&key(&maps.from, number)).expect("there"));
            }
            let left = contents(&maps.from);
            let settled = maps.settle(None);
            assert_eq!(settled.deleted, deleted().count() as u64, "{map_type} {settled:?}");
            assert!(contents(&maps.to) == left, "{map_type}");
            if let Some(base) = &maps.base {
                assert_eq!(contents(base).len(), left.len(), "{map_type}");
            }
        }
    }
}

#[test]
fn a_failed_switch_is_undone_by_settling_the_other_way() {
    if !can_run() {
        return;
    }
    for map_type in KEYED {
        for method in methods(map_type) {
            let maps = Maps::new(map_type, VALUE_SIZE, 0, &SUMS);
            for number in [1, 2, 3] {
                put(&maps.from, &maps, number, (5, 6, 7));
            }
            maps.copy(Some(method)).expect("copied");
            // New programs ran for a moment.
            put(&maps.to, &maps, 1, (7, 8, 9));
            put(&maps.to, &maps, 10, (3, 3, 3));
            // Old programs go on.
            put(&maps.from, &maps, 2, (50, 60, 70));
            maps.settle_back(Some(method));
            let wanted: Contents = [(1, (7, 8, 9)), (2, (50, 60, 70)), (3, (5, 6, 7)), (10, (3, 3, 3))]
                .map(|(number, (sum, word, tail))| (key(&maps.to, number), entry(&maps, sum, word, tail)))
                .into();
            assert_eq!(contents(&maps.from), wanted, "{map_type} {method:?}");
        }
    }
}

#[test]
fn a_rollback_after_settling_brings_back_what_new_programs_did() {
    if !can_run() {
        return;
    }
    for map_type in KEYED {
        for method in methods(map_type) {
            let maps = Maps::new(map_type, VALUE_SIZE, 0, &SUMS);
            for number in [1, 2, 3] {
                put(&maps.from, &maps, number, (5, 6, 7));
            }
            maps.copy(Some(method)).expect("copied");
            maps.settle(Some(method));
            put(&maps.to, &maps, 1, (100, 60, 70));
            put(&maps.to, &maps, 10, (3, 3, 3));
            assert!(maps.to.delete(&key(&maps.to, 2)).expect("there"));
            let now = contents(&maps.to);
            maps.settle_back(Some(method));
            assert_eq!(contents(&maps.from), now, "{map_type} {method:?}");
            // And forward again.
            put(&maps.from, &maps, 3, (6, 60, 7));
            let now = contents(&maps.from);
            maps.settle(Some(method));
            assert_eq!(contents(&maps.to), now, "{map_type} {method:?}");
        }
    }
}

/// The value of an IPv4 prefix lies on 4 bytes: no instruction adds to 8 of them at once.
#[test]
fn a_count_that_lies_on_four_bytes_is_added_up_in_halves() {
    if !can_run() || !has_programs(T::LPM_TRIE) || !kernel::has_exchange() {
        return;
    }
    const WORD: u64 = 1 << 32;
    const TOP: u64 = 1 << 63;
    // As it was copied, as old programs left it, as new ones have it; and what is right.
    let rows = [
        (5, 6, 7, 8),
        (0xffff_fff0, WORD + 0x10, 0xffff_ffff, WORD + 0x1f),
        (5, 4 * WORD + 4, 6, 4 * WORD + 5),
        (2 * WORD + 1, 1, 2 * WORD + 5, 5),
        (WORD + 2, 7, WORD + 2, 7),
        (WORD, 0xffff_ffff, WORD + 1, WORD),
        (TOP + 9, TOP + 4, TOP + 9, TOP + 4),
        (TOP + WORD, TOP, TOP + WORD + 3, TOP + 3),
        // It would go below nothing.
        (10, 2, 3, 3),
    ];
    for signed in [false, true] {
        let sums = [Sum { offset: 0, width: 8, signed }];
        let maps = Maps::new(T::LPM_TRIE, 8, 0, &sums);
        let put = |map: &Map, at: usize, count: u64| {
            map.update(&key(map, at as u32), &count.to_ne_bytes(), 0).expect("room");
        };
        rows.iter().enumerate().for_each(|(at, row)| put(&maps.from, at, row.0));
        maps.copy(None).expect("copied");
        for (at, row) in rows.iter().enumerate() {
            put(&maps.from, at, row.1);
            put(&maps.to, at, row.2);
        }
        let settled = maps.settle(None);
        let heeds = maplock::internals::sys::tries_heed_noexist();
        assert_eq!((settled.method, settled.inexact.is_none()), (Some(Method::Kernel), heeds), "{settled:?}");
        assert_eq!(settled.not_carried, u64::from(!signed), "{settled:?}");
        for (at, (copied, old, new, right)) in rows.iter().enumerate() {
            let right = if signed { old.wrapping_sub(*copied).wrapping_add(*new) } else { *right };
            let found = maps.to.lookup(&key(&maps.to, at as u32)).expect("readable").expect("it is there");
            assert_eq!(found, right.to_ne_bytes(), "{signed} {copied:x} {old:x} {new:x}: not {right:x}");
        }
        // Once more, nothing is left to do.
        let again = maps.settle(None);
        assert_eq!((again.added, again.not_carried), (0, 0), "{again:?}");
    }
}
