//! Entries of a map, many at a time (Linux 5.6).

use std::io;
use std::os::fd::AsFd as _;

use super::consts::ENOTSUPP;
use super::map::Map;
use super::syscall::{Cmd, addr, bpf, raw};

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Entries read in batches, with the place up to which the map was read.
#[derive(Debug, Default)]
pub struct Batch {
    /// The kernel's mark of the place, empty at the start.
    position: Vec<u8>,
    /// Keys of the last batch, one behind the other.
    pub keys: Vec<u8>,
    /// Their values, [`Map::value_bytes`] each.
    pub values: Vec<u8>,
    /// How many entries the last batch has.
    pub count: usize,
    /// True if the last batch reached the end of the map.
    pub at_end: bool,
}

impl Map {
    /// Reads up to `count` entries from where `batch` stopped. A short batch is not the end: `at_end` is. If a bucket has more
    /// entries than fit, the batch is made larger.
    ///
    /// # Errors
    /// EINVAL or ENOTSUPP (524) if the type has no batches; else the kernel's.
    #[doc(hidden)]
    pub fn lookup_batch(&self, batch: &mut Batch, count: usize) -> io::Result<()> {
        // The mark is a bucket's number, or a key (`generic_map_lookup_batch`).
        let mut next = vec![0; (self.info().key_size as usize).max(4)];
        let mut room = count.clamp(1, u32::MAX as usize);
        loop {
            batch.keys.resize(room * self.info().key_size as usize, 0);
            batch.values.resize(room * self.value_bytes(), 0);
            let mut attr = BatchAttr {
                in_batch: if batch.position.is_empty() { 0 } else { addr(batch.position.as_ptr()) },
                out_batch: addr(next.as_mut_ptr()),
                keys: addr(batch.keys.as_mut_ptr()),
                values: addr(batch.values.as_mut_ptr()),
                count: u32::try_from(room).unwrap_or(u32::MAX),
                map_fd: raw(self.as_fd()),
                elem_flags: 0,
                flags: 0,
            };
            // SAFETY: `keys` and `values` have room for `count` entries of the kernel's sizes, the marks for a key and for a u32.
            let result = unsafe { bpf(Cmd::MapLookupBatch, &mut attr) };
            batch.at_end = match result {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    room = room.saturating_mul(2);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            batch.count = attr.count as usize;
            // Where nothing was read, the kernel may have left the mark as it was given (`generic_map_lookup_batch`).
            if batch.count > 0 {
                batch.position = next;
            }
            return Ok(());
        }
    }

    /// Writes entries; returns how many were written before the first that failed, with its error. Of `flags`, the kernel takes
    /// `BPF_F_LOCK` only.
    #[doc(hidden)]
    pub fn update_batch(&self, keys: &[u8], values: &[u8], count: usize, flags: u64) -> (usize, io::Result<()>) {
        let sizes = self
            .check("batch of keys", keys.len(), count * self.info().key_size as usize)
            .and_then(|()| self.check("batch of values", values.len(), count * self.value_bytes()));
        if let Err(error) = sizes {
            return (0, Err(error));
        }
        let mut attr = BatchAttr {
            in_batch: 0,
            out_batch: 0,
            keys: addr(keys.as_ptr()),
            values: addr(values.as_ptr()),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            map_fd: raw(self.as_fd()),
            elem_flags: flags,
            flags: 0,
        };
        // SAFETY: both buffers hold `count` entries of the kernel's sizes.
        let result = unsafe { bpf(Cmd::MapUpdateBatch, &mut attr) };
        (done(&result, &attr, count), result.map(drop))
    }

    /// Deletes entries; returns how many were deleted before the first that could not be, with its error: ENOENT if there is
    /// none of that key.
    #[doc(hidden)]
    pub fn delete_batch(&self, keys: &[u8], count: usize) -> (usize, io::Result<()>) {
        if let Err(error) = self.check("batch of keys", keys.len(), count * self.info().key_size as usize) {
            return (0, Err(error));
        }
        let mut attr = BatchAttr {
            in_batch: 0,
            out_batch: 0,
            keys: addr(keys.as_ptr()),
            values: 0,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            map_fd: raw(self.as_fd()),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the buffer holds `count` keys of the kernel's size.
        let result = unsafe { bpf(Cmd::MapDeleteBatch, &mut attr) };
        (done(&result, &attr, count), result.map(drop))
    }
}

/// True for what kernels say if a map has no batch calls: the type has none, or the kernel.
#[must_use]
pub fn has_no_batches(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP))
}

/// How many entries of a batch were dealt with. An error of the call itself, such as EINVAL for a flag, leaves the count as it was
/// given.
fn done(result: &io::Result<i32>, attr: &BatchAttr, count: usize) -> usize {
    match result {
        Ok(_) => count,
        Err(_) if attr.count as usize >= count => 0,
        Err(_) => attr.count as usize,
    }
}
