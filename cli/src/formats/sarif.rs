//! SARIF 2.1.0, for code scanning.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use maplock_layout::rules;
use serde_json::{Value, json};

use super::notices::{self, Fingerprints, NOT_DONE, Notice, OTHERS, Severity};
use super::{Format, page};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::undone::Failure;

pub(crate) const FORMAT: Format = Format {
    name: "sarif",
    about: "SARIF 2.1.0, for code scanning",
    failed: Some(failed),
    locks: Some(render),
    diff: Some(|outcome| render(std::slice::from_ref(outcome))),
    ..Format::OF_LOCKS
};

fn failed(Failure { undone, error }: &Failure<'_>) -> Result<String, Error> {
    document(&[(None, notices::failed(*undone, "", error))])
}

fn render(outcomes: &[Outcome]) -> Result<String, Error> {
    let told = notices::of_all(outcomes).into_iter().map(|(outcome, notice)| (Some(outcome), notice));
    document(&told.collect::<Vec<_>>())
}

fn document(told: &[(Option<&Outcome>, Notice)]) -> Result<String, Error> {
    let mut ids = Vec::new();
    let mut prints = Fingerprints::default();
    let mut results = Vec::new();
    let mut notifications = Vec::new();
    for (outcome, notice) in told {
        let index = ids.iter().position(|id| *id == notice.id).unwrap_or_else(|| {
            ids.push(notice.id);
            ids.len() - 1
        });
        if notice.id == NOT_DONE {
            let text = format!("{}\n{}", notice.title, notice.message);
            notifications.push(json!({ "level": "error", "message": { "text": text } }));
        }
        let spot = notice.spot(*outcome);
        results.push(json!({
            "ruleId": notice.id,
            "ruleIndex": index,
            "level": level(notice.severity),
            "message": { "text": format!("{}\n{}", notice.title, notice.message) },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": uri(&spot.path), "uriBaseId": "%SRCROOT%" },
                "region": { "startLine": spot.line },
            } }],
            "partialFingerprints": { "maplock/v1": prints.of(*outcome, notice) },
            "properties": { "map": notice.map, "path": notice.path },
        }));
    }
    let run = json!({
        "tool": { "driver": {
            "name": "maplock",
            "version": env!("CARGO_PKG_VERSION"),
            "rules": ids.into_iter().map(rule).collect::<Vec<_>>(),
        } },
        "invocations": [{
            "executionSuccessful": notifications.is_empty(),
            "toolExecutionNotifications": notifications,
        }],
        "results": results,
    });
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    });
    Ok(format!("{document}\n"))
}

/// What a rule is, with its page; of what is no rule, a sentence.
fn rule(id: &str) -> Value {
    match rules::find(id) {
        Some(rule) => {
            let page = page::of_rule(rule);
            json!({
                "id": id,
                "shortDescription": { "text": rule.purpose },
                "help": { "text": page, "markdown": page },
                "properties": { "tags": [rule.tier.name()] },
            })
        }
        None => {
            let about = OTHERS.iter().find(|(other, _)| *other == id).map_or(id, |(_, about)| about);
            json!({ "id": id, "shortDescription": { "text": about } })
        }
    }
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// A relative reference (RFC 3986): what may stand in a path stays, all else is escaped.
fn uri(path: &str) -> String {
    let escaped = path.bytes().map(|byte| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_stand_in_a_reference_is_escaped() {
        assert_eq!(uri("bpf/my maps/a:b%.h"), "bpf/my%20maps/a%3Ab%25.h");
    }
}
