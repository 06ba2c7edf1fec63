//! From type ids to layouts.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::BtfError;
use super::kind::BtfKind;
use super::reader::{Btf, MAX_DEPTH};
use super::record::BtfType;
use super::version_tag::{Versions, versions};
use crate::kernel_field;
use crate::layout::{
    Composite, CompositeKind, Enumeration, IntKind, Layout, Member, Shape, fixed_width_alias, printable,
};
use crate::name::Name;

/// Bit offset and width, in bits, of an integer that is narrower than its bytes.
type Narrow = Option<(u8, u8)>;

/// A type that is resolved.
#[derive(Debug)]
struct Done {
    layout: Arc<Layout>,
    /// 1 more than the highest of its parts.
    height: usize,
    /// Offset and width of an integer that is narrower than its bytes.
    narrow: Narrow,
}

/// Which types are resolved, by id. A table in two levels: the kernel's BTF has 130,000 types, of which a struct reaches
/// some hundreds that lie close to each other.
#[derive(Debug, Default)]
struct Index {
    /// For each 256 ids, 1 more than the position of each in [`Resolver::done`]; 0 for none.
    pages: Vec<Option<Box<[u32; 256]>>>,
}

impl Index {
    fn get(&self, id: u32) -> Option<usize> {
        let page = self.pages.get(id as usize >> 8)?.as_ref()?;
        (page[id as usize & 0xff] as usize).checked_sub(1)
    }

    fn set(&mut self, id: u32, position: usize) {
        let page = id as usize >> 8;
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([0; 256]))[id as usize & 0xff] = position as u32 + 1;
    }
}

/// Resolves type ids of one BTF blob, each at most once.
#[derive(Debug)]
pub struct Resolver<'b, 'a> {
    btf: &'b Btf<'a>,
    done: Vec<Done>,
    index: Index,
    /// Height of the highest part of the type that is being resolved, as far as it is done.
    height: usize,
    /// Long names by their offset, which many records may share.
    names: HashMap<u32, Arc<str>>,
    /// Bytes of names that may still be copied. Many records can point into one long string, each at another offset;
    /// without a bound their copies would grow with the square of the input.
    name_budget: usize,
    /// What tags say of structs and unions; looked for when there is the first of them.
    versions: Option<Versions>,
}

impl<'b, 'a> Resolver<'b, 'a> {
    /// A resolver that has resolved nothing yet.
    #[must_use]
    pub fn new(btf: &'b Btf<'a>) -> Self {
        let name_budget = 64 * 1024 + btf.byte_len().saturating_mul(8);
        Self {
            btf,
            done: Vec::new(),
            index: Index::default(),
            height: 0,
            names: HashMap::new(),
            name_budget,
            versions: None,
        }
    }

    /// The layout of type `id`.
    ///
    /// # Errors
    /// If a type that it reaches does not exist, nests too deep, contains itself, or has sizes that don't add up.
    pub fn resolve(&mut self, id: u32) -> Result<Arc<Layout>, BtfError> {
        Ok(Arc::clone(&self.resolve_at(id, 0)?.layout))
    }

    #[inline]
    fn resolve_at(&mut self, id: u32, depth: usize) -> Result<&Done, BtfError> {
        let position = match self.index.get(id) {
            Some(position) => {
                self.height = self.height.max(self.done[position].height);
                position
            }
            None => self.resolve_new(id, depth)?,
        };
        Ok(&self.done[position])
    }

