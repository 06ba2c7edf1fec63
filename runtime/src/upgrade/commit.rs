//! The commit: the staged generation, complete, becomes the live one.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use maplock_layout::ProgramUse;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory;
use crate::generation::kept;
use crate::generation::live::Generation;
use crate::generation::meta::{self, Meta, MetaMap};
use crate::generation::names::{self, pin_name};
use crate::generation::pinned_lock;
use crate::generation::records::{Commit, What};
use crate::generation::site::Site;
use crate::inspect::normalise::Node;
use crate::inspect::{self, Layouts};
use crate::plan::CommitBy;
use crate::sys::bpffs::{self, Named as _, Pin};
use crate::sys::{LinkInfo, LinkTarget, Prog};
use crate::upgrade::begin::Upgrade;
use crate::upgrade::changeover::Changeover;
use crate::upgrade::hooks;
use crate::upgrade::places;
use crate::upgrade::report::{LinkReport, Report};
use crate::upgrade::stage::Staged;

impl Staged {
    /// Makes the staged generation the live one: it switches links, brings over what the old programs still wrote, and
    /// exchanges the pins. The old generation is kept at `DIR@prev`, for a [`Rollback`](crate::Rollback), until
    /// [`confirm`](crate::confirm). As many older ones as [`Options::keep`](crate::Options::keep) says are kept too. If
    /// nothing changes ([`Plan::leaves_kept`](crate::Plan::leaves_kept)), those that are there stay.
    ///
    /// # Errors
    /// The kernel's, with the name of the hook or map. The live generation is then as it was. If even that fails, the error
    /// says so, and the next start goes on from what is pinned.
    pub fn commit(mut self) -> Result<Report, Error> {
        let _span = tracing::info_span!("commit", dir = %self.upgrade.site.dir.display()).entered();
        self.check_programs()?;
        self.unpin_strangers()?;
        let attached = self.pin_hooks()?;
        self.write_meta()?;
        if self.upgrade.plan.leaves_kept {
            self.take_over_records()?;
        }
        places::check(&self.upgrade.site, true)?;
        let Site { next, .. } = &self.upgrade.site;
        let record = next.join(names::COMMIT);
        let each_pin = matches!(self.upgrade.plan.commit, CommitBy::EachPin { .. });
        let keep = self.upgrade.keep;
        let what = if self.upgrade.plan.leaves_kept { What::Restart } else { What::Upgrade { keep } };
        let commit = Commit { what, each_pin };
        bpffs::write_record(&record, &commit.to_text()).trying(|| format!("can't write `{}`", record.display()))?;
        // From here on the directories say what is to be done, and an error has been dealt with.
        self.is_committed = true;
        let migrations = &self.upgrade.migrations;
        let done = Changeover {
            site: &self.upgrade.site,
            migrations,
            commit,
            is_moving: false,
            is_resumed: false,
            way_out: None,
        }
        .run()?;
        // What can't be looked at now is not known to those who ask.
        let mut report = std::mem::take(&mut self.report);
        if let Ok(Some(generation)) = Generation::at(self.upgrade.site.dir.path()) {
            report.generation = generation.number();
            self.origin.is_committed(generation);
        }
        report.links = attached;
        self.going_back.iter().for_each(|map| map.tell(report.maps.iter_mut()));
        let report = report.ended(done, self.upgrade.start);
        report.trace();
        tracing::info!(generation = report.generation, window = ?report.window, total = ?report.total, "committed");
        Ok(report)
    }

    /// What a loader has pinned beside the staged maps, by itself: maps that live as long as the programs do, by the lock's word. Of
    /// others it is refused.
    fn unpin_strangers(&self) -> Result<(), Error> {
        let next = &self.upgrade.site.next;
        let is_known = |pin: &str| self.upgrade.spec.lock().maps.keys().any(|map| pin_name(map) == pin);
        for name in directory::list(next)?.iter().filter(|name| !names::is_own(name) && !self.is_staged(name)) {
            let path = next.join(name);
            if !is_known(name) {
                return Err(self.stranger(name));
            }
            bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
        }
        Ok(())
    }

