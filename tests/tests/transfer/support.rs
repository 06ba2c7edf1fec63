//! Maps with entries, and what is in them.

use std::collections::BTreeMap;

use maplock::internals::sys::{Batch, Map, NewMap, has_no_batches, possible_cpus};
use maplock::internals::transfer::{Copied, Method, Settled, Sum, Transfer, TransferError, TransferOptions};
pub(crate) use maplock::layout::map::MapType;
use maplock_tests::{kernel, toolchain};

pub(crate) type T = MapType;

/// Types whose entries are copied and settled.
pub(crate) const COPIED: [MapType; 7] =
    [T::HASH, T::LRU_HASH, T::PERCPU_HASH, T::LRU_PERCPU_HASH, T::ARRAY, T::PERCPU_ARRAY, T::LPM_TRIE];

pub(crate) const METHODS: [Method; 3] = [Method::Kernel, Method::Batch, Method::OneByOne];

/// False, with a word, where the test can't run; a panic where it must.
pub(crate) fn can_run() -> bool {
    let Err(error) = Map::create(&NewMap::new(T::HASH, 4, 4, 1)) else { return true };
    assert!(std::env::var_os("MAPLOCK_REQUIRE_KERNEL").is_none(), "needs CAP_BPF: {error}");
    println!("skipped: needs CAP_BPF");
    false
}

/// False, with a word, where this kernel lacks what the programs for maps of a type call.
pub(crate) fn has_programs(map_type: MapType) -> bool {
    let loops = is_array(map_type) || [T::LPM_TRIE, T::QUEUE, T::STACK].contains(&map_type);
    let needed = [(loops, "bpf_loop", "5.17"), (is_per_cpu(map_type), "bpf_map_lookup_percpu_elem", "5.19")];
    let lacking = needed.iter().find(|(is_needed, helper, _)| *is_needed && !kernel::has_helper(helper));
    if let Some((_, helper, version)) = lacking {
        toolchain::skip(&format!("{helper} (Linux {version})"));
    }
    lacking.is_none()
}

/// Those by which this kernel carries over maps of a type.
pub(crate) fn methods(map_type: MapType) -> Vec<Method> {
    METHODS.into_iter().filter(|method| *method != Method::Kernel || has_programs(map_type)).collect()
}

pub(crate) fn new_map(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    let mut new = NewMap::new(map_type, key_size, value_size, max_entries);
    new.name = "test";
    if map_type == T::LPM_TRIE {
        new.flags = 1;
    }
    Map::create(&new).unwrap_or_else(|error| panic!("{map_type} {key_size} {value_size} {max_entries}: {error}"))
}

/// Room that an LRU map needs so that nothing is evicted.
pub(crate) fn room(map_type: MapType, entries: u32) -> u32 {
    let slack = if is_lru(map_type) { 128 * possible_cpus().expect("sysfs") } else { 0 };
    entries.max(1) + slack
}

pub(crate) fn is_lru(map_type: MapType) -> bool {
    matches!(map_type, T::LRU_HASH | T::LRU_PERCPU_HASH)
}

pub(crate) fn is_array(map_type: MapType) -> bool {
    matches!(map_type, T::ARRAY | T::PERCPU_ARRAY)
}

pub(crate) fn is_per_cpu(map_type: MapType) -> bool {
    matches!(map_type, T::PERCPU_HASH | T::PERCPU_ARRAY | T::LRU_PERCPU_HASH)
}

/// A key of 8 bytes; of 4 for arrays.
pub(crate) fn key(map: &Map, number: u32) -> Vec<u8> {
    match map.info().map_type {
        // A prefix of 4 bytes; every fourth has a shorter prefix above it.
        T::LPM_TRIE => {
            let bits: u32 = if number.is_multiple_of(4) { 24 } else { 32 };
            let number = ((number / 4) << 8) | (number % 4);
            let mut key = bits.to_ne_bytes().to_vec();
            key.extend(number.to_be_bytes());
            key.resize(map.info().key_size as usize, 0);
            key
        }
        _ => {
            let mut key = number.to_ne_bytes().to_vec();
            key.resize(map.info().key_size as usize, 0);
            key
        }
    }
}

