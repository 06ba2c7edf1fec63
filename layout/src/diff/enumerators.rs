//! Findings between two enumerations.

use std::collections::BTreeMap;

use super::at::{At, join};
use super::sink::Sink;
use crate::layout::Enumeration;
use crate::rules;

/// Reports how `new` differs from `old`.
pub(super) fn compare_enumerators(old: &Enumeration, new: &Enumeration, at: At<'_>, sink: &mut Sink<'_>) {
    let values = |of: &Enumeration| -> BTreeMap<String, i128> {
        of.values.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    };
    let (old, new) = (values(old), values(new));
    let highest = |of: &BTreeMap<String, i128>| of.values().max().copied();
    let (old_highest, new_highest) = (highest(&old), highest(&new));
    let mut added: BTreeMap<&String, i128> =
        new.iter().filter(|(name, _)| !old.contains_key(*name)).map(|(name, value)| (name, *value)).collect();

    // An end marker moves with the others; on its own it is an enumerator like any other.
    let others_change = !added.is_empty() || old.keys().any(|name| !new.contains_key(name));
    for (name, &was) in &old {
        let path = join(at.path, name);
        match new.get(name) {
            Some(&is) if is == was => {}
            Some(&is) if others_change && is_sentinel(name) && Some(was) == old_highest && Some(is) == new_highest => {}
            Some(&is) => {
                let message = format!("enumerator `{name}` is {is}, it was {was}");
                sink.add(&rules::ENUM_VALUE_CHANGED, &path, Some(was.to_string()), Some(is.to_string()), message);
            }
            None => {
                let renamed = added.iter().find(|(_, value)| **value == was).map(|(name, _)| (*name).clone());
                if let Some(to) = renamed {
                    added.remove(&to);
                    let message = format!("enumerator `{name}` ({was}) was renamed to `{to}`");
                    let path = join(at.path, &to);
                    sink.add(&rules::ENUM_VALUE_RENAMED, &path, Some(name.clone()), Some(to), message);
                } else {
                    let message = format!("enumerator `{name}` ({was}) was removed");
                    sink.add(&rules::ENUM_VALUE_REMOVED, &path, Some(was.to_string()), None, message);
                }
            }
        }
    }
    for (name, value) in added {
        let message = format!("enumerator `{name}` ({value}) was added");
        sink.add(&rules::ENUM_VALUE_ADDED, &join(at.path, name), None, Some(value.to_string()), message);
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
