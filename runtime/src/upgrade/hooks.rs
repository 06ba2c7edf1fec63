//! Hooks: where programs are attached, and how the program at one is exchanged for another.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::sys::bpffs::file_system;
use crate::sys::consts::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC};
use crate::sys::{Link, LinkInfo, LinkTarget, LinkType, NewLink};

/// `BPF_*` of `enum bpf_attach_type` (include/uapi/linux/bpf.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttachType(pub u32);

#[allow(missing_docs, reason = "the names are the kernel's")]
impl AttachType {
    pub const CGROUP_INET_INGRESS: Self = Self(0);
    pub const CGROUP_INET_EGRESS: Self = Self(1);
    pub const CGROUP_INET_SOCK_CREATE: Self = Self(2);
    pub const CGROUP_SOCK_OPS: Self = Self(3);
    pub const CGROUP_DEVICE: Self = Self(6);
    pub const CGROUP_INET4_BIND: Self = Self(8);
    pub const CGROUP_INET6_BIND: Self = Self(9);
    pub const CGROUP_INET4_CONNECT: Self = Self(10);
    pub const CGROUP_INET6_CONNECT: Self = Self(11);
    pub const CGROUP_INET4_POST_BIND: Self = Self(12);
    pub const CGROUP_INET6_POST_BIND: Self = Self(13);
    pub const CGROUP_UDP4_SENDMSG: Self = Self(14);
    pub const CGROUP_UDP6_SENDMSG: Self = Self(15);
    pub const FLOW_DISSECTOR: Self = Self(17);
    pub const CGROUP_SYSCTL: Self = Self(18);
    pub const CGROUP_UDP4_RECVMSG: Self = Self(19);
    pub const CGROUP_UDP6_RECVMSG: Self = Self(20);
    pub const CGROUP_GETSOCKOPT: Self = Self(21);
    pub const CGROUP_SETSOCKOPT: Self = Self(22);
    pub const CGROUP_INET4_GETPEERNAME: Self = Self(29);
    pub const CGROUP_INET6_GETPEERNAME: Self = Self(30);
    pub const CGROUP_INET4_GETSOCKNAME: Self = Self(31);
    pub const CGROUP_INET6_GETSOCKNAME: Self = Self(32);
    pub const CGROUP_INET_SOCK_RELEASE: Self = Self(34);
    pub const SK_LOOKUP: Self = Self(36);
    pub const XDP: Self = Self(37);
    pub const NETFILTER: Self = Self(45);
    pub const TCX_INGRESS: Self = Self(46);
    pub const TCX_EGRESS: Self = Self(47);
}

/// Where a program is attached.
#[derive(Debug)]
pub struct Hook {
    target: Target,
    attach_type: AttachType,
    flags: u32,
}

#[derive(Debug)]
enum Target {
    Cgroup(OwnedFd),
    Netns(OwnedFd),
    Device(u32),
    /// None, or one that the attach type knows by itself.
    Bare,
    /// Attached by the caller: the kernel can't update such a link, or needs more to make one than a target.
    Made(OwnedFd),
}

impl Hook {
    /// A hook of a cgroup (v2), given a descriptor of its directory.
    ///
    /// # Errors
    /// EMFILE, as the descriptor is duplicated; of the kind `InvalidInput` if it is not that of a cgroup of version 2.
    pub fn cgroup(cgroup: impl AsFd, attach_type: AttachType) -> io::Result<Self> {
        // The kernel would say EBADF.
        let what = match file_system(&cgroup)? {
            CGROUP2_SUPER_MAGIC => None,
            CGROUP_SUPER_MAGIC => Some("it is a cgroup of version 1"),
            _ => Some("it is no cgroup"),
        };
        if let Some(what) = what {
            let message = format!("{what}, and programs are attached to those of version 2 (mount -t cgroup2)");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self { target: Target::Cgroup(cgroup.as_fd().try_clone_to_owned()?), attach_type, flags: 0 })
    }

    /// A hook of a network namespace, given a descriptor of it: `SK_LOOKUP` or `FLOW_DISSECTOR`.
    ///
    /// # Errors
    /// EMFILE, as the descriptor is duplicated.
    pub fn netns(netns: impl AsFd, attach_type: AttachType) -> io::Result<Self> {
        Ok(Self { target: Target::Netns(netns.as_fd().try_clone_to_owned()?), attach_type, flags: 0 })
    }

    /// XDP on a network device. `flags` is 0, or `XDP_FLAGS_SKB_MODE` (2), `XDP_FLAGS_DRV_MODE` (4), `XDP_FLAGS_HW_MODE` (8).
    #[must_use]
    pub fn xdp(ifindex: u32, flags: u32) -> Self {
        Self { target: Target::Device(ifindex), attach_type: AttachType::XDP, flags }
    }

    /// Traffic control on a network device: `TCX_INGRESS` or `TCX_EGRESS` (Linux 6.6).
    #[must_use]
    pub fn tcx(ifindex: u32, attach_type: AttachType) -> Self {
        Self { target: Target::Device(ifindex), attach_type, flags: 0 }
    }

