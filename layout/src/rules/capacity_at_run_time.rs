//! `capacity-at-run-time`

use super::rule::{Attribute, Decision, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A capacity that the object says and the daemon sets, or the other way round.
pub const RULE: Rule = Rule {
    id: "capacity-at-run-time",
    tier: Tier::Kernel,
    default_level: Level::Allow,
    effect: Effect {
        attribute: Some(Attribute::MaxEntries),
        in_digest: false,
        keeps_bytes: true,
        decision: Decision::Never,
        answers: &[OnUpgrade::Reuse],
        ..Effect::BYTES
    },
    purpose: "the daemon sets how many entries the map holds, or no longer does",
    explanation: "\
A map of this type needs a capacity. If `max_entries` is missing or 0 in the object, the daemon sets it before it
loads the object. If the object has a placeholder instead, say so in the configuration:

```toml
[package.metadata.maplock.maps.flows]
capacity = \"runtime\"
```

The lock then says `runtime-capacity = true`, and no capacity is compared. A node takes the capacity from the daemon's
policy (`Policy::max_entries`, `maplock plan --max-entries flows=4096`). Without a policy, the pinned map keeps its
size. If no map is pinned either, the upgrade stops before it makes anything.

If a later object says a number again, a smaller pinned map grows to it. A larger one stays, because a daemon chose
its size.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
    },
};
