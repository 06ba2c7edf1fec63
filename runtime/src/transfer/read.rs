//! Every entry of a map, read and left as it is.

use maplock_layout::map::MapType;

use super::calls::plain;
use super::error::TransferError;
use super::types::Method;
use crate::sys::Map;

/// Hears of each entry: its key and its value; in a per-CPU map, the value of each CPU.
type EachValues<'a> = &'a mut dyn FnMut(&[u8], &[&[u8]]) -> Result<(), TransferError>;

/// Reads every entry, while programs may write.
///
/// # Errors
/// The kernel's; that of `each` ends it.
pub fn each_entry(map: &Map, each: EachValues<'_>) -> Result<(), TransferError> {
    let (part, size) = (plain::parts(map), map.info().value_size as usize);
    plain::each_entry(map, Method::Batch, &mut |key, value| {
        let values: Vec<_> = value.chunks_exact(part).filter_map(|value| value.get(..size)).collect();
        each(key, &values)
    })
}

/// The part of a key that tells entries apart: of an LPM trie, bits behind the prefix don't.
#[must_use]
pub fn significant(map_type: MapType, key: &[u8]) -> Vec<u8> {
    if map_type.is_trie() && key.len() >= 4 { plain::prefix(key) } else { key.to_vec() }
}
