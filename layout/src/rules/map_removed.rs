//! `map-removed`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A map that the new release no longer has.
pub const RULE: Rule = Rule {
    id: "map-removed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect { decision: Decision::Always, answers: &[OnUpgrade::Drop], ..Effect::BYTES },
    purpose: "a pinned map is gone",
    explanation: "\
The new release has no map of that name. A node that upgrades removes the pin when the upgrade commits, and keeps the
map for a roll-back until the upgrade is confirmed. After that, the entries are lost.

If the map only got another name, say so, and its entries follow: `cargo maplock accept NEW --renamed-from OLD`. If
nobody needs it any more, accept that its entries are given up, as `drop`:
`cargo maplock accept OLD --on-upgrade drop`. If its declaration was removed by mistake, put it back.

`maps.lock` keeps a map that was given up, as `gone`, for good. A node that still has the map, from whatever older
release, is told the reason. If a map of that name comes back, nodes that still have the old one go on with it if its
layout is the same, and start empty if not.
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
