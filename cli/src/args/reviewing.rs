//! The arguments of what is for those who review a change, merge it, or look at all releases.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Input;
use crate::formats::{self, Format};
use crate::project::git::Base;
use crate::verbs::matrix::Matrix;

#[derive(Debug, Args)]
pub(crate) struct LayoutArgs {
    /// The map
    #[arg(value_name = "MAP")]
    pub(crate) map: String,

    /// Write a picture to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Compare with the map at this git revision, or REV:PATH [default: before the last epoch]
    #[arg(long, value_name = "REV")]
    pub(crate) against: Option<Base>,

    #[command(flatten)]
    pub(crate) input: Input,
}

#[derive(Debug, Args)]
pub(crate) struct ReviewArgs {
    #[command(flatten)]
    pub(crate) input: Input,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The directory that gets index.html
    #[arg(long, value_name = "DIR")]
    pub(crate) html: PathBuf,

    /// Show findings against this git revision, or REV:PATH
    #[arg(long, value_name = "REV")]
    pub(crate) against: Vec<Base>,

    /// Tags of releases, as git patterns [default: `releases` of the configuration]
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub(crate) tags: Vec<String>,

    #[command(flatten)]
    pub(crate) input: Input,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// A file, or a command with --message-format json
    #[arg(value_enum, value_name = "WHAT")]
    pub(crate) of: Described,
}

#[derive(Debug, Args)]
#[command(after_help = "\
In bash, for this shell: `source <(maplock completions bash)`. For all: into ~/.local/share/bash-completion/completions/maplock.
Cargo asks no plugin for completions: those of the plugin are for `cargo-maplock`, as a command of its own.")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "To look at one without installing it: `man -l DIR/maplock-check.1`.")]
pub(crate) struct ManArgs {
    /// The directory that gets them, such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Described {
    /// maps.lock
    Lock,
    /// maplock.toml; the tables of a Cargo.toml take the same keys, except `objects` and `lock`
    Config,
    /// `cargo maplock check`, `init`, `update` and `accept`
    Check,
    /// `cargo maplock diff`
    Diff,
    /// `cargo maplock matrix`
    Matrix,
    /// `cargo maplock migrate`
    Migrate,
    /// `cargo maplock inspect` of objects
    Objects,
    /// `cargo maplock rules`
    Rules,
    /// `cargo maplock explain`
    Explain,
    /// `maplock plan`
    Plan,
    /// `maplock inspect` of a directory of pins
    Inspect,
    /// `maplock rollback` and `recover`, and the report of a daemon
    Report,
    /// `maplock confirm`
    Confirm,
    /// A line of `maplock watch`
    Watch,
    /// `maplock dump`
    Dump,
    /// `maplock fleet`
    Fleet,
    /// `maplock test-upgrade`
    TestUpgrade,
}

#[derive(Debug, Args)]
pub(crate) struct MatrixArgs {
    /// Tags of releases, as git patterns [default: `releases` of the configuration]
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub(crate) tags: Vec<String>,

    /// Show the ways back, too: whether what each release wrote comes back to it
    #[arg(long)]
    pub(crate) reverse: bool,

    #[command(flatten)]
    pub(crate) input: Input,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Matrix>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

/// What belongs around a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Addition {
    /// A line of .gitattributes and the driver of this clone, so that git merges the lock map by map
    MergeDriver,
    /// A workflow for pull requests on GitHub
    Github,
    /// A job for merge requests on GitLab
    Gitlab,
    /// A hook for pre-commit
    PreCommit,
}

/// The arguments are those of git's merge drivers: `%O %A %B %P %L`.
#[derive(Debug, Args)]
pub(crate) struct MergeDriverArgs {
    /// The lock that both branches come from
    pub(crate) base: PathBuf,

    /// Our lock, which becomes that of both
    pub(crate) ours: PathBuf,

    /// Their lock
    pub(crate) theirs: PathBuf,

    /// Where it is in the repository, for messages
    pub(crate) path: Option<PathBuf>,

    /// How long the markers of a conflict are
    #[arg(default_value_t = 7)]
    pub(crate) marker_size: u32,
}
