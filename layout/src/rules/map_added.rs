//! `map-added`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};

/// A map that the old release does not have.
pub const RULE: Rule = Rule {
    id: "map-added",
    tier: Tier::Kernel,
    default_level: Level::Allow,
    effect: Effect { decision: Decision::Never, answers: &[], ..Effect::BYTES },
    purpose: "a map is new",
    explanation: "\
The old release left no state for this map. A node that upgrades makes an empty map, and pins it with the others when
the upgrade commits.

There is nothing to decide. If the map is an old one under a new name, its entries follow only if the lock says so:
see `map-removed`.
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
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} stats SEC(\".maps\");
",
    },
};
