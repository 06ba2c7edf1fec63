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
Entries hold the number, not the name. The new programs take the number that the old release wrote for one enumerator
as another enumerator, or as none.

Usually an enumerator was inserted between others. Put it at the end instead, or give each enumerator its number by
hand. If the new numbers are intended, accept the change as `migrate` to keep the entries, or as `swap` if they can be
rebuilt.

In an enum of 8 bytes, only the low 32 bits of a number are compared: clang before 15 writes no more of it, and
another compiler is not a change. So maplock does not find an enumerator that is renumbered by a multiple of 2^32.
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
