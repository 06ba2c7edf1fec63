//! Types of the maps that aya's `#[map]` declares.
//!
//! Their records say sizes only. But the variable is `static FLOWS: HashMap<FlowKey, Flow>`, and DWARF has the parameters of a generic
//! type. The names of the parameters are those of aya-ebpf: `K` and `V`, or `T` if there is one.

use std::sync::Arc;

use maplock_layout::map::{MapDef, Origin};
use maplock_layout::map_type::{Keys, Kind};
use maplock_layout::{Composite, CompositeKind, IntKind, Layout, Member, Shape};

use super::{Elf, Locations};

/// Adds the types that the object's DWARF tells. If it tells none, or one of another size, the map stays without.
pub(super) fn add_types(elf: &Elf<'_>, maps: &mut [MapDef]) {
    let lacks = |map: &MapDef| {
        map.origin == Origin::Legacy
            && (map.key.is_none() && map.key_has_layout() || map.value.is_none() && map.value_has_layout())
    };
    if !maps.iter().any(lacks) {
        return;
    }
    let locations = Locations::read(elf);
    for map in maps.iter_mut().filter(|map| lacks(map)) {
        let parameters = locations.parameters_of_variable(&map.name);
        let of_size = |layout: &Arc<Layout>, size: u32| layout.size == u64::from(size);
        let key = parameters.get("K").cloned();
        let key = if map.map_type.is_trie() { key.and_then(prefixed) } else { key };
        let value = parameters.get("V").or(parameters.get("T")).cloned();
        if map.key_has_layout() && map.key.is_none() {
            map.key = key.filter(|key| of_size(key, map.key_size));
        }
        if map.value_has_layout() && map.value.is_none() {
            map.value = value.filter(|value| of_size(value, map.value_size));
        }
        // As `#[btf_map]` says of it.
        let row = map.map_type.row();
        if row.kind == Kind::Array && row.keys == Keys::Number && map.value.is_some() && map.key_size == 4 {
            map.key = map.key.take().or_else(|| Some(Arc::new(index())));
        }
    }
}

fn index() -> Layout {
    Layout::new(4, Shape::Int(IntKind::Unsigned))
}

/// aya's `lpm_trie::Key<K>`, which is packed.
fn prefixed(data: Arc<Layout>) -> Option<Arc<Layout>> {
    let member = |name: &str, offset_bits: u64, layout: Arc<Layout>| Member {
        name: name.into(),
        offset_bits,
        bits: None,
        layout,
    };
    let size = data.size.checked_add(4)?;
    let members = vec![member("prefix_len", 0, Arc::new(index())), member("data", 32, data)];
    let key = Composite::new(CompositeKind::Struct, Some("Key".into()), members).ok()?;
    Some(Arc::new(Layout::new(size, Shape::Composite(Arc::new(key)))))
}
