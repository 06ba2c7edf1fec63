//! How entries are converted.

use std::fmt::Write as _;

use crate::conversion::{Conversion, How, of_one_key};
use crate::formats::table::columns;
use crate::outcome::count;
use crate::terminal::{BAD, BOLD, GOOD};
use crate::verbs::migrate::Conversions;

pub(super) fn render(of: &Conversions) -> String {
    let Conversions { rows, tested } = of;
    let mut out = String::new();
    for row in rows {
        let Conversion { map, from, to, .. } = &row.conversion;
        _ = writeln!(out, "{BOLD}{map}{BOLD:#}  {} to {}", &from[..8], &to[..8]);
        out.push_str(&members(&row.conversion, "  "));
        if let Some(note) = &row.note {
            _ = writeln!(out, "  {note}");
        }
        if let Some(tried) = row.rehearsed.as_ref().filter(|tried| tried.generated + tried.dumped + tried.refused > 0) {
            let mut parts = vec![format!("{} generated entries converted", tried.generated)];
            let more = [
                (tried.refused, "refused"),
                (tried.dumped, "of dumps converted"),
                (tried.returned, "came back as they were"),
                (tried.collided, "keys that others have"),
            ];
            parts.extend(more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
            _ = writeln!(out, "  {GOOD}tested{GOOD:#}: {}", parts.join(", "));
        }
        for problem in row.rehearsed.iter().flat_map(|tried| &tried.problems) {
            _ = writeln!(out, "  {BAD}error{BAD:#}: {problem}");
        }
        out.push('\n');
    }
    let failed = rows.iter().filter(|row| row.fails()).count();
    let ways = count(rows.len(), "conversion");
    let untried = rows.iter().filter(|row| row.rehearsed.is_none()).count();
    _ = match (failed, *tested, untried) {
        (0, false, _) => writeln!(out, "{GOOD}{GOOD:#}{ways}"),
        (0, true, 0) => writeln!(out, "{GOOD}{GOOD:#}{ways}, each tested"),
        (0, true, untried) => writeln!(out, "{ways}, {untried} of them not tested"),
        (failed, ..) => writeln!(out, "{BAD}error{BAD:#}: {failed} of {ways} failed"),
    };
    out
}

/// A line for each member that does not stay as it is, and what else has to be known.
pub(crate) fn members(of: &Conversion, indent: &str) -> String {
    let mut out = String::new();
    match &of.how {
        How::Derived(derived) => {
            let changed = derived.members.iter().filter(|member| !member.is_kept());
            let rows: Vec<_> =
                changed.map(|member| ["member".to_owned(), member.name().to_owned(), member.to_string()]).collect();
            out.push_str(&columns(indent, &rows));
            let kept = derived.members.iter().filter(|member| member.is_kept()).count();
            if kept > 0 {
                _ = writeln!(out, "{indent}members that stay as they are: {kept}");
            }
            if let Some(collide) = derived.leg.collide {
                _ = writeln!(out, "{indent}{}", of_one_key(collide));
            }
            let back = match derived.is_lossless() {
                _ if derived.leg.inverse().is_none() => "a roll-back returns to the entries as they were left",
                _ if derived.members.iter().any(|member| member.old.is_none() && member.is_of_key()) => {
                    "a roll-back carries back what new programs wrote, as far as the old layout has a place for it"
                }
                true => "a roll-back carries back what new programs wrote, as far as the old layout has a place for it",
                false => "a roll-back carries back what new programs wrote, but for members that lost something",
            };
            _ = writeln!(out, "{indent}{back}");
        }
        How::ByHand(line) => {
            _ = writeln!(out, "{indent}by hand: the daemon needs `{line}`, and does not compile without it");
        }
        How::Open(problems) => {
            for question in &problems.questions {
                _ = writeln!(out, "{indent}open: {question}");
            }
            for mistake in &problems.mistakes {
                _ = writeln!(out, "{indent}wrong: {mistake}");
            }
        }
    }
    out
}
