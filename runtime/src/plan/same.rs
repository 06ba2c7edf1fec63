//! Whether two definitions say the same, word for word: the usual case, told without a digest or a diff.

use std::collections::HashSet;
use std::ptr;
use std::sync::Arc;

use maplock_layout::{Composite, Layout, MapDef, Shape};

/// Pairs of composites that were found to be the same, by address: the number of ways to one can be exponential, so that the
/// `==` of layouts is not for what others wrote.
type Seen = HashSet<(*const Composite, *const Composite)>;

/// True if nothing at all differs but the capacity of the map itself, origin and tags.
pub(crate) fn same_but_for_capacity(one: &MapDef, other: &MapDef) -> bool {
    same(one, other, &mut Seen::new())
}

fn same(one: &MapDef, other: &MapDef, seen: &mut Seen) -> bool {
    let attributes = |of: &MapDef| {
        let sizes = (of.key_size, of.value_size);
        (of.map_type, sizes, of.effective_flags(), of.map_extra, of.version, of.numa_node, of.pinning)
    };
    attributes(one) == attributes(other)
        && both(one.key.as_deref(), other.key.as_deref(), |a, b| layouts(a, b, seen))
        && both(one.value.as_deref(), other.value.as_deref(), |a, b| layouts(a, b, seen))
        && both(one.inner.as_deref(), other.inner.as_deref(), |a, b| a.max_entries == b.max_entries && same(a, b, seen))
}

fn both<T>(one: Option<&T>, other: Option<&T>, same: impl FnOnce(&T, &T) -> bool) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same(one, other),
        (None, None) => true,
        _ => false,
    }
}

fn layouts(one: &Layout, other: &Layout, seen: &mut Seen) -> bool {
    one.size == other.size
        && one.typedef == other.typedef
        && match (&one.shape, &other.shape) {
            (Shape::Array { element: a, len: m }, Shape::Array { element: b, len: n }) => m == n && layouts(a, b, seen),
            (Shape::Composite(a), Shape::Composite(b)) => composites(a, b, seen),
            (Shape::Composite(_) | Shape::Array { .. }, _) => false,
            // Nothing below these.
            (a, b) => a == b,
        }
}

fn composites(one: &Arc<Composite>, other: &Arc<Composite>, seen: &mut Seen) -> bool {
    let pair = (Arc::as_ptr(one), Arc::as_ptr(other));
    if ptr::eq(pair.0, pair.1) || seen.contains(&pair) {
        return true;
    }
    let (a, b) = (one.members(), other.members());
    let is_same = one.kind() == other.kind()
        && one.name() == other.name()
        && one.version() == other.version()
        && a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            (&a.name, a.offset_bits, a.bits) == (&b.name, b.offset_bits, b.bits) && layouts(&a.layout, &b.layout, seen)
        });
    // A pair that differs ends it all, and need not be remembered.
    if is_same {
        seen.insert(pair);
    }
    is_same
}
