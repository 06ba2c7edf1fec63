//! A ring buffer's memory, from the side that reads it.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::map::Map;

/// `BPF_RINGBUF_BUSY_BIT`: the program has reserved the record, and not submitted it yet.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: the program has thrown the record away.
const DISCARD: u32 = 1 << 30;
/// `BPF_RINGBUF_HDR_SZ`: the length with the two bits above, and four bytes that are the kernel's own.
const HEADER: usize = 8;

/// The memory of a `BPF_MAP_TYPE_RINGBUF`, as `ringbuf_map_mmap_kern` of kernel/bpf/ringbuf.c lays it out: a page with the reader's
/// position, which the reader writes; then, to read only, a page with the writers' position and the data, twice in a row, so that
/// a record is in one piece wherever it starts. Positions count bytes since the map was made.
///
/// Records are copied out: nothing keeps another reader of the same map from freeing one that is looked at.
#[derive(Debug)]
pub struct Ring {
    reader: Pages,
    writers: Pages,
    page_size: usize,
    /// Bytes of data; a power of two.
    size: usize,
}

#[derive(Debug)]
struct Pages {
    address: *mut u8,
    len: usize,
}

// SAFETY: the addresses are mappings of this process, good in every thread.
unsafe impl Send for Ring {}

impl Pages {
    fn new(map: &Map, protection: rustix::mm::ProtFlags, offset: usize, len: usize) -> io::Result<Self> {
        let flags = rustix::mm::MapFlags::SHARED;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let address =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, flags, map.as_fd(), offset as u64) }?;
        Ok(Self { address: address.cast(), len })
    }

    /// The position at the start of the pages.
    fn position(&self) -> &AtomicU64 {
        // SAFETY: the mapping is ours until `drop`, page-aligned, and longer than 8 bytes; all sides access them atomically.
        unsafe { &*self.address.cast::<AtomicU64>() }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody has a reference into it.
        _ = unsafe { rustix::mm::munmap(self.address.cast(), self.len) };
    }
}

impl Ring {
    /// Maps the memory of `map`.
    ///
    /// # Errors
    /// EINVAL or ENODEV if the map is no ring buffer; EPERM if it may not be written.
    pub fn new(map: &Map) -> io::Result<Self> {
        use rustix::mm::ProtFlags;
        let page_size = rustix::param::page_size();
        let size = map.info().max_entries as usize;
        if !size.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let reader = Pages::new(map, ProtFlags::READ | ProtFlags::WRITE, 0, page_size)?;
        let writers = Pages::new(map, ProtFlags::READ, page_size, page_size + 2 * size)?;
        Ok(Self { reader, writers, page_size, size })
    }

    /// Copies the next record to `record`, in the place of what it held. False if there is none, or the next one is not
    /// submitted yet. Records that the program threw away are skipped.
    ///
    /// # Errors
    /// If the memory holds no record where one must be: another reader is at it.
    pub fn next(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        let mut at = self.reader.position().load(Ordering::Relaxed);
        loop {
            // What a writer did before it moved its position is seen after this; and see the store below.
            if at >= self.writers.position().load(Ordering::SeqCst) {
                return Ok(false);
            }
            // A power of two, so that the cut to the machine's width does not matter.
            let offset = at as usize & (self.size - 1);
            if !offset.is_multiple_of(HEADER) {
                return Err(damaged());
            }
            let header = self.page_size + offset;
            // SAFETY: within the mapping, as `offset` is less than `size` and a multiple of 8; writers access it atomically too.
            let word = unsafe { &*self.writers.address.add(header).cast::<AtomicU32>() };
            // The record's bytes were written before its busy bit was cleared.
            let word = word.load(Ordering::Acquire);
            if word & BUSY != 0 {
                return Ok(false);
            }
            let len = (word & !DISCARD) as usize;
            if len > self.size - HEADER {
                return Err(damaged());
            }
            let is_record = word & DISCARD == 0;
            if is_record {
                record.clear();
                record.reserve(len);
                // SAFETY: `offset + HEADER + len` is at most `2 * size`, within the mapping; `record` has room, and all `len`
                // bytes of it are written. Writers leave the record alone until the reader's position has passed it.
                unsafe {
                    let from = self.writers.address.add(header + HEADER);
                    std::ptr::copy_nonoverlapping(from, record.as_mut_ptr(), len);
                    record.set_len(len);
                }
            }
            at += (HEADER + len).next_multiple_of(8) as u64;
            // Before the writers' position is looked at again: a writer that finds its record to be the next wakes the reader, one
            // that does not relies on the reader to go on (`bpf_ringbuf_commit`).
            self.reader.position().store(at, Ordering::SeqCst);
            if is_record {
                return Ok(true);
            }
        }
    }

    /// Bytes that are written and not read, headers included.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let written = self.writers.position().load(Ordering::Acquire);
        written.saturating_sub(self.reader.position().load(Ordering::Relaxed))
    }
}

fn damaged() -> io::Error {
    io::Error::other("there is no record at the reader's position; does another process read this ring buffer?")
}
