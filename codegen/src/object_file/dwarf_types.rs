//! Types of DWARF, written as BTF: so one reader makes layouts of both, with the same names, limits and errors.
//!
//! What LLVM writes when it makes BTF of the same types is written here, too; for the variants of a Rust enum this is an anonymous
//! union of the discriminant and a struct for each.

use std::collections::HashMap;
use std::sync::Arc;

use gimli::{AttributeValue, DwAte, DwTag, UnitOffset};
use maplock_layout::Layout;
use maplock_layout::btf::{Btf, BtfKind, Resolver};

use super::ObjectError;
use super::dwarf::{Entry, MAX_STEPS, Slice, Units, Walk};

/// LLVM's own: what `btf_type_tag` and `btf_decl_tag` say.
const ANNOTATION: DwTag = DwTag(0x6000);
/// Bytes of the names that one type may reach.
const MAX_STRINGS: usize = 16 << 20;
/// `kind_flag` of `struct btf_type`.
const KIND_FLAG: u32 = 1 << 31;

/// A type's place: its unit, and where it is in there.
pub(super) type Place = (usize, UnitOffset);

/// What is directly in an entry.
pub(super) fn children<'u, 'a>(walk: &Walk<'u, 'a>, at: UnitOffset) -> Vec<Entry<'u, 'a>> {
    let mut found = Vec::new();
    let Ok(mut tree) = walk.unit.entries_tree(Some(at)) else { return found };
    let Ok(root) = tree.root() else { return found };
    let mut children = root.children();
    while let Ok(Some(child)) = children.next() {
        found.push(child.entry().clone());
    }
    found
}

impl Units<'_, '_> {
    /// The type that an entry says it has; none for `void`.
    pub(super) fn type_of(&self, (unit, at): Place) -> Result<Option<Place>, ObjectError> {
        let lost = || ObjectError::new("a type of the DWARF refers to one that is not there".to_owned());
        let walk = self.walk(unit);
        let entry = walk.entry(at).ok_or_else(lost)?;
        match entry.attr_value(gimli::DW_AT_type) {
            None => Ok(None),
            Some(AttributeValue::UnitRef(at)) => Ok(Some((unit, at))),
            // As in programs that were linked together.
            Some(AttributeValue::DebugInfoRef(at)) => {
                let place = |(index, unit): (usize, &gimli::Unit<_>)| Some((index, at.to_unit_offset(&unit.header)?));
                self.units.iter().enumerate().find_map(place).map(Some).ok_or_else(lost)
            }
            Some(_) => Err(lost()),
        }
    }

    /// The layout of a type.
    pub(super) fn layout(&self, place: Place) -> Result<Arc<Layout>, ObjectError> {
        let mut encoder = Encoder {
            units: self,
            ids: HashMap::new(),
            waiting: Vec::new(),
            records: Vec::new(),
            strings: vec![0],
            names: HashMap::new(),
        };
        let id = encoder.id(place)?;
        while let Some((place, id)) = encoder.waiting.pop() {
            let record = encoder.record(place)?;
            encoder.records[id as usize - 1] = record;
            // Names may share their bytes in `.debug_str`, and their copies don't.
            if encoder.strings.len() > MAX_STRINGS {
                return Err(ObjectError::new("names of the DWARF add up to over 16 MiB".to_owned()));
            }
        }
        let blob = encoder.blob();
        let btf = Btf::parse(&blob)?;
        Ok(Resolver::new(&btf).resolve(id)?)
    }
}

/// Writes one type, and what it reaches.
struct Encoder<'e, 'u, 'a> {
    units: &'e Units<'u, 'a>,
    ids: HashMap<Place, u32>,
    /// Types that have an id, and no record yet.
    waiting: Vec<(Place, u32)>,
    /// The words of each record.
    records: Vec<Vec<u32>>,
    strings: Vec<u8>,
    names: HashMap<String, u32>,
}

/// A member as BTF has it.
struct Member {
    name: u32,
    ty: u32,
    offset_bits: u64,
    bits: u64,
}

