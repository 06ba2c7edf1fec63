//! What became of locks.

use std::fmt::Write as _;

use maplock_layout::rules::Level;

use super::{members, on_nodes};
use crate::formats::ruler;
use crate::formats::table::{columns, with_head};
use crate::outcome::{Change, Ending, Outcome, count, merged};
use crate::terminal::{self, BAD, BOLD, CAUTION, GOOD};

pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let blocks: Vec<_> = match terminal::is_quiet() {
        true => outcomes.iter().filter(|outcome| outcome.fails()).map(failing).collect(),
        false => outcomes.iter().map(block).collect(),
    };
    // One line each stands close; anything longer gets air.
    let gap = if blocks.iter().all(|block| block.lines().count() == 1) { "" } else { "\n" };
    let mut out = blocks.join(gap);
    // The last line is what stays in sight.
    let failing = outcomes.iter().filter(|outcome| outcome.fails()).count();
    if failing > 0 && outcomes.last().is_some_and(|last| !last.fails()) && !terminal::is_quiet() {
        let what = if outcomes.iter().any(|outcome| outcome.against.is_some()) { "comparison" } else { "lock" };
        let fails = if failing == 1 { "fails" } else { "fail" };
        _ = writeln!(out, "{gap}{BAD}error: {BAD:#}{failing} of {} {fails}", count(outcomes.len(), what));
    }
    out
}

fn block(outcome: &Outcome) -> String {
    let mut out = String::new();
    let report = match outcome.ending {
        // What was accepted stands in the list below, and in full in a diff.
        Ending::Breaks | Ending::Compatible => outcome.report(true, |finding| finding.accepted.is_none()),
        // What is left after a decision is told in a note.
        Ending::Written if outcome.changes.iter().any(Change::is_decision) => String::new(),
        Ending::Written => outcome.report(true, |finding| finding.accepted.is_none()),
        _ => outcome.report(true, |_| true),
    };
    if !report.is_empty() {
        _ = write!(out, "{report}\n\n");
    }
    if outcome.ending == Ending::Compared {
        verdicts(outcome, &mut out);
        bytes(outcome, &mut out);
    }
    out.extend(outcome.on_nodes.as_ref().map(on_nodes::render));
    if matches!(outcome.ending, Ending::Breaks | Ending::Compatible) {
        accepted(outcome, &mut out);
    }
    let (decisions, changes): (Vec<_>, Vec<_>) = outcome.changes.iter().partition(|change| change.is_decision());
    decisions.iter().for_each(|change| decision(change, &mut out));
    let rows = changes.iter().map(|change| [change.kind.to_owned(), change.map.clone(), change.what.clone()]);
    let rows: Vec<_> = rows.collect();
    out.push_str(&columns("  ", &rows));
    one_way(outcome, &mut out);
    for note in &outcome.notes {
        _ = writeln!(out, "{BOLD}note{BOLD:#}: {note}");
    }
    headline(outcome, &mut out);
    out
}

/// The same, without what does not fail.
fn failing(outcome: &Outcome) -> String {
    let mut out = String::new();
    let report = outcome.report(true, |finding| finding.accepted.is_none() && finding.level == Level::Deny);
    if !report.is_empty() {
        _ = write!(out, "{report}\n\n");
    }
    out.extend(outcome.on_nodes.as_ref().map(on_nodes::failing));
    one_way(outcome, &mut out);
    headline(outcome, &mut out);
    out
}

fn one_way(outcome: &Outcome, out: &mut String) {
    for (map, why) in &outcome.one_way {
        _ = writeln!(out, "{BAD}error{BAD:#}: map `{map}`: no way back without a loss: {why}");
    }
}

fn headline(outcome: &Outcome, out: &mut String) {
    let (style, word) = match outcome.ending {
        Ending::Breaks | Ending::OutOfDate | Ending::Disagrees | Ending::Undone(_) => (BAD, "error: "),
        Ending::Compared | Ending::OnNodes if outcome.fails() => (BAD, "error: "),
        _ => (GOOD, ""),
    };
    _ = writeln!(out, "{style}{word}{style:#}{}", outcome.headline());
    if let (Ending::Disagrees, Some(error)) = (&outcome.ending, &outcome.undone) {
        out.push_str(&terminal::why(error));
    }
}

