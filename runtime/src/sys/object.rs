//! What is pinned: a map, a program or a link.

use std::io;
use std::os::fd::AsRawFd as _;

use super::link::Link;
use super::map::Map;
use super::named::Named;
use super::prog::Prog;

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
    /// Opens a pin of any kind. A symbolic link is followed only if it was given as a path.
    ///
    /// # Errors
    /// EACCES if the path is no pin, EPERM if a name in it holds a dot; else the kernel's.
    pub fn open(at: &(impl Named + ?Sized)) -> io::Result<Self> {
        let fd = at.get()?;
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

impl Map {
    /// Opens a pinned map.
    ///
    /// # Errors
    /// The kernel's; or that the pin is no map.
    pub fn open(at: &(impl Named + ?Sized)) -> io::Result<Self> {
        match Object::open(at)? {
            Object::Map(map) => Ok(map),
            Object::Prog(_) => Err(io::Error::other("a program is pinned there, not a map")),
            Object::Link(_) => Err(io::Error::other("a link is pinned there, not a map")),
        }
    }
}
