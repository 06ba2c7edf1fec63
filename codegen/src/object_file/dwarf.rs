//! Where the members of keys and values are declared, from DWARF.

use maplock_layout::rules::Attribute;
use std::borrow::Cow;
use std::collections::HashMap;

use gimli::{AttributeValue, DebuggingInformationEntry, DwarfSections, EndianSlice, RunTimeEndian, Unit, UnitOffset};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};

use super::Elf;

pub(super) type Slice<'a> = EndianSlice<'a, RunTimeEndian>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;
pub(super) type Entry<'u, 'a> = DebuggingInformationEntry<Slice<'a>>;

/// How many modifiers, wrappers and anonymous levels are followed before a type counts as endless.
pub(super) const MAX_STEPS: usize = 64;

/// A line of a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    /// The file as the compiler was given it; relative to where it ran, if it was.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

/// The DWARF sections of an object, from which lines are looked up when a report asks for them.
#[derive(Debug, Default)]
pub struct Locations {
    sections: Option<DwarfSections<Vec<u8>>>,
    big_endian: bool,
}

impl Locations {
    /// Copies the sections out of the object, decompressed and relocated.
    pub(super) fn read(elf: &Elf<'_>) -> Self {
        let sections = DwarfSections::load(|id| -> Result<Vec<u8>, ()> {
            Ok(elf.section_by_name(id.name()).and_then(|section| relocated(elf, &section)).unwrap_or_default())
        });
        Self { sections: sections.ok(), big_endian: !elf.is_little_endian() }
    }

    /// Where `path` (as in a finding: `flows.value.stats[].bytes`) of `map` is declared. `attribute` names a member of
    /// the map's own declaration, such as `max_entries`, for a path that is just the map.
    #[must_use]
    pub fn find(&self, map: &str, path: &str, attribute: Option<Attribute>) -> Option<SourceLine> {
        let mut found = None;
        self.walk(|walk| found = found.take().or_else(|| walk.find(map, path, attribute)));
        found
    }

    /// Gives each compilation unit to `look`.
    pub(super) fn walk(&self, mut look: impl FnMut(&Walk<'_, '_>)) {
        self.units(|units| (0..units.units.len()).for_each(|unit| look(&units.walk(unit))));
    }

    /// Gives all compilation units to `look`; none if there is no DWARF.
    pub(super) fn units<T>(&self, look: impl FnOnce(&Units<'_, '_>) -> T) -> Option<T> {
        let endian = if self.big_endian { RunTimeEndian::Big } else { RunTimeEndian::Little };
        let sections = self.sections.as_ref()?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, endian));
        let (mut headers, mut units) = (dwarf.units(), Vec::new());
        while let Ok(Some(header)) = headers.next() {
            units.extend(dwarf.unit(header));
        }
        Some(look(&Units { dwarf: &dwarf, units, big_endian: self.big_endian }))
    }

    /// True if there is nothing to look up.
    pub(crate) fn is_empty(&self) -> bool {
        self.units(|units| units.units.is_empty()).unwrap_or(true)
    }
}

/// All compilation units.
pub(super) struct Units<'u, 'a> {
    dwarf: &'u Dwarf<'a>,
    pub(super) units: Vec<Unit<Slice<'a>>>,
    pub(super) big_endian: bool,
}

impl<'a> Units<'_, 'a> {
    pub(super) fn walk(&self, unit: usize) -> Walk<'_, 'a> {
        Walk { dwarf: self.dwarf, unit: &self.units[unit] }
    }
}

