//! A map without entries.

use std::io;

use crate::sys::Map;

/// Removes every entry of a map that nobody else writes. Those of arrays can't be removed, and are written over by a copy.
///
/// # Errors
/// The kernel's.
pub fn clear(map: &Map) -> io::Result<()> {
    use maplock_layout::map::MapType as T;
    let info = map.info();
    if info.key_size == 0 || matches!(info.map_type, T::ARRAY | T::PERCPU_ARRAY) {
        return Ok(());
    }
    let mut key = map.next_key(None)?;
    while let Some(at) = key {
        // Before it is deleted: after a key that is not there comes the first again.
        key = map.next_key(Some(&at))?;
        map.delete(&at)?;
    }
    Ok(())
}
