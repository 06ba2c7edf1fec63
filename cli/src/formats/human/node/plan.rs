//! What an upgrade would do.

use std::fmt::Write as _;

use maplock::layout::MapDef;

use crate::formats::values::line;
use crate::node::{Denied, Foreseen, Samples};
use crate::terminal::{BOLD, DIM, block};

pub(super) fn render(told: &Foreseen) -> String {
    let mut out = String::new();
    for (index, line) in told.plan.table().iter().enumerate() {
        _ = if index == 0 { writeln!(out, "{DIM}{line}{DIM:#}") } else { writeln!(out, "{line}") };
    }
    _ = writeln!(out, "{}", told.plan.outcome());
    if let Some(way_back) = &told.plan.way_back {
        _ = writeln!(out, "a roll-back from there leads to {way_back}");
    }
    for samples in &told.samples {
        sampled(samples, &mut out);
    }
    for note in &told.notes {
        _ = writeln!(out, "{BOLD}note{BOLD:#}: {note}");
    }
    for Denied { error, .. } in &told.denied {
        _ = write!(out, "\n{}", block(error));
    }
    out
}

/// Entries as they are, each with what it becomes below it.
fn sampled(samples: &Samples, out: &mut String) {
    if samples.entries.is_empty() {
        return;
    }
    let of = samples.of.map_or_else(String::new, |all| format!(" of {all}"));
    let shown = samples.entries.len();
    _ = writeln!(out, "\n{BOLD}{}{BOLD:#}, {shown}{of} as they are and as they will be:", samples.map);
    let told = |def: &MapDef, key: &[u8], value: &[u8]| {
        format!("{}  ->  {}", line(def.key.as_deref(), "key", key), line(def.value.as_deref(), "value", value))
    };
    for sample in &samples.entries {
        _ = writeln!(out, "  {DIM}old{DIM:#}  {}", told(&samples.old, &sample.key, &sample.value));
        match &sample.becomes {
            Ok(entries) if entries.is_empty() => _ = writeln!(out, "  {DIM}new{DIM:#}  dropped"),
            Ok(entries) => entries.iter().for_each(|(key, value)| {
                _ = writeln!(out, "  {DIM}new{DIM:#}  {}", told(&samples.new, key, value));
            }),
            Err(problem) => _ = writeln!(out, "  {DIM}new{DIM:#}  can't be converted: {problem}"),
        }
    }
}
