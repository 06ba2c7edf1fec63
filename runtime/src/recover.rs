//! After a crash at any point: what is pinned says how far an upgrade came, and it is completed or taken back.

use crate::changeover::{self, Changeover, Done};
use crate::error::Error;
use crate::error::Trying as _;
use crate::site::{self, Site};
use crate::sys::bpffs;

/// What was found of an upgrade that did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing: the last one ended.
    Nothing,
    /// It had begun to switch links, and was completed.
    Completed,
    /// It had not, and what it had staged was removed.
    Discarded,
}

/// Brings the generations at `site` into order.
pub(crate) fn recover(site: &Site, each_pin: bool) -> Result<Recovered, Error> {
    let changeover = Changeover { site, each_pin };
    if changeover::has_record(&site.dir, site::COMMIT)? {
        changeover.clean_up(&mut Done::default())?;
        tracing::warn!(dir = %site.dir.display(), "an upgrade had ended after its commit; the rest was done");
        return Ok(Recovered::Completed);
    }
    if changeover::has_record(&site.next, site::COMMIT)? {
        changeover.run()?;
        tracing::warn!(dir = %site.dir.display(), "an upgrade had ended after its first link was switched; it was completed");
        return Ok(Recovered::Completed);
    }
    if site.next.exists() {
        changeover::discard(site)?;
        tracing::warn!(dir = %site.dir.display(), "an upgrade had ended before its first link was switched; it was taken back");
        return Ok(Recovered::Discarded);
    }
    let mut recovered = Recovered::Nothing;
    if changeover::is_returning(&site.prev)? {
        let record = site.prev.join(site::RETURNING);
        bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
        recovered = Recovered::Discarded;
    }
    // Programs that were pinned for an upgrade from a generation that maplock has not made.
    if site.dir.exists() && changeover::meta_of(&site.dir)?.is_none() {
        changeover::discard(site)?;
    }
    Ok(recovered)
}
