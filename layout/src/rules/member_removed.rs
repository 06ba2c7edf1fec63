//! `member-removed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A member that the new definition has no more.
pub const RULE: Rule = Rule {
    id: "member-removed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "a member was removed",
    explanation: "\
What the old release counted or noted there is lost to the new programs, and to a roll-back once they have written the
entry. The bytes become padding or those of another member. In a key they are hashed all the same: an old entry is
found only if what it holds there is what the new programs now leave there.

To keep the entries, accept the change as `migrate`; if they can be rebuilt, as `swap`. `reuse` is right for a value
in which nothing else moved, or took the place of the member.
",
    example: Example {
        old: "\
struct flow { __u64 bytes; __u32 packets; __u32 errors; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __u64 bytes; __u32 packets; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
