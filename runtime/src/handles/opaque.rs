//! Maps whose entries are not the daemon's data.

use super::handle::handle;
use super::verified::Verified;

/// A handle of a map whose entries are handles of kernel objects, or memory: maps in maps, program arrays, devmaps, sockmaps, perf event
/// arrays, storage, arenas. It was verified like any other; [`Self::as_map`] reads and writes its bytes, and aya or libbpf-rs have
/// operations for such a type: see `to_aya` and `to_libbpf`, or `AsFd`.
pub struct Opaque {
    pub(super) map: Verified,
}

handle!(Opaque, None, key: None, value: None);

impl Opaque {
    fn of(map: Verified) -> Self {
        Self { map }
    }
}
