//! What became of locks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maplock_codegen::report::Command;
use maplock_layout::rules::Level;
use maplock_layout::{Disposition, Finding, Verdict};

use super::sections::Section;
use super::{cell, code, html, longest_run, on_nodes, text, why};
use crate::conversion::{Conversion, How, of_one_key};
use crate::formats::ruler;
use crate::outcome::{Ending, OBJECTS, Outcome, count, merged};

/// All that is said below a heading.
pub(super) fn section(section: &Section<'_>) -> String {
    let outcome = section.outcome;
    let mut out = String::new();
    if !outcome.old.name.is_empty() {
        let side = |name: &str| if name == OBJECTS { name.to_owned() } else { code(name) };
        let old: Vec<_> = section.old.iter().map(|name| side(name)).collect();
        _ = writeln!(out, "\nFrom {} to {}.", old.join(", "), side(&outcome.new.name));
    }
    outcome.undone.iter().for_each(|error| out.push_str(&why(error)));
    for (map, why) in outcome.one_way.iter().filter(|(map, _)| section.tells(map)) {
        _ = writeln!(out, "\n{}: no way back without a loss: {}", code(map), text(why));
    }
    for note in &outcome.notes {
        _ = writeln!(out, "\n{}", text(note));
    }
    out.extend(outcome.on_nodes.as_ref().map(on_nodes::render));
    verdicts(section, &mut out);
    changes(outcome, &mut out);
    commands(section, &mut out);
    findings(section, &mut out);
    out
}

/// Rows that are open; the rest is folded.
const OPEN: usize = 5;

fn verdicts(section: &Section<'_>, out: &mut String) {
    let outcome = section.outcome;
    let told_here = || outcome.verdicts().into_iter().filter(|verdict| section.tells(&verdict.map));
    let (same, told): (Vec<_>, Vec<_>) = told_here().partition(|verdict| is_same(outcome, verdict));
    const HEAD: &str = "\n| map | on upgrade | why |\n|---|---|---|\n";
    let row = |verdict: &&Verdict| {
        let what = match outcome.what(verdict) {
            (Disposition::Refuse | Disposition::Swap | Disposition::Drop, Some(becomes)) => {
                format!("**{}**: {becomes}", verdict.disposition)
            }
            (other, Some(becomes)) => format!("{other}: {becomes}"),
            (other, None) => other.to_string(),
        };
        let why: Vec<_> = std::iter::once(outcome.why(verdict)).chain(outcome.way_out(verdict)).collect();
        format!("| {} | {what} | {} |\n", cell(&code(&verdict.map)), cell(&text(&why.join("; "))))
    };
    let (open, more) = told.split_at(told.len().min(OPEN));
    if !open.is_empty() {
        _ = write!(out, "{HEAD}{}", open.iter().map(row).collect::<String>());
    }
    if !more.is_empty() {
        let rows: String = more.iter().map(row).collect();
        folded(&format!("{} more", count(more.len(), "map")), &format!("{HEAD}{rows}"), out);
    }
    let names: Vec<_> = same.iter().map(|verdict| code(&verdict.map)).collect();
    match names.len() {
        0 => {}
        few if few <= OPEN => _ = writeln!(out, "\nUnchanged: {}.", names.join(", ")),
        many => folded(&format!("{} unchanged", count(many, "map")), &format!("\n{}\n", names.join(", ")), out),
    }
    let mut before: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    section.told.iter().for_each(|(map, against)| before.entry(against).or_default().push(code(map)));
    for (against, maps) in before {
        _ = writeln!(out, "\nAs against {}: {}.", code(against), maps.join(", "));
    }
    let told =
        told_here().flat_map(|verdict| Outcome::readings(verdict).into_iter().map(move |line| (&verdict.map, line)));
    let told: Vec<_> = told.map(|(map, line)| format!("- {}: {}\n", code(map), text(&line))).collect();
    if !told.is_empty() {
        _ = write!(out, "\nOld bytes that are read otherwise:\n\n{}", told.concat());
    }
}

/// True if there is nothing to tell of a map but that it stays.
pub(super) fn is_same(outcome: &Outcome, verdict: &Verdict) -> bool {
    verdict.disposition == Disposition::Reuse
        && verdict.untold.is_none()
        && outcome.comparison.of_map(&verdict.map).next().is_none()
}

/// What is seen when a reader asks for it.
pub(super) fn folded(summary: &str, content: &str, out: &mut String) {
    _ = write!(out, "\n<details><summary>{summary}</summary>\n{content}\n</details>\n");
}

fn changes(outcome: &Outcome, out: &mut String) {
    if outcome.changes.is_empty() {
        return;
    }
    let what = if outcome.ending == Ending::OutOfDate { "to be written" } else { "written" };
    _ = writeln!(out, "\n| {what} | map | what |\n|---|---|---|");
    for change in &outcome.changes {
        let map = if change.map.is_empty() { String::new() } else { cell(&code(&change.map)) };
        let mut what = text(&change.what);
        if let Some(epoch) = change.epoch.as_ref().filter(|_| change.kind == "accepted") {
            _ = write!(what, " ({}; \"{}\")", text(&epoch.rules.join(", ")), text(&epoch.reason));
            let once = merged(&epoch.merge).map(|once| format!("{once}, on this way"));
            for merged in merged(&change.merge).into_iter().chain(once) {
                _ = write!(what, "; {}", text(&merged));
            }
        }
        for line in &change.readings {
            _ = write!(what, "; {}", text(line));
        }
        if let Some(line) = change.conversion.as_ref().map(line).filter(|line| !line.is_empty()) {
            _ = write!(what, "; {}", text(&line));
        }
        _ = writeln!(out, "| {} | {map} | {} |", change.kind, cell(&what));
    }
}

