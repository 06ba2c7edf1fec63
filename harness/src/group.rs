//! A cgroup (v2) that is made, and removed with all that is in it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long the kernel may take to freeze a group, and to be done with those it has killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cgroup of its own, which goes with this value. Whoever is in it is killed.
#[derive(Debug)]
pub struct Group {
    dir: PathBuf,
}

impl Group {
    pub(crate) fn make(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// One that is there, to be removed.
    pub(crate) fn of(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Stops all that is in it, until [`Self::thaw`], and waits until it stands still.
    ///
    /// # Errors
    /// The kernel's; [`io::ErrorKind::TimedOut`] if a process in it can't be stopped.
    pub fn freeze(&self) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.freeze"), "1")?;
        self.until(|group| Ok(group.event("frozen")? == "1"))
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// The kernel's.
    pub fn thaw(&self) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.freeze"), "0")
    }

    /// True if no process is in it.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.event("populated")? == "0")
    }

    /// Asks those of them to end that have no children among them: a shell that waits for one would end without passing on how that ended. Which
    /// they are.
    pub(crate) fn ask_leaves(of: &HashSet<Pid>) -> HashSet<Pid> {
        let parents: HashSet<_> = of.iter().filter_map(|pid| parent(*pid)).collect();
        let leaves: HashSet<_> = of.difference(&parents).copied().collect();
        leaves.iter().for_each(|pid| send(*pid, Signal::TERM));
        leaves
    }

    /// The processes in it.
    pub(crate) fn pids(&self) -> io::Result<HashSet<Pid>> {
        let listed = fs::read_to_string(self.dir.join("cgroup.procs"))?;
        Ok(listed.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect())
    }

    /// Sends a signal to each process in it.
    ///
    /// # Errors
    /// If its processes can't be listed.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.pids()?.into_iter().for_each(|pid| send(pid, signal));
        Ok(())
    }

    /// Kills all that is in it, also what it starts meanwhile, and waits for that.
    ///
    /// # Errors
    /// The kernel's.
    pub fn kill(&self) -> io::Result<()> {
        // Linux 5.14; before, what a process starts while it is killed takes another turn.
        if fs::write(self.dir.join("cgroup.kill"), "1").is_err() {
            self.signal(Signal::KILL)?;
        }
        self.until(|group| {
            let is_empty = group.is_empty()?;
            if !is_empty {
                group.signal(Signal::KILL)?;
            }
            Ok(is_empty)
        })
    }

    fn until(&self, is_so: impl Fn(&Self) -> io::Result<bool>) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        while !is_so(self)? {
            if Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A word of `cgroup.events`.
    fn event(&self, name: &str) -> io::Result<String> {
        let events = fs::read_to_string(self.dir.join("cgroup.events"))?;
        let found = events.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(found.unwrap_or_default().to_owned())
    }

    fn remove(&self) -> io::Result<()> {
        self.kill()?;
        let until = Instant::now() + PATIENCE;
        loop {
            match fs::remove_dir(&self.dir) {
                // EBUSY until the kernel is done with those who were in it.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                    thread::sleep(Duration::from_millis(2));
                }
                result => return result,
            }
        }
    }
}

/// It may have ended meanwhile.
fn send(pid: Pid, signal: Signal) {
    _ = kill_process(pid, signal);
}

/// The fourth word of proc_pid_stat(5), of which the second may have spaces.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    Pid::from_raw(stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?)
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("cgroup {} stays: {error}", self.dir.display());
        }
    }
}
