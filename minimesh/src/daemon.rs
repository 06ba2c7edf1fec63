//! The daemon: takes over from whatever release runs, and serves.

use std::fs::File;
use std::path::PathBuf;

use aya::programs::CgroupSockAddr;
use maplock::Map;
use maplock::layout::Disposition;
use maplock::{AttachType, Hook, OnMismatch, Options, Policies, Policy, Report, Staged};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::{Config, MapEntries};
use crate::entries::read_all;
use crate::log::Log;
use crate::ready::Committed;
use crate::release::Release;
use crate::web::Web;

/// What the command line says.
#[derive(Debug)]
pub struct Daemon {
    /// The release to serve.
    pub release: Release,
    /// Directory of the cgroup whose connections are served.
    pub cgroup: PathBuf,
    /// Directory of the pins, on a bpffs.
    pub pins: PathBuf,
    /// The configuration; without one, the pinned maps stay as they are.
    pub config: Option<Config>,
    /// The file that says by its lock that this daemon has committed.
    pub ready: Option<PathBuf>,
    /// Where `/metrics` and `/healthz` are answered: an address and a port.
    pub listen: Option<String>,
    /// How it says what it does.
    pub log: Log,
    /// True to end after the upgrade. What is pinned and attached goes on without a daemon.
    pub once: bool,
}

/// The name of the program in every release's object.
pub(crate) const PROGRAM: &str = "minimesh_connect4";

/// The name of the hook, and of its link's pin.
pub(crate) const HOOK: &str = "connect4";

type Error = Box<dyn std::error::Error>;

impl Daemon {
    /// Upgrades what runs to this release, and serves until SIGTERM.
    ///
    /// # Errors
    /// Where the upgrade does not happen: what ran goes on then.
    pub fn run(&self) -> Result<(), Error> {
        // From before the upgrade on, so that a signal does not end it half-way.
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        // Where nobody can listen there, nothing has happened yet.
        let web = self.listen.as_ref().map(|at| Web::listen(at, &self.pins)).transpose()?;
        if let Some(web) = &web {
            self.log.say(&format!("listens on {}", web.address()));
        }
        let report = self.upgrade()?;
        let announce = |file: &PathBuf| {
            let failed = |error| format!("the upgrade is done; but {} can't say so: {error}", file.display());
            Committed::announce(file).map_err(failed)
        };
        let _committed = self.ready.as_ref().map(announce).transpose()?;
        if let Some(web) = &web {
            web.serves(report);
        }
        if !self.once {
            let (release, cgroup) = (&self.release.name, self.cgroup.display());
            self.log.say(&format!("minimesh {release} serves {cgroup}; SIGTERM ends it"));
            signals.forever().next();
        }
        Ok(())
    }

    fn upgrade(&self) -> Result<Report, Error> {
        let entries = self.config.as_ref().map(|config| config.entries(&self.release.spec)).transpose()?;
        let upgrade = Options::new(self.release.spec.clone(), &self.pins).policies(policies()).begin()?;
        self.log.show(upgrade.plan());

        let mut staged = upgrade.stage()?;
        fill(&staged, entries.as_ref())?;
        let mut ebpf = staged.aya().load(&self.release.object).map_err(|error| refused("the object", &error))?;
        let program: &mut CgroupSockAddr =
            ebpf.program_mut(PROGRAM).ok_or("the object has no program `minimesh_connect4`")?.try_into()?;
        program.load().map_err(|error| refused("program `minimesh_connect4`", &error))?;
        let at = |error: std::io::Error| format!("{}: {error}", self.cgroup.display());
        let cgroup = File::open(&self.cgroup).map_err(at)?;
        let hook = Hook::cgroup(&cgroup, AttachType::CGROUP_INET4_CONNECT).map_err(at)?;
        staged.hook(HOOK, program.fd()?, hook)?;
        let report = staged.commit()?;
        self.log.show(format_args!("\n{report}"));

        let Some(entries) = &entries else { return Ok(report) };
        // Whoever reads this must not take it for an upgrade that did not happen.
        self.follow(entries).map_err(|error| {
            format!(
                "the upgrade is done, and {} runs; but its maps are not as the configuration says: {error}",
                self.release.name
            )
        })?;
        Ok(report)
    }

    /// Makes the live maps what the configuration says.
    fn follow(&self, entries: &[MapEntries; 3]) -> Result<(), Error> {
        for map in entries {
            settle(&Map::open(&self.pins.join(map.map))?, map)?;
        }
        for map in entries.iter().rev() {
            prune(&Map::open(&self.pins.join(map.map))?, map)?;
        }
        Ok(())
    }
}

/// The kernel says a number, and the verifier what it had looked at: what this process lacks comes before that.
fn refused(what: &str, error: &(dyn std::error::Error + 'static)) -> String {
    match maplock::missing_privilege(error) {
        Some(lacks) => format!("{what} was not loaded: {lacks}: {error}"),
        None => format!("{what} was not loaded: {error}"),
    }
}

/// Where the locks have no answer, which is the way down: no epoch of an older release leads from a newer layout.
fn policies() -> Policies {
    // The lock that is pinned with the newer generation has. Where none is, `backends` is filled anew from the configuration, and
    // `stats` begins again.
    let policy = Policy { unknown: OnMismatch::Swap, ..Policy::default() };
    let maps = ["backends", "stats"].map(|map| (map.to_owned(), policy.clone()));
    Policies { maps: maps.into(), ..Policies::default() }
}

/// Fills the maps that begin empty, or as they were some releases ago, before a program sees them. The others are live: they wait
/// until the commit.
fn fill(staged: &Staged, entries: Option<&[MapEntries; 3]>) -> Result<(), Error> {
    let is_live = |name: &str| {
        let plan = staged.plan().map(name);
        plan.is_none_or(|plan| {
            !plan.action.leads_back() && !matches!(plan.disposition(), Disposition::Create | Disposition::Swap)
        })
    };
    match entries {
        Some(entries) => {
            for map in entries.iter().filter(|map| !is_live(map.map)) {
                let staged = staged.map(map.map).ok_or_else(|| format!("map `{}` was not staged", map.map))?;
                settle(staged, map)?;
            }
            Ok(())
        }
        // Nodes that come up for the first time have nothing to serve yet.
        None if staged.plan().map("backends").is_some_and(|plan| plan.disposition() == Disposition::Swap) => Err(
            "map `backends` starts empty, and no connection would find a backend; say by --config what to fill it with"
                .into(),
        ),
        None => Ok(()),
    }
}

/// Writes the entries that are not there yet, or not so.
pub(crate) fn settle(map: &Map, wanted: &MapEntries) -> Result<(), Error> {
    for (key, value) in &wanted.entries {
        if map.lookup(key)?.as_ref() != Some(value) {
            map.update(key, value, 0).map_err(|error| format!("map `{}`: {error}", wanted.map))?;
        }
    }
    Ok(())
}

/// Deletes the entries that the configuration does not have.
fn prune(map: &Map, wanted: &MapEntries) -> Result<(), Error> {
    for (key, _) in read_all(map)? {
        if !wanted.entries.iter().any(|(wanted, _)| *wanted == key) {
            map.delete(&key)?;
        }
    }
    Ok(())
}
