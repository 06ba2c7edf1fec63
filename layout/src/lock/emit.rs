//! Writing a lockfile: sorted, one fact a line, nothing that a rebuild could change.

use std::fmt::Write as _;

use super::answers;
use super::data::{Lock, LockedMap};
use super::quote::{key, string};
use super::types::{Named, TypeTable, type_body};
use crate::epoch::Epoch;
use crate::map::{MapDef, Pinning};

const HEAD: &str = "\
# The layouts of this package's pinned eBPF maps. Written by `cargo maplock`; commit it, don't edit it.
version = 1
";

pub(super) fn lock(lock: &Lock) -> String {
    let mut out = HEAD.to_owned();
    for (name, map) in &lock.maps {
        locked_map(&mut out, &key(name), map);
    }
    for (name, gone) in &lock.gone {
        if !gone.renamed_from.is_empty() {
            _ = write!(out, "\n[gone.{}]\n", key(name));
            renamed_from(&mut out, &gone.renamed_from);
        }
        for epoch in &gone.epochs {
            self::epoch(&mut out, &format!("gone.{}.epoch", key(name)), epoch);
        }
    }
    out
}

/// The words for a definition alone, by which two are compared.
pub(super) fn definition(def: &MapDef) -> String {
    let mut out = String::new();
    map_def(&mut out, "map", def, "");
    out
}

fn locked_map(out: &mut String, name: &str, map: &LockedMap) {
    let mut more = format!("digest = \"{}\"\n", map.def.digest());
    if map.ephemeral {
        more.push_str("ephemeral = true\n");
    }
    renamed_from(&mut more, &map.renamed_from);
    if map.optional {
        more.push_str("optional = true\n");
    }
    if map.runtime_capacity {
        more.push_str("runtime-capacity = true\n");
    }
    if map.runtime_flags {
        more.push_str("runtime-flags = true\n");
    }
    map_def(out, &format!("map.{name}"), &map.def, &more);
    for epoch in &map.epochs {
        self::epoch(out, &format!("map.{name}.epoch"), epoch);
    }
}

fn renamed_from(out: &mut String, names: &[String]) {
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(|name| string(name)).collect();
        _ = writeln!(out, "renamed-from = [{}]", names.join(", "));
    }
}

fn epoch(out: &mut String, path: &str, epoch: &Epoch) {
    _ = write!(out, "\n[[{path}]]\nfrom = \"{}\"\nto = \"{}\"\n", epoch.from, epoch.to);
    let rules: Vec<_> = epoch.rules.iter().map(|rule| string(rule)).collect();
    _ = writeln!(out, "rules = [{}]", rules.join(", "));
    if let Some(max_entries) = epoch.max_entries {
        _ = writeln!(out, "max_entries = {max_entries}");
    }
    _ = writeln!(out, "on-upgrade = \"{}\"", epoch.on_upgrade);
    if !epoch.merge.is_empty() {
        let members: Vec<_> = epoch.merge.iter().map(|(path, merge)| format!("{} = \"{merge}\"", key(path))).collect();
        _ = writeln!(out, "merge = {{ {} }}", members.join(", "));
    }
    answers::emit(out, &epoch.convert);
    _ = writeln!(out, "reason = {}", string(&epoch.reason));
    map_def(out, &format!("{path}.previous"), &epoch.previous, "");
}

fn map_def(out: &mut String, path: &str, def: &MapDef, more: &str) {
    let mut types = TypeTable::default();
    for (layout, role) in [(&def.key, "key"), (&def.value, "value")] {
        if let Some(layout) = layout {
            types.add(layout, role);
        }
    }
    _ = write!(
        out,
        "\n[{path}]\ntype = \"{}\"\nkey_size = {}\nvalue_size = {}\nmax_entries = {}\n",
        def.map_type, def.key_size, def.value_size, def.max_entries
    );
    if def.flags != 0 {
        _ = writeln!(out, "flags = {:#x}", def.flags);
    }
    if def.map_extra != 0 {
        // TOML has no integers beyond 2^63.
        _ = writeln!(out, "map_extra = \"{:#x}\"", def.map_extra);
    }
    if def.version != 0 {
        _ = writeln!(out, "version = {}", def.version);
    }
    if def.numa_node != 0 {
        _ = writeln!(out, "numa_node = {}", def.numa_node);
    }
    match def.pinning {
        Pinning::None => {}
        Pinning::ByName => out.push_str("pinning = \"by_name\"\n"),
        Pinning::Other(number) => _ = writeln!(out, "pinning = {number}"),
    }
    for (layout, name) in [(&def.key, "key"), (&def.value, "value")] {
        if let Some(layout) = layout {
            _ = writeln!(out, "{name} = {}", string(&types.expression(layout)));
        }
    }
    out.push_str(more);
    for (label, named) in &types.by_label {
        _ = write!(out, "\n[{path}.types.{}]\n{}", string(label), type_header(label, named));
        out.push_str(&type_body(named, &types));
    }
    if let Some(inner) = &def.inner {
        map_def(out, &format!("{path}.inner"), inner, "");
    }
}

/// What a label does not say of a type's name.
fn type_header(label: &str, named: &Named) -> String {
    let name = match named {
        Named::Composite(of, _) => of.name(),
        Named::Enum(of, _) => of.name.as_ref(),
    };
    match name {
        None => "anonymous = true\n".to_owned(),
        Some(name) if label.split_once(' ').is_some_and(|(_, rest)| rest == &**name) => String::new(),
        Some(name) => format!("name = {}\n", string(name)),
    }
}
