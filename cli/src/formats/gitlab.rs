//! GitLab's code quality report: an issue for each notice, of which a merge request shows those that are new.
//!
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>

use serde_json::{Value, json};

use super::Format;
use super::notices::{self, Fingerprints, NOT_DONE, Notice, Severity};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::undone::Failure;

pub(crate) const FORMAT: Format = Format {
    name: "gitlab",
    about: "A code quality report for GitLab",
    failed: Some(failed),
    locks: Some(render),
    diff: Some(|outcome| render(std::slice::from_ref(outcome))),
    ..Format::OF_LOCKS
};

fn failed(Failure { undone, error }: &Failure<'_>) -> Result<String, Error> {
    let notice = notices::failed(*undone, "", error);
    Ok(format!("{}\n", Value::from(vec![issue(None, &notice, &mut Fingerprints::default())])))
}

fn render(outcomes: &[Outcome]) -> Result<String, Error> {
    let mut prints = Fingerprints::default();
    let told = notices::of_all(outcomes);
    let issues: Vec<_> = told.iter().map(|(outcome, notice)| issue(Some(outcome), notice, &mut prints)).collect();
    Ok(format!("{}\n", Value::from(issues)))
}

fn issue(outcome: Option<&Outcome>, notice: &Notice, prints: &mut Fingerprints) -> Value {
    let spot = notice.spot(outcome);
    let severity = match notice.severity {
        Severity::Error if notice.id == NOT_DONE => "blocker",
        Severity::Error => "critical",
        Severity::Warning => "minor",
        Severity::Note => "info",
    };
    json!({
        "description": format!("{}: {}", notice.title, notice.message.replace('\n', "; ")),
        "check_name": notice.id,
        "fingerprint": prints.of(outcome, notice),
        "severity": severity,
        "location": { "path": spot.path, "lines": { "begin": spot.line } },
    })
}
