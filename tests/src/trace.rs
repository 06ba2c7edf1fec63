//! A process that is stopped at each of its system calls, and killed there, or told that the call has failed.
//!
//! By ptrace(2), on x86_64. What strace does with `--inject`, but a test can choose by what the call is about, and one run takes
//! milliseconds.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock};

use nix::errno::Errno;
use nix::libc::{self, c_long, c_ulonglong};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Hands the calling process to the one that started it, which goes on with [`run`].
///
/// # Errors
/// The kernel's.
pub fn offer() -> Result<(), Errno> {
    ptrace::traceme()?;
    raise(Signal::SIGSTOP)
}

/// A system call that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// How many were made before it.
    pub index: usize,
    /// Its number.
    pub number: c_long,
    /// The first of its arguments: for bpf(2) the command.
    pub first: u64,
    /// The fifth: for renameat2(2) its flags.
    pub fifth: u64,
    /// True where it reads from an iterator, and so runs a program.
    pub is_iteration: bool,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is made.
    Made,
    /// The process is killed before it is made.
    Killed,
    /// It is not made, and returns this error.
    Fails(Errno),
    /// It is not made, and returns 0.
    Skipped,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, if it was not killed.
    pub code: Option<i32>,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// How many calls it began.
    pub calls: usize,
}

/// Held for reading while a process is started.
static STARTING: RwLock<()> = RwLock::new(());

/// Waits for the processes that other threads are starting. Until they execute their programs they have every descriptor that was
/// open then, so that a socket that was closed here is not released before.
pub fn wait_for_starts() {
    drop(STARTING.write().unwrap_or_else(PoisonError::into_inner));
}

/// Runs a command whose process calls [`offer`], and asks at each system call thereafter what becomes of it.
///
/// # Panics
/// Where it does not, or can't be traced.
#[allow(clippy::zombie_processes, reason = "waitpid(2) reaps it")]
pub fn run(command: &mut Command, mut at: impl FnMut(Call) -> Fate) -> Ended {
    let mut child = {
        let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
        // It returns when the child executes its program.
        command.stderr(Stdio::piped()).spawn().expect("the command is there")
    };
    let main = Pid::from_raw(child.id().cast_signed());
    // Of this thread's children only: other threads trace theirs.
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    let first = waitpid(main, Some(flags)).expect("a child");
    assert!(matches!(first, WaitStatus::Stopped(_, Signal::SIGSTOP)), "{command:?}: {first:?}");
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, options).expect("a traced child");
    let mut inside = BTreeSet::new();
    let (mut iterators, mut creating) = (BTreeSet::new(), None);
    let mut failing = None;
    let mut calls = 0;
    let go_on = |pid, signal| match ptrace::syscall(pid, signal) {
        // Killed meanwhile.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("{error}"),
    };
    go_on(main, None);
    let code = loop {
        let status = waitpid(None, Some(flags)).expect("a child");
        match status {
            WaitStatus::PtraceSyscall(pid) if inside.insert(pid) => {
                let mut registers = ptrace::getregs(pid).expect("a stopped thread");
                let number = registers.orig_rax.cast_signed() as c_long;
                let first = registers.rdi;
                let is_iteration = number == libc::SYS_read && iterators.contains(&first);
                if number == libc::SYS_bpf && first == BPF_ITER_CREATE {
                    creating = Some(pid);
                } else if number == libc::SYS_close {
                    iterators.remove(&first);
                }
                let fate = at(Call { index: calls, number, first, fifth: registers.r8, is_iteration });
                calls += 1;
                match fate {
                    Fate::Made => {}
                    Fate::Killed => {
                        kill(main, Signal::SIGKILL).expect("a child");
                        continue;
                    }
                    Fate::Fails(_) | Fate::Skipped => {
                        registers.orig_rax = c_ulonglong::MAX;
                        ptrace::setregs(pid, registers).expect("a stopped thread");
                        let error = if let Fate::Fails(error) = fate { error as i32 } else { 0 };
                        failing = Some((pid, error));
                    }
                }
                go_on(pid, None);
            }
            WaitStatus::PtraceSyscall(pid) => {
                inside.remove(&pid);
                if creating.take_if(|creating| *creating == pid).is_some() {
                    iterators.insert(ptrace::getregs(pid).expect("a stopped thread").rax);
                }
                if let Some((_, error)) = failing.take_if(|(failing, _)| *failing == pid) {
                    let mut registers = ptrace::getregs(pid).expect("a stopped thread");
                    registers.rax = (-i64::from(error)).cast_unsigned();
                    ptrace::setregs(pid, registers).expect("a stopped thread");
                }
                go_on(pid, None);
            }
            WaitStatus::PtraceEvent(pid, ..) | WaitStatus::Stopped(pid, Signal::SIGSTOP | Signal::SIGTRAP) => {
                go_on(pid, None)
            }
            WaitStatus::Stopped(pid, signal) => go_on(pid, Some(signal)),
            WaitStatus::Exited(pid, code) if pid == main => break Some(code),
            WaitStatus::Signaled(pid, ..) if pid == main => break None,
            _ => {}
        }
    };
    let mut stderr = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
    Ended { code, stderr, calls }
}

const BPF_ITER_CREATE: u64 = 33;

/// Commands of bpf(2) that only look: elements, keys, pins, ids, information.
const LOOKS: [u64; 13] = [1, 4, 7, 11, 12, 13, 14, 15, 19, 23, 24, 30, 31];

impl Call {
    /// True for bpf(2).
    #[must_use]
    pub fn is_bpf(&self) -> bool {
        self.number == libc::SYS_bpf
    }

    /// True where the call can leave something behind that outlives the process. A process that is killed before one of two
    /// calls leaves the same as if it was killed before the other, where there is no such call between them.
    #[must_use]
    pub fn leaves_something(&self) -> bool {
        if self.is_iteration {
            return true;
        }
        if self.is_bpf() {
            return !LOOKS.contains(&self.first);
        }
        ![
            libc::SYS_brk,
            libc::SYS_clock_gettime,
            libc::SYS_close,
            libc::SYS_clone3,
            libc::SYS_fcntl,
            libc::SYS_fstat,
            libc::SYS_fstatfs,
            libc::SYS_futex,
            libc::SYS_getdents64,
            libc::SYS_getpid,
            libc::SYS_getrandom,
            libc::SYS_gettid,
            libc::SYS_lseek,
            libc::SYS_lstat,
            libc::SYS_madvise,
            libc::SYS_mmap,
            libc::SYS_mprotect,
            libc::SYS_mremap,
            libc::SYS_munmap,
            libc::SYS_newfstatat,
            libc::SYS_open,
            libc::SYS_openat,
            libc::SYS_poll,
            libc::SYS_pread64,
            libc::SYS_read,
            libc::SYS_readlink,
            libc::SYS_readlinkat,
            libc::SYS_rseq,
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigprocmask,
            libc::SYS_sched_getaffinity,
            libc::SYS_set_robust_list,
            libc::SYS_sigaltstack,
            libc::SYS_stat,
            libc::SYS_statfs,
            libc::SYS_statx,
        ]
        .contains(&self.number)
    }
}
