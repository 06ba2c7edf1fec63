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
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::derivation::{transfers_in, unsettled};
use crate::generation::meta::{self, Meta, MetaError};
use crate::generation::site::{self, Site};
use crate::plan::normalise::pin_name;
use crate::sys::{self, Link, Object, Prog, bpffs};
use crate::transfer::migrate::Migrations;
use crate::transfer::{Settled, TransferError};
use crate::upgrade::hooks::Whereabouts;
use crate::upgrade::report::LinkReport;

/// Goes on with the staged generation, which is complete.
pub(crate) struct Changeover<'a> {
    pub(crate) site: &'a Site,
    /// Conversions by hand that this program has.
    pub(crate) migrations: &'a Migrations,
    /// Rename the pins one by one, though the directories could be exchanged.
    pub(crate) each_pin: bool,
    /// The first pin was moved already, so that there is no way back, and nothing to switch or settle any more.
    pub(crate) is_moving: bool,
    /// Another process began it, and may have settled some of the maps.
    pub(crate) is_resumed: bool,
}

/// What was done on the way.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) settled: Vec<(String, Settled, Duration)>,
    pub(crate) links: Vec<LinkReport>,
    /// From the first link's switch to the exchange.
    pub(crate) window: Duration,
    /// True from when the first map may be settled, so that not all counts are in the old maps any more.
    is_settling: bool,
}

