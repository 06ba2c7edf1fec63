//! `flags-changed`

use super::rule::{Attribute, Effect, Example, Level, Rule, Tier};

/// Other flags, of those that the kernel keeps.
pub const RULE: Rule = Rule {
    id: "flags-changed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect { attribute: Some(Attribute::Flags), ..Effect::FIXED },
    purpose: "the flags that the kernel keeps for the map changed",
    explanation: "\
The flags of a map are fixed when it is made, so the pinned map keeps the old ones, whatever the new release declares.
Most loaders then refuse it, and the new release does not start. Some flags do not count: `BPF_F_RDONLY` and
`BPF_F_WRONLY`, which the kernel does not keep, and the flag that it adds to a devmap by itself.

To keep the entries, accept the change as `migrate`: they are copied as they are into a map with the new flags. If
they can be rebuilt, accept it as `swap`.

If the daemon sets `BPF_F_NO_PREALLOC` or a flag like it when it loads the map, write `flags = \"runtime\"` under
`[package.metadata.maplock.maps.flows]`. Flags of the map's memory are not compared then.
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
    __uint(max_entries, 1024);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
",
    },
};
