//! The names that the staged generation needs in the live directory, and who has them.

use rustix::fs::FileType;

use crate::error::{Error, ErrorKind};
use crate::generation::directory::{belongs, is_there, link_at, list, lstat, meta_of, object_at, same_pin};
use crate::generation::meta::Meta;
use crate::generation::names;
use crate::generation::site::Site;
use crate::inspect::Inventory;
use crate::plan::{Action, Plan};
use crate::sys::bpffs::{Dir, Named as _, Pin};
use crate::sys::{Link, Object};

/// Refuses each map whose name is taken by something that is no map. Says so of the first one.
pub(super) fn refuse_taken(plan: &mut Plan, live: &Inventory) -> Option<Error> {
    let mut first = None;
    for map in &mut plan.maps {
        let (Some(new), pin) = (map.action.new_map().cloned(), names::pin_name(&map.map)) else { continue };
        let Some(kind) = live.kind_of(&pin).filter(|kind| *kind != Inventory::MAP) else { continue };
        map.action = Action::Refuse { live: map.action.live().cloned(), new: Some(new) };
        map.why = format!("its name is taken by a {kind}; find out whose that is, and move it away");
        map.findings.clear();
        first.get_or_insert_with(|| {
            let path = live.dir.join(&pin);
            let message = format!(
                "`{}` is a {kind}, and map `{}` is to be pinned there; find out whose that is, and move it away",
                path.display(),
                map.map
            );
            Error::new(ErrorKind::Refused, message)
        });
    }
    first
}

/// The link of the live generation that is pinned under the name of a hook. Without a meta map, whichever is.
pub(super) fn live_link(dir: &Dir, meta: Option<&Meta>, hook: &str) -> Result<Option<Link>, Error> {
    match link_at(&dir.join(hook))? {
        Some(_) if meta.is_some_and(|meta| !meta.links.contains(hook)) => Err(taken(&dir.join(hook), "a link")),
        link => Ok(link),
    }
}

/// Nothing of somebody else's has the name of what is staged: it would be displaced, and a link detached.
pub(super) fn check(Site { dir, next, .. }: &Site, is_planned: bool) -> Result<(), Error> {
    let old = meta_of(dir)?;
    for name in list(next)?.iter().filter(|name| !names::is_own(name)) {
        let (staged, live) = (next.join(name), dir.join(name));
        if !is_there(&live)? || same_pin(&staged, &live)? {
            continue;
        }
        let is_ours = match (object_at(&staged)?, object_at(&live)?) {
            // The plan says what becomes of it.
            (Some(Object::Map(_)), Some(Object::Map(_))) if is_planned => true,
            (Some(Object::Map(_)), Some(Object::Map(_))) | (Some(Object::Link(_)), Some(Object::Link(_)))
                if old.is_none() =>
            {
                true
            }
            _ => match &old {
                Some(old) => belongs(dir, old, name)?,
                None => false,
            },
        };
        if !is_ours {
            return Err(taken(&live, kind(&live)?));
        }
    }
    Ok(())
}

fn kind(pin: &Pin) -> Result<&'static str, Error> {
    Ok(match object_at(pin)? {
        Some(Object::Map(_)) => "a map",
        Some(Object::Prog(_)) => "a program",
        Some(Object::Link(_)) => "a link",
        None => match lstat(pin)?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Some(FileType::Directory) => "a directory",
            _ => "a symbolic link",
        },
    })
}

fn taken(pin: &Pin, what: &str) -> Error {
    let message = format!(
        "`{}` is {what} that is not of the live generation, and this one has another to pin under that name; find out whose it is, \
         and move it away",
        pin.path().display()
    );
    Error::new(ErrorKind::Place, message)
}
