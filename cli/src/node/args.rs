//! The command line of `maplock`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use maplock::layout::Disposition;
use maplock::{OnMismatch, OnMissing, Policies, Policy};

use super::test_upgrade::TestUpgradeArgs;
use super::{Confirmed, Fleet, Foreseen, Pins, Recovered, Returned};
use crate::error::NoAnswer;
use crate::formats::{self, Format};

// What all verbs of a node take. A comment of documentation would become their help.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Tracing {
    /// Tell each decision and step on stderr; twice for more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = None, display_order = 901)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what an upgrade would do to each pinned map; change nothing
    Plan(PlanArgs),
    /// Show what is pinned in a directory: maps, programs, links, generations
    Inspect(InspectArgs),
    /// Show the entries of a pinned map, by the members of its layout
    Dump(DumpArgs),
    /// Return to the kept generation: its maps, and its programs in the links
    Rollback(RollbackArgs),
    /// Remove the kept generations; after that, nothing can be rolled back
    Confirm(ConfirmArgs),
    /// End an upgrade that no start completes, and say what that costs
    Recover(RecoverArgs),
    /// Try an upgrade here: two versions of a daemon, traffic, kills at random, and the way back
    TestUpgrade(TestUpgradeArgs),
    /// Show which generation is live, then each new one as it comes; with a command, run it for each
    Watch(WatchArgs),
    /// Show where each node stands, from files written on the nodes
    Fleet(FleetArgs),
}

impl Verb {
    /// How it is told.
    pub(super) const fn message_format(&self) -> &'static Format {
        match self {
            Self::Plan(args) => args.message_format,
            Self::Inspect(args) => args.message_format,
            Self::Dump(args) => args.message_format,
            Self::Rollback(args) => args.message_format,
            Self::Confirm(args) => args.message_format,
            Self::Recover(args) => args.message_format,
            Self::TestUpgrade(args) => args.message_format,
            Self::Watch(args) => args.message_format,
            Self::Fleet(args) => args.message_format,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// The pin of a map
    #[arg(value_name = "PIN")]
    pub(crate) pin: PathBuf,

    /// Show at most N entries
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// The output format; json has the bytes as `bpftool -j map dump` has them, for `cargo maplock migrate --test --dump`
    #[arg(
        long,
        value_parser = formats::parser_where(|format| format.node.entries.is_some()),
        default_value = formats::DEFAULT,
        value_name = "FORMAT"
    )]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Changes nothing, and waits for no upgrade. In an init container, `--deny swap,refuse,drop` stops a rolling update that would lose
entries or not start, with exit code 100. `--expect-pins` stops one that looks in the wrong place.")]
pub(crate) struct PlanArgs {
    /// The maps.lock of the new release
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: PathBuf,

    /// Directory of the pins; it need not exist yet
    #[arg(long, value_name = "DIR")]
    pub(crate) pins: PathBuf,

    /// Fail if this would happen to a map; separate several by commas. With any of these, the plan also fails if an upgrade at its commit
    /// comes first, unless that leads to the maps of this release
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) deny: Vec<Deny>,

    /// Fail if no map of the release is pinned there, for nodes that have run an earlier release
    #[arg(long)]
    pub(crate) expect_pins: bool,

    /// Convert every entry that is there now, and write none: show what is refused, saturated, collides or does not come back
    #[arg(long)]
    pub(crate) rehearse: bool,

    /// Show N entries of each map that is converted, as they are and as they will be
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) sample: usize,

    /// Generations that the daemon keeps, including the one that is replaced (`Options::keep`)
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) keep: usize,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Foreseen>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,

    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// Above these options in a help. On each of them: for the struct, it would stay for what follows there.
const HEADING: &str = "Policies, as the daemon has them";

/// What the daemon's own policies are, so that the plan is the one that it will make.
#[derive(Debug, Default, Args)]
pub(crate) struct PolicyArgs {
    /// If no accepted change leads from the layout of a pin: refuse, swap or reuse [default: refuse]
    #[arg(help_heading = HEADING, long, value_name = "[MAP=]WAY", value_parser = way)]
    pub(crate) on_unknown: Vec<Answer>,

    /// If nothing tells the layout of a pin: refuse, swap or reuse [default: refuse]
    #[arg(help_heading = HEADING, long, value_name = "[MAP=]WAY", value_parser = way)]
    pub(crate) unverifiable: Vec<Answer>,

    /// If a pin has more room than is asked for: reuse, refuse or swap [default: reuse]
    #[arg(help_heading = HEADING, long, value_name = "[MAP=]WAY", value_parser = way)]
    pub(crate) larger: Vec<Answer>,

    /// If somebody removed the pin of a map of the live generation: refuse or create [default: refuse]
    #[arg(help_heading = HEADING, long, value_name = "[MAP=]WAY", value_parser = missing)]
    pub(crate) missing: Vec<(Option<String>, OnMissing)>,

