//! `map-type-changed`

use super::rule::{Attribute, Effect, Example, Level, Rule, Tier};

/// A map of another type.
pub const RULE: Rule = Rule {
    id: "map-type-changed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect { attribute: Some(Attribute::Type), ..Effect::FIXED },
    purpose: "the map has another type",
    explanation: "\
The type of a map is fixed when it is made, so the pinned map keeps the old type. Most loaders then refuse it, and the
new release does not start. If a loader does not compare types, the new programs run on a map that behaves differently
from the one that they were written for.

To keep the entries, accept the change as `migrate`, if both types can hold them. An LRU map may drop some while it is
filled, unless its capacity leaves ample room. If the entries can be rebuilt, accept the change as `swap`.
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
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
    },
};
