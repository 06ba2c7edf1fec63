//! A picture of a key or a value: members as boxes on a grid of bytes, the old ones above the new ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maplock_layout::{Ruler, Span, SpanFate};

use super::xml::escaped;
use crate::map_part::MapPart;

/// Bytes in a row.
const ROW: u64 = 8;
/// Width of a byte and height of a row.
const BYTE: u64 = 88;
const HEIGHT: u64 = 34;
/// Left of the grid stand the numbers of bytes, and which side it is.
const LEFT: u64 = 104;
/// Between the old side and the new one, where arrows bend.
const GAP: u64 = 30;
/// Around all of it.
const EDGE: u64 = 10;
/// Between arrows that come from one box, and from its edge.
const LANE: u64 = 9;
/// Most rows of a side; the rest is told in words.
const MOST_ROWS: u64 = 64;

/// Said where elements of an array have no arrow.
const FIRST_ALONE: &str = "Of an array, arrows show the first element that has members elsewhere.";

/// Colours for light and dark, and text that no box is too small for.
pub(crate) const STYLE: &str = "\
svg{--ink:#1f2328;--dim:#59636e;--box:#fff;--line:#8c959f;--new:#dafbe1;--moved:#ddf4ff;--size:#fff8c5;--other:#fbefff;--gone:#ffebe9;background:#fff}\
@media(prefers-color-scheme:dark){svg{--ink:#f0f6fc;--dim:#9198a1;--box:#0d1117;--line:#656c76;--new:#12361f;--moved:#0c2d4d;--size:#3d3207;--other:#2f1c4d;--gone:#4c1619;background:#0d1117}}\
text{font:13px ui-monospace,monospace;fill:var(--ink)}.dim{fill:var(--dim)}.head{font-weight:600}\
rect{fill:var(--fill,var(--box));stroke:var(--line)}.new{--fill:var(--new)}.moved{--fill:var(--moved)}.size{--fill:var(--size)}.other{--fill:var(--other)}.gone{--fill:var(--gone)}rect.hole{fill:url(#hole)}\
.in{paint-order:stroke;stroke:var(--fill,var(--box));stroke-width:5px}\
path{fill:none;stroke:var(--dim);stroke-width:1.5}.tip,.hatch{stroke:var(--dim)}.at{text-anchor:end}";

/// What all pictures of a page share: the hatching of holes, and the tip of arrows.
pub(crate) const DEFS: &str = "<svg width=\"0\" height=\"0\" aria-hidden=\"true\" style=\"position:absolute\"><defs><pattern id=\"hole\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V8\"/></pattern><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path class=\"tip\" d=\"M0 0L8 4L0 8\"/></marker></defs></svg>";

/// The picture of each part, in one file.
pub(crate) fn picture(map: &str, parts: &[(MapPart, Ruler)]) -> String {
    let (width, height, body) = drawn(map, parts);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-{EDGE} 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n{DEFS}\n{body}</svg>\n",
        escaped(&title(map)),
        escaped(&description(parts)),
    )
}

/// The same within a page that has [`STYLE`] and [`DEFS`].
pub(crate) fn inline(map: &str, parts: &[(MapPart, Ruler)]) -> String {
    let (width, height, body) = drawn(map, parts);
    format!(
        "<svg viewBox=\"-{EDGE} 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{}. {}\">\n{body}</svg>",
        escaped(&title(map)),
        escaped(&description(parts)),
    )
}

fn title(map: &str) -> String {
    format!("Bytes of the map {map}")
}

/// Width, height and elements.
fn drawn(map: &str, parts: &[(MapPart, Ruler)]) -> (u64, u64, String) {
    let mut body = String::new();
    // Above arrows, which pass below it.
    let mut texts = String::new();
    let mut y = 4;
    for (part, ruler) in parts {
        let part = part.name();
        let Ruler { old_size, new_size, .. } = ruler;
        let size = match old_size == new_size {
            true => format!("{new_size} bytes"),
            false => format!("{old_size} bytes before, {new_size} after"),
        };
        y += 20;
        _ = writeln!(
            texts,
            "<text class=\"head\" x=\"0\" y=\"{y}\">{}</text>",
            escaped(&format!("{part} of {map}: {size}"))
        );
        y += 10;
        let old = (!ruler.is_same()).then(|| {
            let top = y;
            y = side(part, "before", &ruler.old, *old_size, top, (&mut body, &mut texts));
            let bottom = y;
            y += GAP;
            (top, bottom)
        });
        let top = y;
        y = side(part, if old.is_some() { "after" } else { "" }, &ruler.new, *new_size, top, (&mut body, &mut texts));
        if let Some((old, bottom)) = old {
            arrows(ruler, (old, bottom, top), &mut body);
        }
        y += 16;
    }
    y = legend(parts, y, (&mut body, &mut texts));
    (LEFT + ROW * BYTE + 2 * EDGE, y, body + &texts)
}