    /// A link that the loader has made already, of a type that [`Hook`] has no word for: netfilter, tracepoints, kprobes,
    /// uprobes. The kernel can't update these. The new link is attached first and the old one is detached after that, so
    /// both run for a moment.
    ///
    /// # Errors
    /// EMFILE, as the descriptor is duplicated.
    pub fn attached(link: impl AsFd) -> io::Result<Self> {
        Ok(Self { target: Target::Made(link.as_fd().try_clone_to_owned()?), attach_type: AttachType(0), flags: 0 })
    }

    /// A hook that needs no target.
    #[must_use]
    pub fn bare(attach_type: AttachType, flags: u32) -> Self {
        Self { target: Target::Bare, attach_type, flags }
    }

    /// True if `link` is attached to this hook, so that an update puts the new program there.
    pub(crate) fn is_at(&self, link: &LinkInfo) -> bool {
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_ino).ok();
        match (&self.target, link.target) {
            (Target::Cgroup(fd), LinkTarget::Cgroup { id, attach_type }) => {
                attach_type == self.attach_type.0 && inode(fd) == Some(id)
            }
            (Target::Netns(fd), LinkTarget::Netns { inode: at, attach_type }) => {
                attach_type == self.attach_type.0 && inode(fd) == Some(u64::from(at))
            }
            (Target::Device(ifindex), LinkTarget::Device { ifindex: at, attach_type }) => {
                *ifindex == at && attach_type == self.attach_type.0
            }
            (Target::Bare, _) => false,
            _ => false,
        }
    }

    fn is_tcx(&self) -> bool {
        [AttachType::TCX_INGRESS, AttachType::TCX_EGRESS].contains(&self.attach_type)
    }

    /// Why it could not be attached there.
    pub(crate) fn refused(&self, name: &str, error: io::Error) -> Error {
        match self.target {
            Target::Device(ifindex) if crate::sys::has_device(ifindex).is_ok_and(|is_there| !is_there) => {
                let message = format!(
                    "can't attach hook `{name}`: no network device of this network namespace has the index {ifindex}; start in the namespace \
                     of the device"
                );
                Error::new(ErrorKind::Place, message)
            }
            Target::Device(_) if self.is_tcx() && !crate::sys::has_tcx() => {
                let message = format!("can't attach hook `{name}`: this kernel has no tcx, which needs Linux 6.6");
                Error::new(ErrorKind::Kernel, message)
            }
            _ => Error::kernel(format!("can't attach hook `{name}`"), error),
        }
    }

    /// Attaches a program there, or takes over the link that the loader made.
    pub(crate) fn attach(&self, prog: BorrowedFd<'_>) -> io::Result<Link> {
        let raw = |fd: &OwnedFd| fd.as_raw_fd().cast_unsigned();
        let target = match &self.target {
            Target::Made(link) => return Ok(Link::from_fd(link.try_clone()?)),
            Target::Cgroup(fd) | Target::Netns(fd) => raw(fd),
            Target::Device(ifindex) => *ifindex,
            Target::Bare => 0,
        };
        Link::create(&NewLink { prog, target, attach_type: self.attach_type.0, flags: self.flags })
    }
}

/// True for links whose program the kernel can exchange (`bpf_link_ops.update_prog`), Linux 6.18.
pub(crate) fn can_update(link: LinkType) -> bool {
    [LinkType::CGROUP, LinkType::NETNS, LinkType::XDP, LinkType::TCX, LinkType::NETKIT, LinkType::SOCKMAP]
        .contains(&link)
}

/// Where a link was attached, as text in a record, so that a roll-back finds the place again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    at: LinkTarget,
    /// Of a device: the network namespace in which its index counts, by its inode.
    netns: Option<u64>,
}

/// The network namespace of this thread.
fn own_netns() -> io::Result<(std::fs::File, u64)> {
    let own = std::fs::File::open("/proc/thread-self/ns/net")?;
    let inode = rustix::fs::fstat(&own)?.st_ino;
    Ok((own, inode))
}

impl Whereabouts {
    /// Where a link is attached. Of a device the kernel tells the index alone: it counts in this network namespace if that has such a
    /// device, or else nobody knows where.
    pub(crate) fn of(link: &LinkInfo) -> Option<Self> {
        let netns = match link.target {
            LinkTarget::Other => return None,
            LinkTarget::Device { ifindex, .. } if crate::sys::has_device(ifindex).unwrap_or(false) => {
                own_netns().ok().map(|(_, inode)| inode)
            }
            _ => None,
        };
        Some(Self { at: link.target, netns })
    }

