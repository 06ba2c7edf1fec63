//! What came of an upgrade that was tried.

use maplock_harness::{Compared, How, Phase};
use serde_json::{Value, json};

use super::object;
use crate::error::Error;
use crate::formats::json::to_json;
use crate::node::Tried;

/// An object of `fails`, `failure` (null, or `phase`, `what` and `log`), `phases`, `traffic` (null, or how often its command was started, and
/// for how many `seconds` it ran), `seed`, `again` (the command that does the same) and `logs`.
pub(super) fn render(tried: &Tried) -> Result<String, Error> {
    let outcome = &tried.outcome;
    to_json(&json!({
        "fails": outcome.fails(),
        "failure": outcome.failure.as_ref().map(|failure| {
            json!({ "phase": failure.phase, "what": failure.what, "log": failure.log })
        }),
        "phases": outcome.phases.iter().map(phase).collect::<Vec<_>>(),
        "traffic": outcome.traffic.map(|(runs, ran)| json!({ "started": runs, "seconds": ran.as_secs_f64() })),
        "seed": outcome.seed,
        "again": tried.again,
        "logs": tried.logs,
    }))
}

fn phase(phase: &Phase) -> Value {
    json!({
        "what": phase.what,
        "has_traffic": phase.has_traffic,
        "generation": phase.generation,
        "seconds": phase.took.as_secs_f64(),
        "killed": phase.killed.map(|killed| {
            json!({ "release": if killed.is_old { "old" } else { "new" }, "after": killed.after.as_secs_f64(), "when": killed.when.words() })
        }),
        "maps": phase.maps.iter().map(map).collect::<Vec<_>>(),
        // Of a roll-back, its own.
        "report": phase.report,
    })
}

fn map(map: &Compared) -> Value {
    let (compared, counts, written, why) = match &map.how {
        How::Exactly => ("exactly", None, None, None),
        How::UnderTraffic { counts, written } => ("under traffic", Some(counts), Some(written), None),
        How::Not(why) => ("not", None, None, Some(why)),
    };
    let value = |bytes: &Vec<u8>| object(map.def.value.as_deref(), "value", bytes);
    let examples = map.examples.iter().map(|example| {
        json!({
            "members": example.members,
            "key": object(map.def.key.as_deref(), "key", &example.key),
            // One for each CPU.
            "expected": example.expected.iter().map(value).collect::<Vec<_>>(),
            "found": example.found.as_ref().map(|found| found.iter().map(value).collect::<Vec<_>>()),
        })
    });
    json!({
        "map": map.map,
        "was": map.was,
        "disposition": map.disposition.name(),
        "before": map.entries.0,
        "after": map.entries.1,
        "compared": compared,
        "counts": counts,
        "not_compared": written,
        "why": why,
        "fails": map.fails(),
        "kept": map.kept,
        "new": map.new,
        "gone": map.gone,
        "changed": map.changed,
        "fell": map.fell,
        "uncertain": map.uncertain,
        "may_go": map.may_go,
        "excepted": map.is_excepted,
        "examples": examples.collect::<Vec<_>>(),
    })
}
