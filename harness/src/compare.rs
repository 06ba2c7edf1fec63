//! Holds the entries of a map against what they are to be.

use std::collections::{BTreeMap, BTreeSet};

use maplock::internals::pin_name;
use maplock::layout::lock::{LockedMap, Merge};
use maplock::layout::{Disposition, Lock, MapDef, SumPlace, differing, sum_places};

use crate::expected::{Entries, Expected};
use crate::picture::{Entry, Picture};

/// Differences of a map that are shown.
const SHOWN: usize = 3;

/// What could have been written between two pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: all that differs is wrong.
    Quiet,
    /// What programs write.
    Traffic,
}

/// How a map was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Every byte of every entry.
    Exactly,
    /// Under traffic: every key, that no count fell, and what no program writes.
    UnderTraffic {
        /// Members that are counts, by path.
        counts: Vec<String>,
        /// Members that programs write and that differed: these were not compared.
        written: Vec<String>,
    },
    /// Not at all, and why: a phrase.
    Not(String),
}

/// What became of one map.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// Its name.
    pub map: String,
    /// Its name before, if that is another.
    pub was: Option<String>,
    /// What happened to its state.
    pub disposition: Disposition,
    /// Entries before and after, if they can be read.
    pub entries: (Option<usize>, Option<usize>),
    /// How they were compared.
    pub how: How,
    /// Entries that are as they are to be.
    pub kept: usize,
    /// Entries that were not there, nor became of one that was.
    pub new: usize,
    /// Entries that are gone.
    pub gone: usize,
    /// Entries with another value than they are to have.
    pub changed: usize,
    /// Entries with a count that is lower than before.
    pub fell: usize,
    /// Entries of which one of these three is so, and that programs may have deleted, and made anew.
    pub uncertain: usize,
    /// Why entries may go: a phrase.
    pub may_go: Option<&'static str>,
    /// True if none of it counts, as the caller says.
    pub is_excepted: bool,
    /// Some of what is wrong.
    pub examples: Vec<Difference>,
    /// What keys and values of the examples are.
    pub def: MapDef,
}

/// An entry that is not what it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Members that differ; none if the entry is gone.
    pub members: Vec<String>,
    /// Its key.
    pub key: Vec<u8>,
    /// What its value is to be; in a per-CPU map, that of each CPU.
    pub expected: Vec<Vec<u8>>,
    /// What it is.
    pub found: Option<Vec<Vec<u8>>>,
}

impl Compared {
    /// True if state is lost.
    #[must_use]
    pub fn fails(&self) -> bool {
        !self.is_excepted && self.gone + self.changed + self.fell > 0
    }
}

/// The locks of the two releases, which know what their programs do.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The one before.
    pub old: &'a Lock,
    /// The one after.
    pub new: &'a Lock,
}

impl Picture {
    /// Holds this picture against what the entries of one before it are to be. `is_quiet` says of which maps nothing was written meanwhile.
    #[must_use]
    pub fn compare(&self, expected: &[Expected], sides: Side<'_>, is_quiet: impl Fn(&str) -> bool) -> Vec<Compared> {
        expected
            .iter()
            .map(|of| self.one(of, sides, if is_quiet(&of.map) { Mode::Quiet } else { Mode::Traffic }))
            .collect()
    }

