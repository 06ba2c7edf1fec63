//! Every connection that the programs ever counted, in whichever map.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use maplock::Spec;
use maplock::layout::Layout;
use maplock::sys::Map;

use crate::entries::{decode, read_all};

/// Holds each map that was ever pinned as `stats`, also those that a swap has put away. When nothing connects any more, their
/// sum is the number of connections, or counts got lost.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the map's id.
    maps: BTreeMap<u32, (Map, Arc<Layout>)>,
}

impl Ledger {
    /// Takes note of the map that is pinned now, whose layout is that of `spec`. Returns its id.
    ///
    /// # Errors
    /// Where it can't be opened.
    pub fn note(&mut self, pins: &Path, spec: &Spec) -> io::Result<u32> {
        let map = Map::open(&pins.join("stats"))?;
        let value = spec.map("stats").and_then(|map| map.def.value.clone());
        let value = value.ok_or_else(|| io::Error::other("the lock has no layout for map `stats`"))?;
        let id = map.info().id;
        self.maps.insert(id, (map, value));
        Ok(id)
    }

    /// The ids of the maps that were noted.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.maps.keys().copied()
    }

    /// What one of the maps counts.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn of(&self, id: u32) -> io::Result<u64> {
        let (map, value) = self.maps.get(&id).ok_or_else(|| io::Error::other(format!("no map {id} was noted")))?;
        let counts = read_all(map)?.into_iter().map(|(_, bytes)| decode(value, "connections", &bytes).unwrap_or(0));
        Ok(counts.sum())
    }

    /// What all of them count.
    ///
    /// # Errors
    /// Where one can't be read.
    pub fn total(&self) -> io::Result<u64> {
        self.maps.keys().map(|id| self.of(*id)).sum()
    }
}
