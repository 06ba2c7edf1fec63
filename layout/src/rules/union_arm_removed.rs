//! `union-arm-removed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A member of a union that the new definition no longer has.
pub const RULE: Rule = Rule {
    id: "union-arm-removed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "a union lost an arm",
    explanation: "\
Entries that the old release wrote through that arm are still there. The new programs can read them only through
another arm, as something that they never were. If the largest arm was removed, what follows the union moves as well.

Accept the change as `reuse` if the size is the same, and if no entry can hold that arm any more or the new programs
skip those that do. Otherwise accept it as `migrate` to keep the entries, or as `swap` if they can be rebuilt.
",
    example: Example {
        old: "\
union addr { __u8 v6[16]; __be32 v4; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, union addr);
} flows SEC(\".maps\");
",
        new: "\
union addr { __u8 v6[16]; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, union addr);
} flows SEC(\".maps\");
",
    },
};
