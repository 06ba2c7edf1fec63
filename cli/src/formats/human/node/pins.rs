//! What is pinned.

use std::fmt::Write as _;

use maplock::Recovered;
use maplock::internals::inspect::{Generations, Inventory, Kept, Observed};

use crate::error::Error;
use crate::formats::human::structs;
use crate::formats::table::{columns, with_head};
use crate::node::{Link, Pins, Program, names};
use crate::outcome::count;
use crate::terminal::{BOLD, CAUTION};

pub(super) fn render(pins: &Pins) -> Result<String, Error> {
    let found = &pins.found;
    let live = &found.live;
    let mut out = format!("{BOLD}{}{BOLD:#}: {}\n", live.dir.display(), summary(live));
    maps(live, &mut out);
    links(&pins.links, &mut out);
    programs(&pins.programs, &mut out);
    beside(found, &mut out);
    for (inventory, whose) in
        std::iter::once((live, "")).chain(found.kept.iter().map(|kept| (&kept.inventory, "kept ")))
    {
        for missing in &inventory.missing {
            let (map, id, dir) = (&missing.map, missing.id, inventory.dir.display());
            let remedy = missing.remedy(&inventory.dir);
            _ = writeln!(
                out,
                "{CAUTION}warning{CAUTION:#}{BOLD}:{BOLD:#} somebody removed the pin of map `{map}` (id {id}) from the {whose}generation \
                 at {dir}; {remedy}"
            );
        }
    }
    for warning in &live.warnings {
        _ = writeln!(out, "{CAUTION}warning{CAUTION:#}{BOLD}:{BOLD:#} {warning}");
    }
    for map in live.maps.values() {
        if let Some(problem) = &map.observed.problem {
            _ = writeln!(out, "{CAUTION}warning{CAUTION:#}{BOLD}:{BOLD:#} map `{}`: {problem}", map.observed.pin);
        }
    }
    if pins.with_layouts && !live.maps.is_empty() {
        let said = |map: &Observed| {
            let version = match map.def.version {
                0 => String::new(),
                version => format!(", version {version}"),
            };
            format!("{} entries{version}, digest {}", entries(map), map.digest())
        };
        let maps = live.maps.values().map(|map| (&map.observed.def, said(&map.observed)));
        _ = write!(out, "\n{}", structs::of_maps(maps)?);
    }
    Ok(out)
}

/// `4 maps, 1 link; generation 2`
fn summary(inventory: &Inventory) -> String {
    let generation = match &inventory.meta {
        Some(meta) => format!("generation {}", meta.generation),
        None if inventory.warnings.is_empty() => "not made by maplock".to_owned(),
        None => "of which its meta map tells nothing".to_owned(),
    };
    format!("{}; {generation}", contents(inventory))
}

/// `4 maps, 1 link`
fn contents(inventory: &Inventory) -> String {
    let mut parts = vec![count(inventory.map_names().count(), "map")];
    for (number, noun) in [(inventory.links.len(), "link"), (inventory.progs.len(), "program")] {
        if number > 0 {
            parts.push(count(number, noun));
        }
    }
    parts.join(", ")
}

/// A table below a line of air.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>, out: &mut String) {
    if !rows.is_empty() {
        _ = write!(out, "\n{}", with_head(head, rows));
    }
}

fn maps(inventory: &Inventory, out: &mut String) {
    let rows = inventory.maps.values().map(|map| {
        let map = &map.observed;
        [
            map.pin.clone(),
            if map.frozen { format!("{}, frozen", map.def.map_type) } else { map.def.map_type.to_string() },
            map.def.key_size.to_string(),
            map.def.value_size.to_string(),
            entries(map),
            names::bytes(map.memory),
            match map.def.version {
                0 => map.source.name().to_owned(),
                version => format!("{}, version {version}", map.source.name()),
            },
            map.id.to_string(),
            map.digest().short().to_string(),
        ]
    });
    let head = ["map", "type", "key", "value", "entries", "memory", "layout", "id", "digest"];
    table(head, rows.collect(), out);
}