impl Changeover<'_> {
    /// All steps. Where one of the first three fails, the live generation is what it was.
    pub(crate) fn run(&self) -> Result<Done, Error> {
        let mut done = Done { is_settling: self.is_resumed, ..Done::default() };
        let mut start = Instant::now();
        if !self.is_moving {
            start = match self.switch_and_settle(&mut done) {
                Ok(start) => start,
                Err(error) => {
                    return Err(match self.undo(done.is_settling) {
                        Ok(()) => error,
                        Err(worse) => error.and(&format!(
                            "; and going back failed as well: {worse}; what is staged stays in `{}`, and the next start tries again",
                            self.site.next.display()
                        )),
                    });
                }
            };
        }
        let late = |error: Error| error.and("; the new programs run already, and the next start completes the upgrade");
        self.exchange().map_err(late)?;
        done.window = start.elapsed();
        self.clean_up(&mut done).map_err(late)?;
        Ok(done)
    }

    /// Returns when the first link was switched.
    fn switch_and_settle(&self, done: &mut Done) -> Result<Instant, Error> {
        let next = &self.site.next;
        let records = transfers_in(next)?;
        let mut derived = Vec::new();
        for (name, record) in &records {
            match record.open(&self.site.dir.join(name), next, name, self.migrations)? {
                Some(open) => derived.push((name, open)),
                None => tracing::warn!(map = name, "the map that it was copied from is gone"),
            }
        }
        let prepared = derived
            .iter()
            .map(|(name, open)| open.prepare(false).map_err(|error| unsettled(name, &error)))
            .collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        for hook in hooks_in(next)? {
            let link = open_link(&next.join(&hook))?;
            match switch(&link, &next.join(site::prog_of(&hook)), &hook) {
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
            let settled = open.settle(prepared, false).map_err(|error| unsettled(name, &error))?;
            tracing::info!(map = name, ?settled, "settled what the old programs wrote since the copy");
            done.settled.push(((*name).clone(), settled, started.elapsed()));
        }
        Ok(start)
    }

    /// Back to the live generation: links first, then what the new programs wrote, then the staged pins go.
    fn undo(&self, is_settling: bool) -> Result<(), Error> {
        let (dir, next) = (&self.site.dir, &self.site.next);
        let staged: BTreeSet<String> = hooks_in(next)?.into_iter().collect();
        let mut switched = false;
        for hook in hooks_in(dir)?.into_iter().filter(|hook| staged.contains(hook)) {
            let path = dir.join(&hook);
            // A link whose device or cgroup is gone can't be switched, and needs not be.
            if let Some(link) = link_at(&path)? {
                switched |= match switch(&link, &dir.join(site::prog_of(&hook)), &hook) {
                    Err(_) if is_gone(&link) => false,
                    result => result?,
                };
            }
        }
        // New hooks end; programs of theirs may still run.
        let mut ended = Done::default();
        detach_vanished(next, dir, &mut ended)?;
        // Without a link of both generations, a map may have been settled all the same.
        if switched || is_settling || !ended.links.is_empty() {
            grace_period()?;
            for (name, record) in transfers_in(next)? {
                let Some(staged) = record.open(&dir.join(&name), next, &name, self.migrations)? else { continue };
                let settled = staged.prepare(true).and_then(|prepared| staged.settle(&prepared, true));
                match settled {
                    // The old map is whole all the same: entries are converted without taking anything out of it.
                    Err(error @ TransferError::NoWayBack { .. }) => {
                        tracing::warn!(map = name, %error, "what the new programs wrote is not carried back");
                    }
                    // The old map would have had no room for them either; to give up here would be to try for ever.
                    Err(error @ TransferError::Full { .. }) => {
                        tracing::error!(map = name, %error, "entries of the new programs are lost");
                    }
                    result => _ = result.map_err(|error| unsettled(&name, &error))?,
                }
            }
        }
        // Before anything of it is removed: what is incomplete must not look complete to the next start.
        let record = next.join(site::COMMIT);
        bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
        discard(self.site)
    }

    /// The staged generation becomes the live one.
    fn exchange(&self) -> Result<(), Error> {
        let Site { dir, next, .. } = self.site;
        let failed = || format!("can't put `{}` in the place of `{}`", next.display(), dir.display());
        if !self.site.is_root && !is_there(dir)? {
            return bpffs::rename_new(next, dir).trying(failed);
        }
        if !(self.each_pin || self.site.is_root || self.is_moving) {
            match bpffs::exchange(next, dir) {
                Ok(()) => return Ok(()),
                // Before Linux 5.16, bpffs has no exchange.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    tracing::warn!("this kernel can't exchange directories on bpffs; the pins are renamed one by one");
                }
                Err(error) => return Err(error).trying(failed),
            }
        }
        self.move_each_pin()
    }

    /// Keeps the old generation as hard links, then renames each staged pin over the live one: no path is ever absent.
    fn move_each_pin(&self) -> Result<(), Error> {
        let (Site { dir, next, prev, .. }, moving) = (self.site, self.is_moving);
        let failed = |name: &str| format!("can't move `{name}` from `{}` to `{}`", next.display(), dir.display());
        let old = match moving {
            true => meta_of(prev)?,
            false => meta_of(dir)?,
        };
        let staged = list(next)?;
        let in_old = |name: &String| {
            old.as_ref().map_or_else(
                || staged.contains(name) || site::is_own(name) && !site::is_scaffold(name),
                |old| is_of(old, name),
            )
        };
        if !moving {
            site::remove(prev)?;
            bpffs::make_dir(prev).trying(|| format!("can't make `{}`", prev.display()))?;
            for name in list(dir)?.iter().filter(|name| in_old(name)) {
                bpffs::hard_link(&dir.join(name), &prev.join(name)).trying(|| failed(name))?;
            }
            let what = Commit { each_pin: true, ..commit_of(next)?.unwrap_or_default() };
            bpffs::write_record(&next.join(site::MOVING), what.to_text()).trying(|| failed(site::MOVING))?;
        }
        for name in staged.iter().filter(|name| !site::is_scaffold(name)) {
            let (from, to) = (next.join(name), dir.join(name));
            if same_pin(&from, &to)? {
                bpffs::unlink(&from).trying(|| failed(name))?;
            } else {
                bpffs::rename(&from, &to).trying(|| failed(name))?;
            }
        }
        // What the old generation had and the new one has not. By now the new meta map is in its place.
        if let (Some(old), Some(new)) = (&old, meta_of(dir)?) {
            // How its maps were derived is not how the new ones were.
            for name in list(dir)?.iter().filter(|name| is_of(old, name)) {
                // How an old map was derived is not how the new one was, which may have no such record.
                let is_record = site::map_of_derivation(name).is_some();
                let is_over = !is_of(&new, name) || is_record && same_pin(&dir.join(name), &prev.join(name))?;
                if is_over {
                    bpffs::unlink(&dir.join(name)).trying(|| failed(name))?;
                }
            }
        }
        Ok(())
    }

    /// After the exchange: the old generation is kept, and what was needed for the way only is removed.
    pub(crate) fn clean_up(&self, done: &mut Done) -> Result<(), Error> {
        let Site { dir, next, prev, .. } = self.site;
        if has_record(next, site::MOVING)? {
            // Where it outlives what is left of `next`: the last thing to go is one record, or what was completed looks like
            // something that is only half staged.
            let (from, to) = (next.join(site::MOVING), dir.join(site::MOVING));
            bpffs::rename(&from, &to).trying(|| format!("can't move `{}` to `{}`", from.display(), to.display()))?;
        }
        if has_record(dir, site::MOVING)? {
            detach_vanished(prev, dir, done)?;
            site::remove(next)?;
        } else if is_there(next)? {
            give_back_foreign(next, dir)?;
            detach_vanished(next, dir, done)?;
            site::remove(prev)?;
            bpffs::rename_new(next, prev)
                .trying(|| format!("can't keep the old generation as `{}`", prev.display()))?;
        } else if is_there(prev)? {
            detach_vanished(prev, dir, done)?;
        }
        let names = list(dir)?;
        let failed = |name: &str| format!("can't remove `{}`", dir.join(name).display());
        let records = [site::COMMIT, site::MOVING];
        let scaffold =
            names.iter().map(String::as_str).filter(|name| site::is_scaffold(name) && !records.contains(name));
        for name in scaffold.chain(records) {
            bpffs::unlink(&dir.join(name)).trying(|| failed(name))?;
        }
        Ok(())
    }
}

