//! `max-entries-increased`

use super::rule::{Attribute, Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A larger capacity.
pub const RULE: Rule = Rule {
    id: "max-entries-increased",
    tier: Tier::Kernel,
    default_level: Level::Allow,
    effect: Effect {
        attribute: Some(Attribute::MaxEntries),
        in_digest: false,
        keeps_bytes: true,
        decision: Decision::Never,
        answers: &[OnUpgrade::Reuse],
        ..Effect::BYTES
    },
    purpose: "the map holds more entries than before",
    explanation: "\
The pinned map keeps its capacity. A loader would refuse it, or go on with a map that is too small. A node that
upgrades makes a map of the new size in its place and keeps every entry: the map grows.

There is nothing to decide. While the entries are copied, the node needs the memory of both maps.
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
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
    },
};
