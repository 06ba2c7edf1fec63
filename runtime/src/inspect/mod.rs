//! What is pinned, as the kernel tells it.

mod generations;
mod layouts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use maplock_layout::{Digest, MapDef};

pub use generations::{Generations, generations};
pub use layouts::Layouts;

use crate::generation::meta::{self, Meta};
use crate::generation::site;
use crate::plan::normalise::{Node, attributes_agree, pin_name};
use crate::sys::{self, Object, bpffs};

/// A pinned map, as plain data.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Name of the pin.
    pub pin: String,
    /// Where it is pinned.
    pub path: PathBuf,
    /// The kernel's number for the map.
    pub id: u32,
    /// Its definition: attributes as the kernel tells them, layouts as `source` says; where that is `maplock_meta`, those that it
    /// counts as since. Its name is the pin's. To hold it against a declaration, [`crate::plan::normalise::normalise`] it first.
    pub def: MapDef,
    /// Where the layouts in `def` were read from.
    pub source: Source,
    /// True where system calls can't change it any more.
    pub frozen: bool,
    /// How many entries it holds, where that can be told in little time.
    pub entries: Option<u64>,
    /// Bytes of kernel memory that it takes, by the kernel's estimate.
    pub memory: u64,
    /// Why its BTF says nothing, where it has one.
    pub problem: Option<String>,
}

impl Observed {
    /// Digest of `def`. Made anew each time, and dear beside all else that is done for a map.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.def.digest()
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

/// What is pinned in a directory, with the open objects.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The directory.
    pub dir: PathBuf,
    /// False where there is none.
    pub exists: bool,
    /// Maps by name of the pin, but for `maplock_meta`.
    pub maps: BTreeMap<String, Pinned>,
    /// Programs.
    pub progs: BTreeMap<String, sys::Prog>,
    /// Links.
    pub links: BTreeMap<String, sys::Link>,
    /// Symbolic links, with their text.
    pub records: BTreeMap<String, String>,
    /// Directories in it.
    pub dirs: Vec<String>,
    /// Pins of kinds that maplock does not know.
    pub others: Vec<String>,
    /// What `maplock_meta` says.
    pub meta: Option<Meta>,
    /// What is wrong and does not stop anything, such as a damaged `maplock_meta`: phrases.
    pub warnings: Vec<String>,
}

/// A pinned map: what is known of it, and the map itself.
#[derive(Debug)]
pub struct Pinned {
    /// What is known of it.
    pub observed: Observed,
    /// The map.
    pub map: sys::Map,
}

impl Inventory {
    /// What is known of the maps, for [`crate::plan::plan`].
    #[must_use]
    pub fn observed(&self) -> Vec<Observed> {
        self.maps.values().map(|pinned| pinned.observed.clone()).collect()
    }

    /// Counts the entries of each map whose number is not known, by `count`, which may give up.
    pub fn count_entries(&mut self, mut count: impl FnMut(&sys::Map) -> Option<u64>) {
        for pinned in self.maps.values_mut().filter(|pinned| pinned.observed.entries.is_none()) {
            pinned.observed.entries = count(&pinned.map);
        }
    }
}

/// A pin or directory that can't be looked at.
#[derive(Debug)]
pub struct InspectError {
    /// Where.
    pub path: PathBuf,
    /// What was tried: a phrase such as `cannot be opened`.
    pub problem: String,
    /// Why not.
    pub error: Option<io::Error>,
}

impl InspectError {
    fn new(path: &Path, problem: &str, error: io::Error) -> Self {
        Self { path: path.to_owned(), problem: problem.to_owned(), error: Some(error) }
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.problem)?;
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for InspectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

/// Looks at a map that is pinned at `path`. `layouts` keeps what was read of BTF for the next one.
///
/// # Errors
/// Where the kernel does not tell.
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
        source = Source::Meta;
    }
    Ok(Observed {
        path: path.to_owned(),
        id: info.id,
        source,
        frozen: fdinfo.frozen,
        // Arrays have all their entries from the start.
        entries: info.map_type.is_array().then(|| u64::from(info.max_entries)),
        memory: fdinfo.memory,
        problem: layouts.problem(info).map(str::to_owned),
        pin,
        def,
    })
}

