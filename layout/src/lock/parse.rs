//! Reading a lockfile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use toml::de::DeTable;

use super::answers;
use super::data::{Gone, Lock, LockedMap, VERSION};
use super::error::{LockError, LockProblem};
use super::reader::{Reader, Result, Value};
use super::types::{MAX_DEPTH, Parsed, parse_expression};
use crate::config::did_you_mean;
use crate::digest::Digest;
use crate::epoch::{Epoch, Merge, OnUpgrade};
use crate::layout::{Composite, CompositeKind, Enumeration, Layout, Member, Shape};
use crate::map::{MapDef, MapType, Pinning};
use crate::name::Name;

/// How deep definitions of inner maps may nest. The kernel allows 1.
const MAX_INNER: usize = 8;

pub(super) fn parse(text: &str) -> Result<Lock> {
    let at_line = |index, problem| Err(LockError { line: index + 1, problem });
    for (index, line) in text.split('\n').enumerate() {
        if ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|marker| line.starts_with(marker)) {
            return at_line(index, LockProblem::Conflict);
        }
        if line.ends_with('\r') {
            return at_line(index, LockProblem::CrLf);
        }
    }
    let reader = Reader { text };
    let document = DeTable::parse(text).map_err(|error| {
        reader.at(error.span().unwrap_or(0..0), format!("not TOML: {}; restore the file from git", error.message()))
    })?;
    let document = document.get_ref();
    let version = document
        .get("version")
        .ok_or_else(|| reader.at(0..0, "no `version`: not a lockfile that `cargo maplock` wrote; restore it from git, or remove it and run `cargo maplock init`".to_owned()))?;
    match reader.integer(version)? {
        VERSION => {}
        newer if newer > VERSION => {
            return Err(LockError { line: reader.line(&version.span()), problem: LockProblem::NewerVersion(newer) });
        }
        other => return Err(reader.at(version.span(), format!("version {other} was never written by maplock"))),
    }
    reader.only(document, &["version", "map", "gone"])?;
    let mut maps = BTreeMap::new();
    if let Some(table) = document.get("map") {
        for (name, value) in reader.table(table)? {
            let name = name.get_ref().to_string();
            maps.insert(name.clone(), reader.locked_map(&name, value)?);
        }
    }
    let mut gone = BTreeMap::new();
    if let Some(table) = document.get("gone") {
        for (name, value) in reader.table(table)? {
            let name = name.get_ref().to_string();
            gone.insert(name.clone(), reader.gone(&name, value)?);
        }
    }
    Ok(Lock { maps, gone })
}

const DEF_KEYS: [&str; 13] = [
    "type",
    "key_size",
    "value_size",
    "max_entries",
    "flags",
    "map_extra",
    "version",
    "numa_node",
    "pinning",
    "key",
    "value",
    "types",
    "inner",
];

/// What the head of a map has beside its definition.
const HEAD_KEYS: [&str; 7] =
    ["digest", "ephemeral", "renamed-from", "optional", "runtime-capacity", "runtime-flags", "epoch"];

const EPOCH_KEYS: [&str; 8] = ["from", "to", "rules", "on-upgrade", "merge", "reason", "max_entries", "previous"];

