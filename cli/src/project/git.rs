//! Files of other git revisions.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::str::FromStr;

use crate::error::Error;

/// A branch, a tag or a commit, by its name: never empty, and nothing that git reads as its index or as an option.
///
/// `git cat-file blob :./maps.lock` is the file in the index. A name that a script left empty would hold a lock against itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision(String);

/// A file at a revision: `REV:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileAt(String);

/// Why a name is none of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotARevision {
    Empty,
    Index,
    ByMessage,
    Excluded,
    Option,
    NoPath,
}

impl NotARevision {
    /// Why `name`, or what stands before the `:PATH` in it, is none; `None` if git may be asked.
    fn of(name: &str) -> Option<Self> {
        match name.trim_start() {
            "" => Some(Self::Empty),
            // <https://git-scm.com/docs/gitrevisions>: `:/TEXT` takes all that follows, a path too; `:PATH` and `:N:PATH` are of the index.
            name if name.starts_with(":/") => Some(Self::ByMessage),
            name if name.starts_with(':') => Some(Self::Index),
            // `git rev-parse --verify` takes it, with the commit's hash behind a `^`, and nothing that is asked of that is there.
            name if name.starts_with('^') => Some(Self::Excluded),
            name if name.starts_with('-') => Some(Self::Option),
            _ => None,
        }
    }
}

impl fmt::Display for NotARevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no revision is given: is a variable empty?",
            Self::Index => "git's index is no revision: no node has what is staged in it",
            Self::ByMessage => "`:/TEXT` leaves no room for a path, write HEAD^{/TEXT}",
            Self::Excluded => "`^REV` leaves a revision out, and names none",
            Self::Option => "no revision begins with `-`",
            Self::NoPath => "there is no path behind the `:`: is a variable empty?",
        })?;
        f.write_str("\n\nWrite a branch, a tag or a commit, such as origin/main or v1.2")
    }
}

impl std::error::Error for NotARevision {}

impl FromStr for Revision {
    type Err = NotARevision;

    fn from_str(name: &str) -> Result<Self, NotARevision> {
        NotARevision::of(name).map_or_else(|| Ok(Self(name.to_owned())), Err)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FileAt {
    type Err = NotARevision;

    fn from_str(name: &str) -> Result<Self, NotARevision> {
        match (NotARevision::of(name), path_of(name)) {
            (Some(problem), _) => Err(problem),
            (None, Some(path)) if path.trim().is_empty() => Err(NotARevision::NoPath),
            _ => Ok(Self(name.to_owned())),
        }
    }
}

/// What stands behind the `:` of `REV:PATH`. One in braces belongs to the revision: `HEAD@{2026-01-02 03:04}`.
fn path_of(name: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, c) in name.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return name.get(at + 1..),
            _ => {}
        }
    }
    None
}

/// What a lock is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// The same lock at a revision.
    Revision(Revision),
    /// A lock that is named.
    File(FileAt),
}

impl FromStr for Base {
    type Err = NotARevision;

    fn from_str(name: &str) -> Result<Self, NotARevision> {
        if path_of(name).is_some() { name.parse().map(Self::File) } else { name.parse().map(Self::Revision) }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => revision.fmt(f),
            Self::File(file) => file.fmt(f),
        }
    }
}

impl fmt::Display for FileAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why git gave nothing.
pub(crate) enum Failure {
    /// It knows nothing of that name.
    Unknown(Error),
    /// It did not get to look.
    Other(Error),
}

impl From<NotARevision> for Error {
    fn from(problem: NotARevision) -> Self {
        Self::new("no revision is named").because(problem)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unknown(error) | Failure::Other(error) => error,
        }
    }
}

/// The bytes of `path` at a revision; `None` if that revision has no such file.
pub(crate) fn file_at(revision: &Revision, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let dir = super::parent(path);
    // `./` makes git look from the directory that it runs in, wherever in the repository that is.
    let shown = cat(&dir, &format!("{revision}:./{name}"))?;
    if shown.status.success() {
        return Ok(Some(shown.stdout));
    }
    let commit = git(&dir, &["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{tree}}")])?;
    if commit.status.success() { Ok(None) } else { Err(unknown(&revision.0, &shown)) }
}

