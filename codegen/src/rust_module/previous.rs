//! The types of older releases, for conversions by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maplock_layout::lock::{Epoch, OnUpgrade};
use maplock_layout::{Digest, Layout, Lock, MapDef, Shape};

use super::composite::{entry_impls, entry_traits};
use super::maps::Map;
use super::types::{Home, Types};
use super::{QUIET, types_text};
use crate::declarations::Declarations;

/// The module `previous`.
#[derive(Debug)]
pub(super) struct Previous {
    /// Its text, empty if there is nothing in it.
    pub(super) text: String,
    /// The module of each definition.
    modules: BTreeMap<Digest, String>,
}

/// True for an epoch whose entries the daemon converts by `impl Migrate`.
pub(super) fn is_by_hand(epoch: &Epoch) -> bool {
    epoch.on_upgrade == OnUpgrade::Migrate && epoch.convert.by_hand
}

impl Previous {
    pub(super) fn new(lock: &Lock, runtime: bool, maps: &[Map<'_>]) -> Self {
        let left = definitions(lock);
        let names = names(&left);
        let mut text = String::new();
        for (digest, def) in &left {
            let today = maps.iter().find(|map| map.locked.def.name == def.name);
            text.push_str(&module(&names[digest], *digest, def, runtime, today));
        }
        if !text.is_empty() {
            text = format!(
                "\n/// Types of older releases whose entries are converted, by the start of the digest that their maps have in the lock.\n\
                 {QUIET}\npub mod previous {{\n{text}}}\n"
            );
        }
        Self { text, modules: names }
    }

    /// The module of a definition, as the generated module's root names it.
    pub(super) fn of(&self, digest: Digest) -> Option<String> {
        self.modules.get(&digest).map(|name| format!("previous::{name}"))
    }
}

/// The definitions that epochs which migrate leave, and those that a conversion by hand leads to on its way.
fn definitions(lock: &Lock) -> BTreeMap<Digest, &MapDef> {
    let mut left = BTreeMap::new();
    for map in lock.maps.values().filter(|map| !map.ephemeral) {
        let on_the_way = |digest: Digest| map.epochs.iter().any(|epoch| is_by_hand(epoch) && epoch.to == digest);
        for epoch in &map.epochs {
            if epoch.on_upgrade == OnUpgrade::Migrate || on_the_way(epoch.from) {
                left.entry(epoch.from).or_insert(&epoch.previous);
            }
        }
    }
    left
}

/// `v` and four digits, or more if that would be two.
fn names(left: &BTreeMap<Digest, &MapDef>) -> BTreeMap<Digest, String> {
    let digits: Vec<String> = left.keys().map(Digest::to_string).collect();
    let name = |own: &String| {
        let is_alone = |len: &usize| digits.iter().filter(|other| other.starts_with(&own[..*len])).count() == 1;
        let len = (4..own.len()).find(is_alone).unwrap_or(own.len());
        format!("v{}", &own[..len])
    };
    left.keys().copied().zip(digits.iter().map(name)).collect()
}

fn module(name: &str, digest: Digest, def: &MapDef, runtime: bool, today: Option<&Map<'_>>) -> String {
    // What the sources say, and what the user wrote, is of today's types.
    let (declarations, externs) = (Declarations::default(), BTreeMap::new());
    let mut types = Types::new(runtime, &declarations, &externs);
    for alias in ["Key", "Value"] {
        types.taken.claim(alias.to_owned());
    }
    let same_key = today.filter(|today| def.key.is_some() && today.locked.def.key == def.key);
    let key = match (same_key, def.key.as_deref()) {
        _ if def.key_size == 0 => String::new(),
        (Some(today), _) => alias("key", &format!("super::super::{}::Key", today.module)),
        (None, Some(layout)) => alias("key", &types.ty(layout, "OldKey", &Home::default()).text),
        (None, None) => alias("key", &format!("[u8; {}]", def.key_size)),
    };
    let value = match def.value.as_deref() {
        _ if def.value_size == 0 => String::new(),
        Some(layout) if is_named(layout) => alias("value", &types.ty(layout, "OldValue", &Home::default()).text),
        Some(layout) => {
            let text = types.ty(layout, "OldValue", &Home::default()).text;
            newtype(&text, runtime)
        }
        None => newtype(&format!("[u8; {}]", def.value_size), runtime),
    };
    format!(
        "/// Of map `{}`, as it was with digest `{digest}`.\n{QUIET}\npub mod {name} {{\n{}{key}{value}}}\n",
        def.name,
        types_text(&types)
    )
}

/// True for a layout that becomes a type of this module, and no array or number.
fn is_named(layout: &Layout) -> bool {
    matches!(layout.shape, Shape::Composite(_) | Shape::Enum(_))
}

fn alias(role: &str, ty: &str) -> String {
    let name = if role == "key" { "Key" } else { "Value" };
    format!("\n/// Its {role}.\npub type {name} = {ty};\n")
}

/// A type of its own for a number or an array, so that `Migrate` can be implemented from it.
fn newtype(ty: &str, runtime: bool) -> String {
    let (traits, impls) = if runtime {
        (entry_traits(), entry_impls("Value", "debug_tuple(\"Value\").field(&self.0)", true))
    } else {
        (String::new(), String::new())
    };
    let mut text = format!("\n/// Its value.\n{QUIET}\n#[repr(transparent)]\n#[derive(Clone, Copy{traits})]\n");
    _ = write!(text, "pub struct Value(pub {ty});\n{impls}");
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use maplock_layout::IntKind;
    use maplock_layout::conversion::Answers;
    use maplock_layout::lock::LockedMap;
    use maplock_layout::map::MapType;

    use super::*;
    use crate::rust_module::{Settings, render};

    #[test]
    fn a_name_has_as_many_digits_as_it_takes_to_be_the_only_one() {
        let def = MapDef::new("m", MapType::HASH);
        let digests =
            ["41ab", "41ac1", "41ac2", "0000"].map(|start| Digest::parse(&format!("{start:0<32}")).expect("a digest"));
        let left = digests.into_iter().map(|digest| (digest, &def)).collect();
        let names: Vec<_> = names(&left).into_values().collect();
        assert_eq!(names, ["v0000", "v41ab", "v41ac1", "v41ac2"]);
    }

    /// A hash of numbers of this size.
    fn numbers(size: u32) -> MapDef {
        let number = |size: u32| Some(Arc::new(Layout::new(size.into(), Shape::Int(IntKind::Unsigned))));
        MapDef {
            key_size: 4,
            value_size: size,
            max_entries: 1,
            key: number(4),
            value: number(size),
            ..MapDef::new("m", MapType::HASH)
        }
    }

    fn epoch(from: &MapDef, to: &MapDef, on_upgrade: OnUpgrade, by_hand: bool) -> Epoch {
        Epoch {
            from: from.digest(),
            to: to.digest(),
            rules: Vec::new(),
            on_upgrade,
            merge: BTreeMap::new(),
            convert: Answers { by_hand, ..Answers::default() },
            reason: "it grew".to_owned(),
            max_entries: None,
            previous: from.clone(),
        }
    }

    #[test]
    fn a_conversion_leads_to_what_the_next_epoch_leaves() {
        let [one, two, four, eight] = [1, 2, 4, 8].map(numbers);
        let epochs = vec![
            epoch(&one, &two, OnUpgrade::Swap, false),
            epoch(&two, &four, OnUpgrade::Migrate, true),
            epoch(&four, &eight, OnUpgrade::Reuse, false),
        ];
        let locked = LockedMap { epochs, ..LockedMap::new(eight.clone()) };
        let lock = Lock { maps: [("m".to_owned(), locked)].into(), ..Lock::default() };
        let settings = |declarations| Settings {
            error_file: None,
            runtime: true,
            declarations,
            externs: const { &BTreeMap::new() },
        };
        let module = render(&lock, &settings(&Declarations::default()));
        let [first, second, third] = [&one, &two, &four].map(|def| format!("v{}", &def.digest().to_string()[..4]));
        let call = format!(".migration::<previous::{third}::Value, previous::{second}::Value>");
        assert!(module.contains(&call), "{module}");
        assert_eq!(module.matches(".migration::<").count(), 1);
        assert!(!module.contains(&format!("pub mod {first} ")), "nothing is converted from there");
        assert!(module.contains("pub struct Value(pub u16);") && module.contains("pub struct Value(pub u32);"));
        assert!(module.contains("pub type Key = super::super::m::Key;"));
        assert!(module.contains("fn maplock_migrations()"));
    }
}
