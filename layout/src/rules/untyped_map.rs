//! `untyped-map`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};

/// A map that says only its sizes.
pub const RULE: Rule = Rule {
    id: "untyped-map",
    tier: Tier::Spelling,
    default_level: Level::Warn,
    // The map is new: nothing is there to be decided on.
    effect: Effect { decision: Decision::Never, answers: &[], ..Effect::SPELLING },
    purpose: "a map is declared by `key_size` and `value_size`, so its types are unknown",
    explanation: "\
The object does not tell what the bytes of this map mean, and neither does the pinned map. maplock sees only sizes, so
a change of the same size passes unseen. Declare the map by `__type(key, ..)` and `__type(value, ..)`. If the
declaration has to stay, bind its types in `Cargo.toml`:

```toml
[package.metadata.maplock.maps.stats]
key = \"struct stats_key\"
value = \"struct stats\"
```

maplock looks them up in the object's BTF, then in its DWARF. A compiler keeps only the types that are used. For
others, build an object for them, in C or in Rust, and name it under `[package.metadata.maplock]`:
`types = [\"bpf/types.o\"]`. Name a type of Rust by its path: `flowtop_common::Flow`.

In Rust, aya's `#[map]` declares a map by its sizes. `#[btf_map]` has BTF:

```rust,ignore
#[btf_map]
static STATS: aya_ebpf::btf_maps::HashMap<StatsKey, Stats, 1024> = aya_ebpf::btf_maps::HashMap::new();
```

If `#[map]` has to stay, build the eBPF crate with `debug = 2`: maplock then takes the types from the DWARF. DWARF
does not show whether a struct is `#[repr(C)]`, and each Rust compiler may lay out any other struct anew.
`#[derive(maplock::MapValue)]` refuses a struct without `#[repr(C)]`.
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
    __type(key, __u32);
    __type(value, __u64);
} flows SEC(\".maps\");
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __uint(key_size, 4);
    __uint(value_size, 8);
} stats SEC(\".maps\");
",
    },
};
