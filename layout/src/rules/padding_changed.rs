//! `padding-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A struct inside another takes more or fewer bytes, though none of its members changed.
pub const RULE: Rule = Rule {
    id: "padding-changed",
    tier: Tier::Spelling,
    default_level: Level::Allow,
    // A digest tells where each member ends.
    effect: Effect { in_digest: true, answers: &OnUpgrade::OF_A_CHANGE, ..Effect::SPELLING },
    purpose: "a struct inside another has more or less padding at its end",
    explanation: "\
An `aligned` or `packed` was added or removed, and no member of the struct moved because of it. Every byte that is
read is read from where it was written.

Members behind the struct may have moved. Those are findings of their own, and so is the size of the whole key or
value. In an array of such structs, every element but the first moves: that is `array-stride-changed`.
",
    example: Example {
        old: "\
struct inner { __u32 packets; };
struct flow { struct inner in; __u64 bytes; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct inner { __u32 packets; } __attribute__((aligned(8)));
struct flow { struct inner in; __u64 bytes; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
