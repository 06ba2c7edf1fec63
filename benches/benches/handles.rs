//! Reading and writing the entries of a hash of 100,000, keys of 8 and values of 64 bytes: typed handles beside aya and libbpf-rs, all on
//! one map. The goal is to be no slower than either.

use std::os::fd::AsFd as _;

use criterion::Criterion;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use maplock::Spec;
use maplock::handles::{Handle as _, HashMap, Verified};
use maplock::internals::sys::{Map, NewMap};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::MapType;
use maplock::layout::{Lock, MapDef};
use maplock_bench::compare::{Contestant, compare};

const ENTRIES: u64 = 100_000;

/// Entries that are read or written in a run.
const LOT: u64 = 1000;

type Value = [u64; 8];

fn main() {
    let map = match Map::create(&NewMap { name: "entries", ..NewMap::new(MapType::HASH, 8, 64, ENTRIES as u32) }) {
        Ok(map) => map,
        Err(error) => {
            eprintln!("skipped: needs CAP_BPF ({error})");
            return;
        }
    };
    let mut criterion = Criterion::default().configure_from_args();
    let def = MapDef { key_size: 8, value_size: 64, max_entries: ENTRIES as u32, ..MapDef::new("m", MapType::HASH) };
    let spec = Spec::from(Lock { maps: [("m".to_owned(), LockedMap::new(def))].into(), ..Lock::default() });
    let verified = Verified::of_fd(&spec, "m", &map).expect("as declared");
    let ours = HashMap::<u64, Value>::from_verified(verified).expect("the types fit");
    ours.insert_batch((0..ENTRIES).map(|key| (key, [key; 8]))).expect("they fit");

    let fd = map.as_fd().try_clone_to_owned().expect("a descriptor");
    let by_aya = aya::maps::Map::from_map_data(aya::maps::MapData::from_fd(fd).expect("aya takes it")).expect("a hash");
    let by_aya = aya::maps::HashMap::<_, u64, Value>::try_from(by_aya).expect("of that type");
    let by_aya = std::cell::RefCell::new(by_aya);
    let by_libbpf = MapHandle::from_map_id(map.info().id).expect("libbpf-rs takes it");

    compare(
        &mut criterion,
        &format!("handles/get {LOT} of {ENTRIES}"),
        &[
            Contestant::new("maplock", || keys().map(|key| ours.get(key).expect("read").expect("there")[3]).sum()),
            Contestant::new("aya", || {
                let map = by_aya.borrow();
                keys().map(|key| map.get(&key, 0).expect("there")[3]).sum()
            }),
            Contestant::new("libbpf-rs", || {
                let read = |key: u64| {
                    let value = by_libbpf.lookup(&key.to_ne_bytes(), MapFlags::ANY).expect("read").expect("there");
                    u64::from_ne_bytes(value[24..32].try_into().expect("eight bytes"))
                };
                keys().map(read).sum()
            }),
        ],
    );
    compare(
        &mut criterion,
        &format!("handles/insert {LOT} of {ENTRIES}"),
        &[
            Contestant::new("maplock", || keys().map(|key| ours.insert(key, [key; 8]).map_or(0, |()| 1)).sum()),
            Contestant::new("aya", || {
                let mut map = by_aya.borrow_mut();
                keys().map(|key| map.insert(key, [key; 8], 0).map_or(0, |()| 1)).sum()
            }),
            Contestant::new("libbpf-rs", || {
                let write = |key: u64| {
                    let mut value = [0; 64];
                    value.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&key.to_ne_bytes()));
                    by_libbpf.update(&key.to_ne_bytes(), &value, MapFlags::ANY).map_or(0, |()| 1)
                };
                keys().map(write).sum()
            }),
        ],
    );
    compare(
        &mut criterion,
        &format!("handles/iterate over {ENTRIES}"),
        &[
            Contestant::new("maplock", || ours.iter().map(|entry| entry.expect("read").1[3]).sum()),
            Contestant::new("aya", || by_aya.borrow().iter().map(|entry| entry.expect("read").1[3]).sum()),
            Contestant::new("libbpf-rs", || {
                let read = |key: Vec<u8>| {
                    let value = by_libbpf.lookup(&key, MapFlags::ANY).expect("read").expect("there");
                    u64::from_ne_bytes(value[24..32].try_into().expect("eight bytes"))
                };
                by_libbpf.keys().map(read).sum()
            }),
        ],
    );
    criterion.final_summary();
}

/// Keys from all over the map, the same each time.
fn keys() -> impl Iterator<Item = u64> {
    (0..LOT).map(|number| number * 7919 % ENTRIES)
}
