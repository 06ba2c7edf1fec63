//! `value-type-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A value that has another type as a whole.
pub const RULE: Rule = Rule {
    id: "value-type-changed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "the whole value has another type",
    explanation: "\
The new programs take every value of the old release for something else. If both types have the same size, the kernel
loads the new programs without a word.

Accept the change as `migrate` if each old value can be made into a new one, or as `swap` if the entries can be
rebuilt. `reuse` is right only if both types describe the very same bytes.
",
    example: Example {
        old: "\
struct flow { __u32 packets; __u32 errors; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
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
