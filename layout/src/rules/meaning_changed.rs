//! `meaning-changed`

use super::rule::{Decision, Effect, Example, Level, Rule, Tier};

/// Another version of what the bytes of a map or a struct mean.
pub const RULE: Rule = Rule {
    id: "meaning-changed",
    tier: Tier::Meaning,
    default_level: Level::Deny,
    effect: Effect { keeps_bytes: false, decision: Decision::Always, ..Effect::MEANING },
    purpose: "the same bytes mean something else, as their version says",
    explanation: "\
No tool sees that a constant behind a `#define` has another number, or that a counter of nanoseconds now counts
microseconds. The author of the change says so, with a version on the struct or after the name of the map. If nothing
can be written there, `cargo maplock accept MAP --new-meaning` says it. Entries of the old release have the old
meaning, and new programs would take them for something else.

Accept the change as `swap` if the entries can be rebuilt. `migrate` keeps them, and something has to convert them:
`--scale MEMBER=FACTOR` for a number of another unit, or your own code with `--by-hand`. `reuse` is right only if old
entries mean the same in both versions.

If the version goes down, an older meaning is back. Is a commit missing, or was one reverted? Entries of the release
in between have the newer meaning, so this is a change like any other. If you can, raise the version instead.
",
    example: Example {
        old: "\
/* in nanoseconds */
struct flow { __u64 seen; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
        new: "\
/* in microseconds */
struct flow { __u64 seen; } __attribute__((btf_decl_tag(\"maplock:version=1\")));
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct flow);
} flows SEC(\".maps\");
",
    },
};
