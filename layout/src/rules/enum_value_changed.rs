//! `enum-value-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// An enumerator of the same name with another number.
pub const RULE: Rule = Rule {
    id: "enum-value-changed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect::MEANING,
    purpose: "an enumerator has another number",
    explanation: "\
Entries hold the number, not the name. What the old release wrote for one enumerator, the new programs take for
another, or for none.

Mostly an enumerator was put between others: put it at the end instead, or give each its number by hand. If the new
numbers are meant, accept the change as `migrate` to keep the entries, or as `swap` if they can be rebuilt.

Of an enum of 8 bytes, the low 32 bits of a number count: clang before 15 writes no more of it, and another compiler is no
change. So an enumerator that is renumbered by a multiple of 2^32 is not found.
",
    example: Example {
        old: "\
enum state { FLOW_OPEN, FLOW_CLOSED };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
        new: "\
enum state { FLOW_CLOSED, FLOW_OPEN };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
    },
};
