//! `member-renamed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// Another name for a member of the same offset, width and type.
pub const RULE: Rule = Rule {
    id: "member-renamed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect::MEANING,
    purpose: "a member has another name in the same place",
    explanation: "\
The new programs read the same bytes. What these mean depends on why the name changed. A better word for the same
thing is harmless. But if the member now holds another thing, or the same in another unit, the new programs misread
every old entry.

If it is only a better word, accept the change as `reuse`. If it is another thing, accept it as `migrate` to convert
the entries, or as `swap` if they can be rebuilt.
",
    example: Example {
        old: "\
struct flow { __u64 age_ms; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __u64 age_ns; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
