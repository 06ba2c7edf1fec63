//! The steps of a test, one behind the other.

use std::collections::BTreeSet;
use std::time::Duration;

use maplock::internals::sys::bpffs::{self, Dir};
use maplock::layout::{Disposition, Lock};
use maplock::plan::PinnedLock;

use crate::compare::{Compared, Side};
use crate::driver::{Driver, Release, Result, Stop, TRAFFIC};
use crate::error::Error;
use crate::expected::Expected;
use crate::outcome::{Killed, Outcome, Phase};
use crate::picture::Picture;
use crate::traffic::Traffic;

impl Driver {
    pub(crate) fn all(mut self) -> std::result::Result<Outcome, Error> {
        let failure = match self.steps() {
            Ok(()) => None,
            Err(Stop::Failed(failure)) => Some(failure),
            Err(Stop::Error(error)) => return Err(error),
        };
        let (seed, logs, has_written) = (self.test.seed, self.logs.clone(), self.has_written);
        Ok(Outcome { phases: std::mem::take(&mut self.phases), failure, traffic: self.ran, has_written, seed, logs })
    }

    fn steps(&mut self) -> Result<()> {
        if let Some(command) = self.test.setup.clone() {
            self.begin("setup");
            self.set_up(&command)?;
        }
        let what = "first installation of the new release";
        let Some(new) = self.install(what, Release::New)? else {
            return self.failed("it is no generation of maplock".to_owned(), self.last_log());
        };
        let foreign_new = self.picture()?.foreign;
        self.forget()?;
        let old = self.install("first installation of the old release", Release::Old)?;
        self.is_adopted = old.is_none();
        // Where nothing else says what programs of the older release do, they do what the newer ones do.
        let old = old.unwrap_or_else(|| new.clone());
        let foreign: BTreeSet<_> = self.picture()?.foreign.into_iter().chain(foreign_new).collect();
        let is_unknown = |map: &&String| !(old.maps.contains_key(*map) || new.maps.contains_key(*map));
        if let Some(map) = self.test.except.iter().find(is_unknown) {
            return Err(Error::new(format_args!("neither release pins a map `{map}`, which is excepted")).into());
        }
        self.begin("traffic");
        let before = self.picture()?;
        let log = self.logs.join(TRAFFIC);
        let traffic = Traffic::start(&self.test.with, &self.place, self.world.cgroup(), log)?;
        self.traffic = Some(traffic);
        self.await_writes(&before, &old)?;
        let sides = (old, new);
        self.round_standing_still(&sides)?;
        self.round(&sides, false)?;
        for _ in 0..self.test.kills {
            self.round(&sides, true)?;
        }
        self.begin("end");
        self.end(&foreign)
    }

    /// There and back while the traffic stands still: every byte has to be what it was.
    fn round_standing_still(&mut self, (old, new): &(Lock, Lock)) -> Result<()> {
        self.begin("upgrade, traffic stands still");
        self.freeze()?;
        let before = self.still()?;
        let plan = self.plan(new)?;
        let took = self.start(Release::New)?;
        let after = self.still()?;
        let moving: BTreeSet<_> = before.moving.union(&after.moving).cloned().collect();
        let maps = after
            .picture
            .compare(&Expected::by(&plan, &before.picture), Side { old, new }, |map| !moving.contains(map));
        self.judge("upgrade", false, took, maps, (&before.picture, &after.picture), None)?;

        self.begin("roll-back, traffic stands still");
        self.stop_daemons(0)?;
        let (took, report) = self.roll_back()?;
        let back = self.still()?;
        let is_quiet = |map: &str| !moving.contains(map) && !back.moving.contains(map);
        let maps = back.picture.compare(&Expected::same(&before.picture), Side { old, new: old }, is_quiet);
        self.judge("roll-back", false, took, maps, (&after.picture, &back.picture), None)?;
        self.report(report)?;
        self.is_again(&before.picture, &back.picture)?;
        self.thaw()?;
        self.start_old_again(old, &back.picture)
    }

    /// There and back under traffic; if `kills`, the start is killed before, and tried again.
    fn round(&mut self, (old, new): &(Lock, Lock), kills: bool) -> Result<()> {
        self.is_after_a_kill = kills;
        let what = if kills { "upgrade, killed and started again" } else { "upgrade" };
        self.begin(&format!("{what}, under traffic"));
        self.let_run()?;
        let before = self.look()?;
        let plan = self.plan(new)?;
        let killed = if kills { Some(self.start_and_kill(Release::New)?) } else { None };
        let took = self.start(Release::New)?;
        if !kills {
            self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
            self.let_run()?;
        }
        let after = self.look()?;
        let maps = after.compare(&Expected::by(&plan, &before), Side { old, new }, |_| false);
        self.judge(what, true, took, maps, (&before, &after), killed)?;

        self.begin("roll-back, under traffic");
        self.stop_daemons(0)?;
        let (took, report) = self.roll_back()?;
        let back = self.look()?;
        let maps = back.compare(&Expected::same(&before), Side { old, new: old }, |_| false);
        self.judge("roll-back", true, took, maps, (&after, &back), None)?;
        self.report(report)?;
        self.is_again(&before, &back)?;
        let lacking = back
            .lacking(&after, Side { old, new })
            .into_iter()
            .find(|lacking| !self.test.except.contains(&lacking.map));
        if let Some(lacking) = lacking {
            return self.failed(lacking.to_string(), None);
        }
        self.start_old_again(old, &back)
    }

