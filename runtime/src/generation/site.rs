//! Where the generations of one daemon lie, and what the names in them mean.
//!
//! A generation is a directory of pins. The live one is where the daemon's users look for it, the staged one beside it as
//! `DIR@next`, the one before as `DIR@prev` until it is confirmed. bpffs refuses a dot in a name; `@` is fine.

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
        let real = match dir.is_symlink() {
            true => dir.canonicalize().trying(|| format!("can't look at `{}`", dir.display()))?,
            false => dir.to_owned(),
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
            return Ok(Self {
                next: dir.join("maplock@next"),
                prev: dir.join("maplock@prev"),
                lock: dir.clone(),
                dir,
                is_root,
            });
        }
        if name.contains('.') {
            let message = format!("`{}` can't be: bpffs refuses names with a dot", dir.display());
            return Err(Error::new(ErrorKind::Place, message));
        }
        Ok(Self {
            dir: dir.to_owned(),
            next: parent.join(format!("{name}@next")),
            prev: parent.join(format!("{name}@prev")),
            lock: parent.to_owned(),
            is_root,
        })
    }
}

/// Removes a generation that nobody needs: the pins in it, and the directory. Sub-directories are not ours, and stay.
pub(crate) fn remove(dir: &Path) -> Result<(), Error> {
    let Some(names) = bpffs::names(dir).trying(|| format!("can't list `{}`", dir.display()))? else { return Ok(()) };
    // The records go last, so that what is left over is still known for what it is; the one that knows of no way back at the end.
    let records = [RETURNING, COMMIT, MOVING];
    let pins = names.iter().map(String::as_str).filter(|name| !records.contains(name));
    for name in pins.chain(records) {
        let path = dir.join(name);
        bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
    }
    bpffs::remove_dir(dir).trying(|| format!("can't remove `{}`", dir.display()))?;
    Ok(())
}
