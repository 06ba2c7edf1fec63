//! A map without entries.

use std::io;

use crate::sys::Map;

/// Removes every entry of a map that nobody else writes. Those of arrays can't be removed, and are written over by a copy.
///
/// # Errors
/// The kernel's.
pub fn clear(map: &Map) -> io::Result<()> {
    let info = map.info();
    if info.key_size == 0 || info.map_type.is_array() {
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
