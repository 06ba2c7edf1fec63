//! The kinds of BTF types, and how long their records are.

/// Order of the bytes in the object that the BTF was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    /// Least significant byte first (`bpfel`).
    Little,
    /// Most significant byte first (`bpfeb`).
    Big,
}

/// A kind of BTF type (`BTF_KIND_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the specification")]
#[repr(u8)]
pub enum BtfKind {
    Void = 0,
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Fwd = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    Datasec = 15,
    Float = 16,
    DeclTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

impl BtfKind {
    pub(super) const ALL: [Self; 20] = [
        Self::Void,
        Self::Int,
        Self::Ptr,
        Self::Array,
        Self::Struct,
        Self::Union,
        Self::Enum,
        Self::Fwd,
        Self::Typedef,
        Self::Volatile,
        Self::Const,
        Self::Restrict,
        Self::Func,
        Self::FuncProto,
        Self::Var,
        Self::Datasec,
        Self::Float,
        Self::DeclTag,
        Self::TypeTag,
        Self::Enum64,
    ];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Bytes behind the 12 of `struct btf_type`: a fixed part, and one part for each of the `vlen` members.
    pub(super) const fn trailer(self) -> (usize, usize) {
        match self {
            Self::Int | Self::Var | Self::DeclTag => (4, 0),
            Self::Array => (12, 0),
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => (0, 12),
            Self::Enum | Self::FuncProto => (0, 8),
            _ => (0, 0),
        }
    }

    /// True for `typedef`, `const`, `volatile`, `restrict` and type tags, which add no bytes.
    #[must_use]
    pub fn is_modifier(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }
}

pub(super) const HEADER_LEN: usize = 24;
pub(super) const RECORD_LEN: usize = 12;
pub(super) const MAGIC: u16 = 0xeb9f;

/// Bytes of a record by the number of its kind: the fixed ones, and those of each member. (0, 0) if the kind is unknown.
pub(super) const RECORD: [(u8, u8); 32] = {
    let mut sizes = [(0, 0); 32];
    let mut number = 1;
    while number < BtfKind::ALL.len() {
        let (fixed, each) = BtfKind::ALL[number].trailer();
        sizes[number] = ((RECORD_LEN + fixed) as u8, each as u8);
        number += 1;
    }
    sizes
};

/// A bit for each kind whose record is `RECORD_LEN` bytes and no more.
pub(super) const PLAIN: u32 = {
    let mut kinds = 0;
    let mut number = 1;
    while number < RECORD.len() {
        if RECORD[number].0 as usize == RECORD_LEN && RECORD[number].1 == 0 {
            kinds |= 1 << number;
        }
        number += 1;
    }
    kinds
};
