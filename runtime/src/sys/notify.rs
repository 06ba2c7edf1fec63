//! inotify(7): is told of what happens to the names in directories. bpffs reports that a pin is made, renamed and removed.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

/// What is told of directories.
#[derive(Debug)]
pub struct Notify {
    fd: OwnedFd,
}

impl Notify {
    /// Of none yet.
    ///
    /// # Errors
    /// EMFILE: `fs.inotify.max_user_instances` is as many as a user may have.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)? })
    }

    /// Is told of names in this directory from now on, whatever it is called then: a number for it, the same if it is watched
    /// already. `None` if there is no such directory.
    ///
    /// # Errors
    /// EACCES if it can't be listed; ENOSPC: `fs.inotify.max_user_watches` is as many as a user may have.
    pub fn add(&self, dir: &Path) -> io::Result<Option<i32>> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match add_watch(&self.fd, dir, flags) {
            Ok(number) => Ok(Some(number)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Is told no more of that directory.
    pub fn remove(&self, number: i32) {
        // It may be gone.
        _ = remove_watch(&self.fd, number);
    }

    /// Takes what was told since. True if any of it matters: what is not about a name in a directory does.
    ///
    /// # Errors
    /// As read(2).
    pub fn take(&self, mut matters: impl FnMut(i32, &[u8]) -> bool) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        let mut any = false;
        loop {
            match reader.next() {
                // The end of a watch that was removed.
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {}
                Ok(event) => any |= event.file_name().is_none_or(|name| matters(event.wd(), name.to_bytes())),
                Err(Errno::AGAIN) => return Ok(any),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until something is told: false if the time is over before. Without a time, it waits for ever.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self, time: Option<Duration>) -> io::Result<bool> {
        let time = time.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        match poll(&mut fds, time.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            // Whoever waits looks at the time, and waits for the rest of it.
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
