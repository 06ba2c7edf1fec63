//! Files of other git revisions.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::error::Error;

/// Why git gave nothing.
pub(crate) enum Failure {
    /// It knows nothing of that name.
    Unknown(Error),
    /// It did not get to look.
    Other(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unknown(error) | Failure::Other(error) => error,
        }
    }
}

/// The bytes of `path` at a revision; `None` where that revision has no such file.
pub(crate) fn file_at(revision: &str, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let dir = super::parent(path);
    // `./` makes git look from the directory that it runs in, wherever in the repository that is.
    let shown = cat(&dir, &format!("{revision}:./{name}"), revision)?;
    if shown.status.success() {
        return Ok(Some(shown.stdout));
    }
    let commit = git(&dir, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{tree}}")])?;
    if commit.status.success() { Ok(None) } else { Err(unknown(revision, &shown)) }
}

/// Lockfiles of the name of `path` that a revision has and the working tree no longer has.
pub(crate) fn files_gone_since(revision: &str, path: &Path) -> Result<Vec<String>, Failure> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let dir = super::parent(path);
    let top = git(&dir, &["rev-parse", "--show-toplevel"])?;
    let top = PathBuf::from(String::from_utf8_lossy(&top.stdout).trim_end());
    let listed = git(&dir, &["ls-tree", "-r", "--name-only", "--full-tree", "-z", revision])?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let of_that_name = |file: &&str| Path::new(file).file_name().is_some_and(|file| file.to_string_lossy() == name);
    Ok(listed.split('\0').filter(of_that_name).filter(|file| !top.join(file).exists()).map(str::to_owned).collect())
}

/// The bytes that `REV:PATH` names.
pub(crate) fn object(spec: &str) -> Result<Vec<u8>, Failure> {
    let shown = cat(Path::new("."), spec, spec)?;
    if shown.status.success() { Ok(shown.stdout) } else { Err(unknown(spec, &shown)) }
}

fn cat(dir: &Path, object: &str, revision: &str) -> Result<Output, Failure> {
    if revision.starts_with('-') {
        return Err(Failure::Other(Error::new(format!("`{revision}` is not a git revision"))));
    }
    git(dir, &["cat-file", "blob", object])
}

fn git(dir: &Path, args: &[&str]) -> Result<Output, Failure> {
    let output = Command::new("git").arg("-C").arg(dir).args(args).env("LC_ALL", "C").output();
    output.map_err(|error| Failure::Other(Error::new("could not run git").because(error)))
}

fn unknown(what: &str, output: &Output) -> Failure {
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim().trim_start_matches("fatal: ").to_owned();
    let error = Error::new(format!("git does not know `{what}`")).because(&message);
    if message.contains("not a git repository") {
        return Failure::Other(error);
    }
    // Where it is the path that is wrong, fetching more would not help.
    let is_revision = ["invalid object name", "Not a valid object name", "unknown revision", "bad object"];
    if !is_revision.iter().any(|words| message.contains(words)) {
        return Failure::Unknown(error);
    }
    Failure::Unknown(error.help(
        "a shallow clone, as CI makes it, must fetch the revision first: `git fetch --depth=1 origin REV`, \
         or `fetch-depth: 0` for actions/checkout",
    ))
}
