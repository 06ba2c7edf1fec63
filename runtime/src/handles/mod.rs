//! Typed handles of maps whose layout was verified.
//!
//! A handle is had from the generated module only after the pinned map was held against its definition (`flowtop::Maps::open`,
//! `flowtop::flows::open`), so that its types say what the bytes mean. Each has the operations of its map's type:
//!
//! | handle | map types |
//! |---|---|
//! | [`HashMap`] | hash, lru_hash |
//! | [`PerCpuHashMap`] | percpu_hash, lru_percpu_hash |
//! | [`Array`], [`PerCpuArray`] | array, percpu_array |
//! | [`LpmTrie`] | lpm_trie |
//! | [`Queue`], [`Stack`] | queue, stack |
//! | [`BloomFilter`] | bloom_filter |
//! | [`RingBuf`] | ringbuf |
//! | [`Opaque`] | all others, such as maps in maps and program arrays |
//!
//! Each is `AsFd` and `Send + Sync`, and has `name`, `capacity` and `as_map`. Other libraries may use the same map at the same time.

mod array;
mod bloom;
mod entries;
mod error;
mod hash;
mod lpm;
mod opaque;
mod per_cpu;
mod queue;
mod ring;
mod value;
mod verified;

pub use array::Array;
pub use bloom::BloomFilter;
pub use entries::{Iter, Keys};
pub use error::MapError;
pub use hash::HashMap;
pub use lpm::{LpmKey, LpmTrie};
pub use opaque::Opaque;
pub use per_cpu::PerCpu;
pub use queue::{Queue, Stack};
pub use ring::{Consumer, RingBuf};
pub use value::Value;
pub use verified::{Directory, Handle, Verified};

/// A hash, or an LRU one, that has a value for each CPU.
pub type PerCpuHashMap<K, V> = HashMap<K, PerCpu<V>>;

/// An array that has a value for each CPU.
pub type PerCpuArray<V> = Array<PerCpu<V>>;

/// What all handles have.
macro_rules! handle {
    ($name:ident $(<$($of:ident: $bound:path),+>)?, $types:pat, key: $key:expr, value: $value:expr) => {
        impl$(<$($of: $bound),+>)? $crate::handles::Handle for $name$(<$($of),+>)? {
            fn from_verified(map: $crate::handles::Verified) -> Result<Self, $crate::Error> {
                use maplock_layout::map::MapType as T;
                let of_type = |map_type: T| matches!(map_type, $types);
                map.check(stringify!($name), of_type, $key, $value)?;
                Ok(Self::of(map))
            }
        }

        impl$(<$($of),+>)? $name$(<$($of),+>)? {
            /// Its name in the spec.
            #[must_use]
            pub fn name(&self) -> &str {
                self.map.name()
            }

            /// How many entries it can hold, as the kernel has it; of a ring buffer, how many bytes.
            #[must_use]
            pub fn capacity(&self) -> u32 {
                self.map.info().max_entries
            }

            /// The map itself, whose keys and values are bytes.
            #[must_use]
            pub fn as_map(&self) -> &$crate::sys::Map {
                &self.map
            }

            /// The same map for aya, which checks nothing: `aya::maps::Map::from_map_data` makes one of its own typed maps of it.
            ///
            /// # Errors
            /// Where there is no descriptor left, or aya does not take it.
            #[cfg(feature = "aya")]
            pub fn to_aya(&self) -> Result<aya::maps::MapData, aya::maps::MapError> {
                use std::os::fd::AsFd as _;
                let fd = self.as_fd().try_clone_to_owned().map_err(|io_error| {
                    aya::maps::MapError::IoError(io_error)
                })?;
                aya::maps::MapData::from_fd(fd)
            }

            /// The same map for libbpf-rs, which checks sizes. libbpf-rs takes a map by its number, which asks for CAP_SYS_ADMIN.
            ///
            /// # Errors
            /// Where libbpf-rs does not get it.
            #[cfg(feature = "libbpf-rs")]
            pub fn to_libbpf(&self) -> libbpf_rs::Result<libbpf_rs::MapHandle> {
                libbpf_rs::MapHandle::from_map_id(self.map.info().id)
            }
        }

        impl$(<$($of),+>)? std::os::fd::AsFd for $name$(<$($of),+>)? {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.map.as_fd()
            }
        }

        impl$(<$($of),+>)? std::fmt::Debug for $name$(<$($of),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("name", &self.name()).field("id", &self.map.info().id).finish()
            }
        }
    };
}
use handle;
