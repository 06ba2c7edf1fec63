//! What is to be told of lines, by formats that annotate them: each notice once, in the same words and at the same place for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use maplock_codegen::SourceLine;
use maplock_codegen::report::Command;
use maplock_layout::lock::OnUpgrade;
use maplock_layout::map_type::Fate;
use maplock_layout::rules::{self, Compares, Decision, Level};
use maplock_layout::{Disposition, Finding, Risk, Verdict};

use crate::conversion::Conversion;
use crate::error::Error;
use crate::outcome::{Ending, Outcome, count};
use crate::project;
use crate::ranking::worst_first;
use crate::undone::Undone;

/// How much a notice asks of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// It fails.
    Error,
    Warning,
    Note,
}

/// Something to tell of a line.
pub(super) struct Notice {
    pub(super) severity: Severity,
    /// The rule, or what else it is, in the manner of rules: `not-compared`.
    pub(super) id: &'static str,
    /// The map, and what of it; nothing if it is about the lock.
    pub(super) map: String,
    pub(super) path: String,
    pub(super) title: String,
    pub(super) message: String,
    /// Where it is best shown; `None` if no line is known.
    pub(super) at: Option<SourceLine>,
}

/// A line of the repository.
pub(super) struct Spot {
    /// Relative to the root of the repository, with `/`.
    pub(super) path: String,
    pub(super) line: u64,
}

/// What is told under other ids than those of rules, with what each means.
pub(super) const OTHERS: [(&str, &str); 8] = [
    (NOT_DONE, "what was asked could not be done, so nothing is known"),
    (DISAGREE, "two packages lock one map differently"),
    (ACCEPTED, "an answer to a change was accepted, or replaced"),
    (UNTOLD, "maps are known by their sizes alone, so a change of the same size passes unseen"),
    (OUT_OF_DATE, "the lock is not what the objects say"),
    (ONE_WAY, "a break has no lossless way back, which `direction = \"both\"` denies"),
    (ON_NODES, "nodes lose entries or parts of them, or do not upgrade"),
    (REFUSED, "a node does not upgrade, as was accepted"),
];
pub(super) const NOT_DONE: &str = "not-done";
const DISAGREE: &str = "locks-disagree";
const ACCEPTED: &str = "accepted";
const UNTOLD: &str = "types-unknown";
const OUT_OF_DATE: &str = "lock-out-of-date";
const ONE_WAY: &str = "no-way-back";
const ON_NODES: &str = "lost-on-nodes";
const REFUSED: &str = "refused";

/// All that is to be told, worst first. What several revisions of a lock have in common is told once. What to type stands with the first
/// break of a map that is told.
pub(super) fn of_all(outcomes: &[Outcome]) -> Vec<(&Outcome, Notice)> {
    let (mut all, mut told) = (Vec::new(), BTreeSet::new());
    for outcome in worst_first(outcomes) {
        let (mut ids, mut answers) = (Vec::new(), BTreeMap::new());
        for mut notice in of(outcome) {
            let id = identity(outcome, &notice);
            let is_told = id.as_ref().is_some_and(|id| told.contains(id));
            ids.extend(id);
            if notice.severity == Severity::Error {
                let Notice { map, message, .. } = &mut notice;
                match message.split_once('\n') {
                    Some((_, answer)) if is_told => _ = answers.insert(map.clone(), format!("\n{answer}")),
                    _ => message.extend(answers.remove(map)),
                }
            }
            if !is_told {
                all.push((outcome, notice));
            }
        }
        told.extend(ids);
    }
    all
}

/// What a notice of a map is about, and what it says of that; the rest of its message is what to type, against this revision or that.
fn identity(outcome: &Outcome, notice: &Notice) -> Option<String> {
    let Notice { severity, title, message, .. } = notice;
    let says = message.lines().next().unwrap_or_default();
    (!notice.map.is_empty()).then(|| format!("{}/{severity:?}/{title}/{says}", print(Some(outcome), notice)))
}