/// Lockfiles of the name of `path` that a revision has, from the root of the repository.
pub(crate) fn locks_at(revision: &Revision, path: &Path) -> Result<Vec<String>, Failure> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let listed = git(&super::parent(path), &["ls-tree", "-r", "--name-only", "--full-tree", "-z", &revision.0])?;
    if !listed.status.success() {
        return Err(unknown(&revision.0, &listed));
    }
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let of_that_name = |file: &&str| Path::new(file).file_name().is_some_and(|file| file.to_string_lossy() == name);
    Ok(listed.split('\0').filter(of_that_name).map(str::to_owned).collect())
}

/// The tags that any of the patterns fits, in the order of their versions.
pub(crate) fn tags(path: &Path, patterns: &[String]) -> Result<Vec<Revision>, Failure> {
    let mut args = vec!["tag", "--list", "--sort=version:refname", "--"];
    args.extend(patterns.iter().map(String::as_str));
    let listed = git(&super::parent(path), &args)?;
    if !listed.status.success() {
        return Err(unknown(&patterns.join(" "), &listed));
    }
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    // A branch may be called the same.
    Ok(listed.lines().map(|tag| Revision(format!("refs/tags/{tag}"))).collect())
}

/// The root of the working tree around the directory of `path`.
pub(crate) fn top(path: &Path) -> Result<PathBuf, Failure> {
    let top = git(&super::parent(path), &["rev-parse", "--show-toplevel"])?;
    if top.status.success() {
        return Ok(PathBuf::from(String::from_utf8_lossy(&top.stdout).trim_end_matches('\n')));
    }
    Err(unknown("--show-toplevel", &top))
}

/// What git's configuration says in the clone at `dir`; `None` where it says nothing.
pub(crate) fn configured(dir: &Path, key: &str) -> Result<Option<String>, Failure> {
    let said = git(dir, &["config", "--get", key])?;
    Ok(said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim_end_matches('\n').to_owned()))
}

/// Writes into the configuration of the clone at `dir`.
pub(crate) fn configure(dir: &Path, key: &str, value: &str) -> Result<(), Failure> {
    let done = git(dir, &["config", "--local", key, value])?;
    let failed = || Error::new(format!("git could not set `{key}`"));
    done.status
        .success()
        .then_some(())
        .ok_or_else(|| Failure::Other(failed().because(String::from_utf8_lossy(&done.stderr).trim())))
}

/// Lockfiles of the name of `path` that a revision has and the working tree no longer has.
pub(crate) fn files_gone_since(revision: &Revision, path: &Path) -> Result<Vec<String>, Failure> {
    let top = top(path)?;
    Ok(locks_at(revision, path)?.into_iter().filter(|file| !top.join(file).exists()).collect())
}

/// Where git says that the file at `path` was at a revision, from the root of the repository: by what both have in common.
pub(crate) fn name_before(revision: &Revision, path: &Path) -> Result<Option<String>, Failure> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let args = ["diff", "--name-status", "-z", "--find-renames", "--diff-filter=R", &revision.0, "--"];
    let pathspec = format!(":(top,glob)**/{name}");
    let shown = git(&super::parent(path), &args.into_iter().chain([pathspec.as_str()]).collect::<Vec<_>>())?;
    if !shown.status.success() {
        return Err(unknown(&revision.0, &shown));
    }
    let (top, path) = (super::absolute(&top(path)?), super::absolute(path));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let fields: Vec<_> = shown.split('\0').collect();
    let mut renames = fields.chunks_exact(3);
    Ok(renames.find(|rename| top.join(rename[2]) == path).map(|rename| rename[1].to_owned()))
}

/// The bytes of a file at a revision.
pub(crate) fn object(file: &FileAt) -> Result<Vec<u8>, Failure> {
    let shown = cat(Path::new("."), &file.0)?;
    if shown.status.success() { Ok(shown.stdout) } else { Err(unknown(&file.0, &shown)) }
}

fn cat(dir: &Path, object: &str) -> Result<Output, Failure> {
    git(dir, &["cat-file", "blob", object])
}

fn git(dir: &Path, args: &[&str]) -> Result<Output, Failure> {
    let output = Command::new("git").arg("-C").arg(dir).args(args).env("LC_ALL", "C").output();
    output.map_err(|error| Failure::Other(Error::new("could not run git").because(error)))
}

fn unknown(what: &str, output: &Output) -> Failure {
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim().trim_start_matches("fatal: ").to_owned();
    let error = Error::new(format!("git does not know `{what}`")).because(message.as_str());
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
