//! What an upgrade would do.

use maplock::internals::rehearse::{Kind, Rehearsed, Untried, WayBack};
use maplock::layout::MapDef;
use serde_json::{Value, json};

use super::object;
use crate::error::Error;
use crate::formats::json::to_json;
use crate::node::Foreseen;

/// As [`maplock::Plan::to_json`], with `fails` (true if the exit code is 100), `denied`, a list of maps, `kept_then`, `samples` and `notes`;
/// and `rehearsed` if that was asked for, by map.
pub(super) fn render(told: &Foreseen) -> Result<String, Error> {
    let mut document = told.plan.to_json();
    let denied: Vec<_> = told.denied.iter().map(|denied| &denied.map).collect();
    document["fails"] = json!(told.fails());
    document["denied"] = json!(denied);
    // Of `kept`, where so many are kept as `--keep` says.
    document["kept_then"] = json!(told.kept_then);
    let samples = told.samples.iter().map(|samples| {
        let entries = samples.entries.iter().map(|sample| {
            let old = entry(&samples.old, &sample.key, &sample.value);
            match &sample.becomes {
                Ok(entries) => {
                    let new: Vec<_> = entries.iter().map(|(key, value)| entry(&samples.new, key, value)).collect();
                    json!({ "old": old, "new": new })
                }
                Err(problem) => json!({ "old": old, "problem": problem }),
            }
        });
        (samples.map.clone(), json!(entries.collect::<Vec<_>>()))
    });
    document["samples"] = samples.collect();
    if let Some(rehearsal) = &told.rehearsal {
        document["rehearsed"] = rehearsal.maps.iter().map(|map| (map_of(map).to_owned(), rehearsed(map))).collect();
    }
    document["notes"] = json!(told.notes);
    to_json(&document)
}

/// A key and a value by their members.
fn entry(def: &MapDef, key: &[u8], value: &[u8]) -> Value {
    let key = object(def.key.as_deref(), "key", key);
    json!({ "key": key, "value": object(def.value.as_deref(), "value", value) })
}

fn map_of(map: &Result<Rehearsed, Untried>) -> &str {
    match map {
        Ok(rehearsed) => &rehearsed.map,
        Err(untried) => &untried.map,
    }
}

fn rehearsed(map: &Result<Rehearsed, Untried>) -> Value {
    let of = match map {
        Ok(of) => of,
        Err(untried) => return json!({ "untried": untried.why }),
    };
    let examples = of.examples.iter().map(|example| {
        let pair = |def: &MapDef, (key, value): &(Vec<u8>, Vec<u8>)| entry(def, key, value);
        json!({
            "kind": example.kind.name(),
            "old": pair(&of.old, &example.old),
            "new": example.becomes.as_ref().ok().map(|all| all.iter().map(|new| pair(&of.new, new)).collect::<Vec<_>>()),
            "problem": example.becomes.as_ref().err(),
            "back": example.back.as_ref().map(|back| pair(&of.old, back)),
            "other_key": example.other.as_ref().map(|key| object(of.old.key.as_deref(), "key", key)),
        })
    });
    let members = match &of.back {
        WayBack::Tried { members, .. } => json!(members),
        WayBack::Same => json!({}),
        WayBack::None => Value::Null,
    };
    let mut told = json!({
        "untried": null,
        "summary": of.summary(),
        "fails": of.fails(),
        "entries": of.entries,
        "converted": of.is_converted,
        "returns": of.is_return,
        "no_room": of.no_room,
        "lost_members": members,
        "seconds": of.time.as_secs_f64(),
        "examples": examples.collect::<Vec<_>>(),
    });
    for kind in Kind::ALL {
        told[kind.name()] = json!(of.count(kind));
    }
    if of.back == WayBack::None {
        told[Kind::Lost.name()] = Value::Null;
    }
    told
}
