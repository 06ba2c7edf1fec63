//! How each verb of both tools is told: a file for each format.
//!
//! To add a format, add its file with a `FORMAT`, and its line in `formats!`. A verb for which it says `None` is told as [`human`] does,
//! and the help of that verb says so; if programs read the format, the verb does not take it. To add a verb, give what it found a
//! [`Subject`] and a field of [`Format`]: each format then has to say how it tells it.

pub(crate) mod html;
mod notices;
pub(crate) mod page;
pub(crate) mod ruler;
pub(crate) mod svg;
pub(crate) mod table;
mod xml;

use std::fmt;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use maplock_layout::config::Levels;
use maplock_layout::rules::Rule;

use crate::error::Error;
#[cfg(target_os = "linux")]
use crate::node;
use crate::outcome::Outcome;
use crate::terminal;
use crate::undone::Failure;
use crate::verbs::inspect::Objects;
use crate::verbs::matrix::Matrix;
use crate::verbs::migrate::Conversions;

macro_rules! formats {
    ($($module:ident,)*) => {
        $(pub(crate) mod $module;)*

        /// Every format, in the order of the help.
        const ALL: &[&Format] = &[$(&$module::FORMAT,)*];
    };
}

formats! {
    human,
    json,
    markdown,
    github,
    sarif,
    gitlab,
    junit,
}

/// How a format tells what a verb found; `None` if it has no form of its own.
pub(crate) type Form<T> = Option<fn(&T) -> Result<String, Error>>;

