//! A map in the kernel from a definition.

use std::io;

use maplock_layout::MapDef;
use maplock_layout::btf::{Encoded, encode, encode_untagged};
use maplock_layout::map_type::flag_names;

use crate::error::{Error, Trying as _};
use crate::inspect::normalise::{Node, created_max_entries};
use crate::sys::consts::ENOTSUPP;
use crate::sys::{Btf, Map, NewMap};

/// The name of maps that are only tried, and gone at once: what is said of them is said of the map that they are like.
pub(super) const PROBE: &str = "maplock_probe";

/// Creates a map by `def`, with BTF so that a later release can check it: that of `like`, a map of the same layouts, or else made
/// from the layouts in `def`.
pub(crate) fn create(def: &MapDef, like: Option<&Map>) -> Result<Map, Error> {
    let node = Node::this().trying(|| "can't look at this machine".to_owned())?;
    let max_entries = created_max_entries(def, node);
    let inner = match &def.inner {
        Some(inner) => Some(create(inner, None)?),
        None => None,
    };
    let mut new = NewMap {
        map_type: def.map_type,
        name: &def.name,
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries,
        flags: def.flags,
        numa_node: def.numa_node,
        map_extra: def.map_extra,
        btf: None,
        inner: inner.as_ref().map(std::os::fd::AsFd::as_fd),
    };
    let failed = || {
        let MapDef { name, map_type, key_size, value_size, .. } = def;
        format!(
            "can't create map `{name}` ({map_type} of {max_entries}, {key_size} -> {value_size} bytes, flags {})",
            flag_names(def.flags)
        )
    };
    let Some((btf, key, value)) = btf_for(def, like) else { return Map::create(&new).trying(failed) };
    new.btf = Some((&btf, key, value));
    match Map::create(&new) {
        Ok(map) => Ok(map),
        // As loaders do: a map without BTF is better than none. The meta map then says what it holds.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => {
            if def.name != PROBE {
                tracing::warn!(map = def.name, "the kernel refuses the map's BTF; it is created without");
            }
            new.btf = None;
            Map::create(&new).trying(failed)
        }
        Err(error) => Err(error).trying(failed),
    }
}

/// BTF for a map's key and value, if its type keeps any.
fn btf_for(def: &MapDef, like: Option<&Map>) -> Option<(Btf, u32, u32)> {
    if !def.map_type.keeps_btf() {
        return None;
    }
    if let Some(info) = like.map(Map::info)
        && info.btf_id != 0
        && let Ok(btf) = Btf::from_id(info.btf_id)
    {
        return Some((btf, info.btf_key_type_id, info.btf_value_type_id));
    }
    loaded(def, Btf::load)
}

/// BTF of the layouts in `def`, by the kernel's answer `load`. Before Linux 5.16 it refuses the tags that tell versions of structs
/// (`BTF_KIND_DECL_TAG`): it gets the rest. The meta map tells all of it then.
fn loaded<B>(def: &MapDef, load: impl Fn(&[u8]) -> io::Result<B>) -> Option<(B, u32, u32)> {
    let (key, value) = (def.key.as_deref(), def.value.as_deref());
    let encoded = encode(key, value).ok()?;
    let ids = |encoded: Encoded, btf: B| (btf, encoded.key_type_id, encoded.value_type_id);
    match load(&encoded.bytes) {
        Ok(btf) => Some(ids(encoded, btf)),
        Err(_) if encoded.is_tagged => {
            let untagged = encode_untagged(key, value).ok()?;
            let btf = load(&untagged.bytes).ok()?;
            Some(ids(untagged, btf))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use maplock_layout::btf::{Btf, BtfKind};
    use maplock_layout::map::MapType;
    use maplock_layout::{Composite, CompositeKind, IntKind, Layout, Member, Shape};

    use super::*;

    fn versioned(version: u32) -> MapDef {
        let layout = Arc::new(Layout::new(8, Shape::Int(IntKind::Unsigned)));
        let members = vec![Member { name: "seen".into(), offset_bits: 0, bits: None, layout }];
        let of = Composite::new(CompositeKind::Struct, Some("flow".into()), members).expect("one member");
        let value = Layout::new(8, Shape::Composite(Arc::new(of.with_version(version))));
        MapDef { value: Some(Arc::new(value)), value_size: 8, ..MapDef::new("flows", MapType::HASH) }
    }

    fn tags(bytes: &[u8]) -> usize {
        Btf::parse(bytes).expect("BTF").of_kinds(&[BtfKind::DeclTag]).count()
    }

    /// How often a kernel is asked that knows tags, or does not, and how many it takes at last.
    fn asked(def: &MapDef, knows_tags: bool) -> (usize, Option<usize>) {
        let count = std::cell::Cell::new(0);
        let load = |bytes: &[u8]| {
            count.set(count.get() + 1);
            match tags(bytes) {
                0 => Ok(0),
                tags if knows_tags => Ok(tags),
                _ => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            }
        };
        let taken = loaded(def, load);
        (count.get(), taken.map(|(tags, ..)| tags))
    }

    #[test]
    fn a_kernel_that_refuses_declaration_tags_gets_the_rest() {
        assert_eq!(asked(&versioned(2), true), (1, Some(1)));
        assert_eq!(asked(&versioned(2), false), (2, Some(0)));
        assert_eq!(asked(&versioned(0), false), (1, Some(0)));
    }
}
