//! JUnit's XML, which most CI systems show as tests: a test for each map.
//!
//! <https://github.com/testmoapp/junitxml> describes the form that they have in common.

use std::fmt::Write as _;

use maplock_layout::{Disposition, Finding};

use super::Format;
use super::xml::escaped;
use crate::error::Error;
use crate::outcome::{Ending, Outcome};
use crate::undone::Failure;
use crate::verbs::on_nodes::Row;

pub(crate) const FORMAT: Format = Format {
    name: "junit",
    about: "JUnit's XML: a test for each map",
    failed: Some(failed),
    locks: Some(|outcomes| Ok(document(&outcomes.iter().map(suite).collect::<Vec<_>>()))),
    diff: Some(|outcome| Ok(document(&[suite(outcome)]))),
    ..Format::OF_LOCKS
};

/// A lock, with what was looked at.
struct Suite {
    name: String,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    ended: Ended,
}

enum Ended {
    /// What became of it.
    Well(String),
    /// In one line, and in full.
    Failed(String, String),
    /// It could not be looked at.
    Undone(String, String),
}

fn failed(Failure { undone, error }: &Failure<'_>) -> Result<String, Error> {
    Ok(document(&[Suite { name: "maplock".to_owned(), cases: vec![not_done(undone.words(), error)] }]))
}

fn not_done(words: &str, error: &Error) -> Case {
    let full: Vec<_> = error.cause().into_iter().chain(error.help.iter().cloned()).collect();
    Case { name: "compared".to_owned(), ended: Ended::Undone(format!("{words}: {error}"), full.join("\n")) }
}

fn suite(outcome: &Outcome) -> Suite {
    let against = outcome.against.as_ref().map_or_else(String::new, |against| format!(" against {against}"));
    let name = format!("{}{against}", outcome.lock);
    if let (Ending::Undone(undone), Some(error)) = (&outcome.ending, &outcome.undone) {
        return Suite { name, cases: vec![not_done(undone.words(), error)] };
    }
    let mut cases: Vec<_> = outcome.verdicts().into_iter().map(|verdict| case(outcome, verdict)).collect();
    cases.extend(outcome.on_nodes.iter().flat_map(|of| &of.rows).map(on_nodes));
    // Two objects that disagree on a map make no verdict.
    let is_alone = |finding: &&Finding| finding.is_break() && outcome.comparison.verdict(&finding.map).is_none();
    let alone = outcome.comparison.findings.iter().filter(is_alone);
    cases.extend(
        alone.map(|finding| Case { name: finding.map.clone(), ended: Ended::Failed(finding.message(), String::new()) }),
    );
    let has_failed = cases.iter().any(|case| !matches!(case.ended, Ended::Well(_)));
    let ended = match outcome.fails() && !has_failed {
        true => {
            let changes =
                outcome.changes.iter().map(|change| format!("{} {}: {}", change.kind, change.map, change.what));
            let why =
                outcome.undone.iter().flat_map(|error| error.cause().into_iter().chain(error.help.iter().cloned()));
            Ended::Failed(outcome.headline(), changes.chain(why).collect::<Vec<_>>().join("\n"))
        }
        false => Ended::Well(outcome.headline()),
    };
    cases.push(Case { name: "maps.lock".to_owned(), ended });
    Suite { name, cases }
}

fn case(outcome: &Outcome, verdict: &maplock_layout::Verdict) -> Case {
    let told = match outcome.what(verdict) {
        (disposition, Some(becomes)) => format!("{disposition}, {becomes}: {}", outcome.why(verdict)),
        (disposition, None) => format!("{disposition}: {}", outcome.why(verdict)),
    };
    let breaks: Vec<_> = outcome.comparison.of_map(&verdict.map).filter(|finding| finding.is_break()).collect();
    let one_way = outcome.one_way.iter().find(|(map, _)| *map == verdict.map);
    if let (true, Some((_, why))) = (breaks.is_empty(), one_way) {
        return Case {
            name: verdict.map.clone(),
            ended: Ended::Failed(format!("no way back without a loss: {why}"), told),
        };
    }
    let is_refused = outcome.ending == Ending::Compared && verdict.disposition == Disposition::Refuse;
    let ended = match breaks.is_empty() && !is_refused {
        true => Ended::Well(told),
        false => {
            let commands = outcome.commands(&verdict.map);
            let commands = commands.into_iter().map(|command| format!("{}: {}", command.purpose, command.line));
            let all = breaks.iter().map(|finding| format!("{}: {}", finding.rule.id, finding.message()));
            Ended::Failed(told, all.chain(outcome.way_out(verdict)).chain(commands).collect::<Vec<_>>().join("\n"))
        }
    };
    Case { name: verdict.map.clone(), ended }
}

fn on_nodes(row: &Row) -> Case {
    let told = format!("{}: {}", row.what(), row.cell.why);
    let ended = if row.fails { Ended::Failed(told, row.on()) } else { Ended::Well(told) };
    Case { name: format!("{} {}", row.map, row.short()), ended }
}

fn document(suites: &[Suite]) -> String {
    let count = |cases: &[Case], wanted: fn(&Ended) -> bool| cases.iter().filter(|case| wanted(&case.ended)).count();
    let counts = |cases: &[Case]| {
        let failures = count(cases, |ended| matches!(ended, Ended::Failed(..)));
        let errors = count(cases, |ended| matches!(ended, Ended::Undone(..)));
        (cases.len(), failures, errors)
    };
    let all = suites.iter().map(|suite| counts(&suite.cases));
    let (tests, failures, errors) = all.fold((0, 0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1, sum.2 + of.2));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"maplock\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n"
    );
    for Suite { name, cases } in suites {
        let (tests, failures, errors) = counts(cases);
        let name = escaped(name);
        _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
        );
        for case in cases {
            _ = write!(out, "    <testcase classname=\"{name}\" name=\"{}\">", escaped(&case.name));
            _ = match &case.ended {
                Ended::Well(told) => write!(out, "<system-out>{}</system-out>", escaped(told)),
                Ended::Failed(line, full) => {
                    write!(out, "<failure message=\"{}\">{}</failure>", escaped(line), escaped(full))
                }
                Ended::Undone(line, full) => {
                    write!(out, "<error message=\"{}\">{}</error>", escaped(line), escaped(full))
                }
            };
            out.push_str("</testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}
