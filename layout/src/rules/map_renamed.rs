//! `map-renamed`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A map under another name than it had.
pub const RULE: Rule = Rule {
    id: "map-renamed",
    tier: Tier::Meaning,
    default_level: Level::Warn,
    effect: Effect { in_digest: false, decision: Decision::Never, answers: &[OnUpgrade::Reuse], ..Effect::MEANING },
    purpose: "a map has another name, and keeps its entries",
    explanation: "\
The lock says that this map is an older one under another name: `renamed-from` in `maps.lock`, which
`cargo maplock accept NEW --renamed-from OLD` writes. A node that upgrades finds the pin under the old name. If the
layouts are the same, the map stays what it is, with all its entries, and is pinned under the new name when the upgrade
commits; a larger one is filled with them. What else changed between the two is answered in the same acceptance, as for
any other map. The old name is gone from the directory then, and back after a roll-back. A node on which both names are
pinned refuses: nothing says which of the two maps has the entries.

There is nothing to decide here any more. No declaration says that a map had another name, so before the acceptance the
change shows as `map-removed` and `map-added`. The example is what it is accepted for.

Those who open the map under the old path, such as a command line tool, have to be told the new one.
",
    example: Example {
        old: "\
struct flow { __u64 bytes; __u32 drops; __u32 flags; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
struct flow { __u64 bytes; __u32 drops; __u32 flags; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flow_table SEC(\".maps\");
",
    },
};
