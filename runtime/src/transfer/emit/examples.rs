//! Maps that no kernel has made, for looking at the programs that are emitted for them.

pub(in crate::transfer) use maplock_layout::map::MapType as T;

use super::super::base::needs_base;
use super::super::pieces::Pieces;
use super::super::types::{Sum, is_array, is_per_cpu};
use super::inputs::{Cpus, Maps, Over};
use crate::sys::{Map, NewMap};

const CPUS: u32 = 4;
pub(in crate::transfer) const ALL_CPUS: Cpus = Cpus::Range(0..CPUS);

pub(in crate::transfer) fn map(map_type: T, key_size: u32, value_size: u32) -> Map {
    Map::of_attributes(&NewMap::new(map_type, key_size, value_size, 64))
}

/// Over what a program runs that is for the entries of `map`.
pub(in crate::transfer) fn source(map: &Map) -> Over<'_> {
    match map.info().map_type {
        map_type if is_array(map_type) => Over::Indexes,
        T::LPM_TRIE => Over::Keys(map),
        _ => Over::Iterator { btf_id: 1, key_size: map.info().key_size, half: None, records: None },
    }
}

/// Maps of one kind.
pub(in crate::transfer) struct Example {
    pub(in crate::transfer) from: Map,
    to: Map,
    base: Option<Map>,
    pieces: Pieces,
    work: Map,
}

impl Example {
    pub(in crate::transfer) fn new(map_type: T, value_size: u32, sums: &[Sum]) -> Self {
        // The values of a trie lie on 8 bytes where its keys end there.
        let key_size = match map_type {
            T::LPM_TRIE => 12,
            _ if is_array(map_type) => 4,
            _ => 8,
        };
        Self::with_keys(map_type, key_size, value_size, sums)
    }

    pub(in crate::transfer) fn with_keys(map_type: T, key_size: u32, value_size: u32, sums: &[Sum]) -> Self {
        let of = |map_type| map(map_type, key_size, value_size);
        let (from, to) = (of(map_type), of(map_type));
        let base = needs_base(map_type).then(|| of(map_type));
        Self { pieces: Pieces::new(&from, sums), from, to, base, work: map(T::ARRAY, 4, value_size) }
    }

    pub(in crate::transfer) fn maps(&self) -> Maps<'_> {
        let Self { from, to, base, pieces, work } = self;
        let per_cpu = is_per_cpu(from.info().map_type);
        let base = base.as_ref();
        Maps { from, to, base, pieces, counts: work, scratch: work, zeros: work, per_cpu, possible_cpus: CPUS }
    }
}
