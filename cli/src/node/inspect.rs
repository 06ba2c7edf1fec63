//! `maplock inspect`: what is pinned.

use std::fmt::Write as _;
use std::time::Duration;

use maplock::Recovered;
use maplock::inspect::{Generations, Inventory, Observed, generations};
use maplock::sys;

use super::args::{InspectArgs, ShortFormat};
use super::{failed, inspect_json, names};
use crate::Said;
use crate::error::Error;
use crate::formats::human::structs;
use crate::formats::table::columns;
use crate::outcome::count;
use crate::terminal::{BOLD, CAUTION, DIM};

/// How long the entries of one map may be counted.
const COUNTING: Duration = Duration::from_millis(200);

pub(super) fn run(args: &InspectArgs) -> Result<Said, Error> {
    let dir = args.dir.display();
    let mut found =
        generations(&args.dir).map_err(|error| failed(format!("could not look at the pins in {dir}"), &error))?;
    if !found.live.exists {
        return Err(Error::new(format!("there is no directory {dir}"))
            .help("give the directory of a daemon's pins, such as /sys/fs/bpf/NAME"));
    }
    found.live.count_entries(|map| maplock::transfer::count(map, COUNTING));
    let programs = Programs::of(&found.live);
    Ok(Said::well(match args.message_format {
        ShortFormat::Json => inspect_json::render(&found, &programs)?,
        ShortFormat::Human => human(&found, &programs, args.layouts)?,
    }))
}

/// What is known of programs that are pinned or that links run.
pub(super) struct Programs(Vec<sys::ProgInfo>);

impl Programs {
    fn of(inventory: &Inventory) -> Self {
        let pinned = inventory.progs.values().filter_map(|prog| prog.info().ok());
        let linked = inventory.links.values().filter_map(|link| link.info().ok());
        let linked = linked.filter_map(|link| sys::Prog::from_id(link.prog_id).ok()?.info().ok());
        Self(pinned.chain(linked).collect())
    }

    /// The name of a program, where it could be looked at.
    pub(super) fn name(&self, id: u32) -> Option<&str> {
        self.0.iter().find(|prog| prog.id == id).map(|prog| prog.name.as_str())
    }
}

fn human(found: &Generations, programs: &Programs, with_layouts: bool) -> Result<String, Error> {
    let live = &found.live;
    let mut out = format!("{BOLD}{}{BOLD:#}: {}\n", live.dir.display(), summary(live));
    maps(live, &mut out);
    links(live, programs, &mut out)?;
    progs(live, &mut out)?;
    beside(found, &mut out);
    for warning in &live.warnings {
        _ = writeln!(out, "{CAUTION}warning{CAUTION:#}{BOLD}:{BOLD:#} {warning}");
    }
    for map in live.maps.values() {
        if let Some(problem) = &map.observed.problem {
            _ = writeln!(out, "{CAUTION}warning{CAUTION:#}{BOLD}:{BOLD:#} map `{}`: {problem}", map.observed.pin);
        }
    }
    if with_layouts && !live.maps.is_empty() {
        let said = |map: &Observed| format!("{} entries, digest {}", entries(map), map.digest());
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
    // While it is staged, snapshots lie there too.
    let maps = inventory.maps.keys().filter(|name| !name.ends_with("@base")).count();
    let mut parts = vec![count(maps, "map")];
    for (number, noun) in [(inventory.links.len(), "link"), (inventory.progs.len(), "program")] {
        if number > 0 {
            parts.push(count(number, noun));
        }
    }
    parts.join(", ")
}

/// A table below a line of air, its head dimmed.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let table = columns("", &rows);
    let (head, body) = table.split_once('\n').unwrap_or((&table, ""));
    _ = write!(out, "\n{DIM}{head}{DIM:#}\n{body}");
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
            map.source.name().to_owned(),
            map.id.to_string(),
            map.digest().short().to_string(),
        ]
    });
    let head = ["map", "type", "key", "value", "entries", "memory", "layout", "id", "digest"];
    table(head, rows.collect(), out);
}

/// `12/64`, or `?/64` where they can't be counted.
fn entries(map: &Observed) -> String {
    match map.entries {
        Some(entries) => format!("{entries}/{}", map.def.max_entries),
        None => format!("?/{}", map.def.max_entries),
    }
}

fn links(inventory: &Inventory, programs: &Programs, out: &mut String) -> Result<(), Error> {
    let mut rows = Vec::new();
    for (name, link) in &inventory.links {
        let info =
            link.info().map_err(|error| Error::new(format!("could not look at link `{name}`")).because(error))?;
        let program = match programs.name(info.prog_id) {
            Some(program) => format!("{program}, id {}", info.prog_id),
            None => format!("id {}", info.prog_id),
        };
        let target = names::target(info.target);
        rows.push([name.clone(), names::link_type(info.link_type), info.id.to_string(), target, program]);
    }
    table(["link", "type", "id", "attached to", "runs"], rows, out);
    Ok(())
}

fn progs(inventory: &Inventory, out: &mut String) -> Result<(), Error> {
    let mut rows = Vec::new();
    for (pin, prog) in &inventory.progs {
        let info =
            prog.info().map_err(|error| Error::new(format!("could not look at program `{pin}`")).because(error))?;
        rows.push([pin.clone(), names::prog_type(info.prog_type), info.id.to_string(), info.name]);
    }
    table(["program", "type", "id", "name"], rows, out);
    Ok(())
}

/// The other generations, and what is somebody else's.
fn beside(found: &Generations, out: &mut String) {
    let mut rows = Vec::new();
    let dir = found.live.dir.display();
    if let Some(kept) = &found.kept {
        let what = format!("{}: {}", kept.dir.display(), summary(kept));
        rows.push(["kept".to_owned(), what]);
        rows.push([String::new(), format!("return to it: maplock rollback {dir}; remove it: maplock confirm {dir}")]);
    }
    if let Some(staged) = &found.staged {
        rows.push(["staged".to_owned(), format!("{}: {}", staged.dir.display(), contents(staged))]);
    }
    match found.next {
        Recovered::Nothing => {}
        Recovered::Completed => rows.push([
            String::new(),
            "an upgrade is at its commit, or ended there; in that case the next one completes it".to_owned(),
        ]),
        Recovered::Discarded => rows.push([
            String::new(),
            "an upgrade runs, or ended before its commit; in that case the next one takes it back".to_owned(),
        ]),
    }
    if found.live.meta.is_some() && !found.foreign.is_empty() {
        rows.push(["foreign".to_owned(), format!("{}; no upgrade touches them", found.foreign.join(", "))]);
    }
    if !rows.is_empty() {
        _ = write!(out, "\n{}", columns("", &rows));
    }
}
