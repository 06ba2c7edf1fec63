//! The staged generation: made beside the live one, and dropped or committed as a whole.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use maplock_layout::conversion::Collide;
use maplock_layout::conversion::Conversion;
use maplock_layout::{MapDef, SumPlace};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::derivation::{Converted, Derivation, Ways, ways_back};
use crate::generation::directory;
use crate::generation::names::{self, Came, pin_name};
use crate::generation::origin::Origin;
use crate::generation::site::Site;
use crate::plan::{Action, Live, MapPlan, Plan, Since};
use crate::sys::bpffs::{self, Named as _, Pin};
use crate::sys::{Map, Prog};
use crate::transfer::{self, Convert, Side, Sum, Transfer, Way};
use crate::upgrade::begin::Upgrade;
use crate::upgrade::create::create;
use crate::upgrade::discard;
use crate::upgrade::hooks::Hook;
use crate::upgrade::inputs::COUNTING;
use crate::upgrade::look_back::GoesBack;
use crate::upgrade::report::{MapReport, Progress, Report};
use crate::upgrade::settle::return_converted;

/// A generation beside the live one. Dropped, it is removed, and the live generation is as it was.
#[derive(Debug)]
pub struct Staged {
    pub(super) upgrade: Upgrade,
    pub(super) maps: BTreeMap<String, StagedMap>,
    /// Maps that this build lacks, which go along: no loader sees them.
    pub(super) along: BTreeMap<String, StagedMap>,
    pub(super) hooks: BTreeMap<String, (Prog, Hook)>,
    /// Maps that entries were copied from, held open: what is written to them is brought over only at the commit, whatever becomes of the pins.
    sources: Vec<Map>,
    /// Those whose entries go back to an older layout.
    pub(super) going_back: Vec<GoesBack>,
    pub(super) report: Report,
    pub(super) is_committed: bool,
    /// Told to those who have handles of its maps.
    pub(super) origin: Origin,
}

#[derive(Debug)]
pub(super) struct StagedMap {
    pub(super) map: Map,
    pub(super) pin: Pin,
}

impl Upgrade {
    /// Makes the new generation beside the live one: maps created, grown, linked. Nothing of it is visible yet, and the live
    /// generation goes on.
    ///
    /// # Errors
    /// If the plan refuses a map, or the kernel refuses a call. Nothing is left behind then.
    pub fn stage(self) -> Result<Staged, Error> {
        Staged::stage(self)
    }
}

impl Staged {
    pub(crate) fn stage(upgrade: Upgrade) -> Result<Self, Error> {
        let _span = tracing::info_span!("stage", dir = %upgrade.site.dir.display()).entered();
        if let Some(plan) = upgrade.plan.maps.iter().find(|map| matches!(map.action, Action::Refuse { .. })) {
            return Err(refused(plan));
        }
        let next = &upgrade.site.next;
        if !bpffs::make_dir(next).trying(|| format!("can't make `{}`", next.display()))? {
            let message =
                format!("`{}` was put there by somebody else while the upgrade began; start again", next.display());
            return Err(Error::new(ErrorKind::Place, message));
        }
        let left_behind = upgrade.left_behind.clone();
        let origin = Origin::new(upgrade.site.dir.path(), None);
        let mut staged = Self {
            upgrade,
            origin,
            maps: BTreeMap::new(),
            along: BTreeMap::new(),
            hooks: BTreeMap::new(),
            sources: Vec::new(),
            going_back: Vec::new(),
            report: Report { left_behind, ..Report::default() },
            is_committed: false,
        };
        let Site { dir, next, .. } = &staged.upgrade.site;
        staged.upgrade.lock.join(next)?;
        if directory::is_there(dir)? && !staged.upgrade.site.is_root {
            bpffs::copy_owner_and_mode(dir, next)
                .trying(|| format!("can't set owner and mode of `{}`", next.display()))?;
        }
        let plans = staged.upgrade.plan.maps.clone();
        for plan in &plans {
            staged.stage_map(plan)?;
        }
        Ok(staged)
    }

