//! Maps declared in `.maps`, whose definitions are BTF.
//!
//! A map is a variable whose struct has one member for each attribute. Numbers are encoded in types: `__uint(n, 5)` is a
//! pointer to an array of 5, `__ulong(n, 5)` an enum whose one value is 5; `__type(key, T)` is a pointer to T, and
//! `__array(values, T)` an array of pointers to T. Source: libbpf's `bpf_helpers.h` and `parse_btf_map_def`.

use std::collections::HashMap;
use std::sync::Arc;

use maplock_layout::Layout;
use maplock_layout::btf::{Btf, BtfKind, BtfType, Linkage, Resolver};
use maplock_layout::map::{MapDef, MapType, Pinning};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::{Elf, ObjectError};

/// The section.
pub(super) const SECTION: &str = ".maps";

/// How many structs of one member may be around a definition: Rust's `UnsafeCell` and newtypes.
const MAX_WRAPPERS: usize = 8;

pub(super) fn maps<'a>(btf: &Btf<'a>, resolver: &mut Resolver<'_, 'a>) -> Result<Vec<MapDef>, ObjectError> {
    let Some(section) = btf.find(&[BtfKind::Datasec], SECTION) else { return Ok(Vec::new()) };
    let tags = tags(btf, resolver)?;
    let mut maps = Vec::with_capacity(usize::from(section.vlen()));
    for info in section.secinfos() {
        let var = btf.get(info.type_id)?;
        // An extern map is defined by another object that this one is to be linked with.
        if var.kind != BtfKind::Var || var.linkage() == Linkage::Extern {
            continue;
        }
        let name = resolver.name(&var)?;
        let mut map = Definition { btf, resolver, name }.read(var.type_id(), 0).map_err(|error| error.of_map(name))?;
        map.tags = tags.get(&var.id).cloned().unwrap_or_default();
        maps.push(map);
    }
    Ok(maps)
}

/// Texts of declaration tags by the variable that they are on.
fn tags<'a>(btf: &Btf<'a>, resolver: &mut Resolver<'_, 'a>) -> Result<HashMap<u32, Vec<Arc<str>>>, ObjectError> {
    let mut tags: HashMap<u32, Vec<Arc<str>>> = HashMap::new();
    for tag in btf.of_kinds(&[BtfKind::DeclTag]).filter(|ty| ty.component_index() == -1) {
        tags.entry(tag.type_id()).or_default().push(resolver.name(&tag)?.into());
    }
    Ok(tags)
}

/// An error if `.maps` holds maps that nothing describes.
pub(super) fn none_without_btf(elf: &Elf<'_>) -> Result<(), ObjectError> {
    let Some(section) = elf.section_by_name(SECTION) else { return Ok(()) };
    let symbol = elf
        .symbols()
        .find(|symbol| symbol.section_index() == Some(section.index()) && symbol.kind() != object::SymbolKind::Section);
    let name = symbol.and_then(|symbol| symbol.name().ok()).unwrap_or(SECTION);
    let problem = "declared in `.maps`, but the object has no BTF; compile it with -g, and don't strip it";
    Err(ObjectError::new(problem.to_owned()).of_map(name))
}

struct Definition<'d, 'b, 'a> {
    btf: &'d Btf<'a>,
    resolver: &'d mut Resolver<'b, 'a>,
    name: &'d str,
}

impl<'a> Definition<'_, '_, 'a> {
    fn read(&mut self, type_id: u32, depth: usize) -> Result<MapDef, ObjectError> {
        let ty = self.definition_struct(type_id)?;
        let mut map = MapDef::new(self.name, MapType::UNSPEC);
        let mut has_type = false;
        let (mut key_size, mut value_size) = (None, None);
        for member in ty.members() {
            let error = |problem: &str| ObjectError::new(problem.to_owned());
            let name = self.btf.string(member.name_off).ok_or_else(|| error("a member's name is not valid"))?;
            match name {
                "type" => (map.map_type, has_type) = (MapType(self.small(member.type_id, name)?), true),
                "max_entries" => map.max_entries = self.small(member.type_id, name)?,
                "map_flags" => map.flags = self.small(member.type_id, name)?,
                "numa_node" => map.numa_node = self.small(member.type_id, name)?,
                "map_extra" => map.map_extra = self.number(member.type_id, name)?,
                "pinning" => map.pinning = Pinning::from_number(self.small(member.type_id, name)?),
                "key_size" => key_size = Some(self.small(member.type_id, name)?),
                "value_size" => value_size = Some(self.small(member.type_id, name)?),
                "key" => map.key = self.target_layout(member.type_id, name)?,
                "value" => map.value = self.target_layout(member.type_id, name)?,
                "values" => {
                    if depth > 0 {
                        return Err(error("its inner map holds maps itself, which the kernel does not know"));
                    }
                    map.inner = self.inner(member.type_id)?.map(Box::new);
                    // What such a map holds is the id or descriptor of another object.
                    value_size = value_size.or(Some(4));
                }
                // libbpf refuses a member that it does not know, as a newer one might; it does not change the bytes.
                _ => {}
            }
        }
        if !has_type {
            return Err(ObjectError::new("its declaration says no `type`".to_owned()));
        }
        map.key_size = size_of("key", key_size, map.key.as_deref())?;
        map.value_size = size_of("value", value_size, map.value.as_deref())?;
        Ok(map)
    }

