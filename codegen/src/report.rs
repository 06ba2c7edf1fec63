//! A comparison, told to a person as rustc would.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level as Severity, Renderer, Snippet};
use maplock_layout::lock::{Lines, OnUpgrade};
use maplock_layout::map::Pinning;
use maplock_layout::rules::{self, Attribute, Compares, Level, Tier};
use maplock_layout::{Change, Comparison, Finding, Layout, Lock, Offer, Part, Subject, answers};

use crate::counters;
use crate::object_file::SourceLine;
use crate::ways::why_not;
pub use crate::ways::{Command, Way, commands, ways};
use crate::wrote::{called, wrote_at};

/// The two sides of a comparison, and what to tell beside the findings.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    /// How the old side is named: a path, a revision.
    pub old_name: &'a str,
    /// Text of the old lockfile, if the old side is one.
    pub old_text: Option<&'a str>,
    /// The old maps.
    pub old: &'a Lock,
    /// The new maps.
    pub new: &'a Lock,
    /// What follows `cargo maplock accept MAP` in the commands to type next; `None` if nothing can be accepted.
    pub accept: Option<&'a str>,
    /// What selects the lock on the command line, such as ` -p PACKAGE`.
    pub selection: &'a str,
    /// Directories to which paths of sources may be relative; the first is where reports show them from.
    pub roots: &'a [PathBuf],
}

/// Looks up where the new side of a finding is written; of a counter, where programs count.
pub type Locate<'a> = dyn Fn(&Finding) -> Option<SourceLine> + 'a;

/// The findings at `warn` and `deny`, each with both sides and the commands that resolve it. Empty if there are none.
#[must_use]
pub fn render(comparison: &Comparison, sides: Sides<'_>, locate: &Locate<'_>, styled: bool) -> String {
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    let old = sides.old_text.map(|text| (Lines::of(text), text.lines().collect()));
    let told = told(comparison);
    let breaks = told.iter().filter(|(_, finding)| finding.is_break() && !is_counter(finding));
    let last_breaks: HashMap<&str, usize> = breaks.map(|(index, finding)| (&*finding.map, *index)).collect();
    for (index, finding) in told {
        let is_last = last_breaks.get(&*finding.map).is_none_or(|last| *last <= index);
        let group = Telling { comparison, sides, old: old.as_ref(), locate, finding, is_last }.group();
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    out.truncate(out.trim_end().len());
    out
}

/// The findings that are told by themselves, each with its place among all: at a level that speaks, and not with the cause that they
/// follow from.
fn told(comparison: &Comparison) -> Vec<(usize, &Finding)> {
    let speaks = |finding: &&Finding| finding.level != Level::Allow;
    let causes = comparison.findings.iter().filter(speaks).filter(|finding| finding.consequence_of.is_none());
    let mut by_map: HashMap<&str, Vec<&Subject>> = HashMap::new();
    for cause in causes {
        by_map.entry(&cause.map).or_default().push(&cause.subject);
    }
    let with_its_cause = |finding: &Finding| {
        let of_map = by_map.get(&*finding.map);
        finding.consequence_of.as_ref().is_some_and(|cause| of_map.is_some_and(|causes| causes.contains(&cause)))
    };
    let all = comparison.findings.iter().enumerate();
    all.filter(|(_, finding)| speaks(finding) && !with_its_cause(finding)).collect()
}

/// One line: how many maps break, and how.
#[must_use]
pub fn summary(comparison: &Comparison) -> String {
    let breaks = |of: &dyn Fn(&Finding) -> bool| -> BTreeSet<_> {
        let breaks = comparison.findings.iter().filter(|finding| finding.is_break() && of(finding));
        breaks.map(|finding| finding.map.as_str()).collect()
    };
    let of = |compares: Compares| breaks(&|finding| finding.rule.effect.compares == compares);
    // No entry is lost by that alone.
    let is_of_capacity = |finding: &Finding| finding.rule.effect.attribute == Some(Attribute::MaxEntries);
    let others = breaks(&|finding| finding.rule.effect.compares == Compares::Releases && !is_of_capacity(finding));
    let capacities = &breaks(&is_of_capacity) - &others;
    let told = |maps: BTreeSet<&str>, one: &str, many: &str| match maps.len() {
        0 => None,
        1 => Some(one.replace("{}", &quoted(&maps))),
        len => Some(format!("{}: {}", many.replace("{}", &len.to_string()), quoted(&maps))),
    };
    let told = [
        told(of(Compares::Objects), "the objects disagree on map {}", "the objects disagree on {} maps"),
        told(
            others,
            "pinned state of map {} would be misread or lost",
            "pinned state of {} maps would be misread or lost",
        ),
        told(
            capacities,
            "the new capacity of map {} is not accepted",
            "the new capacities of {} maps are not accepted",
        ),
        told(
            of(Compares::Programs),
            "nothing says how counters of map {} are merged",
            "nothing says how counters of {} maps are merged",
        ),
        told(
            of(Compares::History),
            "an accepted change of map {} leads nowhere",
            "accepted changes of {} maps lead nowhere",
        ),
    ];
    let told: Vec<_> = told.into_iter().flatten().collect();
    if told.is_empty() { "there is no break that was not accepted".to_owned() } else { told.join("; ") }
}

fn quoted(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

struct Telling<'a> {
    comparison: &'a Comparison,
    sides: Sides<'a>,
    /// Where what is written in the old lockfile, and its lines.
    old: Option<&'a (Lines, Vec<&'a str>)>,
    locate: &'a Locate<'a>,
    finding: &'a Finding,
    /// True for the last finding of its map, which the commands stand below.
    is_last: bool,
}

