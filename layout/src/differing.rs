//! Which members of two entries differ: padding is nobody's, and does not count.

use std::collections::BTreeSet;

use crate::layout::{Composite, CompositeKind, Layout, Shape};
use crate::map::MapDef;

/// An entry: its key and its value.
type Entry<'a> = (&'a [u8], &'a [u8]);

/// Paths of the members in which two entries of one definition differ: of the value as they are, of the key behind `key.`; `key` or
/// `value` if that is no struct, or says no type. `name[]` is an array of structs.
#[must_use]
pub fn differing(def: &MapDef, one: Entry<'_>, other: Entry<'_>) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for (layout, name, prefix, a, b) in
        [(&def.key, "key", "key.", one.0, other.0), (&def.value, "value", "", one.1, other.1)]
    {
        match layout.as_deref() {
            Some(layout) => {
                let is_struct = structure(layout).is_some();
                let path = if is_struct { prefix.trim_end_matches('.') } else { name };
                within(layout, path, a, b, &mut paths);
            }
            None if a != b => _ = paths.insert(name.to_owned()),
            None => {}
        }
    }
    paths
}

fn structure(layout: &Layout) -> Option<&Composite> {
    layout.composite().filter(|of| of.kind() != CompositeKind::Union)
}

fn within(layout: &Layout, path: &str, one: &[u8], other: &[u8], paths: &mut BTreeSet<String>) {
    if one == other {
        return;
    }
    if let Some(of) = structure(layout) {
        for flat in of.flat_members() {
            let member = flat.member;
            let path = if path.is_empty() { member.name.to_string() } else { format!("{path}.{}", member.name) };
            if let Some(width) = member.bits {
                let bit = |bytes: &[u8], at: u64| {
                    let index = usize::try_from(at / 8).unwrap_or(usize::MAX);
                    bytes.get(index).map(|byte| byte >> shift(at % 8) & 1)
                };
                let mut bits = flat.offset_bits..flat.offset_bits + u64::from(width);
                if bits.any(|at| bit(one, at) != bit(other, at)) {
                    paths.insert(path);
                }
                continue;
            }
            let start = usize::try_from(flat.offset_bits / 8).unwrap_or(usize::MAX);
            let end = usize::try_from(member.layout.size).unwrap_or(usize::MAX).saturating_add(start);
            if let (Some(one), Some(other)) = (one.get(start..end), other.get(start..end)) {
                within(&member.layout, &path, one, other, paths);
            }
        }
        return;
    }
    match &layout.shape {
        Shape::Array { element, .. } if element.size > 0 && structure(element).is_some() => {
            let size = usize::try_from(element.size).unwrap_or(usize::MAX);
            let path = format!("{path}[]");
            one.chunks(size).zip(other.chunks(size)).for_each(|(one, other)| within(element, &path, one, other, paths));
        }
        _ => _ = paths.insert(path.to_owned()),
    }
}

/// Where a bit of a byte is that BTF counts so.
fn shift(bit: u64) -> u64 {
    if cfg!(target_endian = "big") { 7 - bit } else { bit }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layout::{IntKind, Member};
    use crate::map_type::MapType;

    fn int(size: u64) -> Arc<Layout> {
        Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)))
    }

    fn structure(size: u64, members: &[(&str, u64, Option<u32>, Arc<Layout>)]) -> Arc<Layout> {
        let members = members.iter().map(|(name, offset_bits, bits, layout)| Member {
            name: (*name).into(),
            offset_bits: *offset_bits,
            bits: *bits,
            layout: Arc::clone(layout),
        });
        let of = Composite::new(CompositeKind::Struct, Some("s".into()), members.collect()).expect("few members");
        Arc::new(Layout::new(size, Shape::Composite(Arc::new(of))))
    }

    fn paths(def: &MapDef, one: Entry<'_>, other: Entry<'_>) -> Vec<String> {
        differing(def, one, other).into_iter().collect()
    }

    #[test]
    fn members_are_named_and_padding_is_not() {
        let inner = structure(4, &[("a", 0, None, int(1)), ("b", 16, None, int(2))]);
        let list = Arc::new(Layout::new(8, Shape::Array { element: Arc::clone(&inner), len: 2 }));
        let value = structure(
            16,
            &[
                ("low", 0, Some(3), int(1)),
                ("high", 3, Some(5), int(1)),
                ("inner", 32, None, inner),
                ("list", 64, None, list),
            ],
        );
        let def = MapDef { key: Some(int(4)), value: Some(value), ..MapDef::new("m", MapType::HASH) };
        let zero = [0; 16];
        let with = |at: usize, byte: u8| {
            let mut bytes = zero;
            bytes[at] = byte;
            bytes
        };
        let bit = |bit: u8| if cfg!(target_endian = "little") { 1 << bit } else { 0x80 >> bit };
        for (at, byte, expected) in [
            (0, bit(2), &["low"][..]),
            (0, bit(3), &["high"]),
            (0, bit(2) | bit(3), &["high", "low"]),
            (1, 1, &[]),
            (4, 1, &["inner.a"]),
            (5, 1, &[]),
            (6, 1, &["inner.b"]),
            (12, 1, &["list[].a"]),
            (13, 1, &[]),
        ] {
            assert_eq!(paths(&def, (&[0; 4], &zero), (&[0; 4], &with(at, byte))), expected, "{at}");
        }
        assert_eq!(paths(&def, (&[0; 4], &zero), (&[1, 0, 0, 0], &zero)), ["key"]);
        let bare = MapDef { key: None, value: None, ..def };
        assert_eq!(paths(&bare, (&[0; 4], &zero), (&[0; 4], &with(1, 1))), ["value"]);
    }
}
