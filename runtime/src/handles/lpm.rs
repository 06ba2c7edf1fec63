//! Tries of prefixes.

use std::borrow::Borrow;
use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::by_key::{ByKey, Put};
use super::entries::{Iter, Keys};
use super::error::MapError;
use super::handle::handle;
use super::verified::Verified;
use crate::entry::{MapKey, MapValue};

/// A key of a trie, as `struct bpf_lpm_trie_key_u8` has it: so many bits of the data, from the first byte on, in network order.
///
/// ```
/// use maplock::handles::LpmKey;
///
/// let net = LpmKey::new(16, [10, 1, 0, 0]); // 10.1.0.0/16
/// assert_eq!(net.prefix_len(), 16);
/// ```
///
/// A struct of the user's own with the length as its first member is as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
pub struct LpmKey<D> {
    prefix_len: u32,
    data: D,
}

impl<D: Copy> LpmKey<D> {
    /// The first `prefix_len` bits of `data`.
    #[must_use]
    pub const fn new(prefix_len: u32, data: D) -> Self {
        Self { prefix_len, data }
    }

    /// How many bits count.
    #[must_use]
    pub const fn prefix_len(&self) -> u32 {
        self.prefix_len
    }

    /// The data, of which the bits behind the prefix don't count.
    #[must_use]
    pub const fn data(&self) -> D {
        self.data
    }
}

impl<D: MapKey> MapKey for LpmKey<D> {}

/// A handle of a trie: its keys begin with a length in bits, and a look-up finds the longest prefix that covers the key.
pub struct LpmTrie<K, V> {
    pub(super) map: Verified,
    of: PhantomData<fn() -> (K, V)>,
}

handle!(LpmTrie<K: MapKey, V: MapValue>, Some(Kind::LpmTrie), key: Some(size_of::<K>()), value: Some((size_of::<V>(), false)));

impl<K, V> LpmTrie<K, V> {
    fn of(map: Verified) -> Self {
        Self { map, of: PhantomData }
    }
}

impl<K: MapKey, V: MapValue> LpmTrie<K, V> {
    #[inline]
    fn by_key(&self) -> ByKey<'_, K, V> {
        ByKey::new(&self.map)
    }

    /// The value of the longest prefix that covers the key.
    ///
    /// # Errors
    /// EINVAL if the key says more bits than it has; else the kernel's.
    #[inline]
    pub fn get(&self, key: impl Borrow<K>) -> Result<Option<V>, MapError> {
        self.by_key().get(key)
    }

    /// Writes the entry of just this prefix, whether or not there is one.
    ///
    /// # Errors
    /// ENOSPC if the map is full ([`MapError::is_full`]), EINVAL if the key says more bits than it has; else the kernel's.
    pub fn insert(&self, key: impl Borrow<K>, value: impl Borrow<V>) -> Result<(), MapError> {
        self.by_key().put(key, value, Put::Any).map(drop)
    }

    /// Writes the entry of just this prefix if there is none. False if there is one, which stays as it is. A kernel without commit
    /// eae6a075e953 (Linux 6.13, and stable kernels since December 2024) does not look, and writes in any case.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn insert_new(&self, key: impl Borrow<K>, value: impl Borrow<V>) -> Result<bool, MapError> {
        self.by_key().put(key, value, Put::IfAbsent)
    }

    /// Writes over the entry of just this prefix. False if there is none; on such a kernel, see [`Self::insert_new`], it is written then.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn replace(&self, key: impl Borrow<K>, value: impl Borrow<V>) -> Result<bool, MapError> {
        self.by_key().put(key, value, Put::IfThere)
    }

    /// Removes the entry of just this prefix. False if there is none.
    ///
    /// # Errors
    /// EINVAL if the key says more bits than it has; else the kernel's.
    pub fn remove(&self, key: impl Borrow<K>) -> Result<bool, MapError> {
        self.by_key().remove(key)
    }

    /// The entries. The kernel reads a prefix by the longest that covers it: one that is deleted meanwhile may come with the value
    /// of a shorter one.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.by_key().iter()
    }

    /// The prefixes.
    #[must_use]
    pub fn keys(&self) -> Keys<'_, K> {
        self.by_key().keys()
    }

    /// How many entries there are now, counted.
    ///
    /// # Errors
    /// The kernel's.
    pub fn count(&self) -> Result<usize, MapError> {
        self.by_key().count()
    }
}

impl<'m, K: MapKey, V: MapValue> IntoIterator for &'m LpmTrie<K, V> {
    type Item = Result<(K, V), MapError>;
    type IntoIter = Iter<'m, K, V>;

    fn into_iter(self) -> Iter<'m, K, V> {
        self.iter()
    }
}
