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
//! Each is `AsFd` and `Send + Sync`, and has `name`, `capacity`, `generation` and `as_map`. An [`Origin`] tells whether the generation of the maps
//! is still live, and a [`Watch`] when it is no longer. Other libraries may use the same map at the same time.

mod array;
mod bloom;
mod by_key;
mod entries;
mod error;
mod handle;
mod hash;
mod lpm;
mod opaque;
mod per_cpu;
mod queue;
mod ring;
mod value;
mod verified;

pub use crate::generation::live::Generation;
pub use crate::generation::origin::Origin;
pub use crate::generation::watch::Watch;
pub use array::{Array, PerCpuArray};
pub use bloom::BloomFilter;
pub use entries::{Iter, Keys};
pub use error::MapError;
pub use hash::{HashMap, PerCpuHashMap};
pub use lpm::{LpmKey, LpmTrie};
pub use opaque::Opaque;
pub use per_cpu::PerCpu;
pub use queue::{Queue, Stack};
pub use ring::{Consumer, RingBuf};
pub use value::Value;
pub use verified::{Directory, Handle, Verified};
