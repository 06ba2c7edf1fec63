//! A picture of a key or a value: members as boxes on a grid of bytes, the old ones above the new ones.

use std::fmt::Write as _;

use maplock_layout::{Ruler, Span, SpanFate};

use super::xml::escaped;

/// Bytes in a row.
const ROW: u64 = 8;
/// Width of a byte and height of a row.
const BYTE: u64 = 88;
const HEIGHT: u64 = 34;
/// Left of the grid stand the numbers of bytes.
const LEFT: u64 = 52;
/// Most rows of a side; the rest is told in words.
const MOST_ROWS: u64 = 64;

/// Colours for light and dark, and text that no box is too small for.
pub(crate) const STYLE: &str = "\
svg{--ink:#1f2328;--dim:#59636e;--box:#fff;--line:#8c959f;--new:#dafbe1;--moved:#ddf4ff;--size:#fff8c5;--other:#fbefff;--gone:#ffebe9;background:#fff}\
@media(prefers-color-scheme:dark){svg{--ink:#f0f6fc;--dim:#9198a1;--box:#0d1117;--line:#656c76;--new:#12361f;--moved:#0c2d4d;--size:#3d3207;--other:#2f1c4d;--gone:#4c1619;background:#0d1117}}\
text{font:13px ui-monospace,monospace;fill:var(--ink)}.dim{fill:var(--dim)}.head{font-weight:600}\
rect{fill:var(--box);stroke:var(--line)}.new{fill:var(--new)}.moved{fill:var(--moved)}.size{fill:var(--size)}.other{fill:var(--other)}.gone{fill:var(--gone)}.hole{fill:url(#hole)}\
path{fill:none;stroke:var(--dim);stroke-width:1.5}.tip,.hatch{stroke:var(--dim)}";

/// What all pictures of a page share: the hatching of holes, and the tip of arrows.
pub(crate) const DEFS: &str = "<svg width=\"0\" height=\"0\" aria-hidden=\"true\" style=\"position:absolute\"><defs><pattern id=\"hole\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V8\"/></pattern><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8\"/></marker></defs></svg>";

/// The picture of each part, key before value, in one file.
pub(crate) fn picture(map: &str, parts: &[(&str, &Ruler)]) -> String {
    let (width, height, body) = drawn(map, parts);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n{DEFS}\n{body}</svg>\n",
        escaped(&title(map)),
        escaped(&description(parts)),
    )
}

/// The same within a page that has [`STYLE`] and [`DEFS`].
pub(crate) fn inline(map: &str, parts: &[(&str, &Ruler)]) -> String {
    let (width, height, body) = drawn(map, parts);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{}. {}\">\n{body}</svg>",
        escaped(&title(map)),
        escaped(&description(parts)),
    )
}

fn title(map: &str) -> String {
    format!("Bytes of the map {map}")
}

/// Width, height and elements.
fn drawn(map: &str, parts: &[(&str, &Ruler)]) -> (u64, u64, String) {
    let mut body = String::new();
    let mut y = 16;
    for (part, ruler) in parts {
        let is_changed = !ruler.is_same();
        let heads = if is_changed {
            vec![("before", &ruler.old, ruler.old_size), ("after", &ruler.new, ruler.new_size)]
        } else {
            vec![("", &ruler.new, ruler.new_size)]
        };
        let mut tops = Vec::new();
        for (when, spans, size) in heads {
            let when = if when.is_empty() { String::new() } else { format!(", {when}") };
            y += 12;
            _ = writeln!(
                body,
                "<text class=\"head\" x=\"0\" y=\"{y}\">{}</text>",
                escaped(&format!("{part} of {map}{when}: {size} bytes"))
            );
            y += 10;
            tops.push(y);
            side(part, spans, y, &mut body);
            let rows = size.div_ceil(ROW);
            y += rows.min(MOST_ROWS) * HEIGHT + 12;
            if rows > MOST_ROWS {
                _ = writeln!(
                    body,
                    "<text class=\"dim\" x=\"{LEFT}\" y=\"{y}\">{} bytes more</text>",
                    size - MOST_ROWS * ROW
                );
                y += 16;
            }
        }
        if let [old, new] = tops.as_slice() {
            arrows(ruler, *old, *new, &mut body);
        }
        y += 10;
    }
    (LEFT + ROW * BYTE + 2, y, body)
}