/// In a line: what becomes of each member that does not stay as it is.
fn line(of: &Conversion) -> String {
    match &of.how {
        How::Derived(derived) => {
            let changed = derived.members.iter().filter(|member| !member.is_kept());
            let changed = changed.map(|member| format!("{}: {member}", member.name()));
            changed.chain(derived.leg.collide.map(of_one_key)).collect::<Vec<_>>().join("; ")
        }
        How::ByHand(line) => format!("by hand: {line}"),
        How::Open(problems) => {
            let questions = problems.questions.iter().map(|question| format!("open: {question}"));
            let mistakes = problems.mistakes.iter().map(|mistake| format!("wrong: {mistake}"));
            questions.chain(mistakes).collect::<Vec<_>>().join("; ")
        }
    }
}

/// What was found, folded map by map, with the bytes before and after.
fn findings(section: &Section<'_>, out: &mut String) {
    let outcome = section.outcome;
    let is_told = |finding: &&Finding| finding.level != Level::Allow && finding.consequence_of.is_none();
    let told: Vec<_> = outcome.findings().into_iter().filter(is_told).collect();
    // Of two objects that disagree, there is no verdict.
    let alone: Vec<_> =
        told.iter().filter(|finding| outcome.comparison.verdict(&finding.map).is_none()).copied().collect();
    if !alone.is_empty() {
        out.push_str(&table(&alone, None));
    }
    for verdict in outcome.verdicts().into_iter().filter(|verdict| section.tells(&verdict.map)) {
        let own: Vec<_> = told.iter().filter(|finding| finding.map == verdict.map).copied().collect();
        let bytes = outcome.bytes(verdict);
        if own.is_empty() && bytes.is_none() {
            continue;
        }
        let mut content = if own.is_empty() { String::new() } else { table(&own, Some(&verdict.map)) };
        if let Some(bytes) = &bytes {
            let shown = ruler::text(&verdict.map, bytes);
            let fence = "`".repeat(longest_run(&shown).max(2) + 1);
            _ = write!(content, "\n{fence}text\n{shown}{fence}\n");
        }
        let name = html(&format!("`{}`", verdict.map));
        let what = match (own.len(), &bytes) {
            (0, _) => "bytes before and after".to_owned(),
            (found, None) => count(found, "finding"),
            (found, Some(_)) => format!("{}, and the bytes before and after", count(found, "finding")),
        };
        folded(&format!("{name}: {what}"), &content, out);
    }
}

/// Findings; if all are `of` one map that is named above them, its name is not said again.
fn table(findings: &[&Finding], of: Option<&str>) -> String {
    let mut out = "\n| finding | where | old | new |\n|---|---|---|---|\n".to_owned();
    for finding in findings {
        let level = match finding.accepted {
            Some(_) => "accepted".to_owned(),
            None if finding.is_break() => "**break**".to_owned(),
            None => "warning".to_owned(),
        };
        let side = |side: Option<(String, Option<maplock_layout::Place>)>| match side {
            None => String::new(),
            Some((side, Some(place))) => format!("{} at {place}", code(&side)),
            Some((side, None)) => code(&side),
        };
        let path = finding.path();
        _ = writeln!(
            out,
            "| {level}: {} | {} | {} | {} |",
            code(finding.rule.id),
            cell(&code(of.map_or(path.as_str(), |of| path.strip_prefix(&format!("{of}.")).unwrap_or(&path)))),
            cell(&side(finding.old_and_place())),
            cell(&side(finding.new_and_place())),
        );
    }
    out
}

fn commands(section: &Section<'_>, out: &mut String) {
    let outcome = section.outcome;
    // The others explain the rules, which are named above.
    let answers = |map: &str| outcome.commands(map).into_iter().filter(|of| of.is_answer).collect();
    block(section, "For each map, one of:", &answers, out);
    block(section, "For counters that nothing merges, one of:", &|map| outcome.merging(map), out);
}

/// Commands to type, those of each map together.
fn block(section: &Section<'_>, head: &str, commands: &dyn Fn(&str) -> Vec<Command>, out: &mut String) {
    let of_map = |map: &String| {
        let told = |Command { purpose, line, .. }| format!("# {map}: {purpose}\n{line}");
        commands(map).into_iter().map(told).collect::<Vec<_>>()
    };
    let maps = section.outcome.comparison.maps.iter().map(|verdict| &verdict.map);
    let lines: Vec<_> = maps.filter(|map| section.tells(map)).flat_map(of_map).collect();
    if lines.is_empty() {
        return;
    }
    let lines = lines.join("\n");
    let fence = "`".repeat(longest_run(&lines).max(2) + 1);
    _ = write!(out, "\n{head}\n\n{fence}sh\n{lines}\n{fence}\n");
}
