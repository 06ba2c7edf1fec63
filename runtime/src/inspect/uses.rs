//! Who else has a map: pins in other directories, programs that use it, maps that hold it. The kernel does not tell which processes hold
//! it open, so that if nobody is found there may be somebody all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use maplock_layout::map::MapType;
use maplock_layout::map_type::Behaviour;
use rustix::fs::Stat;
use serde::Serialize;

use crate::generation::site::Site;
use crate::sys::bpffs::{self, Dir, Named as _, Rule};
use crate::sys::privileges::BY_ID;
use crate::sys::{Map, Object, Prog};

/// How long is looked, of each of the three.
const LOOKING: Duration = Duration::from_millis(500);

/// Directories that are listed at the most: many daemons may share a bpffs.
const MOST: usize = 512;

/// Somebody who has a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum User {
    /// A pin in another directory.
    Pin(PathBuf),
    /// A program that no hook, pin or table of the site leads to.
    Program(u32, String),
    /// A map of maps.
    Holder(u32, String),
}

/// Where was looked for others who have the maps that are left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Looked {
    /// The root of the mount whose directories were looked at.
    pub mount: PathBuf,
    /// How many of them.
    pub directories: usize,
    /// Programs that were looked at.
    pub programs: usize,
    /// Maps that were looked at.
    pub maps: usize,
    /// What was not looked at though it was meant to be, and why: phrases.
    pub left_out: Vec<String>,
    /// True if somebody was found.
    #[serde(skip)]
    pub(crate) has_found: bool,
}

impl Looked {
    /// It in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { directories, programs, maps, .. } = self;
        let mount = self.mount.display();
        let number = |number: &usize, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            number => format!("{number} {many}"),
        };
        let directories = number(directories, "directory", "directories");
        let (programs, maps) = (number(programs, "program", "programs"), number(maps, "map", "maps"));
        let left_out: String = self.left_out.iter().map(|what| format!("; {what}")).collect();
        format!(
            "looked for others who have the maps that are left behind in {directories} of `{mount}`, {programs} and {maps}, not in \
             processes{left_out}"
        )
    }
}

/// Looks for others who have these maps, but for the generations of the site and their programs.
pub(crate) fn users(site: &Site, maps: &BTreeSet<u32>) -> (BTreeMap<u32, Vec<User>>, Looked) {
    let mount = mount_of(site.above.path());
    let mut looking = Looking {
        maps,
        own: own_programs(site),
        site: site.dirs().filter_map(|dir| bpffs::lstat(dir).ok().flatten()).map(|stat| inode(&stat)).collect(),
        found: BTreeMap::new(),
        looked: Looked { mount: mount.clone(), ..Looked::default() },
        until: Instant::now() + LOOKING,
    };
    if let Ok(root) = Dir::at(&mount).held() {
        looking.directory(&root);
    }
    if looking.is_over() {
        looking.looked.left_out.push(format!("there is more on `{}` than is looked at", mount.display()));
    }
    looking.until = Instant::now() + LOOKING;
    let programs = looking.programs();
    looking.looked_at("programs", programs);
    looking.until = Instant::now() + LOOKING;
    let holders = looking.holders();
    looking.looked_at("maps", holders);
    looking.found.values_mut().for_each(|users| users.sort_unstable());
    looking.looked.has_found = !looking.found.is_empty();
    (looking.found, looking.looked)
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// The directory at which the file system of another one is mounted.
fn mount_of(dir: &Path) -> PathBuf {
    let mut at = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    while !bpffs::is_mount_root(&Dir::at(&at)).unwrap_or(true) && at.pop() {}
    at
}

/// The programs at the hooks of the site, those that are pinned there, and those in its tables.
fn own_programs(site: &Site) -> BTreeSet<u32> {
    let mut own = BTreeSet::new();
    for dir in site.dirs().filter_map(|dir| dir.held().ok()) {
        for (name, kind) in dir.entries().ok().flatten().unwrap_or_default() {
            if !kind.is_file() || name.contains('.') {
                continue;
            }
            match Object::open(&dir.join(&name)) {
                Ok(Object::Prog(prog)) => own.extend(prog.info().ok().map(|info| info.id)),
                Ok(Object::Link(link)) => own.extend(link.info().ok().map(|info| info.prog_id)),
                Ok(Object::Map(map)) => {
                    own.extend(programs_in(&map).unwrap_or_default().into_iter().map(|(_, id)| id));
                }
                Err(_) => {}
            }
        }
    }
    own
}

struct Looking<'a> {
    maps: &'a BTreeSet<u32>,
    own: BTreeSet<u32>,
    /// The directories of the site: by whatever path they are met.
    site: BTreeSet<(u64, u64)>,
    found: BTreeMap<u32, Vec<User>>,
    looked: Looked,
    until: Instant,
}

