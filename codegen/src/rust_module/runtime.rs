//! What a daemon that depends on `maplock` starts with: the spec, the upgrade, and handles of its maps.

use std::fmt::Write as _;

use maplock_layout::map::MapType;

use super::previous::ByHand;
use super::{Map, QUIET};

/// The functions of the module. Both crates read what the other wrote, unless one of them is older by a version of the lock's format.
const FUNCTIONS: &str = "
/// The definitions of the pinned maps, as `maplock` takes them.
{QUIET}
#[must_use]
pub fn spec() -> ::maplock::Spec {
    ::core::clone::Clone::clone(__spec())
}

{QUIET}
fn __spec() -> &'static ::maplock::Spec {
    static PARSED: ::std::sync::OnceLock<::maplock::Spec> = ::std::sync::OnceLock::new();
    PARSED.get_or_init(|| match ::maplock::Spec::parse(SPEC) {
        ::core::result::Result::Ok(spec) => spec,
        ::core::result::Result::Err(error) => {
            ::core::panic!(\"{}; `maplock` and `maplock-codegen` in Cargo.toml must be of one version\", error)
        }
    })
}

/// What an upgrade of the maps that are pinned in `dir`, a directory on bpffs, is to be like.
{QUIET}
#[must_use]
pub fn upgrade(dir: impl ::core::convert::AsRef<::std::path::Path>) -> ::maplock::Options {
    ::maplock::Options::new(spec(), dir.as_ref()).migrations(__migrations())
}

/// A way back to the generation before, with the conversions of this release.
{QUIET}
#[must_use]
pub fn rollback(dir: impl ::core::convert::AsRef<::std::path::Path>) -> ::maplock::Rollback {
    ::maplock::Rollback::new(dir.as_ref()).migrations(__migrations())
}

/// The conversions that are written by hand.
{QUIET}
fn __migrations() -> ::maplock::migrate::Migrations {
    #[allow(unused_mut)]
    let mut migrations = <::maplock::migrate::Migrations as ::core::default::Default>::default();
{MIGRATIONS}    migrations
}
";

/// Runs the conversions by hand over entries.
const TEST: &str = "
#[cfg(test)]
{QUIET}
#[test]
fn maplock_migrations() {
    ::maplock::migrate::rehearse(__spec(), &__migrations());
}
";

pub(super) fn render(maps: &[Map<'_>], by_hand: &[ByHand]) -> String {
    let mut migrations = String::new();
    for ByHand { map, new, old, from, to } in by_hand {
        _ = writeln!(
            migrations,
            "    // Map `{map}`.\n    migrations.add_between::<{new}, {old}>(\"{from}\", \"{to}\");"
        );
    }
    let mut out = FUNCTIONS.replace("{MIGRATIONS}", &migrations).replace("{QUIET}", QUIET);
    if !by_hand.is_empty() {
        out.push_str(&TEST.replace("{QUIET}", QUIET));
    }
    if !maps.is_empty() {
        out.push_str(&maps_struct(maps));
    }
    out
}

/// All maps of a generation.
fn maps_struct(maps: &[Map<'_>]) -> String {
    let (mut fields, mut of_dir, mut of_staged, mut accessors) =
        (String::new(), String::new(), String::new(), String::new());
    for Map { name, module, .. } in maps {
        _ = writeln!(fields, "    {module}: {module}::Handle,");
        _ = writeln!(of_dir, "            {module}: directory.map({module}::NAME)?,");
        _ = writeln!(
            of_staged,
            "            {module}: ::maplock::handles::Handle::from_verified(::maplock::handles::Verified::of_staged(__spec(), {module}::NAME, staged)?)?,"
        );
        _ = write!(
            accessors,
            "\n    /// Map `{name}`.\n    #[must_use]\n    pub fn {module}(&self) -> &{module}::Handle {{\n        &self.{module}\n    }}\n"
        );
    }
    format!(
        "
/// The pinned maps, opened: each has the layout that this package was built with.
{QUIET}
#[derive(Debug)]
pub struct Maps {{
{fields}}}

{QUIET}
impl Maps {{
    /// Opens the maps that are pinned in `dir`, all of one generation.
    ///
    /// # Errors
    /// Where one is missing, or has another layout.
    pub fn open(dir: impl ::core::convert::AsRef<::std::path::Path>) -> ::core::result::Result<Self, ::maplock::Error> {{
        let mut directory = ::maplock::handles::Directory::open(__spec(), dir.as_ref())?;
        ::core::result::Result::Ok(Self {{
{of_dir}        }})
    }}

    /// The maps of a staged generation, before it is committed.
    ///
    /// # Errors
    /// Where it was staged from another spec.
    pub fn of(staged: &::maplock::Staged) -> ::core::result::Result<Self, ::maplock::Error> {{
        ::core::result::Result::Ok(Self {{
{of_staged}        }})
    }}
{accessors}}}
"
    )
}

/// What the module of a map has.
pub(super) fn map(map: &Map<'_>) -> String {
    let handle = handle(map);
    format!(
        "
    /// Its handle: had only of a map that was held against this definition.
    pub type Handle = ::maplock::handles::{handle};

    /// Opens the map that is pinned at `path`.
    ///
    /// # Errors
    /// Where it can't be opened, or has another layout.
    pub fn open(path: impl ::core::convert::AsRef<::std::path::Path>) -> ::core::result::Result<Handle, ::maplock::Error> {{
        ::maplock::handles::Handle::from_verified(::maplock::handles::Verified::open(super::__spec(), NAME, path.as_ref())?)
    }}

    /// The handle of a map that a loader has opened.
    ///
    /// # Errors
    /// Where it has another layout, or nothing tells its layout.
    pub fn of_fd(fd: impl ::std::os::fd::AsFd) -> ::core::result::Result<Handle, ::maplock::Error> {{
        ::maplock::handles::Handle::from_verified(::maplock::handles::Verified::of_fd(super::__spec(), NAME, fd)?)
    }}
"
    )
}

/// The handle for a map's type.
fn handle(map: &Map<'_>) -> &'static str {
    use MapType as T;
    let has = (map.key.is_some(), map.value.is_some());
    match map.locked.def.map_type {
        T::HASH | T::LRU_HASH if has == (true, true) => "HashMap<Key, Value>",
        T::PERCPU_HASH | T::LRU_PERCPU_HASH if has == (true, true) => "PerCpuHashMap<Key, Value>",
        T::ARRAY if has.1 => "Array<Value>",
        T::PERCPU_ARRAY if has.1 => "PerCpuArray<Value>",
        T::LPM_TRIE if has == (true, true) => "LpmTrie<Key, Value>",
        T::QUEUE if has.1 => "Queue<Value>",
        T::STACK if has.1 => "Stack<Value>",
        T::BLOOM_FILTER if has.1 => "BloomFilter<Value>",
        T::RINGBUF => "RingBuf",
        _ => "Opaque",
    }
}
