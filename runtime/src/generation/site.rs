//! Where the generations of one daemon lie, and what the names in them mean.
//!
//! A generation is a directory of pins. The live one is where the daemon's users look for it, the staged one beside it as
//! `DIR@next`, the one before as `DIR@prev` until it is confirmed, older ones as `DIR@prev2` and so on. bpffs refuses a dot in a name; `@` is fine.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory::{lstat, own_uid, user};
use crate::sys::bpffs::{self, Dir, Named as _, Pin, Rule};

/// Where the generations of one daemon lie.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The live one.
    pub(crate) dir: Dir,
    /// The staged one.
    pub(crate) next: Dir,
    /// Where others are kept, [`MOST_KEPT`] of them, the newest first.
    pub(crate) places: Vec<Dir>,
    /// One that is given up, while it is removed.
    pub(crate) over: Dir,
    /// The directory that holds all of them.
    pub(crate) above: Dir,
    /// If the lock is while there is no live one; `None` if there always is.
    pub(crate) early: Option<Pin>,
    /// True if the live one is the root of a mount, which can't be exchanged.
    pub(crate) is_root: bool,
    rule: Arc<Rule>,
}

/// So many generations can be kept.
pub(crate) const MOST_KEPT: usize = 9;

/// How the directories of the staged generation, of one that is removed, and of each place are called, behind the `@`.
const NEXT: &str = "next";
const OVER: &str = "prev0";
fn place_name(place: usize) -> String {
    if place == 1 { "prev".to_owned() } else { format!("prev{place}") }
}

/// How they are called if there is no place beside the live one.
fn name_within(ending: &str) -> String {
    format!("maplock@{ending}")
}

/// So often may a symbolic link lead to another one.
const MOST_LINKS: usize = 40;

impl Site {
    /// The site of a live generation at `dir`, which need not be there yet.
    pub(crate) fn at(dir: &Path) -> Result<Self, Error> {
        let real = real(dir)?;
        let dir = real.as_path();
        let looked = |what: &Path| format!("can't look at `{}`", what.display());
        let (Some(above), Some(name)) = (dir.parent(), dir.file_name()) else {
            return Err(no_directory(dir));
        };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let above_dir = Dir::at(above).held().trying(|| looked(above))?;
        let parent = above_dir.open().trying(|| looked(above))?;
        // Such a name can't even be looked at there.
        if name.to_string_lossy().contains('.') && bpffs::is_bpffs(&above_dir).trying(|| looked(above))? {
            let message = format!("`{}` can't be made: bpffs refuses names with a dot", dir.display());
            return Err(Error::new(ErrorKind::Place, message));
        }
        let live = lstat(dir)?;
        if live.as_ref().is_some_and(|live| !FileType::from_raw_mode(live.st_mode).is_dir()) {
            return Err(no_directory(dir));
        }
        // Of the directory itself where it is there: another file system may be mounted on it.
        let place = if live.is_some() { dir } else { above };
        let stat = live.map_or_else(|| rustix::fs::fstat(&parent).map_err(Into::into), Ok).trying(|| looked(place))?;
        let rule = Arc::new(Rule {
            device: stat.st_dev,
            owners: [Some(0), Some(own_uid()), live.map(|live| live.st_uid)].into_iter().flatten().collect(),
        });
        let beside =
            |up: &Arc<OwnedFd>, name: OsString, path: PathBuf| Dir::beside(up.clone(), name, rule.clone(), path);
        let live_dir = beside(&parent, name.to_owned(), dir.to_owned());
        let is_bpffs = if live.is_some() { bpffs::is_bpffs(&live_dir) } else { bpffs::is_bpffs(&above_dir) };
        if !is_bpffs.trying(|| looked(place))? {
            let message = format!("`{0}` is not on a bpffs; mount one: mount -t bpf bpf {0}", place.display());
            return Err(Error::new(ErrorKind::Place, message));
        }
        let is_root = live.is_some() && bpffs::is_mount_root(&live_dir).trying(|| looked(dir))?;
        let site = if is_root {
            let live_dir = live_dir.held().trying(|| looked(dir))?;
            let inside = |ending: &str| live_dir.dir(name_within(ending));
            let (next, over) = (inside(NEXT), inside(OVER));
            let places = (1..=MOST_KEPT).map(|place| inside(&place_name(place))).collect();
            Self { above: live_dir.clone(), dir: live_dir, next, places, over, early: None, is_root, rule }
        } else {
            let name = name.to_string_lossy();
            let named = |ending: &str| {
                let name = format!("{name}@{ending}");
                beside(&parent, OsString::from(&name), above.join(&name))
            };
            let (next, over) = (named(NEXT), named(OVER));
            let places = (1..=MOST_KEPT).map(|place| named(&place_name(place))).collect();
            let early = Some(above_dir.join(format!("{name}@lock")));
            Self { dir: live_dir, next, places, over, above: above_dir, early, is_root, rule }
        };
        site.check()?;
        Ok(site)
    }

    /// Where the newest one is kept.
    pub(crate) fn prev(&self) -> &Dir {
        self.place(1)
    }

    /// Where others are kept: counted from 1, the newest first.
    pub(crate) fn place(&self, place: usize) -> &Dir {
        &self.places[place.clamp(1, self.places.len()) - 1]
    }

