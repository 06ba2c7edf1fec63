//! What an upgrade through a bind mount of the pins' directory has left in it. There is no place beside such a mount, so that the staged and
//! the kept generations lie within; from where the directory itself can be seen, they belong beside it.

use crate::error::{Error, Trying as _};
use crate::generation::directory;
use crate::generation::site::Site;
use crate::sys::bpffs;

/// Puts them there. What is beside it already is of before: nobody comes by here without doing this first.
pub(super) fn adopt(site: &Site) -> Result<(), Error> {
    if let Some(next) = site.next_within()?
        && !directory::is_there(&site.next)?
    {
        bpffs::rename_new(&next, &site.next).trying(|| format!("can't move `{}` out", next.display()))?;
    }
    if let Some(over) = site.over_within()? {
        directory::remove(&over)?;
    }
    let kept = site.kept_within()?;
    let Some((last, _)) = kept.last() else { return Ok(()) };
    // The last one is moved last, so that whoever goes on after a crash knows as well what is of before.
    for of_before in site.places.iter().skip(*last).rev() {
        directory::remove(of_before)?;
    }
    for (place, dir) in &kept {
        let beside = site.place(*place);
        directory::remove(beside)?;
        bpffs::rename_new(dir, beside).trying(|| format!("can't move `{}` out", dir.display()))?;
    }
    Ok(())
}
