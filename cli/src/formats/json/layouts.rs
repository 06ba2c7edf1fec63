//! Maps and their layouts as JSON.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use maplock_layout::map::{MapDef, Pinning};
use maplock_layout::{Composite, CompositeKind, IntKind, Layout, Member, Shape};
use serde::Serialize;

use super::to_json;
use crate::error::Error;
use crate::verbs::inspect::Objects;

/// Most layouts that a document may spell out. They share their parts, so that a small object can ask for any number.
pub(crate) const MAX_LAYOUTS: u64 = 1_000_000;

#[derive(Serialize)]
struct Document<'a> {
    maps: Vec<MapJson<'a>>,
}

#[derive(Serialize)]
struct MapJson<'a> {
    name: &'a str,
    object: &'a str,
    #[serde(rename = "type")]
    map_type: String,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    map_extra: u64,
    #[serde(skip_serializing_if = "is_zero")]
    version: u32,
    pinning: PinningJson,
    key: Option<LayoutJson<'a>>,
    value: Option<LayoutJson<'a>>,
    inner: Option<Box<MapJson<'a>>>,
    digest: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PinningJson {
    Name(&'static str),
    Number(u32),
}

#[derive(Serialize)]
pub(crate) struct LayoutJson<'a> {
    kind: &'static str,
    name: Option<String>,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    typedef: Option<&'a str>,
    #[serde(flatten)]
    detail: DetailJson<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DetailJson<'a> {
    Int {
        signed: bool,
        encoding: &'static str,
    },
    Enum {
        values: Vec<ValueJson<'a>>,
    },
    Pointer {
        target: &'a str,
    },
    Array {
        length: u32,
        element: Box<LayoutJson<'a>>,
    },
    Composite {
        #[serde(skip_serializing_if = "is_zero")]
        version: u32,
        members: Vec<MemberJson<'a>>,
    },
    Nothing {},
}

#[derive(Serialize)]
struct ValueJson<'a> {
    name: &'a str,
    value: i128,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    name: &'a str,
    offset_bits: u64,
    size_bits: u64,
    #[serde(rename = "type")]
    layout: LayoutJson<'a>,
}

pub(super) fn render(objects: &Objects) -> Result<String, Error> {
    let objects: Vec<_> = objects.all().collect();
    let names: Vec<_> = objects.iter().map(|object| object.path.display().to_string()).collect();
    let maps = || objects.iter().zip(&names).flat_map(|(object, name)| object.maps.iter().map(move |map| (map, name)));
    limit(maps().map(|(map, _)| map))?;
    to_json(&Document { maps: maps().map(|(map, object)| map_json(map, object)).collect() })
}

/// An error if these maps would make too large a document.
pub(crate) fn limit<'a>(maps: impl Iterator<Item = &'a MapDef>) -> Result<(), Error> {
    let mut counter = Counter::default();
    let layouts = maps.fold(0, |sum: u64, map| sum.saturating_add(counter.map(map)));
    if layouts > MAX_LAYOUTS {
        return Err(Error::new(format!("the types of these maps come to over {MAX_LAYOUTS} parts: too much for JSON"))
            .help("`inspect` without `--message-format json` prints each type once"));
    }
    Ok(())
}

/// Counts how many layouts a document has to spell out, without doing so.
#[derive(Default)]
struct Counter {
    composites: HashMap<*const Composite, u64>,
}

impl Counter {
    fn map(&mut self, def: &MapDef) -> u64 {
        let inner = def.inner.as_ref().map_or(0, |inner| self.map(inner));
        let layouts = [&def.key, &def.value].into_iter().flatten();
        layouts.fold(inner + 1, |sum, layout| sum.saturating_add(self.layout(layout)))
    }

    fn layout(&mut self, layout: &Layout) -> u64 {
        match &layout.shape {
            Shape::Array { element, .. } => self.layout(element).saturating_add(1),
            Shape::Enum(of) => of.values.len() as u64 + 1,
            Shape::Composite(composite) => self.composite(composite),
            _ => 1,
        }
    }