/// All that is to be told of one lock, worst map first.
fn of(outcome: &Outcome) -> Vec<Notice> {
    let against = outcome.against.as_ref().map_or_else(String::new, |against| format!(" against {against}"));
    match (&outcome.ending, &outcome.undone) {
        (Ending::Disagrees, Some(error)) => {
            let title = "maplock: locks disagree".to_owned();
            let message = why(&outcome.lock, error);
            return vec![Notice { id: DISAGREE, title, message, ..of_lock(Severity::Error) }];
        }
        (Ending::Undone(undone), Some(error)) => {
            return vec![failed(*undone, &format!("{}{against}", outcome.lock), error)];
        }
        _ => {}
    }
    let mut notices = of_findings(outcome);
    // Another answer to what was accepted before: nothing is found any more.
    let accepted = outcome.changes.iter().filter(|change| change.kind == "accepted");
    let told: Vec<_> = outcome.comparison.findings.iter().filter(|finding| finding.accepted.is_some()).collect();
    for change in accepted.filter(|change| !told.iter().any(|finding| finding.map == change.map)) {
        let answers = change.conversion.iter().flat_map(Conversion::answers);
        let message = answers.fold(change.what.clone(), |told, answer| told + "\n" + &answer);
        let title = format!("map {}: accepted", change.map);
        let (map, path) = (change.map.clone(), change.map.clone());
        notices.push(Notice { id: ACCEPTED, map, path, title, message, ..of_lock(Severity::Note) });
    }
    if let Some(untold) = outcome.comparison.untold() {
        // What else is to be told of them has notices of its own.
        let maps = outcome.comparison.maps.iter();
        let maps: Vec<_> = maps.filter_map(|verdict| Some(format!("{}: {}", verdict.map, verdict.untold?))).collect();
        let (title, message) = (format!("{}: {untold}", outcome.lock), maps.join("\n"));
        notices.push(Notice { id: UNTOLD, title, message, ..of_lock(Severity::Note) });
    }
    if outcome.ending == Ending::OutOfDate {
        let file = outcome.old.file.as_ref().map(|file| file.to_string_lossy().into_owned());
        let at = file.map(|file| SourceLine { file, line: 1 });
        let mut message = outcome.headline();
        for change in &outcome.changes {
            message.push_str(&format!("\n{} {}: {}", change.kind, change.map, change.what));
        }
        let title = format!("{} is out of date", outcome.lock);
        notices.push(Notice { id: OUT_OF_DATE, title, message, at, ..of_lock(Severity::Error) });
    }
    for (map, why) in &outcome.one_way {
        let title = format!("map {map}: no way back without a loss");
        let at = outcome.comparison.of_map(map).find_map(|finding| outcome.place(finding));
        let (map, path, message) = (map.clone(), map.clone(), why.clone());
        notices.push(Notice { id: ONE_WAY, map, path, title, message, at, ..of_lock(Severity::Error) });
    }
    for row in outcome.on_nodes.iter().flat_map(|of| &of.rows).filter(|row| row.cell.loses) {
        let severity = if row.fails { Severity::Error } else { Severity::Warning };
        let (map, path) = (row.map.clone(), format!("{}@{}", row.map, row.short()));
        let title = format!("map {}: {} on {}", row.map, row.cell.what, count(row.nodes.len(), "node"));
        let message = format!("{}\nlayout {}, on {}", row.cell.why, row.short(), row.on());
        let at = outcome.new.line_of_map(&row.map);
        notices.push(Notice { severity, id: ON_NODES, map, path, title, message, at });
    }
    // Whoever reads the notices alone must see that it fails.
    if outcome.fails() && notices.iter().all(|notice| notice.severity != Severity::Error) {
        let (title, message) = (format!("maplock: {}", outcome.lock), outcome.headline());
        notices.push(Notice { id: REFUSED, title, message, ..of_lock(Severity::Error) });
    }
    notices
}

/// What could not be done: on no line, for none was reached.
pub(super) fn failed(undone: Undone, whose: &str, error: &Error) -> Notice {
    let message = why(whose, error);
    Notice { id: NOT_DONE, title: format!("maplock: {}", undone.words()), message, ..of_lock(Severity::Error) }
}

/// The title says what it is about.
fn why(whose: &str, error: &Error) -> String {
    let message = std::iter::once(if whose.is_empty() { error.to_string() } else { format!("{whose}: {error}") });
    message.chain(error.cause()).chain(error.help.iter().cloned()).collect::<Vec<_>>().join("\n")
}

fn of_lock(severity: Severity) -> Notice {
    let empty = String::new;
    Notice { severity, id: "", map: empty(), path: empty(), title: empty(), message: empty(), at: None }
}

fn of_findings(outcome: &Outcome) -> Vec<Notice> {
    let mut notices = Vec::new();
    let told = outcome.findings().into_iter().filter(|finding| {
        (finding.level != Level::Allow || finding.accepted.is_some()) && finding.consequence_of.is_none()
    });
    let (mut commanded, mut reasoned) = (Vec::new(), Vec::new());
    for finding in told {
        let verdict = outcome.comparison.verdict(&finding.map);
        let is_risk = verdict.is_some_and(|verdict| {
            verdict.loses_entries() || verdict.misread().any(|reading| reading.risk == Risk::Misread)
        });
        let severity = match finding.accepted {
            Some(OnUpgrade::Refuse) => Severity::Warning,
            Some(_) if is_risk => Severity::Warning,
            Some(_) => Severity::Note,
            None if finding.is_break() => Severity::Error,
            None if verdict.is_some_and(|verdict| is_harmless(finding, verdict)) => Severity::Note,
            None => Severity::Warning,
        };
        let mut message = finding.message();
        if let Some(way) = finding.accepted {
            message.push_str(&format!("\naccepted: {way}"));
            // What is said of the whole map is said once.
            if let Some(verdict) = verdict.filter(|_| !reasoned.contains(&&finding.map)) {
                reasoned.push(&finding.map);
                accepted(outcome, verdict, &mut message);
            }
        }
        // The answer is about the whole map, and is given once.
        if finding.is_break() && !commanded.contains(&&finding.map) {
            commanded.push(&finding.map);
            let meanwhile = verdict.and_then(|verdict| outcome.comparison.meanwhile(verdict));
            message.extend(meanwhile.map(|meanwhile| format!("\n{meanwhile}")));
            message.extend(verdict.and_then(|verdict| outcome.way_out(verdict)).map(|way_out| format!("\n{way_out}")));
            for Command { purpose, line, .. } in outcome.commands(&finding.map) {
                message.push_str(&format!("\n{purpose}: {line}"));
            }
        }
        if finding.rule == &rules::UNMERGED_COUNTER {
            for Command { purpose, line, .. } in outcome.merging(&finding.map) {
                message.push_str(&format!("\n{purpose}: {line}"));
            }
        }
        notices.push(Notice {
            severity,
            id: finding.rule.id,
            map: finding.map.clone(),
            path: finding.path(),
            title: format!("map {}: {}", finding.map, finding.rule.id),
            message,
            at: outcome.place(finding),
        });
    }
    notices
}

