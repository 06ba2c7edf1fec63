//! A generation's directory: what is in it, and whose it is.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::meta::{self, Meta, MetaError};
use crate::generation::names::{self, pin_name};
use crate::sys::{Link, Object, bpffs};

/// What is there itself, whatever it may lead to.
pub(super) fn lstat(path: &Path) -> Result<Option<Metadata>, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).trying(|| format!("can't look at `{}`", path.display())),
    }
}

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(super) fn user(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("user {uid}") }
}

/// What a generation says of itself. A damaged text counts as none.
pub(crate) fn meta_of(dir: &Path) -> Result<Option<Meta>, Error> {
    match Meta::read(dir) {
        Ok(meta) => Ok(meta),
        Err(MetaError::Io(path, error)) => Err(Error::kernel(format!("can't read `{}`", path.display()), error)),
        Err(error) => {
            tracing::debug!(%error, "the meta map counts as absent");
            Ok(None)
        }
    }
}

/// True where a directory holds the kept generation on its way back.
pub(crate) fn is_returning(dir: &Path) -> Result<bool, Error> {
    has_record(dir, names::RETURNING)
}

/// True where a directory holds that record.
pub(crate) fn has_record(dir: &Path, name: &str) -> Result<bool, Error> {
    Ok(record(dir, name)?.is_some())
}

/// The hooks of a generation: those whose program is pinned in it, and whose link is.
pub(crate) fn hooks_in(dir: &Path) -> Result<Vec<String>, Error> {
    let names = list(dir)?;
    let with_prog = names.iter().filter_map(|name| name.strip_suffix(names::PROG));
    Ok(with_prog.filter(|hook| names.iter().any(|name| name == hook)).map(str::to_owned).collect())
}

/// The names in a generation; none where there is no such directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    Ok(bpffs::names(dir).trying(|| format!("can't list `{}`", dir.display()))?.unwrap_or_default())
}

/// True where there is such a pin or directory. What can't be looked at is an error, not an absence.
pub(crate) fn is_there(path: &Path) -> Result<bool, Error> {
    path.try_exists().trying(|| format!("can't look at `{}`", path.display()))
}

/// True where two paths are names of one pin.
pub(crate) fn same_pin(one: &Path, other: &Path) -> Result<bool, Error> {
    let inode = |path: &Path| match std::fs::symlink_metadata(path) {
        Ok(data) => Ok(Some((data.dev(), data.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).trying(|| format!("can't look at `{}`", path.display())),
    };
    let (one, other) = (inode(one)?, inode(other)?);
    Ok(one.is_some() && one == other)
}

/// True for what belongs to a generation, by its own word.
pub(crate) fn is_of(generation: &Meta, name: &str) -> bool {
    let hook = name.strip_suffix(names::PROG);
    let is_map = |pin: &str| generation.maps.keys().any(|map| pin_name(map) == pin);
    name == meta::NAME
        || is_map(name)
        || names::map_of_derivation(name).is_some_and(is_map)
        || generation.links.iter().any(|link| link == name || Some(link.as_str()) == hook)
}

/// What is pinned there, if anything is. What can't be opened is an error: a link taken for none would be detached as vanished,
/// or attached a second time.
pub(crate) fn object_at(path: &Path) -> Result<Option<Object>, Error> {
    let failed = || format!("can't look at `{}`", path.display());
    // A name with a dot is the kernel's own; records are symbolic links, and others may have directories here.
    let has_dot = path.file_name().is_some_and(|name| name.to_string_lossy().contains('.'));
    if has_dot {
        return Ok(None);
    }
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.is_file() => Object::open(path).trying(failed).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).trying(failed),
    }
}

/// The link that is pinned there, if one is. As [`object_at`].
pub(crate) fn link_at(path: &Path) -> Result<Option<Link>, Error> {
    Ok(match object_at(path)? {
        Some(Object::Link(link)) => Some(link),
        _ => None,
    })
}

/// A name in the live directory that is no part of its generation: somebody shares the directory. Without a meta map, `maps` says
/// what belongs to it.
pub(crate) fn foreign_in(dir: &Path, maps: impl Fn(&str) -> bool) -> Result<Option<String>, Error> {
    Ok(all_foreign_in(dir, maps)?.into_iter().next())
}

/// All such names.
pub(crate) fn all_foreign_in(dir: &Path, maps: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
    let meta = meta_of(dir)?;
    let is_known =
        |name: &String| names::is_own(name) || maps(name) || meta.as_ref().is_some_and(|meta| is_of(meta, name));
    Ok(list(dir)?.into_iter().filter(|name| !is_known(name)).collect())
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
    let mut names = open.names().trying(failed)?;
    if let Some(at) = names.iter().position(|name| name == names::LEFT) {
        names.remove(at);
        remove(&dir.join(names::LEFT))?;
    }
    // The records go last, so that what is left over is still known for what it is; the one that knows of no way back at the end.
    let records = [names::RETURNING, names::COMMIT, names::MOVING];
    let pins = names.iter().map(String::as_str).filter(|name| !records.contains(name));
    for name in pins.chain(records) {
        open.unlink(name).trying(|| format!("can't remove `{}`", dir.join(name).display()))?;
    }
    bpffs::remove_dir(dir).trying(|| format!("can't remove `{}`", dir.display()))?;
    Ok(())
}
