//! Which nodes are where.

use serde_json::{Value, json};

use crate::error::Error;
use crate::fleet::Node;
use crate::formats::json::to_json;
use crate::node::{Fleet, letter};

pub(super) fn render(fleet: &Fleet) -> Result<String, Error> {
    let pinned = fleet.pinned.iter().enumerate().map(|(index, maps)| (letter(index), json!(maps)));
    to_json(&json!({
        "nodes": fleet.nodes.iter().map(|of| node(fleet, of)).collect::<Vec<_>>(),
        // What the letters stand for: of each pin, the digest of its layout.
        "pinned": pinned.collect::<serde_json::Map<_, _>>(),
    }))
}

fn node(fleet: &Fleet, node: &Node) -> Value {
    json!({
        "node": node.name,
        "generation": node.pinned.as_ref().and_then(|pinned| pinned.generation),
        "pinned": fleet.letter(node),
        "maps": node.pinned.as_ref().map(|pinned| {
            let maps = pinned.maps.iter().map(|map| {
                json!({ "pin": map.pin, "digest": map.digest, "entries": map.entries, "max_entries": map.max_entries })
            });
            maps.collect::<Vec<_>>()
        }),
        "plan": node.plan.as_ref().map(|plan| {
            let maps = plan.changes().into_iter().flat_map(|(what, maps)| {
                maps.into_iter().map(move |map| (map.map.clone(), json!(what)))
            });
            json!({
                "held_back": node.is_held_back(),
                "refused": plan.refused,
                "denied": plan.denied,
                "changes": maps.collect::<serde_json::Map<_, _>>(),
                "lost_entries": plan.lost(),
            })
        }),
        "report": node.report.as_ref().map(|report| {
            let maps = report.maps.iter().filter(|map| !map.exact).map(|map| &map.map);
            json!({
                "inexact": maps.collect::<Vec<_>>(),
                "rolled_back": report.way_back.is_some(),
                "taken_back": report.taken_back,
                "resumed": report.resumed,
                "generation": report.generation,
            })
        }),
        "unfinished": node.is_changing(),
        "failed": node.failed,
        "unread": node.unread.as_ref().map(|error| crate::formats::json::failed::error(error)),
    })
}
