//! `enum-value-removed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// An enumerator that the new definition no longer has.
pub const RULE: Rule = Rule {
    id: "enum-value-removed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect::MEANING,
    purpose: "an enumerator was removed",
    explanation: "\
Old entries may still hold its number. The new programs have no name for it, and usually no case either.

Accept the change as `reuse` if no entry can hold the number any more, or if the new programs do the right thing with
it. Accept it as `migrate` to give such entries another number, or as `swap` if the entries can be rebuilt.
",
    example: Example {
        old: "\
enum state { FLOW_OPEN, FLOW_CLOSED, FLOW_RESET };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
        new: "\
enum state { FLOW_OPEN, FLOW_CLOSED };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
    },
};
