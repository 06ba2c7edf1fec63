//! The calls on bpffs: directories of pins.
//!
//! What is peculiar about bpffs is said at each function; all of it was measured, and has a test in `tests/kernel_facts`.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags, Uid};

use super::consts::BPF_FS_MAGIC;
use super::functions;
pub use super::named::{Dir, Named, Pin, Rule, lstat};

/// True if a directory is on a bpffs.
///
/// # Errors
/// As statfs(2).
pub fn is_bpffs(dir: &Dir) -> io::Result<bool> {
    Ok(file_system(&*dir.open()?)? == BPF_FS_MAGIC)
}

/// The magic number of the file system that something is on.
///
/// # Errors
/// As statfs(2).
pub fn file_system(of: impl AsFd) -> io::Result<u64> {
    #[allow(clippy::cast_sign_loss, reason = "a magic number of 32 bits, whose type differs between architectures")]
    Ok(rustix::fs::fstatfs(of)?.f_type as u64 & 0xffff_ffff)
}

/// True if `dir` is a directory on which something is mounted: its root can't be renamed or exchanged (EBUSY).
///
/// # Errors
/// As stat(2).
pub fn is_mount_root(dir: &Dir) -> io::Result<bool> {
    let here = dir.open()?;
    // Also tells a directory that is mounted over itself (`mount --bind`), since Linux 5.8.
    if let Ok(found) = rustix::fs::statx(&*here, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
        && found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
    {
        return Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    let above = rustix::fs::statat(&*here, "..", AtFlags::SYMLINK_NOFOLLOW)?;
    let here = rustix::fs::fstat(&*here)?;
    Ok(here.st_dev != above.st_dev || here.st_ino == above.st_ino)
}

/// The names in a directory, sorted. `None` if there is no such directory.
///
/// # Errors
/// As open(2) and readdir(3).
pub fn names(dir: &Path) -> io::Result<Option<Vec<String>>> {
    Dir::at(dir).names()
}

/// Makes a directory; false if there is something already.
///
/// # Errors
/// As mkdir(2); EPERM if the name holds a dot.
pub fn make_dir(at: &(impl Named + ?Sized)) -> io::Result<bool> {
    match rustix::fs::mkdirat(&*at.up()?, at.name()?, Mode::from_raw_mode(0o700)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Another name for a pin, within one mount.
///
/// # Errors
/// As link(2): EEXIST, EXDEV across mounts.
pub fn hard_link(from: &(impl Named + ?Sized), to: &(impl Named + ?Sized)) -> io::Result<()> {
    Ok(rustix::fs::linkat(&*from.up()?, from.name()?, &*to.up()?, to.name()?, AtFlags::empty())?)
}

/// Puts the pin or directory `from` in the place of `to` atomically; what was there is gone. If both are names of one pin,
/// nothing happens and both stay.
///
/// # Errors
/// As rename(2).
pub fn rename(from: &(impl Named + ?Sized), to: &(impl Named + ?Sized)) -> io::Result<()> {
    Ok(rustix::fs::renameat(&*from.up()?, from.name()?, &*to.up()?, to.name()?)?)
}

/// As [`rename`], but never over something.
///
/// # Errors
/// EEXIST if `to` is there.
pub fn rename_new(from: &(impl Named + ?Sized), to: &(impl Named + ?Sized)) -> io::Result<()> {
    rename_with(from, to, RenameFlags::NOREPLACE)
}

/// Exchanges two names atomically: of pins, or of whole directories. Linux 5.16.
///
/// # Errors
/// EINVAL on older kernels; EBUSY for a mount's root.
pub fn exchange(one: &(impl Named + ?Sized), other: &(impl Named + ?Sized)) -> io::Result<()> {
    rename_with(one, other, RenameFlags::EXCHANGE)
}

/// True where the kernel that runs exchanges names on bpffs ([`exchange`]): since commit 3871cb8cf741 of Linux 5.16. `None` where nothing
/// tells. Looked up once.
///
/// A try would not do: renameat2(2) shows the flag to the file system last, and a file system that knows it exchanges. So this looks for
/// the function that came with it.
#[must_use]
pub fn exchanges() -> Option<bool> {
    static EXCHANGES: OnceLock<Option<bool>> = OnceLock::new();
    *EXCHANGES.get_or_init(|| functions::has("simple_rename_exchange"))
}

fn rename_with(from: &(impl Named + ?Sized), to: &(impl Named + ?Sized), flags: RenameFlags) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(&*from.up()?, from.name()?, &*to.up()?, to.name()?, flags)?)
}

/// Removes a pin or symbolic link; false if there is none.
///
/// # Errors
/// As unlink(2).
pub fn unlink(at: &(impl Named + ?Sized)) -> io::Result<bool> {
    remove(at, AtFlags::empty())
}

/// Removes an empty directory; false if there is none.
///
/// # Errors
/// As rmdir(2).
pub fn remove_dir(at: &(impl Named + ?Sized)) -> io::Result<bool> {
    remove(at, AtFlags::REMOVEDIR)
}

fn remove(at: &(impl Named + ?Sized), flags: AtFlags) -> io::Result<bool> {
    match at.up().and_then(|up| Ok(rustix::fs::unlinkat(&*up, at.name()?, flags)?)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a record: a symbolic link whose target is the text, of at most 4,000 bytes. bpffs holds no regular files.
///
/// # Errors
/// As symlink(2): EEXIST; ENAMETOOLONG for a longer text.
pub fn write_record(at: &(impl Named + ?Sized), text: &str) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(text, &*at.up()?, at.name()?)?)
}

/// Reads a record. `None` if there is none.
///
/// # Errors
/// As readlink(2): EINVAL if the name is no symbolic link.
pub fn read_record(at: &(impl Named + ?Sized)) -> io::Result<Option<String>> {
    match at.up().and_then(|up| Ok(rustix::fs::readlinkat(&*up, at.name()?, Vec::new())?)) {
        Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a pin to a user.
///
/// # Errors
/// As chown(2).
pub fn give(pin: &(impl Named + ?Sized), user: u32, group: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    Ok(rustix::fs::chownat(&*pin.up()?, pin.name()?, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Gives `to` the owner and mode of `from`. A new pin is 0600 of the process, whatever it replaces. Of symbolic links, only the
/// owner is anybody's to give.
///
/// # Errors
/// As chown(2) and chmod(2).
pub fn copy_owner_and_mode(from: &(impl Named + ?Sized), to: &(impl Named + ?Sized)) -> io::Result<()> {
    let absent = || io::Error::from_raw_os_error(libc::ENOENT);
    let (old, up) = (lstat(from)?.ok_or_else(absent)?, to.up()?);
    // A descriptor of what is there now: chmod(2) by name would follow a link.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&*up, to.name()?, flags, Mode::empty())?;
    let new = rustix::fs::fstat(&file)?;
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid) {
        let (user, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
        rustix::fs::chownat(&file, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    }
    let is_link = FileType::from_raw_mode(new.st_mode) == FileType::Symlink;
    if !is_link && old.st_mode & 0o7777 != new.st_mode & 0o7777 {
        let through = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::chmod(through, Mode::from_raw_mode(old.st_mode & 0o7777))?;
    }
    Ok(())
}

/// Opens a directory to lock it.
///
/// # Errors
/// As open(2).
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a pin as a file: a descriptor of its inode, as a lock of it wants. Nothing is followed.
///
/// # Errors
/// As open(2): EIO if it is no map with BTF, ELOOP for a symbolic link.
pub fn open_pin(at: &(impl Named + ?Sized)) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(&*at.up()?, at.name()?, flags, Mode::empty())?)
}

/// Takes the lock of a directory or pin for as long as the descriptor is open; false if somebody else has it. The lock is the
/// inode's: after an exchange of two directories it is on the other one.
///
/// # Errors
/// As flock(2).
pub fn try_lock(file: impl AsFd) -> io::Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
