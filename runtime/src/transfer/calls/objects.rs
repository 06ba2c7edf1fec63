//! Maps whose values are handles of kernel objects: read as ids, written as descriptors. Programs can't write these maps, so
//! that system calls see all that changes.

use std::os::fd::{AsFd, AsRawFd as _};

use maplock_layout::map_type::Keys;

use super::super::error::TransferError;
use super::super::types::{Copied, Method, Transfer, TransferOptions};
use super::plain;
use crate::sys::consts::{BPF_ANY, BPF_NOEXIST};
use crate::sys::{Map, Prog};

/// Copies entries; those that `to` has stay as they are, unless `replace`.
pub(in crate::transfer) fn copy(
    transfer: &Transfer<'_>,
    options: &mut TransferOptions<'_>,
    replace: bool,
) -> Result<Copied, TransferError> {
    let Transfer { from, to, .. } = *transfer;
    let by_id = from.info().map_type.holds_maps();
    let one_by_one = !by_id || options.method == Some(Method::OneByOne);
    let method = if one_by_one { Method::OneByOne } else { Method::Batch };
    let mut copied = Copied { method: Some(method), ..Copied::default() };
    let (key_size, value_bytes) = (from.info().key_size as usize, from.value_bytes());
    let mut each = |keys: &[u8], values: &[u8]| {
        let (mut new_keys, mut new_values, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in keys.chunks_exact(key_size).zip(values.chunks_exact(value_bytes)) {
            if is_empty(from, value) || !replace && has(to, key)? {
                continue;
            }
            new_keys.extend_from_slice(key);
            new_values.extend(writable(from, value, &mut objects)?);
        }
        let count = new_keys.len() / key_size;
        write(to, &new_keys, &new_values, one_by_one, replace)?;
        copied.entries += count as u64;
        options.tell(copied.entries, None);
        Ok(())
    };
    if one_by_one {
        plain::each_one(from, &mut each)?
    } else {
        plain::each_batch(from, &mut each)?
    }
    Ok(copied)
}

/// True for an array of maps: its entries are there from the start, as nothing.
fn has_all_indexes(map: &Map) -> bool {
    let info = map.info();
    info.map_type.holds_maps() && info.map_type.row().keys == Keys::Number
}

/// True if an index of an array holds nothing.
fn is_empty(map: &Map, value: &[u8]) -> bool {
    has_all_indexes(map) && value == [0; 4]
}

fn has(map: &Map, key: &[u8]) -> Result<bool, TransferError> {
    let found = map.lookup(key).map_err(TransferError::kernel(map, "reading an entry"))?;
    Ok(found.is_some_and(|value| !is_empty(map, &value)))
}

fn write(to: &Map, keys: &[u8], values: &[u8], one_by_one: bool, replace: bool) -> Result<(), TransferError> {
    let key_size = to.info().key_size as usize;
    let count = keys.len() / key_size;
    if count == 0 {
        return Ok(());
    }
    // Arrays have all their indexes: only an update of any is taken.
    let flags = if replace || has_all_indexes(to) { BPF_ANY } else { BPF_NOEXIST };
    // A batch takes no flags. What it did not write shows its error below.
    let written = if one_by_one || flags != BPF_ANY { 0 } else { to.update_batch(keys, values, count, flags).0 };
    for at in written..count {
        let (key, value) = (&keys[at * key_size..][..key_size], &values[at * to.value_bytes()..][..to.value_bytes()]);
        to.update(key, value, flags).map_err(|error| TransferError::write(to, (count - at) as u64, error))?;
    }
    Ok(())
}

/// The value as it is to be written. The objects that its descriptors stand for are added to `objects`, which keeps them open.
fn writable(map: &Map, value: &[u8], objects: &mut Vec<Box<dyn AsFd>>) -> Result<Vec<u8>, TransferError> {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes);
    let mut value = value.to_vec();
    let opened: Box<dyn AsFd> = if map.info().map_type.holds_maps() {
        Box::new(Map::from_id(word(&value)).map_err(TransferError::kernel(map, "opening an inner map by its id"))?)
    } else {
        // `struct bpf_devmap_val`, `struct bpf_cpumap_val`: a number, and a program where the value has 8 bytes.
        match value.get(4..8).map(word) {
            None | Some(0) => {
                // No program is written as a descriptor below 1.
                return Ok(value);
            }
            Some(id) => Box::new(Prog::from_id(id).map_err(TransferError::kernel(map, "opening a program by its id"))?),
        }
    };
    let fd = opened.as_fd().as_raw_fd().to_ne_bytes();
    let at = value.len() - 4;
    value[at..].copy_from_slice(&fd);
    objects.push(opened);
    Ok(value)
}
