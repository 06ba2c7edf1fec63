//! `inner-map-changed`

use super::rule::{Attribute, Effect, Example, Level, Rule, Tier};
use crate::epoch::OnUpgrade;

/// A map in maps with another template for what it holds.
pub const RULE: Rule = Rule {
    id: "inner-map-changed",
    tier: Tier::Kernel,
    default_level: Level::Deny,
    effect: Effect {
        attribute: Some(Attribute::Inner),
        answers: &[OnUpgrade::Swap, OnUpgrade::Refuse],
        ..Effect::FIXED
    },
    purpose: "the template of the inner maps appeared, disappeared, or has another capacity",
    explanation: "\
A map of maps accepts only inner maps that match its template, and a pinned map keeps the template that it was made
with. So the kernel refuses the inner maps of the new release when they are put in. The capacity is part of the
template only for arrays without `BPF_F_INNER_MAP`. Other rules report any other change of the template.

Accept the change as `swap`, and let the new release fill the map again. Declare inner arrays with `BPF_F_INNER_MAP`
if their capacity is to change freely from now on.
",
    example: Example {
        old: "\
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 16);
    __type(key, __u32);
    __array(values, struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 64);
        __type(key, __u32);
        __type(value, __u64);
    });
} flows SEC(\".maps\");
",
        new: "\
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 16);
    __type(key, __u32);
    __array(values, struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 128);
        __type(key, __u32);
        __type(value, __u64);
    });
} flows SEC(\".maps\");
",
    },
};
