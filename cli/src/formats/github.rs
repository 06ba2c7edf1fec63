//! GitHub's workflow commands: an annotation for each finding, on the line that a reviewer looks at.
//!
//! <https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions#setting-an-error-message>

use super::Format;
#[cfg(target_os = "linux")]
use super::Node;
#[cfg(target_os = "linux")]
use super::notices::in_repository;
use super::notices::{self, NOT_DONE, Notice, Severity, Spot};
#[cfg(target_os = "linux")]
use crate::node::Foreseen;
use crate::outcome::Outcome;
#[cfg(target_os = "linux")]
use crate::project;
use crate::undone::Failure;

pub(crate) const FORMAT: Format = Format {
    name: "github",
    about: "Workflow commands that annotate lines",
    is_text: true,
    failed: Some(|Failure { undone, error }| Ok(told(None, &notices::failed(*undone, "", error)))),
    locks: Some(|outcomes| Ok(annotations(outcomes))),
    diff: Some(|outcome| Ok(annotations(std::slice::from_ref(outcome)))),
    conversions: None,
    objects: None,
    matrix: None,
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

fn annotations(outcomes: &[Outcome]) -> String {
    notices::of_all(outcomes).iter().map(|(outcome, notice)| told(Some(outcome), notice)).collect()
}

fn told(outcome: Option<&Outcome>, notice: &Notice) -> String {
    let severity = match notice.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    // What could not be done is on no line: the run is.
    let spot = (notice.id != NOT_DONE).then(|| notice.spot(outcome));
    annotation(severity, spot.as_ref(), &notice.title, &notice.message)
}

fn annotation(severity: &str, at: Option<&Spot>, title: &str, message: &str) -> String {
    let place = at.map(|at| format!("file={},line={},", property(&at.path), at.line));
    format!("::{severity} {}title={}::{}\n", place.unwrap_or_default(), property(title), data(message))
}

/// An annotation for each map that is denied, that is refused, or that loses entries or parts of them.
#[cfg(target_os = "linux")]
fn plan(told: &Foreseen) -> String {
    let mut out = String::new();
    let lines = maplock_layout::lock::Lines::of(&told.text);
    let head = told.plan.head();
    if let Some((first, rest)) = head.split_first() {
        let severity = if told.denied_whole.is_empty() { "warning" } else { "error" };
        let help = told.denied_whole.iter().flat_map(|error| &error.help);
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
        let at = at.and_then(|line| Some(Spot { path: in_repository(&file)?, line }));
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
