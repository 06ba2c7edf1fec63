//! What an upgrade does on nodes: a row for each layout of a map, and what becomes of it.

use std::fmt::Write as _;

use crate::formats::table::with_head;
use crate::terminal::{BAD, DIM};
use crate::verbs::on_nodes::{LEGEND, OnNodes};

pub(super) fn render(of: &OnNodes) -> String {
    let row = |row: &crate::verbs::on_nodes::Row| {
        [row.name(), row.short().to_owned(), row.share(of), row.counted(), row.what(), row.cell.why.clone()]
    };
    let head = ["map", "layout", "nodes", "entries", "what", "why"];
    let mut out = with_head(head, of.rows.iter().map(row).collect());
    if of.rows.iter().any(|row| row.cell.loses || row.layout.is_none()) {
        _ = writeln!(out, "\n{DIM}{LEGEND}{DIM:#}");
    }
    out.push_str(&failing(of));
    out
}

/// A line for each layout of which nodes lose something or refuse.
pub(super) fn failing(of: &OnNodes) -> String {
    let mut out = String::new();
    for row in of.rows.iter().filter(|row| row.fails) {
        let (map, what, on) = (row.name(), row.cell.what, row.on());
        _ = writeln!(out, "{BAD}error{BAD:#}: map `{map}` of layout {}: {what} on {on}", row.short());
    }
    out
}
