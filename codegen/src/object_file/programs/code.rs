//! The instructions of an object's programs, with what their relocations name.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use maplock_layout::map::{MapDef, Origin};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SectionKind, SymbolKind,
};

use super::super::Elf;

/// Bytes of an instruction.
const LEN: usize = 8;
/// The section of functions that programs call.
const SUBPROGRAMS: &str = ".text";

/// `src_reg` of a call: of a function of the object, of one of the kernel.
pub(super) const PSEUDO_CALL: u8 = 1;
pub(super) const PSEUDO_KFUNC_CALL: u8 = 2;

/// One instruction; the second half of a wide one is one of its own, which is jumped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Insn {
    pub(super) op: u8,
    pub(super) dst: usize,
    pub(super) src: u8,
    pub(super) off: i16,
    pub(super) imm: i32,
    pub(super) names: Names,
}

/// What an instruction's relocation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// None, or what is of no account here.
    Nothing,
    /// A map, by its number.
    Map(usize),
    /// Bytes of the map that a loader makes of a section.
    Data(usize, i64),
    /// The address of a function, by its first instruction.
    Function(usize),
    /// A function that is called.
    Call(usize),
    /// A function of the kernel.
    Kernel,
}

/// The instructions of all sections, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) insns: Vec<Insn>,
    /// True for an instruction that is jumped to.
    pub(super) is_target: Vec<bool>,
    /// The instructions of each section with its name, by their order.
    pub(super) sections: Vec<(String, Range<usize>)>,
    /// Where programs begin.
    pub(super) entries: BTreeSet<usize>,
}

impl Code {
    pub(super) fn read(elf: &Elf<'_>, maps: &[MapDef]) -> Self {
        let mut code = Self::default();
        let little = object::Object::is_little_endian(elf);
        // Where each section begins, in instructions.
        let mut starts: HashMap<SectionIndex, usize> = HashMap::new();
        let of_code = || elf.sections().filter(|section| section.kind() == SectionKind::Text);
        for section in of_code() {
            let Ok(data) = section.data() else { continue };
            let start = code.insns.len();
            code.insns.extend(data.chunks_exact(LEN).map(|bytes| decode(bytes, little)));
            starts.insert(section.index(), start);
            code.sections.push((section.name().unwrap_or_default().to_owned(), start..code.insns.len()));
        }
        let named = Named::read(elf, maps, &starts);
        for section in of_code() {
            let Some(&start) = starts.get(&section.index()) else { continue };
            for (offset, relocation) in section.relocations() {
                let at = usize::try_from(offset).ok().map(|offset| start + offset / LEN);
                let (Some(at), RelocationTarget::Symbol(symbol)) = (at, relocation.target()) else { continue };
                let Some(insn) = code.insns.get(at).copied() else { continue };
                if let Some(names) = named.find(elf, symbol, insn) {
                    code.insns[at].names = names;
                }
            }
        }
        code.resolve_calls();
        code.mark_targets();
        code.find_entries(elf, &starts);
        code
    }

    /// The section that has an instruction.
    pub(super) fn section_of(&self, at: usize) -> Option<&(String, Range<usize>)> {
        let behind = self.sections.partition_point(|(_, range)| range.end <= at);
        self.sections.get(behind).filter(|(_, range)| range.contains(&at))
    }

    /// Where a jump from `at` leads, within its section.
    pub(super) fn target(&self, at: usize, off: i64) -> Option<usize> {
        let to = i64::try_from(at).ok()?.checked_add(1)?.checked_add(off)?;
        let (_, section) = self.section_of(at)?;
        usize::try_from(to).ok().filter(|to| section.contains(to))
    }

    /// Calls within one section have no relocation.
    fn resolve_calls(&mut self) {
        for at in 0..self.insns.len() {
            let Insn { op, src, imm, names, .. } = self.insns[at];
            if op == 0x85
                && src == PSEUDO_CALL
                && names == Names::Nothing
                && let Some(to) = self.target(at, imm.into())
            {
                self.insns[at].names = Names::Call(to);
            }
        }
    }

    fn mark_targets(&mut self) {
        let mut is_target = vec![false; self.insns.len()];
        for (at, insn) in self.insns.iter().enumerate() {
            let off = match (insn.op & 7, insn.op & 0xf0) {
                // `gotol` has its distance elsewhere.
                (6, 0x00) => i64::from(insn.imm),
                (5 | 6, op) if op != 0x80 && op != 0x90 => i64::from(insn.off),
                _ => continue,
            };
            if let Some(to) = self.target(at, off) {
                is_target[to] = true;
            }
        }
        self.is_target = is_target;
    }

