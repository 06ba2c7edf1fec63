//! Reading a lockfile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use toml::de::DeTable;

use super::answers;
use super::data::{Gone, Lock, LockedMap, VERSION};
use super::error::{LockError, LockProblem};
use super::parse_types::Types;
use super::past::Past;
use super::reader::{Reader, Result, Value};
use crate::config::did_you_mean;
use crate::digest::Digest;
use crate::epoch::{Epoch, Merge, OnUpgrade};
use crate::identity::contradiction;
use crate::map::{MapDef, MapType, Pinning};
use crate::program_use::ProgramUse;

/// How deep definitions of inner maps may nest. The kernel allows 1.
const MAX_INNER: usize = 8;

/// What is done about the checksums of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    /// Each must be there, and be that of its map.
    Compared,
    /// They are of no account.
    Ignored,
}

pub(super) fn parse(text: &str, checksums: Checksums) -> Result<Lock> {
    let at_line = |index, problem| Err(LockError { line: index + 1, problem });
    for (index, line) in text.split('\n').enumerate() {
        if ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|marker| line.starts_with(marker)) {
            return at_line(index, LockProblem::Conflict);
        }
        if line.ends_with('\r') {
            return at_line(index, LockProblem::CrLf);
        }
    }
    let reader = Reader { text, compares_checksums: checksums == Checksums::Compared };
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
    reader.only(document, &["version", "map", "gone", "type"])?;
    let mut types = Types::new(&reader, document.get("type"))?;
    let mut maps = BTreeMap::new();
    if let Some(table) = document.get("map") {
        for (name, value) in reader.named(table)? {
            maps.insert(name.to_owned(), reader.locked_map(name, value, &mut types)?);
        }
    }
    let mut gone = BTreeMap::new();
    if let Some(table) = document.get("gone") {
        for (name, value) in reader.named(table)? {
            gone.insert(name.to_owned(), reader.gone(name, value)?);
        }
    }
    let lock = Lock { maps, gone };
    match contradiction(&lock) {
        Some((name, problem)) => {
            let tables = ["map", "gone"].into_iter().filter_map(|key| document.get(key)?.get_ref().as_table());
            let at = tables.into_iter().find_map(|table| table.get_key_value(&*name)).map(|(key, _)| key.span());
            Err(reader.at(at.unwrap_or(0..0), problem))
        }
        None => Ok(lock),
    }
}

const DEF_KEYS: [&str; 12] = [
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
    "inner",
];

/// What the head of a map has beside its definition.
const HEAD_KEYS: [&str; 11] = [
    "digest",
    "checksum",
    "ephemeral",
    "renamed-from",
    "optional",
    "runtime-capacity",
    "runtime-flags",
    "user-deletes",
    "merge",
    "programs",
    "history",
];

const PROGRAMS_KEYS: [&str; 5] = ["inserts", "deletes", "partly", "adds", "sets"];

const HISTORY_KEYS: [&str; 3] = ["epochs", "definitions", "types"];

const EPOCH_KEYS: [&str; 8] = ["from", "to", "rules", "on-upgrade", "merge", "reason", "max_entries", "previous"];

