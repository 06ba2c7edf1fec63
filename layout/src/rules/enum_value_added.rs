//! `enum-value-added`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// An enumerator with a number of its own.
pub const RULE: Rule = Rule {
    id: "enum-value-added",
    tier: Tier::Meaning,
    default_level: Level::Allow,
    effect: Effect::MEANING,
    purpose: "an enumerator was added",
    explanation: "\
No old entry holds the new number, so nothing is misread, and the map is reused. A last enumerator that only marks the
end, such as `FLOW_MAX`, may move along: that counts as part of this change.

There is nothing to decide. But after a roll-back, old programs may meet a number that they do not know.
",
    example: Example {
        old: "\
enum state { FLOW_OPEN, FLOW_CLOSED, FLOW_MAX };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
        new: "\
enum state { FLOW_OPEN, FLOW_CLOSED, FLOW_RESET, FLOW_MAX };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, enum state);
} flows SEC(\".maps\");
",
    },
};
