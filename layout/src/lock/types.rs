//! What a type is called in a lockfile, and back.
//!
//! Structs, unions and enums stand in tables of their own, under a label such as `struct flow_key`. A member's `type` is
//! then a short text: `u32`, `struct flow_key`, `char[16]`, `struct task_struct *`, `__be32 (u32)` for a typedef and what
//! is behind it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::layout::{Composite, IntKind, Layout, Shape};

/// What a type is called for what it is, without the mark by which a label is told from another like it.
pub(super) fn plain(label: &str) -> &str {
    label.rsplit_once('#').map_or(label, |(plain, _)| plain)
}

/// The height of a layout: 1 more than that of the highest of its parts. `known` has those of structs.
pub(super) fn height(layout: &Layout, known: &mut HashMap<*const Composite, usize>) -> usize {
    match &layout.shape {
        Shape::Array { element, .. } => 1 + height(element, known),
        Shape::Composite(of) => {
            if let Some(height) = known.get(&Arc::as_ptr(of)) {
                return *height;
            }
            let inner = of.members().iter().map(|member| height(&member.layout, known)).max();
            let own = 1 + inner.unwrap_or_default();
            known.insert(Arc::as_ptr(of), own);
            own
        }
        _ => 1,
    }
}

/// How deep types may nest, as for [`crate::btf::Resolver`].
pub(super) const MAX_DEPTH: usize = 128;

/// A layout, and its height: 1 more than the highest of its parts.
pub(super) type Parsed = (Layout, usize);

/// Parses the text of a type. `named` resolves labels.
pub(super) fn parse_expression(
    text: &str,
    named: &mut dyn FnMut(&str) -> Result<Option<Parsed>, String>,
) -> Result<Parsed, String> {
    parse_nested(text, 0, named)
}

fn parse_nested(
    text: &str,
    depth: usize,
    named: &mut dyn FnMut(&str) -> Result<Option<Parsed>, String>,
) -> Result<Parsed, String> {
    if let Some(parsed) = named(text)? {
        return Ok(parsed);
    }
    let too_deep = || Err(format!("types are nested over {MAX_DEPTH} levels deep"));
    if depth == MAX_DEPTH {
        return too_deep();
    }
    let (mut rest, mut dims) = (text, Vec::new());
    // `BASE[a][b]` is an array of a arrays of b.
    while let Some((before, len)) = rest.strip_suffix(']').and_then(|inner| inner.rsplit_once('[')) {
        let len: u32 = len.parse().map_err(|_| format!("`{len}` is not a number of elements"))?;
        dims.push(len);
        rest = before;
    }
    if !dims.is_empty() {
        let (mut layout, height) = parse_nested(rest, depth + 1, named)?;
        let height = height + dims.len();
        if height > MAX_DEPTH {
            return too_deep();
        }
        for len in dims {
            let size = layout.size.checked_mul(u64::from(len)).filter(|&size| size <= u64::from(u32::MAX));
            let size = size.ok_or_else(|| format!("`{text}` is larger than 4 GiB"))?;
            layout = Layout::new(size, Shape::Array { element: Arc::new(layout), len });
        }
        return Ok((layout, height));
    }
    if let Some((typedef, inner)) = text.strip_suffix(')').and_then(|rest| rest.split_once(" (")) {
        let (inner, height) = parse_nested(inner, depth + 1, named)?;
        return Ok((Layout { typedef: Some(typedef.into()), ..inner }, height));
    }
    if let Some(target) = text.strip_suffix('*') {
        let target = target.strip_suffix(' ').unwrap_or(target);
        return Ok((Layout::new(8, Shape::Pointer { target: target.into() }), 1));
    }
    if let Some(name) = text.strip_prefix("opaque ") {
        return Ok((Layout::new(0, Shape::Opaque { name: name.into() }), 1));
    }
    scalar(text).map(|layout| (layout, 1)).ok_or_else(|| format!("`{text}` is not a type"))
}

fn scalar(text: &str) -> Option<Layout> {
    match text {
        "char" => return Some(Layout::new(1, Shape::Int(IntKind::Char))),
        "bool" => return Some(Layout::new(1, Shape::Int(IntKind::Bool))),
        _ => {}
    }
    let digits = text.find(|c: char| c.is_ascii_digit())?;
    let (kind, bits) = text.split_at(digits);
    let bits = bits.parse().ok().filter(|bits: &u64| (8..=128).contains(bits) && bits.is_multiple_of(8))?;
    let shape = match kind {
        "u" => Shape::Int(IntKind::Unsigned),
        "i" => Shape::Int(IntKind::Signed),
        "bool" => Shape::Int(IntKind::Bool),
        "f" => Shape::Float,
        _ => return None,
    };
    Some(Layout::new(bits / 8, shape))
}