/// What the record of a complete generation says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Commit {
    /// Its pins are renamed one by one.
    pub(crate) each_pin: bool,
    /// It is the kept one, on its way back.
    pub(crate) is_back: bool,
}

impl Commit {
    pub(crate) fn to_text(self) -> &'static str {
        match (self.is_back, self.each_pin) {
            (false, false) => "upgrade exchange",
            (false, true) => "upgrade each-pin",
            (true, false) => "roll-back exchange",
            (true, true) => "roll-back each-pin",
        }
    }

    fn parse(text: &str) -> Self {
        Self { each_pin: text.ends_with("each-pin"), is_back: text.starts_with("roll-back") }
    }
}

/// What the record in a directory says; `None` where the generation in it is not complete, or was made live to the end.
pub(crate) fn commit_of(dir: &Path) -> Result<Option<Commit>, Error> {
    for name in [site::COMMIT, site::MOVING] {
        if let Some(text) = site::record(dir, name)? {
            return Ok(Some(Commit::parse(&text)));
        }
    }
    Ok(None)
}

/// Removes the programs that were pinned beside links which maplock had not made, for an upgrade that did not happen.
pub(crate) fn remove_strays(dir: &Path) -> Result<(), Error> {
    let links = match Meta::read(dir) {
        Ok(meta) => meta.map(|meta| meta.links).unwrap_or_default(),
        Err(MetaError::Io(path, error)) => {
            return Err(Error::kernel(format!("can't read `{}`", path.display()), error));
        }
        // It can't be told whose they are.
        Err(_) => return Ok(()),
    };
    for name in list(dir)? {
        if name.strip_suffix(site::PROG).is_some_and(|hook| !links.contains(hook)) {
            let path = dir.join(&name);
            bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// Removes what is staged, and what staging put beside the live pins.
pub(crate) fn discard(site: &Site) -> Result<(), Error> {
    remove_strays(&site.dir)?;
    if !is_returning(&site.next)? {
        return site::remove(&site.next);
    }
    // Hooks that were attached again.
    detach_vanished(&site.next, &site.dir, &mut Done::default())?;
    for name in list(&site.next)?.iter().filter(|name| site::is_scaffold(name) && *name != site::RETURNING) {
        let path = site.next.join(name);
        bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
    }
    bpffs::rename_new(&site.next, &site.prev).trying(|| format!("can't put `{}` back", site.prev.display()))?;
    let record = site.prev.join(site::RETURNING);
    bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display())).map(drop)
}

/// What a generation says of itself. A damaged text counts as none.
pub(crate) fn meta_of(dir: &Path) -> Result<Option<Meta>, Error> {
    match Meta::read(dir) {
        Ok(meta) => Ok(meta),
        Err(MetaError::Io(path, error)) => Err(Error::kernel(format!("can't read `{}`", path.display()), error)),
        Err(error) => {
            tracing::debug!(%error, "the meta map counts as absent");
            Ok(None)
        }
    }
}

/// True where a directory holds the kept generation on its way back.
pub(crate) fn is_returning(dir: &Path) -> Result<bool, Error> {
    has_record(dir, site::RETURNING)
}

/// True where a directory holds that record.
pub(crate) fn has_record(dir: &Path, name: &str) -> Result<bool, Error> {
    Ok(site::record(dir, name)?.is_some())
}

/// The hooks of a generation: those whose program is pinned in it, and whose link is.
pub(crate) fn hooks_in(dir: &Path) -> Result<Vec<String>, Error> {
    let names = list(dir)?;
    let with_prog = names.iter().filter_map(|name| name.strip_suffix(site::PROG));
    Ok(with_prog.filter(|hook| names.iter().any(|name| name == hook)).map(str::to_owned).collect())
}

/// The names in a generation; none where there is no such directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    Ok(bpffs::names(dir).trying(|| format!("can't list `{}`", dir.display()))?.unwrap_or_default())
}

