//! Maps of the time before BTF: records of 32-bit words in a section called `maps`.
//!
//! Every record begins with type, key size, value size and max_entries. What follows depends on who wrote it, which
//! only its size tells:
//!
//! | bytes | further words | source |
//! |---|---|---|
//! | 16 | | the first `bpf_load.c` |
//! | 20 | flags | libbpf's `struct bpf_map_def` |
//! | 28 | flags, inner_map_idx, numa_node | the kernel's `samples/bpf`, ir-keytable |
//! | 28 | flags, id, pinning | aya |
//! | 36 | flags, id, pinning, inner_id, inner_idx | iproute2's `struct bpf_elf_map` |
//! | 280 | flags, pinning, then a namespace of 256 bytes | gobpf |
//!
//! Any other record of at least 16 bytes is read as far as it agrees with all of them.
//!
//! Of the two with 28 bytes, the object's types tell which it is, if it has BTF; else a record that makes sense as one alone. If nothing
//! tells, a map of maps has no inner map that is known: the first of the section, which index 0 would be, is none that anybody named.

use maplock_layout::btf::{Btf, BtfKind, Resolver};
use maplock_layout::map::{MapDef, MapType, Origin, Pinning};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::{Elf, ObjectError};

const NUMA_NODE: u32 = 0x4;

pub(super) fn maps(
    elf: &Elf<'_>,
    btf: Option<&Btf<'_>>,
    resolver: &mut Resolver<'_, '_>,
) -> Result<Vec<MapDef>, ObjectError> {
    let mut maps = Vec::new();
    for section in elf.sections() {
        let Ok(name) = section.name() else { continue };
        if !(name == "maps" || name.starts_with("maps/") || name.ends_with("/maps")) {
            continue;
        }
        let data = section.data().map_err(|error| ObjectError::new(format!("section `{name}`: {error}")))?;
        maps.extend(section_maps(elf, btf, section.index(), data, name)?);
    }
    let definitions: Vec<MapDef> = maps.iter().map(|record: &Record| record.def.clone()).collect();
    let mut defs = Vec::with_capacity(maps.len());
    for mut record in maps {
        record.def.inner = record.inner.and_then(|inner| inner.find(&definitions)).map(Box::new);
        if let Some(btf) = btf {
            annotate(btf, resolver, &mut record.def).map_err(|error| error.of_map(&record.def.name))?;
        }
        defs.push(record.def);
    }
    Ok(defs)
}

struct Record {
    def: MapDef,
    id: u32,
    inner: Option<InnerRef>,
}

/// How a record names its inner map.
enum InnerRef {
    /// Position in the section.
    Index(usize),
    /// 0, which is the first of the section, or nothing at all.
    Untold,
    /// By the name of the map that has the id.
    Name(String),
}

impl InnerRef {
    fn find(&self, maps: &[MapDef]) -> Option<MapDef> {
        let mut inner = match self {
            Self::Untold => None,
            Self::Index(index) => maps.get(*index),
            Self::Name(name) => maps.iter().find(|map| map.name == *name),
        }?
        .clone();
        inner.inner = None;
        // The kernel knows no maps of maps of maps.
        Some(inner).filter(|inner| !inner.map_type.holds_maps())
    }
}

fn section_maps(
    elf: &Elf<'_>,
    btf: Option<&Btf<'_>>,
    section: object::SectionIndex,
    data: &[u8],
    section_name: &str,
) -> Result<Vec<Record>, ObjectError> {
    let mut symbols: Vec<_> = elf
        .symbols()
        .filter(|symbol| {
            symbol.section_index() == Some(section) && matches!(symbol.kind(), SymbolKind::Data | SymbolKind::Unknown)
        })
        .filter_map(|symbol| {
            Some((symbol.address(), symbol.size(), symbol.name().ok().filter(|name| !name.is_empty())?))
        })
        .collect();
    symbols.sort_unstable();
    // gobpf calls a map by its section, whatever the variable is called.
    if let (Some(map_name), [symbol]) = (section_name.strip_prefix("maps/"), symbols.as_mut_slice()) {
        symbol.2 = map_name;
    }
    if symbols.is_empty() && !data.is_empty() {
        return Err(ObjectError::new(format!(
            "section `{section_name}` holds maps, but no symbol names them; don't strip the object"
        )));
    }
    // Names may share their bytes in the string table; their copies must not outgrow the file by much.
    let budget = 64 * 1024 + 8 * elf.data().len();
    if symbols.iter().map(|(.., name)| name.len()).sum::<usize>() > budget {
        return Err(ObjectError::new(format!("section `{section_name}`: names add up to over eight times the file")));
    }
    let mut records = Vec::with_capacity(symbols.len());
    for (index, &(start, size, name)) in symbols.iter().enumerate() {
        // Old compilers wrote no sizes: then a record ends where the next begins.
        let next = symbols.get(index + 1).map_or(data.len() as u64, |&(next, ..)| next);
        let size = if size == 0 { next.saturating_sub(start) } else { size };
        let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(size)).ok());
        let bytes = range.and_then(|(start, end)| data.get(start..end)).ok_or_else(|| {
            let problem = format!("its record of {size} bytes ends behind section `{section_name}` of {}", data.len());
            ObjectError::new(problem).of_map(name)
        })?;
        let names_inner = btf.and_then(|btf| names_inner(btf, name));
        records.push(record(bytes, elf.endianness(), name, names_inner).map_err(|error| error.of_map(name))?);
    }
    // An index that is not 0 was written by somebody who meant one.
    let is_of_samples = records.iter().any(|record| matches!(record.inner, Some(InnerRef::Index(index)) if index > 0));
    for record in records.iter_mut().filter(|_| !is_of_samples) {
        record.inner.take_if(|inner| matches!(inner, InnerRef::Untold));
    }
    for record in &mut records {
        if matches!(record.inner, Some(InnerRef::Untold)) {
            record.inner = Some(InnerRef::Index(0));
        }
    }
    // iproute2 names an inner map by the id that its record has.
    let by_id: Vec<_> = records.iter().map(|record| (record.id, record.def.name.clone())).collect();
    for record in &mut records {
        if let Some(InnerRef::Name(id)) = &record.inner {
            let found = by_id.iter().find(|(known, _)| *known != 0 && known.to_string() == *id);
            record.inner = found.map(|(_, name)| InnerRef::Name(name.clone()));
        }
    }
    Ok(records)
}

