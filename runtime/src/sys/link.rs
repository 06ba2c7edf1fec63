//! Links in the kernel: programs attached to hooks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::consts::{BPF_F_REPLACE, BPF_NETFILTER, BPF_TCX_INGRESS, BPF_TRACE_ITER};
use super::named::Named;
use super::syscall::{Cmd, addr, bpf, bpf_fd, fd_by_id, next_id, object_info, raw};

/// A program attached to a hook.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// `BPF_LINK_TYPE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkType(pub u32);

#[allow(missing_docs, reason = "the names are the kernel's")]
impl LinkType {
    pub const RAW_TRACEPOINT: Self = Self(1);
    pub const TRACING: Self = Self(2);
    pub const CGROUP: Self = Self(3);
    pub const ITER: Self = Self(4);
    pub const NETNS: Self = Self(5);
    pub const XDP: Self = Self(6);
    pub const PERF_EVENT: Self = Self(7);
    pub const KPROBE_MULTI: Self = Self(8);
    pub const STRUCT_OPS: Self = Self(9);
    pub const NETFILTER: Self = Self(10);
    pub const TCX: Self = Self(11);
    pub const UPROBE_MULTI: Self = Self(12);
    pub const NETKIT: Self = Self(13);
    pub const SOCKMAP: Self = Self(14);
}

/// `struct bpf_link_info`, as far as it is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// The type.
    pub link_type: LinkType,
    /// The kernel's number for this link.
    pub id: u32,
    /// The program that it runs.
    pub prog_id: u32,
    /// What it is attached to.
    pub target: LinkTarget,
}

/// What a link is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTarget {
    /// A cgroup, by its inode number, with the attach type.
    Cgroup {
        /// Inode number of its directory.
        id: u64,
        /// `BPF_CGROUP_*`.
        attach_type: u32,
    },
    /// A network namespace, by its inode number, with the attach type.
    Netns {
        /// Inode number of the namespace.
        inode: u32,
        /// `BPF_FLOW_DISSECTOR` or `BPF_SK_LOOKUP`.
        attach_type: u32,
    },
    /// A network device. Its index is 0 if the device is gone.
    Device {
        /// Index of the interface.
        ifindex: u32,
        /// `BPF_XDP`, `BPF_TCX_INGRESS` and their like; 0 if the kernel doesn't tell.
        attach_type: u32,
    },
    /// Something else.
    Other,
}

#[repr(C)]
#[derive(Default)]
struct RawInfo {
    link_type: u32,
    id: u32,
    prog_id: u32,
    padding: u32,
    /// The union of what belongs to each type.
    words: [u32; 12],
}

/// A link to create.
#[derive(Debug, Clone, Copy)]
pub struct NewLink<'a> {
    /// The program.
    pub prog: BorrowedFd<'a>,
    /// Descriptor of a cgroup or network namespace, index of a network device, or 0: what the attach type asks for.
    pub target: u32,
    /// `BPF_*` of `enum bpf_attach_type`.
    pub attach_type: u32,
    /// Flags of the attach type.
    pub flags: u32,
}

#[repr(C)]
struct CreateAttr {
    prog_fd: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    /// The union of what belongs to each type.
    words: [u64; 6],
}

#[repr(C)]
struct UpdateAttr {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

impl Link {
    /// The link behind a descriptor.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Attaches a program.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create(new: &NewLink<'_>) -> io::Result<Self> {
        let mut attr = CreateAttr {
            prog_fd: raw(new.prog),
            target: new.target,
            attach_type: new.attach_type,
            flags: new.flags,
            words: [0; 6],
        };
        // SAFETY: no pointers; the command opens a descriptor.
        unsafe { bpf_fd(Cmd::LinkCreate, &mut attr) }.map(Self)
    }

    /// Attaches a program to a hook of netfilter: protocol family (`NFPROTO_*`), hook (`NF_INET_*`), and a priority that no other
    /// program has there (EBUSY).
    ///
    /// # Errors
    /// The kernel's.
    pub fn netfilter(prog: BorrowedFd<'_>, family: u32, hook: u32, priority: i32) -> io::Result<Self> {
        let mut attr = [raw(prog), 0, BPF_NETFILTER, 0, family, hook, priority.cast_unsigned(), 0];
        // SAFETY: no pointers; the command opens a descriptor.
        unsafe { bpf_fd(Cmd::LinkCreate, &mut attr) }.map(Self)
    }

