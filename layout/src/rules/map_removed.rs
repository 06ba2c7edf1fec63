//! `map-removed`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};

/// A map that the new release has no more.
pub const RULE: Rule = Rule {
    id: "map-removed",
    tier: Tier::Kernel,
    default_level: Level::Warn,
    effect: Effect { decision: Decision::Never, answers: &[], remedy: Some("put the map back, or set `map-removed = \"warn\"` in Cargo.toml for this release"), ..Effect::BYTES },
    purpose: "a map is gone",
    explanation: "\
The new release has no map of that name. A node that upgrades takes its pin away when the upgrade commits, and keeps
the map for a roll-back until the upgrade is confirmed. Then its entries are lost.

If that is meant, there is nothing to decide. If the map only got another name, its entries do not follow it: keep the
old name, or let the new release fill the new map.
",
    example: Example {
        old: "\
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
