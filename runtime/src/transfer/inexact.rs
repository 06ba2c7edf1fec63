//! Why a second pass may lose a write.

use std::borrow::Cow;
use std::io;

use crate::sys::privileges;

/// Why a write of a new program at the very moment of settling can be lost: a step of that is a look and then a write. What holds on every
/// kernel comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Inexact {
    /// It goes by system calls, which were asked for, or were left after programs had failed.
    Asked,
    /// Some bytes of the value are in no word that an atomic instruction writes: the last 1 to 3, or those of an LPM trie whose key ends
    /// where no word starts.
    NoWord,
    /// The value has a `bpf_res_spin_lock`.
    Lock,
    /// maplock has no program for it: entries of tries, and per-CPU values, that are converted by other means than steps; keys without
    /// room on a program's stack.
    NoProgram,
    /// The process lacks this capability.
    Lacks(&'static str),
    /// The kernel denies the process the programs, and no capability is known to be missing.
    Denied,
    /// For want of memory, of descriptors or of what says how the kernel is built.
    Failed,
    /// The kernel refuses the programs.
    Kernel,
    /// The kernel has no atomic exchange, for members that are no counts.
    NoExchange,
    /// The kernel inserts over a prefix of an LPM trie that is there, or that could not be tried.
    Prefix,
    /// The process may not run on every CPU, and only there a per-CPU value is settled in one step.
    Cpus,
}

impl Inexact {
    /// That of programs which could not be loaded.
    pub(crate) fn of(error: &io::Error) -> Self {
        if let Some(lacking) = privileges::missing_to_load(error) {
            return Self::Lacks(lacking);
        }
        match error.raw_os_error() {
            Some(libc::EPERM) => Self::Denied,
            // A kernel without BTF, or one whose BTF is hidden from this process.
            Some(libc::ENOENT | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::EINTR) => {
                Self::Failed
            }
            None if error.kind() != io::ErrorKind::Unsupported => Self::NoProgram,
            _ => Self::Kernel,
        }
    }

    /// It as a phrase.
    #[must_use]
    pub fn words(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Lacks(capability) => {
                return format!("this process lacks {capability}, and programs that settle in one step were refused")
                    .into();
            }
            Self::Asked => "system calls settle it",
            Self::NoWord => "no atomic instruction writes all bytes of such a value",
            Self::Lock => "maplock's programs do not take the bpf_res_spin_lock in the value",
            Self::NoProgram => "maplock has no program that settles such entries",
            Self::Denied => "this process may not load programs that settle in one step",
            Self::Failed => "the programs that settle in one step could not be made ready",
            Self::Kernel => "this kernel accepts no program that settles in one step",
            Self::NoExchange => "this kernel has no atomic exchange, which came with Linux 5.12",
            Self::Prefix => "this kernel may insert over a prefix that is there, which Linux 6.13 mends",
            Self::Cpus => "this process may not run on every CPU",
        })
    }
}
