//! A short name for all in a map's definition that can change what its bytes mean.
//!
//! In: type, sizes, effective flags, `map_extra`, the versions of what map and structs mean, the key's and value's members with
//! offsets, widths, names, signedness and enumerators, and the same of an inner map. Out: what can change without a byte being read otherwise
//! (`max_entries`, pinning, NUMA node, the names of types, `char` for a byte, the order of members and enumerators, members of 0 bytes),
//! and of enumerators of more than 4 bytes, what not every compiler tells: all but the low 32 bits (`wide_enum`).

use std::collections::HashMap;
use std::fmt;
use std::ptr;

use hmac_sha256::Hash;

use crate::kernel_field;
use crate::layout::{Composite, Enumeration, IntKind, Layout, Shape};
use crate::map::MapDef;
use crate::wide_enum;

/// The first 128 bits of a SHA-256, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    /// From 32 hexadecimal digits in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }

    fn of(hash: [u8; 32]) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&hash[..16]);
        Self(short)
    }

    /// Its 128 bits as a number.
    #[must_use]
    pub fn number(&self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// The first eight digits, for reports.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Makes digests of definitions whose layouts may share parts.
#[derive(Debug, Default)]
pub(crate) struct Digester {
    /// What each composite hashes to, by address: the number of *paths* to one can be exponential.
    composites: HashMap<*const Composite, [u8; 32]>,
}

impl MapDef {
    /// The digest of this definition.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digester::default().map(self)
    }
}

impl Layout {
    /// The digest of this type alone: equal if the same bytes mean the same, whatever the types are called.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(Digester::default().layout(self))
    }
}

impl Digester {
    pub(crate) fn map(&mut self, def: &MapDef) -> Digest {
        Digest::of(self.map_hash(def))
    }

    fn map_hash(&mut self, def: &MapDef) -> [u8; 32] {
        let mut hash = Hash::new();
        hash.update("maplock 1\n");
        for number in [
            u64::from(def.map_type.0),
            u64::from(def.key_size),
            u64::from(def.value_size),
            u64::from(def.effective_flags()),
            def.map_extra,
        ] {
            hash.update(number.to_le_bytes());
        }
        if def.version != 0 {
            hash.update("version");
            hash.update(def.version.to_le_bytes());
        }
        for layout in [&def.key, &def.value] {
            match layout {
                Some(layout) => hash.update(self.layout(layout)),
                None => hash.update("untyped"),
            }
        }
        if let Some(inner) = &def.inner {
            let capacity = if inner.inner_capacity_is_fixed() { inner.max_entries } else { 0 };
            hash.update(capacity.to_le_bytes());
            hash.update(self.map_hash(inner));
        }
        hash.finalize()
    }

    /// Hash of a layout.
    pub(crate) fn layout(&mut self, layout: &Layout) -> [u8; 32] {
        let mut hash = Hash::new();
        hash.update(layout.size.to_le_bytes());
        match &layout.shape {
            Shape::Int(IntKind::Unsigned | IntKind::Char) => hash.update("u"),
            Shape::Int(IntKind::Signed) => hash.update("i"),
            Shape::Int(IntKind::Bool) => hash.update("b"),
            Shape::Float => hash.update("f"),
            Shape::Pointer { target } => {
                hash.update("p");
                hash.update(kernel_field::tag(target).unwrap_or_default());
            }
            Shape::Opaque { .. } => hash.update("o"),
            Shape::Enum(of) => enumerators(&mut hash, of, layout.size),
            Shape::Array { element, len } => {
                hash.update("a");
                hash.update(len.to_le_bytes());
                hash.update(self.layout(element));
            }
            Shape::Composite(composite) => return self.composite(layout.size, composite),
        }
        hash.finalize()
    }

    fn composite(&mut self, size: u64, composite: &Composite) -> [u8; 32] {
        if let Some(done) = self.composites.get(&ptr::from_ref(composite)) {
            return *done;
        }
        let mut hash = Hash::new();
        hash.update("c");
        hash.update(size.to_le_bytes());
        hash.update(composite.kernel_name().unwrap_or_default());
        if composite.version() != 0 {
            hash.update("version");
            hash.update(composite.version().to_le_bytes());
        }
        for version in composite.inner_versions() {
            hash.update("inner version");
            hash.update(version.to_le_bytes());
        }
        let mut members = composite.flat_members();
        // What takes no bytes holds nothing.
        members.retain(|flat| flat.member.size_bits() > 0);
        members.sort_by(|a, b| (a.offset_bits, &a.member.name).cmp(&(b.offset_bits, &b.member.name)));
        for flat in members {
            named(&mut hash, &flat.member.name);
            hash.update(flat.offset_bits.to_le_bytes());
            hash.update(flat.member.size_bits().to_le_bytes());
            // The type that holds a bit-field does not matter, only how its bits are read.
            match (flat.member.bits, &flat.member.layout.shape) {
                (Some(_), Shape::Int(IntKind::Signed)) => hash.update("i"),
                (Some(_), Shape::Int(IntKind::Bool)) => hash.update("b"),
                (Some(_), Shape::Int(_)) => hash.update("u"),
                (Some(_), Shape::Enum(of)) => {
                    let mut names = Hash::new();
                    enumerators(&mut names, of, flat.member.layout.size);
                    hash.update(names.finalize());
                }
                _ => hash.update(self.layout(&flat.member.layout)),
            }
        }
        let done = hash.finalize();
        self.composites.insert(ptr::from_ref(composite), done);
        done
    }
}

fn enumerators(hash: &mut Hash, of: &Enumeration, size: u64) {
    let mut values: Vec<_> = of.values.iter().map(|(name, value)| (name, wide_enum::number(*value, size))).collect();
    values.sort_unstable();
    hash.update("e");
    for (name, value) in values {
        named(hash, name);
        hash.update(value.to_le_bytes());
    }
}

/// A name with its length before it, so that no two lists of names hash alike.
fn named(hash: &mut Hash, name: &str) {
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
}
