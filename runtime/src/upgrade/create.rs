//! A map in the kernel from a definition.

use maplock_layout::MapDef;
use maplock_layout::btf::encode;

use crate::error::{Error, Trying as _};
use crate::inspect::normalise::{Node, created_max_entries};
use crate::sys::consts::ENOTSUPP;
use crate::sys::{Btf, Map, NewMap};

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
            "can't create map `{name}` ({map_type} of {max_entries}, {key_size} -> {value_size} bytes, flags {:#x})",
            def.flags
        )
    };
    let Some((btf, key, value)) = btf_for(def, like) else { return Map::create(&new).trying(failed) };
    new.btf = Some((&btf, key, value));
    match Map::create(&new) {
        Ok(map) => Ok(map),
        // As loaders do: a map without BTF is better than none. The meta map then says what it holds.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => {
            tracing::warn!(map = def.name, "the kernel refuses the map's BTF; it is created without");
            new.btf = None;
            Map::create(&new).trying(failed)
        }
        Err(error) => Err(error).trying(failed),
    }
}

/// BTF for a map's key and value, where its type keeps any.
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
    let encoded = encode(def.key.as_deref(), def.value.as_deref()).ok()?;
    let btf = Btf::load(&encoded.bytes).ok()?;
    Some((btf, encoded.key_type_id, encoded.value_type_id))
}
