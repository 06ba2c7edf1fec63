//! Columns of text.

use std::fmt::Write as _;

/// Rows with their columns aligned, each after `indent`; the last column is not padded.
pub(crate) fn columns<const N: usize>(indent: &str, rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        // A column in which no row says anything takes no room.
        for (cell, width) in row.iter().zip(&widths).filter(|(_, width)| **width > 0) {
            _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