/// `map  what  why`, as a plan on a node shows it.
fn verdicts(outcome: &Outcome, out: &mut String) {
    if outcome.comparison.maps.is_empty() {
        return;
    }
    let verdicts = outcome.verdicts();
    let rows = verdicts.iter().flat_map(|verdict| {
        let refused = verdict.must_fit.map(|must_fit| format!("; {must_fit}")).unwrap_or_default();
        let why = format!("{}{refused}", outcome.why(verdict));
        let row = [verdict.map.clone(), verdict.disposition.to_string(), why];
        let more = Outcome::readings(verdict).into_iter().chain(outcome.way_out(verdict));
        std::iter::once(row).chain(more.map(|line| [String::new(), String::new(), line]))
    });
    _ = writeln!(out, "{}", with_head(["map", "what", "why"], rows.collect()));
}

/// Most maps of which the bytes are shown.
const MOST_MAPS: usize = 5;

/// Old bytes above new ones, worst map first.
fn bytes(outcome: &Outcome, out: &mut String) {
    let all: Vec<_> =
        outcome.verdicts().into_iter().filter_map(|verdict| Some((verdict, outcome.bytes(verdict)?))).collect();
    for (verdict, bytes) in all.iter().take(MOST_MAPS) {
        _ = writeln!(out, "{}", ruler::text(&verdict.map, bytes));
    }
    if let Some(more) = all.len().checked_sub(MOST_MAPS).filter(|more| *more > 0) {
        _ = writeln!(out, "the bytes of {} more change; `--message-format markdown` shows all\n", count(more, "map"));
    }
}

/// The breaks that are accepted, with the reason that reviewers were given.
fn accepted(outcome: &Outcome, out: &mut String) {
    let rows: Vec<_> = outcome
        .verdicts()
        .into_iter()
        .filter_map(|verdict| Some((verdict, outcome.accepted(verdict)?)))
        .flat_map(|(verdict, (way, reason))| {
            let more: String = outcome.answers(verdict).iter().map(|answer| format!("; {answer}")).collect();
            let must_fit = verdict.must_fit.map(|must_fit| must_fit.to_string());
            let risks: String = verdict.eviction.iter().chain(&must_fit).map(|risk| format!("; {risk}")).collect();
            let row =
                ["accepted".to_owned(), verdict.map.clone(), way.to_string(), format!("\"{reason}\"{more}{risks}")];
            let empty = String::new;
            let readings = Outcome::readings(verdict).into_iter().map(move |line| [empty(), empty(), empty(), line]);
            std::iter::once(row).chain(readings)
        })
        .collect();
    out.push_str(&columns("  ", &rows));
}

/// An epoch that was accepted or taken back.
fn decision(change: &Change, out: &mut String) {
    let Some(epoch) = &change.epoch else {
        _ = writeln!(out, "{GOOD}{}{GOOD:#} `{}`: {}\n", change.kind, change.map, change.what);
        return;
    };
    let (from, to) = (epoch.from.short(), epoch.to.short());
    if change.kind == "undone" {
        _ = writeln!(
            out,
            "{CAUTION}undone{CAUTION:#} `{}`: {} of {}, \"{}\"",
            change.map,
            epoch.on_upgrade,
            epoch.rules.join(", "),
            epoch.reason
        );
        _ = writeln!(out, "  the lock has the definition {from} again, in place of {to}\n");
        return;
    }
    _ = writeln!(out, "{GOOD}accepted{GOOD:#} `{}`: {}", change.map, epoch.on_upgrade);
    let mut rows = vec![
        ["digest".to_owned(), if from == to { format!("{from}, as before") } else { format!("{from} to {to}") }],
        ["rules".to_owned(), epoch.rules.join(", ")],
        ["reason".to_owned(), epoch.reason.clone()],
        ["effect".to_owned(), change.what.clone()],
    ];
    rows.extend(change.readings.iter().map(|line| ["reads".to_owned(), line.clone()]));
    let merges = [merged(&change.merge), merged(&epoch.merge).map(|once| format!("{once}, on this way"))];
    rows.extend(merges.into_iter().flatten().map(|merged| ["merge".to_owned(), merged]));
    out.push_str(&columns("  ", &rows));
    if let Some(conversion) = &change.conversion {
        out.push_str(&members(conversion, "  "));
    }
    out.push('\n');
}
