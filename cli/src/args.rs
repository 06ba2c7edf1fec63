//! The command line.

mod reviewing;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use maplock_layout::config::Levels;
use maplock_layout::lock::Merge;
use maplock_layout::rehearsal::RANDOM;
use maplock_layout::rules::Rule;

pub(crate) use reviewing::{
    Addition, CompletionsArgs, Described, LayoutArgs, ManArgs, MatrixArgs, MergeDriverArgs, ReportArgs, ReviewArgs,
    SchemaArgs,
};

use crate::answers::ConvertArgs;
use crate::error::NoAnswer;
use crate::formats::{self, Format};
use crate::outcome::Outcome;
use crate::project::git::{Base, FileAt, NotARevision, Revision};
use crate::undone::Undone;
use crate::verbs::inspect::Objects;
use crate::verbs::migrate::Conversions;

/// Keeps `maps.lock`, the lockfile for the layout of pinned eBPF maps
#[derive(Debug, Parser)]
#[command(
    name = "cargo-maplock",
    bin_name = "cargo maplock",
    version,
    after_help = "\
Exit codes: 0 nothing is wrong, 100 findings that fail, 101 could not complete, 2 usage.
Without Cargo, name the objects and the lock by `--object FILE.. --lock FILE`, or in a maplock.toml."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,

    #[command(flatten)]
    pub(crate) printing: Printing,
}

// How it is printed what a verb has to say. A comment of documentation would become the help of each verb.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Printing {
    /// Whether to use colours
    // Behind a verb's own options, however many verbs there are.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", display_order = 900)]
    pub(crate) color: When,

    /// Print only errors and findings that fail; the exit code says the rest. Formats other than human stay whole
    #[arg(short, long, global = true, display_order = 901)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write the first maps.lock
    Init(InitArgs),
    /// Check that maps.lock is up to date; with --against, that every break since a revision was accepted
    Check(CheckArgs),
    /// Write safe changes into maps.lock; refuse those that break pinned state
    Update(UpdateArgs),
    /// Show what an upgrade from one release to another keeps, converts or loses
    Diff(DiffArgs),
    /// Accept a break: record in maps.lock what nodes do with the old entries
    Accept(Box<AcceptArgs>),
    /// Show how entries are converted, member by member; with --test, try it on entries
    Migrate(MigrateArgs),
    /// Show the maps of objects: offsets, sizes, holes, padding
    Inspect(InspectArgs),
    /// Explain a rule
    Explain(ExplainArgs),
    /// List the rules, with their levels here
    Rules(RulesArgs),
    /// Show what an upgrade from each release keeps, and what the way back does
    Matrix(MatrixArgs),
    /// Show the bytes of a map's entries, and what they were before the last change
    Layout(LayoutArgs),
    /// Walk through the breaks that nobody has decided on
    Review(ReviewArgs),
    /// Write a page of the lock: its maps, findings, history and releases
    Report(ReportArgs),
    /// Print the JSON schema of maps.lock or maplock.toml, for editors, or of what a command tells with --message-format json
    Schema(SchemaArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write the pages of the manual, one for each command
    Man(ManArgs),
    /// Merge what two branches made of a maps.lock: for git to run
    MergeDriver(MergeDriverArgs),
}

impl Verb {
    /// How it is told.
    pub(crate) fn message_format(&self) -> &'static Format {
        match self {
            Self::Init(args) => args.message_format,
            Self::Check(args) => args.message_format,
            Self::Update(args) => args.message_format,
            Self::Diff(args) => args.message_format,
            Self::Accept(args) => args.message_format,
            Self::Migrate(args) => args.message_format,
            Self::Inspect(args) => args.message_format,
            Self::Explain(args) => args.message_format,
            Self::Rules(args) => args.message_format,
            Self::Matrix(args) => args.message_format,
            Self::Layout(_)
            | Self::Review(_)
            | Self::Report(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::MergeDriver(_) => formats::named(formats::DEFAULT),
        }
    }

