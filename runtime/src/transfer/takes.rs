//! Which maps the kernel that runs settles by atomic instructions alone: tried on empty ones, once for each type.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use maplock_layout::map::MapType;

use super::base::{needs_base, new_base};
use super::carrier::Carrier;
use super::error::TransferError;
use super::types::{Method, Sum, Transfer, TransferOptions, is_array};
use crate::sys::consts::BPF_F_NO_PREALLOC;
use crate::sys::{Map, NewMap};

/// False if no write of a new program can be ruled out to be lost as maps of a type are settled, since the kernel takes no program for it or
/// not all of its instructions: of counts alone, or, with `more`, of values with other members. If this process may load none, that is not
/// known, and counts as true.
#[must_use]
pub fn settles_exactly(map_type: MapType, more: bool) -> bool {
    static TRIED: Mutex<BTreeMap<(MapType, bool), bool>> = Mutex::new(BTreeMap::new());
    // What others settle is not a matter of programs.
    if !matches!(Carrier::of(map_type), Ok(Carrier::Entries | Carrier::Order)) {
        return true;
    }
    let mut tried = TRIED.lock().unwrap_or_else(PoisonError::into_inner);
    *tried.entry((map_type, more)).or_insert_with(|| match is_exact(map_type, more) {
        Ok(is_exact) => is_exact,
        Err(TransferError::Kernel { source, .. }) => source.kind() == io::ErrorKind::PermissionDenied,
        Err(_) => true,
    })
}

fn is_exact(map_type: MapType, more: bool) -> Result<bool, TransferError> {
    let key_size = match map_type.is_keyless() {
        true => 0,
        false if is_array(map_type) => 4,
        // So that values of a trie lie on 8 bytes.
        false => 12,
    };
    let new = || {
        let mut new = NewMap::new(map_type, key_size, if more { 16 } else { 8 }, 64);
        new.flags = if map_type.is_trie() { BPF_F_NO_PREALLOC } else { 0 };
        new.name = "maplock_probe";
        Map::create(&new)
    };
    let failed = |source| TransferError::Kernel { map: map_type.to_string(), what: "making an empty map", source };
    let (from, to) = (new().map_err(failed)?, new().map_err(failed)?);
    let base = needs_base(map_type).then(|| new_base(&from)).transpose().map_err(failed)?;
    let sums: &[Sum] = if map_type.is_keyless() { &[] } else { &[Sum { offset: 0, width: 8, signed: false }] };
    let transfer = Transfer { from: &from, to: &to, base: base.as_ref(), sums };
    let settled =
        transfer.settle(&mut TransferOptions { method: Some(Method::Kernel), ..TransferOptions::default() })?;
    Ok(settled.exact)
}
