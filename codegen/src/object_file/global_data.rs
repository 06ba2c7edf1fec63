//! The maps that a loader makes of global variables, and of tables for `struct_ops`.
//!
//! Source: libbpf's `bpf_object__init_global_data_maps`, `bpf_object__init_internal_map`,
//! `bpf_object__collect_externs` and `bpf_object_init_struct_ops`.

use std::collections::HashMap;
use std::sync::Arc;

use maplock_layout::btf::{Btf, BtfKind, BtfType, Linkage, Resolver};
use maplock_layout::map::{MapDef, MapType, Origin};
use maplock_layout::{Composite, CompositeKind, Layout, Member, Shape};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::{Elf, ObjectError};

const RDONLY_PROG: u32 = 0x80;
const MMAPABLE: u32 = 0x400;
const LINK: u32 = 0x2000;
const KCONFIG: &str = ".kconfig";

pub(super) fn maps<'a>(
    elf: &Elf<'_>,
    btf: Option<&Btf<'a>>,
    resolver: &mut Resolver<'_, 'a>,
) -> Result<Vec<MapDef>, ObjectError> {
    let mut maps = Vec::new();
    let mut symbols = None;
    for section in elf.sections() {
        let Ok(name) = section.name() else { continue };
        let is = |base: &str| name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let read_only = is(".rodata");
        // Of sections with one name, a loader sees the first.
        if section.size() == 0
            || maps.iter().any(|map: &MapDef| map.name == name)
            || !(read_only || is(".data") || is(".bss"))
        {
            continue;
        }
        let size = u32::try_from(section.size())
            .map_err(|_| ObjectError::new(format!("takes {} bytes, over 4 GiB", section.size())).of_map(name))?;
        let mut map = data_map(name, size, if read_only { RDONLY_PROG } else { 0 });
        if let Some((btf, datasec)) = btf.and_then(|btf| Some((btf, btf.find(&[BtfKind::Datasec], name)?))) {
            let symbols = symbols.get_or_insert_with(|| symbol_addresses(elf));
            let variables = variables(btf, resolver, &datasec)?;
            if variables.iter().any(|variable| variable.linkage != Linkage::Static) {
                map.flags |= MMAPABLE;
            }
            // The compiler writes offsets of static variables only; a linker writes them all, and the section's size.
            let is_linked = datasec.size() != 0;
            let members: Option<Vec<_>> = variables
                .into_iter()
                .map(|variable| {
                    let written = is_linked || variable.linkage == Linkage::Static;
                    let offset = match symbols.get(&*variable.name) {
                        Some(&address) if !written => address,
                        None if !written => return None,
                        _ => u64::from(variable.offset),
                    };
                    Some((offset, variable.name, variable.layout))
                })
                .collect();
            // Without its symbols, an object does not tell where its variables are.
            if let Some(members) = members {
                map.value = Some(section_layout(name, size, members).map_err(|error| error.of_map(name))?);
            }
        }
        maps.push(map);
    }
    if let Some(btf) = btf {
        maps.extend(kconfig(btf, resolver)?);
        maps.extend(struct_ops(btf, resolver)?);
    }
    Ok(maps)
}

fn data_map(name: &str, size: u32, flags: u32) -> MapDef {
    let mut map = MapDef::new(name, MapType::ARRAY);
    map.origin = Origin::GlobalData;
    (map.key_size, map.value_size, map.max_entries, map.flags) = (4, size, 1, flags);
    map
}

struct Variable {
    name: Arc<str>,
    linkage: Linkage,
    offset: u32,
    layout: Arc<Layout>,
}

fn variables<'a>(
    btf: &Btf<'a>,
    resolver: &mut Resolver<'_, 'a>,
    datasec: &BtfType<'a>,
) -> Result<Vec<Variable>, ObjectError> {
    let mut variables = Vec::with_capacity(usize::from(datasec.vlen()));
    for info in datasec.secinfos() {
        let var = btf.get(info.type_id)?;
        if var.kind == BtfKind::Var {
            variables.push(Variable {
                name: resolver.name(&var)?.into(),
                linkage: var.linkage(),
                offset: info.offset,
                layout: resolver.resolve(var.type_id())?,
            });
        }
    }
    Ok(variables)
}