    /// Position in `done`. Not inlined: most members are of a type that is there already.
    #[inline(never)]
    fn resolve_new(&mut self, id: u32, depth: usize) -> Result<usize, BtfError> {
        let ty = self.btf.get(id)?;
        let too_deep = || {
            ty.error(format!(
                "nested over {MAX_DEPTH} levels deep: does a type contain itself, or a typedef name itself?"
            ))
        };
        if depth == MAX_DEPTH {
            return Err(too_deep());
        }
        let siblings = std::mem::take(&mut self.height);
        let (layout, narrow) = match ty.kind {
            BtfKind::Typedef => {
                let inner = self.resolve_at(ty.type_id(), depth + 1)?;
                let (inner, narrow) = (Arc::clone(&inner.layout), inner.narrow);
                let name = self.string(&ty, ty.name_off)?;
                let says_nothing_new = matches!(
                    (&inner.shape, fixed_width_alias(&name)),
                    (Shape::Int(kind), Some((bits, signed)))
                        if u64::from(bits) == inner.size * 8
                            && *kind == if signed { IntKind::Signed } else { IntKind::Unsigned }
                );
                let layout = if !says_nothing_new {
                    Arc::new(Layout { typedef: Some(self.printable(&ty, name)?), ..(*inner).clone() })
                } else if inner.typedef.is_some() {
                    Arc::new(Layout { typedef: None, ..(*inner).clone() })
                } else {
                    inner
                };
                (layout, narrow)
            }
            kind if kind.is_modifier() => {
                let inner = self.resolve_at(ty.type_id(), depth + 1)?;
                (Arc::clone(&inner.layout), inner.narrow)
            }
            _ => (Arc::new(self.resolve_shape(&ty, depth)?), narrow_int(&ty)),
        };
        let height = self.height + 1;
        if height > MAX_DEPTH {
            return Err(too_deep());
        }
        self.height = siblings.max(height);
        let position = self.done.len();
        self.done.push(Done { layout, height, narrow });
        self.index.set(id, position);
        Ok(position)
    }

    fn resolve_shape(&mut self, ty: &BtfType<'a>, depth: usize) -> Result<Layout, BtfError> {
        let size = u64::from(ty.size());
        Ok(match ty.kind {
            BtfKind::Int => self.int(ty)?,
            // The sizes that the kernel knows (`btf_float_check_meta`).
            BtfKind::Float if matches!(size, 2 | 4 | 8 | 12 | 16) => Layout::new(size, Shape::Float),
            BtfKind::Float => return Err(ty.error(format!("a floating-point number of {size} bytes"))),
            BtfKind::Enum | BtfKind::Enum64 => {
                if !matches!(size, 1 | 2 | 4 | 8) {
                    return Err(ty.error(format!("an enum of {size} bytes")));
                }
                let values = ty
                    .enumerators()
                    .map(|(name, value)| Ok((self.part_name(ty, name)?, value)))
                    .collect::<Result<_, BtfError>>()?;
                Layout::new(size, Shape::Enum(Arc::new(Enumeration { name: self.tag(ty)?, values })))
            }
            BtfKind::Ptr => Layout::new(8, Shape::Pointer { target: self.target(ty.type_id())?.into() }),
            BtfKind::Array => {
                let (element, len) = ty.array();
                let element = Arc::clone(&self.resolve_at(element, depth + 1)?.layout);
                let size = element.size.checked_mul(u64::from(len)).filter(|&size| size <= u64::from(u32::MAX));
                let size = size.ok_or_else(|| {
                    ty.error(format!("an array of {len} elements of {} bytes is larger than 4 GiB", element.size))
                })?;
                Layout::new(size, Shape::Array { element, len })
            }
            BtfKind::Struct => self.composite(ty, CompositeKind::Struct, depth)?,
            BtfKind::Union => self.composite(ty, CompositeKind::Union, depth)?,
            BtfKind::Datasec => self.section(ty, depth)?,
            BtfKind::Void | BtfKind::Fwd | BtfKind::Func | BtfKind::FuncProto => {
                let name = self.spell(ty)?;
                self.spend(ty, name.len())?;
                Layout::new(0, Shape::Opaque { name: name.into() })
            }
            kind => return Err(ty.error(format!("a {kind:?} is not the type of anything"))),
        })
    }

