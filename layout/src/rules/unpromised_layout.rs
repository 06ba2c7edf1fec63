//! `unpromised-layout`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};

/// A type that the next compiler may lay out differently, or that has members without bytes.
pub const RULE: Rule = Rule {
    id: "unpromised-layout",
    tier: Tier::Spelling,
    default_level: Level::Warn,
    // The map is new: nothing is there to be decided on.
    effect: Effect { decision: Decision::Never, answers: &[], ..Effect::SPELLING },
    purpose: "a key or value has a type whose layout no compiler promises, or has members of no size",
    explanation: "\
Rust lays out tuples, enums with data and structs without `#[repr(C)]` as it likes. The next compiler may choose
another layout. Then each entry of a pinned map is misread, though nobody touched the source. maplock finds that
change in the build. It is better to rule it out: make the type a struct with `#[repr(C)]`, and make an enum with data
a tag and a union.

BTF does not record the `repr`, and bpf-linker sorts members by their offsets. So most structs without `#[repr(C)]`
look like any other here. `#[derive(maplock::MapKey)]` and `#[derive(maplock::MapValue)]` refuse them.

A member of no size, such as `PhantomData` or an empty array, leaves only its name in the layout. What it stands for
can change unseen.
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
struct marker {};
struct usage {
    struct marker of;
    __u64 bytes;
};
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct usage);
} usage SEC(\".maps\");
",
    },
};
