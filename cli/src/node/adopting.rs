//! What each pin is in a directory of which maplock made nothing yet, and which programs use its maps: the first plan of a daemon that
//! pins already says it.

use std::collections::BTreeSet;

use maplock::Plan;
use maplock::internals::inspect::{Inventory, attached, generations};
use maplock::internals::sys::LinkInfo;

use super::{failed, names};
use crate::error::Error;

/// Notes on a plan; none where a generation is there, or no map of the release is.
pub(super) fn notes(plan: &Plan) -> Result<Vec<String>, Error> {
    if plan.unpinned.is_some() {
        return Ok(Vec::new());
    }
    let found = generations(&plan.dir)
        .map_err(|error| failed(format!("could not look at the pins in {}", plan.dir.display()), error))?;
    if found.live.meta.is_some() {
        return Ok(Vec::new());
    }
    let live = &found.live;
    // What a row of the plan tells of.
    let told = plan.maps.iter().filter_map(|map| map.action.live());
    let told: Vec<(u32, &str)> = told.filter_map(|map| Some((map.id, map.pin.file_name()?.to_str()?))).collect();
    let mut notes = Vec::new();
    for name in found.foreign.iter().filter(|name| !told.iter().any(|(_, pin)| pin == name)) {
        notes.push(pin(live, name));
    }
    let pinned: BTreeSet<_> = live.links.values().filter_map(|link| Some(link.info().ok()?.id)).collect();
    let (programs, left_out) = attached(&told.iter().map(|(id, _)| *id).collect());
    for program in &programs {
        let used = told.iter().filter(|(id, _)| program.maps.contains(id));
        let mut maps: Vec<_> = used.map(|(_, pin)| format!("`{pin}`")).collect();
        maps.sort_unstable();
        let who = format!(
            "program `{}` (id {}, {}) uses {}",
            program.name,
            program.id,
            names::prog_type(program.prog_type),
            maps.join(", ")
        );
        for link in program.links.iter().filter(|link| !pinned.contains(&link.id)) {
            notes.push(format!(
                "{who}; link {} attaches it ({}), which nothing here pins: it runs beside the new one until the process that holds the link ends, or its pin elsewhere goes",
                link.id,
                attachment(link)
            ));
        }
        if program.links.is_empty() {
            notes.push(format!(
                "{who}; no link attaches it: where tc, XDP by netlink or an older call for cgroups did, it runs beside the new one until it is detached"
            ));
        }
    }
    notes.extend(left_out.map(|what| format!("{what}: which programs use the maps is not known")));
    Ok(notes)
}

/// What a pin is that no row of the plan tells of.
fn pin(live: &Inventory, name: &str) -> String {
    if let Some(info) = live.links.get(name).and_then(|link| link.info().ok()) {
        return format!(
            "`{name}` is a link ({}) of program {}: the new release attaches its own beside it, so that both run, or fails where only one may be \
             there or its hook has this name; without the pin, it goes once no process holds it",
            attachment(&info),
            info.prog_id
        );
    }
    if let Some(info) = live.progs.get(name).and_then(|prog| prog.info().ok()) {
        return format!("`{name}` is program `{}` (id {}): the pin keeps it, and attaches nothing", info.name, info.id);
    }
    format!("`{name}` is a {}: it stays as it is", live.kind_of(name).unwrap_or("pin of an unknown kind"))
}

/// `cgroup: cgroup_inet4_connect at /sys/fs/cgroup/pods`
fn attachment(link: &LinkInfo) -> String {
    format!("{}: {}", names::link_type(link.link_type), names::target(link.target))
}
