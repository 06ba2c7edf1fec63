//! Arrays, also those with a value for each CPU.

use std::borrow::Borrow;
use std::marker::PhantomData;

use super::entries::{Iter, Walk};
use super::error::MapError;
use super::handle::handle;
use super::per_cpu::PerCpu;
use super::value::Value;
use super::verified::Verified;

/// A handle of an array; with a value for each CPU, it is a [`PerCpuArray`](super::PerCpuArray).
///
/// All of its entries are there from the start, as zeros, and none can be removed.
pub struct Array<V> {
    pub(super) map: Verified,
    of: PhantomData<fn() -> V>,
}

/// An array that has a value for each CPU.
pub type PerCpuArray<V> = Array<PerCpu<V>>;

handle!(Array<V: Value>, Some(Kind::Array), key: Some(size_of::<u32>()), value: Some((V::SIZE, V::PER_CPU)));

impl<V> Array<V> {
    fn of(map: Verified) -> Self {
        Self { map, of: PhantomData }
    }
}

impl<V: Value> Array<V> {
    /// The value at an index; `None` behind the end.
    ///
    /// # Errors
    /// The kernel's.
    #[inline]
    pub fn get(&self, index: u32) -> Result<Option<V>, MapError> {
        let map = &*self.map;
        V::filled_by(map.value_bytes(), |value| map.lookup_into(&index.to_ne_bytes(), value))
            .map_err(|error| MapError::new(self.name(), format!("look up index {index}"), error))
    }

    /// Writes the value at an index.
    ///
    /// # Errors
    /// E2BIG behind the end, EPERM if the map is frozen; else the kernel's.
    #[inline]
    pub fn set(&self, index: u32, value: impl Borrow<V>) -> Result<(), MapError> {
        let written = value.borrow().with_bytes(|value| self.map.update(&index.to_ne_bytes(), value, 0));
        written.map_err(|error| {
            let is_behind = error.raw_os_error() == Some(libc::E2BIG);
            let error = MapError::new(self.name(), format!("write index {index}"), error);
            if is_behind { error.hint("it ends before that: ") } else { error }
        })
    }

    /// Writes values from an index on, many at a time if the kernel can (Linux 5.6).
    ///
    /// # Errors
    /// As [`Self::set`]; those before it are written.
    pub fn set_batch(&self, first: u32, values: impl IntoIterator<Item = V>) -> Result<usize, MapError> {
        let (mut keys, mut bytes, mut count) = (Vec::new(), Vec::new(), 0);
        for (index, value) in (first..).zip(values) {
            keys.extend_from_slice(&index.to_ne_bytes());
            value.with_bytes(|value| bytes.extend_from_slice(value));
            count += 1;
        }
        let len = self.map.value_bytes();
        let (mut at, result) = match count {
            0 => (0, Ok(())),
            _ => self.map.update_batch(&keys, &bytes, count, 0),
        };
        // What the batch left over, one by one: the first of them tells what is wrong, if anything is.
        if result.is_err() {
            while at < count {
                let index = first.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
                let value = V::from_bytes(&bytes[at * len..][..len]);
                let value = value.map_err(|error| MapError::new(self.name(), format!("write index {index}"), error))?;
                self.set(index, value)?;
                at += 1;
            }
        }
        Ok(count)
    }

    /// The values, each with its index.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, u32, V> {
        Iter::new(&self.map, Walk::new(&self.map))
    }
}

impl<'m, V: Value> IntoIterator for &'m Array<V> {
    type Item = Result<(u32, V), MapError>;
    type IntoIter = Iter<'m, u32, V>;

    fn into_iter(self) -> Iter<'m, u32, V> {
        self.iter()
    }
}
