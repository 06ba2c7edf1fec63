//! One upgrade at a time: a lock that says who holds it.
//!
//! The lock is the site's own: an flock(2) on a small map with BTF, pinned in the live generation and hard-linked into each one that
//! follows. The lock is its inode's, so that it is shared by all of them, and by every bind mount of the directory; of the
//! directory itself it would stay behind at an exchange. Who may not open the pin can't hold it.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use maplock_layout::btf::encode;
use maplock_layout::map::MapType;
use maplock_layout::{IntKind, Layout, Shape};
use rustix::fs::{FileType, Stat};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory::{is_there, lstat, own_uid, same_pin, user};
use crate::generation::site::Site;
use crate::generation::{meta, names};
use crate::sys::bpffs::{self, Dir, Named as _, Pin};
use crate::sys::consts::ENOTSUPP;
use crate::sys::{Btf, Map, NewMap};

/// How often a lock that somebody else holds is asked for.
const PAUSE: Duration = Duration::from_millis(10);

/// The right to change the generations of a site, for as long as it lives. It ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Exclusive {
    _held: OwnedFd,
    site: Site,
    /// The pin that is locked; `None` if the lock is that of a directory.
    pin: Option<Pin>,
    /// It was made for this, and goes again if nothing comes of it.
    is_new: bool,
}

/// What can be locked.
enum Lockable {
    Pin(OwnedFd),
    /// There was none; it was made.
    Made,
    /// Somebody else made one at the same moment.
    Again,
    /// This kernel does not open a map's pin.
    Not(io::Error),
}

impl Exclusive {
    /// Takes the lock of a site, and waits so long for somebody else to let go of it.
    pub(crate) fn lock(site: &Site, wait: Duration) -> Result<Self, Error> {
        let start = Instant::now();
        let (mut chances, mut made) = (10, None);
        loop {
            let pin = lock_of(site)?;
            let held = match open(site, &pin)? {
                Lockable::Pin(held) => held,
                Lockable::Made => {
                    made = Some(pin.file_name());
                    continue;
                }
                Lockable::Again => continue,
                Lockable::Not(error) => {
                    if made.is_some() {
                        bpffs::unlink(&pin).trying(|| format!("can't remove `{}`", pin.display()))?;
                    }
                    return Self::of_directory(site, wait, start, &error);
                }
            };
            if bpffs::try_lock(&held).trying(|| format!("can't lock `{}`", pin.display()))? {
                // Whoever had it may have committed the first generation, or removed the pin when nothing came of one.
                if is_of(&held, &lock_of(site)?)? {
                    remove_stale(site, &pin)?;
                    let is_new = made == Some(pin.file_name());
                    return Ok(Self { _held: held, site: site.clone(), pin: Some(pin), is_new });
                }
                continue;
            }
            wait_for_holder(site, &held, (start, wait), &mut chances)?;
        }
    }

    /// The lock of the directory that holds the generations: that of their own would be exchanged with them.
    fn of_directory(site: &Site, wait: Duration, start: Instant, why: &io::Error) -> Result<Self, Error> {
        let dir = site.above.display();
        tracing::warn!(%why, "this kernel can't lock a single map: one lock is for all pins in `{dir}`");
        let held = bpffs::open_dir(site.above.path()).trying(|| format!("can't open `{dir}` to lock it"))?;
        let mut chances = 10;
        while !bpffs::try_lock(&held).trying(|| format!("can't lock `{dir}`"))? {
            wait_for_holder(site, &held, (start, wait), &mut chances)?;
        }
        Ok(Self { _held: held, site: site.clone(), pin: None, is_new: false })
    }

    /// A generation of the site has its lock too, so that it keeps it when it is live.
    pub(crate) fn join(&self, generation: &Dir) -> Result<(), Error> {
        let Some(lock) = &self.pin else { return Ok(()) };
        let pin = generation.join(names::LOCK);
        if same_pin(lock, &pin)? {
            return Ok(());
        }
        let failed = || format!("can't link `{}` to `{}`", lock.display(), pin.display());
        bpffs::unlink(&pin).trying(failed)?;
        bpffs::hard_link(lock, &pin).trying(failed)
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        let Some(pin) = &self.pin else { return };
        let is_early = self.site.early.as_ref().is_some_and(|early| early.path() == pin.path());
        let is_ours = || is_there(&self.site.dir.join(meta::NAME)).unwrap_or(true);
        if is_early || self.is_new && !is_ours() {
            _ = bpffs::unlink(pin);
        }
    }
}

/// If the lock of a site is: in its live generation, and beside the place of the first one.
fn lock_of(site: &Site) -> Result<Pin, Error> {
    Ok(match &site.early {
        Some(early) if !is_there(&site.dir)? => early.clone(),
        _ => site.dir.join(names::LOCK),
    })
}

/// A first start that was killed after its commit has left the pin beside the directory.
fn remove_stale(site: &Site, pin: &Pin) -> Result<(), Error> {
    if let Some(early) = &site.early
        && early.path() != pin.path()
        && same_pin(early, pin)?
    {
        bpffs::unlink(early).trying(|| format!("can't remove `{}`", early.display()))?;
    }
    Ok(())
}