impl Reader<'_> {
    fn locked_map(&self, name: &str, value: &Value<'_>, types: &mut Types<'_, '_, '_, '_>) -> Result<LockedMap> {
        let table = self.table(value)?;
        let known: Vec<_> = DEF_KEYS.into_iter().chain(HEAD_KEYS).collect();
        self.only(table, &known)?;
        let def = self.map_def(name, value, 0, types)?;
        let digest = self.required(table, "digest", value)?;
        self.check_digest(name, &def, digest)?;
        let is_set = |key| table.get(key).map_or(Ok(false), |value| self.bool(value));
        let epochs = self.history(name, table, Some(&def))?;
        let map = LockedMap {
            def,
            ephemeral: is_set("ephemeral")?,
            renamed_from: self.renamed_from(table)?,
            optional: is_set("optional")?,
            runtime_capacity: is_set("runtime-capacity")?,
            runtime_flags: is_set("runtime-flags")?,
            user_never_deletes: self.user_never_deletes(table)?,
            merge: self.merge(table)?,
            programs: table.get("programs").map(|value| self.programs(value)).transpose()?,
            epochs,
        };
        self.check_checksum(name, (table, value), || Past::of_map(name, &map))?;
        Ok(map)
    }

    fn user_never_deletes(&self, table: &DeTable<'_>) -> Result<bool> {
        let Some(value) = table.get("user-deletes") else { return Ok(false) };
        match self.string(value)? {
            "never" => Ok(true),
            other => Err(self.at(value.span(), format!("`user-deletes` can be \"never\" alone, and is `{other}`"))),
        }
    }

    fn programs(&self, value: &Value<'_>) -> Result<ProgramUse> {
        let table = self.table(value)?;
        self.only(table, &PROGRAMS_KEYS)?;
        let is_set = |key| table.get(key).map_or(Ok(false), |value| self.bool(value));
        let members = |key| -> Result<BTreeSet<String>> {
            let Some(members) = table.get(key) else { return Ok(BTreeSet::new()) };
            self.array(members)?.iter().map(|path| self.name(path).map(str::to_owned)).collect()
        };
        Ok(ProgramUse {
            inserts: is_set("inserts")?,
            deletes: is_set("deletes")?,
            partly: is_set("partly")?,
            adds: members("adds")?,
            sets: members("sets")?,
        })
    }

    fn renamed_from(&self, table: &DeTable<'_>) -> Result<Vec<String>> {
        let Some(names) = table.get("renamed-from") else { return Ok(Vec::new()) };
        self.array(names)?.iter().map(|name| self.name(name).map(str::to_owned)).collect()
    }

    fn gone(&self, name: &str, value: &Value<'_>) -> Result<Gone> {
        let table = self.table(value)?;
        self.only(table, &["checksum", "renamed-from", "merge", "history"])?;
        let epochs = self.history(name, table, None)?;
        if epochs.last().is_none_or(|last| last.on_upgrade != OnUpgrade::Drop) {
            return Err(self.at(value.span(), format!("no epoch says that map `{name}` was given up")));
        }
        let gone = Gone { renamed_from: self.renamed_from(table)?, merge: self.merge(table)?, epochs };
        self.check_checksum(name, (table, value), || Past::of_gone(name, &gone))?;
        Ok(gone)
    }

    /// The epochs of a map, of which `def` is what it is today.
    fn history(&self, map: &str, of: &DeTable<'_>, def: Option<&MapDef>) -> Result<Vec<Epoch>> {
        let Some(value) = of.get("history") else { return Ok(Vec::new()) };
        let history = self.table(value)?;
        self.only(history, &HISTORY_KEYS)?;
        let rows = self.array(self.required(history, "epochs", value)?)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut types = Types::new(self, history.get("types"))?;
        if let Some(def) = def {
            types.know(def);
        }
        let definitions = self.required(history, "definitions", value)?;
        let mut past = Definitions { table: self.table(definitions)?, types, done: HashMap::new() };
        rows.iter().map(|row| self.epoch(map, row, &mut past)).collect()
    }

    fn check_checksum(
        &self,
        name: &str,
        (table, value): (&DeTable<'_>, &Value<'_>),
        past: impl FnOnce() -> Past,
    ) -> Result<()> {
        if !self.compares_checksums {
            return Ok(());
        }
        let checksum = self.required(table, "checksum", value)?;
        let (written, computed) = (self.string(checksum)?, past().checksum);
        if *written == computed {
            return Ok(());
        }
        let problem = LockProblem::Checksum { map: name.to_owned(), written: written.to_owned(), computed };
        Err(LockError { line: self.line(&checksum.span()), problem })
    }

    fn check_digest(&self, name: &str, def: &MapDef, written_at: &Value<'_>) -> Result<Digest> {
        let (written, computed) = (self.digest(written_at)?, def.digest());
        if written == computed {
            return Ok(written);
        }
        let problem = LockProblem::Digest { map: name.to_owned(), written, computed };
        Err(LockError { line: self.line(&written_at.span()), problem })
    }

    fn epoch(&self, map: &str, value: &Value<'_>, past: &mut Definitions<'_, '_, '_, '_>) -> Result<Epoch> {
        let table = self.table(value)?;
        let known: Vec<_> = EPOCH_KEYS.into_iter().chain(answers::KEYS).collect();
        self.only(table, &known)?;
        let on_upgrade = self.required(table, "on-upgrade", value)?;
        let name = self.string(on_upgrade)?;
        let previous = self.definition(map, self.required(table, "previous", value)?, past)?;
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
            merge: self.merge(table)?,
            convert: self.answers(table)?,
            reason: self.string(self.required(table, "reason", value)?)?.to_owned(),
            max_entries: table.get("max_entries").map(|value| self.number(value)).transpose()?,
            previous,
        })
    }

    /// The definition of that name in a history.
    fn definition(&self, map: &str, name: &Value<'_>, past: &mut Definitions<'_, '_, '_, '_>) -> Result<MapDef> {
        let of = self.string(name)?;
        if let Some(done) = past.done.get(of) {
            return Ok(done.clone());
        }
        let value = past.table.get(of).ok_or_else(|| {
            self.at(
                name.span(),
                format!("the history of map `{map}` has no definition `{of}`; restore the file from git"),
            )
        })?;
        self.only(self.table(value)?, &DEF_KEYS)?;
        let def = self.map_def(map, value, 0, &mut past.types)?;
        past.done.insert(of.to_owned(), def.clone());
        Ok(def)
    }

    /// How members are merged: for the life of a map, or on the way over one epoch.
    fn merge(&self, of: &DeTable<'_>) -> Result<BTreeMap<String, Merge>> {
        let Some(value) = of.get("merge") else { return Ok(BTreeMap::new()) };
        let table = self.table(value)?;
        if table.is_empty() {
            return Err(self.at(value.span(), "`merge` names no member".to_owned()));
        }
        let mut merges = BTreeMap::new();
        for (path, value) in table {
            let name = self.string(value)?;
            let merge = Merge::from_name(name).ok_or_else(|| {
                let ways = Merge::ALL.map(Merge::name).join(" or ");
                self.at(value.span(), format!("`{name}` is not a way to merge `{}`: only {ways} is", path.get_ref()))
            })?;
            merges.insert(path.get_ref().to_string(), merge);
        }
        Ok(merges)
    }

    fn map_def(
        &self,
        name: &str,
        value: &Value<'_>,
        depth: usize,
        types: &mut Types<'_, '_, '_, '_>,
    ) -> Result<MapDef> {
        if depth > MAX_INNER {
            return Err(self.at(value.span(), format!("inner maps are nested over {MAX_INNER} deep")));
        }
        let table = self.table(value)?;
        let type_name = self.required(table, "type", value)?;
        let map_type = self.string(type_name)?;
        let map_type = MapType::from_name(map_type)
            .ok_or_else(|| self.at(type_name.span(), format!("`{map_type}` is not a type of map")))?;
        let mut def = MapDef::new(name, map_type);
        for (role, size_key, layout, size) in [
            ("key", "key_size", &mut def.key, &mut def.key_size),
            ("value", "value_size", &mut def.value, &mut def.value_size),
        ] {
            if let Some(value) = table.get(role) {
                *layout = Some(Arc::new(types.expression(value)?.0));
            }
            *size = match (table.get(size_key), layout) {
                // A type tells its own size.
                (None, Some(layout)) => u32::try_from(layout.size)
                    .map_err(|_| self.at(value.span(), format!("`{role}` is larger than 4 GiB")))?,
                (size, _) => self.number(size.map_or_else(|| self.required(table, size_key, value), Ok)?)?,
            };
        }
        def.max_entries = self.number(self.required(table, "max_entries", value)?)?;
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
        if let Some(value) = table.get("inner") {
            self.only(self.table(value)?, &DEF_KEYS)?;
            def.inner = Some(Box::new(self.map_def(name, value, depth + 1, types)?));
        }
        Ok(def)
    }
}

/// The definitions that a history names.
struct Definitions<'r, 't, 'v, 'a> {
    table: &'v DeTable<'a>,
    types: Types<'r, 't, 'v, 'a>,
    done: HashMap<String, MapDef>,
}