    /// Programs are the functions of every section but that of subprograms; a section without names is one program.
    fn find_entries(&mut self, elf: &Elf<'_>, starts: &HashMap<SectionIndex, usize>) {
        let mut named = Vec::new();
        for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let Some(start) = symbol.section_index().and_then(|section| starts.get(&section)) else { continue };
            let Ok(offset) = usize::try_from(symbol.address()) else { continue };
            named.push(start + offset / LEN);
        }
        for (name, range) in self.sections.iter().filter(|(name, range)| name != SUBPROGRAMS && !range.is_empty()) {
            let of_section: Vec<_> = named.iter().copied().filter(|at| range.contains(at)).collect();
            // What libbpf does not load either.
            if name.starts_with(".rel") {
                continue;
            }
            match of_section.is_empty() {
                true => _ = self.entries.insert(range.start),
                false => self.entries.extend(of_section),
            }
        }
    }
}

/// One instruction, as a relocation may still change it.
fn decode(bytes: &[u8], little: bool) -> Insn {
    let half = [bytes[2], bytes[3]];
    let word = [bytes[4], bytes[5], bytes[6], bytes[7]];
    let (high, low) = (bytes[1] >> 4, bytes[1] & 0xf);
    let (dst, src, off, imm) = match little {
        true => (low, high, i16::from_le_bytes(half), i32::from_le_bytes(word)),
        false => (high, low, i16::from_be_bytes(half), i32::from_be_bytes(word)),
    };
    Insn { op: bytes[0], dst: usize::from(dst), src, off, imm, names: Names::Nothing }
}

/// What symbols stand for.
struct Named<'m> {
    /// Where code begins, by its section.
    starts: &'m HashMap<SectionIndex, usize>,
    /// Maps by section and address.
    maps: HashMap<(SectionIndex, u64), usize>,
    /// The maps of whole sections.
    data: HashMap<SectionIndex, usize>,
}

impl<'m> Named<'m> {
    fn read(elf: &Elf<'_>, maps: &[MapDef], starts: &'m HashMap<SectionIndex, usize>) -> Self {
        let is_data = |map: &MapDef| map.origin == Origin::GlobalData;
        let numbers = |data: bool| -> HashMap<&str, usize> {
            let maps = maps.iter().enumerate().filter(|(_, map)| is_data(map) == data);
            maps.map(|(number, map)| (map.name.as_str(), number)).collect()
        };
        let (declared, sections) = (numbers(false), numbers(true));
        let of_section = |section: &object::read::elf::ElfSection64<'_, '_, object::Endianness>| {
            Some((section.index(), *sections.get(section.name().ok()?)?))
        };
        let data: HashMap<_, _> = elf.sections().filter_map(|section| of_section(&section)).collect();
        let mut by_place = HashMap::new();
        for symbol in elf.symbols().filter(|symbol| symbol.kind() != SymbolKind::Section) {
            let Some(section) = symbol.section_index().filter(|at| !starts.contains_key(at) && !data.contains_key(at))
            else {
                continue;
            };
            let by_name = symbol.name().ok().and_then(|name| declared.get(name));
            // A section of its own names a map, whatever the variable is called.
            let of_section = || elf.section_by_index(section).ok()?.name().ok()?.strip_prefix("maps/");
            if let Some(number) = by_name.or_else(|| declared.get(of_section()?)) {
                by_place.insert((section, symbol.address()), *number);
            }
        }
        Self { starts, maps: by_place, data }
    }

    fn find(&self, elf: &Elf<'_>, symbol: object::SymbolIndex, insn: Insn) -> Option<Names> {
        let is_call = insn.op == 0x85;
        let symbol = elf.symbol_by_index(symbol).ok()?;
        let Some(section) = symbol.section_index() else { return is_call.then_some(Names::Kernel) };
        if let Some(&start) = self.starts.get(&section) {
            // Of a call, `imm` counts instructions, and the one behind the call.
            let within = i64::try_from(symbol.address()).ok()?;
            let to = match is_call {
                true => within / 8 + i64::from(insn.imm) + 1,
                false => within.checked_add(insn.imm.into())? / 8,
            };
            let to = start.checked_add(usize::try_from(to).ok()?)?;
            return Some(if is_call { Names::Call(to) } else { Names::Function(to) });
        }
        if insn.op != 0x18 {
            return None;
        }
        let address = symbol.address().wrapping_add_signed(insn.imm.into());
        if let Some(&map) = self.data.get(&section) {
            return Some(Names::Data(map, i64::try_from(address).ok()?));
        }
        self.maps.get(&(section, address)).map(|map| Names::Map(*map))
    }
}
