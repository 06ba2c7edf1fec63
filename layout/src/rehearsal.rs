//! Conversions of entries tried, before a node depends on them.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

use crate::conversion::{Collide, DerivedLeg, Unfit};

/// How many entries with random bytes are made up, if nobody says.
pub const RANDOM: u32 = 1000;

/// How many problems are told.
const MOST: usize = 10;

/// What came of converting entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
pub struct Rehearsed {
    /// Entries that were made up, and converted.
    pub generated: u64,
    /// Of those that were made up, how many hold a number that does not fit, which the epoch refuses.
    pub refused: u64,
    /// Entries of dumps that were converted; of a per-CPU map, one for each CPU.
    pub dumped: u64,
    /// Entries of dumps whose key another one has too by then.
    pub collided: u64,
    /// Entries that the way back gave back.
    pub returned: u64,
    /// What is wrong: a phrase for each of the first few.
    pub problems: Vec<String>,
}

/// An entry: its key, and its value; in a per-CPU map, that of each CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value, or those of all CPUs: at least one.
    pub values: Vec<Vec<u8>>,
}

impl Entry {
    /// True if the key and each value are so long.
    #[must_use]
    pub fn has_sizes(&self, key: u32, value: u32) -> bool {
        self.key.len() == key as usize && self.values.iter().all(|bytes| bytes.len() == value as usize)
    }
}

/// Converts a key and a value, into as many entries as they become. An error that is [`Unfit`] is one of the epoch's answers; any other
/// is one of code that somebody wrote.
pub type Convert<'a> =
    dyn Fn(&[u8], &[u8], &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

/// The way from one definition to another.
pub struct Rehearsal<'a> {
    /// Sizes of key and value that are converted.
    pub old: (u32, u32),
    /// Those that come of it.
    pub new: (u32, u32),
    /// What is done.
    pub convert: &'a Convert<'a>,
    /// What becomes of entries whose keys become one; `None` if no two can: two that do are a problem.
    pub collide: Option<Collide>,
    /// Derived legs there and back, if the way back is to give each entry back, padding aside.
    pub lossless: Option<&'a [&'a DerivedLeg]>,
}

impl std::fmt::Debug for Rehearsal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal").field("old", &self.old).field("new", &self.new).finish_non_exhaustive()
    }
}

/// Entries that nobody has written: all zero, all ones, and so many with random bytes, always the same ones.
pub fn made_up(key_size: u32, value_size: u32, random: u32) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let (key_size, value_size) = (key_size as usize, value_size as usize);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
    };
    let uniform = [0, 0xff].map(|byte| (vec![byte; key_size], vec![byte; value_size]));
    let random = (0..random).map(move |_| {
        let key = (0..key_size).map(|_| next()).collect();
        (key, (0..value_size).map(|_| next()).collect())
    });
    uniform.into_iter().chain(random)
}

/// An entry through derived legs, one behind the other.
///
/// # Errors
/// If one refuses a number.
pub fn through(legs: &[&DerivedLeg], key: &[u8], value: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Unfit> {
    let entry = (key.to_vec(), value.to_vec());
    legs.iter().try_fold(entry, |(key, value), leg| Ok((leg.key.convert(&key)?, leg.value.convert(&value)?)))
}

impl Rehearsal<'_> {
    /// Converts entries that are [`made_up`].
    pub fn generated(&self, random: u32, into: &mut Rehearsed) {
        for (key, value) in made_up(self.old.0, self.old.1, random) {
            match self.one(&key, &value, into) {
                Ok(_) => into.generated += 1,
                Err(error) if error.is::<Unfit>() => into.refused += 1,
                Err(error) => into.problem(entry_problem(&error, &key, &value)),
            }
        }
    }

    /// Converts entries of a node, each with its value or those of all CPUs: here, none may be refused.
    pub fn dumped(&self, entries: &[Entry], into: &mut Rehearsed) {
        let mut keys: BTreeMap<Vec<u8>, &[u8]> = BTreeMap::new();
        for Entry { key, values } in entries {
            // A key is that of all CPUs' values.
            let mut own = BTreeSet::new();
            for value in values {
                match self.one(key, value, into) {
                    Ok(becomes) => {
                        into.dumped += 1;
                        own.extend(becomes);
                    }
                    Err(error) => into.problem(entry_problem(&error, key, value)),
                }
            }
            for becomes in own {
                match keys.entry(becomes) {
                    Place::Vacant(free) => _ = free.insert(key),
                    Place::Occupied(other) => {
                        into.collided += 1;
                        if !matches!(self.collide, Some(Collide::Sum | Collide::KeepOne)) {
                            let (one, other) = (hex(other.get()), hex(key));
                            into.problem(format!("two entries get one key: those of {one} and {other}"));
                        }
                    }
                }
            }
        }
    }

    /// The keys that an entry becomes.
    fn one(
        &self,
        key: &[u8],
        value: &[u8],
        into: &mut Rehearsed,
    ) -> Result<Vec<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let mut keys = Vec::new();
        let mut wrong = None;
        (self.convert)(key, value, &mut |key, value| {
            if (key.len(), value.len()) != (self.new.0 as usize, self.new.1 as usize) {
                wrong = Some((key.len(), value.len()));
            }
            keys.push(key.to_vec());
        })?;
        if let Some((key, value)) = wrong {
            let (new_key, new_value) = self.new;
            return Err(format!(
                "it becomes a key of {key} and a value of {value} bytes, and the new map has {new_key} and {new_value}"
            )
            .into());
        }
        self.check_back(key, value, into);
        Ok(keys)
    }

    /// Back and there again is where it was: padding and what is lost do not count.
    fn check_back(&self, key: &[u8], value: &[u8], into: &mut Rehearsed) {
        let Some(there) = self.lossless else { return };
        let Some(back) = there.iter().rev().map(|leg| leg.inverse()).collect::<Option<Vec<_>>>() else { return };
        let back: Vec<_> = back.iter().collect();
        let again = through(there, key, value).and_then(|converted| {
            let (key, value) = through(&back, &converted.0, &converted.1)?;
            Ok(through(there, &key, &value)? == converted)
        });
        match again {
            Ok(true) => into.returned += 1,
            Ok(false) => into.problem(entry_problem(&"it does not come back as it was", key, value)),
            Err(error) => into.problem(entry_problem(&format!("it does not come back: {error}"), key, value)),
        }
    }
}