    /// All directories that may be there.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = &Dir> {
        [&self.dir, &self.next, &self.over].into_iter().chain(&self.places)
    }

    /// A pin of one of the generations, by its path.
    pub(crate) fn pin(&self, path: &Path) -> Result<Pin, Error> {
        let of = self.dirs().find(|dir| path.parent() == Some(dir.path()));
        match (of, path.file_name()) {
            (Some(dir), Some(name)) => Ok(dir.join(name)),
            _ => {
                let message = format!("`{}` is no pin of `{}`", path.display(), self.dir.display());
                Err(Error::new(ErrorKind::Place, message))
            }
        }
    }

    /// The generation that was staged through a mount of this directory, from where there is no place beside it; `None` if none was.
    pub(crate) fn next_within(&self) -> Result<Option<Dir>, Error> {
        self.within(NEXT)
    }

    /// Those which were kept so, each with its place.
    pub(crate) fn kept_within(&self) -> Result<Vec<(usize, Dir)>, Error> {
        let places = (1..=MOST_KEPT).map(|place| Ok(self.within(&place_name(place))?.map(|dir| (place, dir))));
        places.filter_map(Result::transpose).collect()
    }

    /// What was left of one that was removed so.
    pub(crate) fn over_within(&self) -> Result<Option<Dir>, Error> {
        self.within(OVER)
    }

    fn within(&self, ending: &str) -> Result<Option<Dir>, Error> {
        let dir = self.dir.dir(name_within(ending));
        // What anybody else has put there stays his.
        let is_ours = |stat: &rustix::fs::Stat| {
            let is_dir = FileType::from_raw_mode(stat.st_mode).is_dir();
            is_dir && stat.st_dev == self.rule.device && self.trusts(stat.st_uid)
        };
        if self.is_root || lstat(&self.dir)?.is_none() {
            return Ok(None);
        }
        match bpffs::lstat(&dir) {
            Ok(stat) => Ok(stat.as_ref().is_some_and(is_ours).then_some(dir)),
            // That the live one may not be entered is said of that.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(None),
            Err(error) => Err(error).trying(|| format!("can't look at `{}`", dir.display())),
        }
    }

    /// As the next upgrade finds it: for those who only look.
    pub(crate) fn as_found(&self) -> Result<Self, Error> {
        let (next, kept) = (self.next_within()?, self.kept_within()?);
        let next = if lstat(&self.next)?.is_some() { None } else { next };
        let mut places = self.places.clone();
        if let Some((last, _)) = kept.last() {
            places.truncate(*last);
        }
        for (place, dir) in kept {
            places[place - 1] = dir;
        }
        Ok(Self { next: next.unwrap_or_else(|| self.next.clone()), places, ..self.clone() })
    }

    /// True for the name of one of its generations that lies within the live one.
    pub(crate) fn is_within(&self, name: &str) -> bool {
        self.dirs().any(|dir| dir.path().parent() == Some(self.dir.path()) && dir.path().ends_with(name))
    }

    /// True for the owner of what belongs to a generation.
    pub(crate) fn trusts(&self, owner: u32) -> bool {
        self.rule.trusts(owner)
    }

    /// What is beside the live generation under our names is a generation only if it is a directory of the same bpffs that nobody
    /// else can have put there: who may write to the parent may also put a link there, to what must not be touched. Each call checks
    /// that again; here it is said what to do about it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for dir in self.dirs().skip(1) {
            let Some(stat) = lstat(dir)? else { continue };
            let shown = dir.display();
            let kind = FileType::from_raw_mode(stat.st_mode);
            let (what, command) = if kind.is_symlink() {
                let to = bpffs::read_record(dir).trying(|| format!("can't look at `{shown}`"))?.unwrap_or_default();
                (format!("a symbolic link to `{to}`"), "rm")
            } else if !kind.is_dir() {
                ("no directory".to_owned(), "rm")
            } else if stat.st_dev != self.rule.device {
                ("a directory of another file system".to_owned(), "umount")
            } else if !self.trusts(stat.st_uid) {
                (format!("a directory of {}", user(stat.st_uid)), "rm -r")
            } else {
                continue;
            };
            let message = format!(
                "`{shown}` is {what}, and no generation of `{}`; find out who put it there, and remove it: {command} {shown}; \
                 a bpffs that is mounted with `mode=0700` keeps others out",
                self.dir.display()
            );
            return Err(Error::new(ErrorKind::Place, message));
        }
        Ok(())
    }
}

fn no_directory(dir: &Path) -> Error {
    let message =
        format!("`{}` is no directory for pins; give one on a bpffs, such as /sys/fs/bpf/NAME", dir.display());
    Error::new(ErrorKind::Place, message)
}

/// Where a person's path leads, over symbolic links that nobody else may change. An exchange would be of the link, not of what it
/// leads to; iproute2 puts some on a bpffs.
fn real(dir: &Path) -> Result<PathBuf, Error> {
    let mut at = dir.to_owned();
    for _ in 0..MOST_LINKS {
        // `.` and `/` have no name of their own.
        if at.file_name().is_none() {
            return at.canonicalize().trying(|| format!("can't look at `{}`", at.display()));
        }
        // What can't be looked at is said further down.
        let link = bpffs::lstat(at.as_path()).ok().flatten();
        let Some(link) = link.filter(|stat| FileType::from_raw_mode(stat.st_mode).is_symlink()) else { return Ok(at) };
        if ![0, own_uid()].contains(&link.st_uid) {
            let message = format!(
                "`{}` is a symbolic link of {}, who may change where it leads; give the directory itself",
                at.display(),
                user(link.st_uid)
            );
            return Err(Error::new(ErrorKind::Place, message));
        }
        let to = std::fs::read_link(&at).trying(|| format!("can't look at `{}`", at.display()))?;
        at = at.parent().unwrap_or(Path::new("/")).join(to);
    }
    Err(Error::new(ErrorKind::Place, format!("`{}` leads over more than {MOST_LINKS} symbolic links", dir.display())))
}
