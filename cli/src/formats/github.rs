//! GitHub's workflow commands: an annotation for each finding, on the line that a reviewer looks at.
//!
//! <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions#setting-an-error-message>

use std::path::Path;

use maplock_codegen::SourceLine;
use maplock_codegen::report::Command;
use maplock_layout::map_type::Fate;
use maplock_layout::rules::{self, Level};
use maplock_layout::{Disposition, Risk};

use super::Format;
#[cfg(target_os = "linux")]
use super::Node;
use crate::conversion::Conversion;
use crate::error::Error;
#[cfg(target_os = "linux")]
use crate::node::Foreseen;
use crate::outcome::{Ending, Outcome};
use crate::project;
use crate::undone::Failure;

pub(crate) const FORMAT: Format = Format {
    name: "github",
    about: "Workflow commands that annotate lines",
    is_text: true,
    failed: Some(|Failure { undone, error }| Ok(failed(undone.words(), "", error))),
    locks: Some(|outcomes| Ok(outcomes.iter().map(annotations).collect())),
    diff: Some(|outcome| Ok(annotations(outcome))),
    conversions: None,
    objects: None,
    rule: None,
    rules: None,
    #[cfg(target_os = "linux")]
    node: Node {
        plan: Some(|plan| Ok(self::plan(plan))),
        pins: None,
        entries: None,
        returned: None,
        recovered: None,
        confirmed: None,
        fleet: None,
        tried: None,
        live: None,
    },
};

/// What could not be done: on no line, for none was reached.
fn failed(words: &str, whose: &str, error: &Error) -> String {
    let message = std::iter::once(format!("{whose}{words}: {error}"));
    let message: Vec<_> = message.chain(error.cause()).chain(error.help.iter().cloned()).collect();
    annotation("error", None, &format!("maplock: {words}"), &message.join("\n"))
}

fn annotations(outcome: &Outcome) -> String {
    let mut out = String::new();
    if let (Ending::Disagrees, Some(error)) = (&outcome.ending, &outcome.undone) {
        return failed("locks disagree", &format!("{}: ", outcome.lock), error);
    }
    if let (Ending::Undone(undone), Some(error)) = (&outcome.ending, &outcome.undone) {
        let against = outcome.against.as_ref().map_or_else(String::new, |against| format!(" against {against}"));
        return failed(undone.words(), &format!("{}{against}: ", outcome.lock), error);
    }
    let findings = outcome.findings();
    let told = findings.iter().filter(|finding| {
        (finding.level != Level::Allow || finding.accepted.is_some()) && finding.consequence_of.is_none()
    });
    let (mut commanded, mut reasoned) = (Vec::new(), Vec::new());
    for finding in told {
        let verdict = outcome.comparison.maps.iter().find(|verdict| verdict.map == finding.map);
        let is_risk = verdict.is_some_and(|verdict| {
            verdict.loses_entries() || verdict.misread().any(|reading| reading.risk == Risk::Misread)
        });
        let severity = match finding.accepted {
            Some(_) if is_risk => "warning",
            Some(_) => "notice",
            None if finding.is_break() => "error",
            None => "warning",
        };
        let mut message = finding.message();
        if let Some(way) = finding.accepted {
            message.push_str(&format!("\naccepted: {way}"));
            // What is said of the whole map is said once.
            if let Some(verdict) = verdict.filter(|_| !reasoned.contains(&&finding.map)) {
                reasoned.push(&finding.map);
                if let Some(reason) = &verdict.reason {
                    message.push_str(&format!(": \"{reason}\""));
                }
                outcome.answers(verdict).iter().for_each(|answer| message.push_str(&format!("\n{answer}")));
                for line in Outcome::readings(verdict).iter().chain(&verdict.eviction) {
                    message.push_str(&format!("\n{line}"));
                }
                let becomes = match (verdict.disposition, &verdict.fate) {
                    _ if verdict.loses_entries() => Some("its entries are given up"),
                    (Disposition::Migrate, Fate::Converted) => Some("every entry is converted"),
                    (Disposition::Migrate | Disposition::Grow, _) => Some("every entry is copied"),
                    (_, fate) => fate.words(),
                };
                message.extend(becomes.map(|becomes| format!("\n{becomes}")));
            }
        }
        // The answer is about the whole map, and is given once.
        if finding.is_break() && !commanded.contains(&&finding.map) {
            commanded.push(&finding.map);
            for Command { purpose, line, .. } in outcome.commands(&finding.map) {
                message.push_str(&format!("\n{purpose}: {line}"));
            }
        }
        if finding.rule == &rules::UNMERGED_COUNTER {
            for Command { purpose, line, .. } in outcome.merging(&finding.map) {
                message.push_str(&format!("\n{purpose}: {line}"));
            }
        }
        let title = format!("map {}: {}", finding.map, finding.rule.id);
        out.push_str(&annotation(severity, outcome.place(finding).as_ref(), &title, &message));
    }
    // Another answer to what was accepted before: nothing is found any more.
    let accepted = outcome.changes.iter().filter(|change| change.kind == "accepted");
    for change in accepted.filter(|change| !reasoned.contains(&&change.map)) {
        let mut message = change.what.clone();
        let answers = change.conversion.iter().flat_map(Conversion::answers);
        answers.for_each(|answer| message.push_str(&format!("\n{answer}")));
        out.push_str(&annotation("notice", None, &format!("map {}: accepted", change.map), &message));
    }
    if let Some(untold) = outcome.comparison.untold() {
        let maps = outcome.comparison.maps.iter().filter(|verdict| verdict.untold.is_some());
        let maps: Vec<_> = maps.map(|verdict| format!("{}: {}", verdict.map, Outcome::why(outcome, verdict))).collect();
        out.push_str(&annotation("notice", None, &format!("{}: {untold}", outcome.lock), &maps.join("\n")));
    }
    if outcome.ending == Ending::OutOfDate {
        let file = outcome.old.file.as_ref().map(|file| file.to_string_lossy().into_owned());
        let at = file.map(|file| SourceLine { file, line: 1 });
        let mut message = outcome.headline();
        for change in &outcome.changes {
            message.push_str(&format!("\n{} {}: {}", change.kind, change.map, change.what));
        }
        out.push_str(&annotation("error", at.as_ref(), &format!("{} is out of date", outcome.lock), &message));
    }
    out
}

