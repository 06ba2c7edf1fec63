//! What each pin is in a directory of which maplock made nothing yet, and which programs use its maps: the first plan of a daemon that
//! pins already says it.

use std::collections::BTreeSet;
use std::io;

use maplock::Plan;
use maplock::internals::inspect::{Inventory, attached, generations};
use maplock::internals::sys::{ByNetlink, LinkInfo, NetlinkHook, by_netlink};

use super::{failed, names};
use crate::error::Error;

/// Notes on a plan; none if a generation is there, or no map of the release is.
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
    let by_netlink = programs.iter().any(|program| program.links.is_empty()).then(by_netlink).transpose();
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
            notes.extend(without_link(program.id, &by_netlink).into_iter().map(|how| format!("{who}; {how}")));
        }
    }
    notes.extend(left_out.map(|what| format!("{what}: which programs use the maps is not known")));
    Ok(notes)
}

/// How a program is attached that no link attaches: for each place, a phrase; else what was looked at.
fn without_link(id: u32, by_netlink: &io::Result<Option<Vec<ByNetlink>>>) -> Vec<String> {
    const ELSEWHERE: &str = "if something else did, it runs beside the new one until it is detached";
    let found = match by_netlink {
        Ok(found) => found.iter().flatten().filter(|of| of.prog_id == id).collect::<Vec<_>>(),
        Err(error) => {
            return vec![format!("no link attaches it, and tc and XDP could not be looked at ({error}): {ELSEWHERE}")];
        }
    };
    if found.is_empty() {
        return vec![format!(
            "no link attaches it, nor does XDP or a filter of tc at clsact, ingress or the root of a device in this network namespace; other qdiscs, \
             shared blocks and actions of tc, older calls for cgroups, and other namespaces were not looked at: {ELSEWHERE}"
        )];
    }
    let at = |of: &ByNetlink| {
        let device = &of.device;
        match &of.hook {
            NetlinkHook::Xdp { mode } => format!(
                "netlink attaches it as XDP of {device}, without a link: the new release can't attach its own there before it is detached (ip link set \
                 dev {device} {mode} off)"
            ),
            NetlinkHook::Tc { at, pref, handle } => format!(
                "tc attaches it to {device}, {at}, without a link: it runs beside the new one until it is detached (tc filter del dev {device} {at} pref \
                 {pref} handle {handle:#x} bpf)"
            ),
        }
    };
    found.into_iter().map(at).collect()
}

/// What a pin is that no row of the plan tells of.
fn pin(live: &Inventory, name: &str) -> String {
    if let Some(info) = live.links.get(name).and_then(|link| link.info().ok()) {
        return format!(
            "`{name}` is a link ({}) of program {}: the new release attaches its own beside it. Then both run, or the release fails if only one may be there or its hook has this name. Without the pin, the link goes once no process holds it",
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
