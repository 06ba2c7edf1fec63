//! What an object's programs do with its maps, from their instructions.
//!
//! The instructions are followed from the relocation that loads a map, through registers, the stack and calls, to the accesses to its
//! entries. Everything that may be in a register is kept, so that what is found to be left alone is left alone; if that can't be kept,
//! the use of the maps that are concerned is known in part only.

mod calls;
mod code;
mod flow;
mod helpers;
mod lines;
mod number;
mod step;
mod uses;
mod value;

use std::collections::BTreeMap;

use maplock_layout::ProgramUse;
use maplock_layout::btf::Btf;
use maplock_layout::map::MapDef;

use super::{Elf, SourceLine};

/// What an object's programs do with its maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// By the map's name; a map that no program touches is not in it.
    pub uses: BTreeMap<String, ProgramUse>,
    /// Where a member is counted that programs only add to: by the map's name and the member's path, the first line that does.
    pub counted: BTreeMap<(String, String), SourceLine>,
}

/// Reads the programs of an object that has these maps.
pub(super) fn read(elf: &Elf<'_>, btf: Option<&Btf<'_>>, maps: &[MapDef]) -> Programs {
    let code = code::Code::read(elf, maps);
    let found = flow::follow(&code, maps);
    let mut lines = lines::Lines::read(elf, btf);
    uses::of(&found, maps, |at| lines.find(&code, at))
}
