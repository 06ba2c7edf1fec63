//! From one generation to the next, by what lies in the two directories alone.
//!
//! A staged generation that holds the record `commit@record` is complete: programs pinned, links pinned, entries copied. From
//! then on each step can be done again, so that a commit and the recovery from a crash in the middle of one are the same code.
//! What takes long and can be done first, loading the programs that settle, is done before the first step.
//!
//! 1. every link of the staged generation runs the program that is pinned beside it (`BPF_LINK_UPDATE`);
//! 2. a grace period: no program of the old generation runs any more;
//! 3. what the old programs wrote since the copy is settled, map by map;
//! 4. the two directories are exchanged, or the pins renamed one by one;
//! 5. links that the new generation does not have are detached, and what was needed for the way only is removed.

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::derivation::{Derivation, staged_transfers};
use crate::generation::directory::{
    self, belongs, has_record, hooks_in, is_of, is_there, link_at, list, meta_of, same_pin,
};
use crate::generation::kept;
use crate::generation::meta::Meta;
use crate::generation::names;
use crate::generation::records::{Commit, What};
use crate::generation::site::Site;
use crate::sys::bpffs::{self, Dir};
use crate::transfer::migrate::Migrations;
use crate::transfer::{Prepared, Settled, TransferError};
use crate::upgrade::discard;
use crate::upgrade::links::{detach_vanished, grace_period, is_gone, open_link, switch};
use crate::upgrade::report::{Done, LinkReport};
use crate::upgrade::settle::{Open, Settling, unsettled};
use crate::upgrade::shown;
use crate::upgrade::taken_back::LeftBehind;
use crate::upgrade::way_out::WayOut;

/// Goes on with the staged generation, which is complete.
pub(crate) struct Changeover<'a> {
    pub(crate) site: &'a Site,
    /// Conversions by hand that this program has.
    pub(crate) migrations: &'a Migrations,
    /// What its record says.
    pub(crate) commit: Commit,
    /// The first pin was moved already, so that there is no way back, and nothing to switch or settle any more.
    pub(crate) is_moving: bool,
    /// Another process began it, and may have settled some of the maps.
    pub(crate) is_resumed: bool,
    /// What somebody gives up so that it ends.
    pub(crate) way_out: Option<WayOut>,
}

