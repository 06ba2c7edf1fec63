//! bpf(2), and what all its commands share.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::memlock;

/// `enum bpf_cmd` of include/uapi/linux/bpf.h.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(super) enum Cmd {
    MapCreate = 0,
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    MapGetNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgTestRun = 10,
    ProgGetNextId = 11,
    MapGetNextId = 12,
    ProgGetFdById = 13,
    MapGetFdById = 14,
    ObjGetInfoByFd = 15,
    ProgQuery = 16,
    BtfLoad = 18,
    BtfGetFdById = 19,
    MapLookupAndDeleteElem = 21,
    MapFreeze = 22,
    MapLookupBatch = 24,
    MapUpdateBatch = 26,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkGetFdById = 30,
    LinkGetNextId = 31,
    IterCreate = 33,
    LinkDetach = 34,
}

impl Cmd {
    /// True for those that make what counts against RLIMIT_MEMLOCK.
    fn takes_memory(self) -> bool {
        matches!(self, Self::MapCreate | Self::ProgLoad | Self::BtfLoad)
    }
}

/// Calls bpf(2). Whatever addresses `attr` holds must be good for what the command does with them.
///
/// # Safety
/// `A` is the part of `union bpf_attr` that belongs to `cmd`, without padding that is not zero, and each pointer in it leads to
/// memory that the command may read or write for the lengths that `attr` gives or the object implies.
pub(super) unsafe fn bpf<A>(cmd: Cmd, attr: &mut A) -> io::Result<i32> {
    let mut call = || {
        let attr = std::ptr::from_mut(attr);
        // SAFETY: the caller vouches for what `attr` holds; the kernel reads `size_of::<A>()` bytes of it, and takes the rest as zero.
        let result = unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, attr, size_of::<A>()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(i32::try_from(result).unwrap_or(i32::MAX)) }
    };
    let is_refused =
        |result: &io::Result<i32>| result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
    let mut result = call();
    if is_refused(&result) && cmd.takes_memory() && memlock::raise() {
        result = call();
    }
    if is_refused(&result) {
        memlock::refused(cmd.takes_memory());
    }
    result
}

/// What bpf(2) says to a command that no kernel has: EINVAL, unless something between the process and the kernel answers.
pub(super) fn bpf_of_no_command() -> io::Error {
    // SAFETY: the kernel reads nothing, for a size of 0; and no kernel has the command.
    let result = unsafe { libc::syscall(libc::SYS_bpf, libc::c_long::from(i32::MAX), std::ptr::null_mut::<u8>(), 0) };
    debug_assert!(result < 0);
    io::Error::last_os_error()
}

/// [`bpf`], for commands that return a file descriptor.
///
/// # Safety
/// As for [`bpf`]; and `cmd` returns a file descriptor.
pub(super) unsafe fn bpf_fd<A>(cmd: Cmd, attr: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(cmd, attr)? };
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pointer as `__aligned_u64`.
pub(super) fn addr<T: ?Sized>(of: *const T) -> u64 {
    of.cast::<()>().addr() as u64
}

/// A name as the kernel keeps it: 15 bytes of `[A-Za-z0-9_.]`, others as `_`, and a final zero.
pub(super) fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes[..15].iter_mut().zip(name.bytes()) {
        *to = if from.is_ascii_alphanumeric() || from == b'_' || from == b'.' { from } else { b'_' };
    }
    bytes
}

/// A name that the kernel returned.
pub(super) fn name_of(bytes: &[u8; 16]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[repr(C)]
struct ObjAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Pins an object. EEXIST if the name is taken.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = ObjAttr { pathname: addr(path.as_ptr()), bpf_fd: raw(fd), file_flags: 0 };
    // SAFETY: `path` ends with a zero and outlives the call.
    unsafe { bpf(Cmd::ObjPin, &mut attr) }.map(drop)
}

/// Opens what is pinned at a path. Follows symbolic links.
pub(super) fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = ObjAttr { pathname: addr(path.as_ptr()), bpf_fd: 0, file_flags: 0 };
    // SAFETY: the path ends with a zero and outlives the call; the command opens a descriptor.
    unsafe { bpf_fd(Cmd::ObjGet, &mut attr) }
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

pub(super) fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

#[repr(C)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

pub(super) fn fd_by_id(cmd: Cmd, id: u32) -> io::Result<OwnedFd> {
    let mut attr = IdAttr { id, next_id: 0, open_flags: 0 };
    // SAFETY: no pointers; each command given here opens a descriptor.
    unsafe { bpf_fd(cmd, &mut attr) }
}

/// The id after `id` of the objects that `cmd` goes through: maps, programs or links.
pub(super) fn next_id(cmd: Cmd, id: u32) -> io::Result<Option<u32>> {
    let mut attr = IdAttr { id, next_id: 0, open_flags: 0 };
    // SAFETY: no pointers.
    match unsafe { bpf(cmd, &mut attr) } {
        Ok(_) => Ok(Some(attr.next_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// Fills `info`, zero-initialised or with buffers set, with what the kernel tells. Returns how many bytes it wrote.
///
/// # Safety
/// `T` is plain data that any bytes are good for, and pointers in it lead to memory of the lengths beside them.
pub(super) unsafe fn object_info<T>(fd: BorrowedFd<'_>, info: &mut T) -> io::Result<usize> {
    let len = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    let mut attr = InfoAttr { bpf_fd: raw(fd), info_len: len, info: addr(std::ptr::from_mut(info)) };
    // SAFETY: the kernel writes at most `info_len` bytes; the caller vouches for the rest.
    unsafe { bpf(Cmd::ObjGetInfoByFd, &mut attr) }?;
    Ok(attr.info_len as usize)
}
