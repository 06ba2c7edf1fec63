//! BTF as bpftool reads it, which copes with both byte orders.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::toolchain::run;

/// All types of an object, by id.
#[derive(Debug)]
pub struct Types(HashMap<u64, Value>);

/// What a map's declaration in `.maps` says of its types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Declared {
    /// Type id of the key.
    pub key: Option<u64>,
    /// Type id of the value.
    pub value: Option<u64>,
    /// Type id of the struct that declares the inner map.
    pub inner: Option<u64>,
}

impl Types {
    /// Runs `bpftool btf dump` on an object that has BTF.
    #[must_use]
    pub fn dump(object: &Path) -> Self {
        let output =
            run(Command::new("bpftool").args(["-j", "btf", "dump", "file"]).arg(object).args(["format", "raw"]));
        let document: Value = serde_json::from_slice(&output.stdout).expect("bpftool writes JSON");
        let types = document["types"].as_array().expect("a list of types");
        Self(types.iter().map(|ty| (number(ty, "id"), ty.clone())).collect())
    }

    /// The record of a type; `null` for `void`.
    #[must_use]
    pub fn get(&self, id: u64) -> &Value {
        self.0.get(&id).unwrap_or(&Value::Null)
    }

    /// The type behind typedefs, qualifiers and type tags, and the names of the typedefs, outermost first.
    #[must_use]
    pub fn behind(&self, mut id: u64) -> (u64, Vec<&str>) {
        let mut typedefs = Vec::new();
        loop {
            let ty = self.get(id);
            match kind(ty) {
                "TYPEDEF" => typedefs.push(name(ty)),
                "CONST" | "VOLATILE" | "RESTRICT" | "TYPE_TAG" => {}
                _ => return (id, typedefs),
            }
            id = number(ty, "type_id");
        }
    }

    /// Bytes of a type.
    #[must_use]
    pub fn size(&self, id: u64) -> u64 {
        let ty = self.get(self.behind(id).0);
        match kind(ty) {
            "PTR" => 8,
            "ARRAY" => number(ty, "nr_elems") * self.size(number(ty, "type_id")),
            "INT" | "FLOAT" | "ENUM" | "ENUM64" | "STRUCT" | "UNION" | "DATASEC" => number(ty, "size"),
            _ => 0,
        }
    }

    /// The variables of a section, as (name, type id), without those that another object defines.
    #[must_use]
    pub fn variables(&self, section: &str) -> Vec<(&str, u64)> {
        let sections = self.0.values().filter(|ty| kind(ty) == "DATASEC" && name(ty) == section);
        let variables = sections.flat_map(|ty| list(ty, "vars")).map(|info| self.get(number(info, "type_id")));
        let mut found: Vec<_> = variables
            .filter(|var| kind(var) == "VAR" && (section == ".kconfig" || var["linkage"] != "extern"))
            .map(|var| (name(var), number(var, "type_id")))
            .collect();
        found.sort_unstable();
        found
    }

    /// The struct of that tag.
    #[must_use]
    pub fn structure(&self, tag: &str) -> Option<u64> {
        self.0.values().find(|ty| kind(ty) == "STRUCT" && name(ty) == tag).map(|ty| number(ty, "id"))
    }

    /// Reads the declaration of a map: a variable's type in `.maps`, or the struct of an inner map.
    #[must_use]
    pub fn declared(&self, id: u64) -> Declared {
        let mut declared = Declared::default();
        for member in list(self.get(self.definition(id)), "members") {
            let (target, _) = self.behind(number(member, "type_id"));
            let target = self.get(target);
            match (name(member), kind(target)) {
                ("key", "PTR") => declared.key = Some(number(target, "type_id")),
                ("value", "PTR") => declared.value = Some(number(target, "type_id")),
                ("values", "ARRAY") => {
                    let (element, _) = self.behind(number(target, "type_id"));
                    let (pointee, _) = self.behind(number(self.get(element), "type_id"));
                    declared.inner = (kind(self.get(pointee)) == "STRUCT").then_some(pointee);
                }
                _ => {}
            }
        }
        declared
    }

    /// The struct that has a member `type`, through structs of Rust that only wrap it.
    fn definition(&self, id: u64) -> u64 {
        let (id, _) = self.behind(id);
        let members = list(self.get(id), "members");
        match members {
            [only] if name(only) != "type" && kind(self.get(self.behind(number(only, "type_id")).0)) == "STRUCT" => {
                self.definition(number(only, "type_id"))
            }
            _ => id,
        }
    }
}

/// The kind of a type, such as `STRUCT`; empty for `void`.
#[must_use]
pub fn kind(ty: &Value) -> &str {
    ty["kind"].as_str().unwrap_or_default()
}

/// The name of a type or member; empty where it has none.
#[must_use]
pub fn name(of: &Value) -> &str {
    of["name"].as_str().filter(|&name| name != "(anon)").unwrap_or_default()
}

/// A number; 0 where there is none.
#[must_use]
pub fn number(of: &Value, field: &str) -> u64 {
    of[field].as_u64().unwrap_or_default()
}

/// A list; empty where there is none.
#[must_use]
pub fn list<'v>(of: &'v Value, field: &str) -> &'v [Value] {
    of[field].as_array().map_or(&[], Vec::as_slice)
}
