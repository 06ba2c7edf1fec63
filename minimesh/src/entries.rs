//! Keys and values as bytes, by the names of their members.
//!
//! One daemon serves four releases, and objects that it has never seen: where a member is, the lock says. A daemon of one
//! release would use the structs that its `build.rs` generates.

use std::io;

use maplock::internals::sys::{Batch, Map};
use maplock::layout::Layout;

/// A number for a member, of whatever width the member has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// In the host's byte order.
    Host(u64),
    /// In network byte order.
    Net(u64),
}

/// One entry of a map.
pub type Entry = (Vec<u8>, Vec<u8>);

/// True where the layout has a member of that name.
#[must_use]
pub fn has_member(layout: &Layout, name: &str) -> bool {
    place(layout, name).is_some()
}

/// The bytes of a key or value. Members that are not named are zero, and so is padding: the kernel hashes a key as bytes.
/// A layout that is no struct takes one number, whatever its name.
///
/// # Errors
/// Where a member is not there, or too narrow.
pub fn encode(layout: &Layout, members: &[(&str, Number)]) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; usize::try_from(layout.size).map_err(|error| error.to_string())?];
    for (name, number) in members {
        let (offset, width) =
            place(layout, name).ok_or_else(|| format!("there is no member `{name}` in the layout"))?;
        let all = match number {
            Number::Host(number) | Number::Net(number) => number.to_be_bytes(),
        };
        let (zeros, digits) = all.split_at(all.len() - width);
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(format!("{number:?} does not fit the {width} bytes of `{name}`"));
        }
        let to = &mut bytes[offset..offset + width];
        to.copy_from_slice(digits);
        if matches!(number, Number::Host(_)) && cfg!(target_endian = "little") {
            to.reverse();
        }
    }
    Ok(bytes)
}

/// The number in a member of a value, which is in the host's byte order. `None` where there is none of that name.
#[must_use]
pub fn decode(layout: &Layout, name: &str, value: &[u8]) -> Option<u64> {
    let (offset, width) = place(layout, name)?;
    let bytes = value.get(offset..offset + width)?;
    let digit = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    Some(if cfg!(target_endian = "little") { bytes.iter().rev().fold(0, digit) } else { bytes.iter().fold(0, digit) })
}

/// Offset and width of a member, in bytes.
fn place(layout: &Layout, name: &str) -> Option<(usize, usize)> {
    let (offset, width) = match layout.composite() {
        Some(composite) => {
            let flat = composite.flat_members().into_iter().find(|flat| flat.member.name.to_string() == name)?;
            (flat.offset_bits / 8, flat.member.size_bits() / 8)
        }
        None => (0, layout.size),
    };
    let width = usize::try_from(width).ok().filter(|width| *width <= 8)?;
    Some((usize::try_from(offset).ok()?, width))
}

/// All entries of a map.
///
/// # Errors
/// The kernel's.
pub fn read_all(map: &Map) -> io::Result<Vec<Entry>> {
    let (key_size, value_size) = (map.info().key_size as usize, map.value_bytes());
    let (mut batch, mut entries) = (Batch::default(), Vec::new());
    while !batch.at_end {
        map.lookup_batch(&mut batch, 1024)?;
        let keys = batch.keys.chunks_exact(key_size).take(batch.count);
        let values = batch.values.chunks_exact(value_size);
        entries.extend(keys.zip(values).map(|(key, value)| (key.to_vec(), value.to_vec())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::release::Release;

    #[test]
    fn a_member_is_written_where_each_release_has_it() {
        let ready_at = |release: &str| {
            let spec = Release::embedded(release).unwrap().spec;
            let value = spec.map("backends").unwrap().def.value.clone().unwrap();
            let bytes = encode(&value, &[("port", Number::Net(80)), ("ready", Number::Host(1))]).unwrap();
            assert_eq!(bytes[4..6], [0, 80]);
            bytes[6..].to_vec()
        };
        assert_eq!(ready_at("v3"), [1, 0]);
        assert_eq!(ready_at("v4"), [0, 1]);
    }

    #[test]
    fn what_does_not_fit_is_an_error_not_another_number() {
        let spec = Release::embedded("v1").unwrap().spec;
        let value = spec.map("backends").unwrap().def.value.clone().unwrap();
        let error = encode(&value, &[("ready", Number::Host(256))]).unwrap_err();
        assert_eq!(error, "Host(256) does not fit the 1 bytes of `ready`");
        assert!(encode(&value, &[("draining", Number::Host(1))]).is_err());
    }

    #[test]
    fn what_was_written_is_read() {
        let spec = Release::embedded("v1").unwrap().spec;
        let value = spec.map("stats").unwrap().def.value.clone().unwrap();
        let bytes = encode(&value, &[("connections", Number::Host(70_000))]).unwrap();
        assert_eq!(decode(&value, "connections", &bytes), Some(70_000));
        assert_eq!(decode(&value, "passed_over", &bytes), Some(0));
        assert_eq!(decode(&value, "port", &bytes), None);
    }
}
