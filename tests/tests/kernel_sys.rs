//! What `maplock::internals::sys` promises of the calls that the kernel facts don't touch.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};

use maplock::internals::sys::{
    Batch, Link, LinkTarget, Map, NewLink, NewMap, NewProg, Object, Prog, wait_for_running_programs,
};
use maplock::layout::map::MapType as T;
use maplock_tests::kernel::{self, Bpffs, Netns};

const XDP: u32 = 37;
const BPF_F_NO_PREALLOC: u32 = 1;

fn map(map_type: T, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    let flags = if map_type == T::LPM_TRIE { BPF_F_NO_PREALLOC } else { 0 };
    Map::create(&NewMap { flags, ..NewMap::new(map_type, key_size, value_size, max_entries) }).unwrap()
}

/// A program for XDP of these instructions.
fn xdp(insns: &[u64]) -> std::io::Result<Prog> {
    Prog::load(&NewProg {
        prog_type: 6,
        expected_attach_type: XDP,
        name: "a program with a long name",
        insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    })
}

/// `r0 = number; exit`.
fn returns(number: u64) -> [u64; 2] {
    [0xb7 | number << 32, 0x95]
}

#[test]
fn each_kind_of_pin_is_known_for_what_it_is() {
    if !kernel::available() {
        return;
    }
    let (bpffs, netns) = (Bpffs::mount(), Netns::new());
    let (ifindex, _) = netns.veth("one", "other");
    let at = |name: &str| bpffs.path().join(name);
    let prog = xdp(&returns(2)).unwrap();
    let link = netns
        .run(|| Link::create(&NewLink { prog: prog.as_fd(), target: ifindex, attach_type: XDP, flags: 0 }).unwrap());
    prog.pin(&at("prog")).unwrap();
    link.pin(&at("link")).unwrap();
    map(T::ARRAY, 4, 4, 1).pin(&at("map")).unwrap();
    assert!(matches!(Object::open(&at("map")).unwrap(), Object::Map(_)));
    assert!(matches!(Object::open(&at("prog")).unwrap(), Object::Prog(_)));
    let Object::Link(opened) = Object::open(&at("link")).unwrap() else { panic!("a link") };
    assert_eq!(opened.info().unwrap(), link.info().unwrap());
    assert_eq!(Link::from_id(link.info().unwrap().id).unwrap().info().unwrap(), link.info().unwrap());
    assert!(Map::open(&at("link")).unwrap_err().to_string().contains("a link is pinned there"));

    let info = prog.info().unwrap();
    assert_eq!((info.prog_type, info.name.as_str(), info.map_ids.len()), (6, "a_program_with_", 0));
    assert_eq!(Prog::from_id(info.id).unwrap().info().unwrap(), info);

    opened.detach().unwrap();
    let target = link.info().unwrap().target;
    assert_eq!(target, LinkTarget::Device { ifindex: 0, attach_type: XDP });
    assert!(!netns.ip("link show dev one").contains("xdp"));
}

#[test]
fn a_rejection_has_the_number_of_the_verdict() {
    if !kernel::available() {
        return;
    }
    let error = xdp(&[0x95]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{error}");
    assert_eq!(xdp(&returns(2)).unwrap().run(&mut [], &[0; 64]).unwrap(), 2);
    wait_for_running_programs().unwrap();
}

#[test]
fn queues_and_stacks_are_peeked_and_taken() {
    if !kernel::available() {
        return;
    }
    for (map_type, order) in [(T::QUEUE, [1, 2, 3]), (T::STACK, [3, 2, 1])] {
        let map = map(map_type, 0, 4, 3);
        for value in [1_u32, 2, 3] {
            map.update(&[], &value.to_ne_bytes(), 0).unwrap();
        }
        assert_eq!(map.update(&[], &[4; 4], 0).unwrap_err().raw_os_error(), Some(libc::E2BIG));
        for value in order {
            let value = u32::to_ne_bytes(value).to_vec();
            assert_eq!(map.lookup(&[]).unwrap().as_ref(), Some(&value));
            assert_eq!(map.take(&[]).unwrap(), Some(value));
        }
        assert_eq!(map.take(&[]).unwrap(), None);
        assert_eq!(map.lookup(&[]).unwrap(), None);
    }
    let map = map(T::HASH, 4, 4, 1);
    map.update(&[1; 4], &[2; 4], 0).unwrap();
    assert_eq!(map.take(&[1; 4]).unwrap(), Some(vec![2; 4]));
    assert_eq!(map.take(&[1; 4]).unwrap(), None);
    assert!(!map.delete(&[1; 4]).unwrap());
}

/// All entries, read in batches of `size`.
fn read_all(map: &Map, size: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut batch, mut all) = (Batch::default(), BTreeMap::new());
    while !batch.at_end {
        map.lookup_batch(&mut batch, size).unwrap();
        let keys = batch.keys.chunks(map.info().key_size as usize);
        for (key, value) in keys.zip(batch.values.chunks(map.value_bytes())).take(batch.count) {
            assert!(all.insert(key.to_vec(), value.to_vec()).is_none(), "{key:?} twice");
        }
    }
    map.lookup_batch(&mut batch, size).unwrap();
    assert_eq!((batch.at_end, batch.count), (true, 0), "past the end of {:?}", map.info());
    all
}

