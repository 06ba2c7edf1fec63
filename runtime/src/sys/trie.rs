//! What LPM tries do in the kernel that runs.

use std::io;
use std::sync::OnceLock;

use maplock_layout::map::MapType;

use super::consts::{BPF_F_NO_PREALLOC, BPF_NOEXIST};
use super::{Map, NewMap};

/// True if an update of an LPM trie with `BPF_NOEXIST` leaves a prefix alone that is there: since commit eae6a075e953 of Linux 6.13, which
/// stable kernels have since December 2024. Tried once. What could not be tried counts as false.
#[must_use]
pub fn tries_heed_noexist() -> bool {
    static HEED: OnceLock<bool> = OnceLock::new();
    *HEED.get_or_init(|| heed_noexist().unwrap_or(false))
}

fn heed_noexist() -> io::Result<bool> {
    let mut new = NewMap::new(MapType::LPM_TRIE, 8, 4, 2);
    (new.flags, new.name) = (BPF_F_NO_PREALLOC, "maplock_probe");
    let trie = Map::create(&new)?;
    trie.update(&[0; 8], &[0; 4], BPF_NOEXIST)?;
    match trie.update(&[0; 8], &[0; 4], BPF_NOEXIST) {
        Ok(()) => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(true),
        Err(error) => Err(error),
    }
}
