//! `key-type-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A key that has another type as a whole.
pub const RULE: Rule = Rule {
    id: "key-type-changed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "the whole key has another type",
    explanation: "\
A map finds a key by its bytes. The new programs look up bytes that mean something else, so they miss the old entries,
or hit one by accident. The entries that they add lie beside the old ones, which take up room until somebody deletes
them.

Accept the change as `migrate` if each old key can be made into a new one, or as `swap` if the entries can be rebuilt.
`reuse` is right only if both types describe the very same bytes.
",
    example: Example {
        old: "\
struct flow_id { __u16 source; __u16 dest; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct flow_id);
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
