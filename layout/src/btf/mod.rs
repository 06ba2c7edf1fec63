//! Zero-copy reader of the BPF Type Format, and a writer for what one map needs of it.
//!
//! [`Btf::parse`] checks the header and walks the type section once to learn where each record starts; nothing is
//! copied. Records are decoded when asked for, and [`Resolver`] turns the few that a map reaches into [`crate::Layout`]s.
//! [`encode()`] writes those as BTF again.
//!
//! Source of every number here: the kernel's `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.

mod encode;
mod error;
mod resolve;

pub use encode::{EncodeError, Encoded, encode};
pub use error::BtfError;
pub use resolve::Resolver;

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
    const ALL: [Self; 20] = [
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

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    /// Bytes behind the 12 of `struct btf_type`: a fixed part, and one part for each of the `vlen` members.
    const fn trailer(self) -> (usize, usize) {
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

const HEADER_LEN: usize = 24;
const RECORD_LEN: usize = 12;
const MAGIC: u16 = 0xeb9f;

/// BTF over borrowed bytes, indexed by type id.
#[derive(Debug, Clone)]
pub struct Btf<'a> {
    data: &'a [u8],
    strings: &'a [u8],
    endian: Endian,
    /// Byte offset in `data` of each record; `offsets[0]` belongs to type 1, since `void` has no record.
    offsets: Vec<u32>,
}

/// One type's record.
#[derive(Debug, Clone, Copy)]
pub struct BtfType<'a> {
    /// The type's id.
    pub id: u32,
    /// Its kind.
    pub kind: BtfKind,
    /// Byte offset of the record in the blob.
    pub offset: usize,
    name_off: u32,
    vlen: u16,
    kind_flag: bool,
    size_or_type: u32,
    trailer: &'a [u8],
    endian: Endian,
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
    /// Width in bits where the record says that this is a bit-field.
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

fn u32_at(bytes: &[u8], at: usize, endian: Endian) -> Option<u32> {
    let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(match endian {
        Endian::Little => u32::from_le_bytes(raw),
        Endian::Big => u32::from_be_bytes(raw),
    })
}

impl<'a> Btf<'a> {
    /// Reads the header and finds every record.
    ///
    /// # Errors
    /// Where the header or the chain of records does not fit the bytes, or a kind is unknown.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        let header = |offset, problem: &str| BtfError::Header { offset, problem: problem.to_owned() };
        if data.len() < HEADER_LEN {
            return Err(BtfError::Header {
                offset: data.len(),
                problem: format!("{} bytes are too few for a header of {HEADER_LEN}", data.len()),
            });
        }
        let endian = match u16::from_le_bytes([data[0], data[1]]) {
            MAGIC => Endian::Little,
            magic if magic.swap_bytes() == MAGIC => Endian::Big,
            magic => {
                return Err(BtfError::Header {
                    offset: 0,
                    problem: format!("magic is {magic:#06x}, not {MAGIC:#06x}"),
                });
            }
        };
        if data[2] != 1 {
            return Err(BtfError::Header {
                offset: 2,
                problem: format!("version is {}, this reader knows version 1", data[2]),
            });
        }
        let field = |at| u32_at(data, at, endian).map(|value| value as usize).ok_or_else(|| header(at, "truncated"));
        let header_len = field(4)?;
        if header_len < HEADER_LEN {
            return Err(header(4, "hdr_len is smaller than the header"));
        }
        let section = |off: usize, len: usize, at: usize, name: &str| {
            header_len
                .checked_add(off)
                .and_then(|start| Some(start..start.checked_add(len)?))
                .filter(|range| range.end <= data.len())
                .ok_or_else(|| header(at, &format!("the {name} section ends behind the last of {} bytes", data.len())))
        };
        let types = section(field(8)?, field(12)?, 8, "type")?;
        let strings = section(field(16)?, field(20)?, 16, "string")?;
        let strings = &data[strings];
        if !strings.is_empty() && (strings[0] != 0 || strings[strings.len() - 1] != 0) {
            return Err(header(16, "the string section does not begin and end with a NUL"));
        }
        let offsets = match endian {
            Endian::Little => index::<false>(data, types)?,
            Endian::Big => index::<true>(data, types)?,
        };
        Ok(Self { data, strings, endian, offsets })
    }

    /// BTF without a type, for objects that have none.
    #[must_use]
    pub fn empty() -> Btf<'static> {
        Btf { data: &[], strings: &[], endian: Endian::Little, offsets: Vec::new() }
    }

    /// Byte order of the target.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Number of types, `void` (id 0) included.
    #[must_use]
    pub fn len(&self) -> u32 {
        // `index` refuses more than u32::MAX - 1 records: each takes at least 12 bytes of an at most 4 GiB section.
        self.offsets.len() as u32 + 1
    }

    /// True where there is no type but `void`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Bytes of the whole blob.
    pub(crate) fn byte_len(&self) -> usize {
        self.data.len()
    }

    /// The record of type `id`.
    ///
    /// # Errors
    /// Where there is no such type.
    pub fn get(&self, id: u32) -> Result<BtfType<'a>, BtfError> {
        if id == 0 {
            return Ok(BtfType {
                id,
                kind: BtfKind::Void,
                offset: 0,
                name_off: 0,
                vlen: 0,
                kind_flag: false,
                size_or_type: 0,
                trailer: &[],
                endian: self.endian,
            });
        }
        self.record(id).ok_or_else(|| BtfError::NoSuchType { id, types: self.len() })
    }

    fn record(&self, id: u32) -> Option<BtfType<'a>> {
        let offset = *self.offsets.get(id as usize - 1)? as usize;
        let (record, rest) = self.data.get(offset..)?.split_first_chunk::<RECORD_LEN>()?;
        let word = |at: usize| {
            let raw = [record[at], record[at + 1], record[at + 2], record[at + 3]];
            if self.endian == Endian::Little { u32::from_le_bytes(raw) } else { u32::from_be_bytes(raw) }
        };
        let info = word(4);
        let number = (info >> 24) & 0x1f;
        let (len, each) = RECORD[number as usize];
        let vlen = info as u16;
        let trailer = usize::from(len).checked_sub(RECORD_LEN)? + usize::from(each) * usize::from(vlen);
        Some(BtfType {
            id,
            kind: BtfKind::from_number(number)?,
            offset,
            name_off: word(0),
            vlen,
            kind_flag: info >> 31 == 1,
            size_or_type: word(8),
            trailer: rest.get(..trailer)?,
            endian: self.endian,
        })
    }

    /// All types but `void`, in the order of their ids.
    pub fn types(&self) -> impl Iterator<Item = BtfType<'a>> + '_ {
        (1..self.len()).filter_map(|id| self.get(id).ok())
    }

    /// All types of one of `kinds`, in the order of their ids. Others are not decoded.
    pub fn of_kinds(&self, kinds: &[BtfKind]) -> impl Iterator<Item = BtfType<'a>> + '_ {
        let wanted = kinds.iter().fold(0_u32, |wanted, &kind| wanted | 1 << kind as u32);
        // The byte of `info` that holds the kind.
        let at = if self.endian == Endian::Little { 7 } else { 4 };
        let is_wanted =
            move |offset: usize| self.data.get(offset + at).is_some_and(|byte| wanted >> (byte & 0x1f) & 1 == 1);
        (1..)
            .zip(&self.offsets)
            .filter(move |&(_, &offset)| is_wanted(offset as usize))
            .filter_map(|(id, _)| self.record(id))
    }

    /// The string at `offset` of the string section; empty for 0.
    ///
    /// # Errors
    /// `None` where the offset is outside of the section or the bytes are not UTF-8.
    #[must_use]
    pub fn string(&self, offset: u32) -> Option<&'a str> {
        let rest = self.string_bytes(offset)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }

    /// The bytes of the string section from `offset`: a string, its NUL, and what follows.
    pub(crate) fn string_bytes(&self, offset: u32) -> Option<&'a [u8]> {
        if offset == 0 { Some(&[0]) } else { self.strings.get(offset as usize..) }
    }

    /// The name of a type; empty where it has none.
    ///
    /// # Errors
    /// Where the name lies outside of the string section or is not UTF-8.
    pub fn name(&self, ty: &BtfType<'a>) -> Result<&'a str, BtfError> {
        self.string(ty.name_off).ok_or_else(|| ty.error(format!("no valid name at string offset {}", ty.name_off)))
    }

    /// The first type of one of `kinds` that is called `name`.
    #[must_use]
    pub fn find(&self, kinds: &[BtfKind], name: &str) -> Option<BtfType<'a>> {
        self.of_kinds(kinds).find(|ty| self.is_named(ty, name))
    }

    /// True where `ty` is called `name`, however long the string is that it points to.
    pub(crate) fn is_named(&self, ty: &BtfType<'a>, name: &str) -> bool {
        let rest = self.string_bytes(ty.name_off).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Skips `typedef`, `const`, `volatile`, `restrict` and type tags.
    ///
    /// # Errors
    /// Where an id is out of range, or the chain never ends.
    pub fn skip_modifiers(&self, id: u32) -> Result<BtfType<'a>, BtfError> {
        let mut ty = self.get(id)?;
        let first = ty;
        for _ in 0..resolve::MAX_DEPTH {
            if !ty.kind.is_modifier() {
                return Ok(ty);
            }
            ty = self.get(ty.type_id())?;
        }
        Err(first.error(format!("a chain of over {} typedefs and qualifiers: a cycle", resolve::MAX_DEPTH)))
    }
}