    fn stage_map(&mut self, plan: &MapPlan) -> Result<(), Error> {
        let _span = tracing::info_span!("map", map = plan.map, disposition = plan.disposition().name()).entered();
        let started = Instant::now();
        let mut report = MapReport::new(&plan.map, plan.disposition());
        report.types_unknown = plan.untold();
        report.foreseen(&plan.hazard);
        let pin = self.upgrade.site.next.join(pin_name(&plan.map));
        let map = match &plan.action {
            Action::GiveUp { live, pin_stays: true, .. } => {
                (report.kept, report.pin_stays) = (live.entries.unwrap_or(0), true);
                self.report.maps.push(report);
                return Ok(());
            }
            // It is unpinned at commit, and kept for a roll-back.
            Action::GiveUp { live, loses_entries, .. } => {
                report.lost = if *loses_entries { live.entries } else { Some(0) };
                self.report.maps.push(report);
                return Ok(());
            }
            Action::GoAlong { live } => {
                report.kept = live.entries.unwrap_or(0);
                let map = linked(plan, (&self.upgrade.site.pin(&live.pin)?, live.id), &pin)?;
                self.report.maps.push(report);
                self.along.insert(plan.map.clone(), StagedMap { map, pin });
                return Ok(());
            }
            Action::Refuse { .. } => return Err(refused(plan)),
            Action::Create { new, loses_entries } => {
                report.lost = if *loses_entries { None } else { Some(0) };
                pinned(&new.def, &pin, None, None)?
            }
            Action::Reuse { live, .. } => {
                report.kept = live.entries.unwrap_or(0);
                linked(plan, (&self.upgrade.site.pin(&live.pin)?, live.id), &pin)?
            }
            Action::TakeBack { kept, since, .. } => {
                let map = linked(plan, (&self.upgrade.site.pin(&kept.pin)?, kept.id), &pin)?;
                match since {
                    Since::ConvertedBack { live, .. } => {
                        let settled = self.settle_back(&plan.map, live, &map)?;
                        report.method = settled.method.map(transfer::Method::name);
                        report.carried(&settled);
                    }
                    Since::Left { live, loses_entries: true } => report.lost = live.entries,
                    Since::Nothing | Since::Left { .. } => {}
                }
                report.kept = transfer::count(&map, COUNTING).unwrap_or(0);
                map
            }
            Action::Convert { live, new, conversion, loss, carry, back } => {
                let at = self.upgrade.site.pin(&live.pin)?;
                let old = open_live(plan, live, &at)?;
                let map = pinned(&new.def, &pin, Some(&at), None)?;
                let copied = self.convert(plan, (&old, &map), conversion, &carry.sums)?;
                report.converted(&copied);
                // How many of several stay, or what code makes of them, nothing counts.
                if loss.by_hand || conversion.collide() == Some(Collide::KeepOne) {
                    report.lost = None;
                }
                match back {
                    Some(back) => {
                        self.going_back.push(GoesBack::converted(&plan.map, old, conversion, &back.again));
                    }
                    None => self.sources.push(old),
                }
                map
            }
            Action::Grow { live, new, carry }
            | Action::Shrink { live, new, carry }
            | Action::CarryBack { live, new, carry } => {
                let at = self.upgrade.site.pin(&live.pin)?;
                let old = open_live(plan, live, &at)?;
                let map = pinned(&new.def, &pin, Some(&at), Some(&old))?;
                let copied = self.copy(plan, (&old, &map), &carry.sums)?;
                report.copied(&copied);
                self.sources.push(old);
                map
            }
            Action::Swap { live, new, loses_entries } => {
                report.lost = if *loses_entries { live.entries } else { Some(0) };
                pinned(&new.def, &pin, Some(&self.upgrade.site.pin(&live.pin)?), None)?
            }
        };
        report.time = started.elapsed();
        tracing::info!(map = plan.map, id = map.info().id, kept = report.kept, bytes = report.bytes, "staged");
        self.report.maps.push(report);
        self.maps.insert(plan.map.clone(), StagedMap { map, pin });
        Ok(())
    }

    /// Every entry of `old` to `new`, which nobody uses yet; and a record of it, by which the rest is settled later.
    fn copy(&mut self, plan: &MapPlan, (old, new): (&Map, &Map), sums: &[Sum]) -> Result<transfer::Copied, Error> {
        let name = plan.map.as_str();
        let next = &self.upgrade.site.next;
        let base = if transfer::needs_base(old.info().map_type) {
            let base = transfer::new_base(old).trying(|| format!("can't make a snapshot of map `{name}`"))?;
            let pin = next.join(names::base_of(&pin_name(name)));
            directory::pin_like(&base, &pin, &next.join(pin_name(name)))
                .trying(|| format!("can't pin `{}`", pin.display()))?;
            Some(base)
        } else {
            None
        };
        let record = next.join(names::transfer_of(&pin_name(name), Came::New));
        let (from, to, came) = (old.info().id, new.info().id, Came::New);
        let derivation = Derivation { from, to, was: plan.old_pin(), sums: sums.to_vec(), converted: None, came };
        bpffs::write_record(&record, &derivation.to_text()).trying(|| format!("can't write `{}`", record.display()))?;
        let progress = &mut self.upgrade.progress;
        let mut tell = |done, total| progress(Progress { map: name, done, total });
        let transfer = Transfer { from: old, to: new, base: base.as_ref(), sums };
        let copied = transfer
            .copy(&mut transfer::TransferOptions { progress: Some(&mut tell), ..transfer::TransferOptions::default() });
        copied.map_err(|error| Error::because(ErrorKind::Kernel, format!("can't copy map `{name}`"), error))
    }

