//! All that is pinned in a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::error::InspectError;
use super::layouts::Layouts;
use super::observe::{Observed, observe};
use crate::generation::meta::{self, Meta, MetaError};
use crate::generation::missing::Missing;
use crate::generation::names::{self, pin_name};
use crate::sys::bpffs::{self, Dir, Named as _};
use crate::sys::{self, Object};

/// What is pinned in a directory, with the open objects.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The directory.
    pub dir: PathBuf,
    /// False if there is none.
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
    /// Maps that `maplock_meta` lists, and whose pins somebody removed.
    pub missing: Vec<Missing>,
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

    /// What is called a map by [`Self::kind_of`].
    pub const MAP: &'static str = "map";

    /// What has that name: a map, a program, whatever it is. `None` if nothing has.
    #[must_use]
    pub fn kind_of(&self, name: &str) -> Option<&'static str> {
        let is_in = |names: &[String]| names.iter().any(|other| other == name);
        if self.maps.contains_key(name) {
            Some(Self::MAP)
        } else if self.progs.contains_key(name) {
            Some("program")
        } else if self.links.contains_key(name) {
            Some("link")
        } else if self.records.contains_key(name) {
            Some("symbolic link")
        } else if is_in(&self.dirs) {
            Some("directory")
        } else {
            is_in(&self.others).then_some("pin of an unknown kind")
        }
    }

    /// Names that are no part of its generation: somebody shares the directory. Without a meta map, `is_map` says which maps belong to it.
    pub(crate) fn foreign(&self, is_map: impl Fn(&str) -> bool) -> Vec<String> {
        let of = self.meta.as_ref().map(|meta| meta.maps.keys().map(|map| pin_name(map)).collect::<BTreeSet<_>>());
        let is_of = |name: &String| of.as_ref().is_some_and(|of| of.contains(name));
        let is_link = |name: &String| self.meta.as_ref().is_some_and(|meta| meta.links.contains(name));
        let maps = self.maps.keys().filter(|name| !(names::is_own(name) || is_map(name) || is_of(name)));
        let links = self.links.keys().filter(|name| !is_link(name));
        let others = self.progs.keys().chain(self.records.keys()).chain(&self.dirs);
        let others = others.filter(|name| !names::is_own(name)).chain(&self.others);
        let mut foreign: Vec<_> = maps.chain(links).chain(others).cloned().collect();
        foreign.sort_unstable();
        foreign
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
/// If the directory is on no bpffs, or a pin can't be opened.
pub fn directory(dir: &Path) -> Result<Inventory, InspectError> {
    within(&Dir::at(dir))
}

/// As [`directory`], of one that is only entered if it may be.
pub(crate) fn within(dir: &Dir) -> Result<Inventory, InspectError> {
    let mut inventory = Inventory { dir: dir.path().to_owned(), ..Inventory::default() };
    let unreadable = |error| InspectError::new(dir.path(), "can't be read", error);
    let held = match dir.held() {
        Ok(held) => held,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(inventory),
        Err(error) => return Err(unreadable(error)),
    };
    inventory.exists = true;
    if !bpffs::is_bpffs(&held).map_err(unreadable)? {
        let problem = "is not on a bpffs; mount one: mount -t bpf bpf /sys/fs/bpf".to_owned();
        return Err(InspectError { path: dir.path().to_owned(), problem, error: None });
    }
    let mut maps = Vec::new();
    for (name, kind) in held.entries().map_err(unreadable)?.unwrap_or_default() {
        // It has no entries of anybody's.
        let is_lock = name == names::LOCK && !kind.is_dir();
        if is_lock || KERNEL_OWN.contains(&name.as_str()) {
            continue;
        }
        let pin = held.join(&name);
        let path = dir.path().join(&name);
        if kind.is_dir() {
            inventory.dirs.push(name);
        } else if kind.is_symlink() {
            let text = bpffs::read_record(&pin).map_err(|error| InspectError::new(&path, "can't be read", error))?;
            inventory.records.extend(text.map(|text| (name, text)));
        } else {
            match Object::open(&pin) {
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
    if let Some(meta) = &inventory.meta {
        // Something else under its name is told as what it is.
        inventory.missing = Missing::of(meta, |pin| inventory.kind_of(pin).is_some());
    }
    Ok(inventory)
}
