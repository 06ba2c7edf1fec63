//! What lies near a directory that looks like the pins of a release, if that directory has none of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::generation::names::{self, Alike, alike, pin_name};
use crate::sys::bpffs::{self, Dir};

/// Directories that are listed at the most: many daemons may share a bpffs.
const MOST: usize = 512;

/// How far below the directory above it is looked: iproute2 has its pins in `tc/globals`.
const DEPTH: usize = 2;

/// A directory with pins that look like those of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    /// The directory.
    pub dir: PathBuf,
    /// Where it leads, if it is a symbolic link.
    pub leads_to: Option<PathBuf>,
    /// How it lies to the directory that was asked for.
    pub place: Place,
    /// Names of maps that are pinned there under their own names.
    pub maps: Vec<String>,
    /// Pins there that may be a map's though they are called otherwise: the map, the pin, and why.
    pub alike: Vec<(String, String, Alike)>,
}

/// How a directory lies to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It is the same.
    Itself,
    /// It is in it.
    Within,
    /// It is the one above it.
    Above,
    /// It is elsewhere in the one above it.
    Beside,
}

impl Place {
    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Within => "within",
            Self::Above => "above",
            Self::Beside => "beside",
        }
    }
}

/// Looks near `dir` for pins of these maps, the likeliest place first. What can't be looked at is left out; nothing is opened.
#[must_use]
pub fn near(dir: &Path, maps: &BTreeSet<String>) -> Vec<Near> {
    let mut looking = Looking { maps, found: Vec::new(), left: MOST };
    looking.at(dir, Place::Itself, None);
    looking.below(dir, Place::Within, DEPTH, None);
    let parent = dir.parent().filter(|parent| is_bpffs(parent));
    if let Some(parent) = parent {
        looking.at(parent, Place::Above, None);
        looking.below(parent, Place::Beside, DEPTH, Some(dir));
    }
    let mut found = looking.found;
    // A link to what is told by its own name says nothing more.
    let own: Vec<_> =
        found.iter().filter(|near| near.leads_to.is_none()).filter_map(|near| near.dir.canonicalize().ok()).collect();
    found.retain(|near| near.leads_to.as_ref().is_none_or(|to| !own.contains(to)));
    found.sort_by(|a, b| {
        let likeliest = |near: &Near| (near.maps.len(), near.alike.len());
        likeliest(b).cmp(&likeliest(a)).then_with(|| (a.place, &a.dir).cmp(&(b.place, &b.dir)))
    });
    found
}

/// True if a directory is on one; false if that can't be told.
fn is_bpffs(dir: &Path) -> bool {
    bpffs::is_bpffs(&Dir::at(dir)).unwrap_or(false)
}

struct Looking<'a> {
    maps: &'a BTreeSet<String>,
    found: Vec<Near>,
    /// Directories that may be listed yet.
    left: usize,
}

impl Looking<'_> {
    /// The names in a directory are held against the maps.
    fn at(&mut self, dir: &Path, place: Place, leads_to: Option<PathBuf>) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let Ok(entries) = fs::read_dir(dir) else { return };
        let pins: Vec<_> =
            entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).collect();
        let pins: BTreeSet<String> =
            pins.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let maps: Vec<_> = self.maps.iter().filter(|map| pins.contains(&pin_name(map))).cloned().collect();
        let others = self.maps.iter().filter(|map| !pins.contains(&pin_name(map)));
        let alike = others
            .flat_map(|map| pins.iter().filter_map(move |pin| Some((map.clone(), pin.clone(), alike(map, pin)?))));
        let alike: Vec<_> = alike.collect();
        if !(maps.is_empty() && alike.is_empty()) {
            self.found.push(Near { dir: dir.to_owned(), leads_to, place, maps, alike });
        }
    }

    /// The directories in a directory, but for one, and for generations that are kept or staged.
    fn below(&mut self, dir: &Path, place: Place, depth: usize, but: Option<&Path>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        let mut paths: Vec<_> = entries.flatten().collect();
        paths.sort_by_key(fs::DirEntry::file_name);
        for entry in paths {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(kind) = entry.file_type() else { continue };
            if Some(path.as_path()) == but || names::is_generation(&name) {
                continue;
            }
            if kind.is_symlink() {
                // iproute2 makes some. Where one leads to is told, and no further than there.
                let to = path.canonicalize().ok().filter(|to| to.is_dir() && is_bpffs(to));
                if let Some(to) = to {
                    self.at(&path, place, Some(to));
                }
            } else if kind.is_dir() && is_bpffs(&path) {
                self.at(&path, place, None);
                if depth > 1 {
                    self.below(&path, place, depth - 1, None);
                }
            }
        }
    }
}
