//! What an upgrade would do.

use std::fmt::Write as _;

use maplock::layout::MapDef;
use maplock::plan::KeptThen;

use crate::node::{Foreseen, Rehearsal, Samples};
use crate::terminal::{self, BOLD, DIM, block};
use maplock::layout::values::line;

pub(super) fn render(told: &Foreseen) -> String {
    let mut out = String::new();
    if terminal::is_quiet() {
        return told.errors().map(block).collect();
    }
    for (index, line) in told.plan.head().iter().enumerate() {
        _ = if index == 0 { writeln!(out, "{BOLD}{line}{BOLD:#}") } else { writeln!(out, "  {line}") };
    }
    for (index, line) in told.plan.table().iter().enumerate() {
        _ = if index == 0 { writeln!(out, "{DIM}{line}{DIM:#}") } else { writeln!(out, "{line}") };
    }
    _ = writeln!(out, "{}", told.plan.outcome());
    if let Some(way_back) = &told.plan.way_back {
        _ = writeln!(out, "a roll-back from there leads to {way_back}");
        // The only one that is kept gives its place to the live one, as ever.
        let KeptThen { stay, go, .. } = &told.kept_then;
        if !told.plan.leaves_kept && (!stay.is_empty() || go.len() > 1) {
            _ = writeln!(out, "with --keep {}: {}", told.keep, told.kept_then);
        }
    }
    for samples in &told.samples {
        sampled(samples, &mut out);
    }
    if let Some(rehearsal) = &told.rehearsal {
        rehearsed(rehearsal, &mut out);
    }
    for note in told.notes.iter().chain(&told.plan.looked_words()) {
        _ = writeln!(out, "{BOLD}note{BOLD:#}: {note}");
    }
    for error in told.errors() {
        _ = write!(out, "\n{}", block(error));
    }
    out
}

/// What came of converting all entries, with some of each kind.
fn rehearsed(rehearsal: &Rehearsal, out: &mut String) {
    _ = writeln!(out, "\n{}", rehearsal.summary());
    for map in &rehearsal.maps {
        let of = match map {
            Ok(of) => of,
            Err(untried) => {
                _ = writeln!(out, "{BOLD}{}{BOLD:#}: not rehearsed: {}", untried.map, untried.why);
                continue;
            }
        };
        _ = writeln!(out, "{BOLD}{}{BOLD:#}: {}", of.map, of.summary());
        let kinds = of.examples.iter().map(|example| example.kind.name().len()).max().unwrap_or(0);
        for example in &of.examples {
            let mut row = |word: &str, def: &MapDef, (key, value): &(Vec<u8>, Vec<u8>)| {
                _ = writeln!(out, "  {DIM}{word:kinds$}{DIM:#}  {}", entry(def, key, value));
            };
            row(example.kind.name(), &of.old, &example.old);
            example.becomes.iter().flatten().for_each(|new| row("new", &of.new, new));
            if let Some(back) = &example.back {
                row("back", &of.old, back);
            }
            if let Err(problem) = &example.becomes {
                _ = writeln!(out, "  {DIM}{:kinds$}{DIM:#}  {problem}", "");
            }
            if let Some(other) = &example.other {
                let key = line(of.old.key.as_deref(), "key", other);
                _ = writeln!(out, "  {DIM}{:kinds$}{DIM:#}  as does {key}", "");
            }
        }
    }
}

/// A key and a value by their members.
fn entry(def: &MapDef, key: &[u8], value: &[u8]) -> String {
    format!("{}  ->  {}", line(def.key.as_deref(), "key", key), line(def.value.as_deref(), "value", value))
}

/// Entries as they are, each with what it becomes below it.
fn sampled(samples: &Samples, out: &mut String) {
    if samples.entries.is_empty() {
        return;
    }
    let of = samples.of.map_or_else(String::new, |all| format!(" of {all}"));
    let shown = samples.entries.len();
    _ = writeln!(out, "\n{BOLD}{}{BOLD:#}, {shown}{of} as they are and as they will be:", samples.map);
    for sample in &samples.entries {
        _ = writeln!(out, "  {DIM}old{DIM:#}  {}", entry(&samples.old, &sample.key, &sample.value));
        match &sample.becomes {
            Ok(entries) if entries.is_empty() => _ = writeln!(out, "  {DIM}new{DIM:#}  dropped"),
            Ok(entries) => entries.iter().for_each(|(key, value)| {
                _ = writeln!(out, "  {DIM}new{DIM:#}  {}", entry(&samples.new, key, value));
            }),
            Err(problem) => _ = writeln!(out, "  {DIM}new{DIM:#}  can't be converted: {problem}"),
        }
    }
}
