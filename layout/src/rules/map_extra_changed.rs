//! `map-extra-changed`

use super::rule::{Attribute, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// Another `map_extra`.
pub const RULE: Rule = Rule {
    id: "map-extra-changed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect {
        attribute: Some(Attribute::MapExtra),
        answers: &[OnUpgrade::Swap, OnUpgrade::Refuse],
        ..Effect::FIXED
    },
    purpose: "the `map_extra` of the map changed, such as the number of hash functions of a Bloom filter",
    explanation: "\
What `map_extra` says depends on the type of the map: for a Bloom filter, it is the number of hash functions. It is
fixed when the map is made, so the pinned map keeps the old one. Most loaders then refuse it, and the new release does
not start.

A Bloom filter can't be read back, so it can't be converted. Accept the change as `swap`, and let the new release fill
the filter again. Until then the filter answers \"not seen\" for everything that the old one knew.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
    __uint(max_entries, 1024);
    __uint(map_extra, 3);
    __type(value, __u32);
} flows SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
    __uint(max_entries, 1024);
    __uint(map_extra, 7);
    __type(value, __u32);
} flows SEC(\".maps\");
",
    },
};
