//! `empty-member-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A member that takes no bytes: it was added or removed, or has another type.
pub const RULE: Rule = Rule {
    id: "empty-member-changed",
    tier: Tier::Spelling,
    default_level: Level::Warn,
    effect: Effect::SPELLING,
    purpose: "a member of 0 bytes was added or removed, or has another type",
    explanation: "\
Nothing happens on a node: the map is reused as it is. An array without elements or a struct without members takes no
bytes, so no entry holds anything of it. `struct bpf_lpm_trie_key` in the kernel's headers has such a member, `data`.

There is nothing to decide. If a member takes bytes on one side, another rule reports it.
",
    example: Example {
        old: "\
struct flow { __u32 packets; __u8 data[0]; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __u32 packets; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