/// Bytes of a record by the number of its kind: the fixed ones, and those of each member. (0, 0) where the kind is unknown.
const RECORD: [(u8, u8); 32] = {
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
const PLAIN: u32 = {
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

/// Byte offsets of all records in `types`.
///
/// Where a record begins depends on the one before, so that this takes as long as the processor needs to get from one to
/// the next; the kernel's BTF has 130,000. Hence a loop of its own for each byte order, and a branch for the kinds that
/// need no arithmetic, which are most: the processor guesses it right and runs ahead.
fn index<const BIG: bool>(data: &[u8], types: std::ops::Range<usize>) -> Result<Vec<u32>, BtfError> {
    let section = &data[types.clone()];
    // An offset is 32 bits.
    if types.end > u32::MAX as usize {
        return Err(BtfError::Header { offset: 8, problem: "the type section ends behind 4 GiB".to_owned() });
    }
    // Records take 12 bytes and more; the kernel's take 25 on average.
    let mut offsets = Vec::with_capacity(section.len() / 24);
    let mut at = 0;
    while at < section.len() {
        let error = |offsets: &[u32], problem: String| BtfError::Type {
            id: offsets.len() as u32 + 1,
            offset: types.start + at,
            problem,
        };
        let rest = &section[at..];
        let Some(record) = rest.first_chunk::<RECORD_LEN>() else {
            return Err(error(&offsets, format!("{} bytes are too few for a record", rest.len())));
        };
        let info = [record[4], record[5], record[6], record[7]];
        let info = if BIG { u32::from_be_bytes(info) } else { u32::from_le_bytes(info) };
        let number = (info >> 24) & 0x1f;
        let offset = (types.start + at) as u32;
        if PLAIN >> number & 1 == 1 {
            offsets.push(offset);
            at += RECORD_LEN;
            continue;
        }
        let (fixed, each) = RECORD[number as usize];
        if fixed == 0 {
            return Err(error(&offsets, format!("kind {number} is unknown")));
        }
        let len = usize::from(fixed) + usize::from(each) * usize::from(info as u16);
        if len > rest.len() {
            let problem = format!("a record of {len} bytes, but the section ends after {}", rest.len());
            return Err(error(&offsets, problem));
        }
        offsets.push(offset);
        at += len;
    }
    Ok(offsets)
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