    /// The links of the live generation that go on, by the hooks that they are for, with the names that they have. At the place of a hook
    /// that has another name now, a second link would run beside the first, or be refused.
    fn links_that_go_on(&self) -> Result<BTreeMap<&str, String>, Error> {
        let dir = &self.upgrade.site.dir;
        let named = directory::meta_of(dir)?.map(|meta| meta.links).unwrap_or_default();
        let mut live = Vec::new();
        for name in
            directory::list(dir)?.into_iter().filter(|name| named.contains(name) || self.hooks.contains_key(name))
        {
            if let Some(link) = directory::link_at(&dir.join(&name))? {
                let info = link.info().trying(|| format!("can't look at link `{}`", dir.join(&name).display()))?;
                live.push((name, info));
            }
        }
        live.retain(|(_, info)| hooks::can_update(info.link_type));
        let mut going_on = BTreeMap::new();
        for is_renamed in [false, true] {
            for (hook, (_, at)) in &self.hooks {
                let is_it = |(name, info): &&(String, LinkInfo)| at.is_at(info) && is_renamed == (name != hook);
                if !going_on.contains_key(hook.as_str())
                    && let Some(found) = live.iter().find(is_it).map(|(name, _)| name.clone())
                {
                    live.retain(|(name, _)| *name != found);
                    going_on.insert(hook.as_str(), found);
                }
            }
        }
        Ok(going_on)
    }

    /// Pins the programs, links those links that can be updated, and attaches the others.
    fn pin_hooks(&self) -> Result<Vec<LinkReport>, Error> {
        let Site { dir, next, .. } = &self.upgrade.site;
        let going_on = self.links_that_go_on()?;
        let mut attached = Vec::new();
        let meta = directory::meta_of(dir)?;
        for (name, (prog, hook)) in &self.hooks {
            let failed = || format!("can't attach hook `{name}`");
            let was = going_on.get(name.as_str()).unwrap_or(name);
            let (old, new) = (dir.join(names::prog_of(was)), next.join(names::prog_of(name)));
            prog.pin(&new).trying(|| format!("can't pin the program of hook `{name}`"))?;
            directory::keep_owner_and_mode(&old, &new)?;
            let (live, staged) = (dir.join(was), next.join(name));
            let mut what = "attached";
            // One of somebody else's under its name is refused, wherever the link is.
            let of_its_name = places::live_link(dir, meta.as_ref(), name)?;
            if let Some(link) = if was == name { of_its_name } else { directory::link_at(&live)? } {
                let info = link.info().trying(failed)?;
                keep_program(&dir.join(names::prog_of(was)), info.prog_id)?;
                if going_on.contains_key(name.as_str()) {
                    bpffs::hard_link(&live, &staged).trying(failed)?;
                    if was != name {
                        tracing::info!(hook = name, was, "takes over the link that is there under another name");
                    }
                    continue;
                }
                let is_gone = matches!(info.target, LinkTarget::Device { ifindex: 0, .. });
                what = if is_gone { "reattached" } else { "replaced" };
            }
            let link = hook.attach(prog.as_fd()).map_err(|error| hook.refused(name, error))?;
            link.pin(&staged).trying(failed)?;
            directory::keep_owner_and_mode(&live, &staged)?;
            tracing::info!(hook = name, what, "attached the new program");
            attached.push(LinkReport { link: name.clone(), what });
        }
        Ok(attached)
    }

    /// The maps are those of the live generation, and so is how they were derived from the kept ones, and how it came back.
    fn take_over_records(&self) -> Result<(), Error> {
        let Site { dir, next, .. } = &self.upgrade.site;
        for name in directory::list(dir)?.iter().filter(|name| names::map_of_derivation(name).is_some()) {
            let (from, to) = (dir.join(name), next.join(name));
            let failed = || format!("can't take `{}` over", from.display());
            match names::map_of_transfer(name) {
                Some(_) => {
                    let text = directory::record(dir, name)?.unwrap_or_default();
                    bpffs::write_record(&to, &text).trying(failed)?;
                }
                None => bpffs::hard_link(&from, &to).trying(failed)?,
            }
        }
        if directory::has_record(dir, names::RETURNED)? {
            let record = next.join(names::RETURNED);
            bpffs::write_record(&record, "1").trying(|| format!("can't write `{}`", record.display()))?;
        }
        Ok(())
    }

