//! `member-type-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A member or element of another size or kind.
pub const RULE: Rule = Rule {
    id: "member-type-changed",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect::BYTES,
    purpose: "a member, or an element of an array, has a type of another size or kind",
    explanation: "\
The new programs read more, fewer or other bytes than the old release wrote for the member. A `__u64` that was a
`__u32`, for example, takes its upper half from the four bytes that follow. If padding takes up the difference, the
struct keeps its size, and the kernel loads the new programs without a word.

To keep the entries, accept the change as `migrate`. A large number may not fit a smaller type. If the entries can be
rebuilt, accept the change as `swap`.
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
struct flow { __u64 bytes; __u64 packets; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
