//! `value-size-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A value of more or fewer bytes.
pub const RULE: Rule = Rule {
    id: "value-size-changed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect::FIXED,
    purpose: "the value has another size",
    explanation: "\
The size of a value is fixed when a map is made. The kernel and most loaders refuse the pinned map, and the new
release does not start. A loader that does not compare sizes may write past the end of its buffers.

Usually a change inside the value is the cause. Then this finding is reported as a consequence of that change, and
needs no decision of its own. It stands alone if only padding changed, or if the map is declared by size. To keep the
entries, accept it as `migrate`. If they can be rebuilt, accept it as `swap`. `reuse` is never right.
",
    example: Example {
        old: "\
struct flow { __u64 bytes; __u32 packets; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __u64 bytes; __u32 packets; } __attribute__((packed));
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
