//! After a crash at any point: what is pinned says how far an upgrade came, and it is completed or taken back.

use crate::error::{Error, Trying as _};
use crate::generation::records::{self, Commit, Recovered, Unfinished, What};
use crate::generation::site::Site;
use crate::generation::{derivation, directory, names};
use crate::sys::bpffs;
use crate::transfer::migrate::Migrations;
use crate::upgrade::adopt::adopt;
use crate::upgrade::changeover::Changeover;
use crate::upgrade::discard;
use crate::upgrade::report::Done;
use crate::upgrade::taken_back::LeftBehind;

/// What was brought into order.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// The roll-back that was completed, if one was, and what was still to be done of it.
    pub(crate) rolled_back: Option<Done>,
    /// Where an upgrade was taken back that may have switched links: what is lost by that.
    pub(crate) taken_back: Option<Vec<LeftBehind>>,
}

impl Found {
    fn completed(commit: Commit, done: Done, site: &Site, how: &str) -> Self {
        let is_back = commit.what == What::RollBack;
        let what = if is_back { "a roll-back" } else { "an upgrade" };
        tracing::warn!(dir = %site.dir.display(), "{what} had ended {how}");
        Self { recovered: Recovered::Completed, rolled_back: is_back.then_some(done), taken_back: None }
    }
}

/// The maps of an upgrade that did not end whose entries only code converts that this program does not have: it would be taken back.
pub(crate) fn lacks_code(site: &Site, migrations: &Migrations) -> Result<Vec<String>, Error> {
    site.check()?;
    adopt(site)?;
    match records::unfinished(site)? {
        Some(Unfinished::Switching { commit, is_moving: false }) => {
            derivation::lacks_code(&site.next, commit, migrations)
        }
        _ => Ok(Vec::new()),
    }
}

/// Brings the generations at `site` into order.
pub(crate) fn recover(site: &Site, migrations: &Migrations) -> Result<Found, Error> {
    // Under the lock once more: what was there before may have gone, and something else come.
    site.check()?;
    adopt(site)?;
    let unfinished = records::unfinished(site)?;
    let resumed = |commit, is_moving| Changeover { site, migrations, commit, is_moving, is_resumed: true };
    if let Some(Unfinished::InPlace(commit) | Unfinished::Switching { commit, .. }) = unfinished
        && commit.what == What::RollBack
    {
        // Before it can be over: who calls it again wants to be where it leads to, and not to go back from there.
        let coming = if matches!(unfinished, Some(Unfinished::InPlace(_))) { &site.dir } else { &site.next };
        if !directory::has_record(coming, names::RETURNED)? {
            let record = coming.join(names::RETURNED);
            bpffs::write_record(&record, "1").trying(|| format!("can't write `{}`", record.display()))?;
        }
    }
    match unfinished {
        Some(Unfinished::InPlace(commit)) => {
            let mut done = Done::default();
            resumed(commit, false).clean_up(&mut done)?;
            return Ok(Found::completed(commit, done, site, "after its commit; the rest was done"));
        }
        Some(Unfinished::Switching { commit, is_moving }) => {
            let changeover = resumed(commit, is_moving);
            let lacking = lacks_code(site, migrations)?;
            if !lacking.is_empty() {
                let left_behind = changeover.take_back()?;
                let (dir, maps) = (site.dir.display(), lacking.join("`, `"));
                tracing::warn!(
                    %dir,
                    "an upgrade had ended after its first link was switched; it was taken back, as this program does not have the \
                     code that converts `{maps}`"
                );
                left_behind.iter().for_each(|lost| tracing::warn!(%dir, "{lost}"));
                return Ok(Found { recovered: Recovered::Discarded, rolled_back: None, taken_back: Some(left_behind) });
            }
            let done = changeover.run()?;
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
    Ok(Found { recovered: Unfinished::will_be(unfinished), rolled_back: None, taken_back: None })
}