impl Changeover<'_> {
    /// All steps. If one of the first three fails, the live generation is what it was.
    pub(crate) fn run(&self) -> Result<Done, Error> {
        let mut done = Done { is_settling: self.is_resumed, ..Done::default() };
        let mut start = Instant::now();
        if !self.is_moving {
            start = match self.switch_and_settle(&mut done) {
                Ok(start) => start,
                Err(error) => {
                    return Err(match self.undo(done.is_settling) {
                        Ok(lost) => lost.iter().fold(error, |error, lost| error.and(&format!("; {lost}"))),
                        Err(worse) => error.and(&format!("; and going back failed as well: {}", self.stays(worse))),
                    });
                }
            };
        }
        let what = if self.commit.is_roll_back() { "roll-back" } else { "upgrade" };
        self.exchange().map_err(|error| {
            let out = self.way_out_of_exchange();
            error.and(&format!("; the programs of the {what} run already, and the next start completes it{out}"))
        })?;
        done.window = start.elapsed();
        self.clean_up(&mut done).map_err(|error| {
            error.and(&format!("; the {what} is done, and the next start removes what is left of the way there"))
        })?;
        Ok(done)
    }

    /// What going back failed with, and what is there then.
    pub(crate) fn stays(&self, error: Error) -> Error {
        let out = self.way_out("give up what can't be carried over");
        error.and(&format!(
            "; what is staged stays in `{}`, and the next start tries again{out}",
            self.site.next.display()
        ))
    }

    /// For those who see the same error at each start: to discard is a way out of all but the error of a discard itself.
    fn way_out(&self, what: &str) -> String {
        if !self.is_resumed || self.way_out == Some(WayOut::Discard) {
            return String::new();
        }
        format!("; if that fails too, {what}: maplock recover {} --discard", self.site.dir.display())
    }

    /// The same, if the pins don't come into their places. Once the first was moved, no way leads back.
    fn way_out_of_exchange(&self) -> String {
        match has_record(&self.site.next, names::MOVING) {
            Ok(false) => {
                self.way_out("go back, and give up what they wrote to maps that were copied or converted for them")
            }
            _ => String::new(),
        }
    }

    /// Returns when the first link was switched.
    fn switch_and_settle(&self, done: &mut Done) -> Result<Instant, Error> {
        let next = &self.site.next;
        let records = self.staged_transfers()?;
        let mut derived = Vec::new();
        for (name, record) in &records {
            match record.open(&self.site.dir.join(record.old_name(name)), next, name, self.migrations)? {
                Some(open) => derived.push((name, open)),
                None => tracing::warn!(map = name, "the map that it was copied from is gone"),
            }
        }
        let mut prepared = derived
            .iter()
            .map(|(name, open)| open.prepare(self.settling(false)).map_err(|error| unsettled(name, error)))
            .collect::<Result<Vec<_>, _>>()?;
        if !self.is_resumed {
            prepared.iter_mut().for_each(Prepared::catch_up);
        }
        let start = Instant::now();
        for hook in hooks_in(next)? {
            let link = open_link(&next.join(&hook))?;
            match switch(&link, &next.join(names::prog_of(&hook)), &self.site.dir, &hook) {
                Ok(true) => {
                    tracing::info!(hook, "link switched to the new program");
                    done.links.push(LinkReport { link: hook, what: "updated" });
                }
                Ok(false) => {}
                // Nothing runs there; the next upgrade attaches it where it is to be then.
                Err(error) if is_gone(&link) => tracing::warn!(hook, %error, "what the link was attached to is gone"),
                Err(error) => return Err(error),
            }
        }
        grace_period()?;
        done.is_settling = true;
        for ((name, open), prepared) in derived.iter().zip(&prepared) {
            let started = Instant::now();
            let settled = self.settle(open, prepared, false).map_err(|error| unsettled(name, error))?;
            tracing::info!(map = name, ?settled, "settled what the old programs wrote since the copy");
            done.settled.push(((*name).clone(), settled, started.elapsed()));
        }
        Ok(start)
    }

    fn settling(&self, back: bool) -> Settling {
        Settling { back, by_calls: self.way_out == Some(WayOut::ByCalls) }
    }

    /// Settles a map. If programs fail once more after a crash, system calls do it: an error that comes each time would keep each start
    /// from its end.
    fn settle(&self, open: &Open<'_>, prepared: &Prepared<'_>, back: bool) -> Result<Settled, TransferError> {
        let how = self.settling(back);
        match open.settle(prepared, how) {
            Err(error @ TransferError::Kernel { .. }) if self.is_resumed && !how.by_calls => {
                tracing::warn!(%error, "what was written since the copy is brought over by system calls");
                let how = Settling { by_calls: true, ..how };
                open.settle(&open.prepare(how)?, how)
            }
            settled => settled,
        }
    }

    /// How the staged maps were derived from the live ones.
    fn staged_transfers(&self) -> Result<Vec<(String, Derivation)>, Error> {
        staged_transfers(&self.site.next, self.commit)
    }

    /// Back to the live generation, of an upgrade that another process began. Says what is lost by that.
    pub(crate) fn take_back(&self) -> Result<Vec<LeftBehind>, Error> {
        self.undo(true)
    }

    /// Back to the live generation: links first, then what the new programs wrote, then the staged pins go. Says what is not carried back.
    fn undo(&self, is_settling: bool) -> Result<Vec<LeftBehind>, Error> {
        let mut left_behind = Vec::new();
        let (dir, next) = (&self.site.dir, &self.site.next);
        let staged = hooks_in(next)?;
        let mut switched = false;
        for hook in hooks_in(dir)? {
            let path = dir.join(&hook);
            // By its link: it may have another name there.
            let mut goes_on = false;
            for staged in &staged {
                goes_on |= same_pin(&path, &next.join(staged))?;
            }
            if !goes_on {
                continue;
            }
            // A link whose device or cgroup is gone can't be switched, and needs not be.
            if let Some(link) = link_at(&path)? {
                switched |= match switch(&link, &dir.join(names::prog_of(&hook)), next, &hook) {
                    Err(_) if is_gone(&link) => false,
                    result => result?,
                };
            }
        }
        // New hooks end; programs of theirs may still run.
        let mut ended = Done::default();
        detach_vanished(&[next], dir, &mut ended)?;
        if self.way_out == Some(WayOut::Discard) {
            let staged = list(next)?;
            let derived = staged.iter().filter_map(|name| names::map_of_derivation(name));
            let derived = derived.filter(|(_, came)| self.commit.came() == Some(*came));
            let maps: BTreeSet<_> = derived.map(|(map, _)| map).collect();
            left_behind.extend(maps.into_iter().map(str::to_owned).map(|map| LeftBehind {
                map,
                entries: None,
                maybe: false,
            }));
        } else if switched || is_settling || !ended.links.is_empty() {
            // Without a link of both generations, a map may have been settled all the same.
            grace_period()?;
            for (name, record) in self.staged_transfers()? {
                let Some(staged) = record.open(&dir.join(record.old_name(&name)), next, &name, self.migrations)? else {
                    continue;
                };
                let prepared = staged.prepare(self.settling(true));
                let settled = prepared.and_then(|prepared| self.settle(&staged, &prepared, true));
                match settled {
                    // The old map is whole all the same: entries are converted without taking anything out of it.
                    Err(error @ TransferError::NoWayBack { .. }) => {
                        tracing::debug!(map = name, %error, "what the new programs wrote is not carried back");
                        left_behind.push(LeftBehind { map: name, entries: None, maybe: false });
                    }
                    // What fits is back. The old map would have had no room for the rest either; to give up here would be to try for
                    // ever.
                    Err(error @ TransferError::Full { failed, .. }) => {
                        tracing::error!(map = name, %error, "entries of the new programs are lost");
                        left_behind.push(LeftBehind { map: name, entries: Some(failed), maybe: false });
                    }
                    result => {
                        let settled = result.map_err(|error| unsettled(&name, error))?;
                        if settled.kept_new + settled.not_carried > 0 {
                            left_behind.push(LeftBehind { map: name, entries: None, maybe: false });
                        } else {
                            left_behind.extend(LeftBehind::of(&name, &settled));
                        }
                    }
                }
            }
        }
        // Whoever was killed just before the exchange has written down that the staged one is live.
        shown::is_to_be_live(dir)?;
        // Before anything of it is removed: what is incomplete must not look complete to the next start.
        let record = next.join(names::COMMIT);
        bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
        discard::discard(self.site)?;
        Ok(left_behind)
    }

    /// The staged generation becomes the live one.
    fn exchange(&self) -> Result<(), Error> {
        let Site { dir, next, .. } = self.site;
        let failed = || format!("can't put `{}` in the place of `{}`", next.display(), dir.display());
        if !self.site.is_root && !is_there(dir)? {
            shown::is_to_be_live(next)?;
            return bpffs::rename_new(next, dir).trying(failed);
        }
        if !(self.commit.each_pin || self.site.is_root || self.is_moving) {
            shown::is_to_be_live(next)?;
            match exchange_checked(next, dir) {
                Ok(()) => return Ok(()),
                // Before Linux 5.16, bpffs has no exchange. A plan says so before, where something tells.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    tracing::warn!("this kernel can't exchange directories on bpffs; the pins are renamed one by one");
                }
                Err(error) => return Err(error).trying(failed),
            }
        }
        shown::is_to_be_live(dir)?;
        self.move_each_pin()
    }

    /// Where the old generation is while the pins are moved one by one: with what is staged, so that whoever takes that back finds the kept
    /// generation as it was.
    fn left(&self) -> Dir {
        self.site.next.dir(names::LEFT)
    }

    /// Keeps the old generation as hard links, then renames each staged pin over the live one: no path is ever absent.
    fn move_each_pin(&self) -> Result<(), Error> {
        let (Site { dir, next, .. }, moving) = (self.site, self.is_moving);
        let left = self.left();
        let failed = |name: &str| format!("can't move `{name}` from `{}` to `{}`", next.display(), dir.display());
        let old = match moving {
            true => meta_of(&left)?,
            false => meta_of(dir)?,
        };
        let staged = list(next)?;
        // Pins that no generation speaks of, and that the new one has taken over under another name or given up.
        let is_former = |new: &Option<Meta>, name: &String| new.as_ref().is_some_and(|new| new.former.contains(name));
        let coming = meta_of(next)?;
        let in_old = |name: &String| match &old {
            None => Ok(staged.contains(name)
                || is_former(&coming, name)
                || names::is_own(name) && !names::is_scaffold(name)),
            Some(old) => belongs(dir, old, name),
        };
        if !moving {
            directory::remove(&left)?;
            if !bpffs::make_dir(&left).trying(|| format!("can't make `{}`", left.display()))? {
                let message = format!("`{}` was put there by somebody else meanwhile; remove it", left.display());
                return Err(Error::new(ErrorKind::Place, message));
            }
            if !self.site.is_root {
                bpffs::copy_owner_and_mode(dir, &left)
                    .trying(|| format!("can't set owner and mode of `{}`", left.display()))?;
            }
            for name in &list(dir)? {
                if !in_old(name)? {
                    continue;
                }
                bpffs::hard_link(&dir.join(name), &left.join(name)).trying(|| failed(name))?;
            }
            let commit = Commit { each_pin: true, ..self.commit };
            bpffs::write_record(&next.join(names::MOVING), &commit.to_text()).trying(|| failed(names::MOVING))?;
        }
        for name in staged.iter().filter(|name| !names::is_scaffold(name)) {
            let (from, to) = (next.join(name), dir.join(name));
            if same_pin(&from, &to)? {
                bpffs::unlink(&from).trying(|| failed(name))?;
            } else {
                bpffs::rename(&from, &to).trying(|| failed(name))?;
            }
        }
        // What the old generation had and the new one has not. By now the new meta map is in its place.
        let new = meta_of(dir)?;
        if old.is_none() {
            for name in list(dir)?.iter().filter(|name| is_former(&new, name)) {
                if !new.as_ref().is_some_and(|new| is_of(new, name)) && same_pin(&dir.join(name), &left.join(name))? {
                    bpffs::unlink(&dir.join(name)).trying(|| failed(name))?;
                }
            }
        }
        if let (Some(old), Some(new)) = (&old, &new) {
            for name in list(dir)?.iter().filter(|name| is_of(old, name)) {
                // How an old map was derived is not how the new one was, which may have no such record.
                let is_record = name == names::HISTORY
                    || self.commit.what != What::Restart && names::map_of_derivation(name).is_some();
                let is_over = !is_of(new, name) || is_record && same_pin(&dir.join(name), &left.join(name))?;
                if is_over && belongs(dir, old, name)? {
                    bpffs::unlink(&dir.join(name)).trying(|| failed(name))?;
                }
            }
        }
        Ok(())
    }

    /// The old generation is kept, or goes. Links that the new one has not are detached, and noted in all that are kept.
    fn keep(&self, old: &Dir, done: &mut Done) -> Result<(), Error> {
        let site = self.site;
        // Where it is kept already, room was made for it before, and it is one of those that stay.
        let is_there = is_there(old)?;
        if let (What::Upgrade { keep }, true) = (self.commit.what, is_there) {
            kept::give_up(site, keep)?;
        }
        let kept = kept::all(site)?;
        let all: Vec<_> = std::iter::once(old).chain(kept.iter().map(|kept| &kept.dir)).collect();
        detach_vanished(&all, &site.dir, done)?;
        if !is_there {
            return Ok(());
        }
        match self.commit.what {
            What::Upgrade { .. } => kept::put_first(site, old),
            What::RollBack(back) => kept::put_in_place(site, old, back),
            What::Restart => directory::remove(old),
        }
    }

    /// After the exchange: the old generation is kept, but if nothing had changed, and what was needed for the way only is removed.
    pub(crate) fn clean_up(&self, done: &mut Done) -> Result<(), Error> {
        let Site { dir, next, .. } = self.site;
        // Somebody may have put something else beside the live one meanwhile: it is said what to do about it.
        self.site.check()?;
        if let What::Upgrade { .. } = self.commit.what {
            // Nobody waits any more to hear that it came back.
            for dir in [dir, next, self.site.prev()] {
                let record = dir.join(names::RETURNED);
                bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
            }
        }
        if has_record(next, names::MOVING)? {
            // Where it outlives what is left of `next`: the last thing to go is one record, or what was completed looks like
            // something that is only half staged.
            let (from, to) = (next.join(names::MOVING), dir.join(names::MOVING));
            bpffs::rename(&from, &to).trying(|| format!("can't move `{}` to `{}`", from.display(), to.display()))?;
        }
        if has_record(dir, names::MOVING)? {
            self.keep(&self.left(), done)?;
            directory::remove(next)?;
        } else {
            if is_there(next)? {
                give_back_foreign(next, dir)?;
            }
            self.keep(next, done)?;
        }
        let names = list(dir)?;
        let failed = |name: &str| format!("can't remove `{}`", dir.join(name).display());
        // One of the two records is there. It goes last, by the last call that can fail.
        let (records, others): (Vec<_>, Vec<_>) = names
            .iter()
            .filter(|name| names::is_scaffold(name))
            .partition(|name| [names::COMMIT, names::MOVING].contains(&name.as_str()));
        for name in others.into_iter().chain(records) {
            bpffs::unlink(&dir.join(name)).trying(|| failed(name))?;
        }
        Ok(())
    }
}

