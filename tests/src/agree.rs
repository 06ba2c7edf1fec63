//! Holding what maplock read against what libbpf and bpftool read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use maplock_codegen::Object;
use maplock_layout::map::{MapDef, Origin, Pinning};
use maplock_layout::{Composite, CompositeKind, IntKind, Layout, Shape};

use crate::libbpf::{self, Opened};
use crate::types::{Types, kind, list, name, number};

/// Whether an object is expected to be opened by libbpf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Libbpf {
    /// It is opened.
    Opens,
    /// It is not, for a reason that is no concern of a layout.
    Refuses,
    /// It depends on the version of the tool that made the object.
    MayRefuse,
}

/// What was compared, and where the readers disagree.
#[derive(Debug, Default)]
pub struct Agreement {
    /// Objects that maplock read.
    pub objects: usize,
    /// Maps whose attributes libbpf was asked for, inner ones included.
    pub maps: usize,
    /// Types, members and enumerators that bpftool was asked for.
    pub types: usize,
    /// Each disagreement, in words.
    pub problems: Vec<String>,
}

impl Agreement {
    /// Compares one object in every way that there is.
    pub fn check(&mut self, path: &Path, libbpf: Libbpf) {
        let label = crate::toolchain::file_name(path);
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match Object::parse(&bytes) {
            Ok(object) => self.check_maps(&label, path, &bytes, &object.maps, libbpf),
            Err(error) => self.problems.push(format!("{label}: {error}")),
        }
    }

    /// Compares `maps` with what the others read from the object of these bytes, which is the file at `path`.
    pub fn check_maps(&mut self, label: &str, path: &Path, bytes: &[u8], maps: &[MapDef], libbpf: Libbpf) {
        self.objects += 1;
        let start = self.problems.len();
        let has_btf = maps.iter().any(|map| map.key.is_some() || map.value.is_some());
        match (libbpf::open(bytes), libbpf) {
            (Ok(opened), Libbpf::Opens | Libbpf::MayRefuse) => self.attributes(maps, &opened),
            (Err(_), Libbpf::Refuses | Libbpf::MayRefuse) => {}
            (Ok(_), Libbpf::Refuses) => self.problems.push("libbpf opens it, which was not expected".to_owned()),
            (Err(error), Libbpf::Opens) => self.problems.push(format!("libbpf does not open it: {error}")),
        }
        if has_btf || maps.iter().any(|map| map.origin == Origin::Declared) {
            self.layouts(maps, &Types::dump(path));
        }
        for problem in &mut self.problems[start..] {
            *problem = format!("{label}: {problem}");
        }
    }

    fn attributes(&mut self, ours: &[MapDef], opened: &Opened) {
        let by_name: BTreeMap<&str, &libbpf::Map> = opened.maps.iter().map(|map| (map.name.as_str(), map)).collect();
        self.same("the names of its maps", names(ours.iter().map(|map| &map.name)), names(by_name.keys()));
        for map in ours {
            let Some(theirs) = by_name.get(map.name.as_str()) else { continue };
            self.attributes_of(&map.name, map, theirs);
            if map.origin == Origin::GlobalData {
                self.offsets(map, opened);
            }
        }
    }

    fn attributes_of(&mut self, path: &str, ours: &MapDef, theirs: &libbpf::Map) {
        self.maps += 1;
        let say = |what: &str| format!("{path}: {what}");
        self.same(&say("type"), ours.map_type.0, theirs.map_type);
        self.same(&say("key_size"), ours.key_size, theirs.key_size);
        self.same(&say("value_size"), ours.value_size, theirs.value_size);
        self.same(&say("max_entries"), ours.max_entries, theirs.max_entries);
        self.same(&say("map_flags"), ours.flags, theirs.flags);
        self.same(&say("map_extra"), ours.map_extra, theirs.map_extra);
        self.same(&say("numa_node"), ours.numa_node, theirs.numa_node);
        self.same(&say("pinned"), ours.pinning == Pinning::ByName, theirs.is_pinned);
        self.same(&say("has an inner map"), ours.inner.is_some(), theirs.inner.is_some());
        if let (Some(ours), Some(theirs)) = (&ours.inner, &theirs.inner) {
            self.attributes_of(&format!("{path}.inner"), ours, theirs);
        }
    }

    /// Where the variables of global data are, which the compiler leaves to the loader.
    fn offsets(&mut self, map: &MapDef, opened: &Opened) {
        let Some(section) = opened.sections.get(&map.name) else { return };
        let theirs: BTreeSet<_> =
            section.iter().map(|of| (of.name.clone(), u64::from(of.offset), u64::from(of.size))).collect();
        let members = map.value.as_deref().and_then(Layout::composite).map_or(&[][..], Composite::members);
        let ours = members.iter().map(|of| (of.name.to_string(), of.offset_bits / 8, of.layout.size)).collect();
        self.same(&format!("{}: variables with offset and size", map.name), ours, theirs);
    }