    fn int(&mut self, ty: &BtfType<'a>) -> Result<Layout, BtfError> {
        const SIGNED: u8 = 1;
        const CHAR: u8 = 2;
        const BOOL: u8 = 4;
        let size = u64::from(ty.size());
        let (encoding, offset, bits) = ty.int();
        if size == 0 {
            // Rust's `()`.
            let name = self.string(ty, ty.name_off)?;
            return Ok(Layout::new(0, Shape::Opaque { name: self.printable(ty, name)? }));
        }
        if !(1..=16).contains(&size) || u64::from(offset) + u64::from(bits) > size * 8 {
            return Err(ty.error(format!("an integer of {bits} bits at bit {offset} of {size} bytes")));
        }
        let kind = match encoding {
            BOOL => IntKind::Bool,
            CHAR if size == 1 => IntKind::Char,
            // clang marks a plain `char` as signed; only its name tells it from `signed char`.
            _ if size == 1 && self.btf.is_named(ty, "char") => IntKind::Char,
            SIGNED => IntKind::Signed,
            0 | CHAR => IntKind::Unsigned,
            _ => return Err(ty.error(format!("integer encoding {encoding:#x} is unknown"))),
        };
        Ok(Layout::new(size, Shape::Int(kind)))
    }

    fn composite(&mut self, ty: &BtfType<'a>, kind: CompositeKind, depth: usize) -> Result<Layout, BtfError> {
        let size = u64::from(ty.size());
        let mut members = Vec::with_capacity(usize::from(ty.vlen()));
        for member in ty.members() {
            let name = self.part_name(ty, member.name_off)?;
            let Done { layout, narrow, .. } = self.resolve_at(member.type_id, depth + 1)?;
            let layout = Arc::clone(layout);
            let (mut offset_bits, mut bits) = (u64::from(member.offset_bits), member.bits);
            // Before `kind_flag`, a bit-field was a member whose integer type was narrower than its bytes.
            if let Some((shift, width)) = *narrow {
                offset_bits += u64::from(shift);
                bits = bits.or(Some(u32::from(width)));
            }
            let member = Member { name, offset_bits, bits, layout };
            member.check(size).map_err(|error| ty.error(error.to_string()))?;
            members.push(member);
        }
        let name = self.tag(ty)?;
        let composite = Composite::new(kind, name, members).map_err(|error| ty.error(error.to_string()))?;
        let version = self.version(ty, &composite)?;
        Ok(Layout::new(size, Shape::Composite(Arc::new(composite.with_version(version)))))
    }

    /// The version that a tag gives to a struct or union; 0 if none does.
    fn version(&mut self, ty: &BtfType<'a>, composite: &Composite) -> Result<u32, BtfError> {
        let btf = self.btf;
        match self.versions.get_or_insert_with(|| versions(btf)).get(&ty.id) {
            None => Ok(0),
            Some(Ok(version)) => Ok(*version),
            Some(Err(problem)) => {
                let name = composite.name().map_or("(anonymous)", |name| name.as_str());
                Err(ty.error(format!("`{} {name}`: {problem}", composite.kind().keyword())))
            }
        }
    }

    /// The variables of a section, which is the type of a map's value once a loader has laid it out.
    fn section(&mut self, ty: &BtfType<'a>, depth: usize) -> Result<Layout, BtfError> {
        let mut members = Vec::with_capacity(usize::from(ty.vlen()));
        for info in ty.secinfos() {
            let var = self.btf.get(info.type_id)?;
            if var.kind != BtfKind::Var {
                continue;
            }
            let name = self.part_name(&var, var.name_off)?;
            let layout = Arc::clone(&self.resolve_at(var.type_id(), depth + 1)?.layout);
            let member = Member { name, offset_bits: u64::from(info.offset) * 8, bits: None, layout };
            member.check(u64::from(ty.size())).map_err(|error| ty.error(error.to_string()))?;
            members.push(member);
        }
        members.sort_by(|a, b| (a.offset_bits, &a.name).cmp(&(b.offset_bits, &b.name)));
        let section = Composite::new(CompositeKind::Section, self.tag(ty)?, members)
            .map_err(|error| ty.error(error.to_string()))?;
        Ok(Layout::new(u64::from(ty.size()), Shape::Composite(Arc::new(section))))
    }

    fn tag(&mut self, ty: &BtfType<'a>) -> Result<Option<Name>, BtfError> {
        Ok(Some(self.part_name(ty, ty.name_off)?).filter(|name| !name.is_empty()))
    }

