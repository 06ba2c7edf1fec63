//! The user's command that makes traffic: it runs all the time, and again if it ends well.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::group::Group;
use crate::running::{Place, Running, ended_as_asked, words};

/// Who is asked to end has so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The command that makes traffic.
#[derive(Debug)]
pub(crate) struct Traffic {
    command: String,
    place: Place,
    log: PathBuf,
    running: Running,
    began: Instant,
    /// How often it was started.
    pub(crate) runs: u32,
}

/// That the traffic has failed: what it says, and where it says more.
pub(crate) type Failed = (String, PathBuf);

impl Traffic {
    pub(crate) fn start(command: &str, place: &Place, group: &Group, log: PathBuf) -> Result<Self, Error> {
        let running = Self::run(command, place, group, &log)?;
        let (command, place) = (command.to_owned(), place.clone());
        Ok(Self { command, place, log, running, began: Instant::now(), runs: 1 })
    }

    fn run(command: &str, place: &Place, group: &Group, log: &std::path::Path) -> Result<Running, Error> {
        Running::start(command, place, group.path(), log.to_owned())
            .map_err(|error| Error::because("could not start the command that makes traffic", error))
    }

    /// Looks after it: one that has ended well is started again.
    pub(crate) fn tend(&mut self, group: &Group) -> Result<Result<(), Failed>, Error> {
        let status =
            self.running.status().map_err(|error| Error::because("could not look after the traffic", error))?;
        match status {
            None => {}
            Some(status) if status.success() => {
                self.running = Self::run(&self.command, &self.place, group, &self.log)?;
                self.runs += 1;
            }
            Some(status) => return Ok(Err(self.failed(&words(status)))),
        }
        Ok(Ok(()))
    }

    /// Ends it: how long it ran.
    pub(crate) fn stop(mut self, group: &Group) -> Result<Result<Duration, Failed>, Error> {
        let ran = self.began.elapsed();
        let stopped = self.running.stop(group, PATIENCE);
        let (status, was_killed) = stopped.map_err(|error| Error::because("could not end the traffic", error))?;
        if was_killed {
            return Ok(Err(self.failed("did not end when it was asked to (SIGTERM)")));
        }
        if !ended_as_asked(status) {
            return Ok(Err(self.failed(&format!("{} when it was asked to end (SIGTERM)", words(status)))));
        }
        Ok(Ok(ran))
    }

    fn failed(&self, what: &str) -> Failed {
        (format!("the command that makes traffic {what}"), self.log.clone())
    }
}
