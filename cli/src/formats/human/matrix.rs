//! What upgrades from releases keep: a row for each map, a column for each release.

use std::fmt::Write as _;

use crate::terminal::{BAD, BOLD, DIM, GOOD};
use crate::verbs::matrix::{Matrix, Release, Row};

/// What the marks mean.
pub(crate) fn legend(of: &Matrix) -> String {
    let back = if of.back.is_some() { BACK } else { "" };
    format!("{LEGEND}{back}")
}

const BACK: &str = "; a way back without ! brings each entry that the release wrote back as it was, and gives up what newer programs wrote where the older layout has no place for it";

const LEGEND: &str = "! entries or parts of them are lost or misread, or the upgrade does not happen; ~ only if the entries fit into the smaller map, and their numbers into smaller members; - the release has no such map";

pub(super) fn render(of: &Matrix) -> String {
    let mut out = table(&format!("to {}", of.lock), &of.releases, &of.maps);
    if let Some(back) = &of.back {
        _ = write!(out, "\n{}", table(&format!("back from {}", of.lock), &of.releases, back));
    }
    _ = writeln!(out, "\n{DIM}{}{DIM:#}", legend(of));
    for release in of.releases.iter() {
        if let Some(unknown) = &release.unknown {
            _ = writeln!(out, "{DIM}? {}: {unknown}{DIM:#}", release.tag());
        }
    }
    for (title, rows) in [("", Some(&of.maps)), ("back to ", of.back.as_ref())] {
        for row in rows.into_iter().flatten() {
            for (release, cell) in of.releases.iter().zip(&row.cells) {
                if let Some(cell) = cell.as_ref().filter(|cell| cell.loses && !cell.why.is_empty()) {
                    _ = writeln!(out, "{BOLD}{title}{}{BOLD:#}: {}: {}", release.tag(), row.map, cell.why);
                }
            }
        }
    }
    let (style, word) = if of.fails() { (BAD, "error: ") } else { (GOOD, "") };
    _ = writeln!(out, "{style}{word}{style:#}{}", of.headline());
    out
}

fn table(title: &str, releases: &[Release], rows: &[Row]) -> String {
    let mut lines: Vec<Vec<String>> = vec![
        std::iter::once(title.to_owned()).chain(releases.iter().map(|release| release.tag().to_owned())).collect(),
    ];
    lines.extend(rows.iter().map(|row| {
        let cells = releases.iter().zip(&row.cells).map(|(release, cell)| text(release, cell.as_ref()));
        std::iter::once(row.map.clone()).chain(cells).collect()
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..=releases.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells: String = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        _ = writeln!(out, "{}", cells.trim_end());
    }
    out
}

/// A cell as people read it.
pub(crate) fn text(release: &Release, cell: Option<&crate::verbs::matrix::Cell>) -> String {
    match cell {
        Some(cell) => {
            let mark = match (cell.loses, cell.is_bounded) {
                (true, _) => " !",
                (false, true) => " ~",
                (false, false) => "",
            };
            format!("{}{mark}", cell.what)
        }
        None if release.unknown.is_some() => "?".to_owned(),
        None => "-".to_owned(),
    }
}
