//! `maplock watch`: tells of each new generation, and runs a command for it.

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use maplock::handles::{Generation, Watch};
use maplock::internals::sys::Signals;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::args::WatchArgs;
use super::failed;
use crate::Ended;
use crate::error::Error;

/// What is live now.
pub(crate) struct Live {
    pub(crate) dir: PathBuf,
    /// `None` if there is no generation any more.
    pub(crate) generation: Option<Generation>,
}

/// Signals that end it. A command that runs gets them first.
const STOPPING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

pub(super) fn run(args: &WatchArgs) -> Result<Ended, Error> {
    let numbers: Vec<_> = STOPPING.iter().chain([&Signal::CHILD]).map(|signal| signal.as_raw()).collect();
    // Before anything else runs, so that none of them is lost.
    let signals = Signals::take(&numbers).map_err(|error| Error::new("could not take signals").because(error))?;
    let unwatched = |error| failed(format!("could not watch {}", args.dir.display()), error);
    let mut watching = Watching { args, signals, watch: Watch::new(&args.dir).map_err(unwatched)? };
    let mut is_new = watching.watch.generation().is_some() && !args.postpone;
    loop {
        if is_new && let Some(ended) = watching.tell()? {
            return Ok(ended);
        }
        if watching.wait(true)?.is_some() {
            return Ok(Ended::Well);
        }
        is_new = watching.watch.wait(Some(Duration::ZERO)).map_err(unwatched)?;
    }
}

struct Watching<'a> {
    args: &'a WatchArgs,
    signals: Signals,
    watch: Watch,
}

impl Watching<'_> {
    /// Tells what is live now, and runs the command for it. If that is the end of it: how it ended.
    fn tell(&self) -> Result<Option<Ended>, Error> {
        let Self { args, watch, .. } = self;
        let live = Live { dir: watch.dir().to_owned(), generation: watch.generation() };
        let told = if args.message_format.is_left_out() { String::new() } else { (args.message_format.live())(&live) };
        let mut out = io::stdout().lock();
        let written = out.write_all(told.as_bytes()).and_then(|()| out.flush());
        drop(out);
        match written {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Some(Ended::Well)),
            written => written.map_err(|error| Error::new("could not write to stdout").because(error))?,
        }
        let Some((generation, (program, rest))) = live.generation.zip(args.command.split_first()) else {
            return Ok(args.once.then_some(Ended::Well));
        };
        let shown = program.to_string_lossy();
        let mut command = Command::new(program);
        let number = generation.number().map_or_else(String::new, |number| number.to_string());
        command.args(rest).env("MAPLOCK_DIR", watch.dir()).env("MAPLOCK_GENERATION", number);
        // A signal of the terminal comes to it through here, once.
        command.process_group(0);
        self.signals.give_to(&mut command);
        let child = command.spawn().map_err(|error| Error::new(format!("could not run `{shown}`")).because(error))?;
        let (status, is_stopped) =
            self.end_of(child).map_err(|error| Error::new(format!("could not wait for `{shown}`")).because(error))?;
        let is_over = is_stopped || args.once || !status.success();
        Ok(is_over.then(|| Ended::As(code(status))))
    }

    /// Waits for a command, and passes signals on to it: how it ended, and whether it was asked to.
    fn end_of(&self, mut child: Child) -> io::Result<(ExitStatus, bool)> {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let mut is_stopped = false;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status, is_stopped));
            }
            let signal = self.wait(false).map_err(io::Error::other)?;
            is_stopped |= signal.is_some();
            if let (Some(group), Some(signal)) = (group, signal) {
                // It may have ended meanwhile.
                _ = kill_process_group(group, signal);
            }
        }
    }

    /// Waits for a signal: that which ends it all, or `None` if a command ended, or `or_change` something happened to the pins.
    fn wait(&self, or_change: bool) -> Result<Option<Signal>, Error> {
        let failed = |error: io::Error| Error::new("could not wait").because(error);
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
            if or_change {
                fds.push(PollFd::from_borrowed_fd(self.watch.as_fd(), PollFlags::IN));
            }
            rustix::io::retry_on_intr(|| poll(&mut fds, None)).map_err(|error| failed(error.into()))?;
            let is_changed = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
            let Some(signal) = self.signals.next().map_err(failed)? else {
                if is_changed {
                    return Ok(None);
                }
                continue;
            };
            match STOPPING.into_iter().find(|stopping| stopping.as_raw() == signal) {
                // That of a command that was waited for already, where none runs.
                None if or_change => {}
                stopping => return Ok(stopping),
            }
        }
    }
}

/// As shells have it: its own, or 128 and the number of the signal that ended it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
