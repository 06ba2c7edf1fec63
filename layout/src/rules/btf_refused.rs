//! `btf-refused`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};

/// A map whose types the kernel does not keep.
pub const RULE: Rule = Rule {
    id: "btf-refused",
    tier: Tier::Spelling,
    default_level: Level::Warn,
    // The map is new: nothing is there to be decided on.
    effect: Effect { decision: Decision::Never, answers: &[], ..Effect::SPELLING },
    purpose: "the kernel does not keep the types of a map with such a key",
    explanation: "\
The kernel keeps the types of an array only if its key is an integer of 32 bits, and those of a trie only if its key
is a struct. If the key is anything else, such as an enum, the kernel refuses the types, and libbpf makes the map
without them. Then nothing on the node tells what a pin holds, unless maplock made the map and recorded it beside the
pins. The plan calls such a pin unverifiable, and refuses it.

Declare the key of an array as `__u32`. The program may still use an enumerator as the index.
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
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
enum direction { INGRESS, EGRESS };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, enum direction);
    __type(value, __u64);
} bytes SEC(\".maps\");
",
    },
};