impl<'a> Telling<'a> {
    fn group(&self) -> Group<'a> {
        let finding = self.finding;
        let severity = if finding.is_break() { Severity::ERROR } else { Severity::WARNING };
        let mut group = Group::with_title(severity.primary_title(finding.title()).id(finding.rule.id));
        if is_counter(finding) {
            return self.counters(group);
        }
        let mut said_old = false;
        let mut said_new = false;
        if let Some(line) = self.new_line() {
            group = group.element(line.snippet(AnnotationKind::Primary));
            said_new = true;
        }
        if let Some(line) = self.old_line() {
            let kind = if said_new { AnnotationKind::Context } else { AnnotationKind::Primary };
            group = group.element(line.snippet(kind));
            said_old = true;
        }
        for note in self.notes(said_old, said_new) {
            group = group.element(Severity::NOTE.message(note));
        }
        for help in self.commands() {
            group = group.element(Severity::HELP.message(help));
        }
        group
    }

    /// True if `ephemeral` in Cargo.toml took a map out of the pinned ones, which no line of the sources says.
    fn is_by_config(&self) -> bool {
        let map = self.sides.new.maps.get(&self.finding.map);
        self.finding.rule.effect.attribute == Some(Attribute::Pinning)
            && map.is_some_and(|map| map.ephemeral && map.def.pinning != Pinning::None)
    }

    fn new_line(&self) -> Option<ShownLine> {
        let finding = self.finding;
        finding.new_text()?;
        // Of two objects in conflict, either may be the one that has the line.
        if is_conflict(finding) || self.is_by_config() {
            return None;
        }
        let attribute = finding.rule.effect.attribute;
        let at = (self.locate)(finding)?;
        let (path, text) = self.source(&at);
        let text = text?;
        let own = attribute.filter(|_| finding.subject.is_map()).map(Attribute::in_source);
        let word = own.unwrap_or_else(|| last_name(finding));
        // A line without either name is not the line that was compiled: the source has changed since.
        let span = [word, &format!("{word}_size"), &finding.map].into_iter().find_map(|word| find_word(&text, word))?;
        Some(ShownLine { path, line: usize::try_from(at.line).ok()?, text, span, label: finding.new_with_place() })
    }

    /// The line that counts, if it names the member; else in words where it is.
    fn counting(&self, one: &Finding) -> Option<Result<ShownLine, String>> {
        let at = (self.locate)(one)?;
        let (path, text) = self.source(&at);
        let name = one.subject.name().unwrap_or(one.subject.role());
        let shown = text.and_then(|text| {
            let (span, line) = (find_word(&text, name)?, usize::try_from(at.line).ok()?);
            Some(ShownLine { path: path.clone(), line, text, span, label: "programs only add to it".to_owned() })
        });
        Some(shown.ok_or_else(|| format!("`{}` is added to at {path}:{}", counters::paths(one).concat(), at.line)))
    }

    /// Counters: the lines that count, and what to type.
    fn counters<'g>(&self, mut group: Group<'g>) -> Group<'g> {
        let mut notes = Vec::new();
        let mut kind = AnnotationKind::Primary;
        for counting in counters::each(self.finding).iter().filter_map(|one| self.counting(one)) {
            match counting {
                Ok(line) => {
                    group = group.element(line.snippet(kind));
                    kind = AnnotationKind::Context;
                }
                Err(note) => notes.push(note),
            }
        }
        notes.push(counters::LOST.to_owned());
        group = notes.into_iter().fold(group, |group, note| group.element(Severity::NOTE.message(note)));
        let commands = counters::merging(self.comparison, &self.finding.map, self.sides.selection);
        commands.into_iter().fold(group, |group, command| group.element(Severity::HELP.message(help(command))))
    }

    /// The path to show for a source line, and the line's text if the file is at hand.
    fn source(&self, at: &SourceLine) -> (String, Option<String>) {
        let file = Path::new(&at.file);
        let shown = self.sides.roots.iter().find_map(|root| file.strip_prefix(root).ok()).unwrap_or(file);
        let candidates = std::iter::once(file.to_owned()).chain(self.sides.roots.iter().map(|root| root.join(file)));
        let text = candidates.into_iter().find_map(|path| fs::read_to_string(path).ok());
        let index = usize::try_from(at.line).unwrap_or(usize::MAX).saturating_sub(1);
        (shown.display().to_string(), text.and_then(|text| text.lines().nth(index).map(str::to_owned)))
    }

    fn old_line(&self) -> Option<ShownLine> {
        let finding = self.finding;
        finding.old_text().filter(|_| !is_conflict(finding))?;
        let (lines, texts) = self.old?;
        let line = match (finding.rule.effect.attribute, &finding.change) {
            (Some(attribute), _) if finding.subject.is_map() => lines.find_attribute(&finding.map, attribute),
            (_, Change::Renamed { old, .. }) => {
                lines.find(&finding.map, &finding.subject.renamed(&old.0).path(&finding.map))
            }
            _ => lines.find(&finding.map, &finding.path()),
        }?;
        let row = (*texts.get(line - 1)?).to_owned();
        let start = row.len() - row.trim_start().len();
        let span = start..row.trim_end().trim_end_matches(',').len();
        let label = format!("as released: {}", finding.old_with_place());
        Some(ShownLine { path: self.sides.old_name.to_owned(), line, text: row, span, label })
    }

    fn notes(&self, said_old: bool, said_new: bool) -> Vec<String> {
        let finding = self.finding;
        if is_conflict(finding) {
            return [finding.old_text(), finding.new_text()].into_iter().flatten().collect();
        }
        let mut notes = Vec::new();
        if !said_old && finding.old_text().is_some() {
            notes.push(format!("in {}: {}", self.sides.old_name, finding.old_with_place()));
        }
        if self.is_by_config() {
            notes.push("`ephemeral` in Cargo.toml names it".to_owned());
        } else if !said_new && finding.new_text().is_some() {
            let at = (self.locate)(finding);
            let at = at.map_or_else(|| "now".to_owned(), |at| format!("now, at {}:{}", self.source(&at).0, at.line));
            notes.push(format!("{at}: {}", finding.new_with_place()));
        }
        // Nobody reads old bytes that are converted or given up.
        if matches!(finding.accepted, None | Some(OnUpgrade::Reuse)) {
            notes.extend(self.misreading());
        }
        for later in self.comparison.of_map(&finding.map) {
            if later.consequence_of.as_ref() == Some(&finding.subject) && later.level != Level::Allow {
                notes.push(format!("so {}", later.message()));
            }
        }
        if self.is_last && finding.is_break() {
            let verdict = self.comparison.verdict(&finding.map);
            notes.extend(verdict.and_then(|verdict| self.comparison.meanwhile(verdict)).map(str::to_owned));
            notes.extend(self.why_not_derived());
        }
        if let Some(accepted) = finding.accepted {
            notes.push(format!("accepted in the lock: {accepted}"));
        }
        notes
    }

    /// Why entries are not converted, or by code alone.
    fn why_not_derived(&self) -> Option<String> {
        let map = &self.finding.map;
        if let Some(because) = why_not(self.comparison, map, OnUpgrade::Migrate) {
            return Some(because.to_owned());
        }
        let found: Vec<_> = self.comparison.of_map(map).collect();
        if !answers(&found).contains(&OnUpgrade::Migrate) {
            return None;
        }
        match Offer::of(self.sides.old, self.sides.new, self.comparison.verdict(map)?)? {
            Offer::Derived => None,
            // That is what was found.
            Offer::ByHand(_) if found.iter().any(|finding| finding.rule == &rules::MEANING_CHANGED) => None,
            Offer::ByHand(because) | Offer::No(because) => Some(because),
        }
    }

    /// What a node would read in place of what it should.
    fn misreading(&self) -> Option<String> {
        let finding = self.finding;
        if finding.rule.tier != Tier::Bytes {
            return None;
        }
        let subject = &finding.subject;
        // Inside of an array of structs, or of an inner map, the place is one of many: the words would not be true.
        if subject.is_repeated() || subject.inner > 0 {
            return None;
        }
        let old = layout_of(self.sides.old, &finding.map, subject.part)?;
        let member = subject.member();
        let it = called(subject.role(), member.as_deref());
        match (finding.old_place(), finding.new_place()) {
            (Some(at), None) => {
                Some(format!("what the old release wrote as {it} ({at}) has no place in the new layout"))
            }
            (_, Some(at)) => {
                let wrote = wrote_at(old, at, subject.role(), member.as_deref())?;
                Some(format!("a node that upgrades would read {it} from {at}, where the old release wrote {wrote}"))
            }
            (None, None) => None,
        }
    }

    fn commands(&self) -> Vec<String> {
        let finding = self.finding;
        if let Some(remedy) = finding.rule.effect.remedy.filter(|_| finding.is_break()) {
            return vec![remedy.to_owned()];
        }
        let more = self.sides.accept.filter(|_| self.is_last);
        let commands = more
            .map(|more| commands(self.comparison, (self.sides.old, self.sides.new), &finding.map, more))
            .unwrap_or_default();
        commands.into_iter().map(help).collect()
    }
}

