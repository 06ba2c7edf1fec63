//! What an upgrade through a bind mount of the pins' directory has left in it. There is no place beside such a mount, so that the staged and
//! the kept generation lie within; from where the directory itself can be seen, they belong beside it.

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
    if let Some(prev) = site.prev_within()? {
        directory::remove(&site.prev)?;
        bpffs::rename_new(&prev, &site.prev).trying(|| format!("can't move `{}` out", prev.display()))?;
    }
    Ok(())
}
