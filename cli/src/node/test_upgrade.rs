//! `maplock test-upgrade`: an upgrade, tried on this kernel.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use maplock_harness::{BPFFS, Outcome, TestUpgrade};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use tempfile::TempDir;

use super::args::{PolicyArgs, seconds};
use crate::Said;
use crate::error::Error;
use crate::formats::{self, Format};
use crate::progress::Waiting;
use crate::{called, project};

#[derive(Debug, Args)]
#[command(after_help = "\
OLD, NEW and the other commands are run by `sh -c`, with MAPLOCK_PINS, where the daemon has to pin, MAPLOCK_CGROUP, the cgroup in which the
traffic runs, and MAPLOCK_LOGS, a directory for files. A daemon is ready when another generation is live; then it may stay, or end with exit
code 0. All of it is in namespaces of its own, with a bpffs at /sys/fs/bpf and a network that has `lo` alone, and ends with it. It needs root.

Exit codes: 0 passed, 100 something failed, 101 could not be tried, 128 and the signal's number if it was stopped.")]
pub(crate) struct TestUpgradeArgs {
    /// Command that starts the daemon of the release before
    #[arg(value_name = "OLD")]
    old: String,

    /// Command that starts the daemon of the release to come
    #[arg(value_name = "NEW")]
    new: String,

    /// Command that makes traffic until SIGTERM; one that ends well is started again, and one that fails ends the test
    #[arg(long, value_name = "CMD")]
    with: String,

    /// Command to run before all others, to make devices for one; what it leaves running ends with the test
    #[arg(long, value_name = "CMD")]
    setup: Option<String>,

    /// How often the new daemon is killed at its start, and started again
    #[arg(long, value_name = "N", default_value_t = 10)]
    kills: u32,

    /// What the times of the kills come from [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// How long there is traffic before and after each step
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    seconds: Duration,

    /// How long a daemon may take until it is ready, and the traffic until a program writes a map
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    ready: Duration,

    /// Map whose entries the daemons write as they like: what differs in it fails nothing
    #[arg(long, value_name = "MAP")]
    except: Vec<String>,

    /// Where the daemons pin, if that is fixed: below /sys/fs/bpf
    #[arg(long, value_name = "DIR", default_value_os_t = PathBuf::from(BPFFS).join("maplock-test"))]
    pins: PathBuf,

    /// Directory to keep what daemons and traffic say; without it, that is kept only if something failed
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,

    /// Stay in the network that this is called in
    #[arg(long)]
    host_network: bool,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Tried>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,

    #[command(flatten)]
    policy: PolicyArgs,
}

/// What came of a test.
pub(crate) struct Tried {
    pub(crate) outcome: Outcome,
    /// The command that does the same again.
    pub(crate) again: String,
    /// Where it stands what daemons and traffic said; `None` if that was not asked for, and nothing failed.
    pub(crate) logs: Option<PathBuf>,
}

/// Why there is nothing to say.
pub(super) enum Undone {
    /// By a signal of that number.
    Stopped(u8),
    Error(Error),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

pub(super) fn run(args: &TestUpgradeArgs) -> Result<Said, Undone> {
    let signal = Arc::new(AtomicUsize::new(0));
    for (number, name) in [(SIGINT, 2), (SIGTERM, 15), (SIGHUP, 1), (SIGQUIT, 3)] {
        signal_hook::flag::register_usize(number, Arc::clone(&signal), name)
            .map_err(|error| Error::new("could not take signals").because(error))?;
    }
    let make = || tempfile::Builder::new().prefix("maplock-test-upgrade-").tempdir();
    let temporary = args.logs.is_none().then(make).transpose();
    let temporary = temporary.map_err(|error| Error::new("could not make a directory for logs").because(error))?;
    let logs = args.logs.as_deref().or_else(|| temporary.as_ref().map(TempDir::path));
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let waiting = Waiting::at("test-upgrade");
    let stop = Arc::clone(&signal);
    let test = TestUpgrade::new(&args.old, &args.new, &args.with)
        .kills(args.kills)
        .seed(seed)
        .time(args.seconds)
        .patience(args.ready)
        .pins(&args.pins)
        .policies(args.policy.policies())
        .stop(move || stop.load(Ordering::Relaxed) != 0)
        .progress(move |phase| waiting.step(0, phase));
    let test = args.except.iter().fold(test, TestUpgrade::except);
    let test = logs.into_iter().fold(test, TestUpgrade::logs);
    let test = args.setup.iter().fold(test, TestUpgrade::setup);
    let test = if args.host_network { test.in_this_network() } else { test };
    let outcome = test.run().map_err(|error| match error.is_interrupted() {
        true => Undone::Stopped(u8::try_from(signal.load(Ordering::Relaxed)).unwrap_or(1)),
        false => Error::new("could not try the upgrade").because(error).into(),
    })?;
    let fails = outcome.fails();
    let kept = temporary.filter(|_| fails).map(TempDir::keep);
    let logs = args.logs.clone().or(kept);
    let tried = Tried { outcome, again: again(args, seed), logs };
    Ok(Said::new(args.message_format.tell(&tried)?, fails, Vec::new()))
}

/// This command line once more, with the same kills.
fn again(args: &TestUpgradeArgs, seed: u64) -> String {
    let words = std::env::args_os().skip(1).map(|word| project::shell_word(&word.to_string_lossy()));
    let seed = args.seed.is_none().then(|| format!("--seed {seed}"));
    std::iter::once(called::name().to_owned()).chain(words).chain(seed).collect::<Vec<_>>().join(" ")
}
