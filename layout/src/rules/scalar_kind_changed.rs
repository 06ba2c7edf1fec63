//! `scalar-kind-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// An integer, `bool`, float or pointer that is now another of these, of the same width.
pub const RULE: Rule = Rule {
    id: "scalar-kind-changed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect::MEANING,
    purpose: "a number, bool or pointer became another of these, with the same width",
    explanation: "\
The bytes are read in another sense: an integer as a `bool`, for which only 0 and 1 are valid, or a pointer as a
number. The size stays the same, and the kernel loads the new programs without a word.

Accept the change as `reuse` if every number that the old release wrote is valid in the new sense, and means the same.
Otherwise accept it as `migrate` to convert the entries, or as `swap` if they can be rebuilt.
",
    example: Example {
        old: "\
struct flow { __u8 closed; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { _Bool closed; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
