//! A Rust type for each layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use maplock_layout::{Composite, Enumeration, IntKind, Layout, Shape};

use super::names::{Names, camel_case, identifier};
use super::{QUIET, extern_types};
use crate::declarations::Declarations;

/// The types of one module, as they are met.
#[derive(Debug)]
pub(super) struct Types<'a> {
    pub(super) items: Vec<String>,
    /// Names of types that are taken.
    pub(super) taken: Names,
    /// Types that are there already, by what they are.
    known: BTreeMap<String, String>,
    pub(super) has_bits: bool,
    /// True for types with the traits of `maplock` and zerocopy.
    pub(super) runtime: bool,
    /// Where they are declared in C.
    pub(super) declarations: &'a Declarations,
    /// Types that the user wrote, by the label of the C type.
    externs: &'a BTreeMap<String, String>,
    /// Those that were held against their layout.
    asserted: BTreeSet<String>,
}

/// A type as Rust has it.
#[derive(Debug, Clone)]
pub(super) struct Ty {
    pub(super) text: String,
    /// In bytes, on 64-bit machines.
    pub(super) align: u64,
    /// True if the user wrote it, or the element of the array that it is: what traits it has is not known.
    pub(super) is_extern: bool,
}

impl Ty {
    pub(super) fn new(text: impl Into<String>, align: u64) -> Self {
        Self { text: text.into(), align, is_extern: false }
    }

    /// Bytes of which nothing is known.
    pub(super) fn bytes(len: u64) -> Self {
        Self::new(format!("[u8; {len}]"), 1)
    }
}

/// Where a type is declared: within which C type that has a name, and by which members from there.
#[derive(Debug, Clone, Default)]
pub(super) struct Home {
    /// `struct flow_stats`.
    label: String,
    /// `window.`, or nothing.
    prefix: String,
}

impl Home {
    /// That of a composite; one without a name is where it is declared.
    pub(super) fn of(of: &Composite, layout: &Layout, parent: &Self) -> Self {
        match of.name().map(|name| &**name).or(layout.typedef.as_deref()) {
            Some(name) => Self { label: format!("{} {name}", of.kind().keyword()), prefix: String::new() },
            None => parent.clone(),
        }
    }

    /// That of the type of a member, should it have no name.
    pub(super) fn member(&self, name: &str) -> Self {
        let more = if name.is_empty() { String::new() } else { format!("{name}.") };
        Self { label: self.label.clone(), prefix: format!("{}{more}", self.prefix) }
    }

    /// What C says of the type itself; one without a name of its own (`is_own`) has no declaration.
    pub(super) fn title(&self, declarations: &Declarations, is_own: bool, otherwise: &str) -> String {
        doc(declarations.ty(&self.label).filter(|_| is_own), otherwise)
    }

    /// What C says of a member.
    pub(super) fn doc(&self, declarations: &Declarations, member: &str, otherwise: &str) -> String {
        let declared = declarations.member(&self.label, &format!("{}{member}", self.prefix));
        doc(declared, otherwise)
    }
}

/// The lines of a doc comment: what the C comment says, and a line made up here, with the place in C.
pub(super) fn doc(declared: Option<&crate::declarations::Declared>, otherwise: &str) -> String {
    let Some(declared) = declared else { return otherwise.to_owned() };
    let own = format!("{}; {}.", otherwise.trim_end_matches('.'), declared.at);
    match declared.comment.is_empty() {
        true => own,
        false => format!("{}\n\n{own}", declared.comment.join("\n")),
    }
}

/// Text as a doc comment.
pub(super) fn comment(text: &str, indent: &str) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let space = if line.is_empty() { "" } else { " " };
        _ = writeln!(out, "{indent}///{space}{line}");
        out
    })
}

impl<'a> Types<'a> {
    pub(super) fn new(runtime: bool, declarations: &'a Declarations, externs: &'a BTreeMap<String, String>) -> Self {
        Self {
            items: Vec::new(),
            taken: Names::default(),
            known: BTreeMap::new(),
            has_bits: false,
            runtime,
            declarations,
            externs,
            asserted: BTreeSet::new(),
        }
    }

