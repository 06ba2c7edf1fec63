//! Where the generations of one daemon lie, and what the names in them mean.
//!
//! A generation is a directory of pins. The live one is where the daemon's users look for it, the staged one beside it as
//! `DIR@next`, the one before as `DIR@prev` until it is confirmed. bpffs refuses a dot in a name; `@` is fine.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory::{lstat, own_uid, user};
use crate::sys::bpffs;

/// Where the generations of one daemon lie.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The live one.
    pub(crate) dir: PathBuf,
    /// The staged one.
    pub(crate) next: PathBuf,
    /// The one before.
    pub(crate) prev: PathBuf,
    /// The directory whose lock guards all three.
    pub(crate) lock: PathBuf,
    /// True where the live one is the root of a mount, which can't be exchanged.
    pub(crate) is_root: bool,
}

impl Site {
    /// The site of a live generation at `dir`, which need not be there yet.
    pub(crate) fn at(dir: &Path) -> Result<Self, Error> {
        // An exchange would be of the symbolic link, not of what it leads to; iproute2 puts some on a bpffs.
        // A name with a dot can't even be looked at: that is said further down.
        let link = std::fs::symlink_metadata(dir).ok().filter(std::fs::Metadata::is_symlink);
        let real = match link {
            Some(data) if ![0, own_uid()].contains(&data.uid()) => {
                let message = format!(
                    "`{}` is a symbolic link of {}, who may change where it leads; give the directory itself",
                    dir.display(),
                    user(data.uid())
                );
                return Err(Error::new(ErrorKind::Place, message));
            }
            Some(_) => dir.canonicalize().trying(|| format!("can't look at `{}`", dir.display()))?,
            None => dir.to_owned(),
        };
        let dir = real.as_path();
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
            let message =
                format!("`{}` is no directory for pins; give one on a bpffs, such as /sys/fs/bpf/NAME", dir.display());
            return Err(Error::new(ErrorKind::Place, message));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let name = name.to_string_lossy();
        let exists = dir.is_dir();
        let place = if exists { dir } else { parent };
        let on_bpffs = bpffs::is_bpffs(place).trying(|| format!("can't look at `{}`", place.display()))?;
        if !on_bpffs {
            let message = format!(
                "`{}` is not on a bpffs; mount one: mount -t bpf bpf {}",
                place.display(),
                if exists { dir.display() } else { parent.display() }
            );
            return Err(Error::new(ErrorKind::Place, message));
        }
        let is_root = exists && bpffs::is_mount_root(dir).trying(|| format!("can't look at `{}`", dir.display()))?;
        if is_root {
            let dir = dir.to_owned();
            let site = Self {
                next: dir.join("maplock@next"),
                prev: dir.join("maplock@prev"),
                lock: dir.clone(),
                dir,
                is_root,
            };
            site.check()?;
            return Ok(site);
        }
        if name.contains('.') {
            let message = format!("`{}` can't be: bpffs refuses names with a dot", dir.display());
            return Err(Error::new(ErrorKind::Place, message));
        }
        let site = Self {
            dir: dir.to_owned(),
            next: parent.join(format!("{name}@next")),
            prev: parent.join(format!("{name}@prev")),
            lock: parent.to_owned(),
            is_root,
        };
        site.check()?;
        Ok(site)
    }

    /// What is beside the live generation under our names is a generation only if it is a directory of the same bpffs that nobody
    /// else can have put there: who may write to the parent may also put a link there, to what must not be touched.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let device = std::fs::metadata(&self.lock).trying(|| format!("can't look at `{}`", self.lock.display()))?.dev();
        let live = lstat(&self.dir)?.filter(std::fs::Metadata::is_dir).map(|data| data.uid());
        for path in [&self.next, &self.prev] {
            let Some(data) = lstat(path)? else { continue };
            let shown = path.display();
            let (what, command) = if data.is_symlink() {
                let to = std::fs::read_link(path).trying(|| format!("can't look at `{shown}`"))?;
                (format!("a symbolic link to `{}`", to.display()), "rm")
            } else if !data.is_dir() {
                ("no directory".to_owned(), "rm")
            } else if data.dev() != device {
                ("a directory of another file system".to_owned(), "umount")
            } else if ![Some(0), Some(own_uid()), live].contains(&Some(data.uid())) {
                (format!("a directory of {}", user(data.uid())), "rm -r")
            } else {
                continue;
            };
            let message = format!(
                "`{shown}` is {what}, and no generation of `{}`; find out who put it there, and remove it: {command} {shown}",
                self.dir.display()
            );
            return Err(Error::new(ErrorKind::Place, message));
        }
        Ok(())
    }
}
