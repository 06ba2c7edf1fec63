//! `type-spelling-changed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// Another name for a type of the same bytes and meaning.
pub const RULE: Rule = Rule {
    id: "type-spelling-changed",
    tier: Tier::Spelling,
    default_level: Level::Warn,
    effect: Effect::SPELLING,
    purpose: "a type has another name, with the same bytes and the same meaning",
    explanation: "\
Nothing happens on a node: the map is reused as it is. maplock reports another tag or typedef, `char` for `__u8`,
`__u8[16]` for `struct in6_addr`, and an enum for an integer of its width. It never reports another name for the same
fixed-width integer, such as `__u32`, `uint32_t` and `unsigned int`.

There is nothing to decide, but have a look: another name may stand for another sense. `__be32` in place of `__u32` is
one.
",
    example: Example {
        old: "\
struct flow { __u32 packets; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow_stats { __u32 packets; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow_stats);
} flows SEC(\".maps\");
",
    },
};
