//! All that is pinned in a directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::error::InspectError;
use super::layouts::Layouts;
use super::observe::{Observed, observe};
use crate::generation::meta::{self, Meta, MetaError};
use crate::generation::names;
use crate::sys::{self, Object, bpffs};

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
    /// The names of its maps, but for the snapshots that lie beside them while it is staged.
    pub fn map_names(&self) -> impl Iterator<Item = &str> {
        self.maps.keys().map(String::as_str).filter(|name| !names::is_scaffold(name))
    }

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

/// Made with every mount (`populate_bpffs` in kernel/bpf/inode.c). Their names hold a dot, so that no one can open them.
pub(super) const KERNEL_OWN: [&str; 2] = ["maps.debug", "progs.debug"];

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
                Ok(Object::Map(_)) if names::is_text(&name) => {}
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
            // What can't be read now is not damaged: without it, all would be taken for somebody else's.
            Err(MetaError::Io(path, error)) => return Err(InspectError::new(&path, "can't be read", error)),
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