    /// What was written since the kept map was left, converted back into it.
    fn settle_back(&mut self, name: &str, live: &Live, kept: &Map) -> Result<transfer::Settled, Error> {
        let Site { dir, next, .. } = &self.upgrade.site;
        let pin = pin_name(name);
        let at = self.upgrade.site.pin(&live.pin)?;
        let was = at.file_name();
        let live = Map::open(&at).trying(|| format!("can't open map `{}`", at.display()))?;
        let ids = (kept.info().id, live.info().id);
        let records = ways_back(dir)?;
        let record = records.iter().find(|(map, record)| *map == was && record.is_between(ids));
        let settled = record.map(|(_, record)| {
            let pins = (dir.join(&was), next.join(&pin));
            return_converted(record, (&pins.0, &pins.1), (&live, kept), Came::New, &self.upgrade.migrations)
        });
        let settled = settled.transpose()?.flatten().ok_or_else(|| {
            let message = format!("no way leads back from map `{name}` any more; start again");
            Error::new(ErrorKind::Place, message)
        })?;
        self.going_back.extend(GoesBack::to_kept(name, live, ids.0, dir, &was));
        Ok(settled)
    }

    /// As [`Self::copy`], every entry in its new layout.
    fn convert(
        &mut self,
        plan: &MapPlan,
        (old, new): (&Map, &Map),
        there: &Conversion,
        sums: &[Sum],
    ) -> Result<transfer::Copied, Error> {
        let (name, pin_name) = (plan.map.as_str(), pin_name(&plan.map));
        let next = &self.upgrade.site.next;
        let what = || format!("can't convert map `{name}`");
        let info = old.info();
        let way = Way::new(there, &self.upgrade.migrations, info.key_size, info.value_size);
        let way = way.map_err(|error| Error::because(ErrorKind::Kernel, what(), error))?;
        let is_keyless = info.map_type.is_keyless();
        let base = match is_keyless {
            true => None,
            false => {
                let base = transfer::new_base(old).trying(|| format!("can't make a snapshot of map `{name}`"))?;
                let pin = next.join(names::base_of(&pin_name));
                directory::pin_like(&base, &pin, &next.join(&pin_name))
                    .trying(|| format!("can't pin `{}`", pin.display()))?;
                Some(base)
            }
        };
        let ways = Ways { back: there.inverse(), there: there.clone() };
        ways.write(next, &pin_name, Came::New)?;
        let old_sums = old_sums(&ways, sums);
        let derivation = Derivation {
            from: info.id,
            to: new.info().id,
            was: plan.old_pin(),
            sums: sums.to_vec(),
            converted: Some(Converted { base_of: Side::From, old_sums }),
            came: Came::New,
        };
        let record = next.join(names::transfer_of(&pin_name, Came::New));
        bpffs::write_record(&record, &derivation.to_text()).trying(|| format!("can't write `{}`", record.display()))?;
        let progress = &mut self.upgrade.progress;
        let mut tell = |done, total| progress(Progress { map: name, done, total });
        let convert =
            Convert { from: old, to: new, base: base.as_ref(), base_of: Side::From, there: &way, back: None, sums };
        let mut options =
            transfer::TransferOptions { progress: Some(&mut tell), ..transfer::TransferOptions::default() };
        convert.copy(&mut options).map_err(|error| Error::because(ErrorKind::Kernel, what(), error))
    }

    /// The generation that it will be: known once it is committed.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }

