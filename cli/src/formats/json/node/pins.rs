//! What is pinned.

use maplock::Recovered;
use maplock::internals::inspect::{Inventory, Kept, Observed};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::formats::json::layouts::{LayoutJson, is_zero, layout_json, limit};
use crate::formats::json::to_json;
use crate::node::{Link, Pins, Program};

#[derive(Serialize)]
struct MapJson<'a> {
    pin: &'a str,
    id: u32,
    #[serde(rename = "type")]
    map_type: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    map_extra: u64,
    #[serde(skip_serializing_if = "is_zero")]
    version: u32,
    entries: Option<u64>,
    memory: u64,
    frozen: bool,
    layout_from: &'static str,
    digest: String,
    /// What the lock of its generation has for it.
    locked_digest: Option<String>,
    key: Option<LayoutJson<'a>>,
    value: Option<LayoutJson<'a>>,
    problem: Option<&'a str>,
}

pub(super) fn render(pins: &Pins) -> Result<String, Error> {
    let found = &pins.found;
    let live = &found.live;
    limit(live.maps.values().map(|map| &map.observed.def))?;
    let foreign = found.foreign.iter().map(|name| json!({ "pin": name, "kind": live.kind_of(name) }));
    let foreign: Vec<_> = foreign.collect();
    let maps: Vec<_> = live.maps.values().map(|map| map_json(&map.observed)).collect();
    to_json(&json!({
        "dir": live.dir,
        "generation": live.meta.as_ref().map(|meta| meta.generation),
        "maps": maps,
        "links": links(&pins.links),
        "programs": programs(&pins.programs),
        "missing": missing(live),
        "foreign": foreign,
        // The newest first; of each, where a return to it leads, and whether that is where the next roll-back does.
        "kept": found.kept.iter().map(kept).collect::<Vec<_>>(),
        "staged": found.staged.as_ref().map(generation),
        // What the next upgrade, roll-back or confirmation does first, unless an upgrade runs.
        "next": match found.next {
            Recovered::Nothing => Value::Null,
            Recovered::Completed => json!("complete"),
            Recovered::Discarded => json!("discard"),
        },
        // Where that is to complete an upgrade: maps for which it takes the code of its daemon. All others take it back.
        "needs_code": found.needs_code,
        // What a roll-back leads to.
        "way_back": found.way_back(),
        // True where the next roll-back only says that a start has completed the one before.
        "has_returned": found.has_returned,
        "warnings": live.warnings,
    }))
}

fn kept(kept: &Kept) -> Value {
    let mut told = generation(&kept.inventory);
    told["is_newer"] = json!(kept.is_newer);
    told["is_next"] = json!(kept.is_next);
    told["way_back"] = json!(kept.way_back);
    told
}

fn missing(inventory: &Inventory) -> Vec<Value> {
    let missing = inventory.missing.iter();
    missing.map(|missing| json!({ "map": missing.map, "id": missing.id, "lives": missing.lives })).collect()
}

fn map_json(map: &Observed) -> MapJson<'_> {
    MapJson {
        pin: &map.pin,
        id: map.id,
        map_type: map.def.map_type.to_string(),
        key_size: map.def.key_size,
        value_size: map.def.value_size,
        max_entries: map.def.max_entries,
        flags: map.def.flags,
        map_extra: map.def.map_extra,
        version: map.def.version,
        entries: map.entries,
        memory: map.memory,
        frozen: map.frozen,
        layout_from: map.source.name(),
        digest: map.digest().to_string(),
        locked_digest: map.said.map(|digest| digest.to_string()),
        key: map.def.key.as_deref().map(layout_json),
        value: map.def.value.as_deref().map(layout_json),
        problem: map.problem.as_deref(),
    }
}

fn links(links: &[Link]) -> Vec<Value> {
    let links = links.iter().map(|link| {
        json!({
            "pin": link.pin,
            "id": link.id,
            "type": link.kind,
            "attached_to": link.target,
            "program_id": link.program_id,
            "program": link.program,
        })
    });
    links.collect()
}

fn programs(programs: &[Program]) -> Vec<Value> {
    let programs = programs.iter().map(|of| {
        json!({
            "pin": of.pin,
            "id": of.id,
            "type": of.kind,
            "name": of.name,
            "map_ids": of.map_ids,
        })
    });
    programs.collect()
}

fn generation(inventory: &Inventory) -> Value {
    json!({
        "dir": inventory.dir,
        "generation": inventory.meta.as_ref().map(|meta| meta.generation),
        "missing": missing(inventory),
        "maps": inventory.maps.keys().collect::<Vec<_>>(),
        "links": inventory.links.keys().collect::<Vec<_>>(),
    })
}
