//! Which nodes are where.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::fleet::{Node, Planned, Reported};
use crate::formats::table::{columns, with_head};
use crate::node::{Fleet, letter};
use crate::outcome::count;
use crate::terminal::BOLD;

pub(super) fn render(fleet: &Fleet) -> String {
    let rows = fleet.nodes.iter().map(|node| {
        [
            node.name.clone(),
            match &node.pinned {
                Some(pinned) => pinned.generation.map_or_else(|| "none".to_owned(), |number| number.to_string()),
                None => "?".to_owned(),
            },
            fleet.letter(node).unwrap_or_else(|| "?".to_owned()),
            node.report.as_ref().map(|of| report(node, of)).unwrap_or_default(),
            ahead(node),
        ]
    });
    let mut out = with_head(["node", "generation", "pinned", "last report", "planned"], rows.collect());
    let legend = legend(fleet);
    if !legend.is_empty() {
        _ = write!(out, "\n{}", columns("", &legend));
    }
    _ = writeln!(out, "\n{BOLD}{}{BOLD:#}", summary(&fleet.nodes));
    out
}

/// What the next upgrade does, or why nothing is known of it.
fn ahead(node: &Node) -> String {
    if let Some(unread) = &node.unread {
        return unread.to_string();
    }
    let told = match (&node.plan, &node.failed) {
        (_, Some(failed)) => failed.clone(),
        (Some(plan), None) => planned(plan),
        (None, None) if node.is_silent() => "the file is empty: nothing was told".to_owned(),
        (None, None) => String::new(),
    };
    let first = node.is_changing().then(|| "an unfinished upgrade or roll-back comes first".to_owned());
    first.into_iter().chain((!told.is_empty()).then_some(told)).collect::<Vec<_>>().join("; ")
}

/// `denied: swap stats, 812 entries lost`
fn planned(plan: &Planned) -> String {
    let changes = plan.changes();
    let changes = changes.iter().map(|(what, maps)| {
        let maps: Vec<_> = maps.iter().map(|map| map.map.as_str()).collect();
        format!("{what} {}", maps.join(" "))
    });
    let mut changes: Vec<_> = changes.collect();
    if changes.is_empty() {
        changes.push("nothing to do".to_owned());
    }
    if plan.lost() > 0 {
        let entries = if plan.lost() == 1 { "entry" } else { "entries" };
        changes.push(format!("{} {entries} lost", plan.lost()));
    }
    let changes = changes.join(", ");
    match plan {
        Planned { refused: true, .. } => format!("refused: {changes}"),
        Planned { fails: true, .. } => format!("denied: {changes}"),
        _ => changes,
    }
}

/// What the last upgrade or roll-back did to entries. If it led to another generation than is told as live, that comes first: what it
/// tells is not of those maps.
fn report(node: &Node, report: &Reported) -> String {
    let of = node.reported_other().map(|number| {
        let live = node.pinned.as_ref().and_then(|pinned| pinned.generation);
        let live = live.map_or_else(|| "that of the pins".to_owned(), |live| live.to_string());
        format!("of generation {number}, not {live}: ")
    });
    let what = match report {
        Reported { taken_back: true, .. } => "taken back, ",
        Reported { resumed: true, .. } => "completed, ",
        Reported { way_back: Some(_), .. } => "rolled back, ",
        _ => "",
    };
    let inexact: Vec<_> = report.maps.iter().filter(|map| !map.exact).map(|map| map.map.as_str()).collect();
    let lost: u64 = report.maps.iter().filter_map(|map| map.lost).sum();
    let lost = if lost > 0 { format!(", {lost} lost") } else { String::new() };
    let of = of.unwrap_or_default();
    match inexact[..] {
        [] => format!("{of}{what}exact{lost}"),
        _ => format!("{of}{what}not exact: {}{lost}", inexact.join(" ")),
    }
}

/// What each letter stands for: if there are several, the maps in which they differ.
fn legend(fleet: &Fleet) -> Vec<[String; 3]> {
    let pinned = &fleet.pinned;
    let differs = |pin: &String, digest: &String| pinned.iter().any(|other| other.get(pin) != Some(digest));
    let told = |maps: &BTreeMap<String, String>| {
        let differing: Vec<_> = maps
            .iter()
            .filter(|(pin, digest)| pinned.len() == 1 || differs(pin, digest))
            .map(|(pin, digest)| format!("{pin} {}", digest.get(..8).unwrap_or(digest)))
            .collect();
        match differing[..] {
            [] => "only maps that all have".to_owned(),
            _ => differing.join(", "),
        }
    };
    let on = |maps| fleet.nodes.iter().filter(move |node| node.layouts().as_ref() == Some(maps));
    let rows = pinned.iter().enumerate();
    rows.map(|(index, maps)| [letter(index), count(on(maps).count(), "node"), told(maps)]).collect()
}

fn summary(nodes: &[Node]) -> String {
    let plans = || nodes.iter().filter(|node| node.plan.is_some());
    let held = plans().filter(|node| node.is_held_back()).count();
    let ready = plans().filter(|node| !node.is_held_back());
    let (done, ahead): (Vec<_>, Vec<_>) =
        ready.partition(|node| !node.is_changing() && node.plan.as_ref().is_some_and(|plan| plan.changes().is_empty()));
    let known = plans().count();
    let unknown = nodes.iter().filter(|node| node.failed.is_some() || node.unread.is_some() || node.is_silent());
    let mut parts = vec![count(nodes.len(), "node")];
    if known > 0 {
        parts.push(format!("{} as planned", done.len()));
        parts.push(format!("{} to be upgraded", ahead.len()));
        parts.push(format!("{held} held back"));
    }
    match nodes.iter().filter(|node| node.is_changing()).count() {
        0 => {}
        changing => parts.push(format!("{changing} with an unfinished upgrade or roll-back")),
    }
    match unknown.count() {
        0 => {}
        unknown => parts.push(format!("{unknown} of which not all is known")),
    }
    parts.join(", ")
}
