//! From layouts to BTF, with which a node creates maps that tell their layout, without a compiler.
//!
//! [`Resolver`](super::Resolver) reads what [`encode`] writes back as an equal layout. The kernel checks more than that:
//! what it demands of each kind is said where the kind is written (`btf_*_check_meta` in kernel/bpf/btf.c).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ptr;

use super::kind::{BtfKind, HEADER_LEN, MAGIC};
use super::reader::MAX_DEPTH;
use crate::kernel_field;
use crate::layout::{Composite, CompositeKind, Enumeration, IntKind, Layout, Member, Shape};

/// Most bytes of types, and of strings, that the kernel takes (`BTF_MAX_NAME_OFFSET`, `BTF_MAX_SIZE`: 16 MiB in all).
const MAX_SECTION: usize = 8 << 20;
/// Most bytes of a name (`KSYM_NAME_LEN`, with its NUL; 128 before Linux 6.1).
const MAX_NAME: usize = 511;
/// `kind_flag` of `struct btf_type`.
const KIND_FLAG: u32 = 1 << 31;

/// BTF for one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The blob, in this machine's byte order: what `BPF_BTF_LOAD` takes.
    pub bytes: Vec<u8>,
    /// Type of the key; 0 for none.
    pub key_type_id: u32,
    /// Type of the value; 0 for none.
    pub value_type_id: u32,
    /// True if a declaration tag is in it.
    pub is_tagged: bool,
}

/// Why a layout can't be written as BTF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError(String);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

type Result<T> = std::result::Result<T, EncodeError>;

fn fail<T>(problem: String) -> Result<T> {
    Err(EncodeError(problem))
}

/// BTF in which `key` and `value` are types, each type written once.
///
/// Two things differ when this is read back, neither of which is part of a digest: members are in the order of their
/// offsets, and characters of a type's name that the kernel refuses are `_`.
///
/// # Errors
/// If BTF can't say it, or the kernel never takes it: sizes that no compiler gives, members and enumerators without a
/// valid name, more than 65,535 members, `bpf_list_head` and `bpf_rb_root` (of what they hold, a layout says
/// nothing), `uptr`; where there is nothing to write.
///
/// Versions of structs are declaration tags, which kernels before 5.16 refuse: [`encode_untagged`].
pub fn encode(key: Option<&Layout>, value: Option<&Layout>) -> Result<Encoded> {
    write(key, value, true)
}

/// The same without the versions of structs.
///
/// # Errors
/// As [`encode`].
pub fn encode_untagged(key: Option<&Layout>, value: Option<&Layout>) -> Result<Encoded> {
    write(key, value, false)
}

fn write(key: Option<&Layout>, value: Option<&Layout>, has_tags: bool) -> Result<Encoded> {
    let mut encoder = Encoder { strings: vec![0], has_tags, ..Encoder::default() };
    let mut add = |layout: Option<&Layout>| layout.map_or(Ok(0), |layout| encoder.layout(layout, 0));
    let (key_type_id, value_type_id) = (add(key)?, add(value)?);
    if encoder.types.is_empty() {
        return fail("neither key nor value has a layout".to_owned());
    }
    let is_tagged = encoder.is_tagged;
    Ok(Encoded { bytes: encoder.blob(), key_type_id, value_type_id, is_tagged })
}

#[derive(Default)]
struct Encoder {
    /// True if versions are to be written.
    has_tags: bool,
    /// True if one is.
    is_tagged: bool,
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Offset of each string.
    names: HashMap<String, u32>,
    /// Id of each record, so that equal types are one.
    records: HashMap<Vec<u32>, u32>,
    /// Id of each part of a layout, by address and size: the number of *paths* to one can be exponential.
    done: HashMap<(*const (), u64), u32>,
}

impl Encoder {
    fn layout(&mut self, layout: &Layout, depth: usize) -> Result<u32> {
        // A typedef is a level of its own to whoever reads it.
        let depth = depth + usize::from(layout.typedef.is_some());
        if depth >= MAX_DEPTH {
            return fail(format!("types are nested over {MAX_DEPTH} levels deep"));
        }
        let key = (ptr::from_ref(layout).cast(), layout.size);
        if let Some(id) = self.done.get(&key) {
            return Ok(*id);
        }
        let mut id = self.shape(layout, depth)?;
        if let Some(name) = &layout.typedef {
            id = self.named(BtfKind::Typedef, name, 0, id)?;
        }
        self.done.insert(key, id);
        Ok(id)
    }

