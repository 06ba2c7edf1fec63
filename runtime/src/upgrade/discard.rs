//! Away with what is staged.

use crate::error::{Error, Trying as _};
use crate::generation::directory::{self, is_returning, list};
use crate::generation::meta::{self, Meta, MetaError};
use crate::generation::names;
use crate::generation::site::Site;
use crate::sys::Object;
use crate::sys::bpffs::{self, Dir};
use crate::upgrade::links::detach_vanished;
use crate::upgrade::report::Done;

/// Removes the programs that were pinned beside links which maplock had not made, for an upgrade that did not happen.
pub(crate) fn remove_strays(dir: &Dir) -> Result<(), Error> {
    let links = match Meta::read(dir) {
        Ok(meta) => meta.map(|meta| meta.links).unwrap_or_default(),
        Err(MetaError::Io(path, error)) => {
            return Err(Error::kernel(format!("can't read `{}`", path.display()), error));
        }
        // It can't be told whose they are.
        Err(_) => return Ok(()),
    };
    for name in list(dir)? {
        if name.strip_suffix(names::PROG).is_some_and(|hook| !links.contains(hook)) {
            let path = dir.join(&name);
            if matches!(directory::object_at(&path)?, Some(Object::Prog(_))) {
                bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
            }
        }
    }
    Ok(())
}

/// True for what a kept generation needs no more that does not return.
fn is_over(name: &str) -> bool {
    ![names::RETURNING, names::NEWER].contains(&name) && (name == names::RETURNED || names::is_scaffold(name))
}

/// Removes what is staged, and what staging put beside the live pins.
pub(crate) fn discard(site: &Site) -> Result<(), Error> {
    remove_strays(&site.dir)?;
    if !is_returning(&site.next)? {
        // New hooks end now: a link that goes with its last pin may run on for a while, on maps that a kept generation may have too.
        detach_vanished(&[&site.next], &site.dir, &mut Done::default())?;
        return directory::remove(&site.next);
    }
    directory::remove(&site.next.dir(names::LEFT))?;
    // Hooks that were attached again.
    detach_vanished(&[&site.next], &site.dir, &mut Done::default())?;
    // What a roll-back struck out is listed again.
    let whole = site.next.join(names::base_of(meta::NAME));
    if directory::is_there(&whole)? {
        let failed = || format!("can't put `{}` back", whole.display());
        bpffs::rename(&whole, &site.next.join(meta::NAME)).trying(failed)?;
    }
    for name in list(&site.next)?.iter().filter(|name| is_over(name)) {
        let path = site.next.join(name);
        bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
    }
    let place = directory::record(&site.next, names::RETURNING)?.and_then(|place| place.parse().ok()).unwrap_or(1);
    let place = site.place(place);
    bpffs::rename_new(&site.next, place).trying(|| format!("can't put `{}` back", place.display()))?;
    let record = place.join(names::RETURNING);
    bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display())).map(drop)
}