fn annotation(severity: &str, at: Option<&SourceLine>, title: &str, message: &str) -> String {
    let place = at.and_then(|at| {
        let dir = Path::new(&at.file).parent()?;
        Some(format!("file={},line={},", property(&in_repository(&at.file, dir)?), at.line))
    });
    format!("::{severity} {}title={}::{}\n", place.unwrap_or_default(), property(title), data(message))
}

/// A path of the repository with `/`, as annotations name it.
fn in_repository(file: &str, dir: &Path) -> Option<String> {
    let root = project::repository(dir)?;
    let file = project::absolute(Path::new(file));
    let inside = file.strip_prefix(root).ok()?;
    Some(inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"))
}

/// An annotation for each map that is denied, that is refused, or that loses entries or parts of them.
#[cfg(target_os = "linux")]
fn plan(told: &Foreseen) -> String {
    let mut out = String::new();
    let lines = maplock_layout::lock::Lines::of(&told.text);
    let head = told.plan.head();
    if let Some((first, rest)) = head.split_first() {
        let severity = if told.not_there.is_some() { "error" } else { "warning" };
        let help = told.not_there.iter().flat_map(|error| &error.help);
        let message: Vec<_> = rest.iter().chain(help).map(String::as_str).collect();
        out.push_str(&annotation(severity, None, first, &message.join("\n")));
    }
    for map in told.rehearsal.iter().flat_map(|rehearsal| &rehearsal.maps) {
        let (severity, map, said) = match map {
            Ok(of) if of.fails() => ("error", &of.map, of.summary()),
            Ok(of) => ("notice", &of.map, of.summary()),
            Err(untried) => ("warning", &untried.map, untried.why.clone()),
        };
        out.push_str(&annotation(severity, None, &format!("map {map}: rehearsed"), &said));
    }
    if let Some(untold) = told.plan.untold() {
        let maps = told.plan.maps.iter().filter(|map| map.untold().is_some());
        let maps: Vec<_> = maps.map(|map| format!("{}: {}", map.map, map.why)).collect();
        out.push_str(&annotation("notice", None, &untold, &maps.join("\n")));
    }
    for map in &told.plan.maps {
        let denied = told.denied(&map.map);
        let parts: Vec<_> = map.action.loss().map(|loss| loss.words(&map.map)).unwrap_or_default();
        let parts: String = parts.iter().map(|part| format!("; {part}")).collect();
        let severity = match denied {
            Some(_) => "error",
            None if map.disposition() == maplock_layout::Disposition::Refuse
                || map.action.loses_entries()
                || !parts.is_empty() =>
            {
                "warning"
            }
            None => continue,
        };
        let at = lines.find(&map.map, &map.map).and_then(|line| u64::try_from(line).ok());
        let file = project::absolute(&told.lock).to_string_lossy().into_owned();
        let at = at.map(|line| SourceLine { file, line });
        let help = denied.map_or_else(String::new, |error| error.help.iter().map(|help| format!("\n{help}")).collect());
        let title = format!("map {}: {}", map.map, map.disposition());
        out.push_str(&annotation(severity, at.as_ref(), &title, &format!("{}{parts}{help}", map.why)));
    }
    out
}

/// `escapeData` of actions/toolkit.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// `escapeProperty` of actions/toolkit.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        let line = annotation("error", None, "a:b,c%", "50%\r\n::error::x");
        assert_eq!(line, "::error title=a%3Ab%2Cc%25::50%25%0D%0A::error::x\n");
    }
}
