//! The bytes of an old layout above those of the new one, 8 to a row.

use std::fmt::Write as _;

use maplock_layout::{Ruler, Span, SpanFate};

use crate::bytes::Bytes;

/// Bytes in a row.
const ROW: u64 = 8;
/// Columns of a byte.
const BYTE: usize = 9;
/// Most rows of a key or a value that changed, and of one that did not.
const MOST_ROWS: usize = 24;
const ROWS_OF_ONE: u64 = 64;
/// Columns of the widest line of a ruler.
const WIDEST: usize = 100;

/// What stands before a name, and what that means.
const MARKS: [(char, &str); 6] =
    [('+', "new"), ('>', "moved"), ('^', "grew"), ('v', "shrank"), ('~', "other type, meaning or name"), ('-', "gone")];

/// The rulers of a map, and its example, as lines of at most 100 columns; only the example may be longer.
pub(crate) fn text(map: &str, bytes: &Bytes) -> String {
    let mut out = String::new();
    for (part, ruler) in &bytes.rulers {
        let part = part.name();
        one(&format!("{part} of {map}"), part, ruler, &mut out);
    }
    if bytes.example.as_ref().is_some_and(|said| said.is_short) {
        out.push_str("an entry, without the members that stay the same:\n");
    }
    let lines = example(bytes);
    let width = lines.iter().map(|(name, _)| name.len() + 2).max().unwrap_or_default();
    for (name, said) in lines {
        _ = writeln!(out, "{name:<width$}{said}");
    }
    out
}

/// The example in lines: what it is, and the members with their values.
pub(crate) fn example(bytes: &Bytes) -> Vec<(&'static str, String)> {
    let Some(said) = &bytes.example else { return Vec::new() };
    let is_converted = said.converted.as_ref().is_some_and(|converted| converted.is_accepted);
    let mut lines = vec![("wrote", said.wrote.clone())];
    lines.push(match &said.read {
        Some(read) if is_converted => ("unconverted", read.clone()),
        Some(read) => ("read as", read.clone()),
        None => ("becomes", "nothing: the map starts empty".to_owned()),
    });
    // What it wrote is of no account where the new side has all of it, and more; if it has no more, nothing is to be seen.
    let is_same = |line: &str| line.split("; ").all(|part| part.ends_with(": the same"));
    lines.retain(|(_, line)| !is_same(line));
    if let Some(converted) = &said.converted {
        let unless = if converted.is_accepted { "" } else { " (if accepted as `migrate`)" };
        lines.push(("becomes", format!("{}{unless}", converted.entry)));
    }
    lines
}

fn one(title: &str, whole: &str, ruler: &Ruler, out: &mut String) {
    let Ruler { old_size, new_size, .. } = ruler;
    let rows = old_size.max(new_size).div_ceil(ROW);
    let size = match old_size == new_size {
        true => format!("{new_size} bytes"),
        false => format!("{old_size} -> {new_size} bytes"),
    };
    let body = body(ruler, whole, rows);
    let (title, legend) = (format!("{title}, {size}"), legend(ruler, body.contains("|..")));
    let gap = match legend.is_empty() {
        true => "",
        false if title.chars().count() + legend.chars().count() + 3 > WIDEST => ":\n  ",
        false => ":  ",
    };
    _ = writeln!(out, "{title}{gap}{legend}");
    out.push_str(&body);
}

