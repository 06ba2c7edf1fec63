//! `map-conflict`

use super::rule::{Compares, Effect, Example, Level, Rule, Tier};

/// One name, two definitions in one package.
pub const RULE: Rule = Rule {
    id: "map-conflict",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect {
        compares: Compares::Objects,
        answers: &[],
        remedy: Some("make them alike: a node would get whichever object is loaded first"),
        ..Effect::BYTES
    },
    purpose: "two objects of one package define the same map differently",
    explanation: "\
Both objects mean the same pin. The object that is loaded first makes the map. The other one then fails to load, or
misreads every entry.

Nothing is built until both agree. You can't lower the level of this rule, and there is nothing to accept. Declare the
map in a header that both objects include, or give one of the two maps another name. In the example, the two sides are
the two objects.
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
