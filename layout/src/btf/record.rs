//! One record of BTF, and what its kind lets it say.

use super::error::BtfError;
use super::kind::{BtfKind, Endian};

/// One type's record.
#[derive(Debug, Clone, Copy)]
pub struct BtfType<'a> {
    /// The type's id.
    pub id: u32,
    /// Its kind.
    pub kind: BtfKind,
    /// Byte offset of the record in the blob.
    pub offset: usize,
    pub(super) name_off: u32,
    pub(super) vlen: u16,
    pub(super) kind_flag: bool,
    pub(super) size_or_type: u32,
    pub(super) trailer: &'a [u8],
    pub(super) endian: Endian,
}

/// A member of a struct or union.
#[derive(Debug, Clone, Copy)]
pub struct BtfMember {
    /// Offset of its name in the string section.
    pub name_off: u32,
    /// Its type.
    pub type_id: u32,
    /// Bits from the start of the struct.
    pub offset_bits: u32,
    /// Width in bits if the record says that this is a bit-field.
    pub bits: Option<u32>,
}

/// A variable in a section (`struct btf_var_secinfo`).
#[derive(Debug, Clone, Copy)]
pub struct BtfSecinfo {
    /// The `BTF_KIND_VAR` (or, for externs, `BTF_KIND_FUNC`).
    pub type_id: u32,
    /// Bytes from the start of the section, as the compiler wrote them: 0 for most variables before linking.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Linkage of a variable (`BTF_VAR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linkage {
    /// Not visible outside its file.
    Static,
    /// Defined here.
    Global,
    /// Defined elsewhere.
    Extern,
}

pub(super) fn u32_at(bytes: &[u8], at: usize, endian: Endian) -> Option<u32> {
    let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(match endian {
        Endian::Little => u32::from_le_bytes(raw),
        Endian::Big => u32::from_be_bytes(raw),
    })
}

impl<'a> BtfType<'a> {
    /// An error that names this type.
    #[must_use]
    pub fn error(&self, problem: String) -> BtfError {
        BtfError::Type { id: self.id, offset: self.offset, problem }
    }

    fn word(&self, at: usize) -> u32 {
        // Callers index within the trailer that `Btf::get` measured; 0 for anything else rather than a panic.
        u32_at(self.trailer, at, self.endian).unwrap_or(0)
    }

    fn entries(&self, each: usize) -> impl Iterator<Item = usize> + use<> {
        (0..usize::from(self.vlen)).map(move |entry| entry * each)
    }

    /// Number of members, enumerators or variables.
    #[must_use]
    pub fn vlen(&self) -> u16 {
        self.vlen
    }

    /// Bytes, for kinds that have a size of their own.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size_or_type
    }

    /// The type referred to, for pointers, modifiers, variables, functions and tags.
    #[must_use]
    pub fn type_id(&self) -> u32 {
        self.size_or_type
    }

    /// `kind_flag`: bit-field members for structs, signed for enums, `union` for forward declarations.
    #[must_use]
    pub fn kind_flag(&self) -> bool {
        self.kind_flag
    }

    /// `BTF_INT_ENCODING`, `BTF_INT_OFFSET` and `BTF_INT_BITS` of an integer.
    #[must_use]
    pub fn int(&self) -> (u8, u8, u8) {
        let data = self.word(0);
        ((data >> 24) as u8 & 0xf, (data >> 16) as u8, data as u8)
    }

    /// Element type and number of elements of an array.
    #[must_use]
    pub fn array(&self) -> (u32, u32) {
        (self.word(0), self.word(8))
    }

    /// Members of a struct or union.
    pub fn members(&self) -> impl Iterator<Item = BtfMember> + use<'a> {
        let ty = *self;
        let (members, _) = ty.trailer.as_chunks::<12>();
        members.iter().map(move |member| {
            let word = |at: usize| {
                let raw = [member[at], member[at + 1], member[at + 2], member[at + 3]];
                if ty.endian == Endian::Little { u32::from_le_bytes(raw) } else { u32::from_be_bytes(raw) }
            };
            let offset = word(8);
            let (offset_bits, bits) = if ty.kind_flag {
                (offset & 0x00ff_ffff, Some(offset >> 24).filter(|&bits| bits != 0))
            } else {
                (offset, None)
            };
            BtfMember { name_off: word(0), type_id: word(4), offset_bits, bits }
        })
    }

    /// Name offset and value of each enumerator. The 32-bit kind is read as signed, as it is declared.
    pub fn enumerators(&self) -> impl Iterator<Item = (u32, i128)> + use<'a> {
        let ty = *self;
        self.entries(ty.kind.trailer().1).map(move |at| {
            let low = ty.word(at + 4);
            let value = match (ty.kind, ty.kind_flag) {
                (BtfKind::Enum64, signed) => {
                    let value = u64::from(ty.word(at + 8)) << 32 | u64::from(low);
                    if signed { i128::from(value.cast_signed()) } else { i128::from(value) }
                }
                // `struct btf_enum` declares `__s32 val`. Its flag for unsigned enums is as young as Linux 6.0 and clang
                // 16, so that reading it would make the same header differ between compilers.
                _ => i128::from(low.cast_signed()),
            };
            (ty.word(at), value)
        })
    }

    /// The variables of a section.
    pub fn secinfos(&self) -> impl Iterator<Item = BtfSecinfo> + use<'a> {
        let ty = *self;
        self.entries(12).map(move |at| BtfSecinfo {
            type_id: ty.word(at),
            offset: ty.word(at + 4),
            size: ty.word(at + 8),
        })
    }

    /// Linkage of a variable.
    #[must_use]
    pub fn linkage(&self) -> Linkage {
        match self.word(0) {
            0 => Linkage::Static,
            1 => Linkage::Global,
            _ => Linkage::Extern,
        }
    }

    /// Which member or parameter a declaration tag is on; -1 for the type itself.
    #[must_use]
    pub fn component_index(&self) -> i32 {
        self.word(0).cast_signed()
    }
}
