//! The line of the source that an instruction is of, from `.BTF.ext`.
//!
//! Source: `Documentation/bpf/btf.rst`, section ".BTF.ext section".

use std::collections::HashMap;

use maplock_layout::btf::Btf;

use super::super::{Elf, SourceLine, section_data};
use super::code::Code;

const MAGIC: u16 = 0xeb9f;
/// Bytes of the header up to the place and length of the lines.
const HEADER: usize = 24;
/// Bytes of a record that are known.
const RECORD: usize = 16;

/// By the section's name: the offset of an instruction, the file and the line.
type Sections<'a> = HashMap<&'a str, Vec<(u32, u32, u64)>>;

/// Lines of instructions, read when the first is asked for.
pub(super) struct Lines<'e, 'a> {
    elf: &'e Elf<'a>,
    btf: Option<&'e Btf<'a>>,
    sections: Option<Sections<'a>>,
}

impl<'e, 'a> Lines<'e, 'a> {
    pub(super) fn read(elf: &'e Elf<'a>, btf: Option<&'e Btf<'a>>) -> Self {
        Self { elf, btf, sections: None }
    }

    /// The line of an instruction, or of the nearest one before it.
    pub(super) fn find(&mut self, code: &Code, at: usize) -> Option<SourceLine> {
        let (elf, btf) = (self.elf, self.btf?);
        let sections = self.sections.get_or_insert_with(|| {
            let data = section_data(elf, ".BTF.ext").ok().flatten();
            data.and_then(|data| sections(data, btf)).unwrap_or_default()
        });
        let (name, range) = code.section_of(at)?;
        let offset = u32::try_from((at - range.start) * 8).ok()?;
        let lines = sections.get(name.as_str())?;
        let (_, file, line) = lines[..lines.partition_point(|(at, ..)| *at <= offset)].last()?;
        let file = btf.string(*file)?;
        let file = file.trim_start_matches("./").to_owned();
        Some(SourceLine { file, line: *line }).filter(|line| line.line > 0)
    }
}

fn sections<'a>(data: &[u8], btf: &Btf<'a>) -> Option<Sections<'a>> {
    let little = match u16::from_le_bytes([*data.first()?, *data.get(1)?]) {
        MAGIC => true,
        magic if magic.swap_bytes() == MAGIC => false,
        _ => return None,
    };
    let word = |at: usize| -> Option<u32> {
        let bytes: [u8; 4] = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let size = |at: usize| word(at).map(|word| word as usize);
    let header = size(4).filter(|len| *len >= HEADER)?;
    let start = header.checked_add(size(16)?)?;
    let end = start.checked_add(size(20)?).filter(|end| *end <= data.len())?;
    let record = size(start).filter(|len| *len >= RECORD)?;
    let mut sections = Sections::new();
    let mut at = start + 4;
    while at + 8 <= end {
        let (name, count) = (word(at)?, size(at + 4)?);
        at += 8;
        let lines = sections.entry(btf.string(name)?).or_default();
        for _ in 0..count {
            if at.checked_add(record)? > end {
                break;
            }
            lines.push((word(at)?, word(at + 4)?, u64::from(word(at + 12)? >> 10)));
            at += record;
        }
    }
    sections.values_mut().for_each(|lines| lines.sort_by_key(|(at, ..)| *at));
    Some(sections)
}
