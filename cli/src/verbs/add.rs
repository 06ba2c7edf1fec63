//! `cargo maplock init --add`: what belongs around a lock in its repository. A file that is there is never replaced.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::args::Addition;
use crate::called;
use crate::error::Error;
use crate::project::{self, Target, git};

/// Whether there is a repository to add it to. Asked before anything is written.
pub(super) fn check(additions: &[Addition], targets: &[Target]) -> Result<(), Error> {
    let Some(first) = targets.first().filter(|_| !additions.is_empty()) else { return Ok(()) };
    git::top(&first.lock).map(drop).map_err(|failure| Error::from(failure).help("make a repository first: `git init`"))
}

/// Adds what was picked to the repository of the first target, and tells what was done and is left to do, a sentence each.
pub(super) fn all(additions: &[Addition], targets: &[Target]) -> Result<Vec<String>, Error> {
    let Some(first) = targets.first().filter(|_| !additions.is_empty()) else { return Ok(Vec::new()) };
    let top = git::top(&first.lock)?;
    let mut told = Vec::new();
    for addition in additions {
        match addition {
            Addition::MergeDriver => merge_driver(&top, targets, &mut told)?,
            Addition::Github => told.push(file(&top, ".github/workflows/maplock.yml", GITHUB)?),
            Addition::Gitlab => {
                told.push(file(&top, ".gitlab/maplock.yml", &by_this_program(GITLAB))?);
                told.push(
                    "name your image in it, and include it in .gitlab-ci.yml: `include: .gitlab/maplock.yml`"
                        .to_owned(),
                );
            }
            Addition::PreCommit => told.push(file(&top, ".pre-commit-config.yaml", &by_this_program(PRE_COMMIT))?),
        }
    }
    Ok(told)
}

fn merge_driver(top: &Path, targets: &[Target], told: &mut Vec<String>) -> Result<(), Error> {
    let path = top.join(".gitattributes");
    let mut names: Vec<_> =
        targets.iter().filter_map(|target| Some(target.lock.file_name()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names.dedup();
    for name in names {
        let line = format!("{name} merge=maplock");
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.lines().any(|known| known.trim() == line) {
            told.push(format!(".gitattributes has `{line}` already"));
            continue;
        }
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        append(&path, &format!("{gap}{line}\n"))?;
        told.push(format!("wrote `{line}` to .gitattributes; commit it"));
    }
    // Git runs it at the top of the clone, wherever this runs.
    let driver = format!("{} merge-driver %O %A %B %P %L", called::from_anywhere());
    told.push(match git::configured(top, DRIVER)? {
        None => {
            git::configure(top, DRIVER, &driver)?;
            "set up the driver in this clone".to_owned()
        }
        Some(known) if known == driver => "this clone has the driver already".to_owned(),
        Some(known) => format!("this clone has another driver, which stays: `{known}`"),
    });
    told.push(format!(
        "git has it in each clone's own configuration; in every other clone, run: git config {DRIVER} \"{driver}\""
    ));
    Ok(())
}

/// Where git looks for the driver that .gitattributes names.
const DRIVER: &str = "merge.maplock.driver";

fn append(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    let written = options.append(true).create(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::new(format!("could not write {}", project::shown(path))).because(error))
}

fn file(top: &Path, name: &str, text: &str) -> Result<String, Error> {
    let path: PathBuf = top.join(name);
    let failed = |error| Error::new(format!("could not write {}", project::shown(&path))).because(error);
    fs::create_dir_all(project::parent(&path)).map_err(failed)?;
    match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).map_err(failed)?;
            Ok(format!("wrote {name}; read it, and commit it"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let lines: Vec<_> =
                text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("\n  {line}")).collect();
            Ok(format!("{name} is there already, and stays as it is; what it needs:{}", lines.concat()))
        }
        Err(error) => Err(failed(error)),
    }
}

/// A file whose commands are of this program, if others have it installed.
fn by_this_program(text: &str) -> String {
    match called::is_tool() {
        true => text.replace("cargo-maplock with Cargo", called::TOOL).replace("cargo maplock", called::TOOL),
        false => text.to_owned(),
    }
}

const GITHUB: &str = include_str!("../templates/github.yml");
const GITLAB: &str = include_str!("../templates/gitlab.yml");
const PRE_COMMIT: &str = include_str!("../templates/pre-commit.yaml");
