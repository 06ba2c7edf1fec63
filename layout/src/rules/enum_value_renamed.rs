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
The old entries read the same. What they mean depends on why the name changed: a better word for the same thing harms
nothing, but a number that was given to another thing makes the new programs take old entries for it.

For the better word, accept the change as `reuse`. For another thing, leave the old number unused and take a new one;
or accept the change as `migrate` or `swap`.
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
