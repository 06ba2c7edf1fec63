//! Maps with their types as C declarations, as pahole shows structs: offsets, sizes, holes, padding.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ptr;
use std::sync::Arc;

use maplock_layout::map::{MapDef, Pinning};
use maplock_layout::{Composite, CompositeKind, Enumeration, Layout, Member, Shape};

use crate::error::Error;
use crate::formats::json::layouts::MAX_LAYOUTS;
use crate::terminal::{BOLD, CAUTION, DIM};
use crate::verbs::inspect::Objects;

pub(super) fn render(objects: &Objects) -> Result<String, Error> {
    let objects: Vec<_> = objects.all().collect();
    let mut out = String::new();
    let mut printed = 0;
    for object in &objects {
        if objects.len() > 1 {
            _ = writeln!(out, "{DIM}// {}{DIM:#}\n", object.path.display());
        }
        for def in &object.maps {
            map(def, &attributes(def), "", &mut printed, &mut out)?;
        }
        if object.maps.is_empty() {
            _ = writeln!(out, "{}: no maps\n", object.path.display());
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    Ok(out)
}

/// Maps that are in no object, each with what is to be said of it.
#[cfg(target_os = "linux")]
pub(super) fn of_maps<'a>(maps: impl Iterator<Item = (&'a MapDef, String)>) -> Result<String, Error> {
    let mut out = String::new();
    let mut printed = 0;
    for (def, said) in maps {
        map(def, &said, "", &mut printed, &mut out)?;
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    Ok(out)
}

/// One map: a line of what is said of it, then its types, each once, those that others need first.
fn map(def: &MapDef, said: &str, indent: &str, printed: &mut u64, out: &mut String) -> Result<(), Error> {
    _ = writeln!(out, "{indent}{BOLD}{} {}{BOLD:#}: {said}", def.map_type, def.name);
    let mut types = Types { printed: *printed, ..Types::default() };
    for (role, layout, size, is_data) in [
        ("key", &def.key, def.key_size, def.key_has_layout()),
        ("value", &def.value, def.value_size, def.value_has_layout()),
    ] {
        match layout {
            Some(layout) => {
                types.definitions(layout, 0)?;
                _ = writeln!(out, "{indent}  {role}: {}, {}", layout.spelling(), bytes(layout.size));
            }
            None if size == 0 => {}
            None => {
                let unsaid = if is_data { ", of a type that nothing tells" } else { "" };
                _ = writeln!(out, "{indent}  {role}: {}{unsaid}", bytes(u64::from(size)));
            }
        }
    }
    *printed = types.printed;
    for block in &types.blocks {
        out.push('\n');
        for line in block.lines() {
            _ = writeln!(out, "{indent}  {line}");
        }
    }
    if let Some(inner) = &def.inner {
        _ = writeln!(out, "\n{indent}  holds maps such as:");
        map(inner, &attributes(inner), &format!("{indent}    "), printed, out)?;
        return Ok(());
    }
    out.push('\n');
    Ok(())
}

/// `1024 entries, pinned by name, digest 41ab…`
fn attributes(def: &MapDef) -> String {
    let mut said = vec![format!("{} entries", def.max_entries)];
    if def.flags != 0 {
        said.push(format!("flags {:#x}", def.flags));
    }
    if def.map_extra != 0 {
        said.push(format!("map_extra {:#x}", def.map_extra));
    }
    if def.version != 0 {
        said.push(format!("version {}", def.version));
    }
    if def.numa_node != 0 {
        said.push(format!("NUMA node {}", def.numa_node));
    }
    said.push(match def.pinning {
        Pinning::None => "no pinning".to_owned(),
        Pinning::ByName => "pinned by name".to_owned(),
        Pinning::Other(number) => format!("pinning {number}"),
    });
    said.push(format!("digest {}", def.digest()));
    said.join(", ")
}

/// The types that a map needs.
#[derive(Default)]
struct Types<'a> {
    blocks: Vec<String>,
    /// True if the last block is of such lines, below which another may stand.
    ends_in_typedefs: bool,
    /// By address and typedef: what was printed, or is about to be.
    seen: HashSet<(*const (), Option<&'a str>)>,
    /// Lines of all maps so far.
    printed: u64,
}

/// A line of a declaration, and what stands beside it.
struct Row {
    code: String,
    note: String,
}

impl<'a> Types<'a> {
    /// Prints what `layout` names, once, after what that needs.
    fn definitions(&mut self, layout: &'a Layout, depth: usize) -> Result<(), Error> {
        match &layout.shape {
            Shape::Array { element, .. } => {
                self.definitions(element, depth)?;
                self.typedef(layout)
            }
            Shape::Enum(of) => {
                if self.is_new(ptr::from_ref(&**of).cast(), layout) {
                    let block = self.enumeration(of, layout)?;
                    self.push(block);
                }
                Ok(())
            }
            Shape::Composite(composite) => {
                let address = ptr::from_ref(&**composite).cast();
                // That of a named type, or of the anonymous ones that are seen where they stand.
                if !self.is_new(address, layout) {
                    return Ok(());
                }
                for member in composite.members() {
                    self.definitions(&member.layout, depth + 1)?;
                }
                if depth == 0 || composite.name().is_some() || layout.typedef.is_some() {
                    let block = self.composite(composite, layout)?;
                    self.push(block);
                }
                Ok(())
            }
            _ => self.typedef(layout),
        }
    }

    /// The line that tells what a typedef of a scalar or an array is, below those before it.
    fn typedef(&mut self, layout: &'a Layout) -> Result<(), Error> {
        let Some(name) = layout.typedef.as_deref() else { return Ok(()) };
        if !self.seen.insert((ptr::null(), Some(name))) {
            return Ok(());
        }
        self.count(1)?;
        let line = format!("typedef {};\n", declaration(&Layout { typedef: None, ..layout.clone() }, name));
        match self.blocks.last_mut() {
            Some(last) if self.ends_in_typedefs => last.push_str(&line),
            _ => self.blocks.push(line),
        }
        self.ends_in_typedefs = true;
        Ok(())
    }

    fn push(&mut self, block: String) {
        self.blocks.push(block);
        self.ends_in_typedefs = false;
    }

    fn is_new(&mut self, address: *const (), layout: &'a Layout) -> bool {
        self.seen.insert((address, layout.typedef.as_deref()))
    }

    fn count(&mut self, rows: usize) -> Result<(), Error> {
        self.printed += rows as u64;
        if self.printed > MAX_LAYOUTS {
            return Err(Error::new(format!("the types of these maps come to over {MAX_LAYOUTS} lines")));
        }
        Ok(())
    }

    fn enumeration(&mut self, of: &Enumeration, layout: &Layout) -> Result<String, Error> {
        self.count(of.values.len())?;
        let (before, after) = typedef(layout);
        let name = of.name.as_deref().map_or_else(String::new, |name| format!(" {name}"));
        let mut rows = vec![Row { code: format!("{before}enum{name} {{"), note: bytes(layout.size) }];
        for (name, value) in &of.values {
            rows.push(Row { code: format!("    {name} = {value},"), note: String::new() });
        }
        rows.push(Row { code: format!("}}{after};"), note: String::new() });
        Ok(aligned(&rows))
    }

    fn composite(&mut self, composite: &Composite, layout: &Layout) -> Result<String, Error> {
        let (before, after) = typedef(layout);
        let head = head(composite);
        let mut rows = vec![Row { code: format!("{before}{head} {{"), note: "offset  size".to_owned() }];
        self.members(composite, layout.size, 0, 1, &mut rows)?;
        let note = format!("{}{}", bytes(layout.size), version(composite));
        rows.push(Row { code: format!("}}{after};"), note });
        Ok(aligned(&rows))
    }

    /// The members of a composite of `size` bytes, which is `base` bits into what is printed.
    fn members(
        &mut self,
        composite: &Composite,
        size: u64,
        base: u64,
        depth: usize,
        rows: &mut Vec<Row>,
    ) -> Result<(), Error> {
        self.count(composite.members().len())?;
        let indent = "    ".repeat(depth);
        let is_union = composite.kind() == CompositeKind::Union;
        let mut end = 0;
        for member in composite.members() {
            let at = base + member.offset_bits;
            if !is_union && member.offset_bits > end {
                rows.push(Row { code: String::new(), note: gap("hole", base + end, member.offset_bits - end) });
            }
            end = end.max(member.end_bits());
            match inline(&member.layout) {
                Some((inner, dims)) => {
                    rows.push(Row { code: format!("{indent}{} {{", head(inner)), note: String::new() });
                    let element = if dims.is_empty() { member.layout.size } else { element_size(&member.layout) };
                    self.members(inner, element, at, depth + 1, rows)?;
                    let name = if member.name.is_empty() { String::new() } else { format!(" {}", member.name) };
                    let note = place(at, member) + &version(inner);
                    rows.push(Row { code: format!("{indent}}}{name}{dims};"), note });
                }
                None => {
                    let mut code = declaration(&member.layout, &member.name);
                    if let Some(bits) = member.bits {
                        _ = write!(code, ":{bits}");
                    }
                    rows.push(Row { code: format!("{indent}{code};"), note: place(at, member) });
                }
            }
        }
        if size * 8 > end {
            rows.push(Row { code: String::new(), note: gap("padding", base + end, size * 8 - end) });
        }
        Ok(())
    }
}

/// `     12     4`, or `   12:3     5 bits`
fn place(at: u64, member: &Member) -> String {
    match member.bits {
        Some(width) => in_bits(at, u64::from(width)),
        None => in_bytes(at, member.layout.size),
    }
}

fn gap(what: &str, start: u64, width: u64) -> String {
    let whole_bytes = start.is_multiple_of(8) && width.is_multiple_of(8);
    let place = if whole_bytes { in_bytes(start, width / 8) } else { in_bits(start, width) };
    format!("{place} {what}")
}

fn in_bytes(at: u64, size: u64) -> String {
    format!("{:>6}  {size:>4}", at / 8)
}

fn in_bits(at: u64, width: u64) -> String {
    let place = format!("{}:{}", at / 8, at % 8);
    format!("{place:>6}  {width:>4} bit{}", if width == 1 { "" } else { "s" })
}

/// A composite without a name of any sort, which is written where it is used, and the dimensions of arrays around it.
fn inline(layout: &Layout) -> Option<(&Arc<Composite>, String)> {
    let (mut layout, mut dims) = (layout, String::new());
    loop {
        if layout.typedef.is_some() {
            return None;
        }
        match &layout.shape {
            Shape::Array { element, len } => {
                _ = write!(dims, "[{len}]");
                layout = element;
            }
            Shape::Composite(composite) if composite.name().is_none() => return Some((composite, dims)),
            _ => return None,
        }
    }
}

fn element_size(layout: &Layout) -> u64 {
    match &layout.shape {
        Shape::Array { element, .. } => element_size(element),
        _ => layout.size,
    }
}

/// `, version 2`
fn version(composite: &Composite) -> String {
    if composite.version() == 0 { String::new() } else { format!(", version {}", composite.version()) }
}

/// What stands before and after a definition that a typedef names.
fn typedef(layout: &Layout) -> (&'static str, String) {
    match &layout.typedef {
        Some(name) => ("typedef ", format!(" {name}")),
        None => ("", String::new()),
    }
}

fn head(composite: &Composite) -> String {
    match composite.name() {
        Some(name) => format!("{} {name}", composite.kind().keyword()),
        None => composite.kind().keyword().to_owned(),
    }
}

/// C's way to declare `name`: `u8 addr[16]`.
fn declaration(layout: &Layout, name: &str) -> String {
    let (mut base, mut dims) = (layout, String::new());
    while let (Shape::Array { element, len }, None) = (&base.shape, &base.typedef) {
        _ = write!(dims, "[{len}]");
        base = element;
    }
    let spelled = base.spelling();
    let gap = if spelled.ends_with('*') || name.is_empty() { "" } else { " " };
    format!("{spelled}{gap}{name}{dims}")
}

/// `4 bytes`
fn bytes(size: u64) -> String {
    format!("{size} byte{}", if size == 1 { "" } else { "s" })
}

fn aligned(rows: &[Row]) -> String {
    // One long name shall not push all notes out of sight.
    let width = rows.iter().map(|row| row.code.chars().count()).filter(|width| *width <= 64).max().unwrap_or_default();
    let mut out = String::new();
    for Row { code, note } in rows {
        // What holds no member is what one looks for here.
        let style = if code.is_empty() { CAUTION } else { DIM };
        if note.is_empty() {
            _ = writeln!(out, "{code}");
        } else {
            _ = writeln!(out, "{code:<width$}  {style}/* {note} */{style:#}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use maplock_layout::IntKind;
    use maplock_layout::map::MapType;

    use super::*;

    /// Each level holds two of the level before, without a name: `depth` levels are written as 2^depth.
    fn doubling(depth: usize) -> Arc<Layout> {
        let mut layout = Arc::new(Layout::new(1, Shape::Int(IntKind::Unsigned)));
        for _ in 0..depth {
            let member =
                |name: &str, at| Member { name: name.into(), offset_bits: at, bits: None, layout: Arc::clone(&layout) };
            let members = vec![member("a", 0), member("b", layout.size * 8)];
            let size = layout.size * 2;
            let composite = Composite::new(CompositeKind::Struct, None, members).expect("two members");
            layout = Arc::new(Layout::new(size, Shape::Composite(Arc::new(composite))));
        }
        layout
    }

    fn shown(depth: usize) -> Result<String, Error> {
        let def = MapDef { value: Some(doubling(depth)), ..MapDef::new("flows", MapType::HASH) };
        let mut out = String::new();
        map(&def, &attributes(&def), "", &mut 0, &mut out).map(|()| out)
    }

    #[test]
    fn types_without_names_are_written_where_they_are_used() {
        let shown = shown(2).expect("small");
        assert_eq!(shown.matches("u8 a;").count(), 2, "{shown}");
    }

    #[test]
    fn types_that_double_with_each_level_end_in_an_error() {
        let error = shown(40).expect_err("2^40 lines");
        assert!(error.what.contains("1000000"), "{}", error.what);
    }
}