    /// What did not happen if it could not be done.
    pub(crate) const fn undone(&self) -> Undone {
        match self {
            Self::Check(_) | Self::Diff(_) | Self::Matrix(_) | Self::Review(_) => Undone::Compared,
            Self::Init(_) | Self::Update(_) | Self::Accept(_) | Self::MergeDriver(_) | Self::Report(_) => {
                Undone::Written
            }
            Self::Migrate(_)
            | Self::Inspect(_)
            | Self::Explain(_)
            | Self::Rules(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Layout(_) => Undone::Told,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// Where locks and objects come from: a Cargo project, or files.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Input {
    #[command(flatten)]
    pub(crate) project: Project,

    /// Compiled objects, instead of those of a Cargo package
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["package", "workspace"])]
    pub(crate) object: Vec<PathBuf>,

    /// The lockfile, instead of that of a Cargo package [default with --object: maps.lock]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["package", "workspace"])]
    pub(crate) lock: Option<PathBuf>,

    /// The configuration, without Cargo [default: maplock.toml beside the lock]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["package", "workspace", "manifest_path"])]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Project {
    /// Path of a Cargo.toml
    #[arg(help_heading = "Cargo", long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,

    /// A package of the workspace
    #[arg(help_heading = "Cargo", short, long, value_name = "NAME")]
    pub(crate) package: Vec<String>,

    /// All packages of the workspace that have pinned maps
    #[arg(help_heading = "Cargo", long, conflicts_with = "package")]
    pub(crate) workspace: bool,

    /// Features to build with
    #[arg(help_heading = "Cargo", short = 'F', long, value_name = "FEATURES")]
    pub(crate) features: Vec<String>,

    /// Build with all features
    #[arg(help_heading = "Cargo", long)]
    pub(crate) all_features: bool,

    /// Build without the default features
    #[arg(help_heading = "Cargo", long)]
    pub(crate) no_default_features: bool,

    /// The target to build for
    #[arg(help_heading = "Cargo", long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// What to add to the repository, even if the lock exists already
    #[arg(long, value_enum, value_name = "WHAT", num_args = 1..)]
    pub(crate) add: Vec<Addition>,

    #[command(flatten)]
    pub(crate) input: Input,

    /// The output format
    #[arg(long, value_parser = formats::parser::<[Outcome]>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Compare maps.lock with that of a git revision, or with REV:PATH: every break needs an epoch. Builds nothing
    #[arg(long, value_name = "REV")]
    pub(crate) against: Vec<Base>,

    /// Allow a revision without a lock: nothing is compared with it
    #[arg(long, requires = "against")]
    pub(crate) allow_new: bool,

    /// Compare maps.lock with what nodes have pinned, a file for each: what `maplock inspect --message-format json` wrote there, or the metrics of
    /// its daemon
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) fleet: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) input: Input,

    /// The output format
    #[arg(long, value_parser = formats::parser::<[Outcome]>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) input: Input,

    /// The output format
    #[arg(long, value_parser = formats::parser::<[Outcome]>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older side: an object, a lockfile, a git revision, or REV:PATH
    pub(crate) old: Compared,

    /// The newer side [default: maps.lock as it is now]
    pub(crate) new: Option<Compared>,

    /// Allow a revision without a lock: it counts as one without maps
    #[arg(long)]
    pub(crate) allow_new: bool,

    #[command(flatten)]
    pub(crate) project: Project,

    /// The lockfile to read, here and at revisions, instead of that of a Cargo package
    #[arg(long, value_name = "FILE", conflicts_with_all = ["package", "workspace"])]
    pub(crate) lock: Option<PathBuf>,

    /// The configuration, without Cargo [default: maplock.toml beside the lock, unless two files are compared]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["package", "workspace", "manifest_path"])]
    pub(crate) config: Option<PathBuf>,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Outcome>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

/// A side of a comparison: whichever its name fits first.
#[derive(Debug, Clone)]
pub(crate) enum Compared {
    File(PathBuf),
    /// The lock at a revision.
    Revision(Revision),
    FileAt(FileAt),
}

impl FromStr for Compared {
    type Err = NotARevision;