impl<'e, 'u, 'a> Encoder<'e, 'u, 'a> {
    fn entry(&self, (unit, at): Place) -> Result<(Walk<'e, 'a>, Entry<'e, 'a>), ObjectError> {
        let walk = self.units.walk(unit);
        let entry = walk.entry(at).ok_or_else(|| ObjectError::new("the DWARF is damaged".to_owned()))?;
        Ok((walk, entry))
    }

    /// The id of a type, which gets its record later.
    fn id(&mut self, place: Place) -> Result<u32, ObjectError> {
        if let Some(id) = self.ids.get(&place) {
            return Ok(*id);
        }
        let id = self.add(Vec::new());
        self.ids.insert(place, id);
        self.waiting.push((place, id));
        Ok(id)
    }

    /// The id of the type that an entry has: 0, for `void`, if it has none.
    fn id_of(&mut self, place: Place) -> Result<u32, ObjectError> {
        self.units.type_of(place)?.map_or(Ok(0), |place| self.id(place))
    }

    fn add(&mut self, record: Vec<u32>) -> u32 {
        self.records.push(record);
        self.records.len() as u32
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(at) = self.names.get(text) {
            return *at;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes());
        self.strings.push(0);
        self.names.insert(text.to_owned(), at);
        at
    }

    fn name(&mut self, walk: &Walk<'_, 'a>, entry: &Entry<'_, 'a>) -> u32 {
        let name = walk.name(entry).unwrap_or_default();
        self.string(&name)
    }

    fn record(&mut self, place: Place) -> Result<Vec<u32>, ObjectError> {
        let (walk, entry) = self.entry(place)?;
        let name = self.name(&walk, &entry);
        let plain = |kind: BtfKind, id: u32| vec![name, head(kind, 0), id];
        let unnamed = |kind: BtfKind, id: u32| vec![0, head(kind, 0), id];
        Ok(match entry.tag() {
            gimli::DW_TAG_base_type => base_type(name, &entry)?,
            gimli::DW_TAG_typedef => plain(BtfKind::Typedef, self.id_of(place)?),
            gimli::DW_TAG_const_type => unnamed(BtfKind::Const, self.id_of(place)?),
            // `_Atomic` says as little of the bytes as `volatile`.
            gimli::DW_TAG_volatile_type | gimli::DW_TAG_atomic_type => unnamed(BtfKind::Volatile, self.id_of(place)?),
            gimli::DW_TAG_restrict_type => unnamed(BtfKind::Restrict, self.id_of(place)?),
            gimli::DW_TAG_pointer_type => {
                let mut target = self.target(place)?;
                for child in children(&walk, place.1).iter().filter(|child| child.tag() == ANNOTATION) {
                    let tag = child.attr_value(gimli::DW_AT_const_value).and_then(|value| walk.text(value));
                    if walk.name(child).as_deref() == Some("btf_type_tag") {
                        let name = self.string(&tag.unwrap_or_default());
                        target = self.add(vec![name, head(BtfKind::TypeTag, 0), target]);
                    }
                }
                unnamed(BtfKind::Ptr, target)
            }
            gimli::DW_TAG_array_type => self.array(place)?,
            gimli::DW_TAG_enumeration_type => self.enumeration(name, place)?,
            gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type if is_declaration(&entry) => {
                forward(name, entry.tag())
            }
            gimli::DW_TAG_structure_type => self.composite(name, BtfKind::Struct, place)?,
            gimli::DW_TAG_union_type => self.composite(name, BtfKind::Union, place)?,
            gimli::DW_TAG_subroutine_type => vec![0, head(BtfKind::FuncProto, 0), 0],
            other => {
                return Err(ObjectError::new(format!("{other} in the DWARF is no type that a map can have")));
            }
        })
    }

