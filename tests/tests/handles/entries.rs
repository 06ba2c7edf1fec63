//! The operations of each type.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use maplock::handles::{Array, BloomFilter, HashMap, LpmKey, LpmTrie, Opaque, Queue, Stack};
use maplock::layout::map::MapType as T;
use maplock_tests::{kernel, toolchain};

use crate::support::new;

#[test]
fn entries_of_a_hash_come_and_go() {
    if !kernel::available() {
        return;
    }
    for map_type in [T::HASH, T::LRU_HASH] {
        let map: HashMap<u32, [u64; 2]> = new(map_type, 4, 16, 64);
        assert_eq!(map.get(1).expect("looked up"), None);
        map.insert(1, [1, 2]).expect("inserted");
        let (key, value) = (&1, &[3, 4]);
        map.insert(key, value).expect("by reference too");
        assert_eq!(map.get(key).expect("looked up"), Some([3, 4]));
        assert!(!map.insert_new(1, [5, 6]).expect("there is one"));
        assert!(map.insert_new(2, [5, 6]).expect("there is none"));
        assert!(!map.replace(3, [7, 8]).expect("there is none"));
        assert!(map.replace(2, [7, 8]).expect("there is one"));
        assert_eq!(map.iter().collect::<Result<BTreeMap<_, _>, _>>().expect("read"), [(1, [3, 4]), (2, [7, 8])].into());
        assert_eq!(map.keys().collect::<Result<BTreeSet<_>, _>>().expect("read"), [1, 2].into());
        assert_eq!(map.count().expect("counted"), 2);
        assert_eq!(map.take(2).expect("taken"), Some([7, 8]));
        assert_eq!(map.take(2).expect("none is left"), None);
        assert!(map.remove(1).expect("removed"));
        assert!(!map.remove(1).expect("none is left"));
        assert!(!map.contains_key(1).expect("looked up"));
        assert_eq!(map.count().expect("counted"), 0);
        assert_eq!(map.capacity(), 64);
    }
}

#[test]
fn batches_are_as_large_as_they_are() {
    if !kernel::available() {
        return;
    }
    let map: HashMap<u32, u64> = new(T::HASH, 4, 8, 10_000);
    assert_eq!(map.insert_batch(std::iter::empty()).expect("nothing to do"), 0);
    let entries = (0..5000_u32).map(|key| (key, u64::from(key) * 3));
    assert_eq!(map.insert_batch(entries.clone()).expect("inserted"), 5000);
    assert_eq!(map.iter().collect::<Result<BTreeMap<_, _>, _>>().expect("read"), entries.collect());
    // Every other one of these is there.
    let keys: Vec<u32> = (4000..6000).step_by(2).flat_map(|key| [key, key + 100_000]).collect();
    assert_eq!(map.remove_batch(&keys).expect("removed"), 500);
    assert_eq!(map.count().expect("counted"), 4500);
}