/// A section's bytes with its relocations applied. In an object that was not linked, offsets into `.debug_str` and the
/// like are 0 until then.
fn relocated<'a>(
    elf: &Elf<'a>,
    section: &object::read::elf::ElfSection64<'a, '_, object::Endianness>,
) -> Option<Vec<u8>> {
    let mut data: Vec<u8> = match section.uncompressed_data().ok()? {
        Cow::Borrowed(data) => data.to_vec(),
        Cow::Owned(data) => data,
    };
    let little = elf.is_little_endian();
    // A table of addresses: looking a symbol up anew for each of a hundred thousand relocations is slow.
    let mut symbols = HashMap::new();
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        let address =
            *symbols.entry(index.0).or_insert_with(|| elf.symbol_by_index(index).map_or(0, |symbol| symbol.address()));
        // R_BPF_64_ABS64 is 2; R_BPF_64_ABS32 and R_BPF_64_NODYLD32 are 3 and 4.
        let object::RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
        let width = match r_type.0 {
            2 => 8,
            3 | 4 => 4,
            // Of other machines, whose objects may have types: R_AARCH64_ABS64 and R_AARCH64_ABS32. Those of x86-64 have the
            // numbers and widths of the next two.
            257 => 8,
            258 => 4,
            // clang before 13 marked 32-bit offsets with R_BPF_64_32 (10), 64-bit addresses with R_BPF_64_64 (1).
            10 => 4,
            1 => 8,
            _ => continue,
        };
        let Ok(at) = usize::try_from(offset) else { continue };
        let Some(field) = at.checked_add(width).and_then(|end| data.get_mut(at..end)) else { continue };
        let mut value = [0; 8];
        if little {
            value[..width].copy_from_slice(field);
        } else {
            value[8 - width..].copy_from_slice(field);
        }
        let value = if little { u64::from_le_bytes(value) } else { u64::from_be_bytes(value) };
        let sum = value.wrapping_add(address).wrapping_add(relocation.addend().cast_unsigned());
        if little {
            field.copy_from_slice(&sum.to_le_bytes()[..width]);
        } else {
            field.copy_from_slice(&sum.to_be_bytes()[8 - width..]);
        }
    }
    Some(data)
}

/// One compilation unit.
pub(super) struct Walk<'u, 'a> {
    dwarf: &'u Dwarf<'a>,
    pub(super) unit: &'u Unit<Slice<'a>>,
}

