//! What a lockfile says, as keys and values: lines in a head, one line in a history.

use std::collections::BTreeMap;

use super::answers;
use super::data::{Gone, LockedMap};
use super::quote::{key, string};
use super::type_table::TypeTable;
use crate::epoch::{Epoch, Merge};
use crate::map::{MapDef, Pinning};
use crate::program_use::ProgramUse;

/// A key of the lock, and its value as TOML writes it.
pub(super) type Fact = (&'static str, String);

pub(super) fn lines(facts: &[Fact]) -> String {
    facts.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

pub(super) fn line(facts: &[Fact]) -> String {
    let facts: Vec<_> = facts.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", facts.join(", "))
}

/// A definition, without that of the maps that it holds. `role` is what types without a name are called after.
pub(super) fn of_definition<'a>(def: &'a MapDef, role: &str, types: &mut TypeTable<'a>) -> Vec<Fact> {
    let mut facts = vec![("type", string(&def.map_type.to_string()))];
    for (name, size, layout) in [("key_size", def.key_size, &def.key), ("value_size", def.value_size, &def.value)] {
        // A type tells its own size.
        if layout.as_ref().is_none_or(|layout| layout.size != u64::from(size)) {
            facts.push((name, size.to_string()));
        }
    }
    facts.push(("max_entries", def.max_entries.to_string()));
    if def.flags != 0 {
        facts.push(("flags", format!("{:#x}", def.flags)));
    }
    if def.map_extra != 0 {
        // TOML has no integers beyond 2^63.
        facts.push(("map_extra", format!("\"{:#x}\"", def.map_extra)));
    }
    if def.version != 0 {
        facts.push(("version", def.version.to_string()));
    }
    if def.numa_node != 0 {
        facts.push(("numa_node", def.numa_node.to_string()));
    }
    match def.pinning {
        Pinning::None => {}
        Pinning::ByName => facts.push(("pinning", "\"by_name\"".to_owned())),
        Pinning::Other(number) => facts.push(("pinning", number.to_string())),
    }
    for (name, layout) in [("key", &def.key), ("value", &def.value)] {
        if let Some(layout) = layout {
            facts.push((name, string(&types.enter(layout, &format!("{role}{name}")))));
        }
    }
    facts
}

/// A definition with that of the maps that it holds, on one line.
pub(super) fn definition_line<'a>(def: &'a MapDef, role: &str, types: &mut TypeTable<'a>) -> String {
    let mut facts = of_definition(def, role, types);
    if let Some(inner) = &def.inner {
        facts.push(("inner", definition_line(inner, &format!("{role}inner."), types)));
    }
    line(&facts)
}

/// What stands in the head of a map beside its definition, but for the digest.
pub(super) fn of_map(map: &LockedMap) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(renamed_from(&map.renamed_from));
    for (name, is_set) in [
        ("ephemeral", map.ephemeral),
        ("optional", map.optional),
        ("runtime-capacity", map.runtime_capacity),
        ("runtime-flags", map.runtime_flags),
    ] {
        if is_set {
            facts.push((name, "true".to_owned()));
        }
    }
    if map.user_never_deletes {
        facts.push(("user-deletes", "\"never\"".to_owned()));
    }
    facts.extend(merge(&map.merge));
    facts.extend(map.programs.as_ref().map(|programs| ("programs", of_programs(programs))));
    facts
}

/// What stands in the head of a map that is gone.
pub(super) fn of_gone(gone: &Gone) -> Vec<Fact> {
    renamed_from(&gone.renamed_from).into_iter().chain(merge(&gone.merge)).collect()
}

fn merge(members: &BTreeMap<String, Merge>) -> Option<Fact> {
    let rows: Vec<_> = members.iter().map(|(path, merge)| format!("{} = \"{merge}\"", key(path))).collect();
    (!rows.is_empty()).then(|| ("merge", format!("{{ {} }}", rows.join(", "))))
}

fn of_programs(programs: &ProgramUse) -> String {
    let mut facts = Vec::new();
    for (name, is_set) in [("inserts", programs.inserts), ("deletes", programs.deletes), ("partly", programs.partly)] {
        if is_set {
            facts.push((name, "true".to_owned()));
        }
    }
    for (name, members) in [("adds", &programs.adds), ("sets", &programs.sets)] {
        if !members.is_empty() {
            facts.push((name, list(members)));
        }
    }
    if facts.is_empty() { "{}".to_owned() } else { line(&facts) }
}

fn renamed_from(names: &[String]) -> Option<Fact> {
    (!names.is_empty()).then(|| ("renamed-from", list(names)))
}

/// An epoch, which leaves the definition that is called `previous`. First what a reviewer asks for.
pub(super) fn of_epoch(epoch: &Epoch, previous: &str) -> Vec<Fact> {
    let mut facts = vec![("on-upgrade", format!("\"{}\"", epoch.on_upgrade)), ("reason", string(&epoch.reason))];
    facts.push(("rules", list(&epoch.rules)));
    if let Some(max_entries) = epoch.max_entries {
        facts.push(("max_entries", max_entries.to_string()));
    }
    facts.extend(merge(&epoch.merge));
    facts.extend(answers::facts(&epoch.convert));
    facts.push(("from", format!("\"{}\"", epoch.from)));
    facts.push(("to", format!("\"{}\"", epoch.to)));
    facts.push(("previous", string(previous)));
    facts
}

fn list<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| string(text)).collect();
    format!("[{}]", texts.join(", "))
}
