//! Map definitions of a compiled eBPF object.

mod declared;
mod dwarf;
mod dwarf_names;
mod dwarf_types;
mod error;
mod global_data;
mod legacy;
mod lines;
mod programs;
mod rust_maps;
mod types;
mod versions;

use maplock_layout::btf::{Btf, Resolver};
use maplock_layout::config::Binding;
use maplock_layout::map::MapDef;
use maplock_layout::map_type::Capacity;
use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};
use types::Types;

pub use dwarf::{Locations, SourceLine};
pub use error::ObjectError;
pub(crate) use lines::Lines;
pub use programs::Programs;
pub use types::TypesObject;

/// `EM_BPF`.
const MACHINE: u16 = 247;

type Elf<'a> = ElfFile64<'a, Endianness>;

/// An eBPF object and the maps that it defines.
#[derive(Debug)]
pub struct Object<'a> {
    /// The maps: those declared in `.maps`, then legacy ones, then those of global data.
    pub maps: Vec<MapDef>,
    elf: Elf<'a>,
    btf: Option<Btf<'a>>,
}

impl<'a> Object<'a> {
    /// Reads the maps of an ELF object for either byte order, whoever made it.
    ///
    /// Sizes, types, flags and pinning come out as libbpf computes them when it opens the object (ring buffers are
    /// rounded for pages of 4 KiB). What libbpf refuses for reasons that don't concern layouts is read all the same.
    ///
    /// # Errors
    /// If the bytes are not an eBPF object, or a map's definition can't be understood.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let elf = Elf::parse(bytes).map_err(|error| ObjectError::new(format!("not a 64-bit ELF object: {error}")))?;
        let machine = elf.elf_header().e_machine.get(elf.endian()).0;
        if machine != MACHINE {
            return Err(ObjectError::new(format!(
                "made for machine {machine}, not for eBPF ({MACHINE}); compile it with `clang -target bpf`"
            )));
        }
        let btf = match section_data(&elf, ".BTF")? {
            Some(data) => Some(Btf::parse(data)?),
            None => None,
        };
        let mut maps = Vec::new();
        match &btf {
            Some(btf) => {
                let mut resolver = Resolver::new(btf);
                maps.extend(declared::maps(btf, &mut resolver)?);
                maps.extend(legacy::maps(&elf, Some(btf), &mut resolver)?);
                maps.extend(global_data::maps(&elf, Some(btf), &mut resolver)?);
                versions::enter(btf, &mut maps)?;
            }
            None => {
                declared::none_without_btf(&elf)?;
                let nothing = Btf::empty();
                let mut resolver = Resolver::new(&nothing);
                maps.extend(legacy::maps(&elf, None, &mut resolver)?);
                maps.extend(global_data::maps(&elf, None, &mut resolver)?);
            }
        }
        rust_maps::add_types(&elf, &mut maps);
        maps.iter_mut().for_each(as_libbpf_adjusts);
        // Those of BTF were looked at when they were read; a symbol's or a section's was not.
        if let Some(map) = maps.iter().find(|map| map.name.contains(char::is_control)) {
            return Err(ObjectError::new(format!("the name `{}` has a control character", map.name.escape_debug())));
        }
        unique_names(&mut maps)?;
        Ok(Self { maps, elf, btf })
    }

    /// Gives the map `name` the types of a binding, looked up in the object's BTF, in its DWARF, and in `others`.
    ///
    /// # Errors
    /// If there is no such type, or its size is not that of the map's key or value.
    pub fn bind(&mut self, name: &str, binding: &Binding, others: &[TypesObject<'_>]) -> Result<(), ObjectError> {
        let binds = binding.key.is_some() || binding.value.is_some();
        if !binds || !self.maps.iter().any(|map| map.name == name) {
            return Ok(());
        }
        let own = Types { btf: self.btf.as_ref(), locations: &self.locations() };
        let Some(map) = self.maps.iter_mut().find(|map| map.name == name) else { return Ok(()) };
        for (what, wanted, size, place) in [
            ("key", &binding.key, map.key_size, &mut map.key),
            ("value", &binding.value, map.value_size, &mut map.value),
        ] {
            let Some(wanted) = wanted else { continue };
            if let Some(own) = place {
                let own = own.spelling();
                let problem = format!(
                    "its declaration says that the {what} is {own}; remove the binding to `{wanted}` in Cargo.toml"
                );
                return Err(ObjectError::new(problem).of_map(name));
            }
            let layout = types::find(wanted, &own, others).map_err(|error| error.of_map(name))?;
            if layout.size != u64::from(size) {
                return Err(ObjectError::new(format!(
                    "its {what} takes {size} bytes, but `{wanted}`, to which it is bound, takes {}",
                    layout.size
                ))
                .of_map(name));
            }
            *place = Some(layout);
        }
        Ok(())
    }

    /// What the programs do with the maps, in the words of the types that the maps have by now.
    #[must_use]
    pub fn programs(&self) -> Programs {
        programs::read(&self.elf, self.btf.as_ref(), &self.maps)
    }

    /// Where members are declared, as far as the object's DWARF tells.
    #[must_use]
    pub fn locations(&self) -> Locations {
        Locations::read(&self.elf)
    }
}

/// What libbpf changes in a definition when it opens an object.
fn as_libbpf_adjusts(map: &mut MapDef) {
    // `adjust_ringbuf_sz`: a power of two of pages. Pages are those of the node, which a build can't know; 4 KiB are the
    // most common, and what x86-64 has.
    const PAGE: u32 = 4096;
    if map.map_type.row().capacity == Capacity::Bytes {
        map.max_entries = Capacity::ring_bytes(map.max_entries, PAGE);
    }
}

/// Drops a definition that is there twice, as static maps of linked objects can be.
fn unique_names(maps: &mut Vec<MapDef>) -> Result<(), ObjectError> {
    let mut names: Vec<&str> = maps.iter().map(|map| &*map.name).collect();
    names.sort_unstable();
    if names.windows(2).all(|pair| pair[0] != pair[1]) {
        return Ok(());
    }
    let mut kept: Vec<MapDef> = Vec::with_capacity(maps.len());
    let mut known = std::collections::HashMap::new();
    for map in maps.drain(..) {
        match known.get(&map.name) {
            None => {
                known.insert(map.name.clone(), kept.len());
                kept.push(map);
            }
            Some(&first) if kept[first].digest() == map.digest() && kept[first].max_entries == map.max_entries => {}
            Some(_) => return Err(ObjectError::new("defined twice, and differently".to_owned()).of_map(&map.name)),
        }
    }
    *maps = kept;
    Ok(())
}

/// The bytes of a section as they stand in the file; compressed ones are for DWARF alone.
fn section_data<'a>(elf: &Elf<'a>, name: &str) -> Result<Option<&'a [u8]>, ObjectError> {
    let Some(section) = elf.section_by_name(name) else { return Ok(None) };
    let data = section.data().map_err(|error| ObjectError::new(format!("section `{name}`: {error}")))?;
    Ok(Some(data))
}
