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
use crate::hooks::Whereabouts;
use crate::meta::{self, Meta, MetaError};
use crate::normalise::pin_name;
use crate::report::LinkReport;
use crate::site::{self, Site};
use crate::sys::{self, Link, Map, Object, Prog, bpffs};
use crate::transfer::{self, Prepared, Settled, Sum, Transfer, TransferError};

/// Goes on with the staged generation, which is complete.
pub(crate) struct Changeover<'a> {
    pub(crate) site: &'a Site,
    /// Rename the pins one by one, though the directories could be exchanged.
    pub(crate) each_pin: bool,
}

/// What was done on the way.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) settled: Vec<(String, Settled, Duration)>,
    pub(crate) links: Vec<LinkReport>,
    /// From the first link's switch to the exchange.
    pub(crate) window: Duration,
}

impl Changeover<'_> {
    /// All steps. Where one of the first three fails, the live generation is what it was.
    pub(crate) fn run(&self) -> Result<Done, Error> {
        let mut done = Done::default();
        let start = match self.switch_and_settle(&mut done) {
            Ok(start) => start,
            Err(error) => {
                return Err(match self.undo() {
                    Ok(()) => error,
                    Err(worse) => error.and(&format!(
                        "; and going back failed as well: {worse}; what is staged stays in `{}`, and the next start tries again",
                        self.site.next.display()
                    )),
                });
            }
        };
        self.exchange()?;
        done.window = start.elapsed();
        self.clean_up(&mut done)?;
        Ok(done)
    }

    /// Returns when the first link was switched.
    fn switch_and_settle(&self, done: &mut Done) -> Result<Instant, Error> {
        let next = &self.site.next;
        let records = transfers_in(next)?;
        let mut derived = Vec::new();
        for (name, record) in &records {
            derived.extend(record.open(&self.site.dir.join(name), next, name)?);
        }
        let prepared = derived.iter().map(|open| open.prepare(false)).collect::<Result<Vec<_>, _>>()?;
        let start = Instant::now();
        for hook in hooks_in(next)? {
            let link = open_link(&next.join(&hook))?;
            if switch(&link, &next.join(site::prog_of(&hook)), &hook)? {
                tracing::info!(hook, "link switched to the new program");
                done.links.push(LinkReport { link: hook, what: "updated" });
            }
        }
        grace_period()?;
        for (open, prepared) in derived.iter().zip(&prepared) {
            let started = Instant::now();
            let settled = open.settle(prepared)?;
            tracing::info!(map = open.name, ?settled, "settled what the old programs wrote since the copy");
            done.settled.push((open.name.clone(), settled, started.elapsed()));
        }
        Ok(start)
    }

    /// Back to the live generation: links first, then what the new programs wrote, then the staged pins go.
    pub(crate) fn undo(&self) -> Result<(), Error> {
        let (dir, next) = (&self.site.dir, &self.site.next);
        let staged: BTreeSet<String> = hooks_in(next)?.into_iter().collect();
        let mut switched = false;
        for hook in hooks_in(dir)?.into_iter().filter(|hook| staged.contains(hook)) {
            let path = dir.join(&hook);
            // A link whose device is gone can't be switched, and needs not be.
            if let Ok(Object::Link(link)) = Object::open(&path) {
                switched |= match switch(&link, &dir.join(site::prog_of(&hook)), &hook) {
                    Err(_) if is_gone(&link) => false,
                    result => result?,
                };
            }
        }
        // New hooks end with their pins; programs of theirs may still run.
        let attached = staged.iter().filter(|hook| !same_pin(&dir.join(hook), &next.join(hook)));
        for hook in attached {
            if let Ok(Object::Link(link)) = Object::open(&next.join(hook)) {
                _ = link.detach();
            }
        }
        if switched {
            grace_period()?;
            for (name, record) in transfers_in(next)? {
                if let Some(staged) = record.open(&dir.join(&name), next, &name)? {
                    staged.settle(&staged.prepare(true)?)?;
                }
            }
        }
        discard(self.site)
    }

    /// The staged generation becomes the live one.
    fn exchange(&self) -> Result<(), Error> {
        let Site { dir, next, .. } = self.site;
        let failed = || format!("can't put `{}` in the place of `{}`", next.display(), dir.display());
        if !self.site.is_root && !dir.exists() {
            return bpffs::rename_new(next, dir).trying(failed);
        }
        let moving = bpffs::read_record(&next.join(site::MOVING)).trying(failed)?.is_some();
        if !(self.each_pin || self.site.is_root || moving) {
            match bpffs::exchange(next, dir) {
                Ok(()) => return Ok(()),
                // Before Linux 5.16, bpffs has no exchange.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    tracing::warn!("this kernel can't exchange directories on bpffs; the pins are renamed one by one");
                }
                Err(error) => return Err(error).trying(failed),
            }
        }
        self.move_each_pin(moving)
    }

    /// Keeps the old generation as hard links, then renames each staged pin over the live one: no path is ever absent.
    fn move_each_pin(&self, moving: bool) -> Result<(), Error> {
        let Site { dir, next, prev, .. } = self.site;
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
            bpffs::write_record(&next.join(site::MOVING), "1").trying(|| failed(site::MOVING))?;
        }
        for name in staged.iter().filter(|name| !site::is_scaffold(name)) {
            let (from, to) = (next.join(name), dir.join(name));
            if same_pin(&from, &to) {
                bpffs::unlink(&from).trying(|| failed(name))?;
            } else {
                bpffs::rename(&from, &to).trying(|| failed(name))?;
            }
        }
        // What the old generation had and the new one has not. By now the new meta map is in its place.
        if let (Some(old), Some(new)) = (&old, meta_of(dir)?) {
            for name in list(dir)?.iter().filter(|name| is_of(old, name) && !is_of(&new, name)) {
                bpffs::unlink(&dir.join(name)).trying(|| failed(name))?;
            }
        }
        Ok(())
    }

    /// After the exchange: the old generation is kept, and what was needed for the way only is removed.
    pub(crate) fn clean_up(&self, done: &mut Done) -> Result<(), Error> {
        let Site { dir, next, prev, .. } = self.site;
        if bpffs::read_record(&next.join(site::MOVING)).ok().flatten().is_some() {
            detach_vanished(prev, dir, done)?;
            site::remove(next)?;
        } else if next.exists() {
            give_back_foreign(next, dir)?;
            detach_vanished(next, dir, done)?;
            site::remove(prev)?;
            bpffs::rename_new(next, prev)
                .trying(|| format!("can't keep the old generation as `{}`", prev.display()))?;
        } else if prev.exists() {
            detach_vanished(prev, dir, done)?;
        }
        let names = list(dir)?;
        let failed = |name: &str| format!("can't remove `{}`", dir.join(name).display());
        for name in names.iter().filter(|name| site::is_scaffold(name) && *name != site::COMMIT) {
            bpffs::unlink(&dir.join(name)).trying(|| failed(name))?;
        }
        bpffs::unlink(&dir.join(site::COMMIT)).trying(|| failed(site::COMMIT))?;
        Ok(())
    }
}

