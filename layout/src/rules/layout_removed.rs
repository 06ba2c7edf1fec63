//! `layout-removed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A map that said its types and now says only its sizes.
pub const RULE: Rule = Rule {
    id: "layout-removed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect::MEANING,
    purpose: "a map that said its type is now declared by size only",
    explanation: "\
Perhaps no byte changed, but nobody can tell any more: maplock sees only sizes, in this release and in later ones. A
map that is made from such a declaration has no type in the kernel either.

Declare the map by `__type` again, or bind the type under `[package.metadata.maplock.maps.flows]` (see `untyped-map`).
If you can do neither, and the bytes are the same, accept the change as `reuse`.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __uint(key_size, 4);
    __uint(value_size, 8);
} flows SEC(\".maps\");
",
    },
};
