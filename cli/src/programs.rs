//! What programs do with a map, and what of that is another thing than before: worth knowing, and no break.

use maplock_codegen::{Inputs, counters};
use maplock_layout::lock::LockedMap;
use maplock_layout::{Lock, ProgramUse};

use crate::project::Target;

/// What programs do otherwise: for each map that both sides have, in words that follow "programs". `None` is said if the old side does
/// not know.
pub(crate) fn changed(old: &LockedMap, new: &LockedMap) -> Option<String> {
    let now = new.programs.as_ref()?;
    let Some(before) = &old.programs else { return Some(format!("programs {}", words(now))) };
    let mut told = Vec::new();
    let mut differs = |was: bool, is: bool, what: &str| match (was, is) {
        (false, true) => told.push(format!("now {what}")),
        (true, false) => told.push(format!("no longer {what}")),
        _ => {}
    };
    differs(before.inserts, now.inserts, "insert entries");
    differs(before.deletes, now.deletes, "delete entries");
    for path in before.adds.union(&now.adds) {
        differs(before.adds.contains(path), now.adds.contains(path), &format!("only add to `{path}`"));
    }
    for path in before.sets.union(&now.sets) {
        differs(before.sets.contains(path), now.sets.contains(path), &format!("set `{path}`"));
    }
    match (before.partly, now.partly) {
        (false, true) => told.push("can be followed in part only now".to_owned()),
        (true, false) => told.push("can all be followed now".to_owned()),
        _ => {}
    }
    (!told.is_empty()).then(|| format!("programs {}", told.join(", ")))
}

/// `insert entries, only add to `n`, set `seen``
fn words(used: &ProgramUse) -> String {
    let facts = [(used.inserts, "insert entries"), (used.deletes, "delete entries")];
    let mut told: Vec<_> = facts.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what.to_owned()).collect();
    told.extend(used.adds.iter().map(|path| format!("only add to `{path}`")));
    told.extend(used.sets.iter().map(|path| format!("set `{path}`")));
    if used.partly {
        told.push("can be followed in part only".to_owned());
    }
    if told.is_empty() { "change nothing in it".to_owned() } else { told.join(", ") }
}

/// The lock with what `known` says of programs: what differs then is more than that.
pub(crate) fn as_known(lock: &Lock, known: &Lock) -> Lock {
    let mut lock = lock.clone();
    for (name, map) in &mut lock.maps {
        if let Some(known) = known.maps.get(name) {
            map.programs.clone_from(&known.programs);
        }
    }
    lock
}

/// What to do about members that programs count in, and that nothing says how to merge: of those of these maps of the lock that was just
/// written, a note for each map.
pub(crate) fn counters<'a>(
    target: &Target,
    lock: &Lock,
    inputs: &Inputs,
    maps: impl IntoIterator<Item = &'a String>,
) -> Vec<String> {
    let roots = target.roots();
    let note = |name| counters::note(lock.maps.get(name)?, inputs, &roots, &target.selection);
    maps.into_iter().filter_map(note).collect()
}

/// One note of all maps of which that is so.
pub(crate) fn note(old: &Lock, new: &Lock) -> Option<String> {
    let pairs = || new.maps.iter().filter_map(|(name, map)| Some((name, old.maps.get(name)?, map)));
    let known = pairs().filter(|(_, old, _)| old.programs.is_some());
    let told: Vec<_> =
        known.filter_map(|(name, old, new)| Some(format!("map `{name}`: {}", changed(old, new)?))).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// A note of what the lock has not recorded yet.
pub(crate) fn unrecorded(lock: &Lock, observed: &Lock, selection: &str) -> Option<String> {
    let update = format!("`cargo maplock update{selection}` records it");
    if let Some(note) = note(lock, observed) {
        return Some(format!("{note}; {update}"));
    }
    let lacks = |(name, map): (&String, &LockedMap)| {
        map.programs.is_none() && observed.maps.get(name).is_some_and(|now| now.programs.is_some() && !now.ephemeral)
    };
    let are_lacking = lock.maps.iter().any(lacks);
    are_lacking.then(|| format!("the lock does not say yet what programs do with its maps; {update}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use maplock_layout::MapDef;
    use maplock_layout::map::MapType;

    fn map(programs: Option<ProgramUse>) -> LockedMap {
        LockedMap { programs, ..LockedMap::new(MapDef::new("flows", MapType::HASH)) }
    }

    fn names(of: &[&str]) -> std::collections::BTreeSet<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_programs_do_otherwise_is_told_and_what_they_do_as_ever_is_not() {
        let counts = ProgramUse { inserts: true, adds: names(&["n", "m"]), ..ProgramUse::default() };
        let more =
            ProgramUse { deletes: true, adds: names(&["m"]), sets: names(&["n"]), partly: true, ..counts.clone() };
        let told = |old: &Option<ProgramUse>, new: &Option<ProgramUse>| changed(&map(old.clone()), &map(new.clone()));
        let (counts, more) = (Some(counts), Some(more));
        assert_eq!(told(&counts, &counts), None);
        assert_eq!(told(&counts, &None), None);
        let now =
            "programs now delete entries, no longer only add to `n`, now set `n`, can be followed in part only now";
        assert_eq!(told(&counts, &more).as_deref(), Some(now));
        assert_eq!(told(&None, &counts).as_deref(), Some("programs insert entries, only add to `m`, only add to `n`"));
        assert_eq!(told(&None, &Some(ProgramUse::default())).as_deref(), Some("programs change nothing in it"));
    }
}
