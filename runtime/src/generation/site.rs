//! Where the generations of one daemon lie, and what the names in them mean.
//!
//! A generation is a directory of pins. The live one is where the daemon's users look for it, the staged one beside it as
//! `DIR@next`, the one before as `DIR@prev` until it is confirmed. bpffs refuses a dot in a name; `@` is fine.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::meta;
use crate::sys::bpffs;

/// Ends the name of the pin of a hook's program.
pub(crate) const PROG: &str = "@prog";
/// Ends the name of a map's snapshot, while it is staged.
const BASE: &str = "@base";
/// Ends the name of the record of how a map was derived from that of the generation before.
const TRANSFER: &str = "@transfer";
/// Ends the name of the text of how entries were converted on the way.
const CONVERSION: &str = "@conversion";
/// Ends the name of the record of where a hook was attached that has vanished since.
const TARGET: &str = "@target";
/// The record that says: this generation is complete, go on with it. Written before the first link is switched.
pub(crate) const COMMIT: &str = "commit@record";
/// The record that says: the pins are being moved one by one.
pub(crate) const MOVING: &str = "moving@record";
/// The record that says: this is the kept generation, on its way back.
pub(crate) const RETURNING: &str = "returning@record";

/// Name of a map's snapshot.
pub(crate) fn base_of(map: &str) -> String {
    format!("{map}{BASE}")
}

/// Name of the record of how a map was derived.
pub(crate) fn transfer_of(map: &str) -> String {
    format!("{map}{TRANSFER}")
}

/// Name of the text of how a map's entries were converted.
pub(crate) fn conversion_of(map: &str) -> String {
    format!("{map}{CONVERSION}")
}

/// The map of which a pin says how it was derived: by a record, or by the text of a conversion.
pub(crate) fn map_of_derivation(name: &str) -> Option<&str> {
    map_of_transfer(name).or_else(|| name.strip_suffix(CONVERSION))
}

/// True for a map that holds the text of a conversion, and no entries.
pub(crate) fn is_text(name: &str) -> bool {
    name.ends_with(CONVERSION)
}

/// The map of a transfer record.
pub(crate) fn map_of_transfer(name: &str) -> Option<&str> {
    name.strip_suffix(TRANSFER)
}

/// Name of a hook's program.
pub(crate) fn prog_of(hook: &str) -> String {
    format!("{hook}{PROG}")
}

/// Name of the record of where a vanished hook was.
pub(crate) fn target_of(hook: &str) -> String {
    format!("{hook}{TARGET}")
}

/// The hook of a target record.
pub(crate) fn hook_of_target(name: &str) -> Option<&str> {
    name.strip_suffix(TARGET)
}

/// True for names that maplock itself puts into a generation, beside maps and links.
pub(crate) fn is_own(name: &str) -> bool {
    name == meta::NAME
        || [COMMIT, MOVING, RETURNING].contains(&name)
        || [PROG, BASE, TRANSFER, CONVERSION, TARGET].iter().any(|ending| name.ends_with(ending))
}

/// True for snapshots and records that a committed generation needs no more.
pub(crate) fn is_scaffold(name: &str) -> bool {
    [COMMIT, MOVING, RETURNING].contains(&name) || name.ends_with(BASE)
}

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

/// What is there itself, whatever it may lead to.
fn lstat(path: &Path) -> Result<Option<std::fs::Metadata>, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).trying(|| format!("can't look at `{}`", path.display())),
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn user(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("user {uid}") }
}

/// The text of a record in a generation; `None` where there is none. One that somebody else may have put there is an error: it would
/// decide what becomes of the generations.
pub(crate) fn record(dir: &Path, name: &str) -> Result<Option<String>, Error> {
    let path = dir.join(name);
    let Some(data) = lstat(&path)? else { return Ok(None) };
    let owner = lstat(dir)?.map(|data| data.uid());
    if ![Some(0), Some(own_uid()), owner].contains(&Some(data.uid())) {
        let (shown, who) = (path.display(), user(data.uid()));
        let message =
            format!("`{shown}` was put there by {who}, not by the owner of the directory; remove it: rm {shown}");
        return Err(Error::new(ErrorKind::Place, message));
    }
    bpffs::read_record(&path).trying(|| format!("can't read `{}`", path.display()))
}

/// Removes a generation that nobody needs: the pins in it, and the directory. Sub-directories are not ours, and stay.
pub(crate) fn remove(dir: &Path) -> Result<(), Error> {
    let failed = || format!("can't list `{}`", dir.display());
    let Some(open) = bpffs::Dir::open(dir).trying(failed)? else { return Ok(()) };
    let names = open.names().trying(failed)?;
    // The records go last, so that what is left over is still known for what it is; the one that knows of no way back at the end.
    let records = [RETURNING, COMMIT, MOVING];
    let pins = names.iter().map(String::as_str).filter(|name| !records.contains(name));
    for name in pins.chain(records) {
        open.unlink(name).trying(|| format!("can't remove `{}`", dir.join(name).display()))?;
    }
    bpffs::remove_dir(dir).trying(|| format!("can't remove `{}`", dir.display()))?;
    Ok(())
}
