//! A type resolved down to bytes.

use std::fmt;
use std::sync::Arc;

use crate::name::Name;
use crate::place::Place;

/// A resolved type: what the bytes of a key or a value mean, with names.
///
/// Layouts are shared: a struct that appears in ten places is one allocation with ten references, so a layout's size is
/// bounded by that of the BTF that it came from. Code that walks it must not assume a tree: equal parts may be reached
/// over exponentially many paths in hostile input (`digest` and `diff` show how to cope).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Size in bytes.
    pub size: u64,
    /// The typedef through which the type was named, if any; of several, the outermost.
    /// The usual names of fixed-width integers (`__u32`, `uint32_t` ..) are not kept: they say what the type says.
    pub typedef: Option<Arc<str>>,
    /// What the type is.
    pub shape: Shape,
}

/// What a type is, below its typedefs and qualifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// An integer of [`Layout::size`] bytes.
    Int(IntKind),
    /// A floating-point number.
    Float,
    /// An enumeration, stored as an integer.
    Enum(Arc<Enumeration>),
    /// A pointer. What it points to is a name only: pointers are where a layout ends.
    Pointer {
        /// How C spells the target, such as `struct task_struct`.
        target: Arc<str>,
    },
    /// `len` elements, one behind the other.
    Array {
        /// Type of an element.
        element: Arc<Layout>,
        /// Number of elements.
        len: u32,
    },
    /// A struct or union.
    Composite(Arc<Composite>),
    /// No bytes, or none that BTF tells of: `void`, a function, a type that was only declared.
    Opaque {
        /// How C spells it.
        name: Arc<str>,
    },
}

/// How an integer's bits are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntKind {
    /// Unsigned.
    Unsigned,
    /// Two's complement.
    Signed,
    /// C's `char`: text, in one byte.
    Char,
    /// 0 or 1.
    Bool,
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enumeration {
    /// Its tag; none for an anonymous one.
    pub name: Option<Name>,
    /// Name and value of each enumerator, as declared.
    pub values: Vec<(Name, i128)>,
}

/// A struct, a union, or a section of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composite {
    kind: CompositeKind,
    name: Option<Name>,
    members: Vec<Member>,
    version: u32,
    /// Versions of its anonymous structs and unions that have one, in the order of their offsets.
    inner_versions: Vec<u32>,
    flat_len: usize,
}

/// Most members that a composite may have through its anonymous structs and unions. C names each of them, so that
/// real ones have some hundreds; hostile input could reach 2^128 with a few hundred bytes.
const MAX_FLAT_LEN: usize = 8192;

/// A composite that has more members, through its anonymous ones, than any real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyMembers(usize);

impl fmt::Display for TooManyMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "anonymous members bring its number of members to {}, over {MAX_FLAT_LEN}", self.0)
    }
}

impl std::error::Error for TooManyMembers {}

impl Composite {
    /// A composite of these members.
    ///
    /// # Errors
    /// If anonymous members bring the number of its members to over 8,192.
    pub fn new(kind: CompositeKind, name: Option<Name>, members: Vec<Member>) -> Result<Self, TooManyMembers> {
        let flat_len = members.iter().map(|member| member.promoted().map_or(1, |inner| inner.flat_len.max(1))).sum();
        if flat_len > MAX_FLAT_LEN.max(members.len()) {
            return Err(TooManyMembers(flat_len));
        }
        let mut anonymous: Vec<_> =
            members.iter().filter_map(|member| Some((member.offset_bits, member.promoted()?))).collect();
        anonymous.sort_by_key(|(offset_bits, _)| *offset_bits);
        let versions = anonymous.into_iter().flat_map(|(_, inner)| {
            let own = Some(inner.version).filter(|version| *version != 0);
            own.into_iter().chain(inner.inner_versions.iter().copied())
        });
        let inner_versions = versions.collect();
        Ok(Self { kind, name, members, version: 0, inner_versions, flat_len })
    }

    /// The same with a version of what its bytes mean.
    #[must_use]
    pub fn with_version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Version of what its bytes mean, raised by hand if the same bytes get another sense; 0 if none was ever given.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Those of its anonymous structs and unions that have one. Its members are theirs, and so is what they mean.
    #[must_use]
    pub fn inner_versions(&self) -> &[u32] {
        &self.inner_versions
    }

    /// Struct, union or section.
    #[must_use]
    pub fn kind(&self) -> CompositeKind {
        self.kind
    }

