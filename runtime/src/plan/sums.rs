//! Members whose counts are added up: from paths to bytes.

use maplock_layout::layout::{IntKind, Layout, Shape};

use crate::transfer::Sum;

/// Most members that are added up in one value: an array's elements count each.
const MAX_SUMS: usize = 4096;

/// The places of `paths` in a value, sorted.
///
/// # Errors
/// Where a path names nothing, or nothing that can be added up: a phrase that names the member, its type and why.
pub(super) fn resolve(value: Option<&Layout>, paths: &[String]) -> Result<Vec<Sum>, String> {
    let mut sums = Vec::new();
    for path in paths {
        let value = value.ok_or_else(|| format!("`sum` names `{path}`, but the value says no type"))?;
        walk(value, path, path, 0, &mut sums)?;
    }
    sums.sort_unstable();
    sums.dedup();
    Ok(sums)
}

/// Takes the first step of `rest`, the end of `path`, from what lies at `offset` bytes.
fn walk(layout: &Layout, path: &str, rest: &str, offset: u64, sums: &mut Vec<Sum>) -> Result<(), String> {
    if let Some(rest) = rest.strip_prefix("[]") {
        let Shape::Array { element, len } = &layout.shape else {
            return Err(format!("`sum` names `{path}`, but {} is no array", layout.spelling()));
        };
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        for index in 0..u64::from(*len) {
            walk(element, path, rest, offset + index * element.size, sums)?;
        }
        return Ok(());
    }
    if rest.is_empty() {
        return leaf(layout, path, offset, sums);
    }
    let Some(composite) = layout.composite() else {
        return Err(format!("`sum` names `{path}`, but {} has no member `{rest}`", layout.spelling()));
    };
    // The name up to the next `.` or `[]`; what is behind a `.` starts with a name again.
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    let behind = behind.strip_prefix('.').unwrap_or(behind);
    let flat = composite.flat_members();
    let Some(found) = flat.iter().find(|flat| &*flat.member.name == name) else {
        let known: Vec<_> = flat.iter().map(|flat| flat.member.name.to_string()).take(8).collect();
        let (of, known) = (layout.spelling(), known.join("`, `"));
        return Err(format!("`sum` names `{path}`, but {of} has no member `{name}`; it has `{known}`"));
    };
    if let Some(bits) = found.member.bits {
        return Err(format!(
            "`sum` names `{path}`, a bit-field of {bits} bits: only whole integers can be added up atomically"
        ));
    }
    if found.in_union {
        return Err(format!("`sum` names `{path}`, which shares its bytes with other members of a union"));
    }
    walk(&found.member.layout, path, behind, offset + found.offset_bits / 8, sums)
}

fn leaf(layout: &Layout, path: &str, offset: u64, sums: &mut Vec<Sum>) -> Result<(), String> {
    let spelling = layout.spelling();
    let refuse = |why: &str| Err(format!("`sum` names `{path}`, which is {spelling}: {why}"));
    match &layout.shape {
        Shape::Int(IntKind::Unsigned | IntKind::Signed) => {}
        Shape::Array { .. } => return refuse(&format!("for each of its elements, say `{path}[]`")),
        _ => return refuse("only integers can be added up"),
    }
    if !matches!(layout.size, 4 | 8) {
        return refuse("only integers of 4 or 8 bytes can be added up atomically");
    }
    if !offset.is_multiple_of(layout.size) {
        return refuse(&format!("it lies at byte {offset}, which is no multiple of its size"));
    }
    if sums.len() >= MAX_SUMS {
        return refuse(&format!("over {MAX_SUMS} integers would be added up"));
    }
    let offset = u32::try_from(offset).map_err(|_| format!("`sum` names `{path}`, which lies beyond 4 GiB"))?;
    sums.push(Sum { offset, width: layout.size as u32 });
    Ok(())
}

/// True where every byte of the value that means something is added up, so that nothing has to be remembered of what was
/// copied. Padding means nothing.
pub(super) fn cover(value: Option<&Layout>, sums: &[Sum]) -> bool {
    /// True where each leaf from `offset` on is one of `sums`. Stops at the first that is not, and so in time.
    fn covered(layout: &Layout, offset: u64, sums: &[Sum]) -> bool {
        match &layout.shape {
            Shape::Array { element, len } if element.size > 0 => {
                (0..u64::from(*len)).all(|index| covered(element, offset + index * element.size, sums))
            }
            Shape::Composite(of) => of.flat_members().iter().all(|flat| {
                flat.member.bits.is_none() && covered(&flat.member.layout, offset + flat.offset_bits / 8, sums)
            }),
            _ => {
                layout.size == 0
                    || sums.iter().any(|sum| u64::from(sum.offset) == offset && u64::from(sum.width) == layout.size)
            }
        }
    }
    !sums.is_empty() && value.is_some_and(|value| covered(value, 0, sums))
}
