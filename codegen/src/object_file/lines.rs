//! Where types, their members and maps are declared, all at once.

use std::collections::{BTreeMap, BTreeSet};

use gimli::UnitOffset;

use super::dwarf::{Locations, MAX_STEPS, SourceLine, Walk};

/// Lines of declarations.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// By label: `struct flow_stats`, also of a struct that has no name but through a typedef.
    pub(crate) types: BTreeMap<String, SourceLine>,
    /// By label and path. Members of anonymous structs count as those of the one around them, as in C; those of one that is a
    /// member's have that member's name before them.
    pub(crate) members: BTreeMap<(String, String), SourceLine>,
    /// By name.
    pub(crate) maps: BTreeMap<String, SourceLine>,
}

impl Lines {
    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty() && self.members.is_empty() && self.maps.is_empty()
    }
}

impl Locations {
    /// The lines of these types and maps. Of what is declared several times, the first counts.
    pub(crate) fn lines(&self, labels: &BTreeSet<String>, maps: &BTreeSet<&str>) -> Lines {
        let mut lines = Lines::default();
        self.walk(|walk| walk.enter_lines(labels, maps, &mut lines));
        lines
    }
}

impl Walk<'_, '_> {
    fn enter_lines(&self, labels: &BTreeSet<String>, maps: &BTreeSet<&str>, lines: &mut Lines) {
        let mut entries = self.unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            let Some(name) = self.name(entry) else { continue };
            let (keyword, at) = match entry.tag() {
                gimli::DW_TAG_variable => {
                    if maps.contains(&*name)
                        && let Some(line) = self.line(entry)
                    {
                        lines.maps.entry(name.into_owned()).or_insert(line);
                    }
                    continue;
                }
                gimli::DW_TAG_typedef => {
                    let behind = self.type_of(entry).and_then(|at| Some((at, self.entry(at)?)));
                    let Some((at, behind)) = behind else { continue };
                    let Some(keyword) = keyword(behind.tag()).filter(|_| self.name(&behind).is_none()) else {
                        continue;
                    };
                    (keyword, at)
                }
                tag => {
                    let Some(keyword) = keyword(tag) else { continue };
                    (keyword, entry.offset())
                }
            };
            let label = format!("{keyword} {name}");
            let is_declared_only = entry.attr_value(gimli::DW_AT_declaration).is_some();
            if !labels.contains(&label) || lines.types.contains_key(&label) || is_declared_only {
                continue;
            }
            let line = self.line(entry).or_else(|| self.entry(at).and_then(|entry| self.line(&entry)));
            lines.types.extend(line.map(|line| (label.clone(), line)));
            if keyword != "enum" {
                self.enter_members(at, &label, "", 0, lines);
            }
        }
    }

    fn enter_members(&self, composite: UnitOffset, label: &str, prefix: &str, depth: usize, lines: &mut Lines) {
        if depth > MAX_STEPS {
            return;
        }
        for member in self.members(composite).unwrap_or_default() {
            let name = self.name(&member);
            let path = name.as_deref().map(|name| format!("{prefix}{name}"));
            if let (Some(path), Some(line)) = (&path, self.line(&member)) {
                lines.members.entry((label.to_owned(), path.clone())).or_insert(line);
            }
            if let Some(inner) = self.type_of(&member).and_then(|of| self.nameless(of)) {
                let prefix = path.map_or_else(|| prefix.to_owned(), |path| format!("{path}."));
                self.enter_members(inner, label, &prefix, depth + 1, lines);
            }
        }
    }

    /// A struct or union without a name of any sort, also as an array's element.
    fn nameless(&self, mut at: UnitOffset) -> Option<UnitOffset> {
        for _ in 0..MAX_STEPS {
            let entry = self.entry(at)?;
            match entry.tag() {
                gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => {
                    return self.name(&entry).is_none().then_some(at);
                }
                gimli::DW_TAG_array_type | gimli::DW_TAG_const_type | gimli::DW_TAG_volatile_type => {
                    at = self.type_of(&entry)?
                }
                _ => return None,
            }
        }
        None
    }
}

fn keyword(tag: gimli::DwTag) -> Option<&'static str> {
    match tag {
        gimli::DW_TAG_structure_type => Some("struct"),
        gimli::DW_TAG_union_type => Some("union"),
        gimli::DW_TAG_enumeration_type => Some("enum"),
        _ => None,
    }
}
