//! The types that have tables of their own in a lockfile, as they are written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::hash;
use super::quote::string;
use crate::layout::{Composite, Enumeration, Layout, Member, Shape, printable};

/// Bytes of the hash by which a label tells what the type holds.
const MARK: usize = 6;

/// What the labels of a table are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Labels {
    /// The type's name. Of several types of one name, all but the first have a hash behind it.
    Names,
    /// The type's name, and always a hash of all that it reaches: the label changes wherever the type does.
    Contents,
}

/// Types under their labels. They stay borrowed, so that the address of one is that of no other.
#[derive(Debug)]
pub(super) struct TypeTable<'a> {
    labels: Labels,
    /// Labels of types with a name of their own: by address, size, and name.
    known: HashMap<(*const u8, u64, String), String>,
    /// Labels of definitions that are the same though not shared, by their text.
    texts: HashMap<String, String>,
    pub(super) by_label: BTreeMap<String, Named<'a>>,
}

/// A type that has a table of its own.
#[derive(Debug)]
pub(super) struct Named<'a> {
    pub(super) layout: &'a Layout,
    /// What the label does not say of its name.
    name: Option<String>,
    list: &'static str,
    rows: Vec<String>,
}

/// Labels of types without a name, within the nearest type that has one: they are called after their place in it.
#[derive(Debug, Default)]
struct Scope {
    known: HashMap<(*const u8, u64), String>,
    texts: HashMap<String, String>,
}

impl Named<'_> {
    /// The lines of its table, without a header.
    pub(super) fn lines(&self) -> String {
        let rows: String = self.rows.iter().map(|row| format!("  {row},\n")).collect();
        format!("{}\n{} = [\n{rows}]\n", self.facts().join("\n"), self.list)
    }

    /// The same on one line.
    pub(super) fn line(&self) -> String {
        format!("{{ {}, {} = [{}] }}", self.facts().join(", "), self.list, self.rows.join(", "))
    }

    /// What is said of it beside its members or values.
    fn facts(&self) -> Vec<String> {
        let mut facts: Vec<_> = self.name.iter().cloned().collect();
        facts.push(format!("size = {}", self.layout.size));
        if let Shape::Composite(of) = &self.layout.shape
            && of.version() != 0
        {
            facts.push(format!("version = {}", of.version()));
        }
        facts
    }
}

impl<'a> TypeTable<'a> {
    pub(super) fn new(labels: Labels) -> Self {
        Self { labels, known: HashMap::new(), texts: HashMap::new(), by_label: BTreeMap::new() }
    }

    /// Enters what `layout` reaches. What it is called then; `role` names it if it has no name.
    pub(super) fn enter(&mut self, layout: &'a Layout, role: &str) -> String {
        self.expression(layout, role, &mut Scope::default())
    }

    fn expression(&mut self, layout: &'a Layout, role: &str, scope: &mut Scope) -> String {
        match &layout.typedef {
            Some(name) => format!("{name} ({})", self.shape(layout, role, scope)),
            None => self.shape(layout, role, scope),
        }
    }

    fn shape(&mut self, layout: &'a Layout, role: &str, scope: &mut Scope) -> String {
        match &layout.shape {
            Shape::Composite(of) => {
                let (keyword, tag) = (of.kind().keyword(), of.name().map(|name| &**name));
                self.label(layout, Arc::as_ptr(of).cast(), (keyword, tag), role, scope)
            }
            Shape::Enum(of) => self.label(layout, Arc::as_ptr(of).cast(), ("enum", of.name.as_deref()), role, scope),
            Shape::Array { .. } => {
                let (mut dims, mut inner) = (String::new(), layout);
                while let Shape::Array { element, len } = &inner.shape {
                    if !dims.is_empty() && inner.typedef.is_some() {
                        break;
                    }
                    dims.push_str(&format!("[{len}]"));
                    inner = element;
                }
                self.expression(inner, role, scope) + &dims
            }
            Shape::Pointer { target } => format!("{target} *"),
            Shape::Opaque { name } => format!("opaque {name}"),
            _ => layout.spelling_without_typedef(),
        }
    }

    /// The label of a struct, a union or an enum, which is entered if it is not there yet.
    fn label(
        &mut self,
        layout: &'a Layout,
        address: *const u8,
        (keyword, tag): (&'static str, Option<&str>),
        role: &str,
        scope: &mut Scope,
    ) -> String {
        let own = tag.or(layout.typedef.as_deref());
        let wanted = format!("{keyword} {}", printable(own.unwrap_or(role)));
        let name = match tag {
            None => Some("anonymous = true".to_owned()),
            Some(tag) => (printable(tag) != tag).then(|| format!("name = {}", string(tag))),
        };
        let Some(own) = own else {
            if let Some(label) = scope.known.get(&(address, layout.size)) {
                return label.clone();
            }
            let named = self.named(layout, name, role, scope);
            let text = format!("{keyword} {}", named.line());
            let label = match scope.texts.get(&text) {
                Some(label) => label.clone(),
                None => self.insert(wanted, named),
            };
            scope.texts.insert(text, label.clone());
            scope.known.insert((address, layout.size), label.clone());
            return label;
        };
        let key = (address, layout.size, wanted);
        if let Some(label) = self.known.get(&key) {
            return label.clone();
        }
        let named = self.named(layout, name, own, &mut Scope::default());
        let label = self.insert(key.2.clone(), named);
        self.known.insert(key, label.clone());
        label
    }

    /// `role` is what its members without a name are called after.
    fn named(&mut self, layout: &'a Layout, name: Option<String>, role: &str, scope: &mut Scope) -> Named<'a> {
        let (list, rows) = match &layout.shape {
            Shape::Composite(of) => {
                ("members", of.members().iter().map(|member| self.member(member, role, scope)).collect())
            }
            Shape::Enum(of) => ("values", enumerators(of)),
            _ => ("members", Vec::new()),
        };
        Named { layout, name, list, rows }
    }

    fn member(&mut self, member: &'a Member, role: &str, scope: &mut Scope) -> String {
        let place = match member.bits {
            Some(bits) => format!("bit_offset = {}, bits = {bits}", member.offset_bits),
            None => format!("offset = {}, size = {}", member.offset_bits / 8, member.layout.size),
        };
        let role = match (&*member.name, member.promoted().and_then(first_name)) {
            ("", Some(first)) => format!("{role}.<{first}>"),
            ("", None) => format!("{role}.<>"),
            (name, _) => format!("{role}.{name}"),
        };
        let expression = self.expression(&member.layout, &role, scope);
        format!("{{ {place}, name = {}, type = {} }}", string(&member.name), string(&expression))
    }

    fn insert(&mut self, wanted: String, named: Named<'a>) -> String {
        let text = format!("{wanted}\n{}", named.line());
        if let Some(label) = self.texts.get(&text) {
            return label.clone();
        }
        let label = match self.labels {
            Labels::Names if !self.by_label.contains_key(&wanted) => wanted,
            // No name has a `#`, see `printable`.
            _ => format!("{wanted}#{}", hash::of(&text, MARK)),
        };
        self.texts.insert(text, label.clone());
        self.by_label.insert(label.clone(), named);
        label
    }
}

fn enumerators(of: &Enumeration) -> Vec<String> {
    of.values.iter().map(|(name, value)| string(&format!("{name} = {value}"))).collect()
}

fn first_name(composite: &Composite) -> Option<&str> {
    composite.flat_members().first().map(|flat| &*flat.member.name)
}
