//! Which member each field is held against.

use std::collections::HashSet;

use maplock_layout::rules::nearest;
use maplock_layout::{Composite, FlatMember, Layout};
use proc_macro2::Span;
use syn::Field;

use crate::attribute::OfField;
use crate::describe;
use crate::input::{Input, Problems};
use crate::types::{Bound, Types, anonymous};

/// What a field is held against.
pub(crate) enum Against<'a> {
    /// A member at this offset, in bytes.
    Member { name: String, offset: u64, layout: &'a Layout },
    /// The bytes of bit-fields.
    Bits { start: u64, end: u64 },
    /// The bytes that no member has.
    Padding,
}

/// Finds the member of each field; `None` if there is none, which is among the problems then.
pub(crate) fn assign<'a>(
    input: &Input,
    composite: &'a Composite,
    bound: &Bound,
    types: &Types,
    problems: &mut Problems,
) -> Vec<Option<Against<'a>>> {
    let flat = composite.flat_members();
    let find = |name: &str| flat.iter().find(|flat| &*flat.member.name == name);
    // Names of members that a field has, or that another message already tells of.
    let mut told: HashSet<&str> = HashSet::new();
    let mut covered: Vec<(u64, u64)> = Vec::new();
    let mut all = Vec::new();
    let mut unknown = Vec::new();
    for field in input.fields() {
        let Some(ident) = &field.ident else { continue };
        let attribute = match OfField::parse(&field.attrs) {
            Ok(attribute) => attribute,
            Err(error) => {
                problems.take(error);
                all.push(None);
                continue;
            }
        };
        if let Some(bits) = &attribute.bits {
            let mut range: Option<(u64, u64)> = None;
            for name in bits.value().split(',').map(str::trim) {
                let Some(flat) = find(name).filter(|flat| flat.member.bits.is_some()) else {
                    problems.add(bits.span(), format!("`{name}` is no bit-field in {}", bound.place()));
                    continue;
                };
                told.insert(&flat.member.name);
                let (start, end) = bytes_of(flat);
                range = Some(range.map_or((start, end), |(from, to)| (from.min(start), to.max(end))));
            }
            all.push(range.map(|(start, end)| Against::Bits { start, end }));
            continue;
        }
        if let Some(inside) = &attribute.anonymous {
            let Some((member, offset)) = anonymous(composite, &inside.value()) else {
                let text = format!("no anonymous struct or union holds `{}` in {}", inside.value(), bound.place());
                problems.add(inside.span(), text);
                all.push(None);
                continue;
            };
            covered.push((offset, offset + member.layout.size * 8));
            all.push(Some(Against::Member { name: ident.to_string(), offset: offset / 8, layout: &member.layout }));
            continue;
        }
        let (name, span) = match &attribute.rename {
            Some(name) => (name.value(), name.span()),
            None => (ident.to_string().trim_start_matches("r#").to_owned(), ident.span()),
        };
        let Some(flat) = find(&name) else {
            if name.starts_with('_') && attribute.rename.is_none() {
                all.push(Some(Against::Padding));
            } else {
                unknown.push((name, span));
                all.push(None);
            }
            continue;
        };
        told.insert(&flat.member.name);
        if flat.member.bits.is_some() {
            problems.add(
                span,
                format!(
                    "`{name}` is a bit-field of {} in {}, which Rust has none of; hold its bytes in an integer with \
                     `#[maplock(bits = \"{name}\")]`, and name all bit-fields that it has",
                    if flat.member.size_bits() == 1 {
                        "1 bit".to_owned()
                    } else {
                        format!("{} bits", flat.member.size_bits())
                    },
                    bound.place()
                ),
            );
            all.push(None);
            continue;
        }
        covered.push((flat.offset_bits, flat.offset_bits + flat.member.size_bits()));
        all.push(Some(Against::Member { name, offset: flat.offset_bits / 8, layout: &flat.member.layout }));
    }
    for (name, span) in unknown {
        let free = flat.iter().map(|flat| &*flat.member.name).filter(|name| !told.contains(name));
        let text = match nearest(&name, free) {
            Some(near) => {
                told.insert(find(near).map_or("", |flat| &flat.member.name));
                format!("`{name}` is no member of {}; did you mean `{near}`?", described(bound, types))
            }
            None => format!(
                "`{name}` is no member of {}, which has {}",
                described(bound, types),
                flat.iter().map(|flat| format!("`{}`", flat.member.name)).collect::<Vec<_>>().join(", ")
            ),
        };
        problems.add(span, text);
    }
    for flat in &flat {
        let (start, end) = (flat.offset_bits, flat.offset_bits + flat.member.size_bits());
        let is_told = told.contains(&*flat.member.name)
            // An arm of an anonymous union whose bytes another arm has.
            || flat.in_union && !input.is_union() && covered.iter().any(|(from, to)| *from <= start && end <= *to)
            || covered.iter().any(|(from, to)| *from <= start && end <= *to && is_anonymous(composite, flat))
            || start == end;
        if !is_told {
            missing(flat, bound, types, input.derive.ident.span(), problems);
        }
    }
    all
}

/// Whether a member is one through an anonymous struct or union.
fn is_anonymous(composite: &Composite, flat: &FlatMember) -> bool {
    !composite.members().iter().any(|member| std::ptr::eq(member, flat.member))
}

fn missing(flat: &FlatMember, bound: &Bound, types: &Types, span: Span, problems: &mut Problems) {
    let name = &flat.member.name;
    let place = in_place(bound, types, name);
    let text = match flat.member.bits {
        Some(_) => format!(
            "no field holds the bit-field `{name}`, in byte {} {place}; add it to the `#[maplock(bits = \"..\")]` of a field",
            flat.offset_bits / 8
        ),
        None => format!(
            "no field is `{name}`, {} at offset {} {place}; add it, or say which field it is: `#[maplock(rename = \"{name}\")]`",
            describe::spelling(&flat.member.layout),
            flat.offset_bits / 8
        ),
    };
    problems.add(span, text);
}

/// The bytes that have bits of a member, `start..end`.
pub(crate) fn bytes_of(flat: &FlatMember) -> (u64, u64) {
    (flat.offset_bits / 8, (flat.offset_bits + flat.member.size_bits()).div_ceil(8))
}

/// `` in `struct flow` of map `flows` (bpf/flow.h:12) ``.
pub(crate) fn in_place(bound: &Bound, types: &Types, member: &str) -> String {
    let line = types.line("member", &bound.name, member).or_else(|| types.line("type", &bound.name, ""));
    format!("in {}{}", bound.place(), line.map_or_else(String::new, |line| format!(" ({line})")))
}

fn described(bound: &Bound, types: &Types) -> String {
    let line = types.line("type", &bound.name, "");
    format!("{}{}", bound.place(), line.map_or_else(String::new, |line| format!(" ({line})")))
}

/// The name by which a field is told.
pub(crate) fn name_of(field: &Field) -> String {
    field.ident.as_ref().map_or_else(|| "0".to_owned(), ToString::to_string)
}