    /// What a pointer points to, by its name alone: pointers are where a layout ends.
    fn target(&mut self, mut place: Place) -> Result<u32, ObjectError> {
        for _ in 0..MAX_STEPS {
            let Some(behind) = self.units.type_of(place)? else { return Ok(0) };
            let (walk, entry) = self.entry(behind)?;
            let name = self.name(&walk, &entry);
            let record = match entry.tag() {
                gimli::DW_TAG_const_type
                | gimli::DW_TAG_volatile_type
                | gimli::DW_TAG_restrict_type
                | gimli::DW_TAG_atomic_type => {
                    place = behind;
                    continue;
                }
                gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => forward(name, entry.tag()),
                gimli::DW_TAG_enumeration_type => vec![name, head(BtfKind::Enum, 0), 4],
                gimli::DW_TAG_typedef => vec![name, head(BtfKind::Typedef, 0), 0],
                gimli::DW_TAG_array_type => vec![0, head(BtfKind::Array, 0), 0, 0, 0, 0],
                _ => return self.id(behind),
            };
            return Ok(self.add(record));
        }
        Ok(0)
    }

    fn array(&mut self, place: Place) -> Result<Vec<u32>, ObjectError> {
        let (walk, _) = self.entry(place)?;
        let mut lengths = Vec::new();
        for child in children(&walk, place.1).iter().filter(|child| child.tag() == gimli::DW_TAG_subrange_type) {
            let number = |name| child.attr_value(name).and_then(|value| value.udata_value());
            let behind_last = number(gimli::DW_AT_upper_bound).map(|last| last.wrapping_add(1));
            let len = number(gimli::DW_AT_count).or(behind_last).unwrap_or(0);
            lengths.push(u32::try_from(len).map_err(|_| ObjectError::new(format!("an array of {len} elements")))?);
        }
        let mut element = self.id_of(place)?;
        let first = lengths.first().copied().unwrap_or(0);
        for len in lengths.iter().skip(1).rev() {
            element = self.add(vec![0, head(BtfKind::Array, 0), 0, element, 0, *len]);
        }
        Ok(vec![0, head(BtfKind::Array, 0), 0, element, 0, first])
    }

    fn enumeration(&mut self, name: u32, place: Place) -> Result<Vec<u32>, ObjectError> {
        let (walk, entry) = self.entry(place)?;
        let signed = match self.units.type_of(place)? {
            Some(behind) => is_signed(&self.entry(behind)?.1),
            None => false,
        };
        let size = size_of(&entry)?;
        let (mut words, mut count, mut any_negative) = (Vec::new(), 0, false);
        for child in children(&walk, place.1).iter().filter(|child| child.tag() == gimli::DW_TAG_enumerator) {
            let Some(value) = child.attr_value(gimli::DW_AT_const_value).and_then(|value| number(&value, signed))
            else {
                return Err(ObjectError::new("an enumerator of the DWARF has no number of 64 bits".to_owned()));
            };
            any_negative |= value < 0;
            words.push(self.name(&walk, child));
            words.push(value as u32);
            if size == 8 {
                words.push((value >> 32) as u32);
            }
            count += 1;
        }
        let kind = if size == 8 { BtfKind::Enum64 } else { BtfKind::Enum };
        let flag = if any_negative { KIND_FLAG } else { 0 };
        let mut record = vec![name, head(kind, count_of(count)?) | flag, size];
        record.append(&mut words);
        Ok(record)
    }

    fn composite(&mut self, name: u32, kind: BtfKind, place: Place) -> Result<Vec<u32>, ObjectError> {
        let (walk, entry) = self.entry(place)?;
        let size = size_of(&entry)?;
        let mut members = Vec::new();
        for child in children(&walk, place.1) {
            match child.tag() {
                gimli::DW_TAG_member if !is_declaration(&child) => {
                    members.push(self.member(&walk, (place.0, child.offset()), &child)?);
                }
                gimli::DW_TAG_variant_part => {
                    let variants = self.variants((place.0, child.offset()))?;
                    let record = composite_record(0, BtfKind::Union, size, &variants)?;
                    members.push(Member { name: 0, ty: self.add(record), offset_bits: 0, bits: 0 });
                }
                // A version of what the bytes mean, perhaps.
                ANNOTATION if walk.name(&child).as_deref() == Some("btf_decl_tag") => {
                    let text = child.attr_value(gimli::DW_AT_const_value).and_then(|value| walk.text(value));
                    let text = self.string(&text.unwrap_or_default());
                    let own = self.ids.get(&place).copied().unwrap_or(0);
                    self.add(vec![text, head(BtfKind::DeclTag, 0), own, u32::MAX]);
                }
                _ => {}
            }
        }
        composite_record(name, kind, size, &members)
    }

