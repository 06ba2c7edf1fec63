//! `bit-width-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A bit-field that takes more or fewer bits.
pub const RULE: Rule = Rule {
    id: "bit-width-changed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "a bit-field has another width",
    explanation: "\
The new programs read more or fewer bits than the old release wrote for the field. The bits that a wider field gains
held another field or padding. The bits that a narrower field loses are cut off its numbers. The struct usually keeps
its size, and then the kernel loads the new programs without a word.

To keep the entries, accept the change as `migrate`. A large number may not fit a narrower field. If the entries can
be rebuilt, accept the change as `swap`.
",
    example: Example {
        old: "\
struct flow { __u32 proto : 8; __u32 state : 4; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __u32 proto : 8; __u32 state : 8; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