/// Whether the records' struct has a member for an inner map behind the flags, by the type of the variable; `None` if nothing tells.
fn names_inner(btf: &Btf<'_>, name: &str) -> Option<bool> {
    /// How many structs of one member may be around it: Rust's `UnsafeCell` and newtypes.
    const MAX_WRAPPERS: usize = 8;
    let var = btf.find(&[BtfKind::Var], name)?;
    let mut ty = btf.skip_modifiers(var.type_id()).ok()?;
    for _ in 0..MAX_WRAPPERS {
        if ty.kind != BtfKind::Struct {
            return None;
        }
        let names: Vec<_> = ty.members().filter_map(|member| btf.string(member.name_off)).collect();
        if names.iter().any(|name| name.starts_with("inner_")) {
            return Some(true);
        }
        if names.contains(&"pinning") {
            return Some(false);
        }
        let only = ty.members().next().filter(|_| names.len() == 1)?;
        ty = btf.skip_modifiers(only.type_id).ok()?;
    }
    None
}

fn record(bytes: &[u8], endian: Endianness, name: &str, names_inner: Option<bool>) -> Result<Record, ObjectError> {
    let word = |index: usize| -> u32 {
        let Some(raw) = bytes.get(index * 4..index * 4 + 4).and_then(|raw| raw.try_into().ok()) else { return 0 };
        if endian == Endianness::Big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
    };
    if bytes.len() < 16 {
        return Err(ObjectError::new(format!(
            "its legacy record has {} bytes; the shortest known has 16",
            bytes.len()
        )));
    }
    let mut def = MapDef::new(name, MapType(word(0)));
    def.origin = Origin::Legacy;
    def.key_size = word(1);
    def.value_size = word(2);
    def.max_entries = word(3);
    def.flags = word(4);
    let of_maps = def.map_type.holds_maps();
    let (mut id, mut inner) = (0, None);
    match bytes.len() {
        28 if names_inner == Some(true) || names_inner.is_none() && def.flags & NUMA_NODE != 0 => {
            inner = of_maps.then(|| InnerRef::Index(word(5) as usize));
            def.numa_node = word(6);
        }
        // aya's ids are 0.
        28 if of_maps && names_inner.is_none() && (word(5), word(6)) == (0, 0) => inner = Some(InnerRef::Untold),
        28 if of_maps && names_inner.is_none() && word(5) != 0 => inner = Some(InnerRef::Index(word(5) as usize)),
        28 => {
            id = word(5);
            def.pinning = Pinning::from_number(word(6));
        }
        36 => {
            id = word(5);
            def.pinning = Pinning::from_number(word(6));
            inner = of_maps.then(|| InnerRef::Name(word(7).to_string()));
        }
        280 => def.pinning = Pinning::from_number(word(5)),
        _ => {}
    }
    Ok(Record { def, id, inner })
}

/// `BPF_ANNOTATE_KV_PAIR`: a struct `____btf_map_NAME { key; value; }` tells the types that the record doesn't.
fn annotate(btf: &Btf<'_>, resolver: &mut Resolver<'_, '_>, def: &mut MapDef) -> Result<(), ObjectError> {
    let Some(ty) = btf.find(&[BtfKind::Struct], &format!("____btf_map_{}", def.name)) else { return Ok(()) };
    for member in ty.members() {
        let (size, place) = match btf.string(member.name_off) {
            Some("key") => (def.key_size, &mut def.key),
            Some("value") => (def.value_size, &mut def.value),
            _ => continue,
        };
        let layout = resolver.resolve(member.type_id)?;
        if layout.size != u64::from(size) {
            let problem = format!(
                "the record says {size} bytes, but its annotation `{}` takes {}",
                layout.spelling(),
                layout.size
            );
            return Err(ObjectError::new(problem));
        }
        *place = Some(layout);
    }
    Ok(())
}
