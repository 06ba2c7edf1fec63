//! After a crash at any point: what is pinned says how far an upgrade came, and it is completed or taken back.

use crate::error::{Error, Trying as _};
use crate::generation::names;
use crate::generation::records::{self, Commit, Recovered, Unfinished, What};
use crate::generation::site::Site;
use crate::sys::bpffs;
use crate::transfer::migrate::Migrations;
use crate::upgrade::changeover::Changeover;
use crate::upgrade::discard;
use crate::upgrade::report::Done;

/// What was brought into order.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// The roll-back that was completed, if one was, and what was still to be done of it.
    pub(crate) rolled_back: Option<Done>,
}

impl Found {
    fn completed(commit: Commit, done: Done, site: &Site, how: &str) -> Self {
        let is_back = commit.what == What::RollBack;
        let what = if is_back { "a roll-back" } else { "an upgrade" };
        tracing::warn!(dir = %site.dir.display(), "{what} had ended {how}");
        Self { recovered: Recovered::Completed, rolled_back: is_back.then_some(done) }
    }
}

/// Brings the generations at `site` into order.
pub(crate) fn recover(site: &Site, migrations: &Migrations) -> Result<Found, Error> {
    // Under the lock once more: what was there before may have gone, and something else come.
    site.check()?;
    let unfinished = records::unfinished(site)?;
    let resumed = |commit, is_moving| Changeover { site, migrations, commit, is_moving, is_resumed: true };
    match unfinished {
        Some(Unfinished::InPlace(commit)) => {
            let mut done = Done::default();
            resumed(commit, false).clean_up(&mut done)?;
            return Ok(Found::completed(commit, done, site, "after its commit; the rest was done"));
        }
        Some(Unfinished::Switching { commit, is_moving }) => {
            let done = resumed(commit, is_moving).run()?;
            return Ok(Found::completed(commit, done, site, "after its first link was switched; it was completed"));
        }
        Some(Unfinished::Staged) => {
            discard::discard(site)?;
            tracing::warn!(dir = %site.dir.display(), "an upgrade had ended before its first link was switched; it was taken back");
        }
        Some(Unfinished::Returning) => {
            let record = site.prev.join(names::RETURNING);
            bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
            discard::remove_strays(&site.dir)?;
        }
        None => discard::remove_strays(&site.dir)?,
    }
    Ok(Found { recovered: Unfinished::will_be(unfinished), rolled_back: None })
}