    fn shape(&mut self, layout: &Layout, depth: usize) -> Result<u32> {
        let size = layout.size;
        let Ok(bytes) = u32::try_from(size) else {
            return fail(format!("`{}` takes {size} bytes, over 4 GiB", layout.spelling()));
        };
        match &layout.shape {
            Shape::Int(kind) => self.int(*kind, bytes),
            Shape::Float => {
                let name = match size {
                    2 => "_Float16",
                    4 => "float",
                    8 => "double",
                    12 | 16 => "long double",
                    _ => return fail(format!("a floating-point number of {size} bytes")),
                };
                self.named(BtfKind::Float, name, 0, bytes)
            }
            Shape::Enum(of) => self.enumeration(of, bytes),
            Shape::Pointer { target } if size == 8 => self.pointer(target),
            Shape::Pointer { target } => fail(format!("a pointer to `{target}` of {size} bytes")),
            Shape::Array { element, len } => {
                let element_id = self.layout(element, depth + 1)?;
                if element.size.checked_mul(u64::from(*len)) != Some(size) {
                    return fail(format!("`{}` is said to take {size} bytes", layout.spelling()));
                }
                self.array(element_id, *len)
            }
            Shape::Composite(of) => self.composite(of, bytes, depth),
            Shape::Opaque { name } if size == 0 => self.opaque(name),
            Shape::Opaque { name } => fail(format!("`{name}` has {size} bytes of which nothing is known")),
        }
    }

    fn int(&mut self, kind: IntKind, bytes: u32) -> Result<u32> {
        const SIGNED: u32 = 1 << 24;
        const BOOL: u32 = 4 << 24;
        if !(1..=16).contains(&bytes) || kind == IntKind::Char && bytes != 1 {
            return fail(format!("an integer of {bytes} bytes"));
        }
        let (encoding, name) = match (kind, bytes) {
            (IntKind::Bool, _) => (BOOL, "_Bool"),
            // As clang does: only its name tells it from `signed char`.
            (IntKind::Char, _) => (SIGNED, "char"),
            (IntKind::Unsigned, 1) => (0, "unsigned char"),
            (IntKind::Unsigned, 2) => (0, "unsigned short"),
            (IntKind::Unsigned, 4) => (0, "unsigned int"),
            (IntKind::Unsigned, 8) => (0, "unsigned long long"),
            (IntKind::Unsigned, 16) => (0, "unsigned __int128"),
            (IntKind::Unsigned, _) => (0, "unsigned _BitInt"),
            (IntKind::Signed, 1) => (SIGNED, "signed char"),
            (IntKind::Signed, 2) => (SIGNED, "short"),
            (IntKind::Signed, 4) => (SIGNED, "int"),
            (IntKind::Signed, 8) => (SIGNED, "long long"),
            (IntKind::Signed, 16) => (SIGNED, "__int128"),
            (IntKind::Signed, _) => (SIGNED, "_BitInt"),
        };
        let name = self.string(name)?;
        self.record(BtfKind::Int, 0, name, 0, bytes, &[encoding | (bytes * 8)])
    }

    /// A type of which nothing but its name is known: an integer without bits, since that may have any name.
    fn opaque(&mut self, name: &str) -> Result<u32> {
        let name = self.string(cut(name))?;
        self.record(BtfKind::Int, 0, name, 0, 0, &[0])
    }

    /// The kernel demands an index of 4 bytes.
    fn array(&mut self, element: u32, len: u32) -> Result<u32> {
        let index = self.int(IntKind::Unsigned, 4)?;
        self.record(BtfKind::Array, 0, 0, 0, 0, &[element, index, len])
    }

    fn enumeration(&mut self, of: &Enumeration, bytes: u32) -> Result<u32> {
        let key = (ptr::from_ref(of).cast(), u64::from(bytes));
        if let Some(id) = self.done.get(&key) {
            return Ok(*id);
        }
        let label = of.name.as_deref().unwrap_or("(anonymous)");
        if !matches!(bytes, 1 | 2 | 4 | 8) {
            return fail(format!("`enum {label}` has {bytes} bytes"));
        }
        let values = || of.values.iter().map(|(_, value)| *value);
        // `BTF_KIND_ENUM64` is as young as Linux 6.0, and so is the flag of the other kind, which the reader ignores.
        let is_narrow = values().all(|value| i32::try_from(value).is_ok());
        let is_signed = values().any(|value| value < 0);
        let mut trailer = Vec::new();
        for (name, value) in &of.values {
            trailer.push(self.part_name(name, || format!("an enumerator of `enum {label}`"))?);
            let word = match (is_signed, i64::try_from(*value), u64::try_from(*value)) {
                (true, Ok(value), _) => value.cast_unsigned(),
                (false, _, Ok(value)) => value,
                _ => return fail(format!("`{name}` of `enum {label}` is {value}, which 64 bits can't hold")),
            };
            trailer.push(word as u32);
            if !is_narrow {
                trailer.push((word >> 32) as u32);
            }
        }
        let (kind, flag) = match (is_narrow, is_signed) {
            (true, _) => (BtfKind::Enum, 0),
            (false, true) => (BtfKind::Enum64, KIND_FLAG),
            (false, false) => (BtfKind::Enum64, 0),
        };
        let name = self.type_name(of.name.as_deref().unwrap_or_default())?;
        let id = self.record(kind, flag, name, of.values.len(), bytes, &trailer)?;
        self.done.insert(key, id);
        Ok(id)
    }

