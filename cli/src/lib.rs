//! `cargo maplock`, the plugin: keeps `maps.lock`, and tells what an upgrade does to pinned maps.
//!
//! Data flows one way: `args` say what is asked, `project` finds the locks and objects, a file of `verbs` each makes
//! plain data of them (most of them `outcome`s), and a file of `formats` each turns those into text. To add a verb, add its file,
//! its arguments and its line in `run`, and what it found to `formats`; to add a format, its file and its line in `formats`.
//!
//! `tool` is the other program of this package, `maplock`. It needs no Cargo: it has the same verbs, and those of `node`, for the machines
//! on which the maps are pinned.
#![forbid(unsafe_code)]

mod answers;
mod args;
mod asked;
mod bytes;
mod called;
mod changes;
mod conversion;
mod effect;
mod error;
mod fleet;
mod formats;
mod map_part;
#[cfg(target_os = "linux")]
mod node;
mod observed;
mod outcome;
mod programs;
mod progress;
mod project;
mod prospects;
mod ranking;
mod terminal;
mod toll;
pub mod tool;
mod undone;
mod verbs;
mod way_back;

use std::ffi::OsString;
use std::process::ExitCode;

pub use args::Cli;
use args::Verb;
use clap::{CommandFactory as _, FromArgMatches as _};
use error::Error;
use formats::Format;
pub use formats::page::book;
use outcome::Outcome;
use undone::{Failure, Undone};

/// How a run ended, as its exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// 0: nothing is wrong.
    Well,
    /// 100: something was found that fails a build or a review.
    WithFindings,
    /// 101: it could not be done.
    Incomplete,
    /// As the command ended that was run.
    As(u8),
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Well => Self::SUCCESS,
            Ended::WithFindings => Self::from(100),
            Ended::Incomplete => Self::from(101),
            Ended::As(code) => Self::from(code),
        }
    }
}

/// What a verb has to say.
struct Said {
    text: String,
    fails: bool,
    /// What could not be done, beside all else; the text says so too.
    undone: Vec<Error>,
    /// True if the text is for programs: it is never left out or changed.
    is_document: bool,
}

impl Said {
    fn well(text: String) -> Self {
        Self::new(text, false, Vec::new())
    }

    fn document(text: String) -> Self {
        Self { is_document: true, ..Self::well(text) }
    }

    fn new(text: String, fails: bool, undone: Vec<Error>) -> Self {
        Self { text, fails, undone, is_document: false }
    }

    /// What became of locks.
    fn of(outcomes: Vec<Outcome>, format: &Format) -> Result<Self, Error> {
        let text = format.tell(&outcomes[..])?;
        let fails = outcomes.iter().any(Outcome::fails);
        Ok(Self::new(text, fails, outcomes.into_iter().filter_map(Outcome::into_undone).collect()))
    }
}

/// Takes the command line. Ends the process if it is none, or if help is asked for.
pub fn parse(args: impl Iterator<Item = OsString>) -> Cli {
    let args: Vec<_> = args.collect();
    called::by(&args);
    let matches = Cli::command().bin_name(called::name()).get_matches_from(without_plugin_name(args.into_iter()));
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The arguments without the one that cargo puts in front: `cargo maplock check` runs `cargo-maplock maplock check`.
fn without_plugin_name(args: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    args.enumerate().filter(|(index, arg)| *index != 1 || arg != "maplock").map(|(_, arg)| arg)
}

/// Does what the command line asks, and prints it: results on stdout, errors on stderr.
#[must_use]
pub fn main(cli: &Cli) -> Ended {
    terminal::choose(cli.printing);
    end(run(&cli.verb), cli.verb.message_format(), Some(cli.verb.undone()))
}

/// Prints what a verb has to say. What could not be done is told on stderr; on stdout too if `undone` says what that is, in a format that
/// is read by programs.
fn end(said: Result<Said, Error>, format: &Format, undone: Option<Undone>) -> Ended {
    // Also what programs read has commands that somebody types in the end. A document, such as a schema, is kept as it is.
    let written = |text: &str, is_document: bool| {
        let text = if is_document { text.to_owned() } else { called::named(text) };
        terminal::result(&text).map_err(|error| Error::new("could not write to stdout").because(error))
    };
    let print = |said: Said| {
        let is_left_out = format.is_left_out() && !said.fails && !said.is_document;
        let text = if is_left_out { "" } else { &said.text };
        written(text, said.is_document).map(|()| said)
    };
    match said.and_then(print) {
        Ok(Said { fails, undone, .. }) if undone.is_empty() => {
            if fails {
                Ended::WithFindings
            } else {
                Ended::Well
            }
        }
        Ok(Said { undone, .. }) => {
            undone.iter().for_each(terminal::error);
            Ended::Incomplete
        }
        Err(error) => {
            let told = undone.and_then(|undone| format.failed.map(|form| form(&Failure { undone, error: &error })));
            if let Some(Err(error)) = told.map(|text| text.and_then(|text| written(&text, false))) {
                terminal::error(&error);
            }
            terminal::error(&error);
            if let Some(undone @ Undone::Compared) = undone {
                terminal::note(undone.words());
            }
            Ended::Incomplete
        }
    }
}

fn run(verb: &Verb) -> Result<Said, Error> {
    match verb {
        Verb::Init(args) => verbs::init::run(args),
        Verb::Check(args) => verbs::check::run(args),
        Verb::Update(args) => verbs::update::run(args),
        Verb::Diff(args) => verbs::diff::run(args),
        Verb::Accept(args) => verbs::accept::run(args),
        Verb::Migrate(args) => verbs::migrate::run(args),
        Verb::Inspect(args) => verbs::inspect::run(args),
        Verb::Explain(args) => verbs::explain::run(args),
        Verb::Rules(args) => verbs::rules::run(args),
        Verb::Matrix(args) => verbs::matrix::run(args),
        Verb::Layout(args) => verbs::layout::run(args),
        Verb::Review(args) => verbs::review::run(args),
        Verb::Report(args) => verbs::report::run(args),
        Verb::Schema(args) => verbs::schema::run(args),
        Verb::Completions(args) => verbs::manual::completions(args),
        Verb::Man(args) => verbs::manual::pages(args),
        Verb::MergeDriver(args) => verbs::merge_driver::run(args),
    }
}