    fn one(&self, expected: &Expected, sides: Side<'_>, mode: Mode) -> Compared {
        let after = self.maps.get(&expected.map);
        let mut compared = Compared {
            map: expected.map.clone(),
            was: expected.was.clone(),
            disposition: expected.disposition,
            entries: (expected.before, after.and_then(|map| map.count())),
            how: How::Exactly,
            kept: 0,
            new: 0,
            gone: 0,
            changed: 0,
            fell: 0,
            uncertain: 0,
            may_go: None,
            is_excepted: false,
            examples: Vec::new(),
            def: after.map_or_else(
                || MapDef::new(&expected.map, maplock::layout::map::MapType::UNSPEC),
                |map| map.def.clone(),
            ),
        };
        let (wanted, found) = match (&expected.entries, after.map(|map| &map.entries)) {
            (Ok(wanted), Some(Ok(found))) => (wanted, found),
            (Err(why), _) | (_, Some(Err(why))) => {
                compared.how = How::Not(why.clone());
                return compared;
            }
            (Ok(wanted), None) => {
                compared.gone = wanted.all.len().max(1);
                return compared;
            }
        };
        let named = |lock: &'_ Lock, name: &str| {
            lock.maps.get(name).or_else(|| lock.maps.values().find(|map| pin_name(&map.def.name) == name)).cloned()
        };
        let old = named(sides.old, expected.was.as_ref().unwrap_or(&expected.map));
        let rules = (mode == Mode::Traffic)
            .then(|| Rules::of(&compared.def, old.as_ref(), named(sides.new, &expected.map).as_ref()));
        if let Some(rules) = &rules {
            compared.may_go = rules.may_go;
        }
        let mut written = BTreeSet::new();
        for (key, entry) in &wanted.all {
            compared.entry(entry, found.get(key), wanted.met.contains(key), rules.as_ref(), &mut written);
        }
        compared.new = new(wanted, found.keys(), &compared.def);
        if let Some(rules) = rules {
            let counts = rules.counters.into_iter().map(|counter| counter.path).collect();
            compared.how = How::UnderTraffic { counts, written: written.into_iter().collect() };
        }
        compared
    }
}

/// Counts that a roll-back has not brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) map: String,
    member: String,
    before: u128,
    after: u128,
}

impl std::fmt::Display for Lacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { map, member, before, after } = self;
        write!(f, "all entries of `{map}` together have {after} in `{member}`, and had {before} before the roll-back")
    }
}

impl Picture {
    /// What was counted in a newer generation, and is not in this older one, to which a roll-back led: the sums over all entries, of maps
    /// with the same keys in both.
    pub(crate) fn lacking(&self, newer: &Self, sides: Side<'_>) -> Vec<Lacking> {
        let mut lacking = Vec::new();
        for (name, map) in &self.maps {
            let of_new = sides.new.maps.iter().find(|(new, of)| *new == name || of.renamed_from.contains(name));
            let Some((new, was)) = of_new.and_then(|(new, of)| Some((of, newer.maps.get(new)?))) else { continue };
            let (Ok(entries), Ok(were)) = (&map.entries, &was.entries) else { continue };
            let old = sides.old.maps.get(name);
            let [here, there] = [&map.def, &was.def].map(|def| Rules::of(def, old, Some(new)));
            if map.def.key != was.def.key || here.may_go.is_some() || there.may_go.is_some() {
                continue;
            }
            for counter in here.counters {
                let Some(of_new) = there.counters.iter().find(|other| other.path == counter.path) else { continue };
                let total = |entries: &BTreeMap<Vec<u8>, Entry>, of: &Counter| {
                    entries.values().map(|entry| of.sum(entry)).sum()
                };
                let (before, after): (u128, u128) = (total(were, of_new), total(entries, &counter));
                // What has no place in fewer bits can't come back.
                let fits = counter.places.iter().all(|place| place.width == 8 || before <= u32::MAX.into());
                if fits && after < before {
                    lacking.push(Lacking { map: name.clone(), member: counter.path, before, after });
                }
            }
        }
        lacking
    }
}

/// In an array all entries are there from the start.
fn new<'a>(wanted: &Entries, found: impl Iterator<Item = &'a Vec<u8>>, def: &MapDef) -> usize {
    if def.map_type.is_array() { 0 } else { found.filter(|key| !wanted.all.contains_key(*key)).count() }
}

impl Compared {
    fn entry(
        &mut self,
        wanted: &Entry,
        found: Option<&Entry>,
        has_met: bool,
        rules: Option<&Rules>,
        written: &mut BTreeSet<String>,
    ) {
        let Some(found) = found else {
            match self.may_go {
                Some(_) => self.uncertain += 1,
                None => {
                    self.gone += 1;
                    self.keep(Vec::new(), wanted, None);
                }
            }
            return;
        };
        let mut members = BTreeSet::new();
        if !has_met {
            for (value, other) in wanted.values.iter().zip(&found.values) {
                members.extend(differing(&self.def, (&wanted.key, value), (&wanted.key, other)));
            }
        }
        let Some(rules) = rules else {
            match members.is_empty() {
                true => self.kept += 1,
                false => {
                    self.changed += 1;
                    self.keep(members.into_iter().collect(), wanted, Some(found));
                }
            }
            return;
        };
        let fell: Vec<_> =
            rules.counters.iter().filter(|counter| counter.fell(wanted, found)).map(|of| of.path.clone()).collect();
        let (is_of, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|path| rules.is_written(path));
        written.extend(is_of.into_iter().filter(|path| !rules.counters.iter().any(|counter| counter.path == *path)));
        match (fell.is_empty(), others.is_empty()) {
            (true, true) => self.kept += 1,
            _ if self.may_go.is_some() => self.uncertain += 1,
            (false, _) => {
                self.fell += 1;
                self.keep(fell, wanted, Some(found));
            }
            (true, false) => {
                self.changed += 1;
                self.keep(others, wanted, Some(found));
            }
        }
    }

