//! A small world of the story's own: a network without a way out, a bpffs, a cgroup. Mounts and network are namespaces of this
//! process, which end with it, however it ends; the cgroup is removed on drop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socket_with};
use rustix::thread::UnshareFlags;

/// Where this world's bpffs is mounted.
pub const BPFFS: &str = "/sys/fs/bpf";

/// The cgroup, within namespaces of this process.
#[derive(Debug)]
pub struct World {
    cgroup: PathBuf,
    /// Where cgroup v2 is mounted, if the machine has it nowhere.
    mounted_at: Option<tempfile::TempDir>,
}

impl World {
    /// Leaves the machine's mounts and network for ones of its own. To be called before the process starts a thread.
    ///
    /// # Errors
    /// What it needs and does not have.
    pub fn enter() -> Result<Self, String> {
        for needed in ["bpf", "cgroup2"] {
            let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
            if !known.lines().any(|line| line.split_whitespace().last() == Some(needed)) {
                return Err(format!("a kernel that has the file system `{needed}`"));
            }
        }
        if !rustix::process::geteuid().is_root() {
            return Err("root: CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN".to_owned());
        }
        let flags = UnshareFlags::NEWNS | UnshareFlags::NEWNET;
        #[allow(deprecated, reason = "it is unsafe with UnshareFlags::FILES alone")]
        rustix::thread::unshare(flags)
            .map_err(|error| format!("namespaces of its own, for which CAP_SYS_ADMIN is missing ({error})"))?;
        let own = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", own).map_err(|error| format!("mounts of its own ({error})"))?;
        mount("bpf", BPFFS, "bpf", MountFlags::empty(), None)
            .map_err(|error| format!("a bpffs, which can't be mounted at {BPFFS} ({error})"))?;
        bring_up_loopback().map_err(|error| format!("a network of its own ({error})"))?;
        let (root, mounted_at) = cgroup_root().map_err(|error| format!("cgroup v2 ({error})"))?;
        let cgroup = root.join(format!("minimesh-story-{}", std::process::id()));
        fs::create_dir(&cgroup).map_err(|error| format!("a cgroup of its own ({}: {error})", cgroup.display()))?;
        Ok(Self { cgroup, mounted_at })
    }

    /// Directory of the cgroup.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Linux 5.14.
        _ = fs::write(self.cgroup.join("cgroup.kill"), "1");
        // EBUSY until the kernel is done with those who were in it.
        let is_gone = (0..200).any(|attempt| {
            if attempt > 0 {
                thread::sleep(Duration::from_millis(10));
            }
            fs::remove_dir(&self.cgroup).is_ok()
        });
        if !is_gone {
            eprintln!("{} stays", self.cgroup.display());
        }
        if let Some(at) = &self.mounted_at {
            _ = unmount(at.path(), UnmountFlags::DETACH);
        }
    }
}

/// Where cgroup v2 is mounted: on some machines at /sys/fs/cgroup, on some beside v1, on some nowhere.
fn cgroup_root() -> io::Result<(PathBuf, Option<tempfile::TempDir>)> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mounted = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (at, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(at))
    });
    if let Some(root) = mounted {
        return Ok((root, None));
    }
    let at = tempfile::tempdir()?;
    mount("cgroup2", at.path(), "cgroup2", MountFlags::empty(), None)?;
    Ok((at.path().to_owned(), Some(at)))
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