/// How a format tells a run that could not be done.
pub(crate) type FormOfFailure = Option<fn(&Failure<'_>) -> Result<String, Error>>;

/// A format: of each verb, how it is told.
pub(crate) struct Format {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// True if a person reads it.
    pub(crate) is_text: bool,
    /// A run that could not be done; `None` if stderr, which people read, is enough.
    pub(crate) failed: FormOfFailure,
    /// What became of locks: `init`, `check`, `update`, `accept`.
    pub(crate) locks: Form<[Outcome]>,
    /// `diff`.
    pub(crate) diff: Form<Outcome>,
    /// `migrate`.
    pub(crate) conversions: Form<Conversions>,
    /// `matrix`.
    pub(crate) matrix: Form<Matrix>,
    /// `inspect`.
    pub(crate) objects: Form<Objects>,
    /// `explain`.
    pub(crate) rule: Form<Rule>,
    /// `rules`.
    pub(crate) rules: Form<Levels>,
    /// The verbs of the node tool.
    #[cfg(target_os = "linux")]
    pub(crate) node: Node,
}

/// How a format tells the verbs of the node tool.
#[cfg(target_os = "linux")]
pub(crate) struct Node {
    /// `maplock plan`.
    pub(crate) plan: Form<node::Foreseen>,
    /// `maplock inspect`.
    pub(crate) pins: Form<node::Pins>,
    /// `maplock dump`: piece by piece, for a map may hold more than memory does.
    pub(crate) entries: Option<fn(&node::Pinned, node::Piece<'_>) -> String>,
    /// `maplock rollback`.
    pub(crate) returned: Form<node::Returned>,
    /// `maplock recover`.
    pub(crate) recovered: Form<node::Recovered>,
    /// `maplock confirm`.
    pub(crate) confirmed: Form<node::Confirmed>,
    /// `maplock fleet`.
    pub(crate) fleet: Form<node::Fleet>,
    /// `maplock test-upgrade`.
    pub(crate) tried: Form<node::Tried>,
    /// `maplock watch`: a line for each generation, as it comes.
    pub(crate) live: Option<fn(&node::Live) -> String>,
}

/// What a verb found: plain data, which every format tells in its own way.
pub(crate) trait Subject {
    /// How a format tells it.
    fn form(format: &Format) -> Form<Self>;
}

impl Subject for [Outcome] {
    fn form(format: &Format) -> Form<Self> {
        format.locks
    }
}

impl Subject for Outcome {
    fn form(format: &Format) -> Form<Self> {
        format.diff
    }
}

impl Subject for Conversions {
    fn form(format: &Format) -> Form<Self> {
        format.conversions
    }
}

impl Subject for Matrix {
    fn form(format: &Format) -> Form<Self> {
        format.matrix
    }
}

impl Subject for Objects {
    fn form(format: &Format) -> Form<Self> {
        format.objects
    }
}

impl Subject for Rule {
    fn form(format: &Format) -> Form<Self> {
        format.rule
    }
}

impl Subject for Levels {
    fn form(format: &Format) -> Form<Self> {
        format.rules
    }
}

#[cfg(target_os = "linux")]
impl Subject for node::Tried {
    fn form(format: &Format) -> Form<Self> {
        format.node.tried
    }
}

#[cfg(target_os = "linux")]
impl Subject for node::Foreseen {
    fn form(format: &Format) -> Form<Self> {
        format.node.plan
    }
}

#[cfg(target_os = "linux")]
impl Subject for node::Pins {
    fn form(format: &Format) -> Form<Self> {
        format.node.pins
    }
}

#[cfg(target_os = "linux")]
impl Subject for node::Returned {
    fn form(format: &Format) -> Form<Self> {
        format.node.returned
    }
}

#[cfg(target_os = "linux")]
impl Subject for node::Recovered {
    fn form(format: &Format) -> Form<Self> {
        format.node.recovered
    }
}

#[cfg(target_os = "linux")]
impl Subject for node::Confirmed {
    fn form(format: &Format) -> Form<Self> {
        format.node.confirmed
    }
}

#[cfg(target_os = "linux")]
impl Subject for node::Fleet {
    fn form(format: &Format) -> Form<Self> {
        format.node.fleet
    }
}

impl Format {
    /// A format for programs that tells of locks alone: verbs that find something else do not take it.
    const OF_LOCKS: Self = Self {
        name: "",
        about: "",
        is_text: false,
        failed: None,
        locks: None,
        diff: None,
        conversions: None,
        objects: None,
        matrix: None,
        rule: None,
        rules: None,
        #[cfg(target_os = "linux")]
        node: Node {
            plan: None,
            pins: None,
            entries: None,
            returned: None,
            recovered: None,
            confirmed: None,
            live: None,
            fleet: None,
            tried: None,
        },
    };

    /// True if nothing is told of what does not fail, as was asked for; a text that somebody chose for others is whole.
    pub(crate) fn is_left_out(&self) -> bool {
        self.name == DEFAULT && terminal::is_quiet()
    }

    /// What a verb found, as text.
    pub(crate) fn tell<T: Subject + ?Sized>(&self, subject: &T) -> Result<String, Error> {
        let form = T::form(self).or(T::form(&human::FORMAT));
        form.map_or_else(|| Err(Error::new("no format tells what was found")), |form| form(subject))
    }
}

#[cfg(target_os = "linux")]
impl Format {
    /// How it tells the entries of a map.
    pub(crate) fn entries(&self) -> fn(&node::Pinned, node::Piece<'_>) -> String {
        self.node.entries.or(human::FORMAT.node.entries).unwrap_or(|_, _| String::new())
    }
}

#[cfg(target_os = "linux")]
impl Format {
    /// How it tells which generation is live.
    pub(crate) fn live(&self) -> fn(&node::Live) -> String {
        self.node.live.or(human::FORMAT.node.live).unwrap_or(|_| String::new())
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a format is without one given.
pub(crate) const DEFAULT: &str = human::FORMAT.name;

/// Takes the name of a format for a verb that finds a `T`.
pub(crate) fn parser<T: Subject + ?Sized>() -> impl TypedValueParser<Value = &'static Format> {
    parser_where(|format| T::form(format).is_some())
}

/// Takes the name of a format; the help says of which ones the verb is told as `human` tells it. What programs read is never that.
pub(crate) fn parser_where(has_form: fn(&Format) -> bool) -> impl TypedValueParser<Value = &'static Format> {
    let taken = ALL.iter().filter(move |format| format.is_text || has_form(format));
    let names = taken.map(|format| match has_form(format) {
        true => PossibleValue::new(format.name).help(format.about),
        false => PossibleValue::new(format.name).help(format!("{}; here the same as {DEFAULT}", format.about)),
    });
    PossibleValuesParser::new(names.collect::<Vec<_>>()).map(|name| named(&name))
}

/// The format of a name that the parser took.
pub(crate) fn named(name: &str) -> &'static Format {
    ALL.iter().find(|format| format.name == name).unwrap_or(&&human::FORMAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs_are_told_of_every_verb() {
        for format in [&human::FORMAT, &json::FORMAT] {
            let Format { name, locks, diff, conversions, objects, matrix, rule, rules, .. } = format;
            let of_plugin = locks.is_some() && diff.is_some() && conversions.is_some() && objects.is_some();
            assert!(of_plugin && matrix.is_some() && rule.is_some() && rules.is_some(), "{name}");
            #[cfg(target_os = "linux")]
            {
                let Node { plan, pins, entries, returned, recovered, confirmed, fleet, live, tried } = &format.node;
                let of_looks = plan.is_some() && pins.is_some() && entries.is_some() && live.is_some();
                let of_changes = returned.is_some() && recovered.is_some() && confirmed.is_some();
                assert!(of_looks && of_changes && fleet.is_some() && tried.is_some(), "{name}");
            }
        }
    }

    #[test]
    fn a_format_without_a_form_of_its_own_tells_as_people_read_it() {
        let levels = Levels::default();
        assert!(github::FORMAT.rules.is_none());
        assert_eq!(github::FORMAT.tell(&levels).expect("text"), human::FORMAT.tell(&levels).expect("text"));
        let parser = parser::<Levels>();
        let names = parser.possible_values().expect("a list");
        let help = |format: &PossibleValue| format.get_help().map(ToString::to_string).unwrap_or_default();
        let said = names.filter(|format| help(format).ends_with("; here the same as human"));
        assert_eq!(said.map(|format| format.get_name().to_owned()).collect::<Vec<_>>(), ["github"]);
    }
}