    /// The discriminant, and the struct of each variant.
    fn variants(&mut self, (unit, at): Place) -> Result<Vec<Member>, ObjectError> {
        let walk = self.units.walk(unit);
        let mut members = Vec::new();
        for child in children(&walk, at) {
            match child.tag() {
                gimli::DW_TAG_member => members.push(self.member(&walk, (unit, child.offset()), &child)?),
                gimli::DW_TAG_variant => {
                    for inner in children(&walk, child.offset()).iter().filter(|of| of.tag() == gimli::DW_TAG_member) {
                        members.push(self.member(&walk, (unit, inner.offset()), inner)?);
                    }
                }
                _ => {}
            }
        }
        // The discriminant may lie anywhere, which an arm of a union can't.
        members.iter_mut().for_each(|member| member.offset_bits = 0);
        Ok(members)
    }

    fn member(&mut self, walk: &Walk<'_, 'a>, place: Place, entry: &Entry<'_, 'a>) -> Result<Member, ObjectError> {
        let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
        let bits = number(gimli::DW_AT_bit_size).unwrap_or(0);
        let start = number(gimli::DW_AT_data_member_location).unwrap_or(0).saturating_mul(8);
        let offset_bits = match (number(gimli::DW_AT_data_bit_offset), number(gimli::DW_AT_bit_offset)) {
            (Some(offset), _) => offset,
            // Before DWARF 4: from the most significant bit of an integer of that many bytes.
            (None, Some(offset)) if self.units.big_endian => start.saturating_add(offset),
            (None, Some(offset)) => {
                let behind = self.units.type_of(place)?.map_or(Ok(0), |of| self.size_behind(of))?;
                let storage = number(gimli::DW_AT_byte_size).unwrap_or(behind).saturating_mul(8);
                // The offset is negative, as a word of two's complement, where the bits reach out of it.
                start.wrapping_add(storage).wrapping_sub(offset).wrapping_sub(bits)
            }
            (None, None) => start,
        };
        Ok(Member { name: self.name(walk, entry), ty: self.id_of(place)?, offset_bits, bits })
    }

    /// Bytes of the integer behind typedefs.
    fn size_behind(&self, mut place: Place) -> Result<u64, ObjectError> {
        for _ in 0..MAX_STEPS {
            let (_, entry) = self.entry(place)?;
            if let Some(size) = entry.attr_value(gimli::DW_AT_byte_size).and_then(|value| value.udata_value()) {
                return Ok(size);
            }
            let Some(behind) = self.units.type_of(place)? else { break };
            place = behind;
        }
        Ok(0)
    }

    /// All of it, little-endian.
    fn blob(&self) -> Vec<u8> {
        let types: Vec<u8> = self.records.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
        let (types_len, strings_len) = (types.len() as u32, self.strings.len() as u32);
        let mut blob = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types_len, types_len, strings_len] {
            blob.extend(word.to_le_bytes());
        }
        blob.extend(types);
        blob.extend(&self.strings);
        blob
    }
}

fn head(kind: BtfKind, vlen: u16) -> u32 {
    (kind as u32) << 24 | u32::from(vlen)
}

fn count_of(count: usize) -> Result<u16, ObjectError> {
    u16::try_from(count).map_err(|_| ObjectError::new(format!("a type of the DWARF has {count} members")))
}