/// A value whose every byte depends on `seed`, its place and its CPU.
pub(crate) fn value(map: &Map, seed: u32) -> Vec<u8> {
    let part = part(map);
    let mut value = vec![0; map.value_bytes()];
    for (cpu, part) in value.chunks_mut(part).enumerate() {
        for (at, byte) in part[..map.info().value_size as usize].iter_mut().enumerate() {
            *byte = (seed as usize * 31 + at * 7 + cpu * 101 + (at >> 8) + 1) as u8;
        }
    }
    value
}

/// Bytes of each CPU's value; of the value, in other maps.
pub(crate) fn part(map: &Map) -> usize {
    let size = map.info().value_size as usize;
    if is_per_cpu(map.info().map_type) { size.next_multiple_of(8) } else { size }
}

pub(crate) fn fill(map: &Map, entries: u32) {
    for chunk in (0..entries).collect::<Vec<_>>().chunks(1024) {
        let keys: Vec<u8> = chunk.iter().flat_map(|number| key(map, *number)).collect();
        let values: Vec<u8> = chunk.iter().flat_map(|number| value(map, *number)).collect();
        match map.update_batch(&keys, &values, chunk.len(), 0) {
            // Older kernels have them for few types.
            (0, Err(error)) if has_no_batches(&error) => {
                for number in chunk {
                    map.update(&key(map, *number), &value(map, *number), 0).expect("there is room");
                }
            }
            (_, result) => result.expect("there is room"),
        }
    }
}

pub(crate) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) fn contents(map: &Map) -> Contents {
    let mut contents = Contents::new();
    let mut batch = Batch::default();
    while !batch.at_end {
        match map.lookup_batch(&mut batch, ((1 << 16) / map.value_bytes()).max(64)) {
            Err(error) if contents.is_empty() && has_no_batches(&error) => return one_by_one(map),
            result => result.expect("a batch"),
        }
        let keys = batch.keys.chunks_exact(map.info().key_size as usize);
        for (key, value) in keys.zip(batch.values.chunks_exact(map.value_bytes())).take(batch.count) {
            contents.insert(key.to_vec(), value.to_vec());
        }
    }
    contents
}

fn one_by_one(map: &Map) -> Contents {
    let mut contents = Contents::new();
    let mut next = map.next_key(None).expect("a key");
    while let Some(key) = next {
        let value = map.lookup(&key).expect("a value").expect("nobody deletes");
        next = map.next_key(Some(&key)).expect("a key");
        contents.insert(key, value);
    }
    contents
}

pub(crate) fn by(method: Option<Method>) -> TransferOptions<'static> {
    TransferOptions { method, ..TransferOptions::default() }
}

/// A transfer with its own maps.
pub(crate) struct Maps {
    pub(crate) from: Map,
    pub(crate) to: Map,
    pub(crate) base: Option<Map>,
    pub(crate) sums: Vec<Sum>,
}

impl Maps {
    /// Maps of that type, the old one with as many entries, and a snapshot where one is needed.
    pub(crate) fn new(map_type: MapType, value_size: u32, entries: u32, sums: &[Sum]) -> Self {
        let key_size = if is_array(map_type) { 4 } else { 8 };
        // Room for a few more.
        let room = if is_array(map_type) { entries } else { room(map_type, entries) + 64 };
        let from = new_map(map_type, key_size, value_size, room);
        fill(&from, entries);
        let to = new_map(map_type, key_size, value_size, room);
        let needs_base = maplock::internals::transfer::needs_base(map_type);
        let base = needs_base.then(|| maplock::internals::transfer::new_base(&from).expect("memory"));
        Self { from, to, base, sums: sums.to_vec() }
    }

    pub(crate) fn transfer(&self) -> Transfer<'_> {
        Transfer { from: &self.from, to: &self.to, base: self.base.as_ref(), sums: &self.sums }
    }

    pub(crate) fn copy(&self, method: Option<Method>) -> Result<Copied, TransferError> {
        self.transfer().copy(&mut by(method))
    }

    pub(crate) fn settle(&self, method: Option<Method>) -> Settled {
        self.transfer().settle(&mut by(method)).expect("settled")
    }

    /// Settles in the other direction.
    pub(crate) fn settle_back(&self, method: Option<Method>) -> Settled {
        let back = Transfer { from: &self.to, to: &self.from, base: self.base.as_ref(), sums: &self.sums };
        back.settle(&mut by(method)).expect("settled")
    }
}
