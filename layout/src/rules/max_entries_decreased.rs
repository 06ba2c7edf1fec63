//! `max-entries-decreased`

use super::rule::{Attribute, Effect, Example, Level, Rule, Tier};

/// A smaller capacity.
pub const RULE: Rule = Rule {
    id: "max-entries-decreased",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect {
        attribute: Some(Attribute::MaxEntries),
        in_digest: false,
        // A larger map serves the new programs, and a loader can be given it whatever it would say of a pin.
        rules_out_reuse: false,
        ..Effect::FIXED
    },
    purpose: "the map holds fewer entries than before",
    explanation: "\
A node that has the larger map pinned goes on using it, unless its daemon's policy says otherwise. A node without a
pinned map makes the smaller one, and the entries of a busy node may not fit it. An array always has as many entries
as its capacity says. If it shrinks, the entries at its end are lost.

Accept the change as `migrate` if the entries of every node fit, or as `swap` if they can be rebuilt.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
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
