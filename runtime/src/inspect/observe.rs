//! One pinned map, as plain data.

use std::path::{Path, PathBuf};

use maplock_layout::{Digest, MapDef, said_version};

use super::error::InspectError;
use super::layouts::Layouts;
use super::normalise::{Node, attributes_agree, normalise};
use crate::generation::meta::Meta;
use crate::generation::names::pin_name;
use crate::sys;

/// A pinned map, as plain data.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Name of the pin.
    pub pin: String,
    /// Where it is pinned.
    pub path: PathBuf,
    /// The kernel's number for the map.
    pub id: u32,
    /// Its definition: attributes as the kernel tells them, layouts as `source` says; if that is `maplock_meta`, those that it
    /// counts as since. Its name is the pin's. To hold it against a declaration, [`crate::inspect::normalise::normalise`] it first.
    pub def: MapDef,
    /// Where the layouts in `def` were read from.
    pub source: Source,
    /// True if it is known which version of its meaning it has; else `def` has those whose tags its BTF kept.
    pub tells_version: bool,
    /// True if system calls can't change it any more.
    pub frozen: bool,
    /// How many entries it holds, if that can be told in little time.
    pub entries: Option<u64>,
    /// Bytes of kernel memory that it takes, by the kernel's estimate.
    pub memory: u64,
    /// Why its BTF says nothing, if it has one.
    pub problem: Option<String>,
    /// True if it says nothing to this process alone, which lacks the privilege to read it.
    pub is_denied: bool,
    /// The digest that its generation says it has, by its name and number.
    pub said: Option<Digest>,
}

impl Observed {
    /// Digest of `def`; of a map whose layouts may not be read, the one that its generation says. Made anew each time, and dear beside
    /// all else that is done for a map.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let said = self.said.filter(|_| self.is_denied && self.source == Source::Attributes);
        said.unwrap_or_else(|| self.def.digest())
    }
}

/// Where a pinned map's layout was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The map's own BTF.
    Btf,
    /// The `maplock_meta` map beside it, which names it by its id.
    Meta,
    /// Nowhere: attributes only. Nothing vouches for the bytes.
    Attributes,
}

impl Source {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Btf => "btf",
            Self::Meta => "meta",
            Self::Attributes => "attributes",
        }
    }
}

/// Looks at a map that is pinned at `path`. `layouts` keeps what was read of BTF for the next one.
///
/// # Errors
/// If the kernel does not tell.
pub fn observe(
    path: &Path,
    map: &sys::Map,
    meta: Option<&Meta>,
    layouts: &mut Layouts,
) -> Result<Observed, InspectError> {
    let pin = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fdinfo = map.fdinfo().map_err(|error| InspectError::new(path, "does not tell its state", error))?;
    let node = Node::this().map_err(|error| InspectError::new(path, "can't be compared", error))?;
    let info = map.info();
    layouts.read([info]);
    let mut def = definition(&pin, info, layouts);
    if info.map_type.holds_maps()
        && let Some(inner) = any_inner(map)
    {
        layouts.read([inner.info()]);
        def.inner = Some(Box::new(definition(&format!("{pin}.inner"), inner.info(), layouts)));
    }
    let mut source = if def.key.is_some() || def.value.is_some() { Source::Btf } else { Source::Attributes };
    if let Some(counts) = meta.and_then(|meta| counts_as(meta, &pin, info.id, &def, node)) {
        (def.key, def.value, def.inner) = (counts.key.clone(), counts.value.clone(), counts.inner.clone());
        def.version = counts.version;
        source = Source::Meta;
    }
    // What a generation says nothing of, its BTF tells word for word.
    let named = meta.and_then(|meta| Some((meta, named_by(meta, &pin, info.id)?)));
    let problem = layouts.problem(info);
    Ok(Observed {
        tells_version: named.is_some(),
        said: named.and_then(|(meta, name)| meta.digests.get(name).copied()),
        path: path.to_owned(),
        id: info.id,
        source,
        frozen: fdinfo.frozen,
        // Arrays have all their entries from the start.
        entries: info.map_type.is_array().then(|| u64::from(info.max_entries)),
        memory: fdinfo.memory,
        is_denied: problem.is_some_and(|problem| problem.is_denied),
        problem: problem.map(|problem| problem.what.clone()),
        pin,
        def,
    })
}

/// What a map counts as by its generation's word: by name and number, and only if the kernel agrees.
fn counts_as<'m>(meta: &'m Meta, pin: &str, id: u32, def: &MapDef, node: Node) -> Option<&'m MapDef> {
    let counts = meta.lock.maps.get(named_by(meta, pin, id)?)?;
    let bare = counts.runtime_flags.then(|| def.without_flags_of_memory());
    attributes_agree(bare.as_ref().unwrap_or(def), &counts.def, node).then_some(&counts.def)
}

/// The name that a generation has for a map of its own.
fn named_by<'m>(meta: &'m Meta, pin: &str, id: u32) -> Option<&'m String> {
    meta.maps.iter().find(|(name, map)| map.id == id && pin_name(name) == pin).map(|(name, _)| name)
}

fn definition(name: &str, info: &sys::MapInfo, layouts: &Layouts) -> MapDef {
    let (key, value) = layouts.of(info);
    MapDef {
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.flags,
        map_extra: info.map_extra,
        version: layouts.version(info),
        key,
        value,
        ..MapDef::new(name, info.map_type)
    }
}

/// One of the maps that a map holds: all of them are alike.
fn any_inner(map: &sys::Map) -> Option<sys::Map> {
    /// An array's first entries may be empty; beyond these, its inner maps are not looked for.
    const TRIES: usize = 64;
    let mut key = None;
    for _ in 0..TRIES {
        let next = map.next_key(key.as_deref()).ok()??;
        if let Some(id) = map.lookup(&next).ok()?.and_then(|id| id.try_into().ok()) {
            return sys::Map::from_id(u32::from_ne_bytes(id)).ok();
        }
        key = Some(next);
    }
    None
}

impl Meta {
    /// Leaves out the definitions of maps whose own BTF tells the same: the text is shorter, and read in less time.
    pub fn leave_out_what_btf_tells(&mut self, observed: &[Observed], node: Node) {
        let tells = |name: &str, def: &MapDef| {
            let pin = pin_name(name);
            let found = observed.iter().find(|map| map.pin == pin && map.source == Source::Btf);
            // Of inner maps that can't be seen yet, nothing else tells the version.
            let hides_version = |map: &Observed| {
                map.def.inner.is_none() && def.inner.as_deref().is_some_and(|inner| said_version(inner).is_some())
            };
            found.is_some_and(|map| !hides_version(map) && normalise(&map.def, def, node).digest() == def.digest())
        };
        self.lock.maps.retain(|name, map| !tells(name, &map.def));
    }
}
