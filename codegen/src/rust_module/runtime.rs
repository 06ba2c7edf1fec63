//! What a daemon that depends on `maplock` gets: its spec, its handles, and the start of an upgrade. Both crates read what the
//! other wrote, unless one of them is older by a version of the lock's format.

use std::fmt::Write as _;

use maplock_layout::Lock;
use maplock_layout::lock::{Epoch, LockedMap};

use super::QUIET;
use super::maps::Map;
use super::previous::{Previous, is_by_hand};

pub(super) fn text(lock: &Lock, maps: &[Map<'_>], previous: &Previous) -> String {
    let by_hand = lock.maps.values().filter(|map| !map.ephemeral).flat_map(|map| &map.epochs).any(is_by_hand);
    let test = if by_hand { TEST } else { "" };
    let migrations: String = maps.iter().map(|map| migrations(map, previous)).collect();
    let text = format!("{START}{}{test}", handles(maps));
    text.replace("{QUIET}", QUIET).replace("{MIGRATIONS}", &migrations)
}

const START: &str = "
/// The definitions of the pinned maps, as `maplock` takes them.
{QUIET}
#[must_use]
pub fn spec() -> ::maplock::Spec {
    match ::maplock::Spec::parse(SPEC) {
        ::core::result::Result::Ok(spec) => spec,
        ::core::result::Result::Err(error) => {
            ::core::panic!(\"{}; `maplock` and `maplock-codegen` in Cargo.toml must be of one version\", error)
        }
    }
}

/// What an upgrade of the maps that are pinned in `dir`, a directory on bpffs, is to be like. Conversions by hand, which the
/// lock asks for, are entered.
{QUIET}
#[must_use]
pub fn upgrade(dir: impl ::core::convert::AsRef<::std::path::Path>) -> ::maplock::Options {
    ::maplock::Options::new(spec(), dir.as_ref()){MIGRATIONS}
}
";

/// Runs with the user's own tests.
const TEST: &str = "
/// Every conversion by hand that the lock asks for, over made-up entries and those of the dumps that `MAPLOCK_DUMPS` names.
{QUIET}
#[cfg(test)]
#[test]
fn maplock_migrations() {
    ::maplock::generated::try_migrations(&upgrade(\"/\"));
}
";

/// The handles of all maps.
fn handles(maps: &[Map<'_>]) -> String {
    let (mut fields, mut opened, mut staged, mut accessors) =
        (String::new(), String::new(), String::new(), String::new());
    for Map { locked, module, .. } in maps {
        _ = writeln!(fields, "    {module}: {module}::Handle,");
        _ = writeln!(opened, "            {module}: maps.map({module}::NAME)?,");
        _ = writeln!(staged, "            {module}: ::maplock::generated::of_staged(&spec, {module}::NAME, staged)?,");
        _ = write!(
            accessors,
            "\n    /// Map `{}`.\n    #[must_use]\n    pub fn {module}(&self) -> &{module}::Handle {{\n        &self.{module}\n    }}\n",
            locked.def.name
        );
    }
    format!(
        "\n/// Handles of all pinned maps, each found to be what this release was built with.\n{{QUIET}}\n#[derive(Debug)]\n\
         pub struct Maps {{\n    of: ::maplock::handles::Origin,\n{fields}}}\n\n{{QUIET}}\nimpl Maps {{\n    \
         /// Opens the maps that are pinned in `dir`, all of one generation.\n    ///\n    /// # Errors\n    \
         /// If one is missing, is not what this release was built with, or nothing tells its layout.\n    \
         pub fn open(dir: impl ::core::convert::AsRef<::std::path::Path>) -> ::core::result::Result<Self, ::maplock::Error> {{\n        \
         let spec = spec();\n        let mut maps = ::maplock::handles::Directory::open(&spec, dir.as_ref())?;\n        \
         let of = ::core::clone::Clone::clone(maps.origin());\n        ::core::result::Result::Ok(Self {{\n            of,\n{opened}        }})\n    }}\n\n    \
         /// The maps of a staged generation, before it is committed.\n    ///\n    /// # Errors\n    \
         /// If it was staged from another spec.\n    \
         pub fn of(staged: &::maplock::Staged) -> ::core::result::Result<Self, ::maplock::Error> {{\n        \
         let spec = spec();\n        ::core::result::Result::Ok(Self {{\n            of: staged.origin(),\n{staged}        }})\n    }}\n\n    \
         /// The number of the generation that they are of, as upgrades count: `None` if maplock did not make it, or before its commit.\n    \
         #[must_use]\n    pub fn generation(&self) -> ::core::option::Option<u64> {{\n        \
         self.of.generation().and_then(|generation| generation.number())\n    }}\n\n    \
         /// True if these are the maps of the live generation: no upgrade and no roll-back has put another in its place.\n    ///\n    \
         /// # Errors\n    /// If the directory of the pins can't be looked at.\n    \
         pub fn is_live(&self) -> ::core::result::Result<bool, ::maplock::Error> {{\n        self.of.is_live()\n    }}\n\n    \
         /// Is told when another generation takes the place of this one; then open the maps again.\n    ///\n    \
         /// # Errors\n    /// If the directory above the pins can't be watched.\n    \
         pub fn watch(&self) -> ::core::result::Result<::maplock::handles::Watch, ::maplock::Error> {{\n        \
         self.of.watch()\n    }}\n{accessors}}}\n"
    )
}

/// The calls that enter a map's conversions by hand.
fn migrations(map: &Map<'_>, previous: &Previous) -> String {
    let mut calls = String::new();
    for epoch in map.locked.epochs.iter().filter(|epoch| is_by_hand(epoch)) {
        let Some((old, new)) = previous.of(epoch.from).zip(leads_to(map.locked, epoch, &map.module, previous)) else {
            continue;
        };
        let (from, to) = (epoch.from, epoch.to);
        _ = write!(calls, "\n        .migration::<{new}::Value, {old}::Value>(\"{from}\", \"{to}\")");
    }
    calls
}

/// The module of the definition that an epoch leads to: today's, or that which the next epoch leaves.
fn leads_to(locked: &LockedMap, epoch: &Epoch, module: &str, previous: &Previous) -> Option<String> {
    if locked.def.digest() == epoch.to { Some(module.to_owned()) } else { previous.of(epoch.to) }
}
