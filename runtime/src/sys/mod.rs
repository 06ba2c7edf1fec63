//! The system calls, each behind a safe function: bpf(2), membarrier(2), and the calls on bpffs.
//!
//! This is the only module of the crate that holds `unsafe`. It knows nothing of locks, plans or generations. Public for
//! maplock's own tools and tests; no part of it is stable.
#![allow(unsafe_code, reason = "system calls")]

pub mod bpffs;
mod btf;
mod fdinfo;
mod link;
mod map;
mod mmap;
mod prog;
mod ring;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

pub use btf::Btf;
pub use fdinfo::FdInfo;
pub use link::{Link, LinkInfo, LinkTarget, LinkType, NewLink};
pub use map::{Batch, Map, MapInfo, NewMap};
pub use mmap::Mmap;
pub use prog::{NewProg, Prog, ProgInfo};
pub use ring::Ring;

/// `enum bpf_cmd` of include/uapi/linux/bpf.h.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
enum Cmd {
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

/// Calls bpf(2). Whatever addresses `attr` holds must be good for what the command does with them.
///
/// # Safety
/// `A` is the part of `union bpf_attr` that belongs to `cmd`, without padding that is not zero, and each pointer in it leads to
/// memory that the command may read or write for the lengths that `attr` gives or the object implies.
unsafe fn bpf<A>(cmd: Cmd, attr: &mut A) -> io::Result<i32> {
    // SAFETY: the caller vouches for what `attr` holds; the kernel reads `size_of::<A>()` bytes of it, and takes the rest as zero.
    let result = unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, std::ptr::from_mut(attr), size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(i32::try_from(result).unwrap_or(i32::MAX)) }
}

/// [`bpf`], for commands that return a file descriptor.
///
/// # Safety
/// As for [`bpf`]; and `cmd` returns a file descriptor.
unsafe fn bpf_fd<A>(cmd: Cmd, attr: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(cmd, attr)? };
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A pointer as `__aligned_u64`.
fn addr<T: ?Sized>(of: *const T) -> u64 {
    of.cast::<()>().addr() as u64
}

/// A name as the kernel keeps it: 15 bytes of `[A-Za-z0-9_.]`, others as `_`, and a final zero.
fn object_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes[..15].iter_mut().zip(name.bytes()) {
        *to = if from.is_ascii_alphanumeric() || from == b'_' || from == b'.' { from } else { b'_' };
    }
    bytes
}

/// A name that the kernel returned.
fn name_of(bytes: &[u8; 16]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[repr(C)]
struct ObjAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Pins an object. EEXIST where the name is taken.
fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = ObjAttr { pathname: addr(path.as_ptr()), bpf_fd: raw(fd), file_flags: 0 };
    // SAFETY: `path` ends with a zero and outlives the call.
    unsafe { bpf(Cmd::ObjPin, &mut attr) }.map(drop)
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// What a pin holds.
#[derive(Debug)]
pub enum Object {
    /// A map.
    Map(Map),
    /// A program.
    Prog(Prog),
    /// A link.
    Link(Link),
}

impl Object {
    /// Opens a pin of any kind. Follows symbolic links.
    ///
    /// # Errors
    /// EACCES where the path is no pin, EPERM where a name in it holds a dot; else the kernel's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let c_path = c_path(path)?;
        let mut attr = ObjAttr { pathname: addr(c_path.as_ptr()), bpf_fd: 0, file_flags: 0 };
        // SAFETY: the path ends with a zero and outlives the call; the command opens a descriptor.
        let fd = unsafe { bpf_fd(Cmd::ObjGet, &mut attr) }?;
        // `anon_inode:bpf-map`, `anon_inode:bpf-prog`, `anon_inode:bpf_link` (`anon_inode_getfd` in kernel/bpf/syscall.c).
        let kind = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        match kind.to_str() {
            Some(kind) if kind.contains("bpf-map") => Map::from_fd(fd).map(Self::Map),
            Some(kind) if kind.contains("bpf-prog") => Ok(Self::Prog(Prog::from_fd(fd))),
            Some(kind) if kind.contains("bpf_link") || kind.contains("bpf-link") => Ok(Self::Link(Link::from_fd(fd))),
            _ => Err(io::Error::other(format!("the kernel calls it `{}`", kind.display()))),
        }
    }
}