/// What the picture shows, in words, for those who hear it.
fn description(parts: &[(MapPart, Ruler)]) -> String {
    let mut told = Vec::new();
    for (part, ruler) in parts {
        let part = part.name();
        told.push(format!("The {part}:"));
        told.extend(ruler.new.iter().map(|span| format!("{}.", words(part, span, "was"))));
        let gone = ruler.old.iter().filter(|span| span.fate == SpanFate::Gone);
        told.extend(gone.map(|span| format!("{}.", words(part, span, "now"))));
    }
    if leaves_out(parts) {
        told.push(FIRST_ALONE.to_owned());
    }
    told.join(" ")
}

/// `elsewhere` is the word for where it stands on the other side.
fn words(part: &str, span: &Span, elsewhere: &str) -> String {
    let place = match (span.start, span.end - 1) {
        (first, last) if first == last => format!("byte {first}"),
        (first, last) => format!("bytes {first} to {last}"),
    };
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
    let at = span.elsewhere.map_or_else(String::new, |byte| format!(", {elsewhere} at byte {byte}"));
    format!("{place}: {name}, {}{what}{at}", span.spelling)
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

/// What the colours mean that are there, and the arrows, below `top`; where it ends.
fn legend(parts: &[(MapPart, Ruler)], top: u64, (boxes, texts): (&mut String, &mut String)) -> u64 {
    const MEANINGS: [(&str, &str); 6] = [
        ("new", "new"),
        ("moved", "moved"),
        ("size", "grew or shrank"),
        ("other", "other type, meaning or name"),
        ("gone", "gone"),
        ("hole", "no member"),
    ];
    let spans = || parts.iter().flat_map(|(_, ruler)| ruler.old.iter().chain(&ruler.new));
    let mut x = LEFT;
    let is_there = |of: &str| spans().any(|span| class(span) == of);
    for (of, meaning) in MEANINGS.into_iter().filter(|(of, _)| is_there(of)) {
        _ = writeln!(boxes, "<rect class=\"{of}\" x=\"{x}\" y=\"{top}\" width=\"14\" height=\"14\"/>");
        _ = writeln!(texts, "<text class=\"dim\" x=\"{}\" y=\"{}\">{meaning}</text>", x + 20, top + 12);
        x += 36 + 8 * meaning.len() as u64;
    }
    let mut bottom = if x > LEFT { top + 24 } else { top };
    if leaves_out(parts) {
        let y = bottom + 8;
        _ = writeln!(texts, "<text class=\"dim\" x=\"{LEFT}\" y=\"{y}\">{FIRST_ALONE}</text>");
        bottom += 18;
    }
    bottom
}

/// One side, below `top`; where it ends.
fn side(
    part: &str,
    when: &str,
    spans: &[Span],
    size: u64,
    top: u64,
    (boxes, texts): (&mut String, &mut String),
) -> u64 {
    let elsewhere = if when == "before" { "now" } else { "was" };
    for span in spans {
        let (first, last) = (span.start / ROW, (span.end - 1) / ROW);
        for row in (first..=last).take_while(|row| *row < MOST_ROWS) {
            let (from, to) = (span.start.max(row * ROW), span.end.min((row + 1) * ROW));
            let (x, y, width) = (LEFT + (from - row * ROW) * BYTE, top + row * HEIGHT, (to - from) * BYTE);
            _ = writeln!(
                boxes,
                "<rect class=\"{}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\"><title>{}</title></rect>",
                class(span),
                escaped(&words(part, span, elsewhere))
            );
            if span.fate != SpanFate::Hole && row == first {
                let (class, x, y) = (class(span), x + 6, y + 22);
                let told = escaped(&label(part, span, width));
                _ = writeln!(texts, "<text class=\"in {class}\" x=\"{x}\" y=\"{y}\">{told}</text>");
            }
        }
    }
    let rows = size.div_ceil(ROW);
    for row in 0..rows.min(MOST_ROWS) {
        let y = top + row * HEIGHT + 22;
        _ = writeln!(texts, "<text class=\"dim at\" x=\"{}\" y=\"{y}\">{}</text>", LEFT - 10, row * ROW);
        if row == 0 && !when.is_empty() {
            _ = writeln!(texts, "<text class=\"head\" x=\"0\" y=\"{y}\">{when}</text>");
        }
    }
    let bottom = top + rows.min(MOST_ROWS) * HEIGHT;
    if rows <= MOST_ROWS {
        return bottom;
    }
    let more = size - MOST_ROWS * ROW;
    _ = writeln!(texts, "<text class=\"dim\" x=\"{LEFT}\" y=\"{}\">{more} bytes more</text>", bottom + 18);
    bottom + 24
}

/// What fits into a box: the way to the member with its type, else its end, which tells it apart from its neighbours.
fn label(part: &str, span: &Span, width: u64) -> String {
    let name = if span.name.is_empty() { part } else { &span.name };
    // A letter of this size takes 8.
    let room = usize::try_from(width / 8).unwrap_or(0).saturating_sub(1);
    let end = name.rsplit('.').next().filter(|_| !name.contains(' ')).unwrap_or(name);
    let full = format!("{name} {}", span.spelling);
    let fits = [&full, name, end].into_iter().find(|told| told.chars().count() <= room);
    fits.map_or_else(|| cut(end, room), str::to_owned)
}

/// The members that moved, as they are on the new side.
fn all_arrows(ruler: &Ruler) -> impl Iterator<Item = &Span> {
    ruler.new.iter().filter(|span| span.elsewhere.is_some())
}

/// Those of them that get an arrow: of an array, what its first element holds that has any. Eight elements of three members would be a tangle.
fn shown_arrows(ruler: &Ruler) -> impl Iterator<Item = &Span> {
    let mut firsts = BTreeMap::new();
    all_arrows(ruler).filter(move |span| {
        let Some(end) = span.name.rfind(']') else { return true };
        let element = &span.name[..end];
        // The array's name is that of its elements without their numbers.
        let parts = element.split('[').map(|part| part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
        let array = parts.collect::<Vec<_>>().join("[");
        *firsts.entry(array).or_insert(element) == element
    })
}

/// True if a member that moved has no arrow.
fn leaves_out(parts: &[(MapPart, Ruler)]) -> bool {
    parts.iter().any(|(_, ruler)| shown_arrows(ruler).count() < all_arrows(ruler).count())
}

/// An arrow for each of them: down to the end of the old side, which the new one follows, and on to its new place.
fn arrows(ruler: &Ruler, (old, bottom, new): (u64, u64, u64), out: &mut String) {
    // A member's first row: its right edge, and its top.
    let corner = |span: (u64, u64), top: u64| {
        let (start, end) = span;
        let row = start / ROW;
        let right = end.min((row + 1) * ROW) - row * ROW;
        (row < MOST_ROWS).then(|| (LEFT + right * BYTE, top + row * HEIGHT))
    };
    let ends = shown_arrows(ruler).filter_map(|span| {
        let was = span.elsewhere?;
        let before = ruler.old.iter().find(|old| old.start == was)?;
        Some((corner((before.start, before.end), old)?, corner((span.start, span.end), new)?))
    });
    for (at, ((x, y), (to_x, to_y))) in ends.enumerate() {
        let lane = LANE * (1 + at as u64 % 7);
        let (x, to_x, middle) = (x - lane, to_x - lane, u64::midpoint(bottom, new));
        // A line of no length would turn its tip.
        let on = if to_y == new { String::new() } else { format!("V{to_y}") };
        _ = writeln!(
            out,
            "<path marker-end=\"url(#tip)\" d=\"M{x} {}V{bottom}C{x} {middle} {to_x} {middle} {to_x} {new}{on}\"/>",
            y + HEIGHT
        );
    }
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
