//! `stale-epoch`

use super::rule::{Compares, Decision, Effect, Example, Level, Rule, Tier};

/// An acceptance that leads to no definition.
pub const RULE: Rule = Rule {
    id: "stale-epoch",
    tier: Tier::Meaning,
    default_level: Level::Warn,
    effect: Effect { compares: Compares::History, decision: Decision::Never, answers: &[], ..Effect::MEANING },
    purpose: "`maps.lock` accepts a change that does not lead to today's definition of the map",
    explanation: "\
An acceptance holds for one change, from one definition to another. Since then the map changed once more, or the
change was taken back. So this acceptance matches nothing: it does nothing on a node, and the change that it was meant
for is no longer accepted.

Remove it from `maps.lock`, and accept the change as it is now, if there is one. No declaration shows this, so both
sides of the example are the same.
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
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
    },
};
