//! What is pinned, as the kernel tells it.

use std::path::PathBuf;

use maplock_layout::{Digest, MapDef};

/// A pinned map, as plain data.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Name of the pin.
    pub pin: String,
    /// Where it is pinned.
    pub path: PathBuf,
    /// The kernel's number for the map.
    pub id: u32,
    /// Its definition, normalised: as a lock would have it.
    pub def: MapDef,
    /// Where the layouts in `def` were read from.
    pub source: Source,
    /// Digest of `def`; of the definition that it counts as since, where `maplock_meta` says so.
    pub digest: Digest,
    /// True where system calls can't change it any more.
    pub frozen: bool,
    /// How many entries it holds, where that can be told in little time.
    pub entries: Option<u64>,
    /// Bytes of kernel memory that it takes, by the kernel's estimate.
    pub memory: u64,
}

/// Where a pinned map's layout was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The map's own BTF.
    Btf,
    /// The `maplock_meta` map beside it, which names it by its id.
    Meta,
    /// Nowhere: attributes only. Nothing vouches for the bytes.
    Attributes,
}