    fn write_meta(&self) -> Result<(), Error> {
        let Site { dir, next, .. } = &self.upgrade.site;
        let Upgrade { spec, policies, .. } = &self.upgrade;
        let before = directory::meta_of(dir)?;
        let mut last = before.as_ref().map(|meta| meta.generation);
        // After a roll-back, a kept one has the higher number.
        for kept in kept::all(&self.upgrade.site)? {
            last = last.max(kept.number()?);
        }
        let along = self.along.iter().map(|(name, staged)| {
            let info = staged.map.info();
            let was = before.as_ref().and_then(|meta| meta.maps.get(name));
            let max_entries = was.map_or(info.max_entries, |was| was.max_entries);
            (name.clone(), MetaMap { id: info.id, max_entries })
        });
        let maps = self.maps.iter().map(|(name, staged)| {
            let info = staged.map.info();
            let max_entries = spec.map(name).map_or(info.max_entries, |locked| policies.max_entries(&locked.def));
            (name.clone(), MetaMap { id: info.id, max_entries })
        });
        let mut layouts = Layouts::default();
        layouts.read(self.maps.values().map(|staged| staged.map.info()));
        let observed =
            self.maps.values().map(|staged| inspect::observe(staged.pin.path(), &staged.map, None, &mut layouts));
        let observed: Vec<_> = observed
            .collect::<Result<_, _>>()
            .map_err(|error| Error::because(ErrorKind::Kernel, "can't look at a staged map", error))?;
        let digests = self.maps.keys().filter_map(|name| Some((name.clone(), spec.digest(name)?)));
        let said = |name: &String| before.as_ref().and_then(|meta| meta.digests.get(name).copied());
        let digests = digests.chain(self.along.keys().filter_map(|name| Some((name.clone(), said(name)?))));
        let renamed = spec.maps().map(|map| (map.def.name.clone(), map.renamed_from.clone()));
        let programs = spec.maps().filter_map(|map| Some((map.def.name.clone(), map.programs.clone()?)));
        let never = spec.maps().filter(|map| map.user_never_deletes).map(|map| map.def.name.clone());
        let mut meta = Meta {
            programs: programs.collect(),
            user_never_deletes: never.collect(),
            generation: last.unwrap_or(0).saturating_add(1),
            maps: maps.chain(along).collect(),
            digests: digests.collect(),
            links: self.hooks.keys().cloned().collect(),
            renamed: renamed.filter(|(_, older)| !older.is_empty()).collect(),
            former: self.upgrade.plan.former().map(str::to_owned).collect(),
            lock: spec.lock().clone(),
        };
        // How the definitions came about is the release's to know; what the maps are, the kernel tells of most.
        for map in meta.lock.maps.values_mut() {
            map.epochs.clear();
            map.programs = None;
            map.user_never_deletes = false;
        }
        meta.lock.gone.clear();
        meta.leave_out_what_btf_tells(&observed, Node::this().trying(|| "can't look at this machine".to_owned())?);
        // What this build lacks counts as what it did.
        spec.lacked().for_each(|name| _ = meta.lock.maps.remove(name));
        for name in self.along.keys() {
            let counted = before.as_ref().and_then(|meta| meta.lock.maps.get(name));
            meta.lock.maps.extend(counted.map(|map| (name.clone(), map.clone())));
            // No program of this build can touch what it lacks.
            meta.programs.insert(name.clone(), ProgramUse::default());
        }
        meta.write(next).trying(|| format!("can't write `{}`", next.join(meta::NAME).display()))?;
        // For an older release that starts later: it has no other word of these layouts.
        pinned_lock::write(next, spec.lock())
            .trying(|| format!("can't write `{}`", next.join(names::HISTORY).display()))?;
        for name in [meta::NAME, names::HISTORY] {
            directory::keep_owner_and_mode(&dir.join(name), &next.join(name))?;
        }
        Ok(())
    }
}

/// The program of a live link is pinned beside it, so that there is a way back.
fn keep_program(pin: &Pin, id: u32) -> Result<(), Error> {
    if directory::is_there(pin)? {
        return Ok(());
    }
    let failed = || format!("can't keep the running program as `{}`", pin.display());
    match Prog::from_id(id) {
        Ok(prog) => prog.pin(pin).trying(failed),
        // Without the privilege to look up ids there is no way back, and still one forward.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
        Err(error) => Err(error).trying(failed),
    }
}
