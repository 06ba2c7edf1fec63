//! `stale-epoch`

use super::rule::{Compares, Decision, Effect, Example, Level, Rule, Tier};

/// An acceptance that leads to no definition.
pub const RULE: Rule = Rule {
    id: "stale-epoch",
    tier: Tier::Meaning,
    default_level: Level::Warn,
    effect: Effect { compares: Compares::History, decision: Decision::Never, answers: &[], ..Effect::MEANING },
    purpose: "an acceptance in `maps.lock` leads to no definition of the map",
    explanation: "\
An acceptance holds for one change, from one definition to another. The map has changed once more since, or the change
was taken back, and so this one matches nothing: it does nothing on a node, and the change that it was meant for is no
longer accepted.

Remove it from `maps.lock`, and accept the change as it is now, if there is one. No change of a declaration shows this
by itself, so both sides of the example are the same.
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
