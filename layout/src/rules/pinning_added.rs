//! `pinning-added`

use super::rule::{Attribute, Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A map that was not pinned and now is.
pub const RULE: Rule = Rule {
    id: "pinning-added",
    tier: Tier::Kernel,
    default_level: Level::Allow,
    effect: Effect {
        attribute: Some(Attribute::Pinning),
        in_digest: false,
        keeps_bytes: true,
        decision: Decision::Never,
        answers: &[OnUpgrade::Reuse],
        ..Effect::BYTES
    },
    purpose: "the map is pinned from now on",
    explanation: "\
The old release did not pin the map, so there is no state to keep. A node that upgrades makes an empty map and pins
it. From then on its entries outlive the daemon, and the next change of its layout counts.

There is nothing to decide. If an object declares no map with `LIBBPF_PIN_BY_NAME`, all its maps count as pinned.
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
    __uint(pinning, LIBBPF_PIN_BY_NAME);
    __type(key, __u32);
    __type(value, __u64);
} stats SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
    __type(key, __u32);
    __type(value, __u64);
} stats SEC(\".maps\");
",
    },
};
