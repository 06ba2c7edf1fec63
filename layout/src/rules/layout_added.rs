//! `layout-added`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A map that said only its sizes and now says its types.
pub const RULE: Rule = Rule {
    id: "layout-added",
    tier: Tier::Meaning,
    default_level: Level::Warn,
    effect: Effect::MEANING,
    purpose: "a map that was declared by size now says its type",
    explanation: "\
No byte changes, and the map is reused as it is. But neither the lock nor the pinned map tells what the old release
wrote, so maplock can't compare the new type with it. From this release on, maplock sees every change of the type.

Compare the type with the sources of the old release. If it describes what they wrote, there is nothing to decide. If
it does not, or if you can't tell, set this rule to `deny` and accept the change as `swap`.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __uint(key_size, 4);
    __uint(value_size, 8);
} flows SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
    },
};