/// Removes what is staged, and what staging put beside the live pins.
pub(crate) fn discard(site: &Site) -> Result<(), Error> {
    // A generation that maplock has not made has no meta map; the programs of its links were pinned for this upgrade only.
    if site.dir.exists() && meta_of(&site.dir)?.is_none() {
        for name in list(&site.dir)?.iter().filter(|name| name.ends_with(site::PROG)) {
            let path = site.dir.join(name);
            bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
        }
    }
    if !is_returning(&site.next)? {
        return site::remove(&site.next);
    }
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
    let path = dir.join(name);
    Ok(bpffs::read_record(&path).trying(|| format!("can't read `{}`", path.display()))?.is_some())
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

/// True where two paths are names of one pin.
pub(crate) fn same_pin(one: &Path, other: &Path) -> bool {
    let inode = |path: &Path| std::fs::symlink_metadata(path).map(|data| (data.dev(), data.ino())).ok();
    inode(one).is_some() && inode(one) == inode(other)
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
        || site::map_of_transfer(name).is_some_and(is_map)
        || generation.links.iter().any(|link| link == name || Some(link.as_str()) == hook)
}

fn is_gone(link: &Link) -> bool {
    matches!(link.info().map(|info| info.target), Ok(sys::LinkTarget::Device { ifindex: 0, .. }))
}

fn open_link(path: &Path) -> Result<Link, Error> {
    match Object::open(path).trying(|| format!("can't open link `{}`", path.display()))? {
        Object::Link(link) => Ok(link),
        _ => Err(Error::new(ErrorKind::Place, format!("`{}` is no link", path.display()))),
    }
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
        if let Ok(Object::Link(link)) = Object::open(&live.join(&name)) {
            kept.insert(link.info().trying(|| format!("can't look at link `{name}`"))?.id);
        }
    }
    for name in list(old)?.into_iter().filter(|name| !site::is_own(name)) {
        let path = old.join(&name);
        let Ok(Object::Link(link)) = Object::open(&path) else { continue };
        let info = link.info().trying(|| format!("can't look at link `{}`", path.display()))?;
        if kept.contains(&info.id) {
            continue;
        }
        let record = old.join(site::target_of(&name));
        if let Some(whereabouts) = Whereabouts::of(&info)
            && !has_record(old, &site::target_of(&name))?
        {
            bpffs::write_record(&record, &whereabouts.to_string())
                .trying(|| format!("can't write `{}`", record.display()))?;
        }
        // Types that can't be detached end with their last pin.
        _ = link.detach();
        bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
        let replaced = live.join(&name).exists();
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
        if !known && !live.join(&name).exists() {
            bpffs::rename_new(&old.join(&name), &live.join(&name))
                .trying(|| format!("can't put `{}` back", live.join(&name).display()))?;
        }
    }
    Ok(())
}

