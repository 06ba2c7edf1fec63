//! A kept generation that is not whole any more.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory;
use crate::generation::kept::Kept;
use crate::generation::meta;
use crate::generation::missing::Missing;
use crate::generation::names::{self, pin_name};
use crate::generation::site::Site;
use crate::sys::bpffs::{self, Named as _};

/// The maps of a kept generation whose pins somebody removed.
///
/// # Errors
/// If one of them is not among those that the caller does `without`; if one of those is no such map, and the way has no other step, to
/// a `goal`, that it may be for.
pub(crate) fn of_kept(
    site: &Site,
    kept: &Kept,
    without: &BTreeSet<String>,
    goal: Option<u64>,
) -> Result<Vec<Missing>, Error> {
    let prev = &kept.dir;
    let names = directory::list(prev)?;
    let meta = directory::meta_of(prev)?.unwrap_or_default();
    let missing = Missing::of(&meta, |pin| names.iter().any(|name| name == pin));
    let is_missing = |map: &String| missing.iter().any(|missing| missing.map == *map);
    if let Some(map) = without.iter().find(|map| goal.is_none() && !is_missing(map)) {
        let message = match meta.maps.contains_key(map) {
            true => format!("map `{map}` is pinned in `{}`: a roll-back does not go without it", prev.display()),
            false => format!("the generation at `{}` has no map `{map}`", prev.display()),
        };
        return Err(Error::new(ErrorKind::Usage, message));
    }
    if let Some(first) = missing.iter().find(|missing| !without.contains(&missing.map)) {
        let Missing { map, id, .. } = first;
        let message = format!(
            "somebody removed the pin `{}` of map `{map}` (id {id}) from the kept generation; {}; to go back without it, so that the \
             older release makes an empty one: maplock rollback {}{} --without {map}",
            prev.join(pin_name(map)).display(),
            first.remedy(prev.path()),
            site.dir.display(),
            goal.map(|goal| format!(" --to {goal}")).unwrap_or_default()
        );
        return Err(Error::new(ErrorKind::Place, message));
    }
    Ok(missing)
}

/// The staged generation does not list maps any more that it goes without: the older release makes them.
pub(crate) fn strike_out(site: &Site, missing: &[Missing]) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let next = &site.next;
    let Some(mut meta) = directory::meta_of(next)? else { return Ok(()) };
    for map in missing {
        meta.maps.remove(&map.map);
        meta.renamed.remove(&map.map);
        meta.lock.maps.remove(&map.map);
    }
    // The whole one stays beside it until the roll-back is done: one that fails leaves the kept generation as it was.
    let (pin, whole) = (next.join(meta::NAME), next.join(names::base_of(meta::NAME)));
    let failed = || format!("can't write `{}`", pin.display());
    bpffs::unlink(&whole).trying(failed)?;
    bpffs::hard_link(&pin, &whole).trying(failed)?;
    meta.write(next).trying(failed)?;
    directory::keep_owner_and_mode(&whole, &pin)
}