/// `12/64`, or `?/64` if they can't be counted.
fn entries(map: &Observed) -> String {
    match map.entries {
        Some(entries) => format!("{entries}/{}", map.def.max_entries),
        None => format!("?/{}", map.def.max_entries),
    }
}

fn links(links: &[Link], out: &mut String) {
    let rows = links.iter().map(|link| {
        let id = link.program_id;
        let program = link.program.as_ref().map_or_else(|| format!("id {id}"), |name| format!("{name}, id {id}"));
        [link.pin.clone(), link.kind.clone(), link.id.to_string(), link.target.clone(), program]
    });
    table(["link", "type", "id", "attached to", "runs"], rows.collect(), out);
}

fn programs(programs: &[Program], out: &mut String) {
    let rows = programs.iter().map(|of| [of.pin.clone(), of.kind.clone(), of.id.to_string(), of.name.clone()]);
    table(["program", "type", "id", "name"], rows.collect(), out);
}

/// The other generations, and what is somebody else's.
fn beside(found: &Generations, out: &mut String) {
    let mut rows = Vec::new();
    let dir = found.live.dir.display();
    let one = found.kept.len() == 1;
    for kept in &found.kept {
        let Kept { inventory, is_newer, is_next, way_back } = kept;
        let left = if *is_newer && !one { ", left by a roll-back" } else { "" };
        rows.push(["kept".to_owned(), format!("{}: {}{left}", inventory.dir.display(), summary(inventory))]);
        let leads = if *is_next { "a roll-back leads to" } else { "a way leads to" };
        rows.push([String::new(), format!("{leads} {way_back}")]);
        let command = match (is_next, way_back.generation) {
            (true, _) => Some(format!("maplock rollback {dir}")),
            (false, Some(number)) => Some(format!("maplock rollback {dir} --to {number}")),
            (false, None) => None,
        };
        let remove = if one { format!("; remove it: maplock confirm {dir}") } else { String::new() };
        if let Some(command) = command {
            rows.push([String::new(), format!("return to it: {command}{remove}")]);
        }
    }
    if found.kept.len() > 1 {
        rows.push([String::new(), format!("remove all that are kept: maplock confirm {dir}")]);
    }
    if found.has_returned {
        let what =
            "a start completed a roll-back that was killed: the next `maplock rollback` says so, and goes nowhere";
        rows.push([String::new(), what.to_owned()]);
    }
    if let Some(staged) = &found.staged {
        rows.push(["staged".to_owned(), format!("{}: {}", staged.dir.display(), contents(staged))]);
    }
    match found.next {
        Recovered::Nothing => {}
        Recovered::Completed if !found.needs_code.is_empty() => {
            let maps = format!("`{}`", found.needs_code.join("`, `"));
            rows.push([
                String::new(),
                format!("an upgrade is at its commit, or ended there; if it ended, its own daemon, which has the code for {maps}, completes it"),
            ]);
            rows.push([
                String::new(),
                format!("any other start takes it back, and so does `maplock rollback`: what its programs wrote to {maps} is lost then"),
            ]);
        }
        Recovered::Completed => rows.push([
            String::new(),
            "an upgrade is at its commit, or ended there; if it ended, the next one completes it".to_owned(),
        ]),
        Recovered::Discarded => rows.push([
            String::new(),
            "an upgrade runs, or ended before its commit; if it ended, the next one takes it back".to_owned(),
        ]),
    }
    if found.live.meta.is_some() && !found.foreign.is_empty() {
        let kinds = found.foreign.iter().map(|name| match found.live.kind_of(name) {
            Some(kind) => format!("{name} ({kind})"),
            None => name.clone(),
        });
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        rows.push(["foreign".to_owned(), format!("{kinds}; no upgrade touches them")]);
    }
    if !rows.is_empty() {
        _ = write!(out, "\n{}", columns("", &rows));
    }
}
