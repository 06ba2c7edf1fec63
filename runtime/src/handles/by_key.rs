//! Single entries, and all of them, of maps with keys: what hashes and tries do alike.

use std::borrow::Borrow;
use std::io;
use std::marker::PhantomData;

use super::entries::{Iter, Keys, Walk};
use super::error::{FULL, MapError};
use super::value::Value;
use super::verified::Verified;
use crate::entry::MapKey;
use crate::sys::consts::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};

/// Whether an entry may be there that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Any,
    IfAbsent,
    IfThere,
}

/// A map with keys of one type and values of another.
pub(super) struct ByKey<'m, K, V> {
    map: &'m Verified,
    of: PhantomData<fn() -> (K, V)>,
}

impl<'m, K: MapKey, V: Value> ByKey<'m, K, V> {
    #[inline]
    pub(super) fn new(map: &'m Verified) -> Self {
        Self { map, of: PhantomData }
    }

    #[cold]
    pub(super) fn error(&self, tried: &str, key: &K, error: io::Error) -> MapError {
        let error = MapError::of_key(self.map.name(), tried, key.as_bytes(), error);
        if error.is_full() { error.hint(FULL) } else { error }
    }

    #[inline]
    pub(super) fn get(&self, key: impl Borrow<K>) -> Result<Option<V>, MapError> {
        let key = key.borrow();
        V::filled_by(self.map.value_bytes(), |value| self.map.lookup_into(key.as_bytes(), value))
            .map_err(|error| self.error("look up key", key, error))
    }

    /// Writes an entry; false if it was there, or was not, against `put`.
    #[inline]
    pub(super) fn put(&self, key: impl Borrow<K>, value: impl Borrow<V>, put: Put) -> Result<bool, MapError> {
        let (flags, refused, tried) = match put {
            Put::Any => (BPF_ANY, None, "insert key"),
            Put::IfAbsent => (BPF_NOEXIST, Some(libc::EEXIST), "insert key"),
            Put::IfThere => (BPF_EXIST, Some(libc::ENOENT), "replace key"),
        };
        let key = key.borrow();
        match value.borrow().with_bytes(|value| self.map.update(key.as_bytes(), value, flags)) {
            Ok(()) => Ok(true),
            Err(error) if refused.is_some() && error.raw_os_error() == refused => Ok(false),
            Err(error) => Err(self.error(tried, key, error)),
        }
    }

    /// False if there is no such entry.
    #[inline]
    pub(super) fn remove(&self, key: impl Borrow<K>) -> Result<bool, MapError> {
        let key = key.borrow();
        self.map.delete(key.as_bytes()).map_err(|error| self.error("remove key", key, error))
    }

    pub(super) fn iter(&self) -> Iter<'m, K, V> {
        Iter::new(self.map, Walk::new(self.map))
    }

    pub(super) fn keys(&self) -> Keys<'m, K> {
        Keys::new(self.map, Walk::new(self.map))
    }

    pub(super) fn count(&self) -> Result<usize, MapError> {
        let count = Walk::new(self.map).count();
        count.map_err(|error| MapError::new(self.map.name(), "count its entries", error))
    }
}