    /// The plan that was followed.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.upgrade.plan
    }

    /// The directory in which it is staged.
    #[must_use]
    pub fn staging_dir(&self) -> &Path {
        self.upgrade.site.next.path()
    }

    /// A staged map: for the loader, and to fill it before the new programs run.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.maps.get(name).map(|staged| &staged.map)
    }

    /// Where a staged map is pinned until the commit.
    #[must_use]
    pub fn pin(&self, name: &str) -> Option<&Path> {
        self.maps.get(name).map(|staged| staged.pin.path())
    }

    /// All staged maps, by name.
    pub fn maps(&self) -> impl Iterator<Item = (&str, &Map)> {
        self.maps.iter().map(|(name, staged)| (name.as_str(), &staged.map))
    }

    /// Says which program is to run at a hook. The commit attaches it: in the link that the live generation has there,
    /// whatever its name, or else by a new link. The link is pinned under `name`. Hooks of the live generation that are not
    /// named here are detached after the commit.
    ///
    /// # Errors
    /// If the name can't be that of a pin, or if the program uses a map that is not the staged one, because the loader made
    /// or opened one by itself. [`Self::commit`] compares programs that are called by tables (`prog_array`) with the staged
    /// maps too.
    pub fn hook(&mut self, name: &str, prog: impl AsFd, hook: Hook) -> Result<(), Error> {
        let taken = self.is_staged(name) || names::is_own(name) || self.hooks.contains_key(name);
        if taken || name.is_empty() || name.contains(['.', '/', '@']) {
            let message = format!(
                "a hook can't be called `{name}`: its link is pinned under that name, which is taken, empty, or has one of `. / @`"
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let failed = || format!("can't look at the program of hook `{name}`");
        let prog = Prog::from_fd(prog.as_fd().try_clone_to_owned().trying(failed)?);
        let info = prog.info().trying(failed)?;
        for id in &info.map_ids {
            self.check_map_of(&format!("the program of hook `{name}`"), *id)?;
        }
        self.hooks.insert(name.to_owned(), (prog, hook));
        Ok(())
    }

    /// True for the name of a pin in the staged directory that is a map's.
    pub(super) fn is_staged(&self, pin: &str) -> bool {
        self.maps.keys().chain(self.along.keys()).any(|map| pin_name(map) == pin)
    }
}

/// Where the counts of the new map were in the old one.
pub(crate) fn old_sums(ways: &Ways, sums: &[Sum]) -> Vec<Sum> {
    let places: Vec<_> =
        sums.iter().map(|sum| SumPlace { offset: sum.offset, width: sum.width, signed: sum.signed }).collect();
    let back = ways.there.sums_back(&places);
    back.into_iter().map(|place| Sum { offset: place.offset, width: place.width, signed: place.signed }).collect()
}

/// A new map, pinned as `pin` with the owner and mode of the pin that it replaces.
fn pinned(def: &MapDef, pin: &Pin, replaces: Option<&Pin>, like: Option<&Map>) -> Result<Map, Error> {
    let map = create(def, like)?;
    map.pin(pin).trying(|| format!("can't pin map `{}` as `{}`", def.name, pin.display()))?;
    if let Some(old) = replaces {
        directory::keep_owner_and_mode(old, pin)?;
    }
    Ok(map)
}

/// What is pinned as `from` under the number `id`, pinned as `pin` too.
fn linked(plan: &MapPlan, (from, id): (&Pin, u32), pin: &Pin) -> Result<Map, Error> {
    bpffs::hard_link(from, pin).trying(|| format!("can't link pin `{}` to `{}`", from.display(), pin.display()))?;
    let map = Map::open(pin).trying(|| format!("can't open map `{}`", pin.display()))?;
    check_id(plan, &map, id)?;
    Ok(map)
}

fn open_live(plan: &MapPlan, live: &Live, at: &Pin) -> Result<Map, Error> {
    let map = Map::open(at).trying(|| format!("can't open map `{}`", at.display()))?;
    check_id(plan, &map, live.id)?;
    Ok(map)
}

/// The pin at the first look and this one are of the same map, or somebody has been at it.
fn check_id(plan: &MapPlan, map: &Map, id: u32) -> Result<(), Error> {
    if map.info().id == id {
        return Ok(());
    }
    let message = format!("pin `{}` was exchanged for another while the upgrade was planned; start again", plan.map);
    Err(Error::new(ErrorKind::Place, message))
}

fn refused(plan: &MapPlan) -> Error {
    if plan.removed.is_some() {
        let message =
            format!("map `{}` is refused: {}; or decide by the daemon's policy, `Policy::missing`", plan.map, plan.why);
        return Error::new(ErrorKind::Refused, message);
    }
    if let Some(capability) = plan.needs {
        return Error::needs(capability, format!("map `{}` is refused: {}", plan.map, plan.why));
    }
    let message = format!(
        "map `{}` is refused: {}; see what changed with `maplock plan`, and decide: accept the change into maps.lock (`cargo maplock \
         accept {0}`), or set the daemon's policy",
        plan.map, plan.why
    );
    Error::new(ErrorKind::Refused, message)
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_committed
            && let Err(error) = discard::discard(&self.upgrade.site)
        {
            tracing::error!(%error, "can't remove what was staged; the next start does");
        }
    }
}
