//! Signals as something to read: signalfd(2).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Signals that are read, and do nothing else to this thread. Threads and processes begin with what their parent has: see
/// [`Signals::give_to`].
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
    set: libc::sigset_t,
}

impl Signals {
    /// From now on these are read. To be called before there are other threads.
    ///
    /// # Errors
    /// EMFILE; EINVAL for what is no signal.
    pub fn take(signals: &[i32]) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the call writes all of the set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for signal in signals {
            // SAFETY: the set was made by the call above.
            if unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the set is whole; the old mask is not asked for.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        // SAFETY: the set is whole; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for us, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the set is whole.
        Ok(Self { fd, set: unsafe { set.assume_init() } })
    }

    /// Has a command begin with these signals as they are without this: else, none would reach it.
    pub fn give_to(&self, command: &mut Command) {
        let set = self.set;
        let unblock = move || {
            // SAFETY: the set is whole; the old mask is not asked for.
            match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        };
        // SAFETY: between fork and exec, it makes one call that is safe in a signal handler (signal-safety(7)), and allocates nothing.
        unsafe { command.pre_exec(unblock) };
    }

    /// The next one that has come; `None` if there is none.
    ///
    /// # Errors
    /// As read(2).
    pub fn next(&self) -> io::Result<Option<i32>> {
        /// `struct signalfd_siginfo`, whose first word is the signal's number.
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut info = [0_u8; SIZE];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut info)) {
            Ok(_) => Ok(info.first_chunk().map(|word| i32::from_ne_bytes(*word))),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