#[test]
fn a_full_map_says_which_key_it_did_not_take() {
    if !kernel::available() {
        return;
    }
    let map: HashMap<u32, u64> = new(T::HASH, 4, 8, 10);
    let error = map.insert_batch((0..20).map(|key| (key, 0))).expect_err("only ten fit");
    assert!(error.is_full());
    if cfg!(target_endian = "little") {
        let expected = "map `m`: can't insert key 0x0a 00 00 00: it is full: Argument list too long (os error 7)";
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(map.count().expect("counted"), 10);
    assert_eq!(map.insert(99, 0).expect_err("full").map(), "m");
    map.insert(9, 1).expect("one that is there can be written");
}

#[test]
fn an_array_has_all_of_its_entries() {
    if !kernel::available() {
        return;
    }
    let map: Array<[u8; 3]> = new(T::ARRAY, 4, 3, 1000);
    map.set(7, [1, 2, 3]).expect("written");
    assert_eq!(map.get(7).expect("read"), Some([1, 2, 3]));
    assert_eq!(map.get(8).expect("read"), Some([0; 3]));
    assert_eq!(map.get(1000).expect("read"), None);
    assert_eq!(map.set_batch(997, [[9; 3], [8; 3], [7; 3]]).expect("written"), 3);
    let entries: Vec<_> = map.iter().collect::<Result<_, _>>().expect("read");
    assert_eq!(entries.len(), 1000);
    assert!(entries.iter().map(|entry| entry.0).eq(0..1000));
    assert_eq!((entries[7].1, entries[998].1), ([1, 2, 3], [8; 3]));
    let error = map.set_batch(998, [[1; 3]; 3]).expect_err("it ends at 1000");
    let expected = "map `m`: can't write index 1000: it ends before that: Argument list too long (os error 7)";
    assert_eq!(error.to_string(), expected);
    assert_eq!(map.get(999).expect("read"), Some([1; 3]));
}

#[test]
fn the_longest_prefix_is_found() {
    if !kernel::available() {
        return;
    }
    let map: LpmTrie<LpmKey<[u8; 4]>, u32> = new(T::LPM_TRIE, 8, 4, 16);
    map.insert(LpmKey::new(8, [10, 0, 0, 0]), 8).expect("inserted");
    assert!(map.insert_new(LpmKey::new(16, [10, 1, 0, 0]), 16).expect("inserted"));
    assert!(!map.insert_new(LpmKey::new(16, [10, 1, 9, 9]), 17).expect("the bits behind the prefix don't count"));
    let look_up = |address| map.get(LpmKey::new(32, address)).expect("looked up");
    assert_eq!(look_up([10, 1, 2, 3]), Some(16));
    assert_eq!(look_up([10, 2, 2, 3]), Some(8));
    assert_eq!(look_up([11, 1, 2, 3]), None);
    let prefixes: BTreeSet<_> =
        map.iter().map(|entry| entry.map(|(key, value)| (key.prefix_len(), value))).map(Result::unwrap).collect();
    assert_eq!(prefixes, [(8, 8), (16, 16)].into());
    assert_eq!(map.count().expect("counted"), 2);
    assert!(map.remove(LpmKey::new(16, [10, 1, 0, 0])).expect("removed"));
    assert!(!map.remove(LpmKey::new(16, [10, 1, 0, 0])).expect("none is left"));
    assert!(!map.replace(LpmKey::new(16, [10, 1, 0, 0]), 1).expect("none is left"));
    assert_eq!(look_up([10, 1, 2, 3]), Some(8));
    let error = map.insert(LpmKey::new(33, [0; 4]), 0).expect_err("an address has 32 bits");
    assert!(error.to_string().starts_with("map `m`: can't insert key 0x"), "{error}");
}

#[test]
fn a_queue_and_a_stack_differ_in_the_order() {
    if !kernel::available() {
        return;
    }
    let (queue, stack): (Queue<u32>, Stack<u32>) = (new(T::QUEUE, 0, 4, 3), new(T::STACK, 0, 4, 3));
    for value in 1..=3 {
        queue.push(value).expect("pushed");
        stack.push(value).expect("pushed");
    }
    assert!(queue.push(4).expect_err("full").is_full());
    queue.push_over(4).expect("pushed");
    stack.push_over(4).expect("pushed");
    assert_eq!((queue.peek().expect("read"), stack.peek().expect("read")), (Some(2), Some(4)));
    let popped = |mut pop: Box<dyn FnMut() -> Option<u32> + '_>| std::iter::from_fn(&mut *pop).collect::<Vec<_>>();
    assert_eq!(popped(Box::new(|| queue.pop().expect("popped"))), [2, 3, 4]);
    assert_eq!(popped(Box::new(|| stack.pop().expect("popped"))), [4, 3, 2]);
    assert_eq!((queue.peek().expect("read"), stack.peek().expect("read")), (None, None));
}

#[test]
fn a_bloom_filter_forgets_nothing() {
    if !kernel::available() {
        return;
    }
    let map: BloomFilter<u64> = new(T::BLOOM_FILTER, 0, 8, 1000);
    (0..100).for_each(|value| map.insert(value).expect("inserted"));
    assert!((0..100).all(|value| map.may_contain(value).expect("looked for")));
    let wrong = (1000..2000).filter(|value| map.may_contain(*value).expect("looked for")).count();
    assert!(wrong < 100, "{wrong} of 1000 that are not in it");
}

#[test]
fn other_types_are_verified_and_have_bytes() {
    if !kernel::available() {
        return;
    }
    let map: Opaque = new(T::PROG_ARRAY, 4, 4, 8);
    assert_eq!(map.as_map().lookup(&[0; 4]).expect("looked up"), None);
    assert_eq!((map.name(), map.capacity()), ("m", 8));
}

#[test]
fn bpftool_sees_what_a_handle_writes() {
    if !kernel::available() || !toolchain::has("bpftool") {
        return;
    }
    let map: HashMap<[u8; 2], [u8; 3]> = new(T::HASH, 2, 3, 8);
    map.insert([1, 2], [3, 4, 5]).expect("inserted");
    let id = map.as_map().info().id.to_string();
    let output = toolchain::run(Command::new("bpftool").args(["-j", "map", "dump", "id", &id]));
    let dump: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(dump, serde_json::json!([{ "key": ["0x01", "0x02"], "value": ["0x03", "0x04", "0x05"] }]));
    toolchain::run(Command::new("bpftool").args(["map", "update", "id", &id, "key", "9", "9", "value", "7", "8", "9"]));
    assert_eq!(map.get([9, 9]).expect("looked up"), Some([7, 8, 9]));
}
