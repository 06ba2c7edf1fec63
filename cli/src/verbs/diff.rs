//! `cargo maplock diff`: what an upgrade from one release to another keeps, converts or loses.

use std::path::{Path, PathBuf};

use maplock_codegen::Inputs;
use maplock_layout::lock::{LockError, LockProblem};
use maplock_layout::{Lock, Observation, compare};

use super::base::{at_revision, historic};
use crate::Said;
use crate::args::{Compared, DiffArgs, Input, Project};
use crate::error::Error;
use crate::observed;
use crate::outcome::{Ending, Outcome, Side, demand_decisions};
use crate::programs;
use crate::project::git::FileAt;
use crate::project::{self, Target, git, lockfile};

/// How an ELF file begins.
const ELF: &[u8] = b"\x7fELF";

pub(crate) fn run(args: &DiffArgs) -> Result<Said, Error> {
    let two_files = matches!((&args.old, &args.new), (Compared::File(_), Some(Compared::File(_))));
    // Two files are what they are wherever they lie: no project is needed, and none has a say unless it is named.
    let no_revision = |of: &Compared| !matches!(of, Compared::Revision(_));
    let are_named = no_revision(&args.old) && args.new.as_ref().is_some_and(no_revision);
    let is_alone =
        || Ok::<_, Error>(args.lock.is_none() && args.config.is_none() && project::home(&args.project)?.is_none());
    let is_of_none = two_files || are_named && is_alone()?;
    let target = if is_of_none { no_project(args)? } else { project_of(args)? };

    let mut outcome = Outcome::new(&target, Ending::Compared);
    let mut notes = Vec::new();
    let (old, _) = side(&args.old, args, &target, &Lock::default(), &mut notes)?;
    let (new, inputs) = match &args.new {
        Some(name) => side(name, args, &target, &old.lock, &mut notes)?,
        None => {
            let (text, lock) = target.read_lock()?;
            (Side::of_lock(&target, text, lock), None)
        }
    };
    outcome.comparison = compare(&old.lock, &new.lock, &target.config.levels);
    // A node knows no levels.
    demand_decisions(&mut outcome.comparison);
    notes.extend(programs::note(&old.lock, &new.lock));
    outcome.accept = revision(&args.old)
        .filter(|_| !is_of_none && old.text.is_some() && is_lock(&new, &target))
        .map(|revision| format!(" --against {}{}", project::shell_word(&revision), target.selection));
    (outcome.old, outcome.new, outcome.inputs, outcome.notes) = (old, new, inputs, notes);
    Ok(Said::new(args.message_format.tell(&outcome)?, outcome.fails(), Vec::new()))
}

/// What `accept --against` takes of a side.
fn revision(of: &Compared) -> Option<String> {
    match of {
        Compared::Revision(revision) => Some(revision.to_string()),
        Compared::FileAt(file) => Some(file.to_string()),
        Compared::File(_) => None,
    }
}

/// True if a side is the lock in which an answer is entered.
fn is_lock(side: &Side, target: &Target) -> bool {
    side.text.is_some() && side.file == Some(project::absolute(&target.lock))
}

fn project_of(args: &DiffArgs) -> Result<Target, Error> {
    let given = &args.project;
    let project = Project {
        manifest_path: given.manifest_path.clone(),
        package: given.package.clone(),
        workspace: given.workspace,
        ..Project::default()
    };
    project::target(&Input { project, object: Vec::new(), lock: args.lock.clone(), config: args.config.clone() })
}

fn no_project(args: &DiffArgs) -> Result<Target, Error> {
    let lock = args.lock.clone().unwrap_or_else(|| PathBuf::from(maplock_layout::lock::FILE_NAME));
    let config = project::config_for_files(&args.project, args.config.as_deref())?;
    Ok(Target { package: None, lock, config, objects: Vec::new(), selection: String::new() })
}

/// What a side is of, with the sources of an object that lies here. An object comes after what `before` holds.
fn side(
    of: &Compared,
    args: &DiffArgs,
    target: &Target,
    before: &Lock,
    notes: &mut Vec<String>,
) -> Result<(Side, Option<Inputs>), Error> {
    match of {
        Compared::File(path) => file(path, target, before, notes),
        Compared::Revision(revision) => {
            let bytes = git::file_at(revision, &target.lock).map_err(|failure| neither(revision, failure))?;
            Ok((at_revision(target, revision, bytes, args.allow_new, notes)?, None))
        }
        Compared::FileAt(file) => Ok((of_history(file, target, before, notes)?, None)),
    }
}

fn neither(name: &impl std::fmt::Display, failure: git::Failure) -> Error {
    match failure {
        git::Failure::Unknown(mut error) => {
            error.what = format!("`{name}` is neither a file nor a git revision");
            error
        }
        git::Failure::Other(error) => error,
    }
}

/// An object or a lock.
fn file(path: &Path, target: &Target, before: &Lock, notes: &mut Vec<String>) -> Result<(Side, Option<Inputs>), Error> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Error::new(format!("could not read {name}")).because(error))?;
    if bytes.starts_with(ELF) {
        let inputs = project::read_after(&project::named(&[path.to_owned()]), &target.config, before)?;
        return Ok((of_object(name, &inputs, notes)?, Some(inputs)));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Error::new(format!("{name} is neither an eBPF object nor a lockfile")).because(error))?;
    let lock = parse(&name, &text)?;
    Ok((Side { name, text: Some(text), file: Some(project::absolute(path)), lock, ..Side::default() }, None))
}

/// An object or a lock that a revision has.
fn of_history(file: &FileAt, target: &Target, before: &Lock, notes: &mut Vec<String>) -> Result<Side, Error> {
    let name = file.to_string();
    let bytes = git::object(file).map_err(|failure| neither(file, failure))?;
    if bytes.starts_with(ELF) {
        // The reader of objects takes files.
        let write = || {
            let mut file = tempfile::NamedTempFile::new()?;
            std::io::Write::write_all(&mut file, &bytes)?;
            Ok(file)
        };
        let file =
            write().map_err(|error: std::io::Error| Error::new("could not write a temporary file").because(error))?;
        let inputs = project::read_after(&[(name.clone(), file.path().to_owned())], &target.config, before)?;
        return of_object(name, &inputs, notes);
    }
    let (text, lock) = historic(&name, &bytes)?;
    Ok(Side { name, text: Some(text), file: None, lock, ..Side::default() })
}

fn parse(name: &str, text: &str) -> Result<Lock, Error> {
    match Lock::parse(text) {
        Err(LockError { problem: LockProblem::Malformed(_), line: 1 }) => {
            Err(Error::new(format!("{name} is neither an eBPF object nor a lockfile")))
        }
        _ => lockfile::parse(name, text),
    }
}

fn of_object(name: String, inputs: &Inputs, notes: &mut Vec<String>) -> Result<Side, Error> {
    let Observation { lock, conflicts, .. } = &inputs.observation;
    notes.extend(observed::notes(&inputs.observation));
    match conflicts.first() {
        Some(conflict) => Err(Error::new(conflict.message())),
        None => Ok(Side { name, lock: lock.clone(), ..Side::default() }),
    }
}