impl Looking<'_> {
    fn is_over(&self) -> bool {
        Instant::now() > self.until || self.looked.directories >= MOST
    }

    fn saw(&mut self, map: u32, user: User) {
        if self.maps.contains(&map) {
            self.found.entry(map).or_default().push(user);
        }
    }

    /// The pins in a directory, and in those in it. No symbolic link is followed, and no mount crossed; whose a directory is does not
    /// matter, as nothing in it is believed.
    fn directory(&mut self, dir: &Dir) {
        if self.is_over() {
            return;
        }
        self.looked.directories += 1;
        let (Ok(up), Ok(Some(here))) = (dir.open(), bpffs::lstat(dir)) else { return };
        let is_of_site = self.site.contains(&inode(&here));
        for (name, kind) in dir.entries().ok().flatten().unwrap_or_default() {
            let (pin, path) = (dir.join(&name), dir.path().join(&name));
            // The kernel's own, which nobody may open.
            if name.contains('.') || self.is_over() {
                continue;
            }
            if kind.is_dir() {
                let Ok(Some(stat)) = bpffs::lstat(&pin) else { continue };
                if stat.st_dev != here.st_dev {
                    continue;
                }
                let rule = Arc::new(Rule { device: stat.st_dev, owners: vec![stat.st_uid] });
                if let Ok(within) = Dir::beside(up.clone(), name, rule, path).held() {
                    self.directory(&within);
                }
            } else if kind.is_file()
                && !is_of_site
                && let Ok(Object::Map(map)) = Object::open(&pin)
            {
                self.saw(map.info().id, User::Pin(path));
            }
        }
    }

    /// Says what was left out of all objects of a kind.
    fn looked_at(&mut self, what: &str, result: io::Result<()>) {
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                self.looked.left_out.push(format!("looking at {what} needs {BY_ID}"));
            }
            Err(error) => self.looked.left_out.push(format!("{what} can't be looked at: {error}")),
            Ok(()) if Instant::now() > self.until => {
                self.looked.left_out.push(format!("there are more {what} than are looked at"));
            }
            Ok(()) => {}
        }
    }

    fn programs(&mut self) -> io::Result<()> {
        let mut last = 0;
        while let Some(id) = Prog::next_id(last)?
            && Instant::now() <= self.until
        {
            last = id;
            // One that has ended since is none.
            let Ok(info) = Prog::from_id(id).and_then(|prog| prog.info()) else { continue };
            self.looked.programs += 1;
            if self.own.contains(&id) {
                continue;
            }
            for map in info.map_ids {
                self.saw(map, User::Program(id, info.name.clone()));
            }
        }
        Ok(())
    }

    fn holders(&mut self) -> io::Result<()> {
        let mut last = 0;
        while let Some(id) = Map::next_id(last)?
            && Instant::now() <= self.until
        {
            last = id;
            let Ok(map) = Map::from_id(id) else { continue };
            self.looked.maps += 1;
            if map.info().map_type.holds_maps() {
                self.inner_maps(&map);
            }
        }
        Ok(())
    }

    fn inner_maps(&mut self, outer: &Map) {
        let info = outer.info();
        let mut key = None;
        let mut seen = BTreeSet::new();
        // A key behind one that was deleted is the first again.
        for _ in 0..u64::from(info.max_entries) * 2 {
            let Ok(Some(next)) = outer.next_key(key.as_deref()) else { break };
            if Instant::now() > self.until {
                break;
            }
            let inner = outer.lookup(&next).ok().flatten().and_then(|id| id.try_into().ok()).map(u32::from_ne_bytes);
            if let Some(inner) = inner.filter(|inner| seen.insert(*inner)) {
                self.saw(inner, User::Holder(info.id, info.name.clone()));
            }
            key = Some(next);
        }
    }
}

/// Ids of the programs that a map has in its entries, with where: entries of `prog_array`, and of devmaps and cpumaps that have a program.
pub(crate) fn programs_in(map: &Map) -> io::Result<Vec<(String, u32)>> {
    let info = map.info();
    // `struct bpf_devmap_val`, `struct bpf_cpumap_val`: a number, and a program where the value has 8 bytes.
    let at = match info.map_type {
        MapType::PROG_ARRAY => 0,
        of if of.row().entries == Behaviour::OneByOne && info.value_size == 8 => 4,
        _ => return Ok(Vec::new()),
    };
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes);
    let mut found = Vec::new();
    let mut key = map.next_key(None)?;
    // A key behind one that was deleted is the first again.
    for _ in 0..u64::from(info.max_entries) * 2 {
        let Some(current) = key else { break };
        let id = map.lookup(&current)?.and_then(|value| value.get(at..at + 4).map(word));
        found.extend(id.filter(|id| *id != 0).map(|id| (word(&current).to_string(), id)));
        key = map.next_key(Some(&current))?;
    }
    Ok(found)
}
