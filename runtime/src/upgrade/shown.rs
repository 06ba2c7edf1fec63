//! Whether a directory shows the live generation. A bind mount of it goes on to show what was live when it was made.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory::{hooks_in, link_at, list, lstat, object_at};
use crate::generation::names;
use crate::generation::site::Site;
use crate::sys::bpffs::Dir;
use crate::sys::{Map, Object, Prog};
use crate::upgrade::links::is_gone;

/// The only entry of the lock's map: the inode of the live directory, 0 before the first exchange.
const LIVE: [u8; 4] = [0; 4];

/// Writes down which directory is live, or is about to be.
pub(super) fn is_to_be_live(dir: &Dir) -> Result<(), Error> {
    let Some(lock) = lock_in(dir)? else { return Ok(()) };
    let failed = || format!("can't write to `{}`", dir.join(names::LOCK).display());
    let inode = lstat(dir)?.map_or(0, |stat| stat.st_ino);
    lock.update(&LIVE, &inode.to_ne_bytes(), 0).trying(failed)
}

/// The map that is locked, if it is one.
fn lock_in(dir: &Dir) -> Result<Option<Map>, Error> {
    match object_at(&dir.join(names::LOCK))? {
        Some(Object::Map(map)) if map.value_bytes() == 8 && map.info().key_size == 4 => Ok(Some(map)),
        _ => Ok(None),
    }
}

/// Refuses a directory in whose place another one was put: an upgrade would begin at maps that nothing writes any more. What a crash
/// left is brought into order before this is asked.
pub(super) fn check(site: &Site) -> Result<(), Error> {
    let Some(here) = lstat(&site.dir)? else { return Ok(()) };
    if let Some(lock) = lock_in(&site.dir)? {
        let failed = || format!("can't read `{}`", site.dir.join(names::LOCK).display());
        let said = lock.lookup(&LIVE).trying(failed)?.and_then(|value| value.try_into().ok());
        if said.map(u64::from_ne_bytes).is_some_and(|inode| ![0, here.st_ino].contains(&inode)) {
            let lock = site.dir.join(names::LOCK);
            let why = format!(
                "another one was put in its place (if somebody put this one back by hand: rm {})",
                lock.display()
            );
            return Err(not_live(site, &why));
        }
    }
    Ok(())
}

/// Refuses a directory whose links run programs of another generation.
pub(super) fn check_links(site: &Site) -> Result<(), Error> {
    let mut own: Option<(BTreeSet<u32>, BTreeMap<String, u32>)> = None;
    for hook in hooks_in(&site.dir)? {
        let failed = || format!("can't look at hook `{hook}`");
        let (Some(link), Some(Object::Prog(prog))) =
            (link_at(&site.dir.join(&hook))?, object_at(&site.dir.join(names::prog_of(&hook)))?)
        else {
            continue;
        };
        let running = link.info().trying(failed)?.prog_id;
        if running == prog.info().trying(failed)?.id || is_gone(&link) {
            continue;
        }
        // Ids can't be looked up without CAP_SYS_ADMIN; then the lock's word has to do.
        let Ok(uses) = Prog::from_id(running).and_then(|prog| prog.info()) else { continue };
        let (ids, names) = match &own {
            Some(own) => own,
            None => own.insert(maps_of(&site.dir)?),
        };
        // Another map of the name of one of these: that of a later generation.
        let others = uses.map_ids.iter().filter(|id| !ids.contains(id)).filter_map(|id| Map::from_id(*id).ok());
        if let Some(other) = others.into_iter().find(|map| names.contains_key(&map.info().name)) {
            let what = format!(
                "the link of hook `{hook}` runs a program of another one, with a map `{}` of id {}, which is {} here",
                other.info().name,
                other.info().id,
                names[&other.info().name]
            );
            return Err(not_live(site, &what));
        }
    }
    Ok(())
}

/// The maps of a generation: their ids, and by the names that the kernel has for them.
fn maps_of(dir: &Dir) -> Result<(BTreeSet<u32>, BTreeMap<String, u32>), Error> {
    let (mut ids, mut by_name) = (BTreeSet::new(), BTreeMap::new());
    for name in list(dir)?.iter().filter(|name| !names::is_own(name)) {
        if let Some(Object::Map(map)) = object_at(&dir.join(name))? {
            ids.insert(map.info().id);
            by_name.insert(map.info().name.clone(), map.info().id);
        }
    }
    by_name.remove("");
    Ok((ids, by_name))
}

fn not_live(site: &Site, why: &str) -> Error {
    let dir = site.dir.display();
    let seen =
        if site.is_root { "it is mounted there, as by a bind mount" } else { "it may be seen through a bind mount" };
    let message = format!(
        "`{dir}` shows a generation that is not live: {why}; {seen}, which goes on to show a directory that was exchanged: mount the \
         directory that holds the pins' directory instead"
    );
    Error::new(ErrorKind::Place, message)
}
