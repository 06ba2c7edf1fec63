//! What is pinned, as JSON.

use maplock::Recovered;
use maplock::inspect::{Generations, Inventory, Observed};
use serde::Serialize;
use serde_json::{Value, json};

use super::inspect::Programs;
use super::names;
use crate::error::Error;
use crate::formats::json::layouts::{LayoutJson, layout_json, limit};
use crate::formats::json::to_json;

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
    entries: Option<u64>,
    memory: u64,
    frozen: bool,
    layout_from: &'static str,
    digest: String,
    key: Option<LayoutJson<'a>>,
    value: Option<LayoutJson<'a>>,
    problem: Option<&'a str>,
}

pub(super) fn render(found: &Generations, programs: &Programs) -> Result<String, Error> {
    let live = &found.live;
    limit(live.maps.values().map(|map| &map.observed.def))?;
    let maps: Vec<_> = live.maps.values().map(|map| map_json(&map.observed)).collect();
    to_json(&json!({
        "dir": live.dir,
        "generation": live.meta.as_ref().map(|meta| meta.generation),
        "maps": maps,
        "links": links(live, programs),
        "programs": progs(live),
        "foreign": found.foreign,
        "kept": found.kept.as_ref().map(generation),
        "staged": found.staged.as_ref().map(generation),
        // What the next upgrade, roll-back or confirmation does first, unless an upgrade runs.
        "next": match found.next {
            Recovered::Nothing => Value::Null,
            Recovered::Completed => json!("complete"),
            Recovered::Discarded => json!("discard"),
        },
        "warnings": live.warnings,
    }))
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
        entries: map.entries,
        memory: map.memory,
        frozen: map.frozen,
        layout_from: map.source.name(),
        digest: map.digest().to_string(),
        key: map.def.key.as_deref().map(layout_json),
        value: map.def.value.as_deref().map(layout_json),
        problem: map.problem.as_deref(),
    }
}

fn links(inventory: &Inventory, programs: &Programs) -> Vec<Value> {
    let links = inventory.links.iter().filter_map(|(pin, link)| Some((pin, link.info().ok()?)));
    let links = links.map(|(pin, link)| {
        json!({
            "pin": pin,
            "id": link.id,
            "type": names::link_type(link.link_type),
            "attached_to": names::target(link.target),
            "program_id": link.prog_id,
            "program": programs.name(link.prog_id),
        })
    });
    links.collect()
}

fn progs(inventory: &Inventory) -> Vec<Value> {
    let progs = inventory.progs.iter().filter_map(|(pin, prog)| Some((pin, prog.info().ok()?)));
    let progs = progs.map(|(pin, prog)| {
        json!({
            "pin": pin,
            "id": prog.id,
            "type": names::prog_type(prog.prog_type),
            "name": prog.name,
            "map_ids": prog.map_ids,
        })
    });
    progs.collect()
}

fn generation(inventory: &Inventory) -> Value {
    json!({
        "dir": inventory.dir,
        "generation": inventory.meta.as_ref().map(|meta| meta.generation),
        "maps": inventory.maps.keys().collect::<Vec<_>>(),
        "links": inventory.links.keys().collect::<Vec<_>>(),
    })
}
