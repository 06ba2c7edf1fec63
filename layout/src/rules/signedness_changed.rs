//! `signedness-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// An integer that became signed or unsigned.
pub const RULE: Rule = Rule {
    id: "signedness-changed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect::MEANING,
    purpose: "an integer became signed or unsigned",
    explanation: "\
Numbers with the highest bit set are read differently: 4294967295 becomes -1, and -1 becomes 4294967295. Comparisons,
divisions and shifts to the right change with them.

Accept the change as `reuse` if the old release never wrote such a number. Otherwise accept it as `migrate` to convert
the entries, or as `swap` if they can be rebuilt.
",
    example: Example {
        old: "\
struct flow { __u32 delta; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __s32 delta; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
