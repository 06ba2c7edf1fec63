//! `union-arm-added`

use super::rule::{Effect, Example, Level, Rule, Tier};

/// A new member of a union.
pub const RULE: Rule = Rule {
    id: "union-arm-added",
    tier: Tier::Bytes,
    default_level: Level::Deny,
    effect: Effect { keeps_bytes: true, ..Effect::BYTES },
    purpose: "a union has a new arm, or an unnamed struct in it has a new member",
    explanation: "\
All old entries were written through other arms. If the new programs read one of them through the new arm, they take
its bytes for something that they never were. If the new arm is larger than the union was, it also pushes along what
follows the union.

The old bytes are right as they are if a member beside the union tells which arm is in use, if no old entry names the
new arm, and if the size is the same. Then accept the change as `reuse`. Otherwise accept it as `migrate` to keep the
entries, or as `swap` if they can be rebuilt.

The rule also finds a member that was added to an unnamed struct in a union. If that struct is an old arm, programs
read the new member in old entries, which never had it: `reuse` is not right then.
",
    example: Example {
        old: "\
union addr { __u8 v6[16]; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, union addr);
} flows SEC(\".maps\");
",
        new: "\
union addr { __u8 v6[16]; __be32 v4; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, union addr);
} flows SEC(\".maps\");
",
    },
};
