//! Members that programs count in.

use std::collections::BTreeMap;

use crate::change::{Change, Part, Step, Subject};
use crate::config::Levels;
use crate::finding::Finding;
use crate::layout::Layout;
use crate::lock::{Lock, LockedMap};
use crate::map_type::can_be_carried;
use crate::program_use::ProgramUse;
use crate::rules::UNMERGED_COUNTER;
use crate::sum::{VALUE, sum_places};

impl LockedMap {
    /// Members that the release's programs only add to, as far as they could be followed, and that nothing merges for the
    /// life of the map. If entries are carried over into another map, what old programs count meanwhile is lost. Empty for
    /// a map whose entries are never carried over.
    #[must_use]
    pub fn unmerged_counters(&self) -> Vec<&str> {
        self.programs.as_ref().map(|programs| self.unmerged(programs)).unwrap_or_default()
    }

    /// The same for programs that do this with the map.
    fn unmerged<'a>(&self, programs: &'a ProgramUse) -> Vec<&'a str> {
        let Some(value) = self.def.value.as_deref().filter(|_| !self.ephemeral && can_be_carried(&self.def)) else {
            return Vec::new();
        };
        let is_open = |path: &&String| !self.merge.contains_key(*path) && sum_places(value, path).is_ok();
        programs.adds.iter().filter(is_open).map(String::as_str).collect()
    }
}

/// What [`UNMERGED_COUNTER`] finds, map by map: counters of the maps of `lock`, whose programs do what `now` says of them, which is the same
/// lock, or what the objects define. A member that the lock does not have yet is none of these: nothing can be said of it there.
///
/// If programs could not all be followed, they may set what they are seen to add to, and nothing is found.
#[must_use]
pub fn unmerged(lock: &Lock, now: &Lock, levels: &Levels) -> Vec<Finding> {
    all(lock, now).filter_map(|(map, members)| found(map, members, levels)).collect()
}

/// The same of a lock, without what was so in an older one already.
#[must_use]
pub fn unmerged_since(old: &Lock, new: &Lock, levels: &Levels) -> Vec<Finding> {
    let known: BTreeMap<_, _> = all(old, old).collect();
    let is_new = |map: &str, path: &str| !known.get(map).is_some_and(|known| known.iter().any(|(of, _)| of == path));
    let fresh = all(new, new).map(|(map, mut members)| {
        members.retain(|(path, _)| is_new(map, path));
        (map, members)
    });
    fresh.filter_map(|(map, members)| found(map, members, levels)).collect()
}

/// Paths of members, and where they are.
type Members = Vec<(String, Subject)>;

/// The counters of each map of `lock`, by what `now` says of programs.
fn all<'a>(lock: &'a Lock, now: &'a Lock) -> impl Iterator<Item = (&'a str, Members)> {
    let followed = |map: &LockedMap| !map.ephemeral && map.programs.as_ref().is_some_and(|programs| !programs.partly);
    now.maps.iter().filter(move |(_, now)| followed(now)).filter_map(|(name, now)| {
        let known = lock.maps.get(name)?;
        let (value, programs) = (known.def.value.as_deref()?, now.programs.as_ref()?);
        let paths = known.unmerged(programs).into_iter();
        Some((name.as_str(), paths.map(|path| (path.to_owned(), subject(value, path))).collect()))
    })
}

fn found(map: &str, members: Members, levels: &Levels) -> Option<Finding> {
    let subject = match members.as_slice() {
        [] => return None,
        [(_, only)] => only.clone(),
        _ => Subject::MAP.part(Part::Value),
    };
    Some(Finding {
        rule: &UNMERGED_COUNTER,
        level: levels.of(&UNMERGED_COUNTER),
        map: map.to_owned(),
        subject,
        change: Change::Counted { members },
        consequence_of: None,
        accepted: None,
    })
}

/// The member of that path.
fn subject(value: &Layout, path: &str) -> Subject {
    let mut subject = Subject::MAP.part(Part::Value);
    for (at, segment) in path.split('.').enumerate() {
        let name = segment.trim_end_matches("[]");
        if at > 0 || name != VALUE || value.composite().is_some() {
            subject = subject.step(Step::Member(name.to_owned()));
        }
        for _ in 0..(segment.len() - name.len()) / 2 {
            subject = subject.step(Step::Element);
        }
    }
    subject
}
