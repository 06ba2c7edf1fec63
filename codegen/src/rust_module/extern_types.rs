//! Types that the user wrote, in the place of generated ones.

use std::fmt::Write as _;

use maplock_layout::{Composite, CompositeKind, Layout, Shape};

use super::QUIET;
use super::names::identifier;

/// What the compiler is to make sure of: the size, and where each member is and how large. Bit-fields and members of anonymous
/// structs have no field of their own.
pub(super) fn assertions(path: &str, layout: &Layout) -> String {
    let mut asserts = format!("    assert!(::core::mem::size_of::<{path}>() == {});\n", layout.size);
    // To read an arm is unsafe.
    let is_union = layout.composite().is_some_and(|of| of.kind() == CompositeKind::Union);
    let members = layout.composite().map_or(&[][..], Composite::members);
    for member in members.iter().filter(|member| member.bits.is_none() && !member.name.is_empty()) {
        let (name, offset, size) = (identifier(&member.name), member.offset_bits / 8, member.layout.size);
        _ = writeln!(asserts, "    assert!(::core::mem::offset_of!({path}, {name}) == {offset});");
        if !is_union {
            _ = writeln!(asserts, "    assert!(size_of_field(|value: {path}| value.{name}) == {size});");
        }
    }
    format!(
        "\n// `{path}` is what the eBPF object has, member by member.\n{QUIET}\nconst _: () = {{\n    \
         const fn size_of_field<T, F>(_: fn(T) -> F) -> usize {{\n        ::core::mem::size_of::<F>()\n    }}\n{asserts}}};\n"
    )
}

/// The alignment that a `repr(C)` type of this layout has: 1 if it must be packed.
pub(super) fn natural_align(layout: &Layout) -> u64 {
    match &layout.shape {
        Shape::Array { element, .. } => natural_align(element),
        Shape::Composite(of) if of.kind() != CompositeKind::Section => {
            let members = of.members().iter();
            let align = members.clone().map(|member| natural_align(&member.layout)).max().unwrap_or(1);
            let fits = |member: &maplock_layout::Member| {
                member.bits.is_some() || (member.offset_bits / 8).is_multiple_of(natural_align(&member.layout))
            };
            if layout.size.is_multiple_of(align) && members.clone().all(fits) { align } else { 1 }
        }
        Shape::Int(_) | Shape::Float | Shape::Enum(_) | Shape::Pointer { .. } if layout.size.is_power_of_two() => {
            layout.size
        }
        _ => 1,
    }
}
