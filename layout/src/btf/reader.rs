//! From the bytes of BTF to its records.

use super::error::BtfError;
use super::kind::{BtfKind, Endian, HEADER_LEN, MAGIC, PLAIN, RECORD, RECORD_LEN};
use super::record::{BtfType, u32_at};

/// How deep types may nest. The kernel's own verifier of BTF stops at 32 (`MAX_RESOLVE_DEPTH`).
pub(super) const MAX_DEPTH: usize = 128;

/// BTF over borrowed bytes, indexed by type id.
#[derive(Debug, Clone)]
pub struct Btf<'a> {
    data: &'a [u8],
    strings: &'a [u8],
    endian: Endian,
    /// Byte offset in `data` of each record; `offsets[0]` belongs to type 1, since `void` has no record.
    offsets: Vec<u32>,
}

impl<'a> Btf<'a> {
    /// Reads the header and finds every record.
    ///
    /// # Errors
    /// If the header or the chain of records does not fit the bytes, or a kind is unknown.
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

    /// True if there is no type but `void`.
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
    /// If there is no such type.
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
    /// `None` if the offset is outside of the section or the bytes are not UTF-8.
    #[must_use]
    pub fn string(&self, offset: u32) -> Option<&'a str> {
        let rest = self.string_bytes(offset)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }

    /// The name at `offset` of the string section, of something that `ty` is or has. A name is shown on terminals, where a control
    /// character is a command.
    pub(crate) fn name_at(&self, ty: &BtfType<'a>, offset: u32) -> Result<&'a str, BtfError> {
        match self.string(offset) {
            None => Err(ty.error(format!("no valid name at string offset {offset}"))),
            Some(name) if name.contains(char::is_control) => {
                Err(ty.error(format!("the name `{}` has a control character", name.escape_debug())))
            }
            Some(name) => Ok(name),
        }
    }

    /// The bytes of the string section from `offset`: a string, its NUL, and what follows.
    pub(crate) fn string_bytes(&self, offset: u32) -> Option<&'a [u8]> {
        if offset == 0 { Some(&[0]) } else { self.strings.get(offset as usize..) }
    }

    /// The name of a type; empty if it has none.
    ///
    /// # Errors
    /// If the name lies outside of the string section, is not UTF-8, or has control characters.
    pub fn name(&self, ty: &BtfType<'a>) -> Result<&'a str, BtfError> {
        self.name_at(ty, ty.name_off)
    }

    /// The first type of one of `kinds` that is called `name`.
    #[must_use]
    pub fn find(&self, kinds: &[BtfKind], name: &str) -> Option<BtfType<'a>> {
        self.of_kinds(kinds).find(|ty| self.is_named(ty, name))
    }

    /// True if `ty` is called `name`, however long the string is that it points to.
    pub(crate) fn is_named(&self, ty: &BtfType<'a>, name: &str) -> bool {
        let rest = self.string_bytes(ty.name_off).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Skips `typedef`, `const`, `volatile`, `restrict` and type tags.
    ///
    /// # Errors
    /// If an id is out of range, or the chain never ends.
    pub fn skip_modifiers(&self, id: u32) -> Result<BtfType<'a>, BtfError> {
        let mut ty = self.get(id)?;
        let first = ty;
        for _ in 0..MAX_DEPTH {
            if !ty.kind.is_modifier() {
                return Ok(ty);
            }
            ty = self.get(ty.type_id())?;
        }
        Err(first.error(format!("a chain of over {MAX_DEPTH} typedefs and qualifiers: a cycle")))
    }
}

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
