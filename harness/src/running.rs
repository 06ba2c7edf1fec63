//! A command of the user's, in a cgroup of its own, with what it says in a file.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::group::Group;

/// How long whoever has waited for another one may take to end by itself.
const AFTER: Duration = Duration::from_millis(300);

/// Who a command is for: what it finds in its environment.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) pins: PathBuf,
    pub(crate) cgroup: PathBuf,
    pub(crate) logs: PathBuf,
}

/// A command that runs, or has ended.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) log: PathBuf,
    pub(crate) started: Instant,
}

impl Running {
    /// Starts it by the shell, as a process that has moved itself into the cgroup.
    pub(crate) fn start(command: &str, place: &Place, group: &Path, log: PathBuf) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&log)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo 0 >\"$1\" && exec sh -c \"$2\"", "sh"]).arg(group.join("cgroup.procs")).arg(command);
        shell.env("MAPLOCK_PINS", &place.pins).env("MAPLOCK_CGROUP", &place.cgroup);
        shell.env("MAPLOCK_LOGS", &place.logs);
        shell.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // A signal of the terminal is for whoever has started it.
        shell.process_group(0);
        Ok(Self { child: shell.spawn()?, log, started: Instant::now() })
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end, and after that time makes it: how it ended, and whether it had to be killed. SIGTERM goes to those who wait for nobody,
    /// so that a shell passes on how they ended; and to who has waited for them, if that is still there a while after.
    pub(crate) fn stop(&mut self, group: &Group, patience: Duration) -> io::Result<(ExitStatus, bool)> {
        let until = Instant::now() + patience;
        let first = group.pids()?;
        let mut asked = Group::ask_leaves(&first);
        let mut gone_since = None;
        while self.child.try_wait()?.is_none() || !group.is_empty()? {
            if Instant::now() > until {
                group.kill()?;
                return Ok((self.child.wait()?, true));
            }
            let alive = group.pids()?;
            if !asked.is_disjoint(&alive) {
                gone_since = None;
            } else if gone_since.get_or_insert_with(Instant::now).elapsed() > AFTER {
                // Those that have come since come and go.
                let left: HashSet<_> = first.intersection(&alive).copied().collect();
                asked = Group::ask_leaves(if left.is_empty() { &alive } else { &left });
                gone_since = None;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok((self.child.wait()?, false))
    }

    /// Kills all of it, also before it has moved into its cgroup.
    pub(crate) fn kill(&mut self, group: &Group) -> io::Result<()> {
        self.child.kill()?;
        group.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended where all is well.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// How it ended: `ended with exit code 1`.
pub(crate) fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// True if who was asked to end has done so: by the signal itself, or in its own way.
pub(crate) fn ended_as_asked(status: ExitStatus) -> bool {
    let term = Signal::TERM.as_raw();
    status.success() || status.signal() == Some(term) || status.code() == Some(128 + term)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::sync::mpsc;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_command_that_has_not_moved_into_its_cgroup_yet_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("group");
        fs::create_dir(&dir).unwrap();
        // Nobody reads there, so that it never gets into a group, which stays empty.
        mknodat(CWD, dir.join("cgroup.procs"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::write(dir.join("cgroup.events"), "populated 0\n").unwrap();
        let place = Place { pins: dir.clone(), cgroup: dir.clone(), logs: dir.clone() };
        let mut running = Running::start("true", &place, &dir, folder.path().join("log")).unwrap();
        let (killed, is_killed) = mpsc::channel();
        thread::spawn(move || killed.send(running.kill(&Group::of(dir)).is_ok()));
        assert_eq!(is_killed.recv_timeout(Duration::from_secs(60)), Ok(true));
    }
}
