//! Reading the types of a lockfile.

use std::collections::HashMap;
use std::sync::Arc;

use toml::de::DeTable;

use super::facts;
use super::reader::{Reader, Result, Value};
use super::type_table::{Labels, TypeTable};
use super::types::{MAX_DEPTH, Parsed, height, parse_expression, plain};
use crate::layout::{Composite, CompositeKind, Enumeration, Layout, Member, Shape};
use crate::map::MapDef;
use crate::name::Name;

/// Resolves the types of a table, each once.
pub(super) struct Types<'r, 't, 'v, 'a> {
    reader: &'r Reader<'t>,
    table: Option<&'v DeTable<'a>>,
    /// `None` while a type's members are being resolved.
    done: HashMap<String, Option<Parsed>>,
    depth: usize,
}

impl<'r, 't, 'v, 'a> Types<'r, 't, 'v, 'a> {
    /// Those of a table, if there is one.
    pub(super) fn new(reader: &'r Reader<'t>, table: Option<&'v Value<'a>>) -> Result<Self> {
        let table = table.map(|table| reader.named(table).and_then(|_| reader.table(table))).transpose()?;
        Ok(Self { reader, table, done: HashMap::new(), depth: 0 })
    }

    /// Knows the types that `def` reaches, by their contents.
    pub(super) fn know(&mut self, def: &MapDef) {
        let mut types = TypeTable::new(Labels::Contents);
        _ = facts::definition_line(def, "", &mut types);
        let mut heights = HashMap::new();
        for (label, named) in types.by_label {
            let layout = Layout { typedef: None, ..named.layout.clone() };
            let height = height(&layout, &mut heights);
            self.done.insert(label, Some((layout, height)));
        }
    }

    pub(super) fn expression(&mut self, value: &Value<'_>) -> Result<Parsed> {
        let text = self.reader.name(value)?;
        let mut failed = None;
        let parsed = parse_expression(text, &mut |label| {
            self.named(label).map_err(|error| {
                failed = Some(error);
                String::new()
            })
        });
        parsed.map_err(|problem| failed.unwrap_or_else(|| self.reader.at(value.span(), problem)))
    }

    fn named(&mut self, label: &str) -> Result<Option<Parsed>> {
        let done = self.done.get(label);
        if let Some(Some(parsed)) = done {
            return Ok(Some(parsed.clone()));
        }
        let Some(value) = self.table.and_then(|table| table.get(label)) else { return Ok(None) };
        if done.is_some() {
            return Err(self.reader.at(value.span(), format!("`{label}` contains itself")));
        }
        // Made only where it is needed: an error knows its line, for which all text before it is read.
        let reader = self.reader;
        let too_deep = || reader.at(value.span(), format!("types are nested over {MAX_DEPTH} levels deep"));
        if self.depth == MAX_DEPTH {
            return Err(too_deep());
        }
        self.done.insert(label.to_owned(), None);
        self.depth += 1;
        let (layout, height) = self.definition(label, value)?;
        self.depth -= 1;
        if height > MAX_DEPTH {
            return Err(too_deep());
        }
        self.done.insert(label.to_owned(), Some((layout.clone(), height)));
        Ok(Some((layout, height)))
    }

    fn definition(&mut self, label: &str, value: &Value<'_>) -> Result<Parsed> {
        let reader = self.reader;
        let table = reader.table(value)?;
        reader.only(table, &["size", "version", "members", "values", "anonymous", "name"])?;
        let (keyword, rest) = plain(label).split_once(' ').unwrap_or((label, ""));
        let name: Option<Name> = match (table.get("name"), table.get("anonymous")) {
            (Some(name), _) => Some(reader.name(name)?.into()),
            (None, Some(_)) => None,
            (None, None) => Some(rest.into()),
        };
        let size: u32 = reader.number(reader.required(table, "size", value)?)?;
        let size = u64::from(size);
        let kind = match keyword {
            "enum" => {
                let values = reader.array(reader.required(table, "values", value)?)?;
                let values = values.iter().map(|value| self.enumerator(value)).collect::<Result<_>>()?;
                if !matches!(size, 1 | 2 | 4 | 8) {
                    return Err(reader.at(value.span(), format!("an enum of {size} bytes")));
                }
                return Ok((Layout::new(size, Shape::Enum(Arc::new(Enumeration { name, values }))), 1));
            }
            "struct" => CompositeKind::Struct,
            "union" => CompositeKind::Union,
            "section" => CompositeKind::Section,
            _ => return Err(reader.at(value.span(), format!("`{label}` does not begin with struct, union or enum"))),
        };
        let members = reader.array(reader.required(table, "members", value)?)?;
        let mut height = 1;
        let members = members
            .iter()
            .map(|row| {
                let (member, inner) = self.member(row, size)?;
                height = height.max(inner + 1);
                Ok(member)
            })
            .collect::<Result<_>>()?;
        let composite =
            Composite::new(kind, name, members).map_err(|error| reader.at(value.span(), error.to_string()))?;
        let composite = match table.get("version") {
            Some(version) => composite.with_version(reader.number(version)?),
            None => composite,
        };
        Ok((Layout::new(size, Shape::Composite(Arc::new(composite))), height))
    }

    fn enumerator(&self, value: &Value<'_>) -> Result<(Name, i128)> {
        let text = self.reader.name(value)?;
        let parsed = text.rsplit_once(" = ").and_then(|(name, value)| Some((name.into(), value.parse().ok()?)));
        parsed.ok_or_else(|| self.reader.at(value.span(), format!("`{text}` is not `NAME = NUMBER`")))
    }

    fn member(&mut self, value: &Value<'_>, size: u64) -> Result<(Member, usize)> {
        let reader = self.reader;
        let table = reader.table(value)?;
        reader.only(table, &["offset", "size", "bit_offset", "bits", "name", "type"])?;
        let (layout, height) = self.expression(reader.required(table, "type", value)?)?;
        let name: Name = reader.name(reader.required(table, "name", value)?)?.into();
        let (offset_bits, bits) = match table.get("bits") {
            Some(bits) => {
                (reader.number::<u32>(reader.required(table, "bit_offset", value)?)?.into(), Some(reader.number(bits)?))
            }
            None => {
                let offset: u32 = reader.number(reader.required(table, "offset", value)?)?;
                let written: u32 = reader.number(reader.required(table, "size", value)?)?;
                if u64::from(written) != layout.size {
                    let problem = format!("`{name}` says {written} bytes, but its type takes {}", layout.size);
                    return Err(reader.at(value.span(), problem));
                }
                (u64::from(offset) * 8, None)
            }
        };
        let member = Member { name, offset_bits, bits, layout: Arc::new(layout) };
        member.check(size).map_err(|problem| reader.at(value.span(), problem))?;
        Ok((member, height))
    }
}