#[repr(C)]
struct IdAttr {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

fn fd_by_id(cmd: Cmd, id: u32) -> io::Result<OwnedFd> {
    let mut attr = IdAttr { id, next_id: 0, open_flags: 0 };
    // SAFETY: no pointers; each command given here opens a descriptor.
    unsafe { bpf_fd(cmd, &mut attr) }
}

/// The id after `id` of the objects that `cmd` goes through: maps, programs or links.
fn next_id(cmd: Cmd, id: u32) -> io::Result<Option<u32>> {
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
unsafe fn object_info<T>(fd: BorrowedFd<'_>, info: &mut T) -> io::Result<usize> {
    let len = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    let mut attr = InfoAttr { bpf_fd: raw(fd), info_len: len, info: addr(std::ptr::from_mut(info)) };
    // SAFETY: the kernel writes at most `info_len` bytes; the caller vouches for the rest.
    unsafe { bpf(Cmd::ObjGetInfoByFd, &mut attr) }?;
    Ok(attr.info_len as usize)
}

/// Waits until every program that ran when this was called has returned: a grace period of RCU. Sleepable programs are not
/// waited for.
///
/// By `membarrier(MEMBARRIER_CMD_GLOBAL)`; where that can't be (ENOSYS under some seccomp profiles, EINVAL with `nohz_full` CPUs), or
/// returns at once since a single CPU is online, by an update of a map in a map, after which the kernel waits by itself
/// (`maybe_wait_bpf_programs`).
///
/// # Errors
/// The kernel's, where neither can be.
pub fn wait_for_running_programs() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    if online_cpus().is_ok_and(|cpus| cpus.len() == 1) {
        return wait_by_map_in_map();
    }
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result >= 0 {
        return Ok(());
    }
    wait_by_map_in_map()
}

fn wait_by_map_in_map() -> io::Result<()> {
    use maplock_layout::map::MapType;
    use std::os::fd::AsFd as _;
    let inner = Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1))?;
    let outer = Map::create(&NewMap { inner: Some(inner.as_fd()), ..NewMap::new(MapType::ARRAY_OF_MAPS, 4, 4, 1) })?;
    outer.update(&0_u32.to_ne_bytes(), &raw(inner.as_fd()).to_ne_bytes(), 0)
}

/// How many CPUs the machine could have: so many values has an entry of a per-CPU map. Online ones may be fewer.
///
/// # Errors
/// Where `/sys/devices/system/cpu/possible` can't be read.
pub fn possible_cpus() -> io::Result<u32> {
    Ok(u32::try_from(possible_cpu_numbers()?.len()).unwrap_or(u32::MAX))
}

/// The numbers of these CPUs, which may have holes. Entries of per-CPU maps have none: their values are those of these CPUs, in this
/// order (`for_each_possible_cpu` in `bpf_percpu_hash_copy`).
///
/// # Errors
/// Where `/sys/devices/system/cpu/possible` can't be read.
pub fn possible_cpu_numbers() -> io::Result<&'static [u32]> {
    static CPUS: std::sync::OnceLock<Vec<u32>> = std::sync::OnceLock::new();
    if let Some(cpus) = CPUS.get() {
        return Ok(cpus);
    }
    let path = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(path)?;
    let cpus = cpu_list(&text).ok_or_else(|| io::Error::other(format!("{path} holds `{}`", text.trim())))?;
    Ok(CPUS.get_or_init(|| cpus.into_iter().collect()))
}

/// The CPUs that run.
///
/// # Errors
/// Where `/sys/devices/system/cpu/online` can't be read.
pub fn online_cpus() -> io::Result<BTreeSet<u32>> {
    let path = "/sys/devices/system/cpu/online";
    let text = std::fs::read_to_string(path)?;
    cpu_list(&text).ok_or_else(|| io::Error::other(format!("{path} holds `{}`", text.trim())))
}

/// CPUs as the kernel lists them: `0-3`, `0`, `0,2-5`.
fn cpu_list(text: &str) -> Option<BTreeSet<u32>> {
    /// More than any kernel is built for (`CONFIG_NR_CPUS`).
    const MAX: u32 = 1 << 16;
    let mut cpus = BTreeSet::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first > last || last > MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// True where the network namespace of the calling thread has a device of that index.
///
/// # Errors
/// Where that can't be told: EMFILE, as the call opens a socket.
pub fn has_device(ifindex: u32) -> io::Result<bool> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the name has room for as many bytes as the call writes at most.
    if !unsafe { libc::if_indextoname(ifindex, name.as_mut_ptr()) }.is_null() {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENODEV)) => Ok(false),
        error => Err(error),
    }
}

/// Lets the calling thread run on one CPU only.
///
/// # Errors
/// EINVAL where that CPU does not run, or the thread's cpuset does not have it.
pub fn run_on_cpu(cpu: u32) -> io::Result<()> {
    let mut cpus = rustix::thread::CpuSet::new();
    if cpu as usize >= rustix::thread::CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    cpus.set(cpu as usize);
    Ok(rustix::thread::sched_setaffinity(None, &cpus)?)
}

#[cfg(test)]
mod tests {
    use super::cpu_list;

    #[test]
    fn there_is_a_second_way_to_wait_for_running_programs() {
        match super::wait_by_map_in_map() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => println!("skipped: needs CAP_BPF"),
            result => result.expect("the kernel waits"),
        }
    }

    #[test]
    fn cpus_are_counted_and_holes_are_not() {
        for (list, count) in [("0\n", 1), ("0-3\n", 4), ("0,2-5", 5), ("0-1,8-9,11", 5)] {
            assert_eq!(cpu_list(list).map(|cpus| cpus.len()), Some(count), "{list}");
        }
        for list in ["", "x", "3-1", "0-4294967295", "0,"] {
            assert_eq!(cpu_list(list), None, "{list}");
        }
    }
}