    fn keep(&mut self, members: Vec<String>, wanted: &Entry, found: Option<&Entry>) {
        if self.examples.len() < SHOWN {
            let (key, expected) = (wanted.key.clone(), wanted.values.clone());
            self.examples.push(Difference { members, key, expected, found: found.map(|found| found.values.clone()) });
        }
    }
}

/// What programs of both releases may do to an entry under traffic.
struct Rules {
    /// Why entries may go.
    may_go: Option<&'static str>,
    counters: Vec<Counter>,
    /// Members that programs write; `None` if that is not known.
    written: Option<BTreeSet<String>>,
}

struct Counter {
    path: String,
    places: Vec<SumPlace>,
}

impl Rules {
    fn of(def: &MapDef, old: Option<&LockedMap>, new: Option<&LockedMap>) -> Self {
        let sides = || [old, new].into_iter().flatten();
        let uses: Option<Vec<_>> =
            sides().map(|map| map.programs.as_ref().filter(|programs| !programs.partly)).collect();
        let may_go = match &uses {
            _ if def.map_type.is_array() => None,
            _ if def.map_type.evicts() => Some("the map drops entries by itself"),
            None => Some("nothing says what all programs do with it"),
            Some(uses) if uses.iter().any(|programs| programs.deletes) => Some("programs delete entries"),
            Some(_) => None,
        };
        let written = uses
            .as_ref()
            .map(|uses| uses.iter().flat_map(|uses| uses.adds.iter().chain(&uses.sets)).cloned().collect());
        let merged =
            sides().flat_map(|map| &map.merge).filter(|(_, merge)| **merge == Merge::Sum).map(|(path, _)| path);
        let added = uses.iter().flatten().flat_map(|uses| &uses.adds);
        let set: BTreeSet<_> = uses.iter().flatten().flat_map(|uses| &uses.sets).collect();
        let paths: BTreeSet<&String> = merged.chain(added).filter(|path| !set.contains(path)).collect();
        let counter =
            |path: &String| Some(Counter { path: path.clone(), places: sum_places(def.value.as_deref()?, path).ok()? });
        Self { may_go, counters: paths.into_iter().filter_map(counter).collect(), written }
    }

    /// True of a member that programs may have written, or a part of it, or all that it is a part of.
    fn is_written(&self, path: &str) -> bool {
        let is_part = |one: &str, of: &str| {
            one.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let counted = self.counters.iter().map(|counter| &counter.path);
        match &self.written {
            None => true,
            Some(written) => written.iter().chain(counted).any(|of| is_part(path, of) || is_part(of, path)),
        }
    }
}

impl Counter {
    /// Of a per-CPU map, all CPUs together.
    fn fell(&self, wanted: &Entry, found: &Entry) -> bool {
        self.places.iter().any(|place| {
            let sum = |entry: &Entry| entry.values.iter().filter_map(|value| number(value, *place)).sum::<u128>();
            sum(found) < sum(wanted)
        })
    }