fn help(Command { purpose, line, .. }: Command) -> String {
    format!("{:<20} {line}", format!("{purpose}:"))
}

/// A line to show, with the bytes of it to point at.
struct ShownLine {
    path: String,
    line: usize,
    text: String,
    span: Range<usize>,
    label: String,
}

impl ShownLine {
    fn snippet<'a>(self, kind: AnnotationKind) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        Snippet::source(self.text)
            .line_start(self.line)
            .path(self.path)
            .annotation(kind.span(self.span).label(self.label))
    }
}

fn is_conflict(finding: &Finding) -> bool {
    finding.rule.effect.compares == Compares::Objects
}

fn is_counter(finding: &Finding) -> bool {
    matches!(finding.change, Change::Counted { .. })
}

/// What a declaration calls it: a member, an enumerator, the key or the value, or the map.
fn last_name(finding: &Finding) -> &str {
    let Subject { inner, part, .. } = finding.subject;
    finding.subject.name().unwrap_or(match part {
        Part::Map if inner == 0 => &finding.map,
        Part::Map => "inner",
        Part::Key | Part::Value => finding.subject.role(),
    })
}

fn find_word(line: &str, word: &str) -> Option<Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .find(|(at, _)| !line[..*at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
        .map(|(at, _)| at..at + word.len())
}

fn layout_of<'a>(lock: &'a Lock, map: &str, part: Part) -> Option<&'a Layout> {
    let def = &lock.maps.get(map)?.def;
    match part {
        Part::Map => None,
        Part::Key => def.key.as_deref(),
        Part::Value => def.value.as_deref(),
    }
}
