//! `inner-capacity-changed`

use super::rule::{Attribute, Effect, Example, Level, Rule, Tier};

/// Another capacity of the template of a map in maps, if the kernel does not compare it.
pub const RULE: Rule = Rule {
    id: "inner-capacity-changed",
    tier: Tier::Kernel,
    default_level: Level::Warn,
    effect: Effect { attribute: Some(Attribute::Inner), ..Effect::SPELLING },
    purpose: "max_entries of the inner maps changed, and inner maps that exist keep theirs",
    explanation: "\
The pinned outer map stays, with the inner maps that are in it. Each of these keeps the capacity that it was made
with. Only inner maps that the new release makes have the new capacity. The kernel accepts both, except for arrays
without `BPF_F_INNER_MAP`: `inner-map-changed` reports those.

There is nothing to decide. If the old inner maps are too small, let the new release make larger ones and put them in
their place.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
    __uint(max_entries, 16);
    __type(key, __u32);
    __array(values, struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, 64);
        __type(key, __u32);
        __type(value, __u64);
    });
} flows SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
    __uint(max_entries, 16);
    __type(key, __u32);
    __array(values, struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, 128);
        __type(key, __u32);
        __type(value, __u64);
    });
} flows SEC(\".maps\");
",
    },
};
