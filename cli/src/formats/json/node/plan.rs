//! What an upgrade would do.

use maplock::layout::MapDef;
use serde_json::json;

use super::object;
use crate::error::Error;
use crate::formats::json::to_json;
use crate::node::Foreseen;

/// As [`maplock::Plan::to_json`], with `denied`, a list of maps, `samples` and `notes`.
pub(super) fn render(told: &Foreseen) -> Result<String, Error> {
    let mut document = told.plan.to_json();
    let denied: Vec<_> = told.denied.iter().map(|denied| &denied.map).collect();
    document["denied"] = json!(denied);
    let of = |def: &MapDef, key: &[u8], value: &[u8]| {
        let key = object(def.key.as_deref(), "key", key);
        json!({ "key": key, "value": object(def.value.as_deref(), "value", value) })
    };
    let samples = told.samples.iter().map(|samples| {
        let entries = samples.entries.iter().map(|sample| {
            let old = of(&samples.old, &sample.key, &sample.value);
            match &sample.becomes {
                Ok(entries) => {
                    let new: Vec<_> = entries.iter().map(|(key, value)| of(&samples.new, key, value)).collect();
                    json!({ "old": old, "new": new })
                }
                Err(problem) => json!({ "old": old, "problem": problem }),
            }
        });
        (samples.map.clone(), json!(entries.collect::<Vec<_>>()))
    });
    document["samples"] = samples.collect();
    document["notes"] = json!(told.notes);
    to_json(&document)
}
