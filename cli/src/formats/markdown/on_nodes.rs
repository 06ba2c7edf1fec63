//! What an upgrade does on nodes.

use std::fmt::Write as _;

use super::locks::folded;
use super::{cell, code, text};
use crate::outcome::count;
use crate::verbs::on_nodes::{LEGEND, OnNodes, Row};

/// Rows that are open; the rest is folded.
const OPEN: usize = 5;

pub(super) fn render(of: &OnNodes) -> String {
    const HEAD: &str = "\n| map | layout | nodes | entries | on upgrade | why |\n|---|---|---|---|---|---|\n";
    let mut out = String::new();
    let (open, more) = of.rows.split_at(of.rows.len().min(OPEN));
    let rows = |rows: &[Row]| rows.iter().map(|row| line(of, row)).collect::<String>();
    if !open.is_empty() {
        _ = write!(out, "{HEAD}{}", rows(open));
    }
    if !more.is_empty() {
        folded(&format!("{} more", count(more.len(), "row")), &format!("{HEAD}{}", rows(more)), &mut out);
    }
    if of.rows.iter().any(|row| row.cell.loses || row.layout.is_none()) {
        _ = writeln!(out, "\n{}", text(LEGEND));
    }
    out
}

fn line(of: &OnNodes, row: &Row) -> String {
    let map = match &row.pin {
        Some(pin) => format!("{}, pinned as {}", code(&row.map), code(pin)),
        None => code(&row.map),
    };
    let what = if row.fails { format!("**{}**", row.what()) } else { row.what() };
    let nodes = if row.fails { format!("{}: {}", row.share(of), text(&row.on())) } else { row.share(of) };
    let layout = if row.layout.is_some() { code(row.short()) } else { "-".to_owned() };
    format!(
        "| {} | {} | {} | {} | {what} | {} |\n",
        cell(&map),
        cell(&layout),
        cell(&nodes),
        row.counted(),
        cell(&text(&row.cell.why))
    )
}