    fn sum(&self, entry: &Entry) -> u128 {
        self.places.iter().flat_map(|place| entry.values.iter().filter_map(|value| number(value, *place))).sum()
    }
}

fn number(value: &[u8], place: SumPlace) -> Option<u128> {
    let start = place.offset as usize;
    let bytes = value.get(start..start + place.width as usize)?;
    match *bytes {
        [a, b, c, d] => Some(u32::from_ne_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Some(u64::from_ne_bytes([a, b, c, d, e, f, g, h]).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use maplock::layout::map::MapType;
    use maplock::layout::{IntKind, Layout, ProgramUse, Shape};

    use super::*;
    use crate::picture::MapPicture;

    fn picture(id: u32, entries: &[(u8, u64)]) -> Picture {
        let number = |size| Some(Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned))));
        let def = MapDef {
            key_size: 1,
            value_size: 8,
            key: number(1),
            value: number(8),
            ..MapDef::new("hits", MapType::HASH)
        };
        let entry =
            |&(key, value): &(u8, u64)| (vec![key], Entry { key: vec![key], values: vec![value.to_ne_bytes().into()] });
        let map = MapPicture { id, def, entries: Ok(entries.iter().map(entry).collect()) };
        Picture { maps: [("hits".to_owned(), map)].into(), ..Picture::default() }
    }

    fn lock(programs: Option<ProgramUse>) -> Lock {
        let def = picture(0, &[]).maps["hits"].def.clone();
        Lock { maps: [("hits".to_owned(), LockedMap { programs, ..LockedMap::new(def) })].into(), ..Lock::default() }
    }

    fn counting() -> ProgramUse {
        ProgramUse { inserts: true, adds: ["value".to_owned()].into(), ..ProgramUse::default() }
    }

    /// Gone, changed, fell, uncertain, new.
    fn counts(programs: Option<ProgramUse>, is_quiet: bool) -> [usize; 5] {
        let (before, after) = (picture(1, &[(1, 10), (2, 20), (3, 30)]), picture(2, &[(1, 9), (3, 31), (4, 0)]));
        let lock = lock(programs);
        let sides = Side { old: &lock, new: &lock };
        let [compared] = &after.compare(&Expected::same(&before), sides, |_| is_quiet)[..] else { panic!("one map") };
        assert_eq!(compared.fails(), compared.examples.iter().len() > 0);
        [compared.gone, compared.changed, compared.fell, compared.uncertain, compared.new]
    }

    #[test]
    fn what_no_program_can_have_done_is_a_loss() {
        assert_eq!(counts(Some(counting()), true), [1, 2, 0, 0, 1]);
        assert_eq!(counts(Some(counting()), false), [1, 0, 1, 0, 1]);
        let setting = ProgramUse { sets: ["value".to_owned()].into(), ..ProgramUse::default() };
        assert_eq!(counts(Some(setting), false), [1, 0, 0, 0, 1]);
        assert_eq!(counts(Some(ProgramUse::default()), false), [1, 2, 0, 0, 1]);
    }

    #[test]
    fn what_programs_may_have_deleted_is_uncertain() {
        assert_eq!(counts(Some(ProgramUse { deletes: true, ..counting() }), false), [0, 0, 0, 2, 1]);
        assert_eq!(counts(None, false), [0, 0, 0, 1, 1]);
        assert_eq!(counts(Some(ProgramUse { partly: true, ..counting() }), false), [0, 0, 0, 1, 1]);
        // Where nothing wrote, nobody deleted.
        assert_eq!(counts(None, true), [1, 2, 0, 0, 1]);
    }

    #[test]
    fn counts_that_a_roll_back_leaves_behind_are_found() {
        let (newer, back) = (picture(2, &[(1, 10), (2, 20)]), picture(1, &[(1, 10), (2, 15)]));
        let known = lock(Some(counting()));
        let lacking = |lock: &Lock| back.lacking(&newer, Side { old: lock, new: lock });
        let [lacks] = &lacking(&known)[..] else { panic!("one count") };
        assert_eq!(
            lacks.to_string(),
            "all entries of `hits` together have 25 in `value`, and had 30 before the roll-back"
        );
        assert!(newer.lacking(&back, Side { old: &known, new: &known }).is_empty());
        assert!(lacking(&lock(None)).is_empty());
    }

    #[test]
    fn a_link_that_runs_on_a_map_of_before_is_found() {
        let (before, mut after) = (picture(1, &[]), picture(2, &[]));
        after.links.insert("connect4".to_owned(), vec![2, 7]);
        assert_eq!(after.mixed(&before), None);
        after.links.insert("connect6".to_owned(), vec![1]);
        assert_eq!(after.mixed(&before), Some(("connect6", "hits")));
    }
}
