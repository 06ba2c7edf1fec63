//! `maplock`, the tool for the machines on which maps are pinned.
//!
//! A file for each verb; all work is done by the runtime crate, and what stands here is how it is asked for and told.

mod adopting;
mod args;
mod confirm;
mod dump;
mod fleet;
mod inspect;
mod log;
pub(crate) mod names;
mod plan;
mod privileges;
mod recover;
mod rollback;
mod test_upgrade;
mod watch;

use std::io::{self, IsTerminal as _};
use std::path::Path;

pub(crate) use args::{InspectArgs, Tracing, Verb};
pub(crate) use confirm::Confirmed;
pub(crate) use dump::{Piece, Pinned};
pub(crate) use fleet::{Fleet, letter};
pub(crate) use inspect::{Link, Pins, Program};
pub(crate) use plan::{Foreseen, Rehearsal, Samples};
pub(crate) use recover::Ended as Recovered;
pub(crate) use rollback::Returned;
pub(crate) use test_upgrade::Tried;
pub(crate) use watch::Live;

use crate::Ended;
use crate::error::Error;
use crate::progress::Waiting;
use crate::undone::Undone;

/// Does what a verb asks, and prints it: results on stdout, errors, warnings and progress on stderr.
pub(crate) fn run(verb: &Verb, tracing: Tracing) -> Ended {
    log::to_stderr(tracing.verbose);
    // Others tell on stderr alone: of what a roll-back or a dump did before it failed, nothing is claimed.
    let undone = matches!(verb, Verb::Plan(_)).then_some(Undone::Told);
    let waiting = waiting(verb);
    let said = match verb {
        Verb::TestUpgrade(args) => match test_upgrade::run(args) {
            Ok(said) => Ok(said),
            Err(test_upgrade::Undone::Stopped(signal)) => return Ended::As(128 + signal),
            Err(test_upgrade::Undone::Error(error)) => Err(error),
        },
        // Tells as it goes.
        Verb::Watch(args) => match watch::run(args) {
            Ok(ended) => return ended,
            Err(error) => Err(error),
        },
        Verb::Plan(args) => plan::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Dump(args) => dump::run(args),
        Verb::Rollback(args) => rollback::run(args),
        Verb::Confirm(args) => confirm::run(args),
        Verb::Recover(args) => recover::run(args),
        Verb::Fleet(args) => fleet::run(args),
    };
    drop(waiting);
    crate::end(said, verb.message_format(), undone)
}

/// What is shown of a verb as a whole; `None` if it tells itself how far it is.
fn waiting(verb: &Verb) -> Option<Waiting> {
    let what = match verb {
        Verb::Plan(args) if !args.rehearse => format!("Looking at {}", args.pins.display()),
        Verb::Inspect(args) => format!("Looking at {}", args.dir.display()),
        // What stands at the terminal shows how far it is.
        Verb::Dump(args) if !io::stdout().is_terminal() => format!("Reading {}", args.pin.display()),
        Verb::Confirm(args) => or_waiting("Confirming", &args.dir),
        Verb::Recover(args) => or_waiting("Recovering", &args.dir),
        _ => return None,
    };
    Some(Waiting::at(what))
}

/// What is done in a directory of pins as soon as nobody upgrades there.
fn or_waiting(what: &str, dir: &Path) -> String {
    format!("{what} {}, or waiting for an upgrade there to end", dir.display())
}

/// That there are no pins at all if somebody says that there are some.
fn no_directory(dir: &Path) -> Error {
    Error::new(format!("there is no directory {}", dir.display()))
        .help("give the directory of a daemon's pins, such as /sys/fs/bpf/NAME")
}

/// What could not be done, with what the runtime says of it.
fn failed(what: impl Into<String>, error: maplock::Error) -> Error {
    let kind = error.kind();
    let told = Error::new(what).because(error);
    match kind {
        maplock::ErrorKind::Privilege => told.help(privileges::help()),
        maplock::ErrorKind::Busy => told.help("wait longer: --wait SECONDS; or stop that process"),
        _ => told,
    }
}
