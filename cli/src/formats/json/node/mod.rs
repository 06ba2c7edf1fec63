//! The verbs of the node tool.

mod entries;
mod fleet;
mod pins;
mod plan;
mod tried;

use maplock::layout::Layout;
use serde_json::{Value, json};

use super::to_json;
use crate::formats::Node;
use maplock::layout::values::members;

pub(super) const FORMS: Node = Node {
    plan: Some(plan::render),
    pins: Some(pins::render),
    entries: Some(entries::piece),
    returned: Some(|returned| match (returned.to, returned.reports.first()) {
        (None, Some(report)) => to_json(report),
        _ => to_json(&returned.reports),
    }),
    recovered: Some(|recovered| to_json(&recovered.report)),
    confirmed: Some(|confirmed| to_json(&json!({ "dir": confirmed.dir, "removed": confirmed.removed }))),
    fleet: Some(fleet::render),
    tried: Some(tried::render),
    live: Some(|live| {
        let number = live.generation.and_then(|generation| generation.number());
        let told = json!({ "dir": live.dir, "live": live.generation.is_some(), "generation": number });
        format!("{told}\n")
    }),
};

/// A key or value by its members.
fn object(layout: Option<&Layout>, name: &str, bytes: &[u8]) -> Value {
    members(layout, name, bytes).into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}
