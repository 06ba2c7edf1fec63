//! Types of DWARF by their names.

use std::collections::HashMap;
use std::sync::Arc;

use gimli::{DwTag, UnitOffset};
use maplock_layout::Layout;
use maplock_layout::rules::nearest;

use super::ObjectError;
use super::dwarf::{Locations, MAX_STEPS, Units, Walk};
use super::dwarf_types::children;

/// What a look-up found.
pub(super) enum Named {
    /// The type.
    Type(Arc<Layout>),
    /// None of that name; the one that is like it.
    Near(Option<String>),
}

impl Locations {
    /// The layout of a type that is named as in C (`struct flow_key`, `flow_key_t`) or as in Rust (`Flow`, `flowtop_common::Flow`).
    pub(super) fn named_type(&self, wanted: &str) -> Result<Named, ObjectError> {
        self.units(|units| {
            let wanted_name = Wanted::parse(wanted);
            let mut found = Vec::new();
            for unit in 0..units.units.len() {
                each_type(&units.walk(unit), |at, tag, around, name| {
                    if wanted_name.is(tag, around, name) {
                        found.push(((unit, at), path(around, name)));
                    }
                });
            }
            let mut known: Option<(Arc<Layout>, String)> = None;
            for (place, path) in found {
                let layout = units.layout(place)?;
                match &known {
                    Some((other, first)) if other.digest() != layout.digest() => {
                        let which = if *first == path { "in two places".to_owned() } else { format!("`{first}` and `{path}`") };
                        return Err(ObjectError::new(format!(
                            "`{wanted}` is not one type in the DWARF, but {which}, which differ; name it by its whole path"
                        )));
                    }
                    Some(_) => {}
                    None => known = Some((layout, path)),
                }
            }
            Ok(match known {
                Some((layout, _)) => Named::Type(layout),
                None => Named::Near(near(units, wanted)),
            })
        })
        .unwrap_or(Ok(Named::Near(None)))
    }

    /// The layouts that the parameters of a generic type are, by their names: of `static FLOWS: HashMap<Key, Flow>`, `K` and `V`.
    pub(super) fn parameters_of_variable(&self, name: &str) -> HashMap<String, Arc<Layout>> {
        let read = |units: &Units<'_, '_>| {
            (0..units.units.len()).find_map(|unit| {
                let walk = units.walk(unit);
                let (unit, at) = units.type_of((unit, walk.variable(name)?.offset())).ok()??;
                let walk = units.walk(unit);
                let parameters = children(&walk, at)
                    .into_iter()
                    .filter(|child| child.tag() == gimli::DW_TAG_template_type_parameter);
                let parameters = parameters.filter_map(|child| {
                    let place = units.type_of((unit, child.offset())).ok()??;
                    Some((walk.name(&child)?.into_owned(), units.layout(place).ok()?))
                });
                Some(parameters.collect())
            })
        };
        self.units(read).flatten().unwrap_or_default()
    }
}

/// A type's name, taken apart.
struct Wanted<'w> {
    /// `struct`, `union` or `enum`, if it says so.
    keyword: Option<&'w str>,
    /// The name, and the namespaces before it.
    path: Vec<String>,
}

impl<'w> Wanted<'w> {
    fn parse(text: &'w str) -> Self {
        let text = text.trim();
        let (keyword, name) = match text.split_once(' ') {
            Some((keyword @ ("struct" | "union" | "enum"), name)) => (Some(keyword), name.trim()),
            _ => (None, text),
        };
        Self { keyword, path: segments(name).into_iter().map(str::to_owned).collect() }
    }

    fn is(&self, tag: DwTag, around: &[Around], name: &str) -> bool {
        let fits = match self.keyword {
            Some(_) => keyword(tag) == self.keyword,
            None => matches!(
                tag,
                gimli::DW_TAG_typedef
                    | gimli::DW_TAG_structure_type
                    | gimli::DW_TAG_union_type
                    | gimli::DW_TAG_enumeration_type
                    | gimli::DW_TAG_base_type
            ),
        };
        let is_same = |own: &str, wanted: &str| own == wanted || own == mangled(wanted);
        let own = std::iter::once(name).chain(around.iter().rev().map(|(_, name)| &**name));
        fits && around.len() + 1 >= self.path.len()
            && own.zip(self.path.iter().rev()).all(|(own, wanted)| is_same(own, wanted))
    }
}

/// The parts of a path of Rust; what is in angle brackets is one.
fn segments(path: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    let bytes = path.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') => {
                parts.push(&path[start..at]);
                start = at + 2;
            }
            _ => {}
        }
    }
    parts.push(path.get(start..).unwrap_or_default());
    parts.retain(|part| !part.is_empty());
    parts
}

/// A name without the namespaces before it.
pub(super) fn last_segment(path: &str) -> &str {
    segments(path).last().copied().unwrap_or(path)
}

/// A name as bpf-linker writes it: BTF takes no signs but `_`.
fn mangled(name: &str) -> String {
    let one = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '_' => c.to_string(),
        other => format!("_{:X}_", u32::from(other)),
    };
    name.chars().map(one).collect()
}

fn keyword(tag: DwTag) -> Option<&'static str> {
    match tag {
        gimli::DW_TAG_structure_type => Some("struct"),
        gimli::DW_TAG_union_type => Some("union"),
        gimli::DW_TAG_enumeration_type => Some("enum"),
        _ => None,
    }
}

/// A namespace around a type, and how deep it is.
type Around = (isize, String);

fn path(around: &[Around], name: &str) -> String {
    around.iter().map(|(_, name)| &**name).chain([name]).collect::<Vec<_>>().join("::")
}

/// The name that is most like `wanted`, as it would be written: with its namespaces in Rust, with its keyword in C.
fn near(units: &Units<'_, '_>, wanted: &str) -> Option<String> {
    let mut labels = Vec::new();
    for unit in 0..units.units.len() {
        each_type(&units.walk(unit), |_, tag, around, name| match keyword(tag) {
            Some(keyword) if around.is_empty() => labels.push(format!("{keyword} {name}")),
            None if tag == gimli::DW_TAG_base_type => {}
            _ => labels.push(path(around, name)),
        });
    }
    nearest(wanted, labels.iter().map(String::as_str)).map(str::to_owned)
}

/// Gives each named type that is defined to `look`, with the namespaces around it.
fn each_type(walk: &Walk<'_, '_>, mut look: impl FnMut(UnitOffset, DwTag, &[Around], &str)) {
    let mut entries = walk.unit.entries();
    let mut around: Vec<Around> = Vec::new();
    while let Ok(Some(entry)) = entries.next_dfs() {
        let (depth, tag) = (entry.depth(), entry.tag());
        around.retain(|(above, _)| *above < depth);
        let is_type = keyword(tag).is_some() || matches!(tag, gimli::DW_TAG_typedef | gimli::DW_TAG_base_type);
        if !is_type && tag != gimli::DW_TAG_namespace {
            continue;
        }
        let Some(name) = walk.name(entry) else { continue };
        if !is_type {
            around.push((depth, name.into_owned()));
        } else if entry.attr_value(gimli::DW_AT_declaration).is_none() && around.len() <= MAX_STEPS {
            look(entry.offset(), tag, &around, &name);
        }
    }
}