/// What a map counts as by its generation's word: by name and number, and only where the kernel agrees.
fn counts_as<'m>(meta: &'m Meta, pin: &str, id: u32, def: &MapDef, node: Node) -> Option<&'m MapDef> {
    let (name, _) = meta.maps.iter().find(|(name, map)| map.id == id && pin_name(name) == pin)?;
    let counts = &meta.lock.maps.get(name)?.def;
    attributes_agree(def, counts, node).then_some(counts)
}

fn definition(name: &str, info: &sys::MapInfo, layouts: &Layouts) -> MapDef {
    let (key, value) = layouts.of(info);
    MapDef {
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.flags,
        map_extra: info.map_extra,
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

/// Made with every mount (`populate_bpffs` in kernel/bpf/inode.c). Their names hold a dot, so that no one can open them.
const KERNEL_OWN: [&str; 2] = ["maps.debug", "progs.debug"];

/// Looks at all that is pinned in a directory. What the kernel itself puts at the root of a bpffs is left out.
///
/// # Errors
/// Where the directory is on no bpffs, or a pin can't be opened.
pub fn directory(dir: &Path) -> Result<Inventory, InspectError> {
    let mut inventory = Inventory { dir: dir.to_owned(), ..Inventory::default() };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(inventory),
        Err(error) => return Err(InspectError::new(dir, "can't be read", error)),
    };
    inventory.exists = true;
    if !bpffs::is_bpffs(dir).map_err(|error| InspectError::new(dir, "can't be read", error))? {
        let problem = "is not on a bpffs; mount one: mount -t bpf bpf /sys/fs/bpf".to_owned();
        return Err(InspectError { path: dir.to_owned(), problem, error: None });
    }
    let mut maps = Vec::new();
    for entry in entries {
        let unreadable = |error| InspectError::new(dir, "can't be read", error);
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if KERNEL_OWN.contains(&name.as_str()) {
            continue;
        }
        let (kind, path) = (entry.file_type().map_err(unreadable)?, entry.path());
        if kind.is_dir() {
            inventory.dirs.push(name);
        } else if kind.is_symlink() {
            let text = bpffs::read_record(&path).map_err(|error| InspectError::new(&path, "can't be read", error))?;
            inventory.records.extend(text.map(|text| (name, text)));
        } else {
            match Object::open(&path) {
                // How entries were converted: not for those who look for entries.
                Ok(Object::Map(_)) if site::is_text(&name) => {}
                Ok(Object::Map(map)) => maps.push((name, path, map)),
                Ok(Object::Prog(prog)) => _ = inventory.progs.insert(name, prog),
                Ok(Object::Link(link)) => _ = inventory.links.insert(name, link),
                // Unpinned since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // No call failed: the kernel calls it something that is not known here.
                Err(error) if error.raw_os_error().is_none() => inventory.others.push(name),
                Err(error) => return Err(InspectError::new(&path, "can't be opened", error)),
            }
        }
    }
    inventory.dirs.sort_unstable();
    inventory.others.sort_unstable();
    if let Some(at) = maps.iter().position(|(name, ..)| name == meta::NAME) {
        let (_, path, map) = maps.swap_remove(at);
        match Meta::read_from(&map, &path) {
            Ok(meta) => inventory.meta = Some(meta),
            Err(error) => inventory.warnings.push(format!("{error}; it counts as absent")),
        }
    }
    let mut layouts = Layouts::default();
    layouts.read(maps.iter().map(|(.., map)| map.info()));
    for (name, path, map) in maps {
        let observed = observe(&path, &map, inventory.meta.as_ref(), &mut layouts)?;
        inventory.maps.insert(name, Pinned { observed, map });
    }
    Ok(inventory)
}
