//! Findings between two enumerations.

use std::collections::BTreeMap;

use super::at::{At, Trail};
use super::sink::Sink;
use crate::change::Change;
use crate::layout::Enumeration;
use crate::rules;
use crate::wide_enum;

/// Reports how `new`, an enumeration of `size` bytes, differs from `old`.
pub(super) fn compare_enumerators(old: &Enumeration, new: &Enumeration, size: u64, at: At<'_>, sink: &mut Sink<'_>) {
    let values = |of: &Enumeration| -> BTreeMap<String, i128> {
        of.values.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    };
    let (old, new) = (values(old), values(new));
    let highest = |of: &BTreeMap<String, i128>| of.values().max().copied();
    let (old_highest, new_highest) = (highest(&old), highest(&new));
    let mut added: BTreeMap<&String, i128> =
        new.iter().filter(|(name, _)| !old.contains_key(*name)).map(|(name, value)| (name, *value)).collect();

    let subject = |name: &str| Trail::Member(&at.trail, name).subject();
    // An end marker moves with the others; on its own it is an enumerator like any other.
    let others_change = !added.is_empty() || old.keys().any(|name| !new.contains_key(name));
    let counts = |value: i128| wide_enum::number(value, size);
    for (name, &was) in &old {
        match new.get(name) {
            Some(&is) if counts(is) == counts(was) => {}
            Some(&is) if others_change && is_sentinel(name) && Some(was) == old_highest && Some(is) == new_highest => {}
            Some(&is) => {
                let change = Change::Enumerator { old: Some(was), new: Some(is) };
                sink.add(&rules::ENUM_VALUE_CHANGED, subject(name), change);
            }
            None => {
                let renamed =
                    added.iter().find(|(_, value)| counts(**value) == counts(was)).map(|(name, _)| (*name).clone());
                if let Some(to) = renamed {
                    added.remove(&to);
                    let subject = subject(&to);
                    let change = Change::EnumeratorRenamed { old: name.clone(), new: to, number: was };
                    sink.add(&rules::ENUM_VALUE_RENAMED, subject, change);
                } else {
                    let change = Change::Enumerator { old: Some(was), new: None };
                    sink.add(&rules::ENUM_VALUE_REMOVED, subject(name), change);
                }
            }
        }
    }
    for (name, value) in added {
        sink.add(&rules::ENUM_VALUE_ADDED, subject(name), Change::Enumerator { old: None, new: Some(value) });
    }
}

/// True for the name of an enumerator that only marks the end, and so moves whenever one is added.
fn is_sentinel(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let plain = lower.trim_matches('_');
    // `COUNT` or `LAST` may well be a value of its own, unless its underscores say that it is none.
    let is_internal = lower.starts_with("__")
        && matches!(plain.rsplit('_').next(), Some("max" | "count" | "num" | "nr" | "end" | "last"));
    is_internal || plain.ends_with("_max") || plain.starts_with("nr_") || plain.starts_with("num_")
}
