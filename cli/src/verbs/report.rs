//! `cargo maplock report`: one page of a lock, to read without the tool.

use std::fs;

use maplock_layout::Lock;

use super::{check, matrix};
use crate::Said;
use crate::args::ReportArgs;
use crate::error::Error;
use crate::formats::html;
use crate::outcome::Outcome;
use crate::progress::Waiting;
use crate::verbs::matrix::Matrix;
use crate::{project, terminal};

/// What the page shows.
pub(crate) struct Report {
    pub(crate) lock_name: String,
    pub(crate) lock: Lock,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) matrix: Option<Matrix>,
}

pub(crate) fn run(args: &ReportArgs) -> Result<Said, Error> {
    if args.html.exists() && !args.html.is_dir() {
        return Err(Error::new(format!("{} is a file, where `--html` takes a directory", args.html.display()))
            .help("name one, which need not exist yet: the page is index.html in it"));
    }
    let target = project::target(&args.input)?;
    let (_, lock) = target.read_lock()?;
    let outcomes = check::held(&target, &args.against, false);
    let patterns = if args.tags.is_empty() { &target.config.releases } else { &args.tags };
    let (matrix, mut undone) = match patterns.is_empty() {
        true => (None, Vec::new()),
        false => matrix::of(&target, patterns, true).map(|(matrix, undone)| (Some(matrix), undone))?,
    };
    let report = Report { lock_name: target.shown_lock(), lock, outcomes, matrix };
    let failed = |error| Error::new(format!("could not write to {}", args.html.display())).because(error);
    let _waiting = Waiting::at(format!("Writing {}", args.html.display()));
    fs::create_dir_all(&args.html).map_err(failed)?;
    let file = args.html.join("index.html");
    fs::write(&file, html::page(&report)).map_err(failed)?;
    let fails = report.outcomes.iter().any(Outcome::fails);
    undone.extend(report.outcomes.into_iter().filter_map(Outcome::into_undone));
    let text = if terminal::is_quiet() { String::new() } else { format!("wrote {}\n", file.display()) };
    Ok(Said::new(text, fails, undone))
}
