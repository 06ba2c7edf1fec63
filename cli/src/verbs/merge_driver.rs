//! `cargo maplock merge-driver`: what git runs when two branches changed the lock. Nothing is built.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use maplock_layout::{Lock, Merged, merge_three};
use tempfile::NamedTempFile;

use crate::Said;
use crate::args::MergeDriverArgs;
use crate::error::Error;
use crate::project::{self, lockfile};

pub(crate) fn run(args: &MergeDriverArgs) -> Result<Said, Error> {
    let shown = args.path.as_deref().unwrap_or(&args.ours);
    let shown = shown.display();
    let sides = [&args.base, &args.ours, &args.theirs];
    let texts = sides.map(|path| read(path)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let named = ["base", "ours", "theirs"];
    let locks = texts.iter().zip(named).map(|(text, side)| lock(&format!("{shown} ({side})"), text));
    let locks = match locks.collect::<Result<Vec<_>, _>>() {
        Ok(locks) => locks,
        // Nothing can be said of what can't be read: git's own way leaves its conflicts for a person to see.
        Err(error) => return as_text(args, &error),
    };
    let Merged { lock, theirs, conflicts } = merge_three(&locks[0], &locks[1], &locks[2]);
    if conflicts.is_empty() {
        write(&args.ours, &lock.to_string())?;
        return Ok(Said::well(String::new()));
    }
    let marked = marked(args, &lock.to_string(), &theirs.to_string())?;
    write(&args.ours, &marked)?;
    let names: Vec<_> = conflicts.iter().map(|name| format!("`{name}`")).collect();
    let text = format!(
        "{shown}: both sides changed {} in ways that contradict each other; all else is merged\n\
         keep the same side of each block between the markers, run `cargo maplock update`, and accept again what the other side had accepted\n",
        names.join(", ")
    );
    Ok(Said::new(text, true, Vec::new()))
}

fn read(path: &Path) -> Result<String, Error> {
    let text = lockfile::read(path)?;
    let text = text.ok_or_else(|| Error::new(format!("{} does not exist", project::shown(path))))?;
    Ok(text.replace("\r\n", "\n"))
}

/// If both sides add the file, git has an empty one as the base.
fn lock(name: &str, text: &str) -> Result<Lock, Error> {
    if text.trim().is_empty() { Ok(Lock::default()) } else { lockfile::parse(name, text) }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text)
        .map_err(|error| Error::new(format!("could not write {}", project::shown(path))).because(error))
}

fn merge_file(args: &MergeDriverArgs) -> Command {
    let mut command = Command::new("git");
    command.args(["merge-file", "-L", "ours", "-L", "base", "-L", "theirs"]);
    command.arg(format!("--marker-size={}", args.marker_size));
    command
}

/// Our text with markers if theirs says something else.
fn marked(args: &MergeDriverArgs, ours: &str, theirs: &str) -> Result<String, Error> {
    let file = |text: &str| {
        let mut file = NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    };
    let failed = |error: std::io::Error| Error::new("could not write a temporary file").because(error);
    let [ours, base, theirs] = [ours, "", theirs].map(|text| file(text).map_err(failed));
    let (ours, base, theirs) = (ours?, base?, theirs?);
    let output = merge_file(args).arg("-p").args([ours.path(), base.path(), theirs.path()]).output();
    let output = output.map_err(|error| Error::new("could not run git").because(error))?;
    // It ends with the number of conflicts, or with 255.
    match output.status.code() {
        Some(1..=127) => {
            String::from_utf8(output.stdout).map_err(|error| Error::new("git wrote no text").because(error))
        }
        _ => {
            Err(Error::new("git could not mark the conflicts")
                .because(String::from_utf8_lossy(&output.stderr).as_ref()))
        }
    }
}

/// The lines of the three files, as git merges any text.
fn as_text(args: &MergeDriverArgs, error: &Error) -> Result<Said, Error> {
    let output = merge_file(args).args([&args.ours, &args.base, &args.theirs]).output();
    let output = output.map_err(|error| Error::new("could not run git").because(error))?;
    let text = format!(
        "{error}\nso it was merged by its lines, as git merges text; `cargo maplock check` tells whether that is right\n"
    );
    match output.status.code() {
        Some(0) => Ok(Said::well(text)),
        Some(1..=127) => Ok(Said::new(text, true, Vec::new())),
        _ => Err(Error::new("git could not merge the lines").because(String::from_utf8_lossy(&output.stderr).as_ref())),
    }
}
