//! What became of locks.

use std::collections::BTreeMap;

use maplock_layout::conversion::Question;
use maplock_layout::lock::{Merge, OnUpgrade};
use maplock_layout::{Disposition, Finding, Loss, Place, Ruler, Span, SpanFate, Untold, Verdict};
use serde::Serialize;

use super::conversions::{ConversionJson, conversion};
use super::failed::{self, ErrorJson};
use super::on_nodes::{self, FleetJson};
use super::to_json;
use crate::bytes::Bytes;
use crate::error::Error;
use crate::formats::notices::in_repository;
use crate::outcome::{Change, Ending, Outcome};
use crate::prospects::Prospect;

/// Of `diff`.
#[derive(Serialize)]
struct DiffJson<'a> {
    /// What comes of it all, as people read it.
    summary: String,
    /// True if the exit code is not 0.
    fails: bool,
    old: &'a str,
    new: &'a str,
    notes: &'a [String],
    #[serde(flatten)]
    comparison: ComparisonJson<'a>,
}

#[derive(Serialize)]
struct Document<'a> {
    locks: Vec<LockJson<'a>>,
}

#[derive(Serialize)]
struct LockJson<'a> {
    package: Option<&'a str>,
    lock: &'a str,
    result: &'static str,
    summary: String,
    fails: bool,
    against: Option<&'a str>,
    old: &'a str,
    new: &'a str,
    changes: Vec<ChangeJson<'a>>,
    notes: &'a [String],
    /// Maps whose break has no lossless way back, each with why, if the configuration denies that.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    one_way: BTreeMap<&'a str, &'a str>,
    /// What an upgrade does on nodes, if that is what was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<FleetJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson<'a>>,
    #[serde(flatten)]
    comparison: ComparisonJson<'a>,
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    map: Option<&'a str>,
    change: &'static str,
    what: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    readings: &'a [String],
    /// For the life of the map.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    merge: MergeJson<'a>,
    epoch: Option<EpochJson<'a>>,
}

#[derive(Serialize)]
struct EpochJson<'a> {
    from: String,
    to: String,
    rules: &'a [String],
    on_upgrade: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    merge: MergeJson<'a>,
    reason: &'a str,
    max_entries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion: Option<ConversionJson<'a>>,
}

/// How members are merged, by path.
type MergeJson<'a> = BTreeMap<&'a str, &'static str>;

#[derive(Serialize)]
struct ComparisonJson<'a> {
    findings: Vec<FindingJson<'a>>,
    maps: Vec<VerdictJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    rule: &'static str,
    tier: &'static str,
    level: &'static str,
    map: &'a str,
    path: String,
    old: Option<String>,
    new: Option<String>,
    old_place: Option<PlaceJson>,
    new_place: Option<PlaceJson>,
    consequence_of: Option<String>,
    accepted: Option<&'static str>,
    /// Where it is best shown: a file of the repository, and its line.
    at: Option<LineJson>,
    message: String,
}

#[derive(Serialize)]
struct LineJson {
    file: String,
    line: u64,
}

#[derive(Serialize)]
struct PlaceJson {
    offset_bits: u64,
    size_bits: u64,
}

#[derive(Serialize)]
struct VerdictJson<'a> {
    name: &'a str,
    /// What it is called on the older side.
    was: Option<&'a str>,
    verdict: &'static str,
    from: Option<String>,
    to: Option<String>,
    why: String,
    reason: Option<&'a str>,
    loses_entries: bool,
    /// Members that its conversion gives up, and those that it may not keep exactly.
    gives_up: Vec<String>,
    inexact: Vec<String>,
    by_hand: bool,
    /// What becomes of its entries, if that is decided: a phrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<String>,
    /// What can be answered to its breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<ChoiceJson>,
    /// What to type about counters that nothing says how to merge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counters: Vec<CommandJson>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    merge: MergeJson<'a>,
    /// How entries are converted, as far as it was answered: phrases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<String>,
    /// What is read otherwise in entries that stay as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    readings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eviction: Option<&'a str>,
    /// What becomes of its bytes, if they do not stay what they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<BytesJson>,
    /// What of it is known by its size alone: `all`, `key`, `value`, `inner`.
    #[serde(skip_serializing_if = "Option::is_none")]
    types_unknown: Option<&'static str>,
}

/// An answer, and what becomes of the entries by it.
#[derive(Serialize)]
struct ChoiceJson {
    on_upgrade: Option<&'static str>,
    renamed_from: Option<String>,
    purpose: String,
    entries: String,
    asks: Vec<QuestionJson>,
    /// `None` where no command of this project records it.
    command: Option<String>,
}