/// True where there is such a pin or directory. What can't be looked at is an error, not an absence.
pub(crate) fn is_there(path: &Path) -> Result<bool, Error> {
    path.try_exists().trying(|| format!("can't look at `{}`", path.display()))
}

/// True where two paths are names of one pin.
pub(crate) fn same_pin(one: &Path, other: &Path) -> Result<bool, Error> {
    let inode = |path: &Path| match std::fs::symlink_metadata(path) {
        Ok(data) => Ok(Some((data.dev(), data.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).trying(|| format!("can't look at `{}`", path.display())),
    };
    let (one, other) = (inode(one)?, inode(other)?);
    Ok(one.is_some() && one == other)
}

/// Waits until no program runs any more that was unlinked before.
pub(crate) fn grace_period() -> Result<(), Error> {
    sys::wait_for_running_programs().trying(|| "can't wait for the programs that still run".to_owned())
}

fn is_of(generation: &Meta, name: &str) -> bool {
    let hook = name.strip_suffix(site::PROG);
    let is_map = |pin: &str| generation.maps.keys().any(|map| pin_name(map) == pin);
    name == meta::NAME
        || is_map(name)
        || site::map_of_derivation(name).is_some_and(is_map)
        || generation.links.iter().any(|link| link == name || Some(link.as_str()) == hook)
}

fn is_gone(link: &Link) -> bool {
    use sys::LinkTarget as T;
    let target = link.info().map(|info| info.target);
    matches!(target, Ok(T::Device { ifindex: 0, .. } | T::Cgroup { id: 0, .. } | T::Netns { inode: 0, .. }))
}

fn open_link(path: &Path) -> Result<Link, Error> {
    match Object::open(path).trying(|| format!("can't open link `{}`", path.display()))? {
        Object::Link(link) => Ok(link),
        _ => Err(Error::new(ErrorKind::Place, format!("`{}` is no link", path.display()))),
    }
}

/// What is pinned there, if anything is. What can't be opened is an error: a link taken for none would be detached as vanished,
/// or attached a second time.
pub(crate) fn object_at(path: &Path) -> Result<Option<Object>, Error> {
    let failed = || format!("can't look at `{}`", path.display());
    // A name with a dot is the kernel's own; records are symbolic links, and others may have directories here.
    let has_dot = path.file_name().is_some_and(|name| name.to_string_lossy().contains('.'));
    if has_dot {
        return Ok(None);
    }
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.is_file() => Object::open(path).trying(failed).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).trying(failed),
    }
}