    /// A capacity that the daemon chooses, instead of the one in maps.lock
    #[arg(help_heading = HEADING, long, value_name = "MAP=N", value_parser = capacity)]
    pub(crate) max_entries: Vec<(String, u32)>,
}

/// An answer for one map, or for all that have none of their own.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    map: Option<String>,
    way: OnMismatch,
}

fn way(text: &str) -> Result<Answer, NoAnswer> {
    let (map, way) = match text.rsplit_once('=') {
        Some((map, way)) => (Some(map.to_owned()), way),
        None => (None, text),
    };
    let way = match way {
        "refuse" => OnMismatch::Refuse,
        "swap" => OnMismatch::Swap,
        "reuse" => OnMismatch::Reuse,
        _ => return Err("expected `refuse`, `swap` or `reuse`, for one map with `MAP=` before it".into()),
    };
    Ok(Answer { map, way })
}

fn missing(text: &str) -> Result<(Option<String>, OnMissing), NoAnswer> {
    let (map, way) = match text.rsplit_once('=') {
        Some((map, way)) => (Some(map.to_owned()), way),
        None => (None, text),
    };
    match way {
        "refuse" => Ok((map, OnMissing::Refuse)),
        "create" => Ok((map, OnMissing::Create)),
        _ => Err("expected `refuse` or `create`, for one map with `MAP=` before it".into()),
    }
}

fn capacity(text: &str) -> Result<(String, u32), NoAnswer> {
    let parsed = text.rsplit_once('=').and_then(|(map, number)| Some((map.to_owned(), number.parse().ok()?)));
    parsed.filter(|(_, number)| *number > 0).ok_or_else(|| "expected `MAP=N`, with a number above 0".into())
}

