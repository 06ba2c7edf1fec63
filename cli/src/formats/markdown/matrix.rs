//! What upgrades from releases keep.

use std::fmt::Write as _;

use super::{cell, code, text};
use crate::formats::human;
use crate::verbs::matrix::{Matrix, Row};

pub(super) fn render(of: &Matrix) -> String {
    let mut out = format!("### maplock: {}\n", text(&of.headline()));
    table(of, "map", &of.maps, &mut out);
    if let Some(back) = &of.back {
        out.push_str("\nThe way back:\n");
        table(of, "map", back, &mut out);
    }
    _ = writeln!(out, "\n{}", text(&human::matrix_legend(of)));
    for release in &of.releases {
        if let Some(unknown) = &release.unknown {
            _ = writeln!(out, "\n{}: {}", code(release.tag()), text(unknown));
        }
    }
    out
}

fn table(of: &Matrix, head: &str, rows: &[Row], out: &mut String) {
    let tags: String = of.releases.iter().map(|release| format!(" {} |", cell(&code(release.tag())))).collect();
    let line = "---|".repeat(of.releases.len());
    _ = writeln!(out, "\n| {head} |{tags}\n|---|{line}");
    for row in rows {
        let cells = of.releases.iter().zip(&row.cells);
        let cells: String =
            cells.map(|(release, cell)| format!(" {} |", human::matrix_cell(release, cell.as_ref()))).collect();
        _ = writeln!(out, "| {} |{cells}", cell(&code(&row.map)));
    }
}