impl Reader<'_> {
    fn locked_map(&self, name: &str, value: &Value<'_>) -> Result<LockedMap> {
        let table = self.table(value)?;
        let known: Vec<_> = DEF_KEYS.into_iter().chain(HEAD_KEYS).collect();
        self.only(table, &known)?;
        let def = self.map_def(name, value, 0)?;
        let digest = self.required(table, "digest", value)?;
        self.check_digest(name, &def, digest)?;
        let is_set = |key| table.get(key).map_or(Ok(false), |value| self.bool(value));
        Ok(LockedMap {
            def,
            ephemeral: is_set("ephemeral")?,
            renamed_from: self.renamed_from(table)?,
            optional: is_set("optional")?,
            runtime_capacity: is_set("runtime-capacity")?,
            runtime_flags: is_set("runtime-flags")?,
            epochs: table.get("epoch").map_or(Ok(Vec::new()), |epochs| self.epochs(name, epochs))?,
        })
    }

    fn renamed_from(&self, table: &DeTable<'_>) -> Result<Vec<String>> {
        let Some(names) = table.get("renamed-from") else { return Ok(Vec::new()) };
        self.array(names)?.iter().map(|name| self.string(name).map(str::to_owned)).collect()
    }

    fn epochs(&self, map: &str, value: &Value<'_>) -> Result<Vec<Epoch>> {
        self.array(value)?.iter().map(|epoch| self.epoch(map, epoch)).collect()
    }

    fn gone(&self, name: &str, value: &Value<'_>) -> Result<Gone> {
        let table = self.table(value)?;
        self.only(table, &["epoch", "renamed-from"])?;
        let epochs = self.epochs(name, self.required(table, "epoch", value)?)?;
        if epochs.last().is_none_or(|last| last.on_upgrade != OnUpgrade::Drop) {
            return Err(self.at(value.span(), format!("no epoch says that map `{name}` was given up")));
        }
        Ok(Gone { renamed_from: self.renamed_from(table)?, epochs })
    }

    fn check_digest(&self, name: &str, def: &MapDef, written_at: &Value<'_>) -> Result<Digest> {
        let (written, computed) = (self.digest(written_at)?, def.digest());
        if written == computed {
            return Ok(written);
        }
        let problem = LockProblem::Digest { map: name.to_owned(), written, computed };
        Err(LockError { line: self.line(&written_at.span()), problem })
    }

    fn epoch(&self, map: &str, value: &Value<'_>) -> Result<Epoch> {
        let table = self.table(value)?;
        let known: Vec<_> = EPOCH_KEYS.into_iter().chain(answers::KEYS).collect();
        self.only(table, &known)?;
        let on_upgrade = self.required(table, "on-upgrade", value)?;
        let name = self.string(on_upgrade)?;
        let previous = self.required(table, "previous", value)?;
        self.only(self.table(previous)?, &DEF_KEYS)?;
        let previous = self.map_def(map, previous, 0)?;
        let from = self.check_digest(map, &previous, self.required(table, "from", value)?)?;
        let rules = self.array(self.required(table, "rules", value)?)?;
        Ok(Epoch {
            from,
            to: self.digest(self.required(table, "to", value)?)?,
            rules: rules.iter().map(|rule| self.string(rule).map(str::to_owned)).collect::<Result<_>>()?,
            on_upgrade: OnUpgrade::from_name(name).ok_or_else(|| {
                let hint = did_you_mean(name, OnUpgrade::ALL.map(OnUpgrade::name));
                self.at(on_upgrade.span(), format!("`{name}` is not reuse, migrate, swap, drop or refuse{hint}"))
            })?,
            merge: table.get("merge").map(|value| self.merge(value)).transpose()?.unwrap_or_default(),
            convert: self.answers(table)?,
            reason: self.string(self.required(table, "reason", value)?)?.to_owned(),
            max_entries: table.get("max_entries").map(|value| self.number(value)).transpose()?,
            previous,
        })
    }

    fn merge(&self, value: &Value<'_>) -> Result<BTreeMap<String, Merge>> {
        let table = self.table(value)?;
        if table.is_empty() {
            return Err(self.at(value.span(), "`merge` names no member".to_owned()));
        }
        let mut merges = BTreeMap::new();
        for (path, value) in table {
            let name = self.string(value)?;
            let merge = Merge::from_name(name).ok_or_else(|| {
                self.at(value.span(), format!("`{name}` is not a way to merge `{}`: only sum is", path.get_ref()))
            })?;
            merges.insert(path.get_ref().to_string(), merge);
        }
        Ok(merges)
    }

    fn map_def(&self, name: &str, value: &Value<'_>, depth: usize) -> Result<MapDef> {
        if depth > MAX_INNER {
            return Err(self.at(value.span(), format!("inner maps are nested over {MAX_INNER} deep")));
        }
        let table = self.table(value)?;
        let type_name = self.required(table, "type", value)?;
        let map_type = self.string(type_name)?;
        let map_type = MapType::from_name(map_type)
            .ok_or_else(|| self.at(type_name.span(), format!("`{map_type}` is not a type of map")))?;
        let mut def = MapDef::new(name, map_type);
        for (key, field) in [
            ("key_size", &mut def.key_size),
            ("value_size", &mut def.value_size),
            ("max_entries", &mut def.max_entries),
        ] {
            *field = self.number(self.required(table, key, value)?)?;
        }
        for (key, field) in
            [("flags", &mut def.flags), ("version", &mut def.version), ("numa_node", &mut def.numa_node)]
        {
            if let Some(value) = table.get(key) {
                *field = self.number(value)?;
            }
        }
        if let Some(value) = table.get("map_extra") {
            let text = self.string(value)?;
            let number = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            def.map_extra =
                number.ok_or_else(|| self.at(value.span(), format!("`{text}` is not a hexadecimal number")))?;
        }
        if let Some(value) = table.get("pinning") {
            def.pinning = match value.get_ref().as_str() {
                Some("by_name") => Pinning::ByName,
                Some(other) => {
                    return Err(self.at(value.span(), format!("`{other}` is neither `by_name` nor a number")));
                }
                None => Pinning::from_number(self.number(value)?),
            };
        }
        let mut types = Types { reader: self, table: None, done: HashMap::new(), depth: 0 };
        if let Some(table) = table.get("types") {
            types.table = Some(self.table(table)?);
        }
        for (key, field) in [("key", &mut def.key), ("value", &mut def.value)] {
            if let Some(value) = table.get(key) {
                *field = Some(Arc::new(types.expression(value)?.0));
            }
        }
        if let Some(value) = table.get("inner") {
            self.only(self.table(value)?, &DEF_KEYS)?;
            def.inner = Some(Box::new(self.map_def(name, value, depth + 1)?));
        }
        Ok(def)
    }
}

