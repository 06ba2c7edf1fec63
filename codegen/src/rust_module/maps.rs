//! A module for each map: its name, its digest, the types of its key and value, and its handle.

use std::fmt::Write as _;

use maplock_layout::lock::LockedMap;
use maplock_layout::map_type::Kind;
use maplock_layout::{Layout, Lock, MapDef};

use super::QUIET;
use super::names::{Names, camel_case, identifier, snake_case};
use super::types::{Home, Types, comment, doc};

/// What is generated for one map.
#[derive(Debug)]
pub(super) struct Map<'l> {
    pub(super) locked: &'l LockedMap,
    /// Its module, which is the name of its accessor too.
    pub(super) module: String,
    pub(super) text: String,
}

pub(super) fn maps<'l>(lock: &'l Lock, types: &mut Types<'_>) -> Vec<Map<'l>> {
    let mut modules = Names::default();
    // The module of the older releases' types.
    modules.claim("previous".to_owned());
    if types.runtime {
        // Accessors stand beside these functions.
        for name in ["open", "of", "generation", "is_live", "watch"] {
            modules.claim(name.to_owned());
        }
    }
    let pinned = lock.maps.values().filter(|map| !map.ephemeral);
    pinned
        .map(|locked| {
            let module = modules.claim(identifier(&snake_case(&locked.def.name)));
            Map { locked, text: text(&locked.def, &module, types), module }
        })
        .collect()
}

fn text(def: &MapDef, module: &str, types: &mut Types<'_>) -> String {
    let name = &def.name;
    let mut ty = |layout: Option<&Layout>, role: &str| {
        layout.map(|layout| types.ty(layout, &format!("{}{role}", camel_case(name)), &Home::default()).text)
    };
    let (key, value) = (ty(def.key.as_deref(), "Key"), ty(def.value.as_deref(), "Value"));
    let entries = if def.lacks_capacity() { "" } else { " entries" };
    let title = format!("Map `{name}`: {} {}{entries}.", def.map_type, def.map_type.capacity_words(def.max_entries));
    let mut text = format!(
        "\n{}{QUIET}\npub mod {module} {{\n    \
         /// Its name in the object.\n    pub const NAME: &str = {name:?};\n    \
         /// Digest of its definition, as in the lock.\n    pub const DIGEST: &str = \"{}\";\n",
        comment(&doc(types.declarations.map(name), &title), ""),
        def.digest()
    );
    for (alias, ty, size) in [("Key", key, def.key_size), ("Value", value, def.value_size)] {
        if size == 0 {
            continue;
        }
        let (doc, ty) = match ty {
            Some(ty) => (format!("Its {}.", alias.to_lowercase()), types.seen_from_map(&ty)),
            None => {
                let is_prefix = types.runtime && def.map_type.is_trie() && alias == "Key" && size > 4;
                let ty = if is_prefix {
                    format!("::maplock::handles::LpmKey<[u8; {}]>", size - 4)
                } else {
                    format!("[u8; {size}]")
                };
                (format!("Its {}, of which the object tells the size alone.", alias.to_lowercase()), ty)
            }
        };
        _ = writeln!(text, "    /// {doc}\n    pub type {alias} = {ty};");
    }
    if types.runtime {
        text.push_str(&handle(def));
    }
    text + "}\n"
}

/// The handle of a map, and the functions that make one.
fn handle(def: &MapDef) -> String {
    let (has_key, has_value) = (def.key_size != 0, def.value_size != 0);
    let row = def.map_type.row();
    let handle = match row.kind {
        Kind::Hash if has_key && has_value && row.per_cpu => "PerCpuHashMap<Key, Value>",
        Kind::Hash if has_key && has_value => "HashMap<Key, Value>",
        Kind::Array if has_key && has_value && row.per_cpu => "PerCpuArray<Value>",
        Kind::Array if has_key && has_value => "Array<Value>",
        Kind::LpmTrie if has_key && has_value => "LpmTrie<Key, Value>",
        Kind::Queue if has_value => "Queue<Value>",
        Kind::Stack if has_value => "Stack<Value>",
        Kind::BloomFilter if has_value => "BloomFilter<Value>",
        Kind::RingBuf => "RingBuf",
        _ => "Opaque",
    };
    format!(
        "    /// Its handle.\n    pub type Handle = ::maplock::handles::{handle};\n\n    \
         /// Opens the map that is pinned at `path`, once it was found to be what this release was built with.\n    ///\n    \
         /// # Errors\n    /// If it can't be opened, is not that, or nothing tells its layout.\n    \
         pub fn open(path: impl ::core::convert::AsRef<::std::path::Path>) -> ::core::result::Result<Handle, ::maplock::Error> \
         {{\n        ::maplock::generated::open(&super::spec(), NAME, path.as_ref())\n    }}\n\n    \
         /// The handle of a map that a loader has opened, once it was found to be what this release was built with.\n    ///\n    \
         /// # Errors\n    /// As [`open`].\n    \
         pub fn of_fd(fd: impl ::std::os::fd::AsFd) -> ::core::result::Result<Handle, ::maplock::Error> {{\n        \
         ::maplock::generated::of_fd(&super::spec(), NAME, fd)\n    }}\n\n    \
         /// As [`of_fd`], if the caller vouches for the layout: a loader made the map from just the object of this release.\n    \
         /// Type, sizes and flags are checked.\n    ///\n    /// # Errors\n    /// If one of these is not what the spec says.\n    \
         pub fn of_fd_unverified(fd: impl ::std::os::fd::AsFd) -> ::core::result::Result<Handle, ::maplock::Error> {{\n        \
         ::maplock::generated::of_fd_unverified(&super::spec(), NAME, fd)\n    }}\n"
    )
}