    /// Attaches an iterator program to the entries of a map.
    ///
    /// # Errors
    /// The kernel's.
    pub fn iterate_map(prog: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<Self> {
        // `union bpf_iter_link_info`, of which the map's descriptor is the first word.
        let info = [raw(map), 0, 0, 0];
        let mut attr = CreateAttr {
            prog_fd: raw(prog),
            target: 0,
            attach_type: BPF_TRACE_ITER,
            flags: 0,
            // The length is 32 bits wide, and the first half of its word.
            words: [addr(info.as_ptr()), halves(size_of_val(&info) as u32, 0), 0, 0, 0, 0],
        };
        // SAFETY: `iter_info` leads to `iter_info_len` bytes that outlive the call; the command opens a descriptor.
        unsafe { bpf_fd(Cmd::LinkCreate, &mut attr) }.map(Self)
    }

    /// A descriptor that runs an iterator when read. After each million objects, a read says EAGAIN.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_iterator(&self) -> io::Result<OwnedFd> {
        let mut attr = [raw(self.as_fd()), 0];
        // SAFETY: no pointers; the command opens a descriptor.
        unsafe { bpf_fd(Cmd::IterCreate, &mut attr) }
    }

    /// The link of that id.
    ///
    /// # Errors
    /// ENOENT if there is none; EPERM without CAP_SYS_ADMIN.
    pub fn from_id(id: u32) -> io::Result<Self> {
        fd_by_id(Cmd::LinkGetFdById, id).map(Self)
    }

    /// The id of the next link after `id` on this machine.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN.
    pub fn next_id(id: u32) -> io::Result<Option<u32>> {
        next_id(Cmd::LinkGetNextId, id)
    }

    /// Pins it.
    ///
    /// # Errors
    /// EEXIST if the name is taken, EPERM if it holds a dot; else the kernel's.
    pub fn pin(&self, at: &(impl Named + ?Sized)) -> io::Result<()> {
        at.pin(self.as_fd())
    }

    /// Puts a program in the place of another, atomically. With `old`, only if that one still runs.
    ///
    /// # Errors
    /// EPERM if another program than `old` runs; ENOLINK if the device or cgroup is gone; EINVAL or EOPNOTSUPP
    /// if links of this type can't be updated.
    pub fn update(&self, new: BorrowedFd<'_>, old: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut attr = UpdateAttr {
            link_fd: raw(self.as_fd()),
            new_prog_fd: raw(new),
            flags: if old.is_some() { BPF_F_REPLACE } else { 0 },
            old_prog_fd: old.map_or(0, raw),
        };
        // SAFETY: no pointers.
        unsafe { bpf(Cmd::LinkUpdate, &mut attr) }.map(drop)
    }

    /// Detaches it, whoever else holds it.
    ///
    /// # Errors
    /// EOPNOTSUPP if links of this type can't be detached.
    pub fn detach(&self) -> io::Result<()> {
        let mut attr = raw(self.as_fd());
        // SAFETY: no pointers.
        unsafe { bpf(Cmd::LinkDetach, &mut attr) }.map(drop)
    }

    /// What the kernel tells of it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn info(&self) -> io::Result<LinkInfo> {
        let mut raw = RawInfo::default();
        // SAFETY: plain data; the words are zero, so that the kernel sees no buffers.
        unsafe { object_info(self.as_fd(), &mut raw) }?;
        let link_type = LinkType(raw.link_type);
        let [first, second, third, ..] = raw.words;
        let target = match link_type {
            LinkType::CGROUP => {
                let id = halves(first, second);
                LinkTarget::Cgroup { id, attach_type: third }
            }
            LinkType::NETNS => LinkTarget::Netns { inode: first, attach_type: second },
            LinkType::XDP => LinkTarget::Device { ifindex: first, attach_type: 37 },
            LinkType::TCX | LinkType::NETKIT => LinkTarget::Device { ifindex: first, attach_type: second },
            _ => LinkTarget::Other,
        };
        Ok(LinkInfo { link_type, id: raw.id, prog_id: raw.prog_id, target })
    }
}

/// Two numbers of 32 bits, one behind the other in memory.
fn halves(first: u32, second: u32) -> u64 {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// False if this kernel has no tcx: it came with Linux 6.6, commit e420bed02507. True if that can't be told.
#[must_use]
pub fn has_tcx() -> bool {
    // What is attached to the device of index 0, which there never is: ENODEV where the kernel knows the attach type.
    let mut attr = [0, BPF_TCX_INGRESS, 0, 0, 0, 0, 0, 0];
    // SAFETY: the one pointer is null, and the command writes no programs where there is room for none.
    !unsafe { bpf(Cmd::ProgQuery, &mut attr) }.is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput)
}

/// True if the network namespace of the calling thread has a device of that index.
///
/// # Errors
/// If that can't be told: EMFILE, as the call opens a socket.
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
