//! Text in aligned columns.

use std::fmt;

/// A table of four columns, of which the second holds numbers: `12/64` is aligned at the stroke.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    pub(crate) fn new(head: [&str; 4]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    pub(crate) fn row(&mut self, row: [String; 4]) {
        self.rows.push(row);
    }
}

/// The part before the stroke, and the rest.
fn number(cell: &str) -> (&str, &str) {
    cell.split_at(cell.find('/').unwrap_or(cell.len()))
}

fn width(text: &str) -> usize {
    text.chars().count()
}

impl Table {
    /// Its lines, the head first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widest = |of: &dyn Fn(&[String; 4]) -> usize| self.rows.iter().map(of).max().unwrap_or(0);
        let (name, what) = (widest(&|row| width(&row[0])), widest(&|row| width(&row[2])));
        // The head stands over the whole column.
        let cells = &self.rows[1..];
        let left = cells.iter().map(|row| width(number(&row[1]).0)).max().unwrap_or(0);
        let right = cells.iter().map(|row| width(number(&row[1]).1)).max().unwrap_or(0);
        let left = left.max(width(&self.rows[0][1]).saturating_sub(right));
        let mut lines = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            let entries = if index == 0 {
                format!("{:>1$}", row[1], left + right)
            } else {
                let (whole, of) = number(&row[1]);
                format!("{whole:>left$}{of:<right$}")
            };
            let line = format!("{:name$}  {entries}  {:what$}  {}", row[0], row[2], row[3]);
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