    fn from_str(name: &str) -> Result<Self, NotARevision> {
        match name {
            _ if Path::new(name).is_file() => Ok(Self::File(name.into())),
            _ => name.parse().map(|base| match base {
                Base::Revision(revision) => Self::Revision(revision),
                Base::File(file) => Self::FileAt(file),
            }),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AcceptArgs {
    /// The maps whose change you accept
    #[arg(value_name = "MAP", required = true)]
    pub(crate) maps: Vec<String>,

    /// What a node does with the entries that it has
    #[arg(
        long,
        value_enum,
        value_name = "WAY",
        required_unless_present_any = ["undo", "renamed_from", "merge"],
        requires = "reason"
    )]
    pub(crate) on_upgrade: Option<OnUpgradeArg>,

    /// The map's old name: it keeps the entries that it had under that name
    #[arg(long, value_name = "OLD", requires = "reason")]
    pub(crate) renamed_from: Option<String>,

    /// Why, for those who review the change and run the upgrade
    #[arg(long, value_name = "TEXT", required_unless_present_any = ["undo", "merge"])]
    pub(crate) reason: Option<String>,

    /// Whether what two releases both count in a member is added up, for the life of the map: connections=sum, or =none. Alone, it accepts
    /// no change
    #[arg(long, value_name = "MEMBER=HOW", value_parser = merge)]
    pub(crate) merge: Vec<(String, Merge)>,

    /// The same for this change alone; it overrules --merge
    #[arg(long, value_name = "MEMBER=HOW", value_parser = merge, requires = "reason")]
    pub(crate) merge_once: Vec<(String, Merge)>,

    #[command(flatten)]
    pub(crate) convert: ConvertArgs,

    /// The same bytes mean something else now: raise the version of each map's meaning
    #[arg(long, conflicts_with_all = ["against", "renamed_from"], requires = "reason")]
    pub(crate) new_meaning: bool,

    /// Take back the newest epoch of each map
    #[arg(
        long,
        conflicts_with_all = ["on_upgrade", "renamed_from", "reason", "merge", "merge_once", "new_meaning", "against"]
    )]
    pub(crate) undo: bool,

    /// Accept what changed in maps.lock since this git revision, or REV:PATH, from which no epoch leads
    #[arg(long, value_name = "REV")]
    pub(crate) against: Option<Base>,

    #[command(flatten)]
    pub(crate) input: Input,

    /// The output format
    #[arg(long, value_parser = formats::parser::<[Outcome]>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Convert entries: all zeros, all ones, random ones, and those of dumps
    #[arg(long)]
    pub(crate) test: bool,

    /// Random entries for each conversion
    #[arg(long, value_name = "N", default_value_t = RANDOM, requires = "test")]
    pub(crate) entries: u32,

    /// Entries of a node, from `bpftool -j map dump` or `maplock dump --message-format json`; name the file after the map
    #[arg(long, value_name = "MAP.json", requires = "test")]
    pub(crate) dump: Vec<PathBuf>,

    /// The map of the dumps, if the files have other names
    #[arg(long, value_name = "MAP", requires = "dump")]
    pub(crate) map: Option<String>,

    #[command(flatten)]
    pub(crate) input: Input,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Conversions>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

fn merge(text: &str) -> Result<(String, Merge), NoAnswer> {
    let (member, how) = text.rsplit_once('=').ok_or("write MEMBER=sum")?;
    let how = Merge::from_name(how).ok_or_else(|| format!("`{how}` is not a way to merge: only sum or none is"))?;
    Ok((member.to_owned(), how))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnUpgradeArg {
    /// Keep the map: the old bytes are right as they are
    Reuse,
    /// Convert every entry to the new layout
    Migrate,
    /// Start with an empty map
    Swap,
    /// Give up the entries of a removed map
    Drop,
    /// Do not upgrade: somebody must decide on the node
    Refuse,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Compiled objects [default: those of the Cargo package]
    #[arg(value_name = "OBJECT")]
    pub(crate) objects: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) input: Input,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Objects>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Its id, such as member-moved
    #[arg(value_name = "RULE")]
    pub(crate) rule: String,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Rule>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// Path of a Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,

    /// A package of the workspace
    #[arg(short, long, value_name = "NAME")]
    pub(crate) package: Option<String>,

    /// The configuration, without Cargo [default: the nearest maplock.toml]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["package", "manifest_path"])]
    pub(crate) config: Option<PathBuf>,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Levels>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}
