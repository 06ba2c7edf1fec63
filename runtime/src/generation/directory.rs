//! A generation's directory: what is in it, and whose it is.

use std::io;

use rustix::fs::{FileType, Stat};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::meta::{self, Meta, MetaError};
use crate::generation::names::{self, pin_name};
use crate::sys::bpffs::{self, Dir, Named, Pin};
use crate::sys::{Link, Map, Object};

/// What is there itself, whatever it may lead to.
pub(crate) fn lstat(at: &(impl Named + ?Sized)) -> Result<Option<Stat>, Error> {
    bpffs::lstat(at).trying(|| format!("can't look at `{}`", at.path().display()))
}

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn user(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("user {uid}") }
}

/// What a generation says of itself. A damaged text counts as none.
pub(crate) fn meta_of(dir: &Dir) -> Result<Option<Meta>, Error> {
    match Meta::read(dir) {
        Ok(meta) => Ok(meta),
        Err(MetaError::Io(path, error)) => Err(Error::kernel(format!("can't read `{}`", path.display()), error)),
        Err(error) => {
            tracing::debug!(%error, "the meta map counts as absent");
            Ok(None)
        }
    }
}

/// True if a directory holds the kept generation on its way back.
pub(crate) fn is_returning(dir: &Dir) -> Result<bool, Error> {
    has_record(dir, names::RETURNING)
}

/// True if a directory holds that record.
pub(crate) fn has_record(dir: &Dir, name: &str) -> Result<bool, Error> {
    Ok(record(dir, name)?.is_some())
}

/// The hooks of a generation: those whose program is pinned in it, and whose link is.
pub(crate) fn hooks_in(dir: &Dir) -> Result<Vec<String>, Error> {
    let names = list(dir)?;
    let with_prog = names.iter().filter_map(|name| name.strip_suffix(names::PROG));
    Ok(with_prog.filter(|hook| names.iter().any(|name| name == hook)).map(str::to_owned).collect())
}

/// The names in a generation; none if there is no such directory.
pub(crate) fn list(dir: &Dir) -> Result<Vec<String>, Error> {
    Ok(dir.names().trying(|| format!("can't list `{}`", dir.display()))?.unwrap_or_default())
}

/// True if there is such a pin or directory. What can't be looked at is an error, not an absence.
pub(crate) fn is_there(at: &impl Named) -> Result<bool, Error> {
    Ok(lstat(at)?.is_some())
}

/// True if two are names of one pin.
pub(crate) fn same_pin(one: &Pin, other: &Pin) -> Result<bool, Error> {
    let inode = |stat: Stat| (stat.st_dev, stat.st_ino);
    let one = lstat(one)?.map(inode);
    Ok(one.is_some() && one == lstat(other)?.map(inode))
}

/// Pins a map beside another pin of the same generation, with the owner and mode of that.
pub(crate) fn pin_like(map: &Map, pin: &Pin, like: &Pin) -> io::Result<()> {
    map.pin(pin)?;
    bpffs::copy_owner_and_mode(like, pin)
}

/// Gives a staged pin the owner and mode of the live one that it comes after, if there is one.
pub(crate) fn keep_owner_and_mode(live: &Pin, staged: &Pin) -> Result<(), Error> {
    if !is_there(live)? {
        return Ok(());
    }
    bpffs::copy_owner_and_mode(live, staged)
        .trying(|| format!("can't give `{}` the owner and mode of `{}`", staged.display(), live.display()))
}

/// True for what belongs to a generation, by its own word.
pub(crate) fn is_of(generation: &Meta, name: &str) -> bool {
    let hook = name.strip_suffix(names::PROG);
    let is_map = |pin: &str| generation.maps.keys().any(|map| pin_name(map) == pin);
    [meta::NAME, names::LOCK, names::HISTORY].contains(&name)
        || is_map(name)
        || names::map_of_derivation(name).is_some_and(|(map, _)| is_map(map))
        || generation.links.iter().any(|link| link == name || Some(link.as_str()) == hook)
}

/// True for what belongs to a generation, by its own word, and is of the kind that it says.
pub(crate) fn belongs(dir: &Dir, generation: &Meta, name: &str) -> Result<bool, Error> {
    if !is_of(generation, name) {
        return Ok(false);
    }
    // Records are symbolic links.
    if name == names::LOCK || names::map_of_transfer(name).is_some() {
        return Ok(true);
    }
    Ok(match object_at(&dir.join(name))? {
        Some(Object::Map(_)) => !name.ends_with(names::PROG) && !generation.links.contains(name),
        Some(Object::Prog(_)) => name.ends_with(names::PROG),
        Some(Object::Link(_)) => generation.links.contains(name),
        None => false,
    })
}

/// What is pinned there, if anything is. What can't be opened is an error: a link taken for none would be detached as vanished,
/// or attached a second time.
pub(crate) fn object_at(pin: &Pin) -> Result<Option<Object>, Error> {
    // A name with a dot is the kernel's own; records are symbolic links, and others may have directories here.
    if pin.file_name().contains('.') {
        return Ok(None);
    }
    match lstat(pin)? {
        Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            Object::open(pin).trying(|| format!("can't look at `{}`", pin.display())).map(Some)
        }
        _ => Ok(None),
    }
}

/// The link that is pinned there, if one is. As [`object_at`].
pub(crate) fn link_at(pin: &Pin) -> Result<Option<Link>, Error> {
    Ok(match object_at(pin)? {
        Some(Object::Link(link)) => Some(link),
        _ => None,
    })
}

/// The text of a record in a generation; `None` if there is none. One that somebody else may have put there is an error: it would
/// decide what becomes of the generations.
pub(crate) fn record(dir: &Dir, name: &str) -> Result<Option<String>, Error> {
    let pin = dir.join(name);
    let Some(stat) = lstat(&pin)? else { return Ok(None) };
    let owner = lstat(dir)?.map(|stat| stat.st_uid);
    if ![Some(0), Some(own_uid()), owner].contains(&Some(stat.st_uid)) {
        let (shown, who) = (pin.display(), user(stat.st_uid));
        let message =
            format!("`{shown}` was put there by {who}, not by the owner of the directory; remove it: rm {shown}");
        return Err(Error::new(ErrorKind::Place, message));
    }
    bpffs::read_record(&pin).trying(|| format!("can't read `{}`", pin.display()))
}

/// Removes a generation that nobody needs: the pins in it, and the directory. Sub-directories are not ours, and stay.
pub(crate) fn remove(dir: &Dir) -> Result<(), Error> {
    let failed = || format!("can't list `{}`", dir.display());
    if !is_there(dir)? {
        return Ok(());
    }
    // All in one directory, whatever takes its name meanwhile.
    let held = dir.held().trying(failed)?;
    let mut names = list(&held)?;
    if let Some(at) = names.iter().position(|name| name == names::LEFT) {
        names.remove(at);
        remove(&held.dir(names::LEFT))?;
    }
    // The records go last, so that what is left over is still known for what it is; the one that knows of no way back at the end.
    let records = [names::RETURNING, names::COMMIT, names::MOVING];
    let pins = names.iter().map(String::as_str).filter(|name| !records.contains(name));
    for name in pins.chain(records) {
        bpffs::unlink(&held.join(name)).trying(|| format!("can't remove `{}`", dir.join(name).display()))?;
    }
    bpffs::remove_dir(dir).trying(|| format!("can't remove `{}`", dir.display()))?;
    Ok(())
}
