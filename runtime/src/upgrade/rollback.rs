//! Back to a kept generation.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use maplock_layout::Disposition;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::derivation::{Derivation, transfers_in};
use crate::generation::directory;
use crate::generation::exclusive::Exclusive;
use crate::generation::kept::{self, Back};
use crate::generation::meta::{self, Meta, MetaMap};
use crate::generation::missing::Missing;
use crate::generation::names::{self, pin_name};
use crate::generation::records::{Commit, What};
use crate::generation::site::Site;
use crate::inspect::{self, WayBack};
use crate::plan::Doubt;
use crate::plan::foresee::on_the_way_back;
use crate::sys::bpffs::{self, Pin};
use crate::sys::{Map, Object};
use crate::transfer::migrate::Migrations;
use crate::transfer::{self, Transfer};
use crate::upgrade::changeover::Changeover;
use crate::upgrade::counterpart::{counterpart, is_array, left_behind, maps_in};
use crate::upgrade::discard;
use crate::upgrade::hooks::{self, Whereabouts};
use crate::upgrade::inputs::COUNTING;
use crate::upgrade::look_back::GoesBack;
use crate::upgrade::missing;
use crate::upgrade::places;
use crate::upgrade::recover;
use crate::upgrade::report::{Done, LinkReport, MapReport, Progress, Report};
use crate::upgrade::settle::return_converted;
use crate::upgrade::shown;
use crate::upgrade::taken_back::LeftBehind;

/// How long entries may be counted that are to be carried back.
const CARRIED_BACK: Duration = Duration::from_secs(5);

/// A way back to a kept generation.
pub struct Rollback {
    dir: PathBuf,
    wait: Duration,
    migrations: Migrations,
    without: BTreeSet<String>,
    progress: Box<dyn FnMut(Progress<'_>) + Send>,
}

impl fmt::Debug for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rollback").field("dir", &self.dir).field("wait", &self.wait).finish_non_exhaustive()
    }
}

