//! Members of 0 bytes.

use std::collections::HashMap;

use super::at::{At, Trail};
use super::sink::Sink;
use crate::change::Change;
use crate::layout::FlatMember;
use crate::rules;

/// Reports members of 0 bytes, which hold nothing, and takes them away. One that holds something on the other side is left: it grew from
/// nothing, or shrank to it. Returns the offset of each finding.
pub(super) fn compare_empty(
    old: &mut Vec<FlatMember<'_>>,
    new: &mut Vec<FlatMember<'_>>,
    at: At<'_>,
    sink: &mut Sink<'_>,
) -> Vec<u64> {
    let is_empty = |flat: &FlatMember<'_>| flat.member.size_bits() == 0;
    if !old.iter().any(is_empty) && !new.iter().any(is_empty) {
        return Vec::new();
    }
    let (old_keys, new_keys) = (numbered_names(old), numbered_names(new));
    let of = |all: &[FlatMember<'_>], keys: &[(String, usize)]| -> HashMap<(String, usize), (bool, String)> {
        all.iter().zip(keys).map(|(flat, key)| (key.clone(), (is_empty(flat), flat.member.spelling()))).collect()
    };
    let (before, after) = (of(old, &old_keys), of(new, &new_keys));
    let start = sink.len();
    let mut order = Vec::new();
    let mut report = |flat: &FlatMember<'_>, old: Option<&str>, new: Option<&str>| {
        if old != new {
            let subject = Trail::Member(&at.trail, &flat.member.name).subject();
            let change = Change::Empty { old: old.map(str::to_owned), new: new.map(str::to_owned) };
            sink.add(&rules::EMPTY_MEMBER_CHANGED, subject, change);
            order.resize(sink.len() - start, flat.offset_bits);
        }
    };
    let mut keys = old_keys.iter();
    old.retain(|flat| {
        let namesake = keys.next().and_then(|key| after.get(key));
        let is_left = !is_empty(flat) || namesake.is_some_and(|(is_empty, _)| !is_empty);
        if !is_left {
            report(flat, Some(&flat.member.spelling()), namesake.map(|(_, new)| new.as_str()));
        }
        is_left
    });
    let mut keys = new_keys.iter();
    new.retain(|flat| {
        let namesake = keys.next().and_then(|key| before.get(key));
        let is_left = !is_empty(flat) || namesake.is_some_and(|(is_empty, _)| !is_empty);
        if !is_left && namesake.is_none() {
            report(flat, None, Some(&flat.member.spelling()));
        }
        is_left
    });
    order
}

/// Each member's name, and how many of the same name stand before it. No compiler writes two of one name; BTF can hold them.
fn numbered_names(all: &[FlatMember<'_>]) -> Vec<(String, usize)> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    all.iter()
        .map(|flat| {
            let count = seen.entry(&flat.member.name).or_default();
            *count += 1;
            (flat.member.name.to_string(), *count - 1)
        })
        .collect()
}
