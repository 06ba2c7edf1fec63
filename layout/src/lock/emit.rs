//! Writing a lockfile: sorted, one fact a line, nothing that a rebuild could change.
//!
//! Git merges by lines, so that the file is laid out for it: heads, then types, then histories, each in an order of its own and
//! each under a line that no other has. What one branch says of one map and another of another is never side by side.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::data::{Gone, Lock, LockedMap};
use super::facts;
use super::past::Past;
use super::quote::{key, string};
use super::type_table::{Labels, TypeTable};
use crate::map::MapDef;

const HEAD: &str = "\
# The layouts of this package's pinned eBPF maps. Written by `cargo maplock`; commit it, don't edit it.
version = 1
";

pub(super) fn lock(lock: &Lock) -> String {
    let mut out = HEAD.to_owned();
    let mut types = TypeTable::new(Labels::Names);
    let mut histories = String::new();
    // A map that is gone stays where it was.
    let names: BTreeSet<_> = lock.maps.keys().chain(lock.gone.keys()).collect();
    for name in names {
        if let Some(map) = lock.maps.get(name) {
            let path = format!("map.{}", key(name));
            let past = Past::of_map(name, map);
            head(&mut out, &path, (name, map), &mut types, &past);
            _ = write!(histories, "\n[{path}.history]\n{}", past.lines);
        }
        if let Some(gone) = lock.gone.get(name) {
            let path = format!("gone.{}", key(name));
            let past = Past::of_gone(name, gone);
            tombstone(&mut out, &path, gone, &past);
            _ = write!(histories, "\n[{path}.history]\n{}", past.lines);
        }
    }
    for (label, named) in &types.by_label {
        _ = write!(out, "\n[type.{}]\n{}", string(label), named.lines());
    }
    out + &histories
}

/// The words for a definition alone, by which two are compared.
pub(super) fn definition(def: &MapDef) -> String {
    let mut types = TypeTable::new(Labels::Contents);
    facts::definition_line(def, "", &mut types)
}

fn head<'a>(out: &mut String, path: &str, (name, map): (&str, &'a LockedMap), types: &mut TypeTable<'a>, past: &Past) {
    let mut facts = facts::of_definition(&map.def, &format!("{name}."), types);
    facts.extend(facts::of_map(map));
    facts.push(("digest", format!("\"{}\"", map.def.digest())));
    facts.push(("checksum", format!("\"{}\"", past.checksum)));
    _ = write!(out, "\n[{path}]\n{}", facts::lines(&facts));
    let (mut path, mut role, mut def) = (path.to_owned(), format!("{name}."), &map.def);
    while let Some(inner) = &def.inner {
        path.push_str(".inner");
        role.push_str("inner.");
        _ = write!(out, "\n[{path}]\n{}", facts::lines(&facts::of_definition(inner, &role, types)));
        def = inner;
    }
}

fn tombstone(out: &mut String, path: &str, gone: &Gone, past: &Past) {
    let mut facts = facts::of_gone(gone);
    facts.push(("checksum", format!("\"{}\"", past.checksum)));
    _ = write!(out, "\n[{path}]\n{}", facts::lines(&facts));
}
