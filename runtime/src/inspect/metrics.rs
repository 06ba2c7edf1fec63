//! What is pinned, as metrics.

use std::path::Path;

use super::exposition::Family;
use super::generations::generations;
use super::observe::Observed;
use crate::error::Error;
use crate::generation::records::Recovered;

/// What is pinned in a directory, in Prometheus' text form: the number of the live generation, the digest of each map's layout, and what
/// there is beside them. With [`Report::to_prometheus`](crate::Report::to_prometheus), it is what a daemon serves at `/metrics`, and
/// `cargo maplock check --fleet` reads it. Looks each time, takes no lock, and changes nothing. Entries are not counted: that
/// may take long.
///
/// # Errors
/// If the directory is not on a bpffs, or the kernel does not let us look.
pub fn metrics(dir: impl AsRef<Path>) -> Result<String, Error> {
    let found = generations(dir.as_ref())?;
    let live = &found.live;
    let shown = live.dir.to_string_lossy();
    let dir = ("dir", &*shown);

    let mut generation =
        Family::new("maplock_generation", "Number of the live generation; nothing where maplock did not make it.");
    if let Some(meta) = &live.meta {
        generation.sample(&[dir], meta.generation);
    }
    let mut layouts = Family::new(
        "maplock_map_layout_info",
        "The digest of each pinned map, and the one that its generation's lock has for it.",
    );
    let mut room = Family::new("maplock_map_max_entries", "Entries for which each pinned map has room.");
    let mut memory =
        Family::new("maplock_map_memory_bytes", "Kernel memory of each pinned map, by the kernel's estimate.");
    for map in live.maps.values().map(|map| &map.observed) {
        let labels = [dir, ("map", map.pin.as_str())];
        sample_layout(&mut layouts, &labels, map);
        room.sample(&labels, map.def.max_entries);
        memory.sample(&labels, map.memory);
    }
    let mut missing =
        Family::new("maplock_map_missing_info", "Maps of the live generation whose pins somebody removed.");
    for of in &live.missing {
        missing.sample(&[dir, ("map", of.map.as_str())], 1);
    }
    let mut foreign = Family::new("maplock_foreign_pin_info", "Pins that are no part of the live generation.");
    for pin in &found.foreign {
        foreign.sample(&[dir, ("pin", pin.as_str())], 1);
    }
    let mut kept = Family::new("maplock_kept_generations", "Generations that are kept for a roll-back.");
    kept.sample(&[dir], found.kept.len());
    let mut unfinished = Family::new(
        "maplock_unfinished_upgrade_info",
        "An upgrade that runs, or did not end, and what the next one does with it first.",
    );
    let next = match found.next {
        Recovered::Nothing => None,
        Recovered::Completed => Some("complete"),
        Recovered::Discarded => Some("discard"),
    };
    if let Some(next) = next {
        unfinished.sample(&[dir, ("next", next)], 1);
    }
    // Last, so that nothing of a text that has it is cut off.
    let mut maps = Family::new("maplock_maps", "Maps that are pinned; nothing where there is no such directory.");
    if live.exists {
        maps.sample(&[dir], live.maps.len());
    }
    Ok(Family::texts([generation, layouts, room, memory, missing, foreign, kept, unfinished, maps]))
}

fn sample_layout(layouts: &mut Family, labels: &[(&str, &str)], map: &Observed) {
    let (map_type, digest) = (map.def.map_type.to_string(), map.digest().to_string());
    let said = map.said.map(|said| said.to_string());
    let mut labels = labels.to_vec();
    labels.extend([("type", map_type.as_str()), ("layout_from", map.source.name()), ("digest", digest.as_str())]);
    labels.extend(said.as_deref().map(|said| ("locked_digest", said)));
    labels.extend(map.problem.as_deref().map(|problem| ("problem", problem)));
    layouts.sample(&labels, 1);
}