    fn layouts(&mut self, maps: &[MapDef], types: &Types) {
        let variables: BTreeMap<&str, u64> = types.variables(".maps").into_iter().collect();
        let declared = maps.iter().filter(|map| map.origin == Origin::Declared);
        self.same("the variables of .maps", names(declared.map(|map| &map.name)), names(variables.keys()));
        let mut walk = Walk { types, seen: HashSet::new(), agreement: self };
        for map in maps {
            match map.origin {
                Origin::Declared => {
                    if let Some(&id) = variables.get(map.name.as_str()) {
                        walk.declaration(map, &map.name, id);
                    }
                }
                Origin::Legacy => walk.annotation(map),
                Origin::GlobalData => walk.section(map),
                Origin::StructOps => {
                    let found = [".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link"]
                        .into_iter()
                        .flat_map(|section| types.variables(section))
                        .find(|(name, _)| *name == map.name);
                    walk.key_or_value(&map.name, map.value.as_deref(), found.map(|(_, id)| id));
                }
            }
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, ours: T, theirs: T) {
        if ours != theirs {
            self.problems.push(format!("{what}: ours {ours:?}, theirs {theirs:?}"));
        }
    }

    /// Fails with every disagreement, and where less than that much was compared.
    ///
    /// # Panics
    /// Then.
    pub fn assert(&self, objects: usize, maps: usize, types: usize) {
        assert!(self.problems.is_empty(), "{} disagreements\n{}", self.problems.len(), self.problems.join("\n"));
        let Self { objects: o, maps: m, types: t, .. } = self;
        assert!(
            *o >= objects && *m >= maps && *t >= types,
            "compared {o} objects, {m} maps and {t} types, expected {objects}, {maps} and {types} at least"
        );
    }
}

fn names(of: impl Iterator<Item = impl ToString>) -> Vec<String> {
    let mut names: Vec<_> = of.map(|name| name.to_string()).collect();
    names.sort_unstable();
    names
}

/// Walks a layout beside bpftool's types.
struct Walk<'w> {
    types: &'w Types,
    seen: HashSet<(*const Layout, u64)>,
    agreement: &'w mut Agreement,
}

