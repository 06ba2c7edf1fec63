//! `member-removed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A member that the new definition no longer has.
pub const RULE: Rule = Rule {
    id: "member-removed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "a member was removed",
    explanation: "\
The new programs no longer see what the old release counted or noted there. Once they have written an entry, a
roll-back does not see it either. The bytes become padding, or those of another member. In a key they are still
hashed: an old entry is found only if it holds there what the new programs now leave there.

To keep the entries, accept the change as `migrate`. If they can be rebuilt, accept it as `swap`. `reuse` is right for
a value if no other member moved, and if none took the place of this one.
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