/// The rows.
fn body(ruler: &Ruler, whole: &str, rows: u64) -> String {
    let mut out = String::new();
    if ruler.is_same() {
        for row in 0..rows.min(ROWS_OF_ONE) {
            _ = writeln!(out, "{:>4}     {}", row * ROW, line(&ruler.new, row, whole, &mark));
        }
        if rows > ROWS_OF_ONE {
            _ = writeln!(out, "{:>8}  and {} rows more", "..", rows - ROWS_OF_ONE);
        }
        return out;
    }
    let mut row = 0;
    let mut told = 0;
    while row < rows {
        if told == MOST_ROWS {
            _ = writeln!(out, "{:>8}  and {} rows more", "..", rows - row);
            break;
        }
        told += 1;
        // Runs in which nothing changes, or in which the same two members go on, are one line.
        let run = (row..rows).take_while(|at| is_plain(ruler, *at)).count() as u64;
        if run > 1 || run == 1 && row == 0 && rows > 3 {
            let (start, end) = (row * ROW, ((row + run) * ROW).min(ruler.new_size));
            _ = writeln!(out, "{:>8}  unchanged", format!("{start}..{end}"));
            row += run;
            continue;
        }
        let go_on = (row + 1..rows).take_while(|at| goes_on(ruler, *at)).count() as u64;
        let (old, new) = (line(&ruler.old, row, whole, &gone), line(&ruler.new, row, whole, &mark));
        let at = row * ROW;
        if !old.is_empty() {
            _ = writeln!(out, "{at:>4} old {old}");
        }
        if !new.is_empty() {
            let label = if old.is_empty() { format!("{at:>4}") } else { "    ".to_owned() };
            _ = writeln!(out, "{label} new {new}");
        }
        row += 1;
        if go_on > 1 {
            let (start, end) = (row * ROW, ((row + go_on) * ROW).min(ruler.old_size.max(ruler.new_size)));
            _ = writeln!(out, "{:>8}  the same goes on", format!("{start}..{end}"));
            row += go_on;
        }
    }
    out
}

/// What the marks mean; `has_rest` where a member goes on in another row.
fn legend(ruler: &Ruler, has_rest: bool) -> String {
    let spans = || ruler.old.iter().chain(&ruler.new);
    let marks: Vec<_> = ruler.old.iter().filter_map(gone).chain(ruler.new.iter().filter_map(mark)).collect();
    let used = MARKS.iter().filter(|(mark, _)| marks.contains(mark));
    let mut told: Vec<_> = used.map(|(mark, means)| format!("{mark} {means}")).collect();
    if spans().any(|span| span.fate == SpanFate::Hole) {
        told.push("/ no member".to_owned());
    }
    if has_rest {
        told.push(".. goes on".to_owned());
    }
    told.join("  ")
}

fn mark(span: &Span) -> Option<char> {
    match span.fate {
        SpanFate::Kept | SpanFate::Hole => None,
        SpanFate::New => Some('+'),
        SpanFate::Moved => Some('>'),
        SpanFate::Grew => Some('^'),
        SpanFate::Shrank => Some('v'),
        SpanFate::Retyped | SpanFate::Renamed(_) => Some('~'),
        SpanFate::Gone => Some('-'),
    }
}

/// On the old side, what is no more is told alone: the new side tells the rest.
fn gone(span: &Span) -> Option<char> {
    mark(span).filter(|_| span.fate == SpanFate::Gone)
}

fn within(spans: &[Span], row: u64) -> impl Iterator<Item = &Span> {
    spans.iter().filter(move |span| span.start < (row + 1) * ROW && row * ROW < span.end)
}

/// True where both sides have the same in a row.
fn is_plain(ruler: &Ruler, row: u64) -> bool {
    let stays = |span: &Span| matches!(span.fate, SpanFate::Kept | SpanFate::Hole);
    let same = |one: &Span, two: &Span| (one.start, one.end, &one.name) == (two.start, two.end, &two.name);
    let (old, new): (Vec<_>, Vec<_>) = (within(&ruler.old, row).collect(), within(&ruler.new, row).collect());
    old.len() == new.len() && old.iter().zip(&new).all(|(old, new)| stays(old) && stays(new) && same(old, new))
}

/// True where each side has one member in a row, or nothing, which began before it.
fn goes_on(ruler: &Ruler, row: u64) -> bool {
    let one = |spans: &[Span]| {
        let mut there = within(spans, row);
        match (there.next(), there.next()) {
            (None, _) => within(spans, row - 1).next().is_none(),
            (Some(only), None) => only.start < row * ROW && only.end >= (row + 1) * ROW,
            _ => false,
        }
    };
    one(&ruler.old) && one(&ruler.new)
}

