//! What the steps of a test are made of: daemons that are started, killed and ended, traffic that stands still, and looks at the maps.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use maplock::handles::Generation;
use maplock::internals::inspect::generations;
use maplock::layout::lock::LockedMap;
use maplock::layout::{Lock, ProgramUse};
use maplock::{Plan, Recovered, Rollback, Spec};

use crate::error::Error;
use crate::group::Group;
use crate::outcome::{Failure, Killed, Phase, When};
use crate::picture::Picture;
use crate::running::{Place, Running, ended_as_asked, words};
use crate::test::TestUpgrade;
use crate::traffic::Traffic;
use crate::world::{BPFFS, World};

/// Between two pictures that are to be alike.
const STILL: Duration = Duration::from_millis(30);

/// Pictures that are taken at the most until two are alike.
const PICTURES: u32 = 20;

/// How long the first write is waited for if it is not known that programs write.
const FIRST_WRITES: Duration = Duration::from_secs(10);

/// How long pins that maplock did not make have to stay the same until their daemon counts as ready.
const STAYS: Duration = Duration::from_millis(500);

/// How long a daemon may take to end.
const ENDING: Duration = Duration::from_secs(10);

/// The file of what the traffic says.
pub(crate) const TRAFFIC: &str = "traffic.log";

/// Why the steps end before the last.
pub(crate) enum Stop {
    Failed(Failure),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<maplock::Error> for Stop {
    fn from(error: maplock::Error) -> Self {
        Self::Error(Error::new(error))
    }
}

pub(crate) type Result<T> = std::result::Result<T, Stop>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    Old,
    New,
}

/// A daemon that was started. Dropped, it is killed with its group.
struct Daemon {
    running: Running,
    group: Group,
}

/// What was there before a start.
struct Before {
    live: Option<Generation>,
    /// What a crash left at its commit: a start completes that first, and then makes a generation of its own.
    left: Option<u64>,
}

impl Before {
    fn of(pins: &Path) -> Result<Self> {
        let found = generations(pins)?;
        let staged = found.staged.as_ref().filter(|_| found.next == Recovered::Completed);
        let left = staged.and_then(|staged| staged.meta.as_ref()).map(|meta| meta.generation);
        Ok(Self { live: Generation::at(pins)?, left })
    }

    /// True if the start has made another generation, and nothing is staged any more.
    fn is_over(&self, pins: &Path) -> Result<bool> {
        let now = Generation::at(pins)?;
        let number = now.and_then(|now| now.number());
        Ok(now != self.live && number.is_some() && number != self.left && !staged(pins))
    }
}

/// Tells when a daemon without maplock is ready: its maps are pinned, and its pins stay the same for a while. The kernel shows no more of it.
struct Foreign {
    /// True if that is known: a roll-back leaves a generation of maplock to it.
    is_adopted: bool,
    seen: Option<(Vec<String>, Instant)>,
}

impl Foreign {
    fn is_ready(&mut self, pins: &Path, has_ended: bool) -> Result<bool> {
        let Some(names) = self.names(pins)? else { return Ok(false) };
        match &self.seen {
            Some((seen, since)) if *seen == names => Ok(has_ended || since.elapsed() >= STAYS),
            _ => {
                self.seen = Some((names, Instant::now()));
                Ok(has_ended)
            }
        }
    }

    /// What is pinned, if maps are, and maplock did not make it.
    fn names(&self, pins: &Path) -> Result<Option<Vec<String>>> {
        let live = generations(pins)?.live;
        let all = || live.maps.keys().chain(live.progs.keys()).chain(live.links.keys()).chain(&live.dirs);
        let is_its_own = self.is_adopted || live.meta.is_none();
        Ok((is_its_own && !live.maps.is_empty()).then(|| all().cloned().collect()))
    }
}

/// True if something is staged.
fn staged(pins: &Path) -> bool {
    let mut name = pins.file_name().unwrap_or_default().to_owned();
    name.push("@next");
    pins.with_file_name(name).exists()
}

/// What the maps held while the traffic stood still.
pub(crate) struct Still {
    pub(crate) picture: Picture,
    /// Maps that were written all the same.
    pub(crate) moving: BTreeSet<String>,
}