    /// Its tag; none for an anonymous one.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// Its members as declared.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Its members with those of anonymous structs and unions in their place, as C looks names up. Offsets are those
    /// in this composite.
    #[must_use]
    pub fn flat_members(&self) -> Vec<FlatMember<'_>> {
        let mut flat = Vec::with_capacity(self.flat_len);
        self.flatten(0, false, &mut flat);
        flat
    }

    fn flatten<'a>(&'a self, base: u64, in_union: bool, flat: &mut Vec<FlatMember<'a>>) {
        let in_union = in_union || self.kind == CompositeKind::Union;
        for member in &self.members {
            let offset_bits = base + member.offset_bits;
            match member.promoted() {
                Some(inner) => inner.flatten(offset_bits, in_union, flat),
                None => flat.push(FlatMember { member, offset_bits, in_union }),
            }
        }
    }
}

/// A member as seen from an enclosing composite, through anonymous ones.
#[derive(Debug, Clone, Copy)]
pub struct FlatMember<'a> {
    /// The member.
    pub member: &'a Member,
    /// Offset from the start of the enclosing composite, in bits.
    pub offset_bits: u64,
    /// True if it shares its bytes with others, being an arm of a union.
    pub in_union: bool,
}

/// Whether members follow each other or share their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CompositeKind {
    /// Members follow each other.
    Struct,
    /// Members share their bytes.
    Union,
    /// A section of an object (`.data`), whose members are its variables.
    Section,
}

impl CompositeKind {
    /// C's keyword; `section` for a section.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Struct => "struct",
            Self::Union => "union",
            Self::Section => "section",
        }
    }
}

/// A member of a struct or union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name; empty for an anonymous struct or union, whose members count as members of the parent.
    pub name: Name,
    /// Offset from the start of the parent, in bits. For a bit-field of a big-endian object, counted as BTF does:
    /// from the most significant bit.
    pub offset_bits: u64,
    /// Width in bits of a bit-field; `None` for any other member.
    pub bits: Option<u32>,
    /// Its type.
    pub layout: Arc<Layout>,
}

impl Member {
    /// Its type as text, with the width of a bit-field.
    pub(crate) fn spelling(&self) -> String {
        self.layout.spelling_in(self.bits)
    }

    /// Width in bits.
    #[must_use]
    pub fn size_bits(&self) -> u64 {
        self.bits.map_or(self.layout.size * 8, u64::from)
    }

    /// Offset behind its last bit.
    #[must_use]
    pub fn end_bits(&self) -> u64 {
        self.offset_bits + self.size_bits()
    }

    /// Checks that this can be a member of a parent of `parent_size` bytes.
    ///
    /// # Errors
    /// If it ends behind the parent, does not start at a byte, or is a bit-field of what has no bits.
    #[inline]
    pub(crate) fn check(&self, parent_size: u64) -> Result<(), String> {
        let name = &self.name;
        let has_bits = matches!(self.layout.shape, Shape::Int(_) | Shape::Enum(_));
        let problem = match self.bits {
            Some(_) if !has_bits => "is a bit-field, but neither an integer nor an enum".to_owned(),
            Some(bits) if u64::from(bits) > self.layout.size * 8 => {
                format!("has {bits} bits of a type of {}", self.layout.size * 8)
            }
            None if !self.offset_bits.is_multiple_of(8) => {
                format!("starts at bit {}, inside of a byte", self.offset_bits)
            }
            _ if self.end_bits() > parent_size * 8 => format!(
                "takes {} bits from bit {}, which does not fit the {parent_size} bytes around it",
                self.size_bits(),
                self.offset_bits
            ),
            _ => return Ok(()),
        };
        Err(format!("member `{name}` {problem}"))
    }

    /// The anonymous struct or union whose members count as members of the parent, if this is one.
    #[must_use]
    pub fn promoted(&self) -> Option<&Composite> {
        self.layout.composite().filter(|_| self.name.is_empty())
    }
}

impl Layout {
    /// A layout without a typedef.
    #[must_use]
    pub fn new(size: u64, shape: Shape) -> Self {
        Self { size, typedef: None, shape }
    }

    /// The struct, union or section behind this layout, if it is one.
    #[must_use]
    pub fn composite(&self) -> Option<&Composite> {
        match &self.shape {
            Shape::Composite(composite) => Some(composite),
            _ => None,
        }
    }

