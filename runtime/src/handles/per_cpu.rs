//! A value for each CPU.

use std::io;
use std::ops::{Index, IndexMut};

use super::value::Value;
use super::value::private::Bytes;
use crate::entry::MapValue;
use crate::sys::possible_cpu_numbers;

/// The values of one entry, one for each CPU that the machine could have.
///
/// ```
/// let mut packets = maplock::handles::PerCpu::filled(0_u64)?;
/// packets[0] += 3;
/// assert_eq!(packets.values().sum::<u64>(), 3);
/// for (cpu, packets) in &packets {
///     println!("CPU {cpu}: {packets}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PerCpu<V> {
    /// In the order of `cpus`, and as many.
    values: Vec<V>,
    /// Sorted.
    cpus: &'static [u32],
}

impl<V> PerCpu<V> {
    /// A value for each CPU, by its number.
    ///
    /// # Errors
    /// If the kernel does not tell its CPUs.
    pub fn from_fn(value: impl FnMut(u32) -> V) -> io::Result<Self> {
        let cpus = possible_cpu_numbers()?;
        Ok(Self { values: cpus.iter().copied().map(value).collect(), cpus })
    }

    /// The same value for each CPU.
    ///
    /// # Errors
    /// If the kernel does not tell its CPUs.
    pub fn filled(value: V) -> io::Result<Self>
    where
        V: Clone,
    {
        Self::from_fn(|_| value.clone())
    }

    fn place(&self, cpu: u32) -> Option<usize> {
        self.cpus.binary_search(&cpu).ok()
    }

    /// That of a CPU; `None` if the machine can't have one of that number.
    #[must_use]
    pub fn get(&self, cpu: u32) -> Option<&V> {
        self.place(cpu).and_then(|at| self.values.get(at))
    }

    /// That of a CPU, to change.
    pub fn get_mut(&mut self, cpu: u32) -> Option<&mut V> {
        self.place(cpu).and_then(|at| self.values.get_mut(at))
    }

    /// The values.
    pub fn values(&self) -> std::slice::Iter<'_, V> {
        self.values.iter()
    }

    /// The values, each with the number of its CPU.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &V)> {
        self.cpus.iter().copied().zip(&self.values)
    }
}

impl<V> Index<u32> for PerCpu<V> {
    type Output = V;

    /// # Panics
    /// If the machine can't have a CPU of that number; see [`Self::get`].
    fn index(&self, cpu: u32) -> &V {
        self.get(cpu).unwrap_or_else(|| panic!("there is no CPU {cpu}"))
    }
}

impl<V> IndexMut<u32> for PerCpu<V> {
    fn index_mut(&mut self, cpu: u32) -> &mut V {
        self.get_mut(cpu).unwrap_or_else(|| panic!("there is no CPU {cpu}"))
    }
}

impl<'v, V> IntoIterator for &'v PerCpu<V> {
    type Item = (u32, &'v V);
    type IntoIter = std::iter::Zip<std::iter::Copied<std::slice::Iter<'static, u32>>, std::slice::Iter<'v, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.cpus.iter().copied().zip(self.values.iter())
    }
}

impl<V: MapValue> PerCpu<V> {
    /// Bytes from one value to the next (`bpf_map_value_size` in kernel/bpf/syscall.c).
    const STRIDE: usize = size_of::<V>().next_multiple_of(8);
}

impl<V: MapValue> Value for PerCpu<V> {}

impl<V: MapValue> Bytes for PerCpu<V> {
    const SIZE: usize = size_of::<V>();
    const PER_CPU: bool = true;

    fn filled_by(len: usize, fill: impl FnOnce(&mut [u8]) -> io::Result<bool>) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; len];
        if !fill(&mut bytes)? {
            return Ok(None);
        }
        Self::from_bytes(&bytes).map(Some)
    }

    fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let cpus = possible_cpu_numbers()?;
        let read = |bytes| V::read_from_prefix(bytes).map(|(value, _)| value);
        let values: Result<Vec<V>, _> = bytes.chunks_exact(Self::STRIDE).map(read).collect();
        match values {
            Ok(values) if values.len() == cpus.len() => Ok(Self { values, cpus }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn with_bytes<R>(&self, take: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = vec![0; Self::STRIDE * self.values.len()];
        for (to, value) in bytes.chunks_exact_mut(Self::STRIDE).zip(&self.values) {
            to[..size_of::<V>()].copy_from_slice(value.as_bytes());
        }
        take(&bytes)
    }
}
