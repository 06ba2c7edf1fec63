//! BTF objects in the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::syscall::{Cmd, addr, bpf_fd, fd_by_id, object_info};

/// BTF that the kernel holds.
#[derive(Debug)]
pub struct Btf(OwnedFd);

#[repr(C)]
struct LoadAttr {
    btf: u64,
    log_buf: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct Info {
    btf: u64,
    btf_size: u32,
    id: u32,
    name: u64,
    name_len: u32,
    kernel_btf: u32,
}

impl Btf {
    /// Gives BTF to the kernel.
    ///
    /// # Errors
    /// The kernel's, if it finds fault with the bytes.
    pub fn load(bytes: &[u8]) -> io::Result<Self> {
        let size = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut attr = LoadAttr { btf: addr(bytes.as_ptr()), log_buf: 0, size, log_size: 0, log_level: 0, padding: 0 };
        // SAFETY: the kernel reads `size` bytes.
        unsafe { bpf_fd(Cmd::BtfLoad, &mut attr) }.map(Self)
    }

    /// The BTF of that id.
    ///
    /// # Errors
    /// ENOENT if there is none; EPERM without CAP_SYS_ADMIN.
    pub fn from_id(id: u32) -> io::Result<Self> {
        fd_by_id(Cmd::BtfGetFdById, id).map(Self)
    }

    /// All of it, byte for byte as it was loaded.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut info = Info::default();
        // SAFETY: plain data; without a buffer the kernel tells the size only.
        unsafe { object_info(self.0.as_fd(), &mut info) }?;
        let mut bytes = vec![0; info.btf_size as usize];
        let mut info = Info { btf: addr(bytes.as_mut_ptr()), btf_size: info.btf_size, ..Info::default() };
        // SAFETY: the kernel writes at most `btf_size` bytes to `btf`, of which there are as many.
        unsafe { object_info(self.0.as_fd(), &mut info) }?;
        Ok(bytes)
    }
}

impl AsFd for Btf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
