//! `maplock`, the tool that needs no Cargo: the gate's verbs and those of a node, in one command line.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::{Args as _, Command, FromArgMatches as _, Subcommand as _};

use crate::args::{Cli, Printing, Verb};
use crate::{Ended, called, terminal};

/// A heading of the help, with the verbs below it.
type Group = (&'static str, Vec<Command>);

/// The verbs of the gate, and if there can be pins, those of a node.
fn groups() -> Vec<Group> {
    let verbs = |all: Command| all.get_subcommands().cloned().collect::<Vec<_>>();
    let gate = verbs(Verb::augment_subcommands(Command::new("gate")));
    #[cfg(not(target_os = "linux"))]
    let (gate, node) = (gate, Vec::new());
    #[cfg(target_os = "linux")]
    let (gate, node) = {
        use crate::node::{self, Tracing};
        let node = verbs(node::Verb::augment_subcommands(Command::new("node")));
        let is_of_node = |verb: &Command| node.iter().any(|other| other.get_name() == verb.get_name());
        let gate = gate.into_iter().filter(|verb| !is_of_node(verb)).collect();
        let of_both = |verb: Command| match verb.get_name() {
            either::INSPECT => Tracing::augment_args(either::command()),
            _ => Tracing::augment_args(verb),
        };
        (gate, node.into_iter().map(of_both).collect())
    };
    vec![("The gate, on compiled objects and maps.lock", gate), ("On a node, with its pins", node)]
}

/// The whole command line.
pub(crate) fn command() -> Command {
    const ABOUT: &str = "Keeps maps.lock, the lockfile for the layout of pinned eBPF maps; on a node, shows pins, plans upgrades and takes them back";
    let root = Printing::augment_args(Command::new("maplock").version(env!("CARGO_PKG_VERSION")).about(ABOUT));
    let groups = groups();
    let help = listed(&groups, &root);
    let after = "\
Exit codes: 0 nothing is wrong, 100 findings that fail, 101 could not complete, 2 usage.
The gate needs neither Cargo nor root: name the objects and the lock by `--object FILE.. --lock FILE`, or in a maplock.toml.
On a node, all but fleet need CAP_BPF, to open pins. To read BTF by its id, they need CAP_SYS_ADMIN: for pins that maplock
did not make, and to show types.";
    let verbs = groups.into_iter().flat_map(|(_, verbs)| verbs);
    root.subcommands(verbs.enumerate().map(|(place, verb)| verb.display_order(place)))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .help_template(format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{help}{{options}}{{after-help}}"))
        .after_help(after)
}

/// The verbs for the help, each group below its heading.
fn listed(groups: &[Group], root: &Command) -> String {
    let (header, literal) = (root.get_styles().get_header(), root.get_styles().get_literal());
    let names = groups.iter().flat_map(|(_, verbs)| verbs).map(|verb| verb.get_name().len());
    let width = names.max().unwrap_or_default();
    let mut text = String::new();
    for (heading, verbs) in groups.iter().filter(|(_, verbs)| !verbs.is_empty()) {
        _ = writeln!(text, "\n{header}{heading}:{header:#}");
        for verb in verbs {
            let (name, about) = (verb.get_name(), verb.get_about().map(ToString::to_string).unwrap_or_default());
            _ = writeln!(text, "  {literal}{name:width$}{literal:#}  {about}");
        }
    }
    _ = writeln!(text, "\n{header}Options:{header:#}");
    text
}

/// Does what the command line asks, and prints it: results on stdout; errors, warnings and progress on stderr.
pub fn main(args: impl Iterator<Item = OsString>) -> Ended {
    let args: Vec<_> = args.collect();
    called::by_itself(&args);
    let matches = command().bin_name(called::name()).get_matches_from(args);
    let printing = Printing::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    terminal::choose(printing);
    #[cfg(target_os = "linux")]
    if let Some((name, of_verb)) = matches.subcommand() {
        use crate::node::{self, Tracing};
        let tracing = || Tracing::from_arg_matches(of_verb).unwrap_or_else(|error| error.exit());
        if name == either::INSPECT {
            return either::run(of_verb, tracing());
        }
        if node::Verb::has_subcommand(name) {
            let verb = node::Verb::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
            return node::run(&verb, tracing());
        }
    }
    crate::main(&Cli { verb: Verb::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()), printing })
}

/// `inspect`, which is of objects or of pins: the path tells.
#[cfg(target_os = "linux")]
mod either {
    use std::io;
    use std::path::{Path, PathBuf};

    use clap::{ArgMatches, Args, Command, FromArgMatches as _};

    use crate::args::{self, Input};
    use crate::error::Error;
    use crate::formats::{self, Format};
    use crate::node::{self, Tracing};
    use crate::verbs::inspect::Objects;
    use crate::{Ended, end, verbs};

    pub(super) const INSPECT: &str = "inspect";

    #[derive(Debug, Args)]
    #[command(
        about = "Show what is pinned in a directory: maps, programs, links, generations; or the maps of compiled objects"
    )]
    #[command(after_help = "Changes nothing, and waits for no upgrade.")]
    struct InspectArgs {
        /// Directory of the pins; or compiled objects [default: those of the Cargo package]
        #[arg(value_name = "DIR|OBJECT")]
        paths: Vec<PathBuf>,

        /// Of pins, show the types of keys and values too, with offsets, sizes, holes and padding; of objects, they are always shown
        #[arg(long)]
        layouts: bool,

        #[command(flatten)]
        input: Input,

        /// The output format; json always has the types
        #[arg(long, value_parser = formats::parser::<Objects>(), default_value = formats::DEFAULT, value_name = "FORMAT")]
        message_format: &'static Format,
    }

    pub(super) fn command() -> Command {
        InspectArgs::augment_args(Command::new(INSPECT))
    }

    pub(super) fn run(matches: &ArgMatches, tracing: Tracing) -> Ended {
        let args = InspectArgs::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
        match of_pins(&args) {
            Ok(Some(dir)) => {
                let InspectArgs { layouts, message_format, .. } = args;
                node::run(&node::Verb::Inspect(node::InspectArgs { dir, layouts, message_format }), tracing)
            }
            Ok(None) => {
                let InspectArgs { paths: objects, input, message_format, .. } = args;
                let args = args::InspectArgs { objects, input, message_format };
                end(verbs::inspect::run(&args), message_format, None)
            }
            Err(error) => end(Err(error), args.message_format, None),
        }
    }

    /// The directory, if that is what is asked for.
    fn of_pins(args: &InspectArgs) -> Result<Option<PathBuf>, Error> {
        for path in &args.paths {
            // What nobody else may look at is more likely a directory of pins: that can be told with the privilege that it takes.
            let is_dir = match path.metadata() {
                Ok(metadata) => metadata.is_dir(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(nothing_at(path)),
                Err(_) => true,
            };
            if is_dir && args.paths.len() > 1 {
                let several = format!("{} is a directory, of which one is looked at at a time", path.display());
                return Err(Error::new(several).help("name compiled objects alone, or one directory of pins"));
            }
            if is_dir && args.input != Input::default() {
                let several =
                    format!("{} is a directory of pins, of which no lock, object or package tells", path.display());
                return Err(Error::new(several).help("leave out the other options, or name an object"));
            }
            if is_dir {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }

    fn nothing_at(path: &Path) -> Error {
        Error::new(format!("there is no directory or object {}", path.display()))
            .help("give the directory of a daemon's pins, such as /sys/fs/bpf/NAME, or a compiled object")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_heading_of_a_help_is_above_its_own_options_alone() {
        let mut under: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for verb in [command(), Cli::command()].iter().flat_map(Command::get_subcommands) {
            for arg in verb.get_arguments() {
                let Some(heading) = arg.get_help_heading() else { continue };
                under.entry(heading.to_owned()).or_default().insert(arg.get_id().to_string());
            }
        }
        let told = |(heading, of): (String, BTreeSet<String>)| {
            format!("{heading}: {}", of.into_iter().collect::<Vec<_>>().join(" "))
        };
        let mut expected = vec![
            "Cargo: all_features features manifest_path no_default_features package target workspace",
            "With --on-upgrade migrate: by_hand cast collide default drop rename scale",
        ];
        if cfg!(target_os = "linux") {
            expected.insert(1, "Policies, as the daemon has them: larger max_entries missing on_unknown unverifiable");
        }
        assert_eq!(under.into_iter().map(told).collect::<Vec<_>>(), expected);
    }
}
