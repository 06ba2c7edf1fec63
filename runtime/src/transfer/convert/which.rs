//! Which entries are meant, if a program has only counted them.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;

use super::super::calls::plain;
use super::super::error::TransferError;
use super::super::types::Method;
use super::way::Way;
use crate::sys::Map;

/// Bytes as a person reads them.
pub(super) fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// The first entry that can't be converted, and why: a phrase.
pub(super) fn first_unfit(from: &Map, way: &Way) -> Option<String> {
    let found = Cell::new(None);
    let (part, size) = (plain::parts(from), from.info().value_size as usize);
    let looked = plain::each_entry(from, Method::Batch, &mut |key, value| {
        for value in value.chunks_exact(part) {
            if let Err(error) = way.convert(key, &value[..size], &mut |_, _| {}) {
                found.set(Some(format!("the entry with the key {}: {error}", hex(key))));
                return Err(TransferError::kernel(from, "converting")(io::Error::other("found")));
            }
        }
        Ok(())
    });
    drop(looked);
    found.take()
}

/// The first two keys of the old map that become one in the new one; none if one of them is gone by now.
pub(super) fn first_two_of_one_key(from: &Map, to: &Map, way: &Way) -> Option<[String; 2]> {
    let (mut came_from, mut found) = (HashMap::new(), None);
    let (part, size) = (plain::parts(from), from.info().value_size as usize);
    let is_trie = to.info().map_type.is_trie();
    let looked = plain::each_entry(from, Method::Batch, &mut |key, value| {
        let mut other: Option<Vec<u8>> = None;
        // The values of all CPUs have one key.
        let converted = way.convert(key, &value[..part.min(size)], &mut |new, _| {
            let new = if is_trie { plain::prefix(new) } else { new.to_vec() };
            other = came_from.insert(new, key.to_vec()).filter(|before| before != key).or(other.take());
        });
        match other {
            Some(other) => found = Some([hex(&other), hex(key)]),
            None if converted.is_ok() => return Ok(()),
            None => {}
        }
        Err(TransferError::kernel(from, "converting")(io::Error::other("found")))
    });
    drop(looked);
    found
}