impl Rollback {
    /// From the live generation at `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            wait: Duration::from_secs(60),
            migrations: Migrations::default(),
            without: BTreeSet::new(),
            progress: Box::new(|_| {}),
        }
    }

    /// How long to wait for an upgrade of these pins to end: 60 seconds by default.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The conversions by hand of the release that runs. If an upgrade to it was interrupted, that upgrade needs them.
    #[must_use]
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }

    /// Returns even if somebody removed the pin of this map from the kept generation. The older release then makes an empty
    /// map at its start. Without this, [`Self::run`] refuses.
    #[must_use]
    pub fn without(mut self, map: impl Into<String>) -> Self {
        self.without.insert(map.into());
        self
    }

    /// Calls `progress` with how far a copy is.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress<'_>) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Returns to the kept generation before the live one: to its maps, and to its programs in the links. Entries that were
    /// written since are carried back into maps that had grown. Maps that were swapped are again what they were. The
    /// generation that is left is kept too, and is then newer than the live one. If none before the live one is kept, a
    /// roll-back returns to the newer one, and so undoes the last roll-back.
    ///
    /// If an earlier roll-back was interrupted, this call ends it, or says that a start has done so since. It goes nowhere
    /// from there ([`Report::resumed`]). If an upgrade had switched links, and only the code of its daemon could complete
    /// it, this call takes it back, and does no more ([`Report::taken_back`]).
    ///
    /// # Errors
    /// [`ErrorKind::Place`] if no generation is kept, or if somebody removed a pin from it ([`Self::without`]);
    /// [`ErrorKind::Busy`] if the wait ends before another upgrade does; [`ErrorKind::Kernel`] if the entries don't fit any
    /// more. Nothing has changed then.
    pub fn run(mut self) -> Result<Report, Error> {
        let start = Instant::now();
        let site = Site::at(&self.dir)?;
        let lock = Exclusive::lock(&site, self.wait)?;
        match self.bring_into_order(&site, start)? {
            // Who calls a second time for what was interrupted wants to be where it leads to, and not to go back from there.
            (Some(report), _) => Ok(report),
            (None, left_behind) => Ok(Report { left_behind, ..self.step(&site, &lock, None, start)? }),
        }
    }

    /// Returns to the kept generation of that number, over those that are kept between it and the live one. It goes from
    /// neighbour to neighbour, since each knows only how its maps came from those of its neighbours. Each step is a
    /// roll-back of its own, with its report, and programs of the generations between run for a moment. If there is no
    /// report, that generation was live already. What was interrupted before is brought to its end first.
    ///
    /// # Errors
    /// As [`Self::run`], for one of the steps; those before it are done. [`ErrorKind::Place`] if no such generation is
    /// kept.
    pub fn run_to(mut self, generation: u64) -> Result<Vec<Report>, Error> {
        let start = Instant::now();
        let site = Site::at(&self.dir)?;
        let lock = Exclusive::lock(&site, self.wait)?;
        let (report, mut left_behind) = self.bring_into_order(&site, start)?;
        let mut reports: Vec<_> = report.into_iter().collect();
        while directory::meta_of(&site.dir)?.map(|meta| meta.generation) != Some(generation) {
            let report = self.step(&site, &lock, Some(generation), Instant::now());
            let at = reports.last().and_then(|report| report.way_back.as_ref()).and_then(|way| way.generation);
            let report = report.map_err(|error| match at {
                Some(at) => error.and(&format!("; the steps to generation {at} are done")),
                None => error,
            })?;
            reports.push(Report { left_behind: std::mem::take(&mut left_behind), ..report });
        }
        Ok(reports)
    }

    /// Brings to its end what was interrupted before. Says so if that was a roll-back, or an upgrade that is taken back by it; else what is
    /// lost of an upgrade that was completed.
    fn bring_into_order(&self, site: &Site, start: Instant) -> Result<(Option<Report>, Vec<LeftBehind>), Error> {
        let found = recover::recover(site, &self.migrations)?;
        let left_behind = found.left_behind;
        if found.is_taken_back {
            // What was live before it is live again: to go on from there would be to go back twice.
            let report = Report { taken_back: true, left_behind, ..Report::default() };
            return Ok((Some(report.ended(Done::default(), start)), Vec::new()));
        }
        if let (true, Some(done)) = (found.is_roll_back, found.done) {
            let mut report = Report { resumed: true, left_behind, ..Report::default() };
            for (name, ..) in &done.settled {
                let mut map = MapReport::new(name, Disposition::Reuse);
                map.doubts.insert(Doubt::Interrupted);
                if let Some(Object::Map(live)) = directory::object_at(&site.dir.join(name))? {
                    map.kept = transfer::count(&live, COUNTING).unwrap_or(0);
                }
                report.maps.push(map);
            }
            take_note(site)?;
            return Ok((Some(report.ended(done, start)), Vec::new()));
        }
        shown::check(site)?;
        if take_note(site)? {
            let report = Report { resumed: true, ..Report::default() };
            return Ok((Some(report.ended(Done::default(), start)), Vec::new()));
        }
        Ok((None, left_behind))
    }

    /// To a neighbour of the live generation: on the way to one of that number, else one back.
    fn step(&mut self, site: &Site, lock: &Exclusive, goal: Option<u64>, start: Instant) -> Result<Report, Error> {
        let kept = kept::all(site)?;
        let to = match goal {
            Some(number) => kept::of_number(&kept, number)?.and_then(|goal| kept::towards(&kept, goal)),
            None => kept::one_back(&kept),
        };
        let Some(to) = to else { return Err(nothing_kept(site, goal)) };
        let missing = missing::of_kept(site, to, &self.without, goal)?;
        let way_back = WayBack::between(&inspect::within(&site.dir)?, &inspect::within(&to.dir)?);
        let staged = Returning { site, lock, migrations: &self.migrations, back: to.back(), is_committed: false };
        let (mut report, going_back) = staged.stage(&mut self.progress)?;
        let done = staged.commit(&missing)?;
        going_back.iter().for_each(|map| map.tell(report.maps.iter_mut()));
        let generation = way_back.generation;
        let report = Report { way_back: Some(way_back), generation, ..report.ended(done, start) };
        report.trace();
        Ok(report)
    }
}

