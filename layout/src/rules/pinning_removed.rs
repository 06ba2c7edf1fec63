//! `pinning-removed`

use super::rule::{Attribute, Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A map that was pinned and no longer is.
pub const RULE: Rule = Rule {
    id: "pinning-removed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect {
        attribute: Some(Attribute::Pinning),
        in_digest: false,
        decision: Decision::OnNodes,
        // No map of the new release is left to hold them.
        answers: &[OnUpgrade::Swap, OnUpgrade::Refuse],
        ..Effect::BYTES
    },
    purpose: "the map is no longer pinned",
    explanation: "\
The new release makes an empty map of its own in place of the pinned one, and leaves no state behind: neither a
restart nor the next release finds the entries again.

If the line with `LIBBPF_PIN_BY_NAME` was removed by mistake, put it back. If nobody needs the state any more, accept
the change as `swap`.

If an object declares no map with `LIBBPF_PIN_BY_NAME`, all its maps count as pinned, and so do maps that the
configuration names. Such a map stays as it is. `accept` then takes the change with any answer that keeps the map, or
with the answer to the map's other changes. The map still counts as pinned when a later release declares another map
with `LIBBPF_PIN_BY_NAME` for the first time. To take it out, write `ephemeral = [\"NAME\"]` in the configuration: this
rule then reports that.
",
    example: Example {
        old: "\
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
        new: "\
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
    },
};
