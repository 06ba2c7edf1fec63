//! `enum-value-renamed`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// An enumerator of the same number with another name.
pub const RULE: Rule = Rule {
    id: "enum-value-renamed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect::MEANING,
    purpose: "an enumerator has another name for the same number",
    explanation: "\
The new programs read the same numbers. What these mean depends on why the name changed. A better word for the same
thing is harmless. But if the number now stands for another thing, the new programs take old entries for that.

If it is only a better word, accept the change as `reuse`. If it is another thing, leave the old number unused and
take a new one, or accept the change as `migrate` or `swap`.
",
    example: Example {
        old: "\
enum state { FLOW_OPEN, FLOW_CLOSED };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
        new: "\
enum state { FLOW_OPEN, FLOW_ENDED };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
    },
};