    /// True if `link` is attached there.
    pub(crate) fn is_of(&self, link: &LinkInfo) -> bool {
        Self::of(link).is_some_and(|here| here.at == self.at && (self.netns.is_none() || here.netns == self.netns))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (kind, id, attach_type) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        let netns = words.next().map(str::parse).transpose().ok()?;
        let at = match kind {
            "cgroup" => LinkTarget::Cgroup { id: id.parse().ok()?, attach_type },
            "netns" => LinkTarget::Netns { inode: id.parse().ok()?, attach_type },
            "device" => LinkTarget::Device { ifindex: id.parse().ok()?, attach_type },
            _ => return None,
        };
        Some(Self { at, netns })
    }

    /// True if what can't be found is taken for gone: a cgroup, and a device of this network namespace.
    pub(crate) fn may_be_gone(&self) -> bool {
        match self.at {
            LinkTarget::Netns { .. } => false,
            _ => self.netns.is_none_or(|netns| own_netns().is_ok_and(|(_, own)| own == netns)),
        }
    }

    /// The hook there. `None` if it can't be found any more, or from here.
    ///
    /// # Errors
    /// If it can't be looked for.
    pub(crate) fn hook(&self) -> io::Result<Option<Hook>> {
        let (target, attach_type) = match self.at {
            LinkTarget::Cgroup { id, attach_type } => (open_cgroup(id)?.map(Target::Cgroup), attach_type),
            LinkTarget::Device { ifindex, attach_type } => {
                let is_here = match self.netns {
                    Some(netns) => own_netns()?.1 == netns,
                    None => true,
                };
                ((is_here && crate::sys::has_device(ifindex)?).then_some(Target::Device(ifindex)), attach_type)
            }
            LinkTarget::Netns { inode, attach_type } => {
                let (own, is) = own_netns()?;
                ((is == u64::from(inode)).then(|| Target::Netns(own.into())), attach_type)
            }
            LinkTarget::Other => return Ok(None),
        };
        Ok(target.map(|target| Hook { target, attach_type: AttachType(attach_type), flags: 0 }))
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            LinkTarget::Cgroup { id, attach_type } => write!(f, "cgroup {id} {attach_type}")?,
            LinkTarget::Netns { inode, attach_type } => write!(f, "netns {inode} {attach_type}")?,
            LinkTarget::Device { ifindex, attach_type } => write!(f, "device {ifindex} {attach_type}")?,
            LinkTarget::Other => f.write_str("other 0 0")?,
        }
        self.netns.map_or(Ok(()), |netns| write!(f, " {netns}"))
    }
}

/// The cgroup of that id, which is its directory's inode number, on any cgroup2 mount.
fn open_cgroup(id: u64) -> io::Result<Option<OwnedFd>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let roots = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (root, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(root))
    });
    let roots: Vec<_> = roots.collect();
    if roots.is_empty() {
        return Err(io::Error::other("no cgroup2 is mounted here"));
    }
    open_below(roots, id, crate::sys::bpffs::open_dir)
}

/// The directory of that inode number at or below one of these. Any of them may go while it is looked at: a cgroup, or a mount of all
/// of them, beside which the others have what is looked for still.
fn open_below(
    mut waiting: Vec<PathBuf>,
    id: u64,
    open: impl Fn(&Path) -> io::Result<OwnedFd>,
) -> io::Result<Option<OwnedFd>> {
    use std::os::unix::fs::DirEntryExt as _;
    fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
        match result {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(None),
            result => result.map(Some),
        }
    }
    while let Some(dir) = waiting.pop() {
        let Some(handle) = unless_gone(open(&dir))? else { continue };
        if rustix::fs::fstat(&handle)?.st_ino == id {
            return Ok(Some(handle));
        }
        let Some(entries) = unless_gone(std::fs::read_dir(&dir))? else { continue };
        for entry in entries {
            let Some(entry) = unless_gone(entry)? else { break };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
                // It is the next that is opened.
                if entry.ino() == id {
                    break;
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn what_goes_with_one_mount_is_found_in_another() {
        let root = tempfile::tempdir().expect("a directory");
        let looked_for = root.path().join("pods/one");
        std::fs::create_dir_all(&looked_for).expect("made");
        let id = std::fs::metadata(&looked_for).expect("it is there").ino();
        // The same tree twice, as two mounts of it are.
        let twice = || vec![root.path().to_owned(), root.path().join("pods/..")];
        let opened = Cell::new(0);
        let going = |dir: &Path| {
            if dir.ends_with("one") {
                opened.set(opened.get() + 1);
                if opened.get() == 1 {
                    return Err(io::Error::from_raw_os_error(libc::ENOENT));
                }
            }
            crate::sys::bpffs::open_dir(dir)
        };
        let found = open_below(twice(), id, going).expect("looked for").expect("found");
        assert_eq!(rustix::fs::fstat(&found).expect("it is there").st_ino, id);
        assert_eq!(opened.get(), 2);
        let gone = |dir: &Path| match dir.ends_with("one") {
            true => Err(io::Error::from_raw_os_error(libc::ENOENT)),
            false => crate::sys::bpffs::open_dir(dir),
        };
        assert!(open_below(twice(), id, gone).expect("looked for").is_none());
    }
}
