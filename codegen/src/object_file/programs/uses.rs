//! From writes of bytes to members.

use std::collections::BTreeMap;

use maplock_layout::map::MapDef;
use maplock_layout::{Accesses, Layout, Met, ProgramUse, touched};

use super::super::SourceLine;
use super::Programs;
use super::flow::{Found, Write};

/// What was found, in the words of the maps' types. `line` finds the line of an instruction.
pub(super) fn of(found: &[Found], maps: &[MapDef], mut line: impl FnMut(usize) -> Option<SourceLine>) -> Programs {
    let mut programs = Programs::default();
    for (map, found) in maps.iter().zip(found) {
        let mut used = ProgramUse {
            inserts: found.inserts,
            deletes: found.deletes,
            partly: found.partly,
            ..ProgramUse::default()
        };
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        let whole = Write { adds: false, first: 0, last: Some(0), step: 0, width: map.value_size.into() };
        let writes = found.writes.iter().map(|(write, at)| (*write, *at));
        for (write, at) in writes.chain(found.overwrites.then_some((whole, 0))) {
            // Where nothing tells the members, a write is of nobody knows which.
            let Some(met) = map.value.as_deref().and_then(|value| members(value, write)) else {
                used.partly = true;
                continue;
            };
            used.partly |= !met.is_all;
            for member in met.members {
                if write.adds && member.is_number {
                    counted.entry(member.path.clone()).and_modify(|first| *first = at.min(*first)).or_insert(at);
                    used.adds.insert(member.path);
                } else {
                    used.sets.insert(member.path);
                }
            }
        }
        used.adds = used.adds.difference(&used.sets).cloned().collect();
        for path in &used.adds {
            if let Some(line) = counted.get(path).and_then(|at| line(*at)) {
                programs.counted.insert((map.name.clone(), path.clone()), line);
            }
        }
        if used != ProgramUse::default() {
            programs.uses.insert(map.name.clone(), used);
        }
    }
    programs
}

fn members(value: &Layout, write: Write) -> Option<Met> {
    let Write { first, last, step, width, .. } = write;
    let (first, last) = (u64::try_from(first).ok()?, last.map(u64::try_from).transpose().ok()?);
    // A member of Rust's that has no name is none that anybody could be told of.
    let have_names = |met: &Met| met.members.iter().all(|member| !member.path.split('.').any(str::is_empty));
    touched(value, Accesses { first, last, step, width }).filter(have_names)
}
