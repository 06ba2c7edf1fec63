//! Bloom filters.

use std::borrow::Borrow;
use std::marker::PhantomData;

use super::error::MapError;
use super::handle::handle;
use super::value::private::Bytes as _;
use super::verified::Verified;
use crate::entry::MapValue;

/// A handle of a Bloom filter, which tells whether a value may be in it. None can be removed.
pub struct BloomFilter<V> {
    pub(super) map: Verified,
    of: PhantomData<fn() -> V>,
}

handle!(BloomFilter<V: MapValue>, Some(Kind::BloomFilter), key: Some(0), value: Some((V::SIZE, false)));

impl<V> BloomFilter<V> {
    fn of(map: Verified) -> Self {
        Self { map, of: PhantomData }
    }
}

impl<V: MapValue> BloomFilter<V> {
    /// Adds a value.
    ///
    /// # Errors
    /// The kernel's.
    pub fn insert(&self, value: impl Borrow<V>) -> Result<(), MapError> {
        let written = self.map.update(&[], value.borrow().as_bytes(), 0);
        written.map_err(|error| MapError::new(self.name(), "insert a value", error))
    }

    /// True if the value may have been inserted; false if it was not.
    ///
    /// # Errors
    /// The kernel's.
    pub fn may_contain(&self, value: impl Borrow<V>) -> Result<bool, MapError> {
        // The call takes the value to look for where others put the one that is found (`bpf_map_copy_value`).
        let asked = |bytes: &mut [u8]| {
            bytes.copy_from_slice(value.borrow().as_bytes());
            self.map.lookup_into(&[], bytes)
        };
        let found = V::filled_by(self.map.value_bytes(), asked);
        found.map(|found| found.is_some()).map_err(|error| MapError::new(self.name(), "look for a value", error))
    }
}
