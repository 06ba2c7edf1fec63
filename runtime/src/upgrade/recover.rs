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

/// What was brought into order.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// The roll-back that was completed, if one was, and what was still to be done of it.
    pub(crate) rolled_back: Option<Done>,
}

impl Found {
    fn completed(commit: Commit, done: Done, site: &Site, how: &str) -> Self {
        let what = if commit.is_back { "a roll-back" } else { "an upgrade" };
        tracing::warn!(dir = %site.dir.display(), "{what} had ended {how}");
        Self { recovered: Recovered::Completed, rolled_back: commit.is_back.then_some(done) }
    }
}

/// Brings the generations at `site` into order.
pub(crate) fn recover(site: &Site, migrations: &Migrations) -> Result<Found, Error> {
    // Under the lock once more: what was there before may have gone, and something else come.
    site.check()?;
    if let Some(commit) = changeover::commit_of(&site.dir)? {
        let mut done = Done::default();
        Changeover { site, migrations, each_pin: commit.each_pin, is_moving: false, is_resumed: true }
            .clean_up(&mut done)?;
        return Ok(Found::completed(commit, done, site, "after its commit; the rest was done"));
    }
    if let Some(commit) = changeover::commit_of(&site.next)? {
        let is_moving = changeover::has_record(&site.next, site::MOVING)?;
        let done = Changeover { site, migrations, each_pin: commit.each_pin, is_moving, is_resumed: true }.run()?;
        return Ok(Found::completed(commit, done, site, "after its first link was switched; it was completed"));
    }
    if changeover::is_there(&site.next)? {
        changeover::discard(site)?;
        tracing::warn!(dir = %site.dir.display(), "an upgrade had ended before its first link was switched; it was taken back");
        return Ok(Found { recovered: Recovered::Discarded, rolled_back: None });
    }
    let mut recovered = Recovered::Nothing;
    if changeover::is_returning(&site.prev)? {
        let record = site.prev.join(site::RETURNING);
        bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
        recovered = Recovered::Discarded;
    }
    changeover::remove_strays(&site.dir)?;
    Ok(Found { recovered, rolled_back: None })
}
