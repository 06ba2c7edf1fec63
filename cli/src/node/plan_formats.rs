//! A plan in each format.

use std::fmt::Write as _;

use maplock::layout::{Disposition, MapDef, lock};
use maplock_codegen::SourceLine;
use serde_json::json;

use super::plan::{Samples, Told};
use super::values::members;
use crate::error::Error;
use crate::formats::github::annotation;
use crate::formats::json::to_json;
use crate::formats::markdown::{cell, code, text};
use crate::project;
use crate::terminal::{BOLD, DIM, block};

pub(super) fn human(told: &Told) -> String {
    let plan = told.plan.to_string();
    let (head, rest) = plan.split_once('\n').unwrap_or((&plan, ""));
    let mut out = format!("{DIM}{head}{DIM:#}\n{rest}\n");
    for samples in &told.samples {
        sampled(samples, &mut out);
    }
    for note in &told.notes {
        _ = writeln!(out, "{BOLD}note{BOLD:#}: {note}");
    }
    for (_, error) in &told.denied {
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
    let line = |def: &MapDef, key: &[u8], value: &[u8]| {
        let told = |of: Vec<(String, String)>| {
            of.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
        };
        let key = told(members(def.key.as_deref(), "key", key));
        format!("{key}  ->  {}", told(members(def.value.as_deref(), "value", value)))
    };
    for sample in &samples.entries {
        _ = writeln!(out, "  {DIM}old{DIM:#}  {}", line(&samples.old, &sample.key, &sample.value));
        match &sample.becomes {
            Ok(entries) if entries.is_empty() => _ = writeln!(out, "  {DIM}new{DIM:#}  dropped"),
            Ok(entries) => entries.iter().for_each(|(key, value)| {
                _ = writeln!(out, "  {DIM}new{DIM:#}  {}", line(&samples.new, key, value));
            }),
            Err(problem) => _ = writeln!(out, "  {DIM}new{DIM:#}  can't be converted: {problem}"),
        }
    }
}

/// As [`maplock::Plan::to_json`], with `denied`, a list of maps, `samples` and `notes`.
pub(super) fn json(told: &Told) -> Result<String, Error> {
    let mut document = told.plan.to_json();
    let denied: Vec<_> = told.denied.iter().map(|(map, _)| map).collect();
    document["denied"] = json!(denied);
    let of = |def: &MapDef, key: &[u8], value: &[u8]| {
        let object = |members: Vec<(String, String)>| -> serde_json::Value {
            members.into_iter().map(|(name, value)| (name, serde_json::Value::String(value))).collect()
        };
        let key = object(members(def.key.as_deref(), "key", key));
        json!({ "key": key, "value": object(members(def.value.as_deref(), "value", value)) })
    };
    let samples = told.samples.iter().map(|samples| {
        let entries = samples.entries.iter().map(|sample| {
            let old = of(&samples.old, &sample.key, &sample.value);
            match &sample.becomes {
                Ok(entries) => {
                    let new: Vec<_> = entries.iter().map(|(key, value)| of(&samples.new, key, value)).collect();
                    json!({ "old": old, "new": new })
                }
                Err(problem) => json!({ "old": old, "problem": problem }),
            }
        });
        (samples.map.clone(), json!(entries.collect::<Vec<_>>()))
    });
    document["samples"] = samples.collect();
    document["notes"] = json!(told.notes);
    to_json(&document)
}

pub(super) fn markdown(told: &Told) -> String {
    let mut out = format!("### maplock: {}\n", text(&told.plan.outcome()));
    _ = writeln!(out, "\nOf {}.", code(&told.plan.dir.to_string_lossy()));
    for note in &told.notes {
        _ = writeln!(out, "\n{}", text(note));
    }
    if !told.plan.maps.is_empty() {
        out.push_str("\n| map | entries | on upgrade | why |\n|---|--:|---|---|\n");
    }
    for map in &told.plan.maps {
        let what = match map.disposition {
            Disposition::Refuse => "**refuse**".to_owned(),
            what if told.is_denied(&map.map) => format!("**{what}**, denied"),
            what => what.to_string(),
        };
        let name = cell(&code(&map.map));
        _ = writeln!(out, "| {name} | {} | {what} | {} |", map.entries_text(), cell(&text(&map.why)));
    }
    for (_, error) in &told.denied {
        _ = writeln!(out, "\n{}:\n", text(&error.what));
        for line in error.help.iter().flat_map(|help| help.lines()) {
            _ = writeln!(out, "- {}", text(line));
        }
    }
    out
}

/// An annotation for each map that is denied, that is refused, or that loses entries.
pub(super) fn github(told: &Told) -> String {
    let mut out = String::new();
    for map in &told.plan.maps {
        let denied = told.denied.iter().find(|(name, _)| *name == map.map).map(|(_, error)| error);
        let severity = match denied {
            Some(_) => "error",
            None if map.disposition == Disposition::Refuse || map.loses_entries => "warning",
            None => continue,
        };
        let at = lock::line_of(&told.text, &map.map, &map.map).and_then(|line| u64::try_from(line).ok());
        let file = project::absolute(&told.lock).to_string_lossy().into_owned();
        let at = at.map(|line| SourceLine { file, line });
        let help = denied.and_then(|error| error.help.as_deref()).map_or_else(String::new, |help| format!("\n{help}"));
        let title = format!("map {}: {}", map.map, map.disposition);
        out.push_str(&annotation(severity, at.as_ref(), &title, &format!("{}{help}", map.why)));
    }
    out
}

impl Told {
    fn is_denied(&self, map: &str) -> bool {
        self.denied.iter().any(|(denied, _)| denied == map)
    }
}
