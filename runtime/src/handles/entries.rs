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
/// whatever others insert and delete. Other types, and kernels before 5.6, are read by key: see [`ByKey`].
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
    Keys(ByKey),
}

impl By {
    fn keys(map: &Map) -> Self {
        let info = map.info();
        // Each time that the walk starts again it makes way for what it has not seen. So often does it in a map whose entries
        // change faster than they can be read.
        let left = u64::from(info.max_entries).saturating_mul(32).saturating_add(1024);
        Self::Keys(ByKey { is_trie: info.map_type.is_trie(), left, ..ByKey::default() })
    }
}

/// Where the walk by key is. The key after a deleted one is the first; which keys have come already is remembered, so that none comes twice,
/// and none is left out. In a trie, the key after a deleted one may also be one far behind it (`trie_get_next_key` before commit 27abc7b3fa2e of
/// Linux 6.13, which stable kernels have since December 2024), so that a trie is gone through until nothing new comes.
#[derive(Debug, Default)]
struct ByKey {
    is_trie: bool,
    last: Option<Vec<u8>>,
    seen: HashSet<Vec<u8>>,
    /// Something new came since the walk began at the first key.
    has_news: bool,
    /// Steps that it may still take.
    left: u64,
}

impl ByKey {
    /// The next key that has not come.
    fn next(&mut self, next_key: impl Fn(Option<&[u8]>) -> io::Result<Option<Vec<u8>>>) -> io::Result<Option<Vec<u8>>> {
        loop {
            let Some(left) = self.left.checked_sub(1) else {
                return Err(io::Error::other("its entries change faster than they can be read"));
            };
            self.left = left;
            self.last = next_key(self.last.as_deref())?;
            match &self.last {
                Some(next) if self.seen.contains(next) => {}
                None if self.is_trie && self.has_news => self.has_news = false,
                next => return Ok(next.clone()),
            }
        }
    }

    fn came(&mut self, key: Vec<u8>) {
        self.has_news = true;
        self.seen.insert(key);
    }
}

impl<'m> Walk<'m> {
    /// By batches if the kernel has them for this type. Not of tries, whose batches go by key as well, and start again unnoticed if
    /// one is deleted (`generic_map_lookup_batch`).
    pub(super) fn new(map: &'m Map) -> Self {
        let by = if map.info().map_type.is_trie() { By::keys(map) } else { By::Batches };
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
                Err(error) if has_no_batches(&error) => self.by = By::keys(self.map),
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        self.read_by_key()
    }

    fn read_by_key(&mut self) -> io::Result<()> {
        let By::Keys(by) = &mut self.by else { return Ok(()) };
        while let Some(next) = by.next(|key| self.map.next_key(key))? {
            self.batch.values.resize(self.map.value_bytes(), 0);
            // Where it was deleted just now, it may come back, and counts then.
            if self.map.lookup_into(&next, &mut self.batch.values)? {
                self.batch.keys.clone_from(&next);
                by.came(next);
                self.batch.count = 1;
                return Ok(());
            }
        }
        self.is_over = true;
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    /// What comes of a walk by key that removes each key as it comes, where the key after a deleted one is the second behind it.
    fn removed_as_they_come(is_trie: bool) -> usize {
        let there: RefCell<BTreeSet<Vec<u8>>> = RefCell::new((0..100).map(|number| vec![number]).collect());
        let next_key = |after: Option<&[u8]>| -> io::Result<_> {
            let there = there.borrow();
            let mut behind = there.iter().filter(|key| after.is_none_or(|after| key.as_slice() > after));
            let skipped = usize::from(after.is_some_and(|after| !there.contains(after)));
            Ok(behind.nth(skipped).cloned())
        };
        let mut by = ByKey { is_trie, left: 1024, ..ByKey::default() };
        while let Some(key) = by.next(next_key).expect("few keys") {
            assert!(there.borrow_mut().remove(&key));
            by.came(key);
        }
        by.seen.len()
    }

    #[test]
    fn a_trie_whose_keys_are_removed_as_they_come_is_gone_through_until_none_is_new() {
        assert_eq!(removed_as_they_come(true), 100);
        assert_eq!(removed_as_they_come(false), 50, "what is modelled leaves keys out");
    }

    #[test]
    fn a_map_that_changes_all_the_time_is_given_up() {
        let mut by = ByKey { left: 10, ..ByKey::default() };
        let error = loop {
            match by.next(|_| Ok(Some(vec![1]))) {
                Ok(Some(key)) => by.came(key),
                Ok(None) => panic!("there is always one"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "its entries change faster than they can be read");
    }
}