/// True if entries stay what they are, and nobody has to decide anything. What the configuration raised is to be seen.
fn is_harmless(finding: &Finding, verdict: &Verdict) -> bool {
    let effect = &finding.rule.effect;
    let stays = matches!(verdict.disposition, Disposition::Reuse | Disposition::Grow | Disposition::Migrate)
        && !matches!(verdict.fate, Fate::KeepSize(_))
        && verdict.misread().next().is_none()
        && verdict.eviction.is_none();
    stays
        && (effect.compares, effect.decision) == (Compares::Releases, Decision::IfDenied)
        && finding.keeps_bytes()
        && !finding.needs_decision()
        && finding.level == finding.rule.default_level
}

fn accepted(outcome: &Outcome, verdict: &Verdict, message: &mut String) {
    if let Some(reason) = &verdict.reason {
        message.push_str(&format!(": \"{reason}\""));
    }
    outcome.answers(verdict).iter().for_each(|answer| message.push_str(&format!("\n{answer}")));
    for line in Outcome::readings(verdict).iter().chain(&verdict.eviction) {
        message.push_str(&format!("\n{line}"));
    }
    // What stays is told by its readings.
    let becomes = outcome.becomes(verdict).filter(|_| verdict.disposition != Disposition::Reuse);
    let becomes = becomes.or_else(|| verdict.fate.words().map(str::to_owned));
    message.extend(becomes.map(|becomes| format!("\n{becomes}")));
}

impl Notice {
    /// A line for a format in which everything is on one: where it is best shown, else the first of the lock of today.
    pub(super) fn spot(&self, outcome: Option<&Outcome>) -> Spot {
        let at = self.at.as_ref().and_then(|at| Some(Spot { path: in_repository(&at.file)?, line: at.line.max(1) }));
        at.unwrap_or_else(|| Spot { path: first_file(outcome), line: 1 })
    }
}

/// The file that was compared, the newer side before the older one.
fn first_file(outcome: Option<&Outcome>) -> String {
    let sides = outcome.into_iter().flat_map(|outcome| {
        let named = |name: &str| Some(Path::new(name).to_owned()).filter(|path| path.is_file());
        let lock = Path::new(&outcome.lock).to_owned();
        [outcome.new.file.clone(), named(&outcome.new.name), Some(lock).filter(|lock| lock.is_file())]
            .into_iter()
            .chain([outcome.old.file.clone(), named(&outcome.old.name)])
    });
    let shown = sides.flatten().find_map(|file| in_repository(&file.to_string_lossy()));
    shown.unwrap_or_else(|| maplock_layout::lock::FILE_NAME.to_owned())
}

/// A path of the repository with `/`, as annotations name it; without a repository, one of the directory that the tool runs in.
pub(super) fn in_repository(file: &str) -> Option<String> {
    let file = project::absolute(Path::new(file));
    let dir = file.parent()?;
    let here = || std::env::current_dir().ok().map(|here| project::absolute(&here));
    let root = project::repository(dir).or_else(here)?;
    let inside = file.strip_prefix(root).ok()?;
    Some(inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"))
}

/// What a notice is about: package, map, rule, path and both digests.
fn print(outcome: Option<&Outcome>, notice: &Notice) -> String {
    let package = outcome.map_or("", |outcome| outcome.package.as_deref().unwrap_or(&outcome.lock));
    let verdict = outcome.and_then(|outcome| outcome.comparison.verdict(&notice.map));
    let digest =
        |digest: Option<maplock_layout::Digest>| digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
    let (from, to) = verdict.map_or((None, None), |verdict| (verdict.from, verdict.to));
    let Notice { map, id, path, .. } = notice;
    format!("{package}/{map}/{id}/{path}/{}/{}", digest(from), digest(to))
}

/// Tells notices apart from each other and knows them again in the next run.
#[derive(Default)]
pub(super) struct Fingerprints(std::collections::BTreeMap<String, usize>);

impl Fingerprints {
    pub(super) fn of(&mut self, outcome: Option<&Outcome>, notice: &Notice) -> String {
        let print = print(outcome, notice);
        // Two enumerators of one member, say.
        let count = self.0.entry(print.clone()).or_default();
        *count += 1;
        if *count == 1 { print } else { format!("{print}/{count}") }
    }
}