/// A test that runs.
pub(crate) struct Driver {
    pub(crate) test: TestUpgrade,
    pub(crate) place: Place,
    pub(crate) logs: PathBuf,
    rng: fastrand::Rng,
    /// The shortest upgrade so far that was not killed: kills later than that meet none.
    pub(crate) shortest: Option<Duration>,
    started: u32,
    pub(crate) traffic: Option<Traffic>,
    daemons: Vec<Daemon>,
    setup: Option<Group>,
    pub(crate) world: World,
    phase: String,
    pub(crate) is_after_a_kill: bool,
    /// True if the older release is a daemon without maplock.
    pub(crate) is_adopted: bool,
    /// True once a map has changed under traffic that programs may write.
    pub(crate) has_written: bool,
    pub(crate) phases: Vec<Phase>,
    pub(crate) ran: Option<(u32, Duration)>,
}

impl Driver {
    pub(crate) fn of(test: TestUpgrade) -> std::result::Result<Self, Error> {
        let logs = match &test.logs {
            Some(dir) => fs::create_dir_all(dir).map(|()| dir.clone()),
            None => tempfile::Builder::new().prefix("maplock-test-upgrade-").tempdir().map(|dir| dir.keep()),
        };
        // Who is started may be elsewhere.
        let logs = logs.and_then(std::path::absolute);
        let logs = logs.map_err(|error| Error::because("could not make the directory of the logs", error))?;
        let world = World::enter(test.own_network)?;
        let place = Place { pins: test.pins.clone(), cgroup: world.cgroup().path().to_owned(), logs: logs.clone() };
        if let Some(parent) = test.pins.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| Error::because(format_args!("could not make {}", parent.display()), error))?;
        }
        let rng = fastrand::Rng::with_seed(test.seed);
        let (traffic, daemons, setup, phases) = (None, Vec::new(), None, Vec::new());
        let (shortest, started, phase, ran) = (None, 0, String::new(), None);
        let (is_after_a_kill, is_adopted, has_written) = (false, false, false);
        Ok(Self {
            test,
            place,
            logs,
            rng,
            shortest,
            started,
            traffic,
            daemons,
            setup,
            world,
            phase,
            is_after_a_kill,
            is_adopted,
            has_written,
            phases,
            ran,
        })
    }

    pub(crate) fn set_up(&mut self, command: &str) -> Result<()> {
        let group = self.world.group("setup").map_err(|error| Error::because("could not make a cgroup", error))?;
        let running = Running::start(command, &self.place, group.path(), self.logs.join("setup.log"));
        let mut running = running.map_err(|error| Error::because("could not start the setup", error))?;
        self.setup = Some(group);
        let status = self.wait(self.test.patience, |_| running.status().map_err(|error| Error::new(error).into()))?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => self.failed(format!("the setup {}", words(status)), Some(running.log.clone())),
            None => self.failed(
                format!("the setup does not end in {} s", self.test.patience.as_secs()),
                Some(running.log.clone()),
            ),
        }
    }

    /// All that is pinned goes, with the daemons.
    pub(crate) fn forget(&mut self) -> Result<()> {
        self.stop_daemons(0)?;
        for entry in fs::read_dir(BPFFS).into_iter().flatten().flatten() {
            let path = entry.path();
            // The kernel's own can't be removed, nor need they be.
            _ = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
        }
        if let Some(parent) = self.place.pins.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| Error::because("could not make the directory above the pins", error))?;
        }
        Ok(())
    }

    fn spawn(&mut self, release: Release) -> Result<()> {
        self.started += 1;
        let (name, command) = match release {
            Release::Old => ("old", self.test.old.clone()),
            Release::New => ("new", self.test.new.clone()),
        };
        let name = format!("{:02}-{name}", self.started);
        let group = self.world.group(&name).map_err(|error| Error::because("could not make a cgroup", error))?;
        let running = Running::start(&command, &self.place, group.path(), self.logs.join(format!("{name}.log")));
        let running = running.map_err(|error| Error::because("could not start a daemon", error))?;
        self.daemons.push(Daemon { running, group });
        Ok(())
    }

    /// Starts a daemon, and ends those before it once it is ready: how long that took. The older one may be a daemon without maplock.
    pub(crate) fn start(&mut self, release: Release) -> Result<Duration> {
        let before = Before::of(&self.place.pins)?;
        self.spawn(release)?;
        let mut foreign = Foreign { is_adopted: self.is_adopted, seen: None };
        let mut is_over = |pins: &Path, has_ended: bool| {
            Ok::<_, Stop>(before.is_over(pins)? || release == Release::Old && foreign.is_ready(pins, has_ended)?)
        };
        let ready = self.wait(self.test.patience, |run| {
            let is_ready = is_over(&run.place.pins, false)?;
            let Some(daemon) = run.daemons.last_mut() else { return Ok(None) };
            let took = daemon.running.started.elapsed();
            if is_ready {
                return Ok(Some(took));
            }
            let status =
                daemon.running.status().map_err(|error| Error::because("could not wait for a daemon", error))?;
            // Whoever leaves a process behind has ended well for now.
            let is_gone = |status: &ExitStatus| !status.success() || daemon.group.is_empty().unwrap_or(true);
            match status.filter(is_gone) {
                // It may have become ready between the two looks.
                Some(status) if status.success() && is_over(&run.place.pins, true)? => Ok(Some(took)),
                Some(status) => run.failed(format!("the daemon {} before it was ready", words(status)), run.last_log()),
                None => Ok(None),
            }
        })?;
        let Some(took) = ready else {
            let patience = self.test.patience.as_secs_f64();
            let what = match staged(&self.place.pins) {
                true => "what it staged is not live yet",
                false => "no other generation is live",
            };
            let dir = self.place.pins.display();
            return self
                .failed(format!("the daemon is not ready after {patience} s: {what} in {dir}"), self.last_log());
        };
        self.stop_daemons(1)?;
        Ok(took)
    }

    /// Starts a daemon and kills it: half of the times from when it has begun to stage.
    pub(crate) fn start_and_kill(&mut self, release: Release) -> Result<Killed> {
        let before = Before::of(&self.place.pins)?;
        let (from_staging, part) = (self.rng.bool(), self.rng.f64());
        let delay = self.shortest.unwrap_or_default().mul_f64(part);
        self.spawn(release)?;
        let began = Instant::now();
        let mut from = (!from_staging).then_some(began);
        self.wait(self.test.patience, |run| {
            // Ready already: there is nothing to wait for.
            if from.is_none() && (staged(&run.place.pins) || before.is_over(&run.place.pins)?) {
                from = Some(Instant::now());
            }
            Ok(from.filter(|from| from.elapsed() >= delay).map(drop))
        })?;
        let after = began.elapsed();
        if let Some(mut daemon) = self.daemons.pop() {
            let Daemon { running, group } = &mut daemon;
            running.kill(group).map_err(|error| Error::because("could not kill a daemon", error))?;
        }
        let found = generations(&self.place.pins)?;
        let is_old = release == Release::Old;
        let when = match found.next {
            Recovered::Completed => When::Committing,
            _ if before.is_over(&self.place.pins)? => When::Live,
            _ if found.staged.is_some() => When::Staging,
            _ => When::BeforeStaging,
        };
        Ok(Killed { is_old, after, when })
    }

    /// Ends the daemons but for the last ones. What is lost by one that crashes then, no other step looks at.
    pub(crate) fn stop_daemons(&mut self, but: usize) -> Result<()> {
        let older = self.daemons.len().saturating_sub(but);
        for mut daemon in self.daemons.drain(..older).collect::<Vec<_>>() {
            let Daemon { running, group } = &mut daemon;
            let stopped = running.stop(group, ENDING);
            let (status, was_killed) = stopped.map_err(|error| Error::because("could not end a daemon", error))?;
            let log = running.log.clone();
            if was_killed {
                let time = ENDING.as_secs();
                let what = format!("the daemon did not end in {time} s when it was asked to (SIGTERM)");
                return self.failed(what, Some(log));
            }
            if !ended_as_asked(status) {
                let what = format!("the daemon {} when it was asked to end (SIGTERM)", words(status));
                return self.failed(what, Some(log));
            }
        }
        Ok(())
    }

    pub(crate) fn roll_back(&mut self) -> Result<(Duration, maplock::Report)> {
        let start = Instant::now();
        match Rollback::new(&self.place.pins).wait(self.test.patience).run() {
            Ok(report) => Ok((start.elapsed(), report)),
            Err(error) => self.failed(format!("the roll-back fails: {error}"), None),
        }
    }

    /// What the plan by the newer lock is for what is there.
    pub(crate) fn plan(&self, lock: &Lock) -> Result<Plan> {
        Ok(maplock::dry_run(&Spec::from(lock.clone()), &self.place.pins, &self.test.policies)?)
    }

    /// Lets the traffic run for a while.
    pub(crate) fn let_run(&mut self) -> Result<()> {
        self.wait::<()>(self.test.time, |_| Ok(None)).map(drop)
    }

    /// Lets the traffic run for a while from the first write of a program on, which comes late on a busy machine. If programs write and
    /// no write comes, nothing would be tried under traffic. Programs that only read write nothing.
    pub(crate) fn await_writes(&mut self, before: &Picture, lock: &Lock) -> Result<()> {
        // What is set may be what was there, and what is inserted may be gone before anybody looks. A count grows.
        let writes = |map: &LockedMap| map.programs.as_ref().is_some_and(|uses| !uses.adds.is_empty());
        let may_write = |map: &LockedMap| {
            let may = |uses: &ProgramUse| uses.partly || uses.inserts || !uses.sets.is_empty();
            writes(map) || map.programs.as_ref().is_none_or(may)
        };
        // What can't be read shows no write.
        let is_read = |name: &str| before.maps.get(name).is_some_and(|map| map.entries.is_ok());
        let of = |is_so: &dyn Fn(&LockedMap) -> bool| -> Vec<&str> {
            let maps = lock.maps.iter().filter(|(name, map)| is_read(name) && is_so(map));
            maps.map(|(name, _)| name.as_str()).collect()
        };
        let (written, watched) = (of(&writes), of(&may_write));
        if !watched.is_empty() {
            let wrote = |driver: &mut Self| {
                let now = driver.picture()?;
                Ok(watched.iter().any(|name| now.maps.get(*name) != before.maps.get(*name)).then_some(()))
            };
            let time = if written.is_empty() { FIRST_WRITES } else { self.test.patience };
            self.has_written = self.wait(time, wrote)?.is_some();
            if !(self.has_written || written.is_empty()) {
                let names = written.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let what = format!(
                    "it has changed nothing after {} s, and programs add to {names}: it has to reach them",
                    time.as_secs_f64()
                );
                return self.failed(what, Some(self.logs.join(TRAFFIC)));
            }
        }
        self.let_run()
    }

    pub(crate) fn picture(&self) -> Result<Picture> {
        Ok(Picture::take(&self.place.pins)?)
    }

    /// What the maps hold, with the traffic standing still for that long.
    pub(crate) fn look(&mut self) -> Result<Picture> {
        self.freeze()?;
        let picture = self.picture();
        self.thaw()?;
        picture
    }

    /// What the maps hold while the traffic stands still; of a map that is written all the same, that is known.
    pub(crate) fn still(&mut self) -> Result<Still> {
        let mut picture = self.picture()?;
        let mut moving = BTreeSet::new();
        for _ in 0..PICTURES {
            self.wait::<()>(STILL, |_| Ok(None))?;
            let next = self.picture()?;
            let is_other = |name: &&String| picture.maps.get(*name) != next.maps.get(*name);
            moving = next.maps.keys().filter(is_other).cloned().collect();
            picture = next;
            if moving.is_empty() {
                break;
            }
        }
        Ok(Still { picture, moving })
    }

    pub(crate) fn freeze(&self) -> Result<()> {
        self.world
            .cgroup()
            .freeze()
            .map_err(|error| Error::because("could not make the traffic stand still", error).into())
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        self.world.cgroup().thaw().map_err(|error| Error::because("could not let the traffic go on", error).into())
    }

    /// Waits until there is something, or the time is over: looks after traffic and daemons meanwhile.
    pub(crate) fn wait<T>(
        &mut self,
        time: Duration,
        mut ready: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let until = Instant::now() + time;
        loop {
            if (self.test.stop)() {
                return Err(Error::interrupted().into());
            }
            if let Some(found) = ready(self)? {
                return Ok(Some(found));
            }
            self.tend()?;
            if Instant::now() >= until {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn tend(&mut self) -> Result<()> {
        if let Some(traffic) = &mut self.traffic
            && let Err((what, log)) = traffic.tend(self.world.cgroup())?
        {
            return self.failed(what, Some(log));
        }
        for at in 0..self.daemons.len() {
            let running = &mut self.daemons[at].running;
            let status = running.status().map_err(|error| Error::because("could not wait for a daemon", error))?;
            if let Some(status) = status.filter(|status| !status.success()) {
                let log = running.log.clone();
                return self.failed(format!("the daemon {}, though nobody asked it to", words(status)), Some(log));
            }
        }
        Ok(())
    }

    pub(crate) fn begin(&mut self, phase: &str) {
        phase.clone_into(&mut self.phase);
        (self.test.progress)(phase);
    }

    pub(crate) fn last_log(&self) -> Option<PathBuf> {
        self.daemons.last().map(|daemon| daemon.running.log.clone())
    }

    pub(crate) fn failed<T>(&self, what: String, log: Option<PathBuf>) -> Result<T> {
        Err(Stop::Failed(Failure { phase: self.phase.clone(), what, log }))
    }
}