    /// As whoever runs the release before again does. After a start that was killed, this one is killed as well, and tried again.
    fn start_old_again(&mut self, old: &Lock, before: &Picture) -> Result<()> {
        let what = "start of the old release after it";
        self.begin(&format!("{what}, under traffic"));
        // What a loader of its own does when it is killed is not maplock's to promise.
        let is_killed = self.is_after_a_kill && !self.is_adopted;
        let killed = if is_killed { Some(self.start_and_kill(Release::Old)?) } else { None };
        let took = self.start(Release::Old)?;
        let after = self.look()?;
        let maps = after.compare(&Expected::same(before), Side { old, new: old }, |_| false);
        self.judge(what, true, took, maps, (before, &after), killed)
    }

    /// A first start, on a node where nothing is pinned: the lock of that release; `None` of a daemon without maplock.
    fn install(&mut self, what: &'static str, release: Release) -> Result<Option<Lock>> {
        self.begin(what);
        let took = self.start(release)?;
        let picture = self.picture()?;
        let generation = picture.generation;
        let (maps, killed, report, is_after_a_kill) = (Vec::new(), None, None, false);
        self.phases.push(Phase { what, has_traffic: false, generation, took, maps, is_after_a_kill, killed, report });
        match PinnedLock::of(&Dir::at(&self.place.pins)).lock() {
            Some(lock) => Ok(Some(lock.clone())),
            None if generation.is_none() => Ok(None),
            None => {
                let what =
                    format!("it pinned no lock in {}: its maplock is too old for this", self.place.pins.display());
                self.failed(what, self.last_log())
            }
        }
    }

    /// Takes note of what was done, and ends if state is lost.
    fn judge(
        &mut self,
        what: &'static str,
        has_traffic: bool,
        took: Duration,
        mut maps: Vec<Compared>,
        (before, after): (&Picture, &Picture),
        killed: Option<Killed>,
    ) -> Result<()> {
        for map in &mut maps {
            map.is_excepted = self.test.except.contains(&map.map);
        }
        let lost: Vec<_> = maps.iter().filter(|map| map.fails()).map(|map| format!("`{}`", map.map)).collect();
        let (generation, is_after_a_kill) = (after.generation, self.is_after_a_kill);
        self.phases.push(Phase { what, has_traffic, generation, took, maps, is_after_a_kill, killed, report: None });
        if !lost.is_empty() {
            return self.failed(format!("state of {} is lost", lost.join(", ")), self.last_log());
        }
        if after.is_staged {
            return self.failed("something is still staged beside the live generation".to_owned(), self.last_log());
        }
        if let Some((link, map)) = after.mixed(before) {
            let what = format!("link `{link}` runs a program that uses the map which was `{map}` before");
            return self.failed(what, self.last_log());
        }
        Ok(())
    }

    /// Takes note of what a roll-back says of itself. Maps that the older release has not are given up by it.
    fn report(&mut self, report: maplock::Report) -> Result<()> {
        let is_lost = |map: &&maplock::MapReport| {
            map.lost.is_some_and(|lost| lost > 0)
                && map.disposition != Disposition::Drop
                && !self.test.except.contains(&map.map)
        };
        let lost = report.maps.iter().find(is_lost).map(|map| (map.map.clone(), map.lost.unwrap_or_default()));
        if let Some(phase) = self.phases.last_mut() {
            phase.report = Some(report);
        }
        let Some((map, lost)) = lost else { return Ok(()) };
        let noun = if lost == 1 { "entry" } else { "entries" };
        self.failed(
            format!(
                "the roll-back gives up {lost} {noun} of `{map}` that were made since the upgrade, as it says itself"
            ),
            None,
        )
    }

    /// A roll-back leads to the maps that were live before.
    fn is_again(&mut self, before: &Picture, back: &Picture) -> Result<()> {
        match back.another(before) {
            Some(map) => {
                self.failed(format!("the roll-back does not lead back: map `{map}` is another than before"), None)
            }
            None => Ok(()),
        }
    }

    /// Ends the traffic, and looks for what is left behind.
    fn end(&mut self, foreign: &BTreeSet<String>) -> Result<()> {
        if let Some(traffic) = self.traffic.take() {
            let runs = traffic.runs;
            match traffic.stop(self.world.cgroup())? {
                Ok(ran) => self.ran = Some((runs, ran)),
                Err((what, log)) => return self.failed(what, Some(log)),
            }
        }
        self.stop_daemons(0)?;
        maplock::confirm(&self.place.pins, self.test.patience)?;
        let picture = self.picture()?;
        let left: Vec<_> = picture.foreign.into_iter().filter(|name| !foreign.contains(name)).collect();
        if !left.is_empty() {
            return self
                .failed(format!("pins are left behind in {}: {}", self.place.pins.display(), left.join(", ")), None);
        }
        let (above, own) =
            (self.place.pins.parent(), self.place.pins.file_name().unwrap_or_default().to_string_lossy());
        let names =
            above.map(bpffs::names).transpose().map_err(|error| Error::because("could not list the pins", error))?;
        let beside =
            names.flatten().unwrap_or_default().into_iter().filter(|name| name.starts_with(&format!("{own}@")));
        let beside: Vec<_> = beside.collect();
        if !beside.is_empty() {
            return self.failed(format!("generations are left behind: {}", beside.join(", ")), None);
        }
        Ok(())
    }
}
