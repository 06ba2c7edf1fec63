//! Lockfiles on disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use maplock_layout::Lock;
use tempfile::{Builder, NamedTempFile};

use crate::error::Error;

/// How the files begin that become a lock when they are whole.
const PREFIX: &str = ".maps.lock.";
const SUFFIX: &str = ".tmp";

/// The text of a lockfile; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(format!("could not read {}", super::shown(path))).because(error)),
    }
}

/// Understands a lockfile's text. `shown` is how to name it.
pub(crate) fn parse(shown: &str, text: &str) -> Result<Lock, Error> {
    Lock::parse(text).map_err(|error| Error::new(format!("{shown}:{}: {}", error.line, error.problem)))
}

/// A lockfile that is being changed, by nobody else at the time.
#[derive(Debug)]
pub(crate) struct Editing {
    path: PathBuf,
    /// The directory, locked: the file itself is replaced, and a lock on it would stay with the old one.
    held: Option<File>,
    /// The text as it is; `None` if there is no file.
    pub(crate) text: Option<String>,
}

impl Editing {
    /// Waits for whoever changes the file, then reads it.
    pub(crate) fn begin(path: &Path) -> Result<Self, Error> {
        // Through a symbolic link, so that the file behind it is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let held = hold(&super::parent(&path));
        let text = read(&path)?;
        Ok(Self { path, held, text })
    }

    /// Puts `text` in the place of the file, in one step: whoever reads it finds the old one or the new one, also after
    /// a crash.
    pub(crate) fn write(self, text: &str) -> Result<(), Error> {
        let path = self.path.clone();
        self.replace(text)
            .map_err(|error| Error::new(format!("could not write {}", super::shown(&path))).because(error))
    }

    fn replace(self, text: &str) -> io::Result<()> {
        let dir = super::parent(&self.path);
        if self.held.is_some() {
            remove_leftovers(&dir);
        }
        let mut file = temporary(&dir)?;
        if let Ok(metadata) = fs::metadata(&self.path) {
            file.as_file().set_permissions(metadata.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        // The rename is in the directory. Not every file system can sync one.
        _ = File::open(&dir).and_then(|dir| dir.sync_all());
        Ok(())
    }
}

/// A file with the permissions of any new file, not the private ones of a temporary one.
fn temporary(dir: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// Removes what processes left that were killed. Only under the lock: others may be writing.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            _ = fs::remove_file(entry.path());
        }
    }
}

/// Locks a directory, until the file is closed. Some network file systems can't: there, the last one to write wins, with
/// a file that is whole all the same.
#[cfg(unix)]
fn hold(dir: &Path) -> Option<File> {
    let dir = File::open(dir).ok()?;
    loop {
        match rustix::fs::flock(&dir, rustix::fs::FlockOperation::LockExclusive) {
            Ok(()) => return Some(dir),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

#[cfg(not(unix))]
fn hold(_: &Path) -> Option<File> {
    None
}
