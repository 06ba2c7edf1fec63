//! Members that programs count in, and that nothing says how to merge: what to say of them, and what to type.

use std::path::{Path, PathBuf};

use maplock_layout::lock::{LockedMap, Merge};
use maplock_layout::rules::Level;
use maplock_layout::{Change, Comparison, Finding, Subject};

use crate::inputs::Inputs;
use crate::object_file::SourceLine;
use crate::ways::{Command, shell_word};

/// Why it matters.
pub(crate) const LOST: &str = "while an upgrade carries entries over, old and new programs count at the same time; unless you sum both, what the old ones count then may be lost";

/// The command that says in a lock how these members of `map` are merged, for the life of the map.
pub(crate) fn command(map: &str, members: &[&str], how: Merge, selection: &str) -> String {
    let option = |member: &&str| format!(" --merge {}={how}", shell_word(member));
    let options: String = members.iter().map(option).collect();
    format!("cargo maplock accept {}{options}{selection}", shell_word(map))
}

/// What to type about the counters of `map` that nothing says how to merge. `selection` selects the lock.
#[must_use]
pub fn merging(comparison: &Comparison, map: &str, selection: &str) -> Vec<Command> {
    let found = comparison.of_map(map).filter(|finding| finding.level != Level::Allow);
    let paths: Vec<_> = found.flat_map(paths).collect();
    let told = |purpose: &'static str, how| {
        let line = command(map, &paths, how, selection);
        Command { purpose: purpose.into(), line, is_answer: true }
    };
    match paths.is_empty() {
        true => Vec::new(),
        false => vec![told("add them up", Merge::Sum), told("not to be added up", Merge::None)],
    }
}

/// In a line: the counters of a map of which nothing says how they are merged, each with the line of the source that counts it, and the
/// command that sums them. `None` if it has none. Paths are shown from one of `roots`; `selection` selects the lock.
#[must_use]
pub fn note(map: &LockedMap, inputs: &Inputs, roots: &[PathBuf], selection: &str) -> Option<String> {
    let seen = if map.programs.as_ref().is_some_and(|used| used.partly) { ", as far as they are followed" } else { "" };
    let members = map.unmerged_counters();
    (!members.is_empty()).then(|| told(&map.def.name, &members, seen, (inputs, roots), selection))
}

/// The same of what was found.
pub(crate) fn found(finding: &Finding, inputs: &Inputs, roots: &[PathBuf], selection: &str) -> String {
    told(&finding.map, &paths(finding), "", (inputs, roots), selection)
}

/// The members that were found; none of a finding about something else.
pub(crate) fn paths(finding: &Finding) -> Vec<&str> {
    match &finding.change {
        Change::Counted { members } => members.iter().map(|(path, _)| path.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// A finding for each member that was found.
pub(crate) fn each(finding: &Finding) -> Vec<Finding> {
    let Change::Counted { members } = &finding.change else { return Vec::new() };
    let one = |(path, subject): &(String, Subject)| {
        let change = Change::Counted { members: vec![(path.clone(), subject.clone())] };
        Finding { subject: subject.clone(), change, ..finding.clone() }
    };
    members.iter().map(one).collect()
}

fn told(map: &str, members: &[&str], seen: &str, (inputs, roots): (&Inputs, &[PathBuf]), selection: &str) -> String {
    let named = members.iter().map(|member| match inputs.counted(map, member).and_then(|at| line(at, roots)) {
        Some(line) => format!("`{member}` ({line})"),
        None => format!("`{member}`"),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let command = command(map, members, Merge::Sum, selection);
    format!("map `{map}`: programs only add to {named}{seen}; {LOST}: `{command}`")
}

/// A line of a file of the project.
fn line(at: &SourceLine, roots: &[PathBuf]) -> Option<String> {
    let file = Path::new(&at.file);
    let within = match file.is_absolute() {
        true => roots.iter().find_map(|root| file.strip_prefix(root).ok())?,
        false => file,
    };
    Some(format!("{}:{}", within.display(), at.line))
}
