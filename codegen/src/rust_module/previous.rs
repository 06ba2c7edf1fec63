//! The types of older releases, whose entries are converted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maplock_layout::conversion::Converting;
use maplock_layout::layout::Shape;
use maplock_layout::{Digest, Layout, MapDef};

use super::names::camel_case;
use super::types::{Module, Style, Ty};
use super::{Map, QUIET};

/// A conversion that is written by hand: the types on both sides, as the generated module names them.
pub(super) struct ByHand {
    pub(super) map: String,
    pub(super) new: String,
    pub(super) old: String,
    pub(super) from: Digest,
    pub(super) to: Digest,
}

/// The module `previous`, where there is anything in it, and what is converted by hand.
pub(super) fn render(maps: &[Map<'_>], style: Style<'_>) -> (String, Vec<ByHand>) {
    let mut olds: BTreeMap<Digest, &MapDef> = BTreeMap::new();
    for map in maps {
        olds.extend(Converting::all(map.locked).iter().map(|step| (step.epoch.from, step.old)));
    }
    if olds.is_empty() {
        return (String::new(), Vec::new());
    }
    let names = module_names(&olds);
    let mut out = format!(
        "\n/// Keys and values of older releases, whose entries are converted.\n{QUIET}\npub mod previous {{\n"
    );
    for (digest, old) in &olds {
        out.push_str(&one(&names[digest], digest, old, style));
    }
    out.push_str("}\n");
    let mut by_hand = Vec::new();
    for map in maps {
        let steps = Converting::all(map.locked);
        for step in steps.iter().filter(|step| step.epoch.convert.by_hand) {
            let (from, to) = (step.epoch.from, step.epoch.to);
            let new = match names.get(&to) {
                Some(later) if to != map.locked.def.digest() => format!("previous::{later}::Value"),
                _ => format!("{}::Value", map.module),
            };
            let old = format!("previous::{}::Value", names[&from]);
            by_hand.push(ByHand { map: map.name.to_owned(), new, old, from, to });
        }
    }
    (out, by_hand)
}

/// `v41ab`, with as many digits as it takes to tell them apart.
fn module_names(olds: &BTreeMap<Digest, &MapDef>) -> BTreeMap<Digest, String> {
    let digits: Vec<_> = olds.keys().map(ToString::to_string).collect();
    let len = (4..=32).find(|len| {
        let mut short: Vec<_> = digits.iter().map(|digits| &digits[..*len]).collect();
        short.dedup();
        short.len() == digits.len()
    });
    olds.keys().zip(&digits).map(|(digest, digits)| (*digest, format!("v{}", &digits[..len.unwrap_or(32)]))).collect()
}

fn one(name: &str, digest: &Digest, old: &MapDef, style: Style<'_>) -> String {
    let nothing = |_: &str| None;
    // What the sources of today say is not of these.
    let none = BTreeMap::new();
    let mut module = Module::new(Style { source: &nothing, externs: &none, ..style }, &["Key", "Value"]);
    let mut aliases = String::new();
    for (alias, layout, size) in [("Key", &old.key, old.key_size), ("Value", &old.value, old.value_size)] {
        if size == 0 {
            continue;
        }
        let ty = match layout.as_deref() {
            Some(layout) => module.ty(layout, &format!("{}{alias}", camel_case(&old.name)), ""),
            None => Ty::of_bytes(size),
        };
        // Only a type of this crate can be one side of a conversion that this crate writes.
        let ty = match layout.as_deref().is_some_and(is_own_type) || alias == "Key" {
            true => ty,
            false => module.newtype(&format!("{}Value", camel_case(&old.name)), &ty),
        };
        _ = writeln!(aliases, "        /// Its {}.\n        pub type {alias} = {};", alias.to_lowercase(), ty.text);
    }
    let types: String = module
        .text()
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("        {line}\n") })
        .collect();
    format!(
        "    /// {} of {}, {} -> {} bytes; digest {digest}.\n    {QUIET}\n    pub mod {name} {{\n{aliases}{types}    }}\n",
        old.map_type, old.max_entries, old.key_size, old.value_size
    )
}

/// True for what is generated as a type of its own.
fn is_own_type(layout: &Layout) -> bool {
    matches!(layout.shape, Shape::Composite(_) | Shape::Enum(_))
}