    /// Names of the members that have bits at `place`: `last_seen`, or `window.end` if it lies within one struct.
    /// None for padding.
    #[must_use]
    pub fn members_at(&self, place: Place) -> Vec<String> {
        let Some(composite) = self.composite() else { return Vec::new() };
        let end = place.offset_bits + place.size_bits;
        let there: Vec<_> = composite
            .flat_members()
            .into_iter()
            .filter(|flat| flat.offset_bits < end && place.offset_bits < flat.offset_bits + flat.member.size_bits())
            .collect();
        if let [only] = there.as_slice()
            && only.offset_bits <= place.offset_bits
            && end <= only.offset_bits + only.member.size_bits()
            && only.member.layout.composite().is_some()
        {
            let inner = Place { offset_bits: place.offset_bits - only.offset_bits, ..place };
            let names = only.member.layout.members_at(inner);
            return names.into_iter().map(|name| format!("{}.{name}", only.member.name)).collect();
        }
        there.iter().map(|flat| flat.member.name.to_string()).collect()
    }

    /// How the type is written in reports: `u32`, `struct flow_key`, `char[16]`, `__be32`.
    #[must_use]
    pub fn spelling(&self) -> String {
        match &self.typedef {
            Some(name) => name.to_string(),
            None => self.spelling_without_typedef(),
        }
    }

    /// Like [`Self::spelling`], with the width of the bit-field that it is of, if it is of one: `u32:3`
    pub(crate) fn spelling_in(&self, bits: Option<u32>) -> String {
        let spelled = self.spelling();
        match bits {
            Some(bits) => format!("{spelled}:{bits}"),
            None => spelled,
        }
    }

    /// Like [`Self::spelling`], but names what is behind the outermost typedef.
    #[must_use]
    pub fn spelling_without_typedef(&self) -> String {
        match &self.shape {
            Shape::Int(IntKind::Unsigned) => format!("u{}", self.size * 8),
            Shape::Int(IntKind::Signed) => format!("i{}", self.size * 8),
            Shape::Int(IntKind::Char) => "char".to_owned(),
            Shape::Int(IntKind::Bool) if self.size == 1 => "bool".to_owned(),
            Shape::Int(IntKind::Bool) => format!("bool{}", self.size * 8),
            Shape::Float => format!("f{}", self.size * 8),
            Shape::Enum(of) => format!("enum {}", of.name.as_deref().unwrap_or("(anonymous)")),
            Shape::Pointer { target } => format!("{target} *"),
            Shape::Array { .. } => {
                let (mut dims, mut inner) = (String::new(), self);
                while let Shape::Array { element, len } = &inner.shape {
                    if !dims.is_empty() && inner.typedef.is_some() {
                        break;
                    }
                    dims.push_str(&format!("[{len}]"));
                    inner = element;
                }
                inner.spelling() + &dims
            }
            Shape::Composite(composite) => {
                format!("{} {}", composite.kind.keyword(), composite.name.as_deref().unwrap_or("(anonymous)"))
            }
            Shape::Opaque { name } => name.to_string(),
        }
    }
}

/// A name without the characters that mean something where a lockfile writes types. Only names that C doesn't know have
/// any: Rust's tuples and slices.
pub(crate) fn printable(name: &str) -> String {
    let is_special = |c: char| matches!(c, '[' | ']' | '(' | ')' | '*' | '#' | '"' | '\\') || c.is_control();
    name.chars().map(|c| if is_special(c) { '_' } else { c }).collect()
}

/// The integer that a well-known typedef stands for, as (bits, signed): the names that the kernel, the C library and
/// compilers give to the same fixed-width types.
#[must_use]
pub(crate) fn fixed_width_alias(name: &str) -> Option<(u32, bool)> {
    let name = name.trim_start_matches('_');
    let (signed, digits) = if let Some(rest) = name.strip_prefix("uint").or_else(|| name.strip_prefix("u_int")) {
        (false, rest.strip_suffix("_t")?)
    } else if let Some(rest) = name.strip_prefix("int") {
        (true, rest.strip_suffix("_t")?)
    } else if let Some(rest) = name.strip_prefix('u') {
        (false, rest)
    } else {
        (true, name.strip_prefix('s')?)
    };
    match digits {
        "8" => Some((8, signed)),
        "16" => Some((16, signed)),
        "32" => Some((32, signed)),
        "64" => Some((64, signed)),
        "128" => Some((128, signed)),
        _ => None,
    }
}