/// Exchanges two directories, and takes it back if another one was put in the place of the staged one at the last moment.
fn exchange_checked(next: &Dir, dir: &Dir) -> io::Result<()> {
    let inode = |dir: &Dir| -> io::Result<_> {
        let stat = rustix::fs::fstat(&*dir.open()?)?;
        Ok((stat.st_dev, stat.st_ino))
    };
    let staged = inode(next)?;
    bpffs::exchange(next, dir)?;
    if inode(dir).is_ok_and(|live| live == staged) {
        return Ok(());
    }
    bpffs::exchange(next, dir)?;
    Err(io::Error::other("somebody put another directory in its place"))
}

/// Pins that somebody else put into the live directory between the look at it and the exchange go back there.
fn give_back_foreign(old: &Dir, live: &Dir) -> Result<(), Error> {
    let (Some(new_meta), old_meta) = (meta_of(live)?, meta_of(old)?) else { return Ok(()) };
    for name in list(old)? {
        let known = names::is_own(&name)
            || new_meta.former.contains(&name)
            || old_meta.as_ref().map_or(Ok(false), |meta| belongs(old, meta, &name))?;
        if !known && !is_there(&live.join(&name))? {
            bpffs::rename_new(&old.join(&name), &live.join(&name))
                .trying(|| format!("can't put `{}` back", live.join(&name).display()))?;
        }
    }
    Ok(())
}