/// How a staged map was derived from one of the generation before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Derivation {
    /// Id of the map that it was copied from.
    pub(crate) from: u32,
    /// Id of the map itself.
    pub(crate) to: u32,
    /// Members that are added up.
    pub(crate) sums: Vec<Sum>,
}

impl Derivation {
    /// `12 34 8:4,16:8`
    pub(crate) fn to_text(&self) -> String {
        let sums: Vec<_> = self.sums.iter().map(|sum| format!("{}:{}", sum.offset, sum.width)).collect();
        format!("{} {} {}", self.from, self.to, sums.join(","))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (from, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let sums = words.next()?.split(',').filter(|sum| !sum.is_empty()).map(|sum| {
            let (offset, width) = sum.split_once(':')?;
            Some(Sum { offset: offset.parse().ok()?, width: width.parse().ok()? })
        });
        Some(Self { from, to, sums: sums.collect::<Option<_>>()? })
    }

    /// The two maps and the snapshot. `None` where the pins are no longer those of the record.
    fn open(&self, old: &Path, staged: &Path, name: &str) -> Result<Option<Open<'_>>, Error> {
        let open = |path: &Path| Map::open(path).trying(|| format!("can't open map `{}`", path.display()));
        let staged_pin = staged.join(name);
        // Where pins are renamed one by one, the staged one may be in its place already.
        if !old.exists() || !staged_pin.exists() {
            return Ok(None);
        }
        let (from, to) = (open(old)?, open(&staged_pin)?);
        if from.info().id != self.from || to.info().id != self.to {
            return Ok(None);
        }
        let base = staged.join(site::base_of(name));
        let base = base.exists().then(|| open(&base)).transpose()?;
        Ok(Some(Open { name: name.to_owned(), from, to, base, sums: &self.sums }))
    }
}

struct Open<'a> {
    name: String,
    from: Map,
    to: Map,
    base: Option<Map>,
    sums: &'a [Sum],
}

impl Open<'_> {
    /// Readies [`Self::settle`]; `back` to the old map, where the switch is undone.
    fn prepare(&self, back: bool) -> Result<Prepared<'_>, Error> {
        let (from, to) = if back { (&self.to, &self.from) } else { (&self.from, &self.to) };
        let transfer = Transfer { from, to, base: self.base.as_ref(), sums: self.sums };
        transfer.prepare(&transfer::Options::default()).map_err(|error| self.failed(&error))
    }

    /// Brings over what was written since the copy.
    fn settle(&self, prepared: &Prepared<'_>) -> Result<Settled, Error> {
        prepared.settle(&mut transfer::Options::default()).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &TransferError) -> Error {
        let message = format!("can't bring over what was written to map `{}` since it was copied: {error}", self.name);
        Error::new(ErrorKind::Kernel, message)
    }
}

/// The records of derived maps in a generation.
pub(crate) fn transfers_in(dir: &Path) -> Result<Vec<(String, Derivation)>, Error> {
    let mut found = Vec::new();
    for name in list(dir)? {
        let Some(map) = site::map_of_transfer(&name) else { continue };
        let path = dir.join(&name);
        let text = bpffs::read_record(&path).trying(|| format!("can't read `{}`", path.display()))?.unwrap_or_default();
        let record = Derivation::parse(&text).ok_or_else(|| {
            Error::new(ErrorKind::Place, format!("`{}` holds `{text}`, which is no record", path.display()))
        })?;
        found.push((map.to_owned(), record));
    }
    Ok(found)
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

/// True where the entries of `map` can't be settled without a snapshot of them.
pub(crate) fn needs_base(map: &Map, sums: &[Sum]) -> bool {
    transfer::needs_base(map.info().map_type, map.info().value_size, sums)
}
