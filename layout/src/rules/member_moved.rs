//! `member-moved`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A member of the same name and type at another offset.
pub const RULE: Rule = Rule {
    id: "member-moved",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "a member is at another offset",
    explanation: "\
The new programs read the member from where the old release wrote something else. The struct may well keep its size,
and then the kernel loads the new programs without a word.

If a member moved only because one before it was added, removed or resized, this finding is reported as a consequence
of that change, and needs no decision of its own. To keep the entries, accept the change as `migrate`. If they can be
rebuilt, accept it as `swap`.
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
struct flow { __u32 errors; __u32 packets; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
