//! One upgrade at a time: a lock that says who holds it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::sys::bpffs;

/// How often a lock that somebody else holds is asked for.
const PAUSE: Duration = Duration::from_millis(10);

/// The right to change the generations beside each other in one directory, for as long as it lives. It ends with the process,
/// however that ends.
#[derive(Debug)]
pub(crate) struct Exclusive {
    _dir: OwnedFd,
}

impl Exclusive {
    /// Locks `dir`, the directory that *holds* the generations: the lock of a generation's own would be exchanged with it.
    pub(crate) fn lock(dir: &Path, wait: Duration) -> Result<Self, Error> {
        let fd = bpffs::open_dir(dir).trying(|| format!("can't open `{}` to lock it", dir.display()))?;
        let start = Instant::now();
        let mut chances = 10;
        loop {
            if bpffs::try_lock(fd.as_fd()).trying(|| format!("can't lock `{}`", dir.display()))? {
                return Ok(Self { _dir: fd });
            }
            if start.elapsed() >= wait {
                let holder = holder(dir);
                // Whoever held it has let go meanwhile.
                if holder.is_none() && chances > 0 {
                    chances -= 1;
                    continue;
                }
                let holder = holder.unwrap_or_else(|| "another process".to_owned());
                let message = format!(
                    "{holder} holds the lock of `{}`, and was waited for {} s; wait longer with `wait`, or stop it",
                    dir.display(),
                    wait.as_secs_f32()
                );
                return Err(Error::new(ErrorKind::Busy, message));
            }
            tracing::debug!(dir = %dir.display(), "waiting for another upgrade");
            std::thread::sleep(PAUSE.min(wait));
        }
    }
}

/// `process 4711 (minimesh)`, from `/proc/locks`: device and inode of each flock, and the process that asked for it.
fn holder(dir: &Path) -> Option<String> {
    let dir = fs::metadata(dir).ok()?;
    let inode = format!("{:02x}:{:02x}:{}", rustix::fs::major(dir.dev()), rustix::fs::minor(dir.dev()), dir.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 4711 00:1c:2 0 EOF`; who waits has `->` after the number.
    let held = locks.lines().filter(|line| line.contains("FLOCK") && !line.contains("->"));
    let pid = held.filter(|line| line.contains(&inode)).find_map(|line| line.split_whitespace().nth(4))?;
    // In another PID namespace the kernel tells 0.
    if pid == "0" || pid.starts_with('-') {
        return Some("a process of another PID namespace".to_owned());
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({name})"),
    })
}