    /// A pointer, from what [`Shape::Pointer`] says of its target: `struct task_struct`, `kptr struct x`, `u32 *`.
    fn pointer(&mut self, target: &str) -> Result<u32> {
        let tag = kernel_field::tag(target);
        let untagged = tag.map_or(target, |tag| target[tag.len()..].trim_start());
        let base = untagged.trim_end_matches('*');
        let stars = untagged.len() - base.len();
        let base = base.trim_end();
        if stars > MAX_DEPTH {
            return fail(format!("a pointer to a pointer, {stars} times over"));
        }
        if tag == Some("uptr") {
            // The kernel wants its size, to pin the page that it is in.
            return fail(format!("a `uptr` to `{base}`, whose size a layout does not say"));
        }
        let mut id = match base.split_once(' ') {
            _ if base == "void" => 0,
            // No declaration will do where the kernel looks for its own struct of that name (`btf_find_kptr`).
            Some(("struct", name)) if tag.is_some() && stars == 0 => self.named(BtfKind::Struct, name, 0, 0)?,
            Some(("struct", name)) => self.named(BtfKind::Fwd, name, 0, 0)?,
            Some(("union", name)) => self.named(BtfKind::Fwd, name, KIND_FLAG, 0)?,
            Some(("enum", name)) => self.named(BtfKind::Enum, name, 0, 4)?,
            _ if base == "function" => self.record(BtfKind::FuncProto, 0, 0, 0, 0, &[])?,
            _ if base == "array" => {
                let element = self.int(IntKind::Unsigned, 1)?;
                self.array(element, 0)?
            }
            _ => self.opaque(base)?,
        };
        for _ in 0..stars {
            id = self.record(BtfKind::Ptr, 0, 0, 0, id, &[])?;
        }
        if let Some(tag) = tag {
            id = self.named(BtfKind::TypeTag, tag, 0, id)?;
        }
        self.record(BtfKind::Ptr, 0, 0, 0, id, &[])
    }

    fn composite(&mut self, of: &Composite, bytes: u32, depth: usize) -> Result<u32> {
        let key = (ptr::from_ref(of).cast(), u64::from(bytes));
        if let Some(id) = self.done.get(&key) {
            return Ok(*id);
        }
        let tag = of.name().map_or("", |name| name.as_str());
        let label = || format!("{} {}", of.kind().keyword(), if tag.is_empty() { "(anonymous)" } else { tag });
        if let Some(name @ ("bpf_list_head" | "bpf_rb_root")) = of.kernel_name() {
            return fail(format!("`struct {name}`: a layout does not say what it holds, which the kernel must know"));
        }
        let mut members: Vec<&Member> = of.members().iter().collect();
        // The kernel refuses members that step back.
        members.sort_by_key(|member| member.offset_bits);
        let has_bits = members.iter().any(|member| member.bits.is_some());
        let mut trailer = Vec::with_capacity(members.len() * 3);
        for member in members {
            let name = &member.name;
            let problem = match (u32::try_from(member.offset_bits), member.bits) {
                (Ok(offset), bits)
                    if !has_bits || offset < 1 << 24 && bits.is_none_or(|bits| (1..256).contains(&bits)) =>
                {
                    let id = self.layout(&member.layout, depth + 1)?;
                    let name = match &**name {
                        "" if of.kind() != CompositeKind::Section => 0,
                        name => self.part_name(name, || format!("a member of `{}`", label()))?,
                    };
                    if of.kind() == CompositeKind::Section {
                        const GLOBAL: u32 = 1;
                        let variable = self.record(BtfKind::Var, 0, name, 0, id, &[GLOBAL])?;
                        trailer.extend([variable, offset / 8, member.layout.size as u32]);
                    } else {
                        trailer.extend([name, id, bits.unwrap_or(0) << 24 | offset]);
                    }
                    continue;
                }
                (_, Some(bits)) => format!("has {bits} bits from bit {}", member.offset_bits),
                (_, None) => format!("starts at bit {}", member.offset_bits),
            };
            return fail(format!("member `{name}` of `{}` {problem}, which BTF can't say", label()));
        }
        let (kind, name) = match of.kind() {
            CompositeKind::Struct => (BtfKind::Struct, self.type_name(tag)?),
            CompositeKind::Union => (BtfKind::Union, self.type_name(tag)?),
            CompositeKind::Section => (BtfKind::Datasec, self.string(tag)?),
        };
        let flag = if has_bits { KIND_FLAG } else { 0 };
        let version = if self.has_tags { of.version() } else { 0 };
        let (vlen, distinct) = (of.members().len(), (version != 0).then_some(version));
        let id = self.distinct_record((kind, flag, name, vlen, bytes), &trailer, distinct)?;
        if version != 0 {
            let text = self.string(&format!("maplock:version={version}"))?;
            const THE_TYPE_ITSELF: u32 = u32::MAX;
            self.record(BtfKind::DeclTag, 0, text, 0, id, &[THE_TYPE_ITSELF])?;
            self.is_tagged = true;
        }
        self.done.insert(key, id);
        Ok(id)
    }

