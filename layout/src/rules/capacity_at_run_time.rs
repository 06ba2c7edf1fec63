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
No map of this type can be made without a capacity. `max_entries` that is missing or 0 in the object means that the daemon sets it
before it loads the object. If the object has a placeholder, the configuration says so:

```toml
[package.metadata.maplock.maps.flows]
capacity = \"runtime\"
```

The lock says `runtime-capacity = true` from then on, and no capacity is compared. A node takes the daemon's policy
(`Policy::max_entries`, `maplock plan --max-entries flows=4096`). Without a policy, the pinned map stays as large as it is. If none is
pinned, the upgrade does not start before anything is made.

When an object says a number again, a pinned map that is smaller grows to it, and one that is larger stays: a daemon chose that.
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
