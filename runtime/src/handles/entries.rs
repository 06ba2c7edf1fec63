//! Going through the entries of a map while others change it.

use std::collections::HashSet;
use std::io;
use std::marker::PhantomData;

use super::error::MapError;
use super::value::Value;
use super::verified::Verified;
use crate::entry::MapKey;
use crate::sys::{Batch, Map, has_no_batches};

/// Bytes that are read at a time.
const CHUNK: usize = 128 << 10;

/// The entries of a map as bytes, a lot at a time.
///
/// Hashes are read by buckets (`__htab_map_lookup_and_delete_batch`): an entry that is there all the time comes exactly once,
/// whatever others insert and delete. Other types, and kernels before 5.6, are read by key. There, the key after a deleted one is
/// the first; which keys have come already is remembered, so that none comes twice, and none is left out.
#[derive(Debug)]
pub(super) struct Walk<'m> {
    map: &'m Map,
    by: By,
    /// The entries that were read last, and how many of them have been handed out.
    batch: Batch,
    at: usize,
    is_over: bool,
}

#[derive(Debug)]
enum By {
    Batches,
    Keys { last: Option<Vec<u8>>, seen: HashSet<Vec<u8>>, steps: u64 },
}

impl By {
    fn keys() -> Self {
        Self::Keys { last: None, seen: HashSet::new(), steps: 0 }
    }
}

impl<'m> Walk<'m> {
    /// By batches where the kernel has them for this type. Not of tries, whose batches go by key as well, and start again unnoticed where
    /// one is deleted (`generic_map_lookup_batch`).
    pub(super) fn new(map: &'m Map) -> Self {
        let by = if map.info().map_type.is_trie() { By::keys() } else { By::Batches };
        Self { map, by, batch: Batch::default(), at: 0, is_over: false }
    }

    /// The next entry; after an error there is none.
    pub(super) fn next(&mut self) -> Option<io::Result<(&[u8], &[u8])>> {
        while self.at >= self.batch.count {
            if self.is_over {
                return None;
            }
            self.at = 0;
            self.batch.count = 0;
            if let Err(error) = self.read() {
                self.is_over = true;
                return Some(Err(error));
            }
        }
        let (key, value) = (self.map.info().key_size as usize, self.map.value_bytes());
        let at = self.at;
        self.at += 1;
        Some(Ok((&self.batch.keys[at * key..][..key], &self.batch.values[at * value..][..value])))
    }

    /// How many entries there are from here on.
    pub(super) fn count(mut self) -> io::Result<usize> {
        let mut count = 0;
        while !self.is_over {
            self.batch.count = 0;
            self.read()?;
            count += self.batch.count;
        }
        Ok(count)
    }

    fn read(&mut self) -> io::Result<()> {
        if matches!(self.by, By::Batches) {
            let entry = self.map.info().key_size as usize + self.map.value_bytes();
            match self.map.lookup_batch(&mut self.batch, (CHUNK / entry.max(1)).clamp(16, 4096)) {
                Ok(()) => self.is_over = self.batch.at_end,
                Err(error) if has_no_batches(&error) => self.by = By::keys(),
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        self.read_by_key()
    }

    fn read_by_key(&mut self) -> io::Result<()> {
        let By::Keys { last, seen, steps } = &mut self.by else { return Ok(()) };
        // Each time that the walk starts again it makes way for what it has not seen. So often does it in a map whose entries
        // change faster than they can be read.
        let most = u64::from(self.map.info().max_entries).saturating_mul(32).saturating_add(1024);
        loop {
            *steps += 1;
            if *steps > most {
                return Err(io::Error::other("its entries change faster than they can be read"));
            }
            let Some(next) = self.map.next_key(last.as_deref())? else {
                self.is_over = true;
                return Ok(());
            };
            *last = Some(next.clone());
            if seen.contains(&next) {
                continue;
            }
            self.batch.values.resize(self.map.value_bytes(), 0);
            // Where it was deleted just now, it may come back, and counts then.
            if self.map.lookup_into(&next, &mut self.batch.values)? {
                self.batch.keys.clone_from(&next);
                seen.insert(next);
                self.batch.count = 1;
                return Ok(());
            }
        }
    }
}

/// Goes through the entries of a map: what is there from the start to the end of it comes exactly once, what is inserted or deleted
/// meanwhile comes or not. After an error there is no more.
#[derive(Debug)]
pub struct Iter<'m, K, V> {
    name: &'m str,
    walk: Walk<'m>,
    of: PhantomData<(K, V)>,
}

impl<'m, K, V> Iter<'m, K, V> {
    pub(super) fn new(map: &'m Verified, walk: Walk<'m>) -> Self {
        Self { name: map.name(), walk, of: PhantomData }
    }
}

fn read_key<K: MapKey>(bytes: &[u8]) -> io::Result<K> {
    K::read_from_bytes(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

impl<K: MapKey, V: Value> Iterator for Iter<'_, K, V> {
    type Item = Result<(K, V), MapError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = |(key, value): (&[u8], &[u8])| Ok((read_key(key)?, V::from_bytes(value)?));
        let entry = self.walk.next()?.and_then(read);
        Some(entry.map_err(|error| MapError::new(self.name, "read its entries", error)))
    }
}

/// Goes through the keys of a map, as [`Iter`] does through its entries.
#[derive(Debug)]
pub struct Keys<'m, K> {
    name: &'m str,
    walk: Walk<'m>,
    of: PhantomData<K>,
}

impl<'m, K> Keys<'m, K> {
    pub(super) fn new(map: &'m Verified, walk: Walk<'m>) -> Self {
        Self { name: map.name(), walk, of: PhantomData }
    }
}

impl<K: MapKey> Iterator for Keys<'_, K> {
    type Item = Result<K, MapError>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.walk.next()?.and_then(|(key, _)| read_key(key));
        Some(key.map_err(|error| MapError::new(self.name, "read its keys", error)))
    }
}
