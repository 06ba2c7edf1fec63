//! What is to be said of a definition by itself, whatever it was before.

use std::collections::HashSet;
use std::sync::Arc;

use super::sink::Sink;
use crate::change::{Change, Part, Subject};
use crate::layout::{Composite, CompositeKind, Layout, Shape};
use crate::map::MapDef;
use crate::rules;

/// Reports what a new map is without: types, the kernel's record of them, and a promise that they stay.
pub(super) fn new_map(def: &MapDef, sink: &mut Sink<'_>) {
    for (part, layout, has_layout, size) in [
        (Part::Key, &def.key, def.key_has_layout(), def.key_size),
        (Part::Value, &def.value, def.value_has_layout(), def.value_size),
    ] {
        let subject = Subject::MAP.part(part);
        match layout {
            None if has_layout => sink.add(&rules::UNTYPED_MAP, subject, Change::Untyped { new: size.into() }),
            None => {}
            Some(layout) => {
                if let Some((member, because)) = unpromised(layout, &mut HashSet::new()) {
                    let change = Change::Unpromised { new: layout.spelling(), member, because };
                    sink.add(&rules::UNPROMISED_LAYOUT, subject, change);
                }
            }
        }
    }
    if let Some(because) = def.kernel_drops_types() {
        let new = def.key.as_ref().map(|key| key.spelling()).unwrap_or_default();
        sink.add(&rules::BTF_REFUSED, Subject::MAP.part(Part::Key), Change::TypesDropped { new, because });
    }
}

/// A member that may lie elsewhere with the next compiler, by its path, and why; of the type itself the path is empty.
fn unpromised(layout: &Layout, seen: &mut HashSet<*const Composite>) -> Option<(String, &'static str)> {
    let mut layout = layout;
    while let Shape::Array { element, .. } = &layout.shape {
        layout = element;
    }
    let Shape::Composite(of) = &layout.shape else { return None };
    // The number of ways to one can be exponential.
    if !seen.insert(Arc::as_ptr(of)) {
        return None;
    }
    if let Some(because) = by_itself(of) {
        return Some((String::new(), because));
    }
    of.members().iter().enumerate().find_map(|(at, member)| {
        let is_tail = at + 1 == of.members().len() && matches!(member.layout.shape, Shape::Array { .. });
        if member.layout.size == 0 && member.bits.is_none() && !is_tail {
            return Some((member.name.to_string(), "has no bytes: what it is for is not in the layout"));
        }
        let (inner, because) = unpromised(&member.layout, seen)?;
        let names = [&*member.name, &inner].into_iter().filter(|name| !name.is_empty());
        Some((names.collect::<Vec<_>>().join("."), because))
    })
}

/// Why a struct is one of Rust's that no `repr` fixes, as far as that shows.
fn by_itself(of: &Composite) -> Option<&'static str> {
    if of.kind() != CompositeKind::Struct {
        return None;
    }
    // bpf-linker writes each sign as its number.
    if of.name().is_some_and(|name| name.starts_with('(') || name.starts_with("_28_")) {
        return Some("is a tuple, which Rust lays out as it likes");
    }
    let has_discriminant = |of: &Composite| {
        let nameless = of.members().iter().filter(|arm| arm.name.is_empty());
        of.kind() == CompositeKind::Union && nameless.clone().any(|arm| matches!(arm.layout.shape, Shape::Int(_)))
    };
    if of.members().iter().any(|member| member.promoted().is_some_and(has_discriminant)) {
        return Some("is an enum with data, which Rust lays out as it likes, unless it has a `repr`");
    }
    let plain = of.members().iter().filter(|member| member.bits.is_none());
    if !plain.map(|member| member.offset_bits).is_sorted() {
        return Some("has members in another order than they are declared in: it is not `#[repr(C)]`");
    }
    None
}
