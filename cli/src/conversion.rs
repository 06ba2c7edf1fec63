//! How entries are converted over one epoch, for people and as JSON.

use std::fmt::Write as _;

use maplock_layout::conversion::{Collide, Derived, MemberPlan, Problems};
use maplock_layout::history::Converting;
use serde::Serialize;

use crate::formats::table::columns;

/// How entries of a map are converted over one epoch.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    pub(crate) map: String,
    /// Digests that it leads between.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) how: How,
}

#[derive(Debug, Clone)]
pub(crate) enum How {
    Derived(Box<Derived>),
    /// The line that the daemon needs.
    ByHand(String),
    /// What is not answered.
    Open(Problems),
}

#[derive(Serialize)]
pub(crate) struct ConversionJson<'a> {
    by_hand: bool,
    /// True where the way back gives every entry back.
    lossless: bool,
    collide: Option<&'static str>,
    members: Vec<MemberJson<'a>>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    old: Option<&'a str>,
    new: Option<&'a str>,
    what: String,
    lossless: bool,
}

impl Conversion {
    pub(crate) fn of(map: &str, step: &Converting<'_>) -> Self {
        let how = match step.derive() {
            Ok(Some(derived)) => How::Derived(Box::new(derived)),
            Ok(None) => How::ByHand(implementation(map, step)),
            Err(problems) => How::Open(problems),
        };
        Self { map: map.to_owned(), from: step.epoch.from.to_string(), to: step.epoch.to.to_string(), how }
    }

    /// A line for each member that does not stay as it is, and what else has to be known.
    pub(crate) fn human(&self, indent: &str) -> String {
        let mut out = String::new();
        match &self.how {
            How::Derived(derived) => {
                let changed = derived.members.iter().filter(|member| !member.is_kept());
                let rows: Vec<_> =
                    changed.map(|member| ["member".to_owned(), path(member), member.to_string()]).collect();
                out.push_str(&columns(indent, &rows));
                let kept = derived.members.iter().filter(|member| member.is_kept()).count();
                if kept > 0 {
                    _ = writeln!(out, "{indent}members that stay as they are: {kept}");
                }
                if let Some(collide) = derived.stage.collide {
                    let what = match collide {
                        Collide::Refuse => "the upgrade does not happen",
                        Collide::Sum => "counts are added up, and of the rest one stays",
                        Collide::KeepOne => "one of them stays",
                    };
                    _ = writeln!(out, "{indent}entries whose keys become one: {what}");
                }
                let back = match derived.is_lossless() {
                    _ if derived.stage.inverse().is_none() => "a roll-back returns to the entries as they were left",
                    _ if derived
                        .members
                        .iter()
                        .any(|member| member.old.is_none() && member.path().starts_with("key")) =>
                    {
                        "a roll-back carries back what new programs wrote, to keys that the old layout has a place for"
                    }
                    true => "a roll-back carries back what new programs wrote",
                    false => "a roll-back carries back what new programs wrote, but for members that lost something",
                };
                _ = writeln!(out, "{indent}{back}");
            }
            How::ByHand(line) => {
                _ = writeln!(out, "{indent}by hand: the daemon needs `{line}`, and does not compile without it");
            }
            How::Open(problems) => {
                for question in &problems.questions {
                    _ = writeln!(out, "{indent}open: {question}");
                }
                for mistake in &problems.mistakes {
                    _ = writeln!(out, "{indent}wrong: {mistake}");
                }
            }
        }
        out
    }

    /// In a line: what becomes of each member that does not stay as it is.
    pub(crate) fn line(&self) -> String {
        match &self.how {
            How::Derived(derived) => {
                let changed = derived.members.iter().filter(|member| !member.is_kept());
                changed.map(|member| format!("{}: {member}", path(member))).collect::<Vec<_>>().join("; ")
            }
            How::ByHand(line) => format!("by hand: {line}"),
            How::Open(problems) => {
                let questions = problems.questions.iter().map(|question| format!("open: {question}"));
                let mistakes = problems.mistakes.iter().map(|mistake| format!("wrong: {mistake}"));
                questions.chain(mistakes).collect::<Vec<_>>().join("; ")
            }
        }
    }

    pub(crate) fn json(&self) -> ConversionJson<'_> {
        let nothing = ConversionJson {
            by_hand: false,
            lossless: false,
            collide: None,
            members: Vec::new(),
            problems: Vec::new(),
        };
        match &self.how {
            How::Derived(derived) => ConversionJson {
                lossless: derived.is_lossless(),
                collide: derived.stage.collide.map(Collide::name),
                members: derived
                    .members
                    .iter()
                    .map(|member| MemberJson {
                        old: member.old.as_deref(),
                        new: member.new.as_deref(),
                        what: member.to_string(),
                        lossless: member.lossless,
                    })
                    .collect(),
                ..nothing
            },
            How::ByHand(_) => ConversionJson { by_hand: true, ..nothing },
            How::Open(problems) => {
                let questions = problems.questions.iter().map(ToString::to_string);
                let problems = questions.chain(problems.mistakes.iter().map(ToString::to_string)).collect();
                ConversionJson { problems, ..nothing }
            }
        }
    }
}

fn path(member: &MemberPlan) -> String {
    let path = member.path();
    path.strip_prefix("value.").unwrap_or(path).to_owned()
}

/// What a conversion by hand implements. The generated module calls the types of each map `Key` and `Value`.
fn implementation(map: &str, step: &Converting<'_>) -> String {
    let digest = step.epoch.from.to_string();
    format!("impl maplock::Migrate<previous::v{}::Value> for {map}::Value", &digest[..4])
}
