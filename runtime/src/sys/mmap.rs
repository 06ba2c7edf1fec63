//! An array map's values as memory.

use std::io;
use std::os::fd::AsFd as _;

use super::map::Map;

/// The values of a `BPF_F_MMAPABLE` array, mapped read-write. Programs may write them at any time, so that no reference to
/// them is handed out: bytes are copied in and out.
#[derive(Debug)]
pub struct Mmap {
    address: *mut u8,
    len: usize,
}

// SAFETY: the address is a mapping of this process, good in every thread.
unsafe impl Send for Mmap {}

impl Mmap {
    /// Maps all values of `map`, each rounded up to 8 bytes, as `array_map_mmap` lays them out.
    ///
    /// # Errors
    /// EINVAL or ENOTSUPP if the map is no such array; EPERM if it is frozen.
    pub fn new(map: &Map) -> io::Result<Self> {
        let info = map.info();
        let len = (info.value_size as usize).next_multiple_of(8) * info.max_entries as usize;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
                rustix::mm::MapFlags::SHARED,
                map.as_fd(),
                0,
            )
        }?;
        Ok(Self { address: address.cast(), len })
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes out, from `offset` on.
    ///
    /// # Panics
    /// If they are not all within the mapping.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len), "within the mapping");
        // SAFETY: within the mapping, which is ours until `drop`; `bytes` is memory of another kind.
        unsafe { std::ptr::copy_nonoverlapping(self.address.add(offset), bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Copies bytes in, at `offset`.
    ///
    /// # Panics
    /// If they are not all within the mapping.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len), "within the mapping");
        // SAFETY: within the mapping, which is ours until `drop`; `bytes` is memory of another kind.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address.add(offset), bytes.len()) }
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody has a reference into it.
        _ = unsafe { rustix::mm::munmap(self.address.cast(), self.len) };
    }
}