    /// A record with a name and nothing behind it.
    fn named(&mut self, kind: BtfKind, name: &str, flag: u32, size_or_type: u32) -> Result<u32> {
        let name = match kind {
            BtfKind::Float => self.string(name)?,
            _ => self.type_name(name)?,
        };
        self.record(kind, flag, name, 0, size_or_type, &[])
    }

    /// The id of a record, which is written unless there is one like it.
    fn record(
        &mut self,
        kind: BtfKind,
        flag: u32,
        name: u32,
        vlen: usize,
        size_or_type: u32,
        trailer: &[u32],
    ) -> Result<u32> {
        self.distinct_record((kind, flag, name, vlen, size_or_type), trailer, None)
    }

    /// As [`Self::record`], for one that is told by `distinct` too from others like it.
    fn distinct_record(
        &mut self,
        (kind, flag, name, vlen, size_or_type): (BtfKind, u32, u32, usize, u32),
        trailer: &[u32],
        distinct: Option<u32>,
    ) -> Result<u32> {
        let Ok(vlen) = u16::try_from(vlen) else {
            return fail(format!("a type of {vlen} members, of which BTF can count 65,535"));
        };
        let info = flag | (kind as u32) << 24 | u32::from(vlen);
        let mut record = [&[name, info, size_or_type], trailer].concat();
        let words = record.len();
        record.extend(distinct);
        let next = self.records.len() as u32 + 1;
        if let Some(id) = self.records.get(&record) {
            return Ok(*id);
        }
        self.types.extend(record[..words].iter().flat_map(|word| word.to_ne_bytes()));
        if self.types.len() > MAX_SECTION {
            return fail(format!("types take over {} MiB of BTF", MAX_SECTION >> 20));
        }
        self.records.insert(record, next);
        Ok(next)
    }

    /// The name of a member or an enumerator, which is part of what the bytes mean.
    fn part_name(&mut self, name: &str, of_what: impl Fn() -> String) -> Result<u32> {
        if name.len() > MAX_NAME || name.is_empty() || !matches!(identifier(name), Cow::Borrowed(_)) {
            return fail(format!("`{name}`, {}, is no name that the kernel takes", of_what()));
        }
        self.string(name)
    }

    /// The name of a type, as far as the kernel takes it.
    fn type_name(&mut self, name: &str) -> Result<u32> {
        let name = identifier(cut(name));
        self.string(&name)
    }

    fn string(&mut self, text: &str) -> Result<u32> {
        if text.is_empty() {
            return Ok(0);
        }
        if let Some(at) = self.names.get(text) {
            return Ok(*at);
        }
        if text.contains('\0') {
            return fail(format!("{text:?} holds a zero, where names end"));
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        if self.strings.len() > MAX_SECTION {
            return fail(format!("names take over {} MiB of BTF", MAX_SECTION >> 20));
        }
        self.names.insert(text.to_owned(), at);
        Ok(at)
    }

    fn blob(self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut blob = Vec::with_capacity(HEADER_LEN + self.types.len() + self.strings.len());
        blob.extend(MAGIC.to_ne_bytes());
        // Version and flags.
        blob.extend([1, 0]);
        for word in [HEADER_LEN as u32, 0, types, types, strings] {
            blob.extend(word.to_ne_bytes());
        }
        blob.extend(self.types);
        blob.extend(self.strings);
        blob
    }
}

/// As much of `name` as the kernel takes.
fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(MAX_NAME)).rev().find(|&end| name.is_char_boundary(end));
    &name[..end.unwrap_or(0)]
}

/// `name` with `_` for what the kernel takes in no identifier (`btf_name_valid_identifier`).
fn identifier(name: &str) -> Cow<'_, str> {
    let is_valid = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit();
    if name.chars().enumerate().all(is_valid) {
        return Cow::Borrowed(name);
    }
    name.chars().enumerate().map(|(at, c)| if is_valid((at, c)) { c } else { '_' }).collect()
}