/// Resolves the named types of one map, each once.
struct Types<'r, 't, 'v, 'a> {
    reader: &'r Reader<'t>,
    table: Option<&'v DeTable<'a>>,
    /// `None` while a type's members are being resolved.
    done: HashMap<String, Option<Parsed>>,
    depth: usize,
}

impl Types<'_, '_, '_, '_> {
    fn expression(&mut self, value: &Value<'_>) -> Result<Parsed> {
        let text = self.reader.string(value)?;
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
        let Some(value) = self.table.and_then(|table| table.get(label)) else { return Ok(None) };
        match self.done.get(label) {
            Some(Some(parsed)) => return Ok(Some(parsed.clone())),
            Some(None) => return Err(self.reader.at(value.span(), format!("`{label}` contains itself"))),
            None => {}
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
        let (keyword, rest) = label.split_once(' ').unwrap_or((label, ""));
        let name: Option<Name> = match (table.get("name"), table.get("anonymous")) {
            (Some(name), _) => Some(reader.string(name)?.into()),
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
        let text = self.reader.string(value)?;
        let parsed = text.rsplit_once(" = ").and_then(|(name, value)| Some((name.into(), value.parse().ok()?)));
        parsed.ok_or_else(|| self.reader.at(value.span(), format!("`{text}` is not `NAME = NUMBER`")))
    }

    fn member(&mut self, value: &Value<'_>, size: u64) -> Result<(Member, usize)> {
        let reader = self.reader;
        let table = reader.table(value)?;
        reader.only(table, &["offset", "size", "bit_offset", "bits", "name", "type"])?;
        let (layout, height) = self.expression(reader.required(table, "type", value)?)?;
        let name: Name = reader.string(reader.required(table, "name", value)?)?.into();
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
