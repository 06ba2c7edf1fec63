//! The calls on bpffs: directories of pins.
//!
//! What is peculiar about bpffs is said at each function; all of it was measured, and has a test in `tests/kernel_facts`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, StatxAttributes, StatxFlags};

use super::consts::BPF_FS_MAGIC;

/// True where `path` is on a bpffs.
///
/// # Errors
/// As statfs(2).
pub fn is_bpffs(path: &Path) -> io::Result<bool> {
    #[allow(clippy::cast_sign_loss, reason = "a magic number of 32 bits, whose type differs between architectures")]
    Ok(rustix::fs::statfs(path)?.f_type as u64 & 0xffff_ffff == BPF_FS_MAGIC)
}

/// True where `path` is a directory on which something is mounted: its root can't be renamed or exchanged (EBUSY).
///
/// # Errors
/// As stat(2).
pub fn is_mount_root(path: &Path) -> io::Result<bool> {
    let here = path.canonicalize()?;
    // Also tells a directory that is mounted over itself (`mount --bind`), since Linux 5.8.
    if let Ok(found) = rustix::fs::statx(CWD, &here, AtFlags::empty(), StatxFlags::empty())
        && found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
    {
        return Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    let Some(parent) = here.parent() else { return Ok(true) };
    Ok(std::fs::metadata(&here)?.dev() != std::fs::metadata(parent)?.dev())
}

/// The names in a directory, sorted. `None` where there is no such directory.
///
/// # Errors
/// As [`Dir::open`] and readdir(3).
pub fn names(dir: &Path) -> io::Result<Option<Vec<String>>> {
    Dir::open(dir)?.map(|dir| dir.names()).transpose()
}

/// A directory that stays the same one, whatever is put in its place: nothing is listed or removed through a symbolic link.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

impl Dir {
    /// Opens it; `None` where there is none.
    ///
    /// # Errors
    /// As open(2): ENOTDIR for a symbolic link too.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// As readdir(3).
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            // Names that are not UTF-8 can't be ours; whoever made them sees them in the replaced form.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a pin or symbolic link in it; false where there is none.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn unlink(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes a directory; false where there is one already.
///
/// # Errors
/// As mkdir(2); EPERM where the name holds a dot.
pub fn make_dir(path: &Path) -> io::Result<bool> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Another name for a pin, within one mount.
///
/// # Errors
/// As link(2): EEXIST, EXDEV across mounts.
pub fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?)
}

/// Puts the pin or directory `from` in the place of `to` atomically; what was there is gone. Where both are names of one pin,
/// nothing happens and both stay.
///
/// # Errors
/// As rename(2).
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::rename(from, to)?)
}

/// As [`rename`], but never over something.
///
/// # Errors
/// EEXIST where `to` is there.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Exchanges two names atomically: of pins, or of whole directories. Linux 5.16.
///
/// # Errors
/// EINVAL on older kernels; EBUSY for a mount's root.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Removes a pin or symbolic link; false where there is none. The directory that it is in must be one: no link leads there.
///
/// # Errors
/// As [`Dir::open`] and unlinkat(2).
pub fn unlink(path: &Path) -> io::Result<bool> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let Some(dir) = Dir::open(parent)? else { return Ok(false) };
    dir.unlink(&name.to_string_lossy())
}

/// Removes an empty directory; false where there is none.
///
/// # Errors
/// As rmdir(2).
pub fn remove_dir(path: &Path) -> io::Result<bool> {
    match rustix::fs::rmdir(path) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes a record: a symbolic link whose target is the text, of at most 4,000 bytes. bpffs holds no regular files.
///
/// # Errors
/// As symlink(2): EEXIST; ENAMETOOLONG for a longer text.
pub fn write_record(path: &Path, text: &str) -> io::Result<()> {
    Ok(rustix::fs::symlink(text, path)?)
}

/// Reads a record. `None` where there is none.
///
/// # Errors
/// As readlink(2): EINVAL where the name is no symbolic link.
pub fn read_record(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_link(path) {
        Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives `to` the owner and mode of `from`. A new pin is 0600 of the process, whatever it replaces.
///
/// # Errors
/// As chown(2) and chmod(2).
pub fn copy_owner_and_mode(from: &Path, to: &Path) -> io::Result<()> {
    let old = std::fs::symlink_metadata(from)?;
    let new = std::fs::symlink_metadata(to)?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        std::os::unix::fs::chown(to, Some(old.uid()), Some(old.gid()))?;
    }
    if old.mode() & 0o7777 != new.mode() & 0o7777 {
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(old.mode() & 0o7777))?;
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

/// Takes the lock of a directory for as long as the descriptor is open; false where somebody else has it. The lock is the
/// inode's: after an exchange of two directories it is on the other one.
///
/// # Errors
/// As flock(2).
pub fn try_lock(dir: impl AsFd) -> io::Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