#[derive(Serialize)]
struct QuestionJson {
    path: String,
    what: String,
    options: Vec<String>,
}

#[derive(Serialize)]
struct CommandJson {
    purpose: String,
    command: String,
}

#[derive(Serialize)]
struct BytesJson {
    #[serde(flatten)]
    own: RulersJson,
    /// Of the maps that it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    inner: Option<RulersJson>,
    /// An entry that is made up, in members with their values.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<ExampleJson>,
}

#[derive(Serialize, Default)]
struct RulersJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<RulerJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<RulerJson>,
}

#[derive(Serialize)]
struct RulerJson {
    old_size: u64,
    new_size: u64,
    old: Vec<SpanJson>,
    new: Vec<SpanJson>,
}

#[derive(Serialize)]
struct SpanJson {
    start: u64,
    end: u64,
    /// `None` for bytes of no member.
    member: Option<String>,
    #[serde(rename = "type")]
    spelling: Option<String>,
    what: &'static str,
    /// Where it is on the other side, if that is another byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    elsewhere: Option<u64>,
    /// Its name on the other side, if that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed: Option<String>,
}

#[derive(Serialize)]
struct ExampleJson {
    wrote: String,
    /// `None` for a map that starts empty.
    read_as: Option<String>,
    becomes: Option<String>,
    /// True if nodes convert it so; false if they would, if that was accepted.
    is_accepted: bool,
}

fn bytes(bytes: Bytes) -> BytesJson {
    let example = bytes.example.map(|said| ExampleJson {
        wrote: said.wrote,
        read_as: said.read,
        is_accepted: said.converted.as_ref().is_some_and(|converted| converted.is_accepted),
        becomes: said.converted.map(|converted| converted.entry),
    });
    let (mut own, mut inner) = (RulersJson::default(), None);
    for (part, of) in bytes.rulers {
        let rulers = if part.is_inner() { inner.get_or_insert_default() } else { &mut own };
        let side = if part.is_key() { &mut rulers.key } else { &mut rulers.value };
        *side = Some(ruler(of));
    }
    BytesJson { own, inner, example }
}

fn ruler(ruler: Ruler) -> RulerJson {
    let spans = |spans: Vec<Span>| spans.into_iter().map(span).collect();
    let Ruler { old_size, new_size, old, new } = ruler;
    RulerJson { old_size, new_size, old: spans(old), new: spans(new) }
}

fn span(span: Span) -> SpanJson {
    let is_hole = span.fate == SpanFate::Hole;
    let (what, renamed) = match span.fate {
        SpanFate::Kept => ("kept", None),
        SpanFate::Moved => ("moved", None),
        SpanFate::Grew => ("grew", None),
        SpanFate::Shrank => ("shrank", None),
        SpanFate::Retyped => ("retyped", None),
        SpanFate::Renamed(other) => ("renamed", Some(other)),
        SpanFate::New => ("new", None),
        SpanFate::Gone => ("gone", None),
        SpanFate::Hole => ("hole", None),
    };
    SpanJson {
        start: span.start,
        end: span.end,
        member: (!is_hole).then_some(span.name),
        spelling: (!is_hole).then_some(span.spelling),
        what,
        elsewhere: span.elsewhere,
        renamed,
    }
}

pub(super) fn render(outcomes: &[Outcome]) -> Result<String, Error> {
    to_json(&Document { locks: outcomes.iter().map(lock).collect() })
}

pub(super) fn render_diff(outcome: &Outcome) -> Result<String, Error> {
    to_json(&DiffJson {
        summary: outcome.headline(),
        fails: outcome.fails(),
        old: &outcome.old.name,
        new: &outcome.new.name,
        notes: &outcome.notes,
        comparison: comparison(outcome),
    })
}

fn lock(outcome: &Outcome) -> LockJson<'_> {
    LockJson {
        package: outcome.package.as_deref(),
        lock: &outcome.lock,
        result: match outcome.ending {
            Ending::UpToDate => "up-to-date",
            Ending::OutOfDate => "out-of-date",
            Ending::Breaks => "breaks",
            Ending::Compatible => "compatible",
            Ending::Compared => "compared",
            Ending::New => "new",
            Ending::OnNodes => "on-nodes",
            Ending::Disagrees => "disagrees",
            Ending::Undone(undone) => undone.result(),
            Ending::Written if outcome.changes.is_empty() => "up-to-date",
            Ending::Written => "written",
        },
        summary: outcome.headline(),
        fails: outcome.fails(),
        against: outcome.against.as_deref(),
        old: &outcome.old.name,
        new: &outcome.new.name,
        changes: outcome.changes.iter().map(change).collect(),
        notes: &outcome.notes,
        one_way: outcome.one_way.iter().map(|(map, why)| (map.as_str(), why.as_str())).collect(),
        fleet: outcome.on_nodes.as_ref().map(on_nodes::fleet),
        error: outcome.undone.as_ref().map(failed::error),
        comparison: comparison(outcome),
    }
}

