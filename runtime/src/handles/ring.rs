//! Ring buffers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zerocopy::FromBytes;

use super::error::MapError;
use super::handle::handle;
use super::verified::Verified;
use crate::sys::{Map, Ring};

/// A handle of a ring buffer: what programs tell, record by record, to one who reads.
///
/// ```no_run
/// # fn f(events: &maplock::handles::RingBuf) -> Result<(), Box<dyn std::error::Error>> {
/// let mut consumer = events.consumer()?;
/// loop {
///     while let Some(record) = consumer.next()? {
///         println!("{} bytes", record.len());
///     }
///     consumer.wait(None)?; // or epoll: it is `AsFd`
/// }
/// # }
/// ```
pub struct RingBuf {
    pub(super) map: Verified,
}

handle!(RingBuf, Some(Kind::RingBuf), key: Some(0), value: None);

impl RingBuf {
    fn of(map: Verified) -> Self {
        Self { map }
    }

    /// Starts to read. A ring buffer has one position up to which it was read, whoever reads: records go to one consumer only, and
    /// two at a time disturb each other.
    ///
    /// # Errors
    /// If its memory can't be mapped.
    pub fn consumer(&self) -> Result<Consumer, MapError> {
        let failed = |error| MapError::new(self.name(), "map its memory", error);
        let map = self.map.try_clone().map_err(failed)?;
        let ring = Ring::new(&map).map_err(failed)?;
        Ok(Consumer { name: self.name().to_owned(), map, ring, record: Vec::new() })
    }
}

/// Reads the records of a ring buffer. For an event loop it is `AsFd`: readable while there are records, level-triggered or
/// edge-triggered, if `next` is called until there are none.
#[derive(Debug)]
pub struct Consumer {
    name: String,
    map: Map,
    ring: Ring,
    /// The last record, copied out.
    record: Vec<u8>,
}

impl Consumer {
    /// The next record. `None` if there is none now, or the next one is reserved and not submitted yet. Records that a program
    /// discarded are skipped.
    ///
    /// # Errors
    /// If another process reads the same ring buffer.
    #[allow(clippy::should_implement_trait, reason = "the record is borrowed from the consumer")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, MapError> {
        match self.ring.next(&mut self.record) {
            Ok(true) => Ok(Some(&self.record)),
            Ok(false) => Ok(None),
            Err(error) => Err(MapError::new(&self.name, "read a record", error)),
        }
    }

    /// The next record as a `T`: the start of it, if the program wrote more.
    ///
    /// # Errors
    /// As [`Self::next`]; and if the record is shorter than a `T`, with both sizes. It is read then.
    pub fn next_as<T: FromBytes>(&mut self) -> Result<Option<T>, MapError> {
        if self.next()?.is_none() {
            return Ok(None);
        }
        match T::read_from_prefix(&self.record) {
            Ok((record, _)) => Ok(Some(record)),
            Err(_) => {
                let (has, wanted, ty) = (self.record.len(), size_of::<T>(), std::any::type_name::<T>());
                let error = io::Error::new(io::ErrorKind::InvalidData, format!("it has {has} bytes, of {wanted}"));
                Err(MapError::new(&self.name, format!("read a record as `{ty}`"), error))
            }
        }
    }

    /// Bytes that were written and not read, with eight for each record.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.ring.unread()
    }

    /// Waits until there is something to read, for as long as `timeout`, or without end. False if time ran out.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, MapError> {
        let failed = |error| MapError::new(&self.name, "wait for a record", error);
        let timeout = timeout.map(Timespec::try_from).transpose().map_err(|error| failed(io::Error::other(error)))?;
        loop {
            let mut fds = [PollFd::new(&self.map, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) if timeout.is_none() => {}
                // Early, as where a signal comes: the caller looks, and waits again.
                Err(rustix::io::Errno::INTR) => return Ok(false),
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}

impl AsFd for Consumer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}