    /// The Rust type for a layout; `fallback` names one that has no name of its own.
    pub(super) fn ty(&mut self, layout: &Layout, fallback: &str, home: &Home) -> Ty {
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
                let element = self.ty(element, fallback, home);
                Ty { text: format!("[{}; {len}]", element.text), ..element }
            }
            Shape::Enum(of) => {
                let name = of.name.as_deref().or(layout.typedef.as_deref());
                if let Some(ty) = self.user_type(layout, name.map(|name| format!("enum {name}"))) {
                    return ty;
                }
                let name = self.enumeration(of, layout, &name.map_or_else(|| fallback.to_owned(), camel_case));
                Ty::new(name, layout.size)
            }
            Shape::Composite(of) => {
                let name = of.name().map(|name| &**name).or(layout.typedef.as_deref());
                let label = name.map(|name| format!("{} {name}", of.kind().keyword()));
                if let Some(ty) = self.user_type(layout, label) {
                    return ty;
                }
                let home = Home::of(of, layout, home);
                self.composite(of, layout, &name.map_or_else(|| fallback.to_owned(), camel_case), &home)
            }
        }
    }

    /// The type that the user wrote, if there is one for this label; it is held against the layout.
    fn user_type(&mut self, layout: &Layout, label: Option<String>) -> Option<Ty> {
        let path = self.externs.get(&label?)?;
        if self.asserted.insert(path.clone()) {
            self.items.push(extern_types::assertions(path, layout));
        }
        Some(Ty { text: path.clone(), align: extern_types::natural_align(layout), is_extern: true })
    }

    /// A type as a map's own module names it.
    pub(super) fn seen_from_map(&self, ty: &str) -> String {
        let element = ty.trim_start_matches('[');
        let (element, lengths) = element.split_at(element.find(';').unwrap_or(element.len()));
        let own = if self.taken.has(element) { "super::" } else { "" };
        format!("{}{own}{element}{lengths}", "[".repeat(ty.len() - element.len() - lengths.len()))
    }

    /// Enters a type unless there is one that says the same, and returns its name.
    pub(super) fn enter(&mut self, wanted: &str, item: impl Fn(&str) -> String) -> String {
        let identity = format!("{wanted}\n{}", item(""));
        if let Some(name) = self.known.get(&identity) {
            return name.clone();
        }
        let name = self.taken.claim(wanted.to_owned());
        self.known.insert(identity, name.clone());
        self.items.push(item(&name));
        name
    }

    fn enumeration(&mut self, of: &Enumeration, layout: &Layout, wanted: &str) -> String {
        let signed = of.values.iter().any(|(_, value)| *value < 0);
        let repr = format!("{}{}", if signed { 'i' } else { 'u' }, layout.size * 8);
        let title =
            of.name.as_deref().map_or_else(|| "An anonymous enum.".to_owned(), |name| format!("`enum {name}`."));
        let name = of.name.as_deref().or(layout.typedef.as_deref());
        let declared = name.and_then(|name| self.declarations.ty(&format!("enum {name}")));
        let doc = doc(declared, &format!("{title} A program may store a number that has no name here."));
        let (traits, impls) = if self.runtime { (format!(", Default{BYTES}"), ENTRY) } else { (String::new(), "") };
        self.enter(wanted, |name| {
            let mut item = format!(
                "\n{}{QUIET}\n#[repr(transparent)]\n\
                 #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash{})]\n\
                 pub struct {name}(pub {repr});\n\n{}{QUIET}\nimpl {name} {{\n",
                comment(&doc, ""),
                traits,
                impls.replace("{TYPE}", name)
            );
            let mut names = Names::default();
            for (enumerator, value) in &of.values {
                let enumerator = names.claim(identifier(enumerator));
                _ = writeln!(
                    item,
                    "    pub const {enumerator}: Self = Self({});",
                    fitting(*value, signed, layout.size)
                );
            }
            item + "}\n"
        })
    }
}

/// The number as its bytes hold it: BTF may claim any for an enum of one byte.
fn fitting(value: i128, is_signed: bool, size: u64) -> i128 {
    let unused = 128 - u32::try_from(size * 8).unwrap_or(128).clamp(1, 128);
    let shifted = value << unused;
    if is_signed { shifted >> unused } else { (shifted.cast_unsigned() >> unused).cast_signed() }
}

/// What follows the usual traits in a `derive` under `runtime`, without its closing bracket.
pub(super) const BYTES: &str = ", ::maplock::zerocopy::FromBytes, ::maplock::zerocopy::IntoBytes, \
                                ::maplock::zerocopy::Immutable, ::maplock::zerocopy::KnownLayout)]\n\
                                #[zerocopy(crate = \"::maplock::zerocopy\"";

/// What makes a type an entry's.
pub(super) const ENTRY: &str = "impl ::maplock::MapKey for {TYPE} {}\nimpl ::maplock::MapValue for {TYPE} {}\n\n";