fn change(change: &Change) -> ChangeJson<'_> {
    ChangeJson {
        map: Some(change.map.as_str()).filter(|map| !map.is_empty()),
        change: change.kind,
        what: &change.what,
        readings: &change.readings,
        merge: merge(&change.merge),
        epoch: change.epoch.as_ref().map(|epoch| EpochJson {
            from: epoch.from.to_string(),
            to: epoch.to.to_string(),
            rules: &epoch.rules,
            on_upgrade: epoch.on_upgrade.name(),
            merge: merge(&epoch.merge),
            reason: &epoch.reason,
            max_entries: epoch.max_entries,
            conversion: change.conversion.as_ref().map(conversion),
        }),
    }
}

fn comparison(outcome: &Outcome) -> ComparisonJson<'_> {
    let comparison = &outcome.comparison;
    let maps = comparison.maps.iter().map(|verdict| verdict_json(outcome, verdict));
    let findings = comparison.findings.iter().map(|finding| self::finding(outcome, finding));
    ComparisonJson { findings: findings.collect(), maps: maps.collect() }
}

fn verdict_json<'a>(outcome: &'a Outcome, verdict: &'a Verdict) -> VerdictJson<'a> {
    let converts = verdict.disposition == Disposition::Migrate;
    let loss = if converts { Loss::of(&outcome.steps(verdict)) } else { Loss::default() };
    let commands = outcome.merging(&verdict.map).into_iter();
    VerdictJson {
        name: &verdict.map,
        was: verdict.was.as_deref(),
        verdict: verdict.disposition.name(),
        from: verdict.from.map(|digest| digest.to_string()),
        to: verdict.to.map(|digest| digest.to_string()),
        why: outcome.why(verdict),
        reason: verdict.reason.as_deref(),
        loses_entries: verdict.loses_entries(),
        gives_up: loss.given_up.into_iter().collect(),
        inexact: loss.inexact.into_keys().collect(),
        by_hand: loss.by_hand,
        entries: outcome.becomes(verdict),
        choices: outcome.prospects(verdict).into_iter().map(choice).collect(),
        counters: commands.map(|of| CommandJson { purpose: of.purpose.into_owned(), command: of.line }).collect(),
        merge: merge(&verdict.merge),
        answers: outcome.answers(verdict),
        readings: verdict.misread().map(|reading| reading.sentence(&verdict.map)).collect(),
        eviction: verdict.eviction.as_deref(),
        bytes: outcome.bytes(verdict).map(bytes),
        types_unknown: verdict.untold.map(Untold::name),
    }
}

fn choice(of: Prospect) -> ChoiceJson {
    let question = |question: Question| QuestionJson {
        options: question.choices.iter().map(ToString::to_string).collect(),
        path: question.path,
        what: question.what,
    };
    ChoiceJson {
        on_upgrade: of.way.on_upgrade.map(OnUpgrade::name),
        renamed_from: of.way.renamed_from,
        purpose: of.way.purpose.into_owned(),
        entries: of.entries,
        asks: of.asks.into_iter().map(question).collect(),
        command: of.command,
    }
}

fn merge(members: &BTreeMap<String, Merge>) -> MergeJson<'_> {
    members.iter().map(|(path, merge)| (path.as_str(), merge.name())).collect()
}

fn finding<'a>(outcome: &Outcome, finding: &'a Finding) -> FindingJson<'a> {
    let at = outcome.place(finding).and_then(|at| Some(LineJson { file: in_repository(&at.file)?, line: at.line }));
    let place = |place: Place| PlaceJson { offset_bits: place.offset_bits, size_bits: place.size_bits };
    FindingJson {
        rule: finding.rule.id,
        tier: finding.rule.tier.name(),
        level: finding.level.name(),
        map: &finding.map,
        path: finding.path(),
        old: finding.old_text(),
        new: finding.new_text(),
        old_place: finding.old_place().map(place),
        new_place: finding.new_place().map(place),
        consequence_of: finding.cause(),
        accepted: finding.accepted.map(|way| way.name()),
        at,
        message: finding.message(),
    }
}
