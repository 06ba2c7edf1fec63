//! A small world: mounts and a network of its own, a bpffs, a cgroup. Mounts and network are namespaces, which end with the last that is in
//! them, however it ends; the cgroup is removed on drop.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socket_with};
use rustix::process::geteuid;
use rustix::thread::UnshareFlags;
use tempfile::TempDir;

use crate::error::Error;
use crate::group::Group;

/// Where a world's bpffs is mounted.
pub const BPFFS: &str = "/sys/fs/bpf";

/// How the names of its cgroups begin.
const NAME: &str = "maplock-harness-";

/// The place, for the thread that has entered it and what that starts.
#[derive(Debug)]
pub struct World {
    /// Where programs are attached, and whose processes they see. Dropped before the one that holds it.
    traffic: Group,
    own: Group,
    /// While it is locked, the cgroup belongs to somebody who lives.
    _lock: File,
    _mounted: Option<Mounted>,
}

/// cgroup v2, if the machine has it nowhere.
#[derive(Debug)]
struct Mounted {
    at: TempDir,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        _ = unmount(self.at.path(), UnmountFlags::DETACH);
    }
}

impl World {
    /// Leaves the machine's mounts, and its network if `own_network`, for ones of its own: the calling thread, and what it starts.
    ///
    /// # Errors
    /// What it needs and does not have.
    pub fn enter(own_network: bool) -> Result<Self, Error> {
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        for needed in ["bpf", "cgroup2"] {
            if !known.lines().any(|line| line.split_whitespace().last() == Some(needed)) {
                return Err(Error::new(format_args!("it needs a kernel that has the file system `{needed}`")));
            }
        }
        if !geteuid().is_root() {
            return Err(Error::new("it needs root: CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN"));
        }
        let network = if own_network { UnshareFlags::NEWNET } else { UnshareFlags::empty() };
        #[allow(deprecated, reason = "it is unsafe with UnshareFlags::FILES alone")]
        rustix::thread::unshare(UnshareFlags::NEWNS | network).map_err(|error| {
            Error::because("it needs namespaces of its own, for which CAP_SYS_ADMIN is missing", error)
        })?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(|error| Error::because("it needs mounts of its own", error))?;
        mount("bpf", BPFFS, "bpf", MountFlags::empty(), c"mode=0700")
            .map_err(|error| Error::because(format_args!("it needs a bpffs, to be mounted at {BPFFS}"), error))?;
        if own_network {
            bring_up_loopback().map_err(|error| Error::because("it needs a network of its own", error))?;
        }
        Self::with_cgroups().map_err(|error| Error::because("it needs a cgroup (v2) of its own", error))
    }

    fn with_cgroups() -> io::Result<Self> {
        let (root, mounted) = cgroup_root()?;
        // One that is just made is not locked yet.
        let making = File::open(&root)?;
        flock(&making, FlockOperation::LockExclusive)?;
        sweep(&root);
        let own = Group::make(root.join(format!("{NAME}{}", unique())))?;
        let lock = File::open(own.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let traffic = Group::make(own.path().join("traffic"))?;
        Ok(Self { traffic, own, _lock: lock, _mounted: mounted })
    }

    /// Where programs are attached: they see the processes in it.
    #[must_use]
    pub fn cgroup(&self) -> &Group {
        &self.traffic
    }

    /// A cgroup beside that.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn group(&self, name: &str) -> io::Result<Group> {
        Group::make(self.own.path().join(name))
    }
}

/// A name that nothing else has.
fn unique() -> String {
    format!("{}-{}", std::process::id(), rustix::thread::gettid().as_raw_pid())
}

/// Removes the cgroups of those who were killed before they could: nobody holds their lock any more.
fn sweep(root: &Path) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(NAME)) {
        let Ok(held) = File::open(entry.path()) else { continue };
        if flock(&held, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let within = fs::read_dir(entry.path()).into_iter().flatten().flatten();
        for dir in within.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            drop(Group::of(dir.path()));
        }
        drop(Group::of(entry.path()));
    }
}

/// The directory of the cgroup that this process is in: on some machines below /sys/fs/cgroup, on some beside v1, on some mounted nowhere.
fn cgroup_root() -> io::Result<(PathBuf, Option<Mounted>)> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mut mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(at))
    });
    let (root, own) = match mounted.next() {
        Some(root) => (root, None),
        None => {
            let at = tempfile::tempdir()?;
            mount("cgroup2", at.path(), "cgroup2", MountFlags::empty(), None)?;
            (at.path().to_owned(), Some(Mounted { at }))
        }
    };
    let of_process = fs::read_to_string("/proc/self/cgroup")?;
    let within = of_process.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    // Outside of what is mounted here, where the process is in a namespace of cgroups.
    let dir = Some(root.join(within)).filter(|dir| !within.starts_with("..") && dir.is_dir());
    Ok((dir.unwrap_or(root), own))
}

/// In a new network namespace even `lo` is down: RTM_NEWLINK of rtnetlink(7) for the interface of index 1.
fn bring_up_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    // struct nlmsghdr: length, type, flags, sequence number, port.
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family and type unspecified, index, flags, which of them to change.
    message.extend([0; 4]);
    message.extend(1_u32.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    // NETLINK_ROUTE is protocol 0.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    send(socket, &message, SendFlags::empty())?;
    Ok(())
}
