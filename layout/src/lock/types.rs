//! How a lockfile names types.
//!
//! Structs, unions and enums of a map stand in a table of the map's own, under a label such as `struct flow_key`. A
//! member's `type` is then a short text: `u32`, `struct flow_key`, `char[16]`, `struct task_struct *`,
//! `__be32 (u32)` for a typedef and what is behind it.

use std::collections::{BTreeMap, HashMap};
use std::ptr;
use std::sync::Arc;

use super::quote::string;
use crate::layout::{Composite, Enumeration, IntKind, Layout, Member, Shape, printable};

/// A type that has a table of its own.
#[derive(Debug, Clone)]
pub(super) enum Named {
    Composite(Arc<Composite>, u64),
    Enum(Arc<Enumeration>, u64),
}

/// The named types of one map, and the labels that they go by.
#[derive(Debug, Default)]
pub(super) struct TypeTable {
    labels: HashMap<(*const u8, u64), String>,
    pub(super) by_label: BTreeMap<String, Named>,
    /// Labels of definitions that are the same though not shared, by their text.
    texts: HashMap<String, String>,
}

impl TypeTable {
    /// Enters what `layout` reaches. `role` names an anonymous struct that is the whole key or value.
    pub(super) fn add(&mut self, layout: &Layout, role: &str) {
        match &layout.shape {
            Shape::Array { element, .. } => self.add(element, role),
            Shape::Enum(of) => {
                let fallback = layout.typedef.as_deref().unwrap_or(role);
                let key = (ptr::from_ref(of.as_ref()).cast(), layout.size);
                self.enter(key, "enum", of.name.as_deref(), fallback, Named::Enum(Arc::clone(of), layout.size));
            }
            Shape::Composite(of) => {
                let key = (ptr::from_ref(of.as_ref()).cast(), layout.size);
                if self.labels.contains_key(&key) {
                    return;
                }
                let fallback = layout.typedef.as_deref().unwrap_or(role);
                // Members first, so that this definition can be compared by its text.
                for member in of.members() {
                    let inner = match (&*member.name, member.promoted().and_then(first_name)) {
                        ("", Some(first)) => format!("{}.<{first}>", of.name().map_or(fallback, |name| name)),
                        ("", None) => format!("{}.<>", of.name().map_or(fallback, |name| name)),
                        (name, _) => format!("{}.{name}", of.name().map_or(fallback, |name| name)),
                    };
                    self.add(&member.layout, &inner);
                }
                let named = Named::Composite(Arc::clone(of), layout.size);
                self.enter(key, of.kind().keyword(), of.name().map(|name| &**name), fallback, named);
            }
            _ => {}
        }
    }

    fn enter(&mut self, key: (*const u8, u64), keyword: &str, name: Option<&str>, fallback: &str, named: Named) {
        if self.labels.contains_key(&key) {
            return;
        }
        let text = type_body(&named, self);
        let wanted = format!("{keyword} {}", printable(name.unwrap_or(fallback)));
        let identity = format!("{wanted}\n{name:?}\n{text}");
        if let Some(label) = self.texts.get(&identity) {
            self.labels.insert(key, label.clone());
            return;
        }
        let mut label = wanted.clone();
        let mut number = 2;
        while self.by_label.contains_key(&label) {
            label = format!("{wanted}#{number}");
            number += 1;
        }
        self.texts.insert(identity, label.clone());
        self.labels.insert(key, label.clone());
        self.by_label.insert(label, named);
    }

    /// The text for a type in a member's row.
    pub(super) fn expression(&self, layout: &Layout) -> String {
        match &layout.typedef {
            Some(name) => format!("{name} ({})", self.shape(layout)),
            None => self.shape(layout),
        }
    }

    fn shape(&self, layout: &Layout) -> String {
        let label = |pointer: *const u8| self.labels.get(&(pointer, layout.size)).cloned().unwrap_or_default();
        match &layout.shape {
            Shape::Composite(of) => label(ptr::from_ref(of.as_ref()).cast()),
            Shape::Enum(of) => label(ptr::from_ref(of.as_ref()).cast()),
            Shape::Array { .. } => {
                let (mut dims, mut inner) = (String::new(), layout);
                while let Shape::Array { element, len } = &inner.shape {
                    if !dims.is_empty() && inner.typedef.is_some() {
                        break;
                    }
                    dims.push_str(&format!("[{len}]"));
                    inner = element;
                }
                self.expression(inner) + &dims
            }
            Shape::Pointer { target } => format!("{target} *"),
            Shape::Opaque { name } => format!("opaque {name}"),
            _ => layout.spelling_without_typedef(),
        }
    }
}

/// Size and members of a named type. Every type that it names has a label in `types` already.
pub(super) fn type_body(named: &Named, types: &TypeTable) -> String {
    match named {
        Named::Composite(of, size) => {
            let rows: String = of.members().iter().map(|row| format!("  {},\n", member(row, types))).collect();
            let version = match of.version() {
                0 => String::new(),
                version => format!("version = {version}\n"),
            };
            format!("size = {size}\n{version}members = [\n{rows}]\n")
        }
        Named::Enum(of, size) => {
            let rows: String = of
                .values
                .iter()
                .map(|(name, value)| format!("  {},\n", string(&format!("{name} = {value}"))))
                .collect();
            format!("size = {size}\nvalues = [\n{rows}]\n")
        }
    }
}

fn member(member: &Member, types: &TypeTable) -> String {
    let place = match member.bits {
        Some(bits) => format!("bit_offset = {}, bits = {bits}", member.offset_bits),
        None => format!("offset = {}, size = {}", member.offset_bits / 8, member.layout.size),
    };
    let (name, expression) = (string(&member.name), string(&types.expression(&member.layout)));
    format!("{{ {place}, name = {name}, type = {expression} }}")
}

fn first_name(composite: &Composite) -> Option<&str> {
    composite.flat_members().first().map(|flat| &*flat.member.name)
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
