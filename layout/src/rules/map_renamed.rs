//! `map-renamed`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A map under a new name.
pub const RULE: Rule = Rule {
    id: "map-renamed",
    tier: Tier::Meaning,
    default_level: Level::Warn,
    effect: Effect { in_digest: false, decision: Decision::Never, answers: &[OnUpgrade::Reuse], ..Effect::MEANING },
    purpose: "a map has another name, and keeps its entries",
    explanation: "\
The lock says that this map is an older one under another name. The entry for that in `maps.lock` is `renamed-from`,
and `cargo maplock accept NEW --renamed-from OLD` writes it. A node that upgrades finds the pin under the old name. If
the layouts are the same, the map stays as it is, with all its entries, and is pinned under the new name when the
upgrade commits. If the new map is larger, the entries are copied into it. The same acceptance answers whatever else
changed between the two, as for any other map. The old name then disappears from the directory, and comes back with a
roll-back. If both names are pinned on a node, the upgrade is refused there: nothing says which of the two maps has
the entries.

There is nothing more to decide here. A declaration can't say that a map had another name, so before the acceptance
the change shows as `map-removed` and `map-added`. The example shows what was accepted.

Tell those who open the map by its old path, such as a command line tool, to use the new one.
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
