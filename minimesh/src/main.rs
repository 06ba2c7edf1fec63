//! The command line.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use minimesh::config::Config;
use minimesh::daemon::Daemon;
use minimesh::log::Log;
use minimesh::ready;
use minimesh::release::{self, Release};
use minimesh::story;
use minimesh::traffic::{Target, alone, client};

/// A small service mesh, and the story of its upgrades: without a command, both halves of it.
#[derive(Debug, Parser)]
#[command(name = "minimesh", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what the build of each release says. Needs no privilege
    Build,
    /// Tell how a node is upgraded from each release to the next and back, with traffic running. As root
    Upgrade,
    /// Upgrade what runs to a release, and serve
    Daemon(DaemonArgs),
    /// Tell whether a daemon has committed and its programs run: exit code 0, and 1 where not
    Ready {
        /// Where they are pinned
        #[arg(long, value_name = "DIR")]
        pins: PathBuf,
        /// What the daemon was given by --ready
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Start the servers of two services, and write the configuration that leads to them
    Serve {
        /// The file to write
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Connect without pause until SIGTERM; then every connection has to have been answered, and counted
    Connect {
        /// `ADDRESS=PREFIX`, with the beginning of the names of those that may answer
        #[arg(required = true)]
        targets: Vec<Target>,
        /// Where `stats` is pinned, which is to count the connections
        #[arg(long, value_name = "DIR")]
        pins: Option<PathBuf>,
    },
    /// Connect without pause
    #[command(hide = true)]
    Client {
        /// `ADDRESS=PREFIX`
        #[arg(required = true)]
        targets: Vec<Target>,
    },
}

#[derive(Debug, Args)]
struct DaemonArgs {
    /// Cgroup (v2) whose connections are served
    #[arg(long, value_name = "DIR")]
    cgroup: PathBuf,
    /// Where maps, programs and links are pinned, on a bpffs
    #[arg(long, value_name = "DIR")]
    pins: PathBuf,
    /// The release to serve, v1 to v4
    #[arg(long, value_name = "NAME", default_value = release::DEFAULT, conflicts_with = "object")]
    release: String,
    /// An object that somebody else built, instead of a release
    #[arg(long, value_name = "FILE", requires = "lock")]
    object: Option<PathBuf>,
    /// The lock that it was built against
    #[arg(long, value_name = "FILE", requires = "object")]
    lock: Option<PathBuf>,
    /// The services; without them, the pinned maps stay as they are
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say by a lock on this file that the upgrade is done, as long as the daemon lives: for `minimesh ready`
    #[arg(long, value_name = "FILE")]
    ready: Option<PathBuf>,
    /// Answer `/metrics` and `/healthz` there, such as on 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// How to say what is done
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    log: Log,
    /// End after the upgrade: what is pinned and attached goes on
    #[arg(long)]
    once: bool,
    /// Upgrade as Kmesh does, from this release or, where it is empty, from nothing; for comparison
    #[arg(long, value_name = "RELEASE", hide = true)]
    kmesh_way_from: Option<String>,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let log = match &command {
        Some(Command::Daemon(args)) => args.log,
        _ => Log::Text,
    };
    let result = match command {
        None => both_halves(),
        Some(Command::Build) => first_half(),
        Some(Command::Upgrade) => story::upgrade::tell().map_err(|problem| match problem {
            story::upgrade::Problem::Needs(what) => format!("the story of an upgrade can't be told: {what}"),
            story::upgrade::Problem::Failed(why) => why,
        }),
        Some(Command::Daemon(args)) => daemon(args).map_err(|error| error.to_string()),
        Some(Command::Ready { pins, file }) => {
            ready::check(&file, &pins).map(|generation| println!("generation {generation} serves"))
        }
        Some(Command::Serve { config }) => alone::serve(&config),
        Some(Command::Connect { targets, pins }) => alone::connect(&targets, pins.as_deref()),
        Some(Command::Client { targets }) => {
            client::run(&targets);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log.fail(&problem);
            ExitCode::FAILURE
        }
    }
}

fn both_halves() -> Result<(), String> {
    first_half()?;
    println!();
    match story::upgrade::tell() {
        Ok(()) => Ok(()),
        Err(story::upgrade::Problem::Needs(what)) => {
            println!("The second half, an upgrade with traffic running, can't be told here: {what}.");
            Ok(())
        }
        Err(story::upgrade::Problem::Failed(why)) => Err(why),
    }
}

fn first_half() -> Result<(), String> {
    let told = story::build::tell()?;
    // A closed pipe is the reader's way to say that this is enough.
    _ = io::stdout().write_all(told.as_bytes());
    Ok(())
}

fn daemon(args: DaemonArgs) -> Result<(), Box<dyn std::error::Error>> {
    args.log.begin();
    let release = match (&args.object, &args.lock) {
        (Some(object), Some(lock)) => Release::read(object, lock)?,
        _ => Release::embedded(&args.release)?,
    };
    let config = args.config.as_deref().map(Config::read).transpose()?;
    let DaemonArgs { cgroup, pins, ready, listen, log, once, .. } = args;
    let daemon = Daemon { release, cgroup, pins, config, ready, listen, log, once };
    match args.kmesh_way_from.as_deref() {
        None => daemon.run(),
        Some("") => daemon.run_the_kmesh_way(None),
        Some(old) => daemon.run_the_kmesh_way(Some(&Release::embedded(old)?.spec)),
    }
}