    /// The struct that holds the attributes, within structs that only wrap it.
    fn definition_struct(&self, type_id: u32) -> Result<BtfType<'a>, ObjectError> {
        let mut ty = self.btf.skip_modifiers(type_id)?;
        for _ in 0..MAX_WRAPPERS {
            if ty.kind != BtfKind::Struct {
                break;
            }
            let mut members = ty.members();
            match (members.next(), members.next()) {
                (Some(only), None) if self.btf.string(only.name_off) != Some("type") => {
                    let inner = self.btf.skip_modifiers(only.type_id)?;
                    if inner.kind != BtfKind::Struct {
                        return Ok(ty);
                    }
                    ty = inner;
                }
                _ => return Ok(ty),
            }
        }
        Err(ObjectError::new(format!("its definition is BTF type {}, which is not a struct", ty.id)))
    }

    /// Id of what a field of the definition points to.
    fn pointee(&self, type_id: u32, field: &str) -> Result<u32, ObjectError> {
        let ty = self.btf.skip_modifiers(type_id)?;
        if ty.kind != BtfKind::Ptr {
            return Err(ObjectError::new(format!("`{field}` is BTF type {}, which is not a pointer", ty.id)));
        }
        Ok(ty.type_id())
    }

    fn number(&self, type_id: u32, field: &str) -> Result<u64, ObjectError> {
        let ty = self.btf.skip_modifiers(type_id)?;
        let out_of_range = || ObjectError::new(format!("`{field}` is not a number of 64 bits"));
        if matches!(ty.kind, BtfKind::Enum | BtfKind::Enum64) && ty.vlen() == 1 {
            let (_, value) = ty.enumerators().next().ok_or_else(out_of_range)?;
            // A 32-bit enumerator stands for an unsigned number here, as `__ulong` says.
            let value = if ty.kind == BtfKind::Enum { value & 0xffff_ffff } else { value };
            return u64::try_from(value & i128::from(u64::MAX)).map_err(|_| out_of_range());
        }
        let array = self.btf.skip_modifiers(self.pointee(type_id, field)?)?;
        if array.kind != BtfKind::Array {
            return Err(ObjectError::new(format!("`{field}` points to BTF type {}, which is not an array", array.id)));
        }
        Ok(u64::from(array.array().1))
    }

    fn small(&self, type_id: u32, field: &str) -> Result<u32, ObjectError> {
        let number = self.number(type_id, field)?;
        u32::try_from(number)
            .map_err(|_| ObjectError::new(format!("`{field}` is {number}, which is more than 32 bits")))
    }

    /// The layout behind `__type(key, T)`; none for a type of no bytes, such as Rust's `()`.
    fn target_layout(&mut self, type_id: u32, field: &str) -> Result<Option<Arc<Layout>>, ObjectError> {
        let target = self.pointee(type_id, field)?;
        let layout = self.resolver.resolve(target)?;
        if layout.size != 0 {
            return Ok(Some(layout));
        }
        let kind = self.btf.skip_modifiers(target)?.kind;
        if kind == BtfKind::Fwd {
            // clang leaves out the members of a type that only the definition of an inner map names.
            return Err(ObjectError::new(format!(
                "its {field} is `{0}`, which the object only declares: define it; if it is defined, declare a variable of it, too, for \
                 clang to describe it (`{0} any_name;`)",
                layout.spelling()
            )));
        }
        if matches!(kind, BtfKind::Void | BtfKind::Func | BtfKind::FuncProto) {
            return Err(ObjectError::new(format!("its {field} is `{}`, which has no size", layout.spelling())));
        }
        Ok(None)
    }

    /// `__array(values, T)`: the inner map, or none if T is the program to be called.
    fn inner(&mut self, type_id: u32) -> Result<Option<MapDef>, ObjectError> {
        let array = self.btf.skip_modifiers(type_id)?;
        if array.kind != BtfKind::Array {
            return Err(ObjectError::new(format!("`values` is BTF type {}, which is not an array", array.id)));
        }
        let target = self.pointee(array.array().0, "values")?;
        if self.btf.skip_modifiers(target)?.kind != BtfKind::Struct {
            return Ok(None);
        }
        let name = format!("{}.inner", self.name);
        let mut inner = Definition { btf: self.btf, resolver: &mut *self.resolver, name: &name };
        inner.read(target, 1).map(Some).map_err(ObjectError::of_inner)
    }
}

/// Bytes of a key or value that was declared by its size, by its type, or by both.
fn size_of(what: &str, declared: Option<u32>, layout: Option<&Layout>) -> Result<u32, ObjectError> {
    let typed = match layout {
        Some(layout) => {
            Some(u32::try_from(layout.size).map_err(|_| ObjectError::new(format!("its {what} is over 4 GiB")))?)
        }
        None => None,
    };
    match (declared, typed) {
        // aya gives ring buffers the type of an event, and the size 0 that the kernel demands.
        (Some(declared), Some(typed)) if declared != typed && declared != 0 => {
            Err(ObjectError::new(format!("its {what} is declared with {declared} bytes, and with a type of {typed}")))
        }
        (declared, typed) => Ok(declared.or(typed).unwrap_or(0)),
    }
}