impl PolicyArgs {
    /// The same, as the runtime takes it.
    pub(crate) fn policies(&self) -> Policies {
        type Set = fn(&mut Policy, OnMismatch);
        let answers: [(&[Answer], Set); 3] = [
            (&self.on_unknown, |policy, way| policy.unknown = way),
            (&self.unverifiable, |policy, way| policy.unverifiable = way),
            (&self.larger, |policy, way| policy.larger = way),
        ];
        let answers = || answers.iter().flat_map(|(answers, set)| answers.iter().map(move |answer| (answer, set)));
        let mut policies = Policies::default();
        for (answer, set) in answers().filter(|(answer, _)| answer.map.is_none()) {
            set(&mut policies.all, answer.way);
        }
        for (_, way) in self.missing.iter().filter(|(map, _)| map.is_none()) {
            policies.all.missing = *way;
        }
        // What is said for one map comes on top of what is said for all.
        let all = policies.all.clone();
        for (answer, set) in answers() {
            let Some(map) = &answer.map else { continue };
            set(policies.maps.entry(map.clone()).or_insert_with(|| all.clone()), answer.way);
        }
        for (map, way) in &self.missing {
            let Some(map) = map else { continue };
            policies.maps.entry(map.clone()).or_insert_with(|| all.clone()).missing = *way;
        }
        for (map, number) in &self.max_entries {
            policies.maps.entry(map.clone()).or_insert_with(|| all.clone()).max_entries = Some(*number);
        }
        policies
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deny {
    /// A new map is made
    Create,
    /// The map is used as it is
    Reuse,
    /// A larger map takes over every entry
    Grow,
    /// Every entry is converted
    Migrate,
    /// An empty map takes its place, and entries are lost
    Swap,
    /// The upgrade does not start
    Refuse,
    /// The map and its entries are given up; kept for a roll-back
    Drop,
    /// It is not certain that every entry is carried over with every count, or an upgrade at its commit comes first
    Inexact,
}

impl Deny {
    /// `None` for what may happen to any entries that are carried over.
    pub(crate) fn disposition(self) -> Option<Disposition> {
        match self {
            Self::Create => Some(Disposition::Create),
            Self::Reuse => Some(Disposition::Reuse),
            Self::Grow => Some(Disposition::Grow),
            Self::Migrate => Some(Disposition::Migrate),
            Self::Swap => Some(Disposition::Swap),
            Self::Refuse => Some(Disposition::Refuse),
            Self::Drop => Some(Disposition::Drop),
            Self::Inexact => None,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Changes nothing, and waits for no upgrade.")]
pub(crate) struct InspectArgs {
    /// Directory of the pins
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Show the types of keys and values too, with offsets, sizes, holes and padding
    #[arg(long)]
    pub(crate) layouts: bool,

    /// The output format; json always has the types
    #[arg(long, value_parser = formats::parser::<Pins>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Entries that were written since are carried back into maps that had grown or were converted. Maps that were swapped are
again what they were. The generation that you leave is kept in turn. A second roll-back leads one further back, or undoes the
first if no older generation is kept. Stop or replace the daemon of the newer release, or it upgrades again when it starts.")]
pub(crate) struct RollbackArgs {
    /// Directory of the pins
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    /// Go to the kept generation with this number, which `maplock inspect` shows; programs of those between run for a moment
    #[arg(long, value_name = "GENERATION")]
    pub(crate) to: Option<u64>,

    /// Go back without this map, whose pin somebody removed from the kept generation: the older release makes an empty one
    #[arg(long, value_name = "MAP")]
    pub(crate) without: Vec<String>,

    /// Write the (last) report for the node exporter's textfile collector; the name should end with `.prom`
    #[arg(long, value_name = "FILE")]
    pub(crate) prometheus: Option<PathBuf>,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Returned>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each start brings into order what a crash left, and so do `rollback` and `confirm`. Use this command if they fail with the same error
each time. Of an upgrade that ended before its commit, it removes what is left. If nothing is left of an upgrade, it does nothing.")]
pub(crate) struct RecoverArgs {
    /// Directory of the pins
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) by: WayOutArgs,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Recovered>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WayOutArgs {
    /// Go back to the live generation. What new programs wrote since the switch to maps that were copied or converted for them is lost
    #[arg(long)]
    pub(crate) discard: bool,

    /// Complete it by system calls instead of programs, or take it back by them if only its own daemon has the code that converts its
    /// entries. What is written at that very moment can be lost, and what was brought over before can be counted twice
    #[arg(long)]
    pub(crate) by_calls: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// Directory of the pins
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Keep the N older generations that are next to the live one; remove what a roll-back left
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) keep: usize,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Confirmed>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The command runs without a shell, with MAPLOCK_DIR and MAPLOCK_GENERATION (the number) in its environment. If generations come while it runs,
it runs again for the last of them. If it fails, `maplock watch` ends with its exit code. SIGINT, SIGTERM, SIGHUP and
SIGQUIT are passed on to it and its children; then `maplock watch` ends as it does.")]
pub(crate) struct WatchArgs {
    /// Directory of the pins; it need not exist yet
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// Leave out the generation that is live at the start
    #[arg(long)]
    pub(crate) postpone: bool,

    /// End after the first generation that is told
    #[arg(long)]
    pub(crate) once: bool,

    /// The output format; json is one line for each
    #[arg(
        long,
        value_parser = formats::parser_where(|format| format.node.live.is_some()),
        default_value = formats::DEFAULT,
        value_name = "FORMAT"
    )]
    pub(crate) message_format: &'static Format,

    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A file is named for its node, and holds what `maplock inspect`, `plan` and `rollback` have written there with --message-format json, or a
report of the daemon: one of these, or several behind each other. Or it holds metrics of daemons: each `instance` in them is a node. It reads
files alone, and can be run anywhere. Exit codes: 100 if the
upgrade of a node is denied or refused, 101 if a file can't be read.")]
pub(crate) struct FleetArgs {
    /// A file for each node, such as nodes/*.json
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// The output format
    #[arg(long, value_parser = formats::parser::<Fleet>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
    pub(crate) message_format: &'static Format,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// How long to wait for an upgrade of these pins to end
    #[arg(long = "wait", value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) time: Duration,
}

pub(super) fn seconds(text: &str) -> Result<Duration, NoAnswer> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "expected a number of seconds".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_for_a_map_starts_from_that_for_all() {
        let answers = |texts: &[&str]| texts.iter().map(|text| way(text).expect("an answer")).collect();
        let args = PolicyArgs {
            on_unknown: answers(&["stats=swap", "reuse"]),
            larger: answers(&["stats=swap"]),
            max_entries: vec![("drops".to_owned(), 12)],
            ..PolicyArgs::default()
        };
        let policies = args.policies();
        assert_eq!(policies.all.unknown, OnMismatch::Reuse);
        let stats = policies.of("stats");
        assert_eq!((stats.unknown, stats.larger, stats.max_entries), (OnMismatch::Swap, OnMismatch::Swap, None));
        let drops = policies.of("drops");
        assert_eq!((drops.unknown, drops.larger, drops.max_entries), (OnMismatch::Reuse, OnMismatch::Reuse, Some(12)));
    }

    #[test]
    fn answers_that_are_none_are_refused() {
        for text in ["", "keep", "stats", "stats=", "swap=stats"] {
            assert!(way(text).is_err(), "{text}");
        }
        for text in ["", "stats", "stats=0", "stats=-1", "stats=4294967296"] {
            assert!(capacity(text).is_err(), "{text}");
        }
        assert!(seconds("-1").is_err() && seconds("nan").is_err() && seconds("0.5").is_ok());
    }
}
