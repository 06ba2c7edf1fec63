//! `unmerged-counter`

use super::rule::{Compares, Decision, Effect, Example, Level, Rule, Tier};

/// A member that programs only add to, and for which nothing says how to merge it.
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
    purpose: "programs only add to a member, and nothing says how to merge it when entries are carried over",
    explanation: "\
The programs of the release add to this member and never set it, so it is a counter. When the map grows or its layout
changes, its entries are carried over into another map, and old programs count in the old map until the switch. If new
programs have counted in the same entry before the rest is carried over, only one of the two numbers can stay, and
what the old programs counted since the copy is lost. To lose nothing, let the two be added up:

```sh
cargo maplock accept flows --merge packets=sum
```

This stands in `maps.lock` for the life of the map: when it grows, is converted, and is rolled back. It accepts no
change, and needs no reason. Name members of a struct as in C (`stats.packets`), and all elements of an array at once
(`hits[]`). In a per-CPU map, each CPU's value is summed by itself.

If the sum would be wrong, for example because user space sets the number, say so, and maplock does not ask again.
Then new programs win, as they do without an answer:

```sh
cargo maplock accept flows --merge packets=none
```

maplock reads from the object's instructions what programs do: atomic additions, and loads that are added to and
stored again. A program that writes a whole value where there was none begins an entry, and sets nothing.

Sometimes maplock can't follow all that programs do with the map (`partly = true` in the lock). They may set the
member there, so this rule finds nothing; `init`, `update` and `accept` still name the member, as far as they see. The
rule also finds nothing for a map whose entries no upgrade carries over, for one that is not pinned, and for a member
that the lock does not have yet: run `cargo maplock update` first. It does not see sums that a daemon asks for in its
code (`Policy::sum`).
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
