//! `key-size-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A key of more or fewer bytes.
pub const RULE: Rule = Rule {
    id: "key-size-changed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect::FIXED,
    purpose: "the key has another size",
    explanation: "\
The size of a key is fixed when a map is made. The kernel and most loaders refuse the pinned map, and the new release
does not start. A loader that does not compare sizes passes keys of the wrong size to it.

Usually a change inside the key is the cause. Then this finding is reported as a consequence of that change, and needs
no decision of its own. It stands alone if only padding changed, or if the map is declared by size. To keep the
entries, accept it as `migrate`. If they can be rebuilt, accept it as `swap`. `reuse` is never right.
",
    example: Example {
        old: "\
struct flow_id { __u32 addr; __u16 port; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct flow_id);
    __type(value, __u64);
} flows SEC(\".maps\");
",
        new: "\
struct flow_id { __u32 addr; __u16 port; } __attribute__((packed));
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct flow_id);
    __type(value, __u64);
} flows SEC(\".maps\");
",
    },
};
