//! `map-removed`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A map that the new release has no more.
pub const RULE: Rule = Rule {
    id: "map-removed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect { decision: Decision::Always, answers: &[OnUpgrade::Drop], ..Effect::BYTES },
    purpose: "a pinned map is gone",
    explanation: "\
The new release has no map of that name. A node that upgrades takes its pin away when the upgrade commits, and keeps
the map for a roll-back until the upgrade is confirmed. Then its entries are lost.

If the map only got another name, say so, and its entries follow it:
`cargo maplock accept NEW --renamed-from OLD`. If it is not needed any more, accept that its entries are given up, as
`drop`: `cargo maplock accept OLD --on-upgrade drop`. If its line was lost by mistake, put it back.

`maps.lock` keeps a map that was given up, as `gone`, for good: a node that still has it, of whatever older release, is
told the reason. If a map of that name comes back, nodes that still have the old one go on with it if its layout is
the same, and start empty otherwise.
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
