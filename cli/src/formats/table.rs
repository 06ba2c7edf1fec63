//! Columns of text.

use std::fmt::Write as _;

use crate::terminal::DIM;

/// Rows with their columns aligned, each after `indent`; the last column is not padded.
pub(crate) fn columns<const N: usize>(indent: &str, rows: &[[String; N]]) -> String {
    lines(indent, rows).concat()
}

/// Rows with their columns aligned below a head, which is dimmed.
pub(crate) fn with_head<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut lines = lines("", &rows);
    lines[0] = format!("{DIM}{}{DIM:#}\n", lines[0].trim_end());
    lines.concat()
}

/// A cell as it is shown: control characters are escaped.
fn shown(cell: &str) -> String {
    cell.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn lines<const N: usize>(indent: &str, rows: &[[String; N]]) -> Vec<String> {
    // A name with the end of a line in it would look like two rows.
    let rows = rows.iter().map(|row| row.each_ref().map(|cell| shown(cell))).collect::<Vec<_>>();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut lines = Vec::new();
    for row in &rows {
        let mut line = indent.to_owned();
        // A column in which no row says anything takes no room.
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            _ = write!(line, "{cell:<width$}  ");
        }
        lines.push(format!("{}\n", line.trim_end()));
    }
    lines
}
