//! After a crash at any point: what is pinned says how far an upgrade came, and it is completed or taken back.

use std::collections::BTreeSet;

use crate::error::{Error, Trying as _};
use crate::generation::records::{self, Commit, Recovered, Unfinished};
use crate::generation::site::Site;
use crate::generation::{derivation, directory, kept, names};
use crate::sys::bpffs;
use crate::transfer::migrate::Migrations;
use crate::upgrade::adopt::adopt;
use crate::upgrade::changeover::Changeover;
use crate::upgrade::discard;
use crate::upgrade::interrupted;
use crate::upgrade::report::Done;
use crate::upgrade::taken_back::LeftBehind;
use crate::upgrade::way_out::WayOut;

/// What was brought into order.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) recovered: Recovered,
    /// If something was completed: what was still to be done of it.
    pub(crate) done: Option<Done>,
    /// It was a roll-back.
    pub(crate) is_roll_back: bool,
    /// An upgrade was taken back that may have switched links.
    pub(crate) is_taken_back: bool,
    /// What is lost by either, or may be.
    pub(crate) left_behind: Vec<LeftBehind>,
}

impl Found {
    fn completed(commit: Commit, done: Done, may_lack: BTreeSet<String>, site: &Site, how: &str) -> Self {
        let is_back = commit.is_roll_back();
        let what = if is_back { "a roll-back" } else { "an upgrade" };
        tracing::warn!(dir = %site.dir.display(), "{what} had ended {how}");
        let left_behind = done.settled.iter().filter_map(|(name, settled, _)| LeftBehind::of(name, settled));
        Self {
            recovered: Recovered::Completed,
            left_behind: told(site, left_behind.collect(), may_lack),
            done: Some(done),
            is_roll_back: is_back,
            is_taken_back: false,
        }
    }

    fn taken_back(left_behind: Vec<LeftBehind>, may_lack: BTreeSet<String>, site: &Site, why: &str) -> Self {
        let dir = site.dir.display();
        tracing::warn!(%dir, "an upgrade had ended after its first link was switched; it was taken back, {why}");
        Self {
            recovered: Recovered::Discarded,
            left_behind: told(site, left_behind, may_lack),
            done: None,
            is_roll_back: false,
            is_taken_back: true,
        }
    }
}

/// With the maps of which the process that began it may have counted what is lost.
fn told(site: &Site, mut left_behind: Vec<LeftBehind>, mut may_lack: BTreeSet<String>) -> Vec<LeftBehind> {
    may_lack.retain(|map| left_behind.iter().all(|lost| lost.map != *map));
    left_behind.extend(may_lack.into_iter().map(|map| LeftBehind { map, entries: None, maybe: true }));
    left_behind.sort_by(|a, b| a.map.cmp(&b.map));
    left_behind.iter().for_each(|lost| tracing::warn!(dir = %site.dir.display(), "{lost}"));
    left_behind
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
    recover_by(site, migrations, None)
}

/// The same, with what somebody gives up so that it ends.
pub(crate) fn recover_by(site: &Site, migrations: &Migrations, way_out: Option<WayOut>) -> Result<Found, Error> {
    // Under the lock once more: what was there before may have gone, and something else come.
    site.check()?;
    adopt(site)?;
    let unfinished = records::unfinished(site)?;
    let resumed = |commit, is_moving| Changeover { site, migrations, commit, is_moving, is_resumed: true, way_out };
    if let (Some(Unfinished::Switching { commit, is_moving: false }), Some(WayOut::Discard)) = (unfinished, way_out) {
        let left_behind = resumed(commit, false).take_back()?;
        // It names all that were carried over.
        return Ok(Found::taken_back(left_behind, BTreeSet::new(), site, "as it was asked for"));
    }
    // While what tells it is there.
    let may_lack = unfinished.map(|unfinished| interrupted::may_lack(site, unfinished)).unwrap_or_default();
    if let Some(Unfinished::InPlace(commit) | Unfinished::Switching { commit, .. }) = unfinished
        && commit.is_roll_back()
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
            return Ok(Found::completed(commit, done, may_lack, site, "after its commit; the rest was done"));
        }
        Some(Unfinished::Switching { commit, is_moving }) => {
            let changeover = resumed(commit, is_moving);
            let lacking = lacks_code(site, migrations)?;
            if !lacking.is_empty() {
                let left_behind = changeover.take_back().map_err(|error| changeover.stays(error))?;
                let why = format!("as this program does not have the code that converts `{}`", lacking.join("`, `"));
                return Ok(Found::taken_back(left_behind, may_lack, site, &why));
            }
            let done = changeover.run()?;
            let how = "after its first link was switched; it was completed";
            return Ok(Found::completed(commit, done, may_lack, site, how));
        }
        Some(Unfinished::Staged) => {
            discard::discard(site)?;
            tracing::warn!(dir = %site.dir.display(), "an upgrade had ended before its first link was switched; it was taken back");
        }
        Some(Unfinished::Returning) => {
            for kept in kept::all(site)? {
                let record = kept.dir.join(names::RETURNING);
                bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
            }
            discard::remove_strays(&site.dir)?;
        }
        None => discard::remove_strays(&site.dir)?,
    }
    Ok(Found {
        recovered: Unfinished::will_be(unfinished),
        done: None,
        is_roll_back: false,
        is_taken_back: false,
        left_behind: Vec::new(),
    })
}
