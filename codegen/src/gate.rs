//! Holding what the objects define against the lock, at build.

use std::path::PathBuf;

use maplock_layout::counters::unmerged;
use maplock_layout::rules::{self, Level};
use maplock_layout::{Comparison, Config, Finding, Lock, compare};

use crate::counters;
use crate::file_error::FileError;
use crate::inputs::Inputs;
use crate::report::{self, Sides};

/// How strict a build is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mode {
    /// Drift fails: `CI` or `MAPLOCK_LOCKED` is set.
    pub locked: bool,
    /// Breaks are only warned of: `MAPLOCK_GATE=warn`, outside of CI.
    pub warn: bool,
}

/// What the gate says of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The text with which the build fails, if it does.
    pub error: Option<String>,
    /// Lines to warn with.
    pub warnings: Vec<String>,
}

/// The lockfile, as far as it can be read.
#[derive(Debug)]
pub struct LockFile {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// Its text, if it is there.
    pub text: Option<String>,
    /// What it says, or why it can't be used. An empty lock if there is no file.
    pub lock: Result<Lock, FileError>,
}

impl LockFile {
    /// Reads the file. A missing file is no error, and a broken one is kept as such.
    #[must_use]
    pub fn read(path: PathBuf) -> Self {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self { path, text: None, lock: Ok(Lock::default()) };
            }
            Err(error) => {
                let lock = Err(FileError::unreadable(&path, error));
                return Self { path, text: None, lock };
            }
        };
        let lock = Lock::parse(&text).map_err(|error| FileError::at(&path, error.line, error.problem));
        Self { path, text: Some(text), lock }
    }
}

/// Judges a build. Reports show paths from the first of `roots`; sources may be relative to any of them. `more` follows the
/// commands that they suggest, such as ` -p PACKAGE`.
#[must_use]
pub fn judge(file: &LockFile, inputs: &Inputs, config: &Config, mode: Mode, roots: &[PathBuf], more: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let lock = match &file.lock {
        Ok(lock) => lock,
        Err(problem) => {
            outcome.error = Some(format!("maplock: {problem}"));
            return outcome;
        }
    };
    let observed = &inputs.observation.lock;
    let mut comparison = compare(lock, observed, &config.levels);
    let conflicts = &inputs.observation.conflicts;
    comparison.findings.splice(0..0, conflicts.iter().cloned());

    let old_name = roots.first().and_then(|root| file.path.strip_prefix(root).ok()).unwrap_or(&file.path);
    let old_name = old_name.display().to_string();
    let sides = Sides {
        old_name: &old_name,
        old_text: file.text.as_deref(),
        old: lock,
        new: observed,
        accept: Some(more),
        selection: more,
        roots,
    };
    let drift = if file.text.is_some() { drift(lock, observed, &comparison) } else { Vec::new() };
    comparison.findings.extend(unmerged(lock, observed, &config.levels));
    if comparison.has_breaks() {
        let report = report::render(&comparison, sides, &|finding| inputs.place(finding), false);
        let summary = report::summary(&comparison);
        let safe: Vec<_> = drift
            .iter()
            .filter(|drift| {
                !comparison.of_map(&drift.map).any(|finding| finding.is_break() || finding.needs_decision())
            })
            .map(|drift| drift.words.as_str())
            .collect();
        let then = match safe.as_slice() {
            [] => String::new(),
            safe => format!("\nthen `cargo maplock update{more}`: {}\n", safe.join("; ")),
        };
        if mode.warn && conflicts.is_empty() {
            let text =
                format!("maplock: MAPLOCK_GATE=warn lets this build pass, CI will not: {summary}\n\n{report}\n{then}");
            outcome.warnings.extend(text.lines().map(str::to_owned));
        } else {
            outcome.error = Some(format!("maplock: {summary}\n\n{report}\n{then}"));
        }
        return outcome;
    }
    if file.text.is_none() {
        let text = format!(
            "maplock: there is no {old_name}; run `cargo maplock init{more}` and commit it, or no later build can tell what has changed"
        );
        settle(&mut outcome, mode, text);
    }
    let (decisions, drift): (Vec<_>, Vec<_>) =
        drift.into_iter().partition(|drift| comparison.of_map(&drift.map).any(Finding::needs_decision));
    if !drift.is_empty() {
        let said: Vec<_> = drift.iter().map(|drift| drift.words.as_str()).collect();
        let text = format!(
            "maplock: {old_name} is behind the objects: {}; run `cargo maplock update{more}` and commit it",
            said.join("; ")
        );
        settle(&mut outcome, mode, text);
    }
    // A level of `warn` or `allow` lets a build pass, but leaves open what a node is to do.
    for decision in &decisions {
        let text = format!(
            "maplock: {old_name} is behind the objects: {}; decide what nodes do with the entries; `cargo maplock check{more}` shows how",
            decision.words
        );
        settle(&mut outcome, mode, text);
    }
    let is_said = |finding: &Finding| drift.iter().chain(&decisions).any(|drift| drift.map == finding.map);
    let warned = comparison.findings.iter().filter(|finding| finding.level == Level::Warn);
    // That the lock is behind the objects says nothing of how counters are merged.
    let is_counter = |finding: &Finding| finding.rule == &rules::UNMERGED_COUNTER;
    outcome.warnings.extend(warned.filter(|finding| is_counter(finding) || !is_said(finding)).map(|finding| {
        let id = finding.rule.id;
        let text = if is_counter(finding) { counters::found(finding, inputs, roots, more) } else { finding.message() };
        format!("maplock[{id}]: {text}; see `cargo maplock explain {id}`")
    }));
    outcome
}

/// What does not fail a developer's build, but every other.
fn settle(outcome: &mut Outcome, mode: Mode, text: String) {
    match &mut outcome.error {
        Some(error) => {
            error.push('\n');
            error.push_str(&text);
        }
        None if mode.locked => outcome.error = Some(format!("{text} (an error because CI or MAPLOCK_LOCKED is set)")),
        None => outcome.warnings.push(text),
    }
}

/// A map that is not as the lock has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The map.
    pub map: String,
    /// How it differs.
    pub words: String,
}

/// The maps that are not as the lock has them, though none of them breaks.
#[must_use]
pub fn drift(lock: &Lock, observed: &Lock, comparison: &Comparison) -> Vec<Drift> {
    let mut drift = Vec::new();
    let names: std::collections::BTreeSet<_> = lock.maps.keys().chain(observed.maps.keys()).collect();
    for name in names {
        match (lock.maps.get(name), observed.maps.get(name)) {
            (Some(known), Some(now)) if known.same_definition(now) => continue,
            (None, Some(now)) if now.ephemeral => continue,
            _ => {}
        }
        let found: Vec<_> = comparison.of_map(name).collect();
        let said = found.iter().map(|finding| finding.message()).collect::<Vec<_>>().join(", ");
        // What no rule is about, such as the order of enumerators, has no words of its own.
        let words = match found.first() {
            None => format!("map `{name}` is written differently"),
            Some(first) if first.names_map() => said,
            Some(_) => format!("map `{name}`: {said}"),
        };
        drift.push(Drift { map: name.clone(), words });
    }
    drift
}
