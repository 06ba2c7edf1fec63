//! After a crash at any point: what is pinned says how far an upgrade came, and it is completed or taken back.

use crate::error::Error;
use crate::error::Trying as _;
use crate::generation::site::{self, Site};
use crate::sys::bpffs;
use crate::transfer::migrate::Migrations;
use crate::upgrade::changeover::{self, Changeover, Commit, Done};

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

/// The commit that was interrupted at `site`, if one was.
pub(crate) fn interrupted(site: &Site) -> Result<Option<Commit>, Error> {
    Ok(changeover::commit_of(&site.dir)?.or(changeover::commit_of(&site.next)?))
}

/// Brings the generations at `site` into order.
pub(crate) fn recover(site: &Site, migrations: &Migrations) -> Result<Recovered, Error> {
    if let Some(commit) = changeover::commit_of(&site.dir)? {
        Changeover { site, migrations, each_pin: commit.each_pin, is_moving: false, is_resumed: true }
            .clean_up(&mut Done::default())?;
        tracing::warn!(dir = %site.dir.display(), "an upgrade had ended after its commit; the rest was done");
        return Ok(Recovered::Completed);
    }
    if let Some(commit) = changeover::commit_of(&site.next)? {
        let is_moving = changeover::has_record(&site.next, site::MOVING)?;
        Changeover { site, migrations, each_pin: commit.each_pin, is_moving, is_resumed: true }.run()?;
        tracing::warn!(dir = %site.dir.display(), "an upgrade had ended after its first link was switched; it was completed");
        return Ok(Recovered::Completed);
    }
    if changeover::is_there(&site.next)? {
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
    changeover::remove_strays(&site.dir)?;
    Ok(recovered)
}