impl Rehearsed {
    /// Adds what is wrong, if there is not too much already.
    pub fn problem(&mut self, problem: String) {
        match self.problems.len() {
            len if len < MOST => self.problems.push(problem),
            MOST => self.problems.push("and more".to_owned()),
            _ => {}
        }
    }
}

fn entry_problem(problem: &impl std::fmt::Display, key: &[u8], value: &[u8]) -> String {
    format!("{problem}, for key {} and value {}", hex(key), hex(value))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversion::{Step, Steps};

    type Failure = Box<dyn Error + Send + Sync>;

    fn rehearsal<'a>(convert: &'a Convert<'a>, collide: Option<Collide>) -> Rehearsal<'a> {
        Rehearsal { old: (1, 2), new: (1, 2), convert, collide, lossless: None }
    }

    fn same(size: u32) -> Steps {
        Steps { from_size: size, to_size: size, steps: vec![Step::Copy { from: 0, to: 0, len: size }] }
    }

    /// Keys lose their lowest bit.
    fn halve(key: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Failure> {
        insert(&[key[0] >> 1], value);
        Ok(())
    }

    #[test]
    fn keys_that_become_one_are_counted_once_for_all_cpus() {
        let entries = [2, 3, 4].map(|key| Entry { key: vec![key], values: vec![vec![0, 0], vec![1, 1]] });
        let run = |collide| {
            let mut rehearsed = Rehearsed::default();
            rehearsal(&halve, collide).dumped(&entries, &mut rehearsed);
            rehearsed
        };
        let summed = run(Some(Collide::Sum));
        assert_eq!((summed.dumped, summed.collided, summed.problems.len()), (6, 1, 0));
        let refused = run(Some(Collide::Refuse));
        assert_eq!(refused.problems, ["two entries get one key: those of 0x02 and 0x03"]);
        assert_eq!(run(None), refused, "where none can, one that does is told");
    }

    #[test]
    fn what_an_epoch_refuses_is_counted_where_it_was_made_up_and_a_problem_in_a_dump() {
        let unfit = |_: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])| match value[0] {
            0xff => Err(Failure::from(Unfit::Outside)),
            _ => {
                insert(&[0], value);
                Ok(())
            }
        };
        let mut rehearsed = Rehearsed::default();
        rehearsal(&unfit, None).generated(0, &mut rehearsed);
        assert_eq!((rehearsed.generated, rehearsed.refused, rehearsed.problems.len()), (1, 1, 0));
        rehearsal(&unfit, None).dumped(&[Entry { key: vec![1], values: vec![vec![0xff, 0]] }], &mut rehearsed);
        assert_eq!(rehearsed.problems, ["the conversion reaches outside of the bytes, for key 0x01 and value 0xff00"]);
        // Code that fails is wrong whoever made the entry.
        let fails = |_: &[u8], _: &[u8], _: &mut dyn FnMut(&[u8], &[u8])| Err(Failure::from("no"));
        let mut rehearsed = Rehearsed::default();
        rehearsal(&fails, None).generated(20, &mut rehearsed);
        assert_eq!((rehearsed.problems.len(), rehearsed.problems[10].as_str()), (11, "and more"));
        assert_eq!(rehearsed.problems[0], "no, for key 0x00 and value 0x0000");
    }

    #[test]
    fn entries_of_a_wrong_size_are_none_of_the_new_map() {
        let long = |_: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])| {
            insert(&[0, 0], value);
            Ok(())
        };
        let mut rehearsed = Rehearsed::default();
        rehearsal(&long, None).generated(0, &mut rehearsed);
        assert_eq!(
            rehearsed.problems[0],
            "it becomes a key of 2 and a value of 2 bytes, and the new map has 1 and 2, for key 0x00 and value 0x0000"
        );
    }

    #[test]
    fn the_way_back_is_tried_where_it_is_to_give_all_back() {
        let cut = Steps { from_size: 2, to_size: 2, steps: vec![Step::Copy { from: 0, to: 1, len: 1 }] };
        let leg = DerivedLeg { key: same(1), value: cut, collide: None, keeps_key: true };
        let legs = [&leg];
        let convert = |key: &[u8], value: &[u8], insert: &mut dyn FnMut(&[u8], &[u8])| {
            let (key, value) = through(&legs, key, value)?;
            insert(&key, &value);
            Ok(())
        };
        let mut rehearsed = Rehearsed::default();
        Rehearsal { lossless: Some(&legs), ..rehearsal(&convert, None) }.generated(5, &mut rehearsed);
        assert_eq!((rehearsed.generated, rehearsed.returned), (7, 7));
    }

    #[test]
    fn made_up_entries_are_always_the_same() {
        let all = || made_up(4, 8, 3).collect::<Vec<_>>();
        assert_eq!(all(), all());
        assert_eq!((all().len(), &all()[0].0[..], &all()[1].1[..]), (5, &[0; 4][..], &[0xff; 8][..]));
        assert_ne!(all()[2], all()[3]);
    }
}