/// What the picture shows, in words, for those who hear it.
fn description(parts: &[(&str, &Ruler)]) -> String {
    let mut told = Vec::new();
    for (part, ruler) in parts {
        let lines = ruler.new.iter().chain(ruler.old.iter().filter(|span| span.fate == SpanFate::Gone));
        told.push(format!("The {part}:"));
        told.extend(lines.map(|span| format!("{}.", words(part, span))));
    }
    told.join(" ")
}

fn words(part: &str, span: &Span) -> String {
    let place = format!("bytes {} to {}", span.start, span.end - 1);
    let name = if span.name.is_empty() { part } else { &span.name };
    let what = match &span.fate {
        SpanFate::Hole => return format!("{place}: no member"),
        SpanFate::Kept => String::new(),
        SpanFate::Moved => ", moved".to_owned(),
        SpanFate::Grew => ", grew".to_owned(),
        SpanFate::Shrank => ", shrank".to_owned(),
        SpanFate::Retyped => ", of another type or meaning".to_owned(),
        SpanFate::Renamed(other) => format!(", called {other} on the other side"),
        SpanFate::New => ", new".to_owned(),
        SpanFate::Gone => ", gone".to_owned(),
    };
    let from = span.elsewhere.map_or_else(String::new, |byte| format!(", was at byte {byte}"));
    format!("{place}: {name}, {}{what}{from}", span.spelling)
}

fn class(span: &Span) -> &'static str {
    match span.fate {
        SpanFate::Kept => "kept",
        SpanFate::Hole => "hole",
        SpanFate::Moved => "moved",
        SpanFate::Grew | SpanFate::Shrank => "size",
        SpanFate::Retyped | SpanFate::Renamed(_) => "other",
        SpanFate::New => "new",
        SpanFate::Gone => "gone",
    }
}

fn side(part: &str, spans: &[Span], top: u64, out: &mut String) {
    for span in spans {
        let (first, last) = (span.start / ROW, (span.end - 1) / ROW);
        for row in (first..=last).take_while(|row| *row < MOST_ROWS) {
            let (from, to) = (span.start.max(row * ROW), span.end.min((row + 1) * ROW));
            let (x, y, width) = (LEFT + (from - row * ROW) * BYTE, top + row * HEIGHT, (to - from) * BYTE);
            _ = writeln!(
                out,
                "<rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\"><title>{}</title></rect>",
                class(span),
                escaped(&words(part, span))
            );
            if span.fate != SpanFate::Hole && row == first {
                let name = if span.name.is_empty() { part } else { &span.name };
                // A letter of this size takes 8.
                let room = usize::try_from(width / 8).unwrap_or(0).saturating_sub(1);
                let full = format!("{name} {}", span.spelling);
                let told = if full.chars().count() <= room { full } else { cut(name, room) };
                _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{}</text>", x + 6, y + 22, escaped(&told));
            }
        }
    }
    let rows = spans.last().map_or(0, |span| span.end.div_ceil(ROW)).min(MOST_ROWS);
    for row in 0..rows {
        _ = writeln!(out, "<text class=\"dim\" x=\"0\" y=\"{}\">{}</text>", top + row * HEIGHT + 22, row * ROW);
    }
}

fn arrows(ruler: &Ruler, old: u64, new: u64, out: &mut String) {
    let middle = |start: u64, top: u64| {
        let row = start / ROW;
        (row < MOST_ROWS).then(|| (LEFT + start % ROW * BYTE + BYTE / 3, top + row * HEIGHT + HEIGHT / 2))
    };
    for span in &ruler.new {
        let ends = span.elsewhere.and_then(|was| Some((middle(was, old)?, middle(span.start, new)?)));
        if let Some(((x, y), (to_x, to_y))) = ends {
            let bend = (y + to_y) / 2;
            _ = writeln!(
                out,
                "<path marker-end=\"url(#tip)\" d=\"M{x} {}C{x} {bend} {to_x} {bend} {to_x} {}\"/>",
                y + HEIGHT / 2,
                to_y - HEIGHT / 2
            );
        }
    }
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() <= width {
        true => text.to_owned(),
        false => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}
