//! Readiness: the daemon of this pod has committed once, and its hook runs a generation of maplock.
//!
//! Whether the live generation is what the daemon's release would make says something else: after `maplock rollback` it is not, and the node
//! serves all the same.

use std::fs::File;
use std::io;
use std::path::Path;

use maplock::internals::inspect;
use rustix::fs::{FlockOperation, flock};

use crate::daemon::HOOK;

/// That a daemon has committed, said as long as it lives: a lock on a file, which ends with the process and can't be stale.
#[derive(Debug)]
pub struct Committed {
    _locked: File,
}

impl Committed {
    /// Says so.
    ///
    /// # Errors
    /// Where the file can't be made, or another process has its lock.
    pub fn announce(file: &Path) -> io::Result<Self> {
        let file = File::create(file)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { _locked: file })
    }
}

/// The number of the generation that serves.
///
/// # Errors
/// Why it is not ready yet, or not any more.
pub fn check(file: &Path, pins: &Path) -> Result<u64, String> {
    has_committed(file)?;
    serving(pins)
}

/// Why a daemon is not ready that has not committed.
pub(crate) const NOT_YET: &str = "the daemon has not committed yet";

/// The number of the generation that serves, whatever daemon made it.
///
/// # Errors
/// Why none does.
pub(crate) fn serving(pins: &Path) -> Result<u64, String> {
    let live = inspect::directory(pins).map_err(|error| error.to_string())?;
    let dir = pins.display();
    let meta = live.meta.as_ref().ok_or_else(|| format!("what is pinned in {dir} is no generation of maplock"))?;
    let at = |error: io::Error| format!("{dir}/{HOOK}: {error}");
    let link = live.links.get(HOOK).ok_or_else(|| format!("no link is pinned as {dir}/{HOOK}"))?;
    let pin = format!("{HOOK}@prog");
    let own = live.progs.get(&pin).ok_or_else(|| format!("no program is pinned as {dir}/{pin}"))?;
    let (runs, own) = (link.info().map_err(at)?.prog_id, own.info().map_err(at)?.id);
    if runs != own {
        return Err(format!("{dir}/{HOOK} runs program {runs}, and that of the live generation is {own}"));
    }
    Ok(meta.generation)
}

fn has_committed(path: &Path) -> Result<(), String> {
    let not_yet = || NOT_YET.to_owned();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_yet()),
        file => file.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(()),
        // A file that an earlier start has left.
        Ok(()) => Err(not_yet()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_that_nobody_holds_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ready");
        assert!(has_committed(&file).is_err());
        let said = Committed::announce(&file).unwrap();
        assert_eq!(has_committed(&file), Ok(()));
        assert!(Committed::announce(&file).is_err(), "one daemon says so at a time");
        drop(said);
        assert!(has_committed(&file).is_err(), "the file is there, and its daemon is gone");
    }
}
