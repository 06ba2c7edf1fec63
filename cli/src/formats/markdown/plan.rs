//! What an upgrade would do.

use std::fmt::Write as _;

use maplock::layout::Disposition;

use super::{cell, code, text};
use crate::node::Foreseen;

pub(super) fn render(told: &Foreseen) -> String {
    let mut out = format!("### maplock: {}\n", text(&told.plan.outcome()));
    _ = writeln!(out, "\nOf {}.", code(&told.plan.dir.to_string_lossy()));
    for (index, line) in told.plan.head().iter().enumerate() {
        let gap = if index < 2 { "\n" } else { "" };
        _ = writeln!(out, "{gap}{}{}", if index == 0 { "" } else { "- " }, text(line));
    }
    for note in &told.notes {
        _ = writeln!(out, "\n{}", text(note));
    }
    if !told.plan.maps.is_empty() {
        out.push_str("\n| map | entries | on upgrade | why |\n|---|--:|---|---|\n");
    }
    for map in &told.plan.maps {
        let what = match map.disposition() {
            Disposition::Refuse => "**refuse**".to_owned(),
            what if told.denied(&map.map).is_some() => format!("**{what}**, denied"),
            what => what.to_string(),
        };
        let name = cell(&code(&map.name_text()));
        _ = writeln!(out, "| {name} | {} | {what} | {} |", map.entries_text(), cell(&text(&map.why)));
    }
    if let Some(rehearsal) = &told.rehearsal {
        _ = writeln!(out, "\n{}", text(rehearsal.summary()));
        if !rehearsal.maps.is_empty() {
            out.push_str("\n| map | rehearsed |\n|---|---|\n");
        }
        for map in &rehearsal.maps {
            let (map, said) = match map {
                Ok(of) => (&of.map, of.summary()),
                Err(untried) => (&untried.map, format!("not rehearsed: {}", untried.why)),
            };
            _ = writeln!(out, "| {} | {} |", cell(&code(map)), cell(&text(&said)));
        }
    }
    for error in told.errors() {
        _ = writeln!(out, "\n{}:\n", text(&error.what));
        for line in &error.help {
            _ = writeln!(out, "- {}", text(line));
        }
    }
    out
}
