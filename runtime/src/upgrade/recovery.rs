//! The end of an upgrade that ended at its commit and that no start completes, if somebody asks for it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use maplock_layout::Disposition;

use crate::error::Error;
use crate::generation::directory;
use crate::generation::exclusive::Exclusive;
use crate::generation::records::Recovered;
use crate::generation::site::Site;
use crate::plan::Doubt;
use crate::sys::Object;
use crate::transfer::migrate::Migrations;
use crate::upgrade::inputs::COUNTING;
use crate::upgrade::recover::{self, Found};
use crate::upgrade::report::{MapReport, Report};
use crate::upgrade::shown;
use crate::upgrade::way_out::WayOut;
use crate::{sys, transfer};

/// Completes or takes back an upgrade or a roll-back that ended at its commit, if each start fails to do so.
#[derive(Debug)]
pub struct Recovery {
    dir: PathBuf,
    way_out: WayOut,
    wait: Duration,
    migrations: Migrations,
}

impl Recovery {
    /// Of the pins at `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, way_out: WayOut) -> Self {
        Self { dir: dir.into(), way_out, wait: Duration::from_secs(60), migrations: Migrations::default() }
    }

    /// How long to wait for another upgrade of these pins to end: 60 seconds by default.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The conversions that are written by hand: without them, an upgrade that needs one is taken back.
    #[must_use]
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }

    /// Does it. [`Report::taken_back`] if it led back to the generation that was live, [`Report::resumed`] if it was
    /// completed, [`Report::discarded`] if it had not come to its commit, and what it had staged was removed; none of them if nothing lay
    /// there. [`Report::left_behind`] says what is lost by it, or may be. If the pins are moved already, the upgrade is completed, whatever
    /// the way out: then nothing is left to be given up.
    ///
    /// # Errors
    /// As [`Rollback::run`](crate::Rollback::run).
    pub fn run(self) -> Result<Report, Error> {
        let start = Instant::now();
        let site = Site::at(&self.dir)?;
        let _lock = Exclusive::lock(&site, self.wait)?;
        let Found { recovered, done, left_behind, is_taken_back, .. } =
            recover::recover_by(&site, &self.migrations, Some(self.way_out))?;
        if recovered == Recovered::Nothing {
            // A bind mount does not show what lies beside the directory.
            shown::check(&site)?;
        }
        let mut report = Report {
            taken_back: is_taken_back,
            resumed: done.is_some() && !is_taken_back,
            discarded: recovered == Recovered::Discarded && !is_taken_back,
            left_behind,
            ..Report::default()
        };
        let done = done.unwrap_or_default();
        for (name, ..) in &done.settled {
            let mut map = MapReport::new(name, Disposition::Reuse);
            map.doubts.insert(Doubt::Interrupted);
            if let Some(Object::Map(live)) = directory::object_at(&site.dir.join(name))? {
                map.kept = count(&live);
            }
            report.maps.push(map);
        }
        Ok(report.ended(done, start))
    }
}

fn count(map: &sys::Map) -> u64 {
    transfer::count(map, COUNTING).unwrap_or(0)
}