impl Walk<'_> {
    fn declaration(&mut self, map: &MapDef, path: &str, id: u64) {
        let declared = self.types.declared(id);
        self.key_or_value(&format!("{path}.key"), map.key.as_deref(), declared.key);
        self.key_or_value(&format!("{path}.value"), map.value.as_deref(), declared.value);
        self.same(path, "has an inner map", map.inner.is_some(), declared.inner.is_some());
        if let (Some(inner), Some(id)) = (&map.inner, declared.inner) {
            self.declaration(inner, &format!("{path}.inner"), id);
        }
    }

    /// `BPF_ANNOTATE_KV_PAIR`.
    fn annotation(&mut self, map: &MapDef) {
        // Without it no BTF tells of the types. Those of Rust's maps are read from DWARF, which the other side does not read.
        let Some(annotation) = self.types.structure(&format!("____btf_map_{}", map.name)) else { return };
        let members = list(self.types.get(annotation), "members");
        for (what, layout) in [("key", &map.key), ("value", &map.value)] {
            let member = members.iter().find(|member| name(member) == what);
            self.key_or_value(
                &format!("{}.{what}", map.name),
                layout.as_deref(),
                member.map(|of| number(of, "type_id")),
            );
        }
    }

    fn section(&mut self, map: &MapDef) {
        let theirs = self.types.variables(&map.name);
        let members = map.value.as_deref().and_then(Layout::composite).map_or(&[][..], Composite::members);
        let ours = names(members.iter().map(|member| &member.name));
        self.same(&map.name, "variables", ours, names(theirs.iter().map(|(name, _)| name)));
        for member in members {
            if let Some((_, id)) = theirs.iter().find(|(name, _)| *name == &*member.name) {
                self.layout(&format!("{}.{}", map.name, member.name), &member.layout, *id);
            }
        }
    }

    fn key_or_value(&mut self, path: &str, layout: Option<&Layout>, id: Option<u64>) {
        // Rust's `()` is a type without bytes, and so no layout.
        match (layout, id.filter(|&id| self.types.size(id) != 0)) {
            (Some(layout), Some(id)) => self.layout(path, layout, id),
            (ours, theirs) => self.same(path, "has a type", ours.is_some(), theirs.is_some()),
        }
    }

    fn layout(&mut self, path: &str, ours: &Layout, id: u64) {
        if !self.seen.insert((std::ptr::from_ref(ours), id)) {
            return;
        }
        self.agreement.types += 1;
        let (behind, typedefs) = self.types.behind(id);
        let theirs = self.types.get(behind);
        self.same(path, "size", ours.size, self.types.size(id));
        self.typedef(path, ours, &typedefs);
        match (&ours.shape, kind(theirs)) {
            (Shape::Int(ours), "INT") => {
                let encoding = theirs["encoding"].as_str().unwrap_or_default();
                let expected = match encoding {
                    _ if name(theirs) == "char" => IntKind::Char,
                    "CHAR" => IntKind::Char,
                    "BOOL" => IntKind::Bool,
                    "SIGNED" => IntKind::Signed,
                    _ => IntKind::Unsigned,
                };
                self.same(path, "kind of integer", *ours, expected);
            }
            (Shape::Enum(ours), "ENUM" | "ENUM64") => {
                self.same(path, "tag", ours.name.as_deref().unwrap_or_default(), name(theirs));
                let theirs: Vec<_> = list(theirs, "values")
                    .iter()
                    .map(|value| (name(value).to_owned(), integer(&value["val"], kind(theirs) == "ENUM")))
                    .collect();
                let ours: Vec<_> = ours.values.iter().map(|(name, value)| (name.to_string(), *value)).collect();
                self.agreement.types += ours.len();
                self.same(path, "enumerators", ours, theirs);
            }
            (Shape::Array { element, len }, "ARRAY") => {
                self.same(path, "elements", u64::from(*len), number(theirs, "nr_elems"));
                self.layout(&format!("{path}[]"), element, number(theirs, "type_id"));
            }
            (Shape::Composite(of), "STRUCT" | "UNION") => {
                let is_union = of.kind() == CompositeKind::Union;
                self.same(path, "is a union", is_union, kind(theirs) == "UNION");
                self.same(path, "tag", of.name().map_or("", |name| name), name(theirs));
                self.members(path, of, list(theirs, "members"));
            }
            (Shape::Pointer { .. }, "PTR") | (Shape::Float, "FLOAT") => {}
            (Shape::Opaque { .. }, "" | "FWD" | "FUNC" | "FUNC_PROTO") => {}
            // Rust's `()` is an integer without bits.
            (Shape::Opaque { .. }, "INT") => self.same(path, "size of an integer", 0, number(theirs, "size")),
            (ours, theirs) => self.same(path, "shape", format!("{ours:?}"), theirs.to_owned()),
        }
    }

    fn members(&mut self, path: &str, ours: &Composite, theirs: &[serde_json::Value]) {
        let all = |members: &[serde_json::Value]| -> Vec<_> { members.iter().map(|of| self.member(of)).collect() };
        let expected = all(theirs);
        let found: Vec<_> = ours
            .members()
            .iter()
            .map(|of| (of.name.to_string(), of.offset_bits, of.bits.map_or(0, u64::from), of.size_bits()))
            .collect();
        self.agreement.types += found.len();
        self.same(path, "members (name, bits_offset, bitfield_size, bits)", found, expected);
        for (ours, theirs) in ours.members().iter().zip(theirs) {
            self.layout(&format!("{path}.{}", ours.name), &ours.layout, number(theirs, "type_id"));
        }
    }

    /// Name, offset, width as a bit-field or 0, and width.
    fn member(&self, of: &serde_json::Value) -> (String, u64, u64, u64) {
        let id = number(of, "type_id");
        let (mut offset, mut bits) = (number(of, "bits_offset"), number(of, "bitfield_size"));
        // Compilers of the time before `kind_flag` say it with the integer's type.
        let ty = self.types.get(self.types.behind(id).0);
        if kind(ty) == "INT" && number(ty, "nr_bits") != number(ty, "size") * 8 {
            offset += number(ty, "bits_offset");
            bits = if bits == 0 { number(ty, "nr_bits") } else { bits };
        }
        (name(of).to_owned(), offset, bits, if bits == 0 { self.types.size(id) * 8 } else { bits })
    }

    /// The name through which a type is reached is kept, but for the usual names of integers.
    fn typedef(&mut self, path: &str, ours: &Layout, theirs: &[&str]) {
        const USUAL: [&str; 8] = ["__u8", "__u16", "__u32", "__u64", "__s8", "__s16", "__s32", "__s64"];
        match ours.typedef.as_deref() {
            Some(ours) => self.same(path, "typedef", Some(&ours), theirs.first()),
            None => {
                let kept = theirs.first().filter(|name| {
                    let name = name.trim_start_matches('_').trim_end_matches("_t").replace("int", "");
                    let plain = format!("__{name}");
                    !(matches!(ours.shape, Shape::Int(_)) && USUAL.contains(&plain.as_str()))
                });
                self.same(path, "typedef", None, kept);
            }
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, path: &str, what: &str, ours: T, theirs: T) {
        self.agreement.same(&format!("{path}: {what}"), ours, theirs);
    }
}

/// An enumerator's number. Of 32 bits, it is compared as signed, as `struct btf_enum` declares it: whether an enum has
/// a sign is told by newer compilers only.
fn integer(value: &serde_json::Value, is_32_bits: bool) -> i128 {
    let wide = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from)).unwrap_or_default();
    if is_32_bits { i128::from(wide as u32 as i32) } else { wide }
}
