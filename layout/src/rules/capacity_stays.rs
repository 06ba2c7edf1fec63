//! `capacity-stays`

use super::rule::{Attribute, Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A larger capacity that pinned maps do not get.
pub const RULE: Rule = Rule {
    id: "capacity-stays",
    tier: Tier::Kernel,
    default_level: Level::Warn,
    effect: Effect {
        attribute: Some(Attribute::MaxEntries),
        in_digest: false,
        keeps_bytes: true,
        decision: Decision::IfDenied,
        answers: &[OnUpgrade::Reuse, OnUpgrade::Swap],
        ..Effect::BYTES
    },
    purpose: "max_entries grew, and the map keeps its size, because its entries can't be copied",
    explanation: "\
A node grows a map by copying its entries into a larger one. The entries of some types can't be copied: Bloom filters,
stack traces, maps of sockets, storage and arenas. Nor can values that hold a timer, a list or a pointer of the
kernel's. So the pinned map keeps its size, and the new programs run with the old capacity.

That is right if the entries matter more than the room. Otherwise set the rule to `deny` and accept the change as
`swap`: a node then makes an empty map of the new size.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
    __uint(max_entries, 1024);
    __type(value, __u32);
} flows SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
    __uint(max_entries, 4096);
    __type(value, __u32);
} flows SEC(\".maps\");
",
    },
};