fn is_of(held: &OwnedFd, pin: &Pin) -> Result<bool, Error> {
    let stat = rustix::fs::fstat(held).map_err(io::Error::from).trying(|| failed(pin))?;
    Ok(lstat(pin)?.is_some_and(|now| (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino)))
}

fn failed(pin: &Pin) -> String {
    format!("can't open the lock `{}`", pin.display())
}

fn open(site: &Site, pin: &Pin) -> Result<Lockable, Error> {
    match bpffs::open_pin(pin) {
        Ok(held) => {
            let stat = rustix::fs::fstat(&held).map_err(io::Error::from).trying(|| failed(pin))?;
            check(site, pin, &stat)?;
            Ok(Lockable::Pin(held))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = make(pin)?;
            if let (Lockable::Made, 0, Some(dir)) = (&made, own_uid(), lstat(&site.dir)?) {
                // The daemon whose pins they are takes the lock at each start, whoever was the first to.
                if let Err(error) = bpffs::give(pin, dir.st_uid, dir.st_gid) {
                    tracing::debug!(pin = %pin.display(), %error, "the lock stays root's");
                }
            }
            Ok(made)
        }
        Err(error) => {
            if let Some(stat) = lstat(pin)? {
                check(site, pin, &stat)?;
            }
            match error.raw_os_error() {
                Some(libc::EIO) => Ok(Lockable::Not(error)),
                _ => Err(error).trying(|| failed(pin)),
            }
        }
    }
}

/// What is there is a lock only if nobody else can have put it there.
fn check(site: &Site, pin: &Pin, stat: &Stat) -> Result<(), Error> {
    let what = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        "is no pin".to_owned()
    } else if !site.trusts(stat.st_uid) {
        format!("was put there by {}", user(stat.st_uid))
    } else {
        return Ok(());
    };
    let shown = pin.display();
    let message = format!("`{shown}` {what}, and no lock of `{}`; remove it: rm -r {shown}", site.dir.display());
    Err(Error::new(ErrorKind::Place, message))
}

/// Makes the map that is locked, and pins it: of two who do so at once, the kernel lets one.
fn make(pin: &Pin) -> Result<Lockable, Error> {
    let uint = |size| Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)));
    let (key, value) = (uint(4), uint(8));
    let failed = || format!("can't make the lock `{}`", pin.display());
    let encoded = encode(Some(&key), Some(&value)).map_err(io::Error::other).trying(failed)?;
    let map = Btf::load(&encoded.bytes).and_then(|btf| {
        Map::create(&NewMap {
            name: "maplock_lock",
            btf: Some((&btf, encoded.key_type_id, encoded.value_type_id)),
            ..NewMap::new(MapType::ARRAY, 4, 8, 1)
        })
    });
    let map = match map {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP)) => return Ok(Lockable::Not(error)),
        map => map.trying(failed)?,
    };
    match map.pin(pin) {
        Ok(()) => Ok(Lockable::Made),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Lockable::Again),
        Err(error) => Err(error).trying(failed),
    }
}

fn wait_for_holder(
    site: &Site,
    held: &OwnedFd,
    (start, wait): (Instant, Duration),
    chances: &mut u32,
) -> Result<(), Error> {
    if start.elapsed() >= wait {
        let holder = holder(held);
        // Whoever held it has let go meanwhile.
        if holder.is_none() && *chances > 0 {
            *chances -= 1;
            return Ok(());
        }
        let holder = holder.unwrap_or_else(|| "another process".to_owned());
        let (dir, waited) = (site.dir.display(), wait.as_secs_f32());
        let message = format!("{holder} holds the lock of `{dir}`; gave up after {waited} s");
        return Err(Error::new(ErrorKind::Busy, message));
    }
    tracing::debug!(dir = %site.dir.display(), "waiting for another upgrade");
    std::thread::sleep(PAUSE.min(wait));
    Ok(())
}

/// `process 4711 (minimesh)`, from `/proc/locks`: device and inode of each flock, and the process that asked for it.
fn holder(held: &OwnedFd) -> Option<String> {
    let stat = rustix::fs::fstat(held.as_fd()).ok()?;
    let of = format!("{:02x}:{:02x}:{}", rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev), stat.st_ino);
    let pid = holder_in(&fs::read_to_string("/proc/locks").ok()?, &of)?;
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

/// The process that holds the flock of that file.
fn holder_in(locks: &str, of: &str) -> Option<String> {
    // `1: FLOCK  ADVISORY  WRITE 4711 00:1c:2 0 EOF`; who waits has `->` after the number.
    locks.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, _, pid, file, ..] if file == of => Some(pid.to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::holder_in;

    #[test]
    fn the_holder_is_that_of_the_very_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 00:1c:2 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 12 00:1c:21 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 13 00:1c:2 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 14 00:1c:2 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 15 100:1c:2 0 EOF\n";
        assert_eq!(holder_in(locks, "00:1c:2").as_deref(), Some("13"));
        assert_eq!(holder_in(locks, "00:1c:21").as_deref(), Some("12"));
        assert_eq!(holder_in(locks, "00:1c:1"), None);
    }
}
