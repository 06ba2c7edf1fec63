//! A Rust type for each key and value.
//!
//! Every struct is `repr(C)` with each byte of padding written out, so that it has no other bytes than those in it, and is
//! followed by assertions of its size, its alignment and every offset.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maplock_layout::layout::{Composite, CompositeKind, Enumeration, IntKind, Layout, Member, Shape};

use super::QUIET;
use super::names::{Names, camel_case, identifier};

/// Reading and writing bit-fields. BTF counts bits from the least significant one of little-endian objects, and from the
/// most significant one of big-endian objects; maps are read on machines of the byte order that they were made for.
const BITS: &str = "
{QUIET}
const fn __bit(index: usize) -> (usize, u8) {
    let mask = if cfg!(target_endian = \"big\") { 0x80 >> (index % 8) } else { 1 << (index % 8) };
    (index / 8, mask)
}

{QUIET}
const fn __get_bits(bytes: &[u8], offset: usize, width: usize) -> u128 {
    let (mut value, mut bit) = (0, 0);
    while bit < width {
        let (byte, mask) = __bit(offset + bit);
        let place = if cfg!(target_endian = \"big\") { width - 1 - bit } else { bit };
        if bytes[byte] & mask != 0 {
            value |= 1_u128 << place;
        }
        bit += 1;
    }
    value
}

{QUIET}
const fn __set_bits(bytes: &mut [u8], offset: usize, width: usize, value: u128) {
    let mut bit = 0;
    while bit < width {
        let (byte, mask) = __bit(offset + bit);
        let place = if cfg!(target_endian = \"big\") { width - 1 - bit } else { bit };
        if value >> place & 1 == 1 {
            bytes[byte] |= mask;
        } else {
            bytes[byte] &= !mask;
        }
        bit += 1;
    }
}
";

/// What the types of a module are to be like.
#[derive(Clone, Copy)]
pub(super) struct Style<'a> {
    /// True where the crate `maplock` is at hand, with zerocopy's traits.
    pub(super) runtime: bool,
    /// Rust types for C types, such as `struct flow_stats`, that somebody else has written.
    pub(super) externs: &'a BTreeMap<String, String>,
    /// What the sources say of a member, by its path: a line of documentation.
    pub(super) source: &'a dyn Fn(&str) -> Option<String>,
}

/// The types of one Rust module.
pub(super) struct Module<'a> {
    style: Style<'a>,
    items: Vec<String>,
    /// Names of types that are taken.
    taken: Names,
    /// Types that are there already, by what they are.
    known: BTreeMap<String, String>,
    has_bits: bool,
}

/// A type as Rust has it.
#[derive(Debug, Clone)]
pub(super) struct Ty {
    pub(super) text: String,
    /// In bytes, on 64-bit machines.
    align: u64,
    /// True where its alignment is written out, which no packed struct may hold.
    is_aligned: bool,
}

impl Ty {
    fn new(text: impl Into<String>, align: u64) -> Self {
        Self { text: text.into(), align, is_aligned: false }
    }

    /// A key or value of which the size alone is known.
    pub(super) fn of_bytes(len: u32) -> Self {
        Self::bytes(len.into())
    }

    /// Bytes of which nothing is known.
    fn bytes(len: u64) -> Self {
        Self::new(format!("[u8; {len}]"), 1)
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Member,
    /// An anonymous struct or union, which has a name in Rust alone.
    Anonymous,
    /// Neighbouring bit-fields.
    Bits,
    /// Bytes that C leaves unused.
    Padding,
}

/// A member of a struct as Rust has it.
struct Field {
    holds: Holds,
    name: String,
    ty: Ty,
    offset: u64,
    size: u64,
    doc: String,
}

impl<'a> Module<'a> {
    /// Without any types yet. Names that are taken otherwise are in `taken`.
    pub(super) fn new(style: Style<'a>, taken: &[&str]) -> Self {
        let mut names = Names::default();
        for name in taken {
            names.claim((*name).to_owned());
        }
        Self { style, items: Vec::new(), taken: names, known: BTreeMap::new(), has_bits: false }
    }

    /// The text of all types.
    pub(super) fn text(&self) -> String {
        let bits = if self.has_bits { BITS.replace("{QUIET}", QUIET) } else { String::new() };
        self.items.concat() + &bits
    }

    /// A type that holds one of another, for what would be nobody's own type otherwise.
    pub(super) fn newtype(&mut self, wanted: &str, inner: &Ty) -> Ty {
        let derives = self.derives();
        let traits = self.style.runtime;
        let name = self.enter(wanted, |name| {
            format!(
                "\n/// A `{}` of an older release.\n{QUIET}\n#[repr(transparent)]\n{derives}pub struct {name}(pub {});\n{}",
                inner.text,
                inner.text,
                if traits { implementations(name) } else { String::new() }
            )
        });
        Ty { text: name, ..inner.clone() }
    }

    fn derives(&self) -> String {
        derives(self.style.runtime, "Clone, Copy, Debug, PartialEq")
    }

    /// The Rust type for a layout; `fallback` names one that has no name of its own. `path` leads to it, as findings have paths.
    pub(super) fn ty(&mut self, layout: &Layout, fallback: &str, path: &str) -> Ty {
        let bits = layout.size * 8;
        match &layout.shape {
            Shape::Int(kind) if matches!(layout.size, 1 | 2 | 4 | 8 | 16) => match kind {
                IntKind::Signed => Ty::new(format!("i{bits}"), layout.size),
                // A program may store any byte, which Rust's `bool` and `char` must not hold.
                _ => Ty::new(format!("u{bits}"), layout.size),
            },
            Shape::Float if matches!(layout.size, 4 | 8) => Ty::new(format!("f{bits}"), layout.size),
            Shape::Pointer { .. } => Ty::new("u64", 8),
            Shape::Int(_) | Shape::Float | Shape::Opaque { .. } => Ty::bytes(layout.size),
            Shape::Array { element, len } => {
                let element = self.ty(element, fallback, &format!("{path}[]"));
                Ty { text: format!("[{}; {len}]", element.text), ..element }
            }
            Shape::Enum(of) => {
                let name = of.name.as_deref().or(layout.typedef.as_deref());
                let name = self.enumeration(of, layout.size, &name.map_or_else(|| fallback.to_owned(), camel_case));
                Ty::new(name, layout.size)
            }
            Shape::Composite(of) => {
                let name = of.name().map(|name| &**name).or(layout.typedef.as_deref());
                self.composite(of, layout, &name.map_or_else(|| fallback.to_owned(), camel_case), path)
            }
        }
    }

    /// A type as a map's own module names it.
    pub(super) fn seen_from_map(&self, ty: &str) -> String {
        let element = ty.trim_start_matches('[');
        let (element, lengths) = element.split_at(element.find(';').unwrap_or(element.len()));
        let own = if self.taken.has(element) { "super::" } else { "" };
        format!("{}{own}{element}{lengths}", "[".repeat(ty.len() - element.len() - lengths.len()))
    }

    /// Enters a type unless there is one that says the same, and returns its name.
    fn enter(&mut self, wanted: &str, item: impl Fn(&str) -> String) -> String {
        let identity = format!("{wanted}\n{}", item(""));
        if let Some(name) = self.known.get(&identity) {
            return name.clone();
        }
        let name = self.taken.claim(wanted.to_owned());
        self.known.insert(identity, name.clone());
        self.items.push(item(&name));
        name
    }

    fn enumeration(&mut self, of: &Enumeration, size: u64, wanted: &str) -> String {
        let signed = of.values.iter().any(|(_, value)| *value < 0);
        let repr = format!("{}{}", if signed { 'i' } else { 'u' }, size * 8);
        let title =
            of.name.as_deref().map_or_else(|| "An anonymous enum.".to_owned(), |name| format!("`enum {name}`."));
        let derives = derives(self.style.runtime, "Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash");
        let traits = self.style.runtime;
        self.enter(wanted, |name| {
            let mut item = format!(
                "\n/// {title} A program may store a number that has no name here.\n\
                 {QUIET}\n#[repr(transparent)]\n{derives}\
                 pub struct {name}(pub {repr});\n\n{QUIET}\nimpl {name} {{\n"
            );
            let mut names = Names::default();
            for (enumerator, value) in &of.values {
                let enumerator = names.claim(identifier(enumerator));
                _ = writeln!(item, "    pub const {enumerator}: Self = Self({value});");
            }
            item + "}\n" + &if traits { implementations(name) } else { String::new() }
        })
    }

    fn composite(&mut self, of: &Composite, layout: &Layout, wanted: &str, path: &str) -> Ty {
        let spelled = of.name().map(|name| format!("{} {name}", of.kind().keyword()));
        if let Some(own) = spelled.as_ref().and_then(|name| self.style.externs.get(name)) {
            return self.extern_type(of, layout, own, spelled.as_deref().unwrap_or_default());
        }
        if self.style.runtime && of.kind() == CompositeKind::Union {
            return self.union_of_bytes(of, layout, wanted, path);
        }
        let mut fields = match of.kind() {
            CompositeKind::Union => self.arms(of, wanted, layout.size, path),
            _ => self.fields(of, wanted, layout.size, path),
        };
        // Names that people chose come first; those made up here make way.
        let mut names = Names::default();
        for chosen in [true, false] {
            for field in fields.iter_mut().filter(|field| (field.holds == Holds::Member) == chosen) {
                field.name = names.claim(std::mem::take(&mut field.name));
            }
        }
        let accessors = self.accessors(of, &fields);
        let title = of.name().map_or_else(
            || format!("An anonymous {}.", of.kind().keyword()),
            |name| format!("`{} {name}`.", of.kind().keyword()),
        );
        let natural = fields.iter().map(|field| field.ty.align).max().unwrap_or(1);
        let fits = layout.size.is_multiple_of(natural)
            && fields.iter().all(|field| field.offset.is_multiple_of(field.ty.align));
        let align = if fits { natural } else { 1 };
        if !fits {
            for field in fields.iter_mut().filter(|field| field.ty.is_aligned) {
                field.ty = Ty::bytes(field.size);
            }
        }
        let is_aligned = fields.iter().any(|field| field.ty.is_aligned);
        let runtime = self.style.runtime;
        let shape = Shaped { title, size: layout.size, align, is_packed: !fits, kind: of.kind(), fields, runtime };
        let text = self.enter(wanted, |name| shape.item(name) + &accessors.replace("{TYPE}", name));
        Ty { text, align, is_aligned }
    }

    /// Somebody's own type: its members must be where the object has them.
    fn extern_type(&mut self, of: &Composite, layout: &Layout, own: &str, spelled: &str) -> Ty {
        let mut asserts = String::new();
        for member in of.members().iter().filter(|member| member.bits.is_none() && !member.name.is_empty()) {
            let (name, offset) = (identifier(&member.name), member.offset_bits / 8);
            _ = writeln!(
                asserts,
                "    assert!(::core::mem::offset_of!({own}, {name}) == {offset}, \"`{name}` is at byte {offset} of `{spelled}`\");"
            );
        }
        let size = layout.size;
        let item = format!(
            "\n{QUIET}\nconst _: () = {{\n    assert!(::core::mem::size_of::<{own}>() == {size}, \"`{spelled}` has {size} bytes\");\n{asserts}}};\n"
        );
        if !self.items.contains(&item) {
            self.items.push(item);
        }
        Ty::new(own, 8)
    }

    /// A union as its bytes, with methods for its arms: safe to read and write, for all of them are data.
    fn union_of_bytes(&mut self, of: &Composite, layout: &Layout, wanted: &str, path: &str) -> Ty {
        let size = layout.size;
        let (mut methods, mut names, mut align) = (String::new(), Names::default(), 1);
        for (index, member) in of.members().iter().enumerate().filter(|(_, member)| member.bits.is_none()) {
            let ty = self.member_type(member, wanted, index, path);
            align = align.max(ty.align);
            let name = if member.name.is_empty() { format!("anonymous{index}") } else { identifier(&member.name) };
            let name = names.claim(name);
            let setter = names.claim(format!("set_{}", name.trim_start_matches("r#").trim_matches('_')));
            let (ty, end) = (ty.text, member.layout.size);
            _ = write!(
                methods,
                "    /// Its bytes as `{}`.\n    pub fn {name}(&self) -> {ty} {{\n        \
                 <{ty} as ::maplock::zerocopy::FromBytes>::read_from_bytes(&self.0[..{end}]).unwrap_or_else(|_| ::core::unreachable!())\n    }}\n\n    \
                 /// Writes `{}`; bytes behind it stay.\n    pub fn {setter}(&mut self, value: {ty}) {{\n        \
                 self.0[..{end}].copy_from_slice(::maplock::zerocopy::IntoBytes::as_bytes(&value));\n    }}\n\n",
                member.layout.spelling(),
                member.name,
            );
        }
        if !size.is_multiple_of(align) {
            align = 1;
        }
        let title = of.name().map_or_else(|| "An anonymous union".to_owned(), |name| format!("`union {name}`"));
        let derives = self.derives();
        let text = self.enter(wanted, |name| {
            format!(
                "\n/// {title}: its bytes, and methods for its arms.\n{QUIET}\n#[repr(C, align({align}))]\n{derives}\
                 pub struct {name}(pub [u8; {size}]);\n\n{QUIET}\nimpl {name} {{\n{methods}}}\n{}",
                implementations(name)
            )
        });
        Ty { text, align, is_aligned: true }
    }

    fn member_type(&mut self, member: &Member, parent: &str, index: usize, path: &str) -> Ty {
        let own = if member.name.is_empty() { format!("Anonymous{index}") } else { camel_case(&member.name) };
        let path = if member.name.is_empty() { path.to_owned() } else { format!("{path}.{}", member.name) };
        self.ty(&member.layout, &format!("{parent}{own}"), &path)
    }

    fn field(&mut self, member: &Member, parent: &str, index: usize, path: &str) -> Field {
        let place = maplock_layout::Place { offset_bits: member.offset_bits, size_bits: member.size_bits() };
        let (holds, name) = match &*member.name {
            "" => (Holds::Anonymous, format!("anonymous{index}")),
            name => (Holds::Member, identifier(name)),
        };
        Field {
            holds,
            name,
            ty: self.member_type(member, parent, index, path),
            offset: member.offset_bits / 8,
            size: member.layout.size,
            doc: self.doc(member, place, path),
        }
    }

    /// What is known of a member, and what the sources say.
    fn doc(&self, member: &Member, place: maplock_layout::Place, path: &str) -> String {
        let own = format!("`{}` at {place}.", member.layout.spelling());
        match (self.style.source)(&format!("{path}.{}", member.name)).filter(|_| !member.name.is_empty()) {
            Some(said) => format!("{own} {said}"),
            None => own,
        }
    }

    /// The arms of a union, and one that has all of its bytes where none of them does.
    fn arms(&mut self, of: &Composite, parent: &str, size: u64, path: &str) -> Vec<Field> {
        let plain = of.members().iter().enumerate().filter(|(_, member)| member.bits.is_none());
        let mut fields: Vec<_> = plain.map(|(index, member)| self.field(member, parent, index, path)).collect();
        if fields.iter().all(|field| field.size < size) {
            fields.push(Field { name: "__bytes".to_owned(), doc: "All of its bytes.".to_owned(), ..padding(0, size) });
        }
        fields
    }

    /// The members in the order of their bytes; neighbouring bit-fields share an array of bytes.
    fn fields(&mut self, of: &Composite, parent: &str, size: u64, path: &str) -> Vec<Field> {
        let mut members: Vec<_> =
            of.members().iter().enumerate().filter(|(_, member)| member.size_bits() != 0).collect();
        members.sort_by_key(|(_, member)| member.offset_bits);
        let mut fields: Vec<Field> = Vec::with_capacity(members.len());
        for (index, member) in members {
            if member.bits.is_none() {
                fields.push(self.field(member, parent, index, path));
                continue;
            }
            let (start, end) = (member.offset_bits / 8, member.end_bits().div_ceil(8));
            match fields.last_mut() {
                Some(last) if last.holds == Holds::Bits && start <= last.offset + last.size => {
                    last.size = last.size.max(end - last.offset);
                    last.ty = Ty::bytes(last.size);
                }
                _ => fields.push(Field {
                    holds: Holds::Bits,
                    name: format!("__bits{start}"),
                    ty: Ty::bytes(end - start),
                    offset: start,
                    size: end - start,
                    doc: "Bit-fields; see the methods.".to_owned(),
                }),
            }
        }
        // What can't be said in Rust, such as members that overlap without being a union, is bytes.
        let overlaps = fields.windows(2).any(|pair| pair[0].offset + pair[0].size > pair[1].offset);
        if overlaps {
            fields.clear();
        }
        let mut padded = Vec::with_capacity(fields.len());
        let mut at = 0;
        for field in fields {
            if at < field.offset {
                padded.push(padding(at, field.offset));
            }
            at = field.offset + field.size;
            padded.push(field);
        }
        if at < size {
            padded.push(padding(at, size));
        }
        padded
    }

    /// Methods for the bit-fields of a struct.
    fn accessors(&mut self, of: &Composite, fields: &[Field]) -> String {
        let (mut methods, mut names) = (String::new(), Names::default());
        for member in of.members() {
            let (Some(bits), Some(field)) = (
                member.bits,
                fields.iter().find(|field| {
                    field.holds == Holds::Bits
                        && field.offset * 8 <= member.offset_bits
                        && member.end_bits() <= (field.offset + field.size) * 8
                }),
            ) else {
                continue;
            };
            let (ty, signed) = match &member.layout.shape {
                Shape::Int(IntKind::Signed) => (format!("i{}", member.layout.size * 8), true),
                _ => (format!("u{}", member.layout.size * 8), false),
            };
            let at = member.offset_bits - field.offset * 8;
            let read = format!("__get_bits(&self.{}, {at}, {bits})", field.name);
            // Shifted up and down again, the top bit becomes the sign.
            let value = if signed {
                format!("(({read} as i128) << {0} >> {0}) as {ty}", 128 - bits)
            } else {
                format!("{read} as {ty}")
            };
            let name = names.claim(identifier(&member.name));
            let setter =
                names.claim(format!("set_{}", identifier(&member.name).trim_start_matches("r#").trim_matches('_')));
            _ = write!(
                methods,
                "    /// `{}`, {bits} bits at bit {}.\n    pub const fn {name}(&self) -> {ty} {{\n        {value}\n    }}\n\n    \
                 /// Sets `{}`; bits beyond its {bits} are dropped.\n    pub const fn {setter}(&mut self, value: {ty}) {{\n        \
                 __set_bits(&mut self.{}, {at}, {bits}, value as u128)\n    }}\n",
                member.name, member.offset_bits, member.name, field.name
            );
        }
        if methods.is_empty() {
            return methods;
        }
        self.has_bits = true;
        format!("\n{QUIET}\nimpl {{TYPE}} {{\n{methods}}}\n")
    }
}

/// A struct or union, all but its name.
struct Shaped {
    title: String,
    size: u64,
    align: u64,
    is_packed: bool,
    kind: CompositeKind,
    fields: Vec<Field>,
    runtime: bool,
}

impl Shaped {
    /// The type, and what the compiler is to make sure of.
    fn item(&self, name: &str) -> String {
        let Self { title, size, align, .. } = self;
        let (mut body, mut asserts) = (String::new(), String::new());
        for field in &self.fields {
            _ = write!(body, "    /// {}\n    pub {}: {},\n", field.doc, field.name, field.ty.text);
            _ = writeln!(asserts, "    assert!(::core::mem::offset_of!({name}, {}) == {});", field.name, field.offset);
        }
        let repr = if self.is_packed { "C, packed" } else { "C" };
        let keyword = if self.kind == CompositeKind::Union { "union" } else { "struct" };
        let (derives, more) = match (self.kind, self.runtime) {
            (CompositeKind::Union, _) => (derives(false, "Clone, Copy"), String::new()),
            (_, true) => (derives(true, "Clone, Copy, Debug, PartialEq"), implementations(name)),
            (_, false) => (derives(false, "Clone, Copy"), String::new()),
        };
        format!(
            "\n/// {title}\n{QUIET}\n#[repr({repr})]\n{derives}\
             pub {keyword} {name} {{\n{body}}}\n\n\
             {QUIET}\nconst _: () = {{\n    assert!(::core::mem::size_of::<{name}>() == {size});\n    \
             #[cfg(target_pointer_width = \"64\")]\n    assert!(::core::mem::align_of::<{name}>() == {align});\n{asserts}}};\n{more}"
        )
    }
}

/// zerocopy's traits, where the crate is at hand, and these.
fn derives(runtime: bool, others: &str) -> String {
    match runtime {
        true => format!(
            "#[derive({others}, ::maplock::zerocopy::FromBytes, ::maplock::zerocopy::IntoBytes, ::maplock::zerocopy::Immutable, \
             ::maplock::zerocopy::KnownLayout)]\n#[zerocopy(crate = \"::maplock::zerocopy\")]\n"
        ),
        false => format!("#[derive({others})]\n"),
    }
}

/// What makes a type one of keys and values. All bytes of it are data; what is not said of a new one is 0.
fn implementations(name: &str) -> String {
    format!(
        "\n{QUIET}\nimpl ::maplock::MapKey for {name} {{}}\n\n{QUIET}\nimpl ::maplock::MapValue for {name} {{}}\n\n\
         {QUIET}\nimpl ::core::default::Default for {name} {{\n    /// All of its bytes are 0.\n    fn default() -> Self {{\n        \
         ::maplock::zerocopy::FromZeros::new_zeroed()\n    }}\n}}\n"
    )
}

/// A field for the bytes that C leaves between members, or behind them.
fn padding(from: u64, to: u64) -> Field {
    Field {
        holds: Holds::Padding,
        name: format!("__pad{from}"),
        ty: Ty::bytes(to - from),
        offset: from,
        size: to - from,
        doc: "Padding.".to_owned(),
    }
}