/// The link that is pinned there, if one is. As [`object_at`].
pub(crate) fn link_at(path: &Path) -> Result<Option<Link>, Error> {
    Ok(match object_at(path)? {
        Some(Object::Link(link)) => Some(link),
        _ => None,
    })
}

/// The link runs the pinned program; false where it did so before.
fn switch(link: &Link, prog: &Path, hook: &str) -> Result<bool, Error> {
    let failed = || format!("can't switch the link of hook `{hook}`");
    let Object::Prog(new) = Object::open(prog).trying(|| format!("can't open program `{}`", prog.display()))? else {
        return Err(Error::new(ErrorKind::Place, format!("`{}` is no program", prog.display())));
    };
    let running = link.info().trying(failed)?.prog_id;
    if running == new.info().trying(failed)?.id {
        return Ok(false);
    }
    // As a compare-and-swap: EPERM where somebody else has put another program there meanwhile.
    let old = match Prog::from_id(running) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => None,
        Err(error) => return Err(error).trying(failed),
    };
    match link.update(new.as_fd(), old.as_ref().map(|old| old.as_fd())) {
        // netns links compare nothing, and say EINVAL to the flag in old kernels.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && old.is_some() => {
            link.update(new.as_fd(), None).trying(failed)?;
        }
        result => result.trying(failed)?,
    }
    Ok(true)
}

/// Detaches the links of the old generation that the new one has not, and notes where they were.
fn detach_vanished(old: &Path, live: &Path, done: &mut Done) -> Result<(), Error> {
    let mut kept = BTreeSet::new();
    for name in list(live)? {
        if let Some(link) = link_at(&live.join(&name))? {
            kept.insert(link.info().trying(|| format!("can't look at link `{name}`"))?.id);
        }
    }
    for name in list(old)?.into_iter().filter(|name| !site::is_own(name)) {
        let path = old.join(&name);
        let Some(link) = link_at(&path)? else { continue };
        let info = link.info().trying(|| format!("can't look at link `{}`", path.display()))?;
        if kept.contains(&info.id) {
            continue;
        }
        let record = old.join(site::target_of(&name));
        if !is_gone(&link)
            && let Some(whereabouts) = Whereabouts::of(&info)
            && !has_record(old, &site::target_of(&name))?
        {
            bpffs::write_record(&record, &whereabouts.to_string())
                .trying(|| format!("can't write `{}`", record.display()))?;
        }
        // Types that can't be detached end with their last pin.
        _ = link.detach();
        bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
        let replaced = is_there(&live.join(&name))?;
        tracing::info!(hook = name, replaced, "link of the old generation detached");
        if !replaced {
            done.links.push(LinkReport { link: name, what: "detached" });
        }
    }
    Ok(())
}

/// Pins that somebody else put into the live directory between the look at it and the exchange go back there.
fn give_back_foreign(old: &Path, live: &Path) -> Result<(), Error> {
    let (Some(new_meta), old_meta) = (meta_of(live)?, meta_of(old)?) else { return Ok(()) };
    for name in list(old)? {
        let known =
            site::is_own(&name) || is_of(&new_meta, &name) || old_meta.as_ref().is_some_and(|meta| is_of(meta, &name));
        if !known && !is_there(&live.join(&name))? {
            bpffs::rename_new(&old.join(&name), &live.join(&name))
                .trying(|| format!("can't put `{}` back", live.join(&name).display()))?;
        }
    }
    Ok(())
}

/// A name in the live directory that is no part of its generation: somebody shares the directory. Without a meta map, `maps` says
/// what belongs to it.
pub(crate) fn foreign_in(dir: &Path, maps: impl Fn(&str) -> bool) -> Result<Option<String>, Error> {
    Ok(all_foreign_in(dir, maps)?.into_iter().next())
}

/// All such names.
pub(crate) fn all_foreign_in(dir: &Path, maps: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
    let meta = meta_of(dir)?;
    let is_known =
        |name: &String| site::is_own(name) || maps(name) || meta.as_ref().is_some_and(|meta| is_of(meta, name));
    Ok(list(dir)?.into_iter().filter(|name| !is_known(name)).collect())
}
