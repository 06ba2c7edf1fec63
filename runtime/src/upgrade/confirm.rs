//! Away with what is kept.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::exclusive::Exclusive;
use crate::generation::site::Site;
use crate::generation::{directory, kept, names};
use crate::sys::bpffs;
use crate::transfer::migrate::Migrations;
use crate::upgrade::rollback::take_note;
use crate::upgrade::{recover, shown};

/// Removes all kept generations: their maps and programs go, and no way leads back to them. False if there was none.
///
/// # Errors
/// As [`Rollback::run`](crate::Rollback::run). That none is kept is no error.
pub fn confirm(dir: &Path, wait: Duration) -> Result<bool, Error> {
    Ok(confirm_but(0, dir, wait)? > 0)
}

/// As [`confirm`], but for so many that are the next before the live one. Those that a roll-back left go in any case. Says how many went.
///
/// # Errors
/// As [`confirm`].
pub fn confirm_but(keep: usize, dir: &Path, wait: Duration) -> Result<usize, Error> {
    let site = Site::at(dir)?;
    let _lock = Exclusive::lock(&site, wait)?;
    let lacking = recover::lacks_code(&site, &Migrations::default())?;
    if !lacking.is_empty() {
        // To take it back would be the opposite of what is asked for.
        let (dir, maps) = (site.dir.display(), lacking.join("`, `"));
        let message = format!(
            "an upgrade of `{dir}` ended at its commit, and only the daemon that has the code for `{maps}` can complete it: start that, or \
             take the upgrade back: maplock rollback {dir}"
        );
        return Err(Error::new(ErrorKind::Place, message));
    }
    recover::recover(&site, &Migrations::default())?;
    shown::check(&site)?;
    take_note(&site)?;
    let kept = kept::all(&site)?;
    let stay: Vec<_> = kept::stay(&kept, keep.saturating_add(1)).map(|kept| kept.place).collect();
    // The oldest first: what is left at any moment has no gap.
    for kept in kept.iter().rev().filter(|kept| !stay.contains(&kept.place)) {
        // Under the name of what is discarded at the next start: half of a generation is no way back.
        bpffs::rename_new(&kept.dir, &site.next).trying(|| format!("can't give up `{}`", kept.dir.display()))?;
        directory::remove(&site.next)?;
    }
    kept::close_up(&site)?;
    if stay.is_empty() {
        for name in directory::list(&site.dir)?.iter().filter(|name| names::map_of_derivation(name).is_some()) {
            let path = site.dir.join(name);
            bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
        }
    }
    Ok(kept.len() - stay.len())
}
