//! The members of a key or value, flat: what is matched between two definitions.

use std::ops::Range;

use super::Bits;
use crate::kernel_field;
use crate::layout::{Composite, CompositeKind, IntKind, Layout, Shape};

/// A key or a value, or an element of an array in it: the bytes from which offsets count.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// `value`, `value.items[]`.
    pub(super) path: String,
    /// Bits that it takes, with padding.
    pub(super) size_bits: u64,
    /// What has no members of its own to be matched, in the order of the declaration.
    pub(super) leaves: Vec<Leaf<'a>>,
    /// The structs through which the leaves were reached.
    pub(super) structs: Vec<Node<'a>>,
}

/// A number, an array, a union, a field of the kernel's.
#[derive(Debug, Clone)]
pub(super) struct Leaf<'a> {
    /// `value.stats.bytes`; of an anonymous union, that of its first arm.
    pub(super) path: String,
    /// Paths of all arms of an anonymous union; else none.
    pub(super) arms: Vec<String>,
    /// Bits from the start of the scope.
    pub(super) offset_bits: u64,
    /// Width of a bit-field.
    pub(super) bits: Option<u32>,
    pub(super) layout: &'a Layout,
}

/// A struct in a scope.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) path: String,
    pub(super) offset_bits: u64,
    pub(super) layout: &'a Layout,
    /// Its leaves, as indices.
    pub(super) leaves: Range<usize>,
}

impl<'a> Scope<'a> {
    /// The members of `layout`; `None` if they are over `most`.
    pub(super) fn of(layout: &'a Layout, path: &str, most: usize) -> Option<Self> {
        let size_bits = layout.size.saturating_mul(8);
        let mut scope = Self { path: path.to_owned(), size_bits, leaves: Vec::new(), structs: Vec::new() };
        scope.add(layout, None, path, 0, most)?;
        Some(scope)
    }

    fn add(&mut self, layout: &'a Layout, bits: Option<u32>, path: &str, offset_bits: u64, most: usize) -> Option<()> {
        match layout.composite().filter(|of| of.kind() != CompositeKind::Union && of.kernel_name().is_none()) {
            Some(of) => {
                let first = self.leaves.len();
                self.members(of, path, offset_bits, most)?;
                let leaves = first..self.leaves.len();
                self.structs.push(Node { path: path.to_owned(), offset_bits, layout, leaves });
                (self.structs.len() <= most).then_some(())
            }
            None => {
                self.leaves.push(Leaf { path: path.to_owned(), arms: Vec::new(), offset_bits, bits, layout });
                (self.leaves.len() <= most).then_some(())
            }
        }
    }

    fn members(&mut self, of: &'a Composite, path: &str, base: u64, most: usize) -> Option<()> {
        for member in of.members() {
            let offset_bits = base + member.offset_bits;
            match member.promoted() {
                Some(inner) if inner.kind() == CompositeKind::Union => {
                    let arms: Vec<_> =
                        inner.flat_members().iter().map(|flat| format!("{path}.{}", flat.member.name)).collect();
                    let path = arms.first().cloned().unwrap_or_else(|| path.to_owned());
                    self.leaves.push(Leaf { path, arms, offset_bits, bits: None, layout: &member.layout });
                }
                Some(inner) => self.members(inner, path, offset_bits, most)?,
                None => {
                    let path = format!("{path}.{}", member.name);
                    self.add(&member.layout, member.bits, &path, offset_bits, most)?;
                }
            }
            if self.leaves.len() > most {
                return None;
            }
        }
        Some(())
    }

    /// The path of a leaf or struct from this scope on: `.stats.bytes`.
    pub(super) fn relative<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.path.as_str()).unwrap_or(path)
    }
}

impl Leaf<'_> {
    /// Paths of the arms of a union that has a name.
    pub(super) fn arms_of_it(&self) -> Vec<String> {
        let union = self.layout.composite().filter(|of| of.kind() == CompositeKind::Union && self.arms.is_empty());
        let arms = union.map(Composite::flat_members).unwrap_or_default();
        arms.iter().map(|arm| format!("{}.{}", self.path, arm.member.name)).collect()
    }

    /// Bits that it takes.
    pub(super) fn size_bits(&self) -> u64 {
        self.bits.map_or(self.layout.size * 8, u64::from)
    }

    /// First byte, of what is no bit-field.
    pub(super) fn byte(&self) -> u32 {
        (self.offset_bits / 8) as u32
    }

    /// Bytes that it takes, of what is no bit-field.
    pub(super) fn len(&self) -> u32 {
        self.layout.size as u32
    }

    /// Its own name, without those of what it is in.
    pub(super) fn name(&self) -> &str {
        last_name(&self.path)
    }

    /// `u32`, `u32:3`
    pub(super) fn spelling(&self) -> String {
        self.layout.spelling_in(self.bits)
    }

    /// Of an array: the size of an element, and how many there are.
    pub(super) fn elements(&self) -> Option<(u64, u32)> {
        match &self.layout.shape {
            Shape::Array { element, len } => Some((element.size, *len)),
            _ => None,
        }
    }

    /// The kernel's own field that it is, or that is in a union: `bpf_timer`, `kptr`.
    pub(super) fn kernel_field(&self) -> Option<&str> {
        match &self.layout.shape {
            // Its elements are looked at one by one.
            Shape::Array { .. } => None,
            _ => kernel_field::any(self.layout),
        }
    }

    /// True for a lock, which no entry holds while it is copied.
    pub(super) fn is_lock(&self) -> bool {
        self.kernel_field().is_some_and(kernel_field::is_lock)
    }
}

/// True for a member that stands if nothing is, by its name: `_pad`, `padding2`, `reserved`.
pub(super) fn is_padding(path: &str) -> bool {
    const WORDS: [&str; 8] = ["pad", "padding", "reserved", "resvd", "rsvd", "unused", "filler", "spare"];
    let name = last_name(path).to_ascii_lowercase();
    let mut words = name.split('_').map(|word| word.trim_end_matches(|digit: char| digit.is_ascii_digit()));
    name.chars().any(char::is_alphabetic) && words.all(|word| word.is_empty() || WORDS.contains(&word))
}

/// `bytes` of `value.items[].bytes[]`.
pub(super) fn last_name(path: &str) -> &str {
    path.trim_end_matches("[]").rsplit('.').next().unwrap_or_default()
}

/// The order of an integer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The machine's.
    Host,
    /// Most significant first: `__be32`.
    Big,
    /// Least significant first: `__le32`.
    Little,
}

/// A member that is a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) bits: Bits,
    pub(super) order: Order,
    pub(super) is_bool: bool,
}

/// The number that a member is; `None` for all else, and for more than 64 bits.
pub(super) fn number(leaf: &Leaf<'_>) -> Option<Number> {
    let width = u32::try_from(leaf.size_bits()).ok().filter(|width| (1..=64).contains(width))?;
    let (signed, is_bool) = match &leaf.layout.shape {
        Shape::Int(kind) => (*kind == IntKind::Signed, *kind == IntKind::Bool),
        Shape::Enum(of) => (of.values.iter().any(|(_, value)| *value < 0), false),
        _ => return None,
    };
    let order = order(leaf.layout);
    let bits = Bits { offset: u32::try_from(leaf.offset_bits).ok()?, width, signed };
    Some(Number { bits, order, is_bool })
}

pub(super) fn order(layout: &Layout) -> Order {
    match layout.typedef.as_deref() {
        Some(name) if name.starts_with("__be") => Order::Big,
        Some(name) if name.starts_with("__le") => Order::Little,
        _ => Order::Host,
    }
}
