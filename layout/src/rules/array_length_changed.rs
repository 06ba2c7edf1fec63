//! `array-length-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// An array with more or fewer elements.
pub const RULE: Rule = Rule {
    id: "array-length-changed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "an array has more or fewer elements",
    explanation: "\
The elements that both sides have stay where they were. A longer array also reads the bytes behind the old one, where
the old release wrote something else or left padding. A shorter array no longer reaches the old elements at its end.
If padding takes up the difference, the size stays the same, and the kernel loads the new programs without a word.

To keep the entries, accept the change as `migrate`. If they can be rebuilt, accept it as `swap`. `reuse` is right
only if the array grew into padding that every released version set to zero.
",
    example: Example {
        old: "\
struct flow { __u64 bytes; __u8 label[4]; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __u64 bytes; __u8 label[8]; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