/// A row of one side; nothing behind its end.
fn line(spans: &[Span], row: u64, whole: &str, mark: &dyn Fn(&Span) -> Option<char>) -> String {
    let start = row * ROW;
    let mut out = String::new();
    for span in within(spans, row) {
        let (from, to) = (span.start.max(start), span.end.min(start + ROW));
        let width = usize::try_from(to - from).unwrap_or(0) * BYTE - 1;
        let name = match span.name.as_str() {
            "" => whole,
            name => name,
        };
        let cell = match &span.fate {
            SpanFate::Hole => "/".repeat(width),
            _ if span.start < start => fit("..", width),
            _ => {
                let mark = mark(span).map_or_else(String::new, |mark| mark.to_string());
                let typed = format!("{mark}{name} {}", span.spelling);
                let moved = span.elsewhere.filter(|_| !mark.is_empty());
                let from = moved.map(|byte| format!("{typed}, was at {byte}"));
                // What fits counts: where it stood is told by the other line, and the type by the finding.
                let told = from.filter(|told| told.chars().count() <= width).unwrap_or(typed);
                // Of the way to a member, its end tells it apart from its neighbours.
                let end = name.rsplit('.').next().filter(|_| !name.contains(' ')).unwrap_or(name);
                let whole = format!("{mark}{name}");
                match (told.chars().count() <= width, whole.chars().count() <= width) {
                    (true, _) => fit(&told, width),
                    (false, true) => fit(&whole, width),
                    (false, false) => fit(&format!("{mark}{end}"), width),
                }
            }
        };
        _ = write!(out, "|{cell}");
    }
    if !out.is_empty() {
        out.push('|');
    }
    out
}

fn fit(text: &str, width: usize) -> String {
    match text.chars().count() <= width {
        true => format!("{text:<width$}"),
        false => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use maplock_layout::{Composite, CompositeKind, IntKind, Layout, Member, Shape};

    use super::*;
    use crate::map_part::MapPart;

    /// A struct of numbers, one behind the other.
    fn of(members: &[(&str, u64)]) -> Layout {
        let mut at = 0;
        let member = |(name, size): &(&str, u64)| {
            let layout = Arc::new(Layout::new(*size, Shape::Int(IntKind::Unsigned)));
            at += size;
            Member { name: (*name).into(), offset_bits: (at - size) * 8, bits: None, layout }
        };
        let members = members.iter().map(member).collect();
        let composite = Composite::new(CompositeKind::Struct, None, members).expect("few members");
        Layout::new(at, Shape::Composite(Arc::new(composite)))
    }

    fn shown(old: &[(&str, u64)], new: &[(&str, u64)]) -> String {
        let value = Ruler::of(&of(old), &of(new)).expect("few members");
        text("a_map_of_a_name_as_long_as_that", &Bytes { rulers: vec![(MapPart::Value, value)], example: None })
    }

    #[test]
    fn no_line_is_wider_than_100_columns_and_runs_are_folded() {
        let many: Vec<_> = (0..40).map(|_| ("m", 8)).collect();
        let names: Vec<String> = (0..40).map(|at| format!("member_of_a_name_that_fits_no_box_{at}")).collect();
        let named = |all: &[(&str, u64)]| -> Vec<(String, u64)> {
            all.iter().zip(&names).map(|((_, size), name)| (name.clone(), *size)).collect()
        };
        let old = named(&many);
        let mut new = old.clone();
        new[20].1 = 4;
        new.insert(30, ("brand_new".to_owned(), 1));
        new.remove(35);
        fn borrowed(all: &[(String, u64)]) -> Vec<(&str, u64)> {
            all.iter().map(|(name, size)| (name.as_str(), *size)).collect()
        }
        let shown = shown(&borrowed(&old), &borrowed(&new));
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
        assert!(shown.contains("  0..160  unchanged"), "{shown}");
    }

    #[test]
    fn what_did_not_change_is_shown_once() {
        let members = [("a", 4), ("b", 2)];
        let shown = shown(&members, &members);
        assert!(shown.contains("   0     |a u32 ") && !shown.contains("new") && !shown.contains("old"), "{shown}");
    }
}
