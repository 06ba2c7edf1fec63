//! Hashes: `hash`, `lru_hash`, and those with a value for each CPU.

use std::borrow::Borrow;
use std::marker::PhantomData;

use super::by_key::{ByKey, Put};
use super::entries::{Iter, Keys};
use super::error::MapError;
use super::handle::handle;
use super::per_cpu::PerCpu;
use super::value::Value;
use super::verified::Verified;
use crate::entry::MapKey;
use crate::sys::consts::BPF_ANY;
use crate::sys::has_no_batches;

/// How many entries go to the kernel at a time.
const LOT: usize = 1024;

/// A handle of a hash, or of an LRU one; with a value for each CPU, it is a [`PerCpuHashMap`](super::PerCpuHashMap).
///
/// An LRU evicts what was not used for long if it is full: an entry that was inserted may be gone.
pub struct HashMap<K, V> {
    pub(super) map: Verified,
    of: PhantomData<fn() -> (K, V)>,
}

/// A hash, or an LRU one, that has a value for each CPU.
pub type PerCpuHashMap<K, V> = HashMap<K, PerCpu<V>>;

handle!(HashMap<K: MapKey, V: Value>, Some(Kind::Hash),
    key: Some(size_of::<K>()), value: Some((V::SIZE, V::PER_CPU)));

impl<K, V> HashMap<K, V> {
    fn of(map: Verified) -> Self {
        Self { map, of: PhantomData }
    }
}

impl<K: MapKey, V: Value> HashMap<K, V> {
    #[inline]
    fn by_key(&self) -> ByKey<'_, K, V> {
        ByKey::new(&self.map)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The kernel's.
    #[inline]
    pub fn get(&self, key: impl Borrow<K>) -> Result<Option<V>, MapError> {
        self.by_key().get(key)
    }

    /// True if there is such a key.
    ///
    /// # Errors
    /// The kernel's.
    pub fn contains_key(&self, key: impl Borrow<K>) -> Result<bool, MapError> {
        self.get(key).map(|value| value.is_some())
    }

    /// Writes an entry, whether or not there is one.
    ///
    /// # Errors
    /// E2BIG if the map is full ([`MapError::is_full`]); else the kernel's.
    #[inline]
    pub fn insert(&self, key: impl Borrow<K>, value: impl Borrow<V>) -> Result<(), MapError> {
        self.by_key().put(key, value, Put::Any).map(drop)
    }

    /// Writes an entry if there is none of that key. False if there is one, which stays as it is.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn insert_new(&self, key: impl Borrow<K>, value: impl Borrow<V>) -> Result<bool, MapError> {
        self.by_key().put(key, value, Put::IfAbsent)
    }

    /// Writes over an entry. False if there is none of that key, and none is made.
    ///
    /// # Errors
    /// The kernel's.
    pub fn replace(&self, key: impl Borrow<K>, value: impl Borrow<V>) -> Result<bool, MapError> {
        self.by_key().put(key, value, Put::IfThere)
    }

    /// Removes an entry. False if there is none.
    ///
    /// # Errors
    /// The kernel's.
    #[inline]
    pub fn remove(&self, key: impl Borrow<K>) -> Result<bool, MapError> {
        self.by_key().remove(key)
    }

    /// Removes an entry and returns what it held, in one step: nothing that a program adds is lost in between.
    ///
    /// # Errors
    /// ENOTSUPP (524) before Linux 5.14; else the kernel's.
    pub fn take(&self, key: impl Borrow<K>) -> Result<Option<V>, MapError> {
        let (map, key) = (&*self.map, key.borrow());
        V::filled_by(map.value_bytes(), |value| map.take_into(key.as_bytes(), value))
            .map_err(|error| self.by_key().error("take key", key, error))
    }

    /// The entries, read in batches while others go on changing them.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.by_key().iter()
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> Keys<'_, K> {
        self.by_key().keys()
    }

    /// How many entries there are now. The kernel keeps no number, so that they are counted.
    ///
    /// # Errors
    /// The kernel's.
    pub fn count(&self) -> Result<usize, MapError> {
        self.by_key().count()
    }

    /// Writes entries as [`Self::insert`] does, many at a time if the kernel can (Linux 5.6). Returns how many.
    ///
    /// # Errors
    /// As [`Self::insert`], with the key; those before it are written.
    pub fn insert_batch(&self, entries: impl IntoIterator<Item = (K, V)>) -> Result<usize, MapError> {
        let (mut lot, mut total) = (Vec::with_capacity(LOT), 0);
        for entry in entries {
            lot.push(entry);
            if lot.len() == LOT {
                total += self.insert_lot(&lot)?;
                lot.clear();
            }
        }
        Ok(total + self.insert_lot(&lot)?)
    }

    fn insert_lot(&self, lot: &[(K, V)]) -> Result<usize, MapError> {
        if lot.is_empty() {
            return Ok(0);
        }
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (key, value) in lot {
            keys.extend_from_slice(key.as_bytes());
            value.with_bytes(|bytes| values.extend_from_slice(bytes));
        }
        match self.map.update_batch(&keys, &values, lot.len(), BPF_ANY) {
            (_, Ok(())) => Ok(lot.len()),
            (0, Err(error)) if has_no_batches(&error) => {
                lot.iter().try_for_each(|(key, value)| self.insert(key, value)).map(|()| lot.len())
            }
            (written, Err(error)) => Err(match lot.get(written) {
                Some((key, _)) => self.by_key().error("insert key", key, error),
                None => MapError::new(self.name(), "insert entries", error),
            }),
        }
    }

    /// Removes entries, many at a time if the kernel can (Linux 5.6). Returns how many there were.
    ///
    /// # Errors
    /// The kernel's, with the key; those before it are removed.
    pub fn remove_batch(&self, keys: impl IntoIterator<Item = impl Borrow<K>>) -> Result<usize, MapError> {
        let mut bytes = Vec::new();
        for key in keys {
            bytes.extend_from_slice(key.borrow().as_bytes());
        }
        let size = size_of::<K>();
        let (mut rest, mut removed) = (&bytes[..], 0);
        while !rest.is_empty() {
            let count = (rest.len() / size).min(LOT);
            let (done, result) = self.map.delete_batch(&rest[..count * size], count);
            removed += done;
            rest = &rest[done * size..];
            let Err(error) = result else { continue };
            // The batch ends at a key that is not there, or where there are no batches.
            let key = &rest[..size];
            if error.raw_os_error() != Some(libc::ENOENT) && !(done == 0 && has_no_batches(&error)) {
                return Err(MapError::of_key(self.name(), "remove key", key, error));
            }
            let deleted = self.map.delete(key);
            removed += usize::from(deleted.map_err(|error| MapError::of_key(self.name(), "remove key", key, error))?);
            rest = &rest[size..];
        }
        Ok(removed)
    }
}

impl<'m, K: MapKey, V: Value> IntoIterator for &'m HashMap<K, V> {
    type Item = Result<(K, V), MapError>;
    type IntoIter = Iter<'m, K, V>;

    fn into_iter(self) -> Iter<'m, K, V> {
        self.iter()
    }
}
