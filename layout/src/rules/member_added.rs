//! `member-added`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A member that the old definition does not have.
pub const RULE: Rule = Rule {
    id: "member-added",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect { keeps_bytes: true, ..Effect::BYTES },
    purpose: "a member was added, at the end, between others, or in former padding",
    explanation: "\
No old entry holds the member. The new programs read it from where the old release wrote something else or left
padding, and padding is not always zero. If the member lies in padding, the struct keeps its size, and the kernel
loads the new programs without a word. In a key, the lookup of every old entry then depends on those bytes.

To keep the entries, accept the change as `migrate`. If they can be rebuilt, accept it as `swap`. The old bytes are
right as they are if the member lies in padding that every released version set to zero, and if zero is a good start
for it. Then accept them so: `cargo maplock accept flows --on-upgrade reuse`.
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
struct flow { __u64 bytes; __u32 packets; __u32 errors; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