    fn composite(&mut self, composite: &Arc<Composite>) -> u64 {
        let key = ptr::from_ref(&**composite);
        if let Some(known) = self.composites.get(&key) {
            return *known;
        }
        let members = composite.members().iter();
        let count = members.fold(1, |sum: u64, member| sum.saturating_add(self.layout(&member.layout)));
        self.composites.insert(key, count);
        count
    }
}

fn map_json<'a>(def: &'a MapDef, object: &'a str) -> MapJson<'a> {
    MapJson {
        name: &def.name,
        object,
        map_type: def.map_type.to_string(),
        key_size: def.key_size,
        value_size: def.value_size,
        max_entries: def.max_entries,
        flags: def.flags,
        map_extra: def.map_extra,
        version: def.version,
        pinning: match def.pinning {
            Pinning::None => PinningJson::Name("none"),
            Pinning::ByName => PinningJson::Name("by_name"),
            Pinning::Other(number) => PinningJson::Number(number),
        },
        key: def.key.as_deref().map(layout_json),
        value: def.value.as_deref().map(layout_json),
        inner: def.inner.as_deref().map(|inner| Box::new(map_json(inner, object))),
        digest: def.digest().to_string(),
    }
}

pub(crate) fn layout_json(layout: &Layout) -> LayoutJson<'_> {
    let spelled = || Some(layout.spelling_without_typedef());
    let (kind, name, detail) = match &layout.shape {
        Shape::Int(kind) => {
            let encoding = match kind {
                IntKind::Unsigned => "unsigned",
                IntKind::Signed => "signed",
                IntKind::Char => "char",
                IntKind::Bool => "bool",
            };
            ("int", spelled(), DetailJson::Int { signed: *kind == IntKind::Signed, encoding })
        }
        Shape::Float => ("float", spelled(), DetailJson::Nothing {}),
        Shape::Enum(of) => {
            let values = of.values.iter().map(|(name, value)| ValueJson { name, value: *value }).collect();
            ("enum", of.name.as_deref().map(str::to_owned), DetailJson::Enum { values })
        }
        Shape::Pointer { target } => ("pointer", spelled(), DetailJson::Pointer { target }),
        Shape::Array { element, len } => {
            ("array", spelled(), DetailJson::Array { length: *len, element: Box::new(layout_json(element)) })
        }
        Shape::Composite(composite) => {
            let kind = match composite.kind() {
                CompositeKind::Struct => "struct",
                CompositeKind::Union => "union",
                CompositeKind::Section => "section",
            };
            let members = composite.members().iter().map(member_json).collect();
            (
                kind,
                composite.name().map(|name| name.to_string()),
                DetailJson::Composite { version: composite.version(), members },
            )
        }
        Shape::Opaque { name } => ("opaque", Some(name.to_string()), DetailJson::Nothing {}),
    };
    LayoutJson { kind, name, size: layout.size, typedef: layout.typedef.as_deref(), detail }
}

/// True of what was never given.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(crate) fn is_zero(version: &u32) -> bool {
    *version == 0
}

fn member_json(member: &Member) -> MemberJson<'_> {
    MemberJson {
        name: &member.name,
        offset_bits: member.offset_bits,
        size_bits: member.size_bits(),
        layout: layout_json(&member.layout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_double_with_each_level_are_counted_not_walked() {
        let mut layout = Layout::new(1, Shape::Int(IntKind::Unsigned));
        for _ in 0..120 {
            let of = Arc::new(layout);
            let member = |name: &str| Member { name: name.into(), offset_bits: 0, bits: None, layout: Arc::clone(&of) };
            let members = vec![member("a"), member("b")];
            let composite = Composite::new(CompositeKind::Union, None, members).expect("two members");
            layout = Layout::new(1, Shape::Composite(Arc::new(composite)));
        }
        assert_eq!(Counter::default().layout(&layout), u64::MAX);
    }
}
