//! The checks. Each fails at the place that called it: the field, in the expansion of a derive.

use super::shape::{Describe, Shape, Type};
use super::text::Text;

/// Holds one field against its member.
///
/// - `offset`: of the field; `free`: where the field before it ends.
/// - `follows`: false if the member before it is wrong already, so that this one can't be at its place either.
/// - `name`, `at`, `wanted`, `spelling`: the member, its offset, its type, and how reports write that.
/// - `place`: if the lock has it, "in `struct flow` of map `flows`".
#[track_caller]
#[allow(clippy::too_many_arguments, reason = "called by generated code alone, 500 times where there are 50 structs")]
pub const fn member<F: Describe<Role>, Role>(
    offset: usize,
    free: usize,
    follows: bool,
    name: &str,
    at: usize,
    wanted: Type,
    spelling: &str,
    place: &str,
) {
    let shape = F::SHAPE;
    if let Shape::Enum { name: rust, repr } = shape {
        Text::new("`")
            .str(name)
            .str("` is the enum `")
            .str(rust)
            .str("`, and the kernel may hold a number that is no variant of it; use `#[repr(transparent)] struct ")
            .str(rust)
            .str("(pub ")
            .str(repr)
            .str(");` with a constant for each")
            .panic()
    }
    if !shape.is(&wanted) {
        let text = Text::new("`").str(name).str("` is `").shape(&shape).str("`");
        let text = if offset == at || !follows { text } else { text.str(" at offset ").number(offset) };
        let text = text.str(" here, but ").str(spelling);
        let text = if offset == at || !follows { text } else { text.str(" at offset ").number(at) };
        text.str(" ").str(place).panic()
    }
    if !follows {
        return;
    }
    if offset != at {
        Text::new("`")
            .str(name)
            .str("` is at offset ")
            .number(offset)
            .str(" here, but at ")
            .number(at)
            .str(" ")
            .str(place)
            .panic()
    }
    gap(offset, free, name)
}

/// Refuses bytes that belong to no field.
#[track_caller]
const fn gap(offset: usize, free: usize, name: &str) {
    if offset > free {
        Text::new("there is implicit padding of ")
            .bytes(offset - free)
            .str(" before `")
            .str(name)
            .str("`, and the kernel would get whatever bytes are there; add a field `_pad: [u8; ")
            .number(offset - free)
            .str("]` before it")
            .panic()
    }
}

/// Holds a field without a member against the bytes that no member has.
///
/// - `offset`, `size`: of the field; `free`: where the field before it ends.
/// - `members`: from where to where members are, in bytes.
#[track_caller]
pub const fn padding(offset: usize, size: usize, free: usize, name: &str, members: &[(usize, usize)], place: &str) {
    let mut at = 0;
    while at < members.len() {
        let (start, end) = members[at];
        if start < offset + size && offset < end {
            Text::new("`")
                .str(name)
                .str("` is no member, but has bytes ")
                .number(offset)
                .str("..")
                .number(offset + size)
                .str(" here, and a member has bytes ")
                .number(start)
                .str("..")
                .number(end)
                .str(" ")
                .str(place)
                .panic()
        }
        at += 1;
    }
    gap(offset, free, name)
}

/// Holds a field against the bit-fields that it covers: bytes `start..end`.
#[track_caller]
pub const fn bits<F: Describe<Role>, Role>(offset: usize, name: &str, start: usize, end: usize, place: &str) {
    let is_bits = match F::SHAPE {
        Shape::Int { signed, .. } => !signed,
        Shape::Array { element: Shape::Int { size: 1, signed: false, .. }, .. } | Shape::Unknown => true,
        _ => false,
    };
    if !is_bits {
        Text::new("`")
            .str(name)
            .str("` holds bit-fields, and is `")
            .shape(&F::SHAPE)
            .str("` here; use an unsigned integer or an array of u8")
            .panic()
    }
    if offset > start || offset + size_of::<F>() < end {
        Text::new("`")
            .str(name)
            .str("` has bytes ")
            .number(offset)
            .str("..")
            .number(offset + size_of::<F>())
            .str(" here, but its bit-fields have ")
            .number(start)
            .str("..")
            .number(end)
            .str(" ")
            .str(place)
            .panic()
    }
}

/// Refuses padding behind the last field, which ends at `end`.
#[track_caller]
pub const fn end(end: usize, size: usize) {
    if end < size {
        Text::new("there is implicit padding of ")
            .bytes(size - end)
            .str(" at the end, and the kernel would get whatever bytes are there; add a field `_pad: [u8; ")
            .number(size - end)
            .str("]` there")
            .panic()
    }
}

/// Holds a type's size against the lock's, if its fields are right (`follows`).
#[track_caller]
pub const fn size<T>(follows: bool, name: &str, wanted: usize, place: &str) {
    if follows && size_of::<T>() != wanted {
        Text::new("`")
            .str(name)
            .str("` has ")
            .bytes(size_of::<T>())
            .str(", aligned to ")
            .number(align_of::<T>())
            .str(", here, but ")
            .number(wanted)
            .str(" ")
            .str(place)
            .panic()
    }
}

/// Holds a variant's number against the enumerator's.
#[track_caller]
pub const fn enumerator(number: i128, name: &str, wanted: i128, place: &str) {
    if number != wanted {
        Text::new("`")
            .str(name)
            .str("` is ")
            .integer(number)
            .str(" here, but ")
            .integer(wanted)
            .str(" ")
            .str(place)
            .panic()
    }
}

/// Refuses an arm that is smaller than its union: the bytes behind it may be nobody's.
#[track_caller]
pub const fn arm<Arm, Union>(name: &str) {
    let (here, all) = (size_of::<Arm>(), size_of::<Union>());
    if here != all {
        Text::new("`")
            .str(name)
            .str("` has ")
            .bytes(here)
            .str(", but the union ")
            .number(all)
            .str(", so the rest may be uninitialised; make it a struct with a field `_pad: [u8; ")
            .number(all - here)
            .str("]` behind it")
            .panic()
    }
}