#[test]
fn batches_hold_every_entry_of_every_type_that_has_them() {
    if !kernel::available() {
        return;
    }
    for (map_type, key_size) in [
        (T::HASH, 2),
        (T::HASH, 4),
        (T::HASH, 40),
        (T::LRU_HASH, 4),
        (T::PERCPU_HASH, 4),
        (T::LRU_PERCPU_HASH, 4),
        (T::ARRAY, 4),
        (T::PERCPU_ARRAY, 4),
        (T::LPM_TRIE, 8),
    ] {
        // Room for what an LRU map keeps back per CPU.
        let map = map(map_type, key_size, 12, if map_type.0 == 2 || map_type.0 == 6 { 500 } else { 4096 });
        let mut expected = BTreeMap::new();
        for number in 0..500_u32 {
            let mut key = number.to_ne_bytes().to_vec();
            if map_type == T::LPM_TRIE {
                key = [32_u32.to_ne_bytes(), number.to_be_bytes()].concat();
            }
            key.resize(key_size as usize, 0);
            // Each CPU's value ends in padding, which the kernel doesn't keep.
            let stride = if map.value_bytes() == 12 { 12 } else { 16 };
            let value = (0..map.value_bytes()).map(|at| if at % stride < 12 { number as u8 } else { 0 }).collect();
            expected.insert(key, value);
        }
        let keys: Vec<u8> = expected.keys().flatten().copied().collect();
        let values: Vec<u8> = expected.values().flatten().copied().collect();
        let (written, result) = map.update_batch(&keys, &values, expected.len(), 0);
        assert!(result.is_ok() && written == expected.len(), "{map_type:?}: {written} {result:?}");
        for size in [1, 64, 499, 500, 5000] {
            assert_eq!(read_all(&map, size), expected, "{map_type:?} with keys of {key_size}, batches of {size}");
        }
    }
    assert!(read_all(&map(T::HASH, 4, 4, 8), 16).is_empty());
}

#[test]
fn a_batch_says_how_far_it_came() {
    if !kernel::available() {
        return;
    }
    let map = map(T::HASH, 4, 4, 8);
    let keys: Vec<u8> = (0..10_u32).flat_map(u32::to_ne_bytes).collect();
    let (written, result) = map.update_batch(&keys, &[1; 40], 10, 0);
    assert_eq!((written, result.unwrap_err().raw_os_error()), (8, Some(libc::E2BIG)));
    assert_eq!(read_all(&map, 16).len(), 8);
    let (written, result) = map.update_batch(&keys[36..], &[1; 4], 1, 0);
    assert_eq!((written, result.unwrap_err().raw_os_error()), (0, Some(libc::E2BIG)));
    // Refused as such, and by us.
    let traces = Map::create(&NewMap::new(T::STACK_TRACE, 4, 8, 8)).unwrap();
    let (written, result) = traces.update_batch(&keys[..8], &[1; 16], 2, 0);
    assert_eq!((written, result.unwrap_err().raw_os_error()), (0, Some(524)));
    let (written, result) = map.update_batch(&keys[..32], &[1; 31], 8, 0);
    assert_eq!(written, 0);
    assert!(result.unwrap_err().to_string().contains("31 bytes was given, it takes 32"));
}

#[test]
fn maps_of_maps_are_read_as_ids() {
    if !kernel::available() {
        return;
    }
    let inner = [map(T::HASH, 4, 8, 16), map(T::HASH, 4, 8, 32)];
    let new = NewMap { inner: Some(inner[0].as_fd()), ..NewMap::new(T::HASH_OF_MAPS, 4, 4, 8) };
    let outer = Map::create(&new).unwrap();
    let mut expected = BTreeMap::new();
    for (at, map) in inner.iter().enumerate() {
        let key = u32::try_from(at).unwrap().to_ne_bytes();
        outer.update(&key, &map.as_fd().as_raw_fd().to_ne_bytes(), 0).unwrap();
        expected.insert(key.to_vec(), map.info().id.to_ne_bytes().to_vec());
    }
    assert_eq!(read_all(&outer, 16), expected);
}
