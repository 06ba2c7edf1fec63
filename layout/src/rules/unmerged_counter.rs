//! `unmerged-counter`

use super::rule::{Compares, Decision, Effect, Example, Level, Rule, Tier};

/// A member that programs only add to, and that nothing says how to merge.
pub const RULE: Rule = Rule {
    id: "unmerged-counter",
    tier: Tier::Meaning,
    default_level: Level::Warn,
    effect: Effect {
        compares: Compares::Programs,
        in_digest: false,
        decision: Decision::Never,
        answers: &[],
        ..Effect::MEANING
    },
    purpose: "programs only add to a member, and nothing says how it is merged when entries are carried over",
    explanation: "\
The programs of the release add to this member and never set it, so it counts. When the map grows, or its layout changes, its
entries are carried over into another map, and old programs go on counting in the old one until the switch. If new programs
have counted in the same entry by the time that the rest is carried over, one number has to win, and what the old ones counted
since the copy is lost. Unless the two are added up:

```sh
cargo maplock accept flows --merge packets=sum
```

This stands in `maps.lock` for the life of the map: as it grows, is converted, and is rolled back. It accepts no change, and needs no
reason. Members of a struct are named as in C (`stats.packets`), and elements of an array all at once (`hits[]`). Of a per-CPU map,
each CPU's value is summed by itself.

If the sum would be wrong, such as that of a number which user space sets, say so, and it is not asked again. Then new programs
win, as without a word:

```sh
cargo maplock accept flows --merge packets=none
```

What programs do is read from the object's instructions: atomic additions, and loads that are added to and stored again. A
value that is written whole where there was none is a beginning, and sets nothing. If something that programs do with the map
could not be followed (`partly = true` in the lock), they may set the member there, and nothing is found; `init`, `update` and
`accept` still name it, as far as they see. Nothing is found either of a map whose entries no upgrade carries over, of one
that is not pinned, and of a member that the lock does not have yet: `cargo maplock update` comes first. Sums that a daemon asks for in
its code (`Policy::sum`) are not seen here.
",
    example: Example {
        old: "\
struct flow {
    __u64 packets;
    __u64 last_seen;
};
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");

SEC(\"xdp\")
int see(void *ctx)
{
    __u32 key = bpf_get_prandom_u32();
    struct flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (flow)
        flow->last_seen = bpf_ktime_get_ns();
    return 2;
}
",
        new: "\
struct flow {
    __u64 packets;
    __u64 last_seen;
};
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");

SEC(\"xdp\")
int see(void *ctx)
{
    __u32 key = bpf_get_prandom_u32();
    struct flow *flow = bpf_map_lookup_elem(&flows, &key);
    if (flow) {
        __sync_fetch_and_add(&flow->packets, 1);
        flow->last_seen = bpf_ktime_get_ns();
    }
    return 2;
}
",
    },
};