impl<'a> Walk<'_, 'a> {
    fn find(&self, map: &str, path: &str, attribute: Option<Attribute>) -> Option<SourceLine> {
        let rest = path.strip_prefix(map)?;
        let mut parts =
            rest.split('.').filter(|part| !part.is_empty()).map(|part| part.trim_end_matches("[]")).peekable();
        let Some(variable) = self.variable(map) else {
            let role = parts.next()?;
            return self.annotation(map, role, parts);
        };
        let mut here = self.line(&variable);
        let mut definition = self.wrapped(self.type_of(&variable)?)?;
        if parts.peek().is_none() {
            let attribute = attribute.and_then(|attribute| self.member(definition, attribute.in_source()));
            return attribute.and_then(|member| self.line(&member)).or(here);
        }
        while parts.next_if_eq(&"inner").is_some() {
            let values = self.member(definition, "values")?;
            here = self.line(&values).or(here);
            definition = self.struct_behind(self.type_of(&values)?)?;
        }
        let Some(role) = parts.next() else { return here };
        let Some(member) = self.member(definition, role) else {
            if parts.peek().is_none()
                && let Some(size) = self.member(definition, &format!("{role}_size"))
            {
                return self.line(&size).or(here);
            }
            return self.annotation(map, role, parts).or(here);
        };
        here = self.line(&member).or(here);
        // The declaration holds a pointer to the key or value.
        let target = self.entry(self.type_of(&member)?).and_then(|pointer| self.type_of(&pointer))?;
        self.follow(target, parts).or(here)
    }

    /// The line of the member that `parts` lead to from a key or value type, or of the last one on the way.
    fn follow<'p>(&self, start: UnitOffset, parts: impl Iterator<Item = &'p str>) -> Option<SourceLine> {
        let (mut at, mut found) = (start, None);
        for part in parts {
            let Some(member) = self.struct_behind(at).and_then(|composite| self.member(composite, part)) else { break };
            found = self.line(&member).or(found);
            at = self.type_of(&member)?;
        }
        found
    }

    /// The same for a legacy map, whose types a struct `____btf_map_NAME` tells.
    fn annotation<'p>(&self, map: &str, role: &str, parts: impl Iterator<Item = &'p str>) -> Option<SourceLine> {
        let wanted = format!("____btf_map_{map}");
        let of =
            self.entries_where(gimli::DW_TAG_structure_type, |entry| self.name(entry).as_deref() == Some(&wanted))?;
        let member = self.member(of, role)?;
        self.follow(self.type_of(&member)?, parts).or_else(|| self.line(&member))
    }

    pub(super) fn variable(&self, map: &str) -> Option<Entry<'_, 'a>> {
        let offset = self.entries_where(gimli::DW_TAG_variable, |entry| {
            let linkage = entry.attr_value(gimli::DW_AT_linkage_name);
            self.name(entry).as_deref() == Some(map)
                || linkage.is_some_and(|name| self.text(name).as_deref() == Some(map))
        })?;
        self.entry(offset)
    }

    fn entries_where(&self, tag: gimli::DwTag, wanted: impl Fn(&Entry<'_, 'a>) -> bool) -> Option<UnitOffset> {
        let mut entries = self.unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            if entry.tag() == tag && wanted(entry) {
                return Some(entry.offset());
            }
        }
        None
    }

    pub(super) fn entry(&self, offset: UnitOffset) -> Option<Entry<'_, 'a>> {
        self.unit.entry(offset).ok()
    }

    pub(super) fn type_of(&self, entry: &Entry<'_, 'a>) -> Option<UnitOffset> {
        match entry.attr_value(gimli::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(offset),
            AttributeValue::DebugInfoRef(offset) => offset.to_unit_offset(&self.unit.header),
            _ => None,
        }
    }

    /// The struct or union behind typedefs, qualifiers, arrays and pointers.
    fn struct_behind(&self, mut at: UnitOffset) -> Option<UnitOffset> {
        for _ in 0..MAX_STEPS {
            let entry = self.entry(at)?;
            match entry.tag() {
                gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type => return Some(at),
                _ => at = self.type_of(&entry)?,
            }
        }
        None
    }

    /// The struct with a map's attributes, within structs of one member that only wrap it.
    fn wrapped(&self, at: UnitOffset) -> Option<UnitOffset> {
        let mut at = self.struct_behind(at)?;
        for _ in 0..MAX_STEPS {
            let members = self.members(at)?;
            match members.as_slice() {
                [only] if self.name(only).as_deref() != Some("type") => {
                    match self.type_of(only).and_then(|of| self.struct_behind(of)) {
                        Some(inner) => at = inner,
                        None => return Some(at),
                    }
                }
                _ => return Some(at),
            }
        }
        None
    }

    pub(super) fn members(&self, composite: UnitOffset) -> Option<Vec<Entry<'_, 'a>>> {
        let mut tree = self.unit.entries_tree(Some(composite)).ok()?;
        let root = tree.root().ok()?;
        let mut children = root.children();
        let mut members = Vec::new();
        while let Ok(Some(child)) = children.next() {
            if child.entry().tag() == gimli::DW_TAG_member {
                members.push(child.entry().clone());
            }
        }
        Some(members)
    }

    /// The member of that name, also inside of anonymous structs and unions.
    fn member(&self, composite: UnitOffset, name: &str) -> Option<Entry<'_, 'a>> {
        let mut waiting = vec![composite];
        for _ in 0..MAX_STEPS {
            for member in self.members(waiting.pop()?)? {
                match self.name(&member) {
                    Some(found) if found == name => return Some(member),
                    Some(_) => {}
                    None => waiting.extend(self.type_of(&member).and_then(|of| self.struct_behind(of))),
                }
            }
        }
        None
    }

    pub(super) fn name(&self, entry: &Entry<'_, 'a>) -> Option<Cow<'a, str>> {
        self.text(entry.attr_value(gimli::DW_AT_name)?)
    }

    pub(super) fn text(&self, value: AttributeValue<Slice<'a>>) -> Option<Cow<'a, str>> {
        Some(self.dwarf.attr_string(self.unit, value).ok()?.to_string_lossy())
    }

    pub(super) fn line(&self, entry: &Entry<'_, 'a>) -> Option<SourceLine> {
        let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
        let line = number(gimli::DW_AT_decl_line)?;
        let index = match entry.attr_value(gimli::DW_AT_decl_file)? {
            AttributeValue::FileIndex(index) => index,
            value => value.udata_value()?,
        };
        let header = self.unit.line_program.as_ref()?.header();
        let file = header.file(index)?;
        let name = self.text(file.path_name())?;
        let directory = file.directory(header).and_then(|directory| self.text(directory)).unwrap_or_default();
        let comp_dir = self.unit.comp_dir.map(|dir| dir.to_string_lossy()).unwrap_or_default();
        let path = [&*comp_dir, &*directory, &*name].iter().fold(String::new(), |path, part| join(&path, part));
        Some(SourceLine { file: path, line })
    }
}

/// `base/part`, but `part` alone if that is absolute; `.` and a leading `./` are dropped.
fn join(base: &str, part: &str) -> String {
    let part = part.strip_prefix("./").unwrap_or(part);
    match part {
        "" | "." => base.to_owned(),
        _ if part.starts_with('/') || base.is_empty() => part.to_owned(),
        _ => format!("{base}/{part}"),
    }
}
