//! Every connection that the programs ever counted, in whichever map.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use maplock::Map;
use maplock::Spec;
use maplock::layout::Layout;

use crate::entries::{decode, read_all};

/// Holds each map that was ever pinned as `stats`, also those that an upgrade has put away. When nothing connects any more, their
/// sum, less what one has from another, is the number of connections, or counts got lost.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the map's id.
    maps: BTreeMap<u32, (Map, Arc<Layout>)>,
    /// Maps whose counts were converted into another one, which map that is, and how many counts there were.
    carried: Vec<(u32, u32, u64)>,
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

    /// What one of the maps counts.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn of(&self, id: u32) -> io::Result<u64> {
        let (map, value) = self.maps.get(&id).ok_or_else(|| io::Error::other(format!("no map {id} was noted")))?;
        let counts = read_all(map)?.into_iter().map(|(_, bytes)| decode(value, "connections", &bytes).unwrap_or(0));
        Ok(counts.sum())
    }

    /// The counts of `old`, which nobody writes any more, are in `new` too. Returns how many.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn carry(&mut self, old: u32, new: u32) -> io::Result<u64> {
        let counts = self.of(old)?;
        // One that returns has what it once gave: with what came to it since, all of that is its own again.
        if let Some(at) = self.carried.iter().rposition(|(from, to, _)| (*from, *to) == (new, old)) {
            self.carried.remove(at);
        }
        self.carried.push((old, new, counts));
        Ok(counts)
    }

    /// What all of them count, each connection once.
    ///
    /// # Errors
    /// Where one can't be read.
    pub fn total(&self) -> io::Result<u64> {
        let all: u64 = self.maps.keys().map(|id| self.of(*id)).sum::<io::Result<_>>()?;
        let twice: u64 = self.carried.iter().map(|(.., counts)| counts).sum();
        Ok(all.saturating_sub(twice))
    }
}