fn symbol_addresses<'e>(elf: &'e Elf<'_>) -> HashMap<&'e str, u64> {
    let symbols = elf.symbols().filter(|symbol| symbol.is_global());
    symbols.filter_map(|symbol| Some((symbol.name().ok()?, symbol.address()))).collect()
}

fn section_layout(
    name: &str,
    size: u32,
    mut members: Vec<(u64, Arc<str>, Arc<Layout>)>,
) -> Result<Arc<Layout>, ObjectError> {
    members.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    for (offset, variable, layout) in &members {
        if offset.checked_add(layout.size).is_none_or(|end| end > u64::from(size)) {
            let problem = format!("variable `{variable}` at byte {offset} ends behind the section's {size} bytes");
            return Err(ObjectError::new(problem));
        }
    }
    let members = members
        .into_iter()
        .map(|(offset, name, layout)| Member { name: name.into(), offset_bits: offset * 8, bits: None, layout })
        .collect();
    let composite = Composite::new(CompositeKind::Section, Some(name.into()), members)
        .map_err(|error| ObjectError::new(error.to_string()))?;
    Ok(Arc::new(Layout::new(u64::from(size), Shape::Composite(Arc::new(composite)))))
}

/// Values of the kernel's configuration, which the loader lays out itself: by alignment, size and name.
fn kconfig<'a>(btf: &Btf<'a>, resolver: &mut Resolver<'_, 'a>) -> Result<Option<MapDef>, ObjectError> {
    let Some(datasec) = btf.find(&[BtfKind::Datasec], KCONFIG) else { return Ok(None) };
    let mut externs = variables(btf, resolver, &datasec)?;
    externs.sort_by(|a, b| {
        let order = |of: &Variable| (std::cmp::Reverse(alignment(&of.layout)), of.layout.size);
        order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name))
    });
    let mut end = 0_u64;
    let mut members = Vec::with_capacity(externs.len());
    for variable in externs {
        let offset = end.next_multiple_of(alignment(&variable.layout));
        end = offset + variable.layout.size;
        members.push((offset, variable.name, variable.layout));
    }
    let size = u32::try_from(end).map_err(|_| ObjectError::new("is over 4 GiB".to_owned()).of_map(KCONFIG))?;
    let mut map = data_map(KCONFIG, size, RDONLY_PROG | MMAPABLE);
    map.value = Some(section_layout(KCONFIG, size, members)?);
    Ok(Some(map))
}

/// Alignment in bytes (`btf__align_of`).
fn alignment(layout: &Layout) -> u64 {
    match &layout.shape {
        Shape::Array { element, .. } => alignment(element),
        Shape::Composite(of) => of.members().iter().map(|member| alignment(&member.layout)).max().unwrap_or(1),
        _ => layout.size.clamp(1, 8),
    }
}

/// Tables of programs that implement a kernel interface: one map for each variable.
fn struct_ops<'a>(btf: &Btf<'a>, resolver: &mut Resolver<'_, 'a>) -> Result<Vec<MapDef>, ObjectError> {
    let mut maps = Vec::new();
    for (section, flags) in
        [(".struct_ops", 0), (".struct_ops.link", LINK), ("?.struct_ops", 0), ("?.struct_ops.link", LINK)]
    {
        let Some(datasec) = btf.find(&[BtfKind::Datasec], section) else { continue };
        for variable in variables(btf, resolver, &datasec)? {
            let mut map = MapDef::new(&*variable.name, MapType::STRUCT_OPS);
            map.origin = Origin::StructOps;
            (map.key_size, map.max_entries, map.flags) = (4, 1, flags);
            map.value_size = u32::try_from(variable.layout.size).unwrap_or(u32::MAX);
            map.value = Some(variable.layout);
            maps.push(map);
        }
    }
    Ok(maps)
}
