//! `array-stride-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// An array whose elements changed in size, though none of their members changed.
pub const RULE: Rule = Rule {
    id: "array-stride-changed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect { answers: &[OnUpgrade::Migrate, OnUpgrade::Swap, OnUpgrade::Refuse], ..Effect::BYTES },
    purpose: "the elements of an array are further apart or closer together, but their members did not change",
    explanation: "\
Only the first element is where it was. The new programs read every other element from the middle of its neighbour, or
from padding. The members of the element show nothing of it. Usually an attribute, `aligned` or `packed`, was added to
the element's type or removed from it.

To keep the entries, accept the change as `migrate`. If they can be rebuilt, accept it as `swap`.
`reuse` is never right.
",
    example: Example {
        old: "\
struct hop { __u32 addr; __u32 ttl; __u32 rtt; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct hop[2]);
} flows SEC(\".maps\");
",
        new: "\
struct hop { __u32 addr; __u32 ttl; __u32 rtt; } __attribute__((aligned(16)));
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct hop[2]);
} flows SEC(\".maps\");
",
    },
};