fn forward(name: u32, tag: DwTag) -> Vec<u32> {
    let flag = if tag == gimli::DW_TAG_union_type { KIND_FLAG } else { 0 };
    vec![name, head(BtfKind::Fwd, 0) | flag, 0]
}

fn is_declaration(entry: &Entry<'_, '_>) -> bool {
    entry.attr_value(gimli::DW_AT_declaration).is_some()
}

fn size_of(entry: &Entry<'_, '_>) -> Result<u32, ObjectError> {
    let size = entry.attr_value(gimli::DW_AT_byte_size).and_then(|value| value.udata_value());
    size.and_then(|size| u32::try_from(size).ok())
        .ok_or_else(|| ObjectError::new("a type of the DWARF has no size of 32 bits".to_owned()))
}

fn encoding(entry: &Entry<'_, '_>) -> Option<DwAte> {
    match entry.attr_value(gimli::DW_AT_encoding)? {
        AttributeValue::Encoding(encoding) => Some(encoding),
        _ => None,
    }
}

fn is_signed(entry: &Entry<'_, '_>) -> bool {
    matches!(encoding(entry), Some(gimli::DW_ATE_signed | gimli::DW_ATE_signed_char))
}

/// The number of an enumerator, whose form may leave open whether it has a sign.
fn number(value: &AttributeValue<Slice<'_>>, is_signed: bool) -> Option<i128> {
    Some(match value {
        AttributeValue::Sdata(value) => (*value).into(),
        AttributeValue::Data1(value) if is_signed => value.cast_signed().into(),
        AttributeValue::Data2(value) if is_signed => value.cast_signed().into(),
        AttributeValue::Data4(value) if is_signed => value.cast_signed().into(),
        AttributeValue::Data8(value) if is_signed => value.cast_signed().into(),
        other => other.udata_value()?.into(),
    })
}

fn base_type(name: u32, entry: &Entry<'_, '_>) -> Result<Vec<u32>, ObjectError> {
    const SIGNED: u32 = 1 << 24;
    const BOOL: u32 = 4 << 24;
    let size = size_of(entry)?;
    let encoding = match encoding(entry) {
        Some(gimli::DW_ATE_float) => return Ok(vec![name, head(BtfKind::Float, 0), size]),
        Some(gimli::DW_ATE_boolean) => BOOL,
        Some(gimli::DW_ATE_signed | gimli::DW_ATE_signed_char) => SIGNED,
        // Rust's `char` is a number of 32 bits.
        Some(gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_UTF | gimli::DW_ATE_ASCII) => 0,
        other => {
            let kind = other.map_or_else(|| "without an encoding".to_owned(), |other| format!("of {other}"));
            return Err(ObjectError::new(format!("the DWARF has a number {kind}, which no map can have")));
        }
    };
    let bits = size.checked_mul(8).filter(|&bits| bits <= 128);
    let bits = bits.ok_or_else(|| ObjectError::new(format!("the DWARF has an integer of {size} bytes")))?;
    Ok(vec![name, head(BtfKind::Int, 0), size, encoding | bits])
}

fn composite_record(name: u32, kind: BtfKind, size: u32, members: &[Member]) -> Result<Vec<u32>, ObjectError> {
    let has_bits = members.iter().any(|member| member.bits != 0);
    let flag = if has_bits { KIND_FLAG } else { 0 };
    let mut record = vec![name, head(kind, count_of(members.len())?) | flag, size];
    for member in members {
        let offset = if has_bits {
            (member.offset_bits < 1 << 24 && member.bits < 1 << 8).then_some(member.bits << 24 | member.offset_bits)
        } else {
            Some(member.offset_bits)
        };
        let offset = offset.and_then(|offset| u32::try_from(offset).ok()).ok_or_else(|| {
            ObjectError::new(format!("a member of the DWARF is at bit {}, which is too far", member.offset_bits))
        })?;
        record.extend([member.name, member.ty, offset]);
    }
    Ok(record)
}