    /// The name of a variable or a tag, of which the caller makes a copy; empty if it has none.
    ///
    /// # Errors
    /// If the name is not valid, or names add up to many times the size of the BTF.
    pub fn name(&mut self, ty: &BtfType<'a>) -> Result<&'a str, BtfError> {
        let name = self.btf.name(ty)?;
        self.spend(ty, name.len())?;
        Ok(name)
    }

    fn string(&mut self, ty: &BtfType<'a>, offset: u32) -> Result<Arc<str>, BtfError> {
        if let Some(name) = self.names.get(&offset) {
            return Ok(Arc::clone(name));
        }
        let name = self.btf.name_at(ty, offset)?;
        self.spend(ty, name.len())?;
        let name: Arc<str> = name.into();
        self.names.insert(offset, Arc::clone(&name));
        Ok(name)
    }

    /// The name of a struct, a union or an enum, or of a part of one.
    fn part_name(&mut self, ty: &BtfType<'a>, offset: u32) -> Result<Name, BtfError> {
        match self.btf.string_bytes(offset).and_then(Name::short) {
            Some(name) if !name.as_str().contains(char::is_control) => Ok(name),
            _ => self.string(ty, offset).map(Name::from),
        }
    }

    /// A name without the characters that lockfiles write types with; the same copy of it if it has none.
    fn printable(&mut self, ty: &BtfType<'a>, name: Arc<str>) -> Result<Arc<str>, BtfError> {
        let plain = printable(&name);
        if *plain == *name {
            return Ok(name);
        }
        self.spend(ty, plain.len())?;
        Ok(plain.into())
    }

    fn spend(&mut self, ty: &BtfType<'a>, bytes: usize) -> Result<(), BtfError> {
        self.name_budget = (self.name_budget.checked_sub(bytes))
            .ok_or_else(|| ty.error("names add up to over eight times the size of the BTF".to_owned()))?;
        Ok(())
    }

    /// How C spells what a pointer points to; ` *` for each further pointer in between.
    fn target(&mut self, id: u32) -> Result<String, BtfError> {
        let (mut stars, mut tag) = (0, None);
        let mut ty = self.btf.get(id)?;
        for _ in 0..MAX_DEPTH {
            match ty.kind {
                BtfKind::Ptr => stars += 1,
                BtfKind::Typedef => break,
                BtfKind::TypeTag if stars == 0 => {
                    let name = self.name(&ty)?;
                    tag = tag.or(kernel_field::tag(&format!("{name} ")));
                }
                kind if kind.is_modifier() => {}
                _ => break,
            }
            ty = self.btf.get(ty.type_id())?;
        }
        let mut spelled = self.spell(&ty)?;
        self.spend(&ty, spelled.len())?;
        if let Some(tag) = tag {
            spelled.insert_str(0, &format!("{tag} "));
        }
        if stars > 0 {
            spelled.push(' ');
            spelled.extend(std::iter::repeat_n('*', stars));
        }
        Ok(spelled)
    }

    /// The C name of a type, without looking inside of it.
    fn spell(&mut self, ty: &BtfType<'a>) -> Result<String, BtfError> {
        let name = self.string(ty, ty.name_off)?;
        let name = if name.is_empty() { "_".to_owned() } else { printable(&name) };
        Ok(match ty.kind {
            BtfKind::Void => "void".to_owned(),
            BtfKind::Struct => format!("struct {name}"),
            BtfKind::Union => format!("union {name}"),
            BtfKind::Enum | BtfKind::Enum64 => format!("enum {name}"),
            BtfKind::Fwd => format!("{} {name}", if ty.kind_flag() { "union" } else { "struct" }),
            BtfKind::Func | BtfKind::FuncProto => "function".to_owned(),
            BtfKind::Array => "array".to_owned(),
            _ => name,
        })
    }
}

/// Offset and width of an integer that is narrower than its bytes.
fn narrow_int(ty: &BtfType<'_>) -> Narrow {
    if ty.kind != BtfKind::Int {
        return None;
    }
    let (_, offset, bits) = ty.int();
    (u64::from(bits) != u64::from(ty.size()) * 8 && bits != 0).then_some((offset, bits))
}
