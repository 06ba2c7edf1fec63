//! Where the sources declare what the maps hold, and what they say of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;

use maplock_layout::layout::{Composite, CompositeKind, Layout, Shape};
use maplock_layout::{Lock, lock::LockedMap};

use crate::inputs::Inputs;
use crate::object_file::SourceLine;

/// The file in `OUT_DIR` in which the builder leaves the lines of members for the derive macros. A line each, with tabs between: `member`,
/// the C type, the member and where it is declared; `type`, the C type, nothing, and where; `map`, its name, the object, and where.
pub(crate) const LINES_FILE: &str = "maplock.lines";

/// Most members that are looked up.
const MOST: usize = 10_000;

/// The lines of all members of the maps.
pub(crate) struct Lines {
    members: BTreeMap<String, Said>,
    rows: BTreeSet<String>,
}

/// Where a member is declared, and the comment there.
struct Said {
    at: String,
    comment: Option<String>,
}

/// A member of a type that has a name.
struct Found {
    path: String,
    /// `struct flow_stats`, and the member's name.
    of: Option<(String, String)>,
}

impl Lines {
    /// Those of `lock`, which the objects of `inputs` define. Paths are shown from the first of `roots` that has them.
    pub(crate) fn of(inputs: &Inputs, lock: &Lock, roots: &[PathBuf]) -> Self {
        let mut lines = Self { members: BTreeMap::new(), rows: BTreeSet::new() };
        let mut sources = Sources { roots, files: HashMap::new() };
        for (name, map) in &lock.maps {
            let found = members(name, map);
            for object in inputs.objects().iter().filter(|object| object.maps.iter().any(|def| def.name == *name)) {
                let mut paths: Vec<_> = found.iter().map(|found| found.path.clone()).collect();
                paths.push(name.clone());
                let mut places = object.locate_all(name, &paths);
                let of_map = places.pop().flatten().map_or_else(String::new, |at| sources.shown(&at));
                lines.rows.insert(format!("map\t{name}\t{}\t{of_map}", object.name));
                for (found, at) in found.iter().zip(places) {
                    let Some(at) = at else { continue };
                    let shown = sources.shown(&at);
                    match &found.of {
                        Some((of, member)) if member.is_empty() => {
                            _ = lines.rows.insert(format!("type\t{of}\t\t{shown}"))
                        }
                        Some((of, member)) => _ = lines.rows.insert(format!("member\t{of}\t{member}\t{shown}")),
                        None => {}
                    }
                    let comment = sources.comment(&at);
                    lines.members.entry(found.path.clone()).or_insert(Said { at: shown, comment });
                }
            }
        }
        lines
    }

    pub(crate) fn text(&self) -> String {
        self.rows.iter().map(|row| format!("{row}\n")).collect()
    }

    /// A line of documentation for each member, by its path.
    pub(crate) fn docs(self) -> BTreeMap<String, String> {
        let doc = |said: Said| match said.comment {
            Some(comment) => format!("{comment} ({})", said.at),
            None => format!("({})", said.at),
        };
        self.members.into_iter().map(|(path, said)| (path, doc(said))).collect()
    }
}

/// The members of a map's key and value at any depth.
fn members(name: &str, map: &LockedMap) -> Vec<Found> {
    let mut found = Vec::new();
    for (role, layout) in [("key", &map.def.key), ("value", &map.def.value)] {
        if let Some(layout) = layout {
            walk(layout, &format!("{name}.{role}"), &mut found);
        }
    }
    found
}

fn walk(layout: &Layout, path: &str, found: &mut Vec<Found>) {
    match &layout.shape {
        Shape::Array { element, .. } => walk(element, &format!("{path}[]"), found),
        Shape::Composite(of) if of.kind() != CompositeKind::Section => {
            found.push(Found { path: path.to_owned(), of: spelled(of).map(|of| (of, String::new())) });
            members_of(of, path, found);
        }
        _ => {}
    }
}

fn spelled(of: &Composite) -> Option<String> {
    of.name().map(|name| format!("{} {name}", of.kind().keyword()))
}

fn members_of(of: &Composite, path: &str, found: &mut Vec<Found>) {
    for flat in of.flat_members() {
        if found.len() >= MOST {
            return;
        }
        let path = format!("{path}.{}", flat.member.name);
        found.push(Found { path: path.clone(), of: spelled(of).map(|of| (of, flat.member.name.to_string())) });
        walk(&flat.member.layout, &path, found);
    }
}

/// The source files, read once each.
struct Sources<'a> {
    roots: &'a [PathBuf],
    files: HashMap<String, Vec<String>>,
}

impl Sources<'_> {
    /// `bpf/flow.h:12`
    fn shown(&self, at: &SourceLine) -> String {
        let file = std::path::Path::new(&at.file);
        let shown = self.roots.iter().find_map(|root| file.strip_prefix(root).ok()).unwrap_or(file);
        format!("{}:{}", shown.display(), at.line)
    }

    /// The comment behind a declaration, or on the line above it.
    fn comment(&mut self, at: &SourceLine) -> Option<String> {
        let roots = self.roots;
        let lines = self.files.entry(at.file.clone()).or_insert_with(|| {
            let file = PathBuf::from(&at.file);
            let mut candidates = std::iter::once(file.clone()).chain(roots.iter().map(|root| root.join(&file)));
            let text = candidates.find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        });
        let index = usize::try_from(at.line).ok()?.checked_sub(1)?;
        let own = lines.get(index)?;
        let behind = own.rfind(';').and_then(|end| own.get(end + 1..)).and_then(comment);
        let above = || lines.get(index.checked_sub(1)?).filter(|line| is_comment(line)).and_then(|line| comment(line));
        behind.or_else(above)
    }
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("//") || line.starts_with("/*") && line.ends_with("*/")
}

/// The text of a comment that begins and ends on this line, as a sentence.
fn comment(line: &str) -> Option<String> {
    let line = line.trim();
    let inside = match line.strip_prefix("//") {
        Some(rest) => rest.trim_start_matches(['/', '!', '<']),
        None => line.strip_prefix("/*")?.strip_suffix("*/")?.trim_start_matches(['*', '!', '<']),
    };
    // Brackets would be links there.
    let plain: String =
        inside.trim().chars().map(|c| if matches!(c, '[' | ']' | '<' | '>' | '`') { '\'' } else { c }).collect();
    (!plain.is_empty()).then(|| if plain.ends_with(['.', '!', '?']) { plain } else { plain + "." })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_one_line_of_text() {
        for (line, text) in [
            (" /* nanoseconds since boot */", Some("nanoseconds since boot.")),
            ("// of all CPUs", Some("of all CPUs.")),
            ("/**< see [rfc] */", Some("see 'rfc'.")),
            ("/* begins here", None),
            ("", None),
            ("//", None),
        ] {
            assert_eq!(comment(line).as_deref(), text, "{line}");
        }
    }
}