fn nothing_kept(site: &Site, goal: Option<u64>) -> Error {
    let message = match goal {
        Some(number) => {
            format!("no generation {number} is kept of `{0}`; see which are: maplock inspect {0}", site.dir.display())
        }
        None => format!("no generation is kept at `{}`: there is nothing to go back to", site.prev().display()),
    };
    Error::new(ErrorKind::Place, message)
}

/// True if a start had completed a roll-back that was interrupted, which its caller hears of now, once.
pub(super) fn take_note(site: &Site) -> Result<bool, Error> {
    let record = site.dir.join(names::RETURNED);
    let is_new = directory::has_record(&site.dir, names::RETURNED)?;
    if is_new {
        bpffs::unlink(&record).trying(|| format!("can't remove `{}`", record.display()))?;
    }
    Ok(is_new)
}

/// A kept generation, staged again. Put back if it is dropped.
struct Returning<'a> {
    site: &'a Site,
    lock: &'a Exclusive,
    migrations: &'a Migrations,
    /// From where it comes.
    back: Back,
    is_committed: bool,
}

impl Returning<'_> {
    /// With the maps whose entries go back to an older layout.
    fn stage(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(Report, Vec<GoesBack>), Error> {
        let Site { dir, next, .. } = self.site;
        let (place, came) = (self.site.place(self.back.place), self.back.came());
        let record = place.join(names::RETURNING);
        let text = self.back.place.to_string();
        bpffs::write_record(&record, &text).trying(|| format!("can't write `{}`", record.display()))?;
        bpffs::rename_new(place, next).trying(|| format!("can't stage `{}`", place.display()))?;
        self.lock.join(next)?;
        // How its maps were derived when it came this way before is of no account any more.
        let is_over = |name: &str| names::map_of_derivation(name).is_some_and(|(_, of)| of == came);
        for name in directory::list(next)?.iter().filter(|name| is_over(name)) {
            bpffs::unlink(&next.join(name)).trying(|| format!("can't remove `{}`", next.join(name).display()))?;
        }
        self.write_meta_if_none()?;
        let mut report = Report::default();
        let derived = transfers_in(dir)?;
        let live_maps = maps_in(dir)?;
        let metas = (directory::meta_of(dir)?, directory::meta_of(next)?);
        let (mut returned, mut going_back) = (BTreeSet::new(), Vec::new());
        for name in directory::list(next)?.iter().filter(|name| !names::is_own(name)) {
            let path = next.join(name);
            let Some(Object::Map(kept)) = directory::object_at(&path)? else { continue };
            let (was, live) = counterpart(name, &kept, &derived, &live_maps).unzip();
            let was = was.unwrap_or(name);
            returned.insert(was.clone());
            let ids = live.map(|live| (kept.info().id, live.info().id));
            let is_its =
                |(map, record): &&(String, Derivation)| map == was && ids.is_some_and(|ids| record.is_between(ids));
            let record = derived.iter().find(is_its).map(|(_, record)| record);
            let started = Instant::now();
            let mut map = MapReport::new(name, Disposition::Reuse);
            map.kept = transfer::count(&kept, COUNTING).unwrap_or(0);
            if let (Some(live), Some(record)) = (&live, record) {
                map.foreseen(&on_the_way_back((metas.0.as_ref(), live.info()), (metas.1.as_ref(), kept.info())));
                if record.converted.is_some() {
                    match return_converted(record, (&dir.join(was), &path), (live, &kept), came, self.migrations)? {
                        Some(settled) => {
                            map.method = settled.method.map(transfer::Method::name);
                            map.carried(&settled);
                            let live = live.try_clone().trying(|| format!("can't hold map `{was}` open"))?;
                            going_back.extend(GoesBack::to_kept(name, live, kept.info().id, dir, was));
                            map.kept = transfer::count(&kept, COUNTING).unwrap_or(0);
                        }
                        None => {
                            tracing::warn!(map = name, "no way leads back from its entries: it is as it was left");
                            map.lost = None;
                        }
                    }
                } else {
                    let copied = self.carry_back((was, name), (live, &kept), record, progress)?;
                    map.copied(&copied);
                }
            } else if let Some(live) = live.filter(|live| live.info().id != kept.info().id) {
                map.lost = left_behind(live);
            }
            map.time = started.elapsed();
            report.maps.push(map);
        }
        // Those that the generation does not have.
        let mut left = directory::meta_of(dir)?.map(|meta| meta.maps).unwrap_or_default();
        left.retain(|name, _| !returned.contains(&pin_name(name)));
        for name in left.keys() {
            if let Some(Object::Map(live)) = directory::object_at(&dir.join(pin_name(name)))? {
                let lost = left_behind(&live);
                report.maps.push(MapReport { lost, ..MapReport::new(name, Disposition::Drop) });
            }
        }
        report.maps.sort_by(|a, b| a.map.cmp(&b.map));
        for name in directory::list(next)? {
            if let Some(hook) = names::hook_of_target(&name)
                && let Some(what) = self.attach_again(hook, &next.join(&name))?
            {
                report.links.push(LinkReport { link: hook.to_owned(), what });
            }
        }
        Ok((report, going_back))
    }

    /// A generation that maplock has not made gets a meta map: that of the generation it replaces is not for it, and tells nothing of
    /// which pins are its own.
    fn write_meta_if_none(&self) -> Result<(), Error> {
        let next = &self.site.next;
        if directory::is_there(&next.join(meta::NAME))? {
            return Ok(());
        }
        let mut meta = Meta::default();
        for name in directory::list(next)?.into_iter().filter(|name| !names::is_own(name)) {
            match directory::object_at(&next.join(&name))? {
                Some(Object::Map(map)) => {
                    _ = meta.maps.insert(name, MetaMap { id: map.info().id, max_entries: map.info().max_entries })
                }
                Some(Object::Link(_)) => _ = meta.links.insert(name),
                _ => {}
            }
        }
        // Hooks that are to be attached again.
        let names = directory::list(next)?;
        meta.links.extend(names.iter().filter_map(|name| names::hook_of_target(name)).map(str::to_owned));
        meta.write(next).trying(|| format!("can't write `{}`", next.join(meta::NAME).display()))?;
        // Whoever made its maps has to be able to read it.
        match meta.maps.keys().next() {
            Some(map) => directory::keep_owner_and_mode(&next.join(pin_name(map)), &next.join(meta::NAME)),
            None => Ok(()),
        }
    }

    /// The entries of the live map, into the smaller one that it had grown from.
    fn carry_back(
        &self,
        (was, name): (&str, &str),
        (live, kept): (&Map, &Map),
        record: &Derivation,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<transfer::Copied, Error> {
        let next = &self.site.next;
        let failed = |what: &str| format!("can't carry the entries of map `{name}` back: {what}");
        // Before the kept entries are given up.
        let room = kept.info().max_entries;
        match transfer::count(live, CARRIED_BACK) {
            Some(entries) if entries > room.into() && !is_array(kept) => {
                let message = failed(&format!("it holds {entries} entries, and the kept one has room for {room}"));
                return Err(Error::new(ErrorKind::Kernel, message));
            }
            _ => {}
        }
        transfer::clear(kept).trying(|| failed("it can't be emptied"))?;
        let base = match transfer::needs_base(kept.info().map_type) {
            true => {
                let base = transfer::new_base(kept).trying(|| failed("its snapshot can't be made"))?;
                let pin = next.join(names::base_of(name));
                directory::pin_like(&base, &pin, &next.join(name)).trying(|| failed("its snapshot can't be pinned"))?;
                Some(base)
            }
            false => None,
        };
        let (from, to, came) = (live.info().id, kept.info().id, self.back.came());
        let was = (was != name).then(|| was.to_owned());
        let back = Derivation { from, to, was, sums: record.sums.clone(), converted: None, came };
        let pin = next.join(names::transfer_of(name, came));
        bpffs::write_record(&pin, &back.to_text()).trying(|| failed("no record"))?;
        let transfer = Transfer { from: live, to: kept, base: base.as_ref(), sums: &record.sums };
        let mut tell = |done, total| progress(Progress { map: name, done, total });
        let copied = transfer
            .copy(&mut transfer::TransferOptions { progress: Some(&mut tell), ..transfer::TransferOptions::default() });
        copied.map_err(|error| {
            Error::because(ErrorKind::Kernel, format!("can't carry the entries of map `{name}` back"), error)
        })
    }

    /// A hook that the generation after it did not have. Says what was done of it: `gone` if what it was attached to is, which
    /// keeps nobody from going back.
    fn attach_again(&self, hook: &str, record: &Pin) -> Result<Option<&'static str>, Error> {
        let Site { dir, next, .. } = self.site;
        let failed = || format!("can't attach hook `{hook}` again");
        let text = directory::record(next, &names::target_of(hook))?.unwrap_or_default();
        // A start since may have attached it there again: two programs must not run there, and some places take one only. That link is
        // switched with the others.
        let whereabouts = Whereabouts::parse(&text);
        let meta = directory::meta_of(dir)?;
        // One of somebody else's under its name is refused.
        places::live_link(dir, meta.as_ref(), hook)?;
        let mut live = directory::hooks_in(dir)?;
        live.retain(|name| meta.as_ref().is_none_or(|meta| meta.links.contains(name)));
        // The one of its name first.
        live.sort_by_key(|name| name != hook);
        for live in live.into_iter().map(|name| dir.join(name)) {
            let Some(info) = directory::link_at(&live)?.map(|link| link.info().trying(failed)).transpose()? else {
                continue;
            };
            if !(hooks::can_update(info.link_type) && whereabouts.as_ref().is_some_and(|at| at.is_of(&info))) {
                continue;
            }
            if !directory::is_there(&next.join(hook))? {
                bpffs::hard_link(&live, &next.join(hook)).trying(failed)?;
            }
            bpffs::unlink(record).trying(failed)?;
            return Ok(None);
        }
        let place = whereabouts.as_ref().map_or(Ok(None), Whereabouts::hook).trying(failed)?;
        let Some(place) = place else {
            if whereabouts.is_some_and(|place| place.may_be_gone()) {
                tracing::warn!(hook, place = text, "not attached again: what it was attached to is gone");
                return Ok(Some("gone"));
            }
            let message = format!(
                "can't attach hook `{hook}` again: from here it can't be seen where it was ({text}); roll back from that network \
                 namespace"
            );
            return Err(Error::new(ErrorKind::Place, message));
        };
        let path = next.join(names::prog_of(hook));
        let Object::Prog(prog) = Object::open(&path).trying(failed)? else {
            return Err(Error::new(ErrorKind::Place, format!("`{}` is no program", path.display())));
        };
        let link = place.attach(std::os::fd::AsFd::as_fd(&prog)).trying(failed)?;
        link.pin(&next.join(hook)).trying(failed)?;
        directory::keep_owner_and_mode(&path, &next.join(hook))?;
        bpffs::unlink(record).trying(failed)?;
        Ok(Some("attached"))
    }

    fn commit(mut self, missing: &[Missing]) -> Result<Done, Error> {
        let Site { dir, next, .. } = self.site;
        // Every hook of the kept generation needs its link, and its own program.
        for name in directory::list(next)?.iter().filter(|name| !names::is_own(name)) {
            let has_prog = directory::is_there(&next.join(names::prog_of(name)))?;
            if !has_prog && directory::link_at(&next.join(name))?.is_some() {
                let message = format!(
                    "the program of hook `{name}` is not kept in `{}`: start the older release",
                    next.display()
                );
                return Err(Error::new(ErrorKind::Place, message));
            }
        }
        places::check(self.site, false)?;
        missing::strike_out(self.site, missing)?;
        let each_pin = !inspect::within(dir)?.foreign(|_| false).is_empty();
        let record = next.join(names::COMMIT);
        let commit = Commit { each_pin, what: What::RollBack(self.back) };
        bpffs::write_record(&record, &commit.to_text()).trying(|| format!("can't write `{}`", record.display()))?;
        self.is_committed = true;
        let (site, migrations) = (self.site, self.migrations);
        Changeover { site, migrations, commit, is_moving: false, is_resumed: false, way_out: None }.run()
    }
}

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        if !self.is_committed
            && let Err(error) = discard::discard(self.site)
        {
            tracing::error!(%error, "can't put the kept generation back; the next start does");
        }
    }
}
