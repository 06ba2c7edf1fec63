//! Keys and values by the names of their members, for people.

use crate::layout::{Composite, CompositeKind, IntKind, Layout, Shape};

/// Most elements of an array that are told.
const MOST: usize = 16;

/// The members of a key or value with what is in them, in the order of the declaration. One that is no struct has one member, called
/// `name`. Bytes that the layout does not reach are left out.
#[must_use]
pub fn members(layout: Option<&Layout>, name: &str, bytes: &[u8]) -> Vec<(String, String)> {
    let mut members = Vec::new();
    match layout {
        Some(layout) => match layout.composite().filter(|of| of.kind() != CompositeKind::Union) {
            Some(of) => composite(of, "", bytes, &mut members),
            None => members.push((name.to_owned(), text(layout, bytes))),
        },
        None => members.push((name.to_owned(), hex(bytes))),
    }
    members
}

/// The members of a key or value in one line.
#[must_use]
pub fn line(layout: Option<&Layout>, name: &str, bytes: &[u8]) -> String {
    let members = members(layout, name, bytes);
    members.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

fn composite(of: &Composite, path: &str, bytes: &[u8], members: &mut Vec<(String, String)>) {
    for flat in of.flat_members() {
        let member = flat.member;
        let path = if path.is_empty() { member.name.to_string() } else { format!("{path}.{}", member.name) };
        let start = usize::try_from(flat.offset_bits / 8).unwrap_or(usize::MAX);
        if let Some(width) = member.bits {
            let number = bits(bytes, flat.offset_bits, width);
            members.push((path, number.map_or_else(|| "?".to_owned(), |number| number.to_string())));
            continue;
        }
        let len = usize::try_from(member.layout.size).unwrap_or(usize::MAX);
        let Some(bytes) = bytes.get(start..).and_then(|bytes| bytes.get(..len)) else { continue };
        match member.layout.composite().filter(|of| of.kind() != CompositeKind::Union) {
            Some(inner) => composite(inner, &path, bytes, members),
            None => members.push((path, text(&member.layout, bytes))),
        }
    }
}

/// One value as a person reads it.
fn text(layout: &Layout, bytes: &[u8]) -> String {
    let typedef = layout.typedef.as_deref().unwrap_or_default();
    match &layout.shape {
        Shape::Int(kind) => match number(bytes, typedef) {
            Some(number) if *kind == IntKind::Signed => signed(number, bytes.len()).to_string(),
            Some(number) if *kind == IntKind::Bool && number < 2 => (number == 1).to_string(),
            Some(number) => number.to_string(),
            None => hex(bytes),
        },
        Shape::Enum(of) => match number(bytes, typedef) {
            Some(number) => {
                let is = signed(number, bytes.len());
                let named = of.values.iter().find(|(_, value)| *value == is || u128::try_from(*value) == Ok(number));
                named.map_or_else(|| number.to_string(), |(name, _)| name.to_string())
            }
            None => hex(bytes),
        },
        Shape::Float => match *bytes {
            [a, b, c, d] => f32::from_ne_bytes([a, b, c, d]).to_string(),
            [a, b, c, d, e, f, g, h] => f64::from_ne_bytes([a, b, c, d, e, f, g, h]).to_string(),
            _ => hex(bytes),
        },
        Shape::Array { element, .. } if element.size == 1 => {
            let is_text = matches!(element.shape, Shape::Int(IntKind::Char));
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            let (before, after) = bytes.split_at(end);
            match std::str::from_utf8(before) {
                Ok(text) if is_text && after.iter().all(|byte| *byte == 0) => format!("{text:?}"),
                _ => hex(bytes),
            }
        }
        Shape::Array { element, .. } => {
            let size = usize::try_from(element.size).unwrap_or(0);
            if size == 0 {
                return "[]".to_owned();
            }
            let mut parts: Vec<_> = bytes.chunks_exact(size).take(MOST).map(|bytes| one(element, bytes)).collect();
            if bytes.len() / size > MOST {
                parts.push("…".to_owned());
            }
            format!("[{}]", parts.join(", "))
        }
        Shape::Composite(_) | Shape::Pointer { .. } | Shape::Opaque { .. } => hex(bytes),
    }
}

fn one(layout: &Layout, bytes: &[u8]) -> String {
    match layout.composite().filter(|of| of.kind() != CompositeKind::Union) {
        Some(of) => {
            let mut inner = Vec::new();
            composite(of, "", bytes, &mut inner);
            let parts: Vec<_> = inner.iter().map(|(name, value)| format!("{name} {value}")).collect();
            format!("{{ {} }}", parts.join(", "))
        }
        None => text(layout, bytes),
    }
}

/// A number in the order that its typedef says.
fn number(bytes: &[u8], typedef: &str) -> Option<u128> {
    let is_big = typedef.starts_with("__be") || cfg!(target_endian = "big") && !typedef.starts_with("__le");
    if !(1..=16).contains(&bytes.len()) {
        return None;
    }
    let digit = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
    Some(if is_big { bytes.iter().fold(0, digit) } else { bytes.iter().rev().fold(0, digit) })
}

fn signed(number: u128, len: usize) -> i128 {
    let unused = 128 - len * 8;
    (number << unused).cast_signed() >> unused
}

fn bits(bytes: &[u8], offset: u64, width: u32) -> Option<u64> {
    let mut number = 0;
    for at in 0..u64::from(width) {
        let index = offset + at;
        let byte = bytes.get(usize::try_from(index / 8).ok()?)?;
        let (place, shift) = match cfg!(target_endian = "big") {
            true => (u64::from(width) - 1 - at, 7 - index % 8),
            false => (at, index % 8),
        };
        number |= u64::from(byte >> shift & 1) << place;
    }
    Some(number)
}

/// `0a 00 ff`, cut if it is long.
fn hex(bytes: &[u8]) -> String {
    let mut parts: Vec<_> = bytes.iter().take(MOST * 2).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > MOST * 2 {
        parts.push("…".to_owned());
    }
    parts.join(" ")
}
