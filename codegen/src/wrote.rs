//! What the old release wrote at a place of a key or value, in words.

use maplock_layout::{Layout, Place};

/// A member as messages call it: by the whole way to it, in a key from that on.
pub(crate) fn called(role: &str, member: Option<&str>) -> String {
    match member {
        None => format!("the {role}"),
        Some(member) if role == "key" => format!("`key.{member}`"),
        Some(member) => format!("`{member}`"),
    }
}

/// What the old release wrote at a place, in words; `None` if that is `member` and nothing else.
pub(crate) fn wrote_at(old: &Layout, at: Place, role: &str, member: Option<&str>) -> Option<String> {
    let (start, end) = (at.offset_bits, at.offset_bits + at.size_bits);
    let size = old.size * 8;
    if start >= size {
        return Some(format!("nothing: its {role}s end before"));
    }
    let mut parts = match old.composite() {
        Some(_) => {
            let names = old.members_at(at);
            let is_itself = names.len() == 1 && names.first().map(String::as_str) == member;
            if is_itself && end <= size && !has_gap(old, at) {
                return None;
            }
            names.iter().map(|name| called(role, Some(name))).collect()
        }
        None => vec![format!("the {role} ({}, {})", old.spelling(), Place { offset_bits: 0, size_bits: size })],
    };
    if parts.is_empty() {
        parts.push("only padding".to_owned());
    } else if has_gap(old, at) {
        parts.push("padding".to_owned());
    }
    if end > size {
        parts.push("nothing behind it".to_owned());
    }
    let last = parts.pop()?;
    Some(if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) })
}

/// True if a part of `at`, as far as the layout reaches, is no member's.
fn has_gap(old: &Layout, at: Place) -> bool {
    let Some(composite) = old.composite() else { return false };
    let mut taken: Vec<_> = composite
        .flat_members()
        .iter()
        .map(|flat| (flat.offset_bits, flat.offset_bits + flat.member.size_bits()))
        .collect();
    taken.sort_unstable();
    let reached = taken.iter().fold(
        at.offset_bits,
        |reached, (from, to)| {
            if *from <= reached { reached.max(*to) } else { reached }
        },
    );
    reached < (at.offset_bits + at.size_bits).min(old.size * 8)
}
