//! Conversions tried on entries, before a node does.

use std::collections::BTreeSet;

use maplock_layout::MapDef;
use maplock_layout::conversion::{Collide, Leg, Stage};
use serde::Serialize;

use crate::dump::Entry;

/// What came of converting entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rehearsed {
    /// Entries that were made up, and converted.
    pub(crate) generated: u64,
    /// Of those, how many hold a number that does not fit, which the epoch refuses.
    pub(crate) refused: u64,
    /// Entries of dumps that were converted.
    pub(crate) dumped: u64,
    /// Entries of dumps whose key another one has too by then.
    pub(crate) collided: u64,
    /// Entries that the way back gave back.
    pub(crate) returned: u64,
    /// What is wrong: a phrase for each of the first few.
    pub(crate) problems: Vec<String>,
}

/// How many problems are told.
const MOST: usize = 10;

/// Derived legs, one behind the other.
pub(crate) struct Rehearsal<'a> {
    /// The definition that entries are of.
    pub(crate) old: &'a MapDef,
    pub(crate) stages: Vec<&'a Stage>,
    /// True where the way back is to give back each entry, padding aside.
    pub(crate) is_lossless: bool,
}

/// The stages of a way on which nothing is by hand.
pub(crate) fn stages(legs: &[Leg]) -> Option<Vec<&Stage>> {
    let mut stages = Vec::with_capacity(legs.len());
    for leg in legs {
        match leg {
            Leg::Derived(stage) => stages.push(stage),
            Leg::ByHand { .. } => return None,
        }
    }
    Some(stages)
}

impl Rehearsal<'_> {
    /// Converts entries that are all zero, all ones, and random: always the same ones.
    pub(crate) fn generated(&self, random: u32, into: &mut Rehearsed) {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            // xorshift64*
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
        };
        let (key_size, value_size) = (self.old.key_size as usize, self.old.value_size as usize);
        let uniform = [0, 0xff].map(|byte| (vec![byte; key_size], vec![byte; value_size]));
        for (key, value) in uniform {
            self.generated_one(&key, &value, into);
        }
        for _ in 0..random {
            let key: Vec<_> = (0..key_size).map(|_| next()).collect();
            let value: Vec<_> = (0..value_size).map(|_| next()).collect();
            self.generated_one(&key, &value, into);
        }
    }

    fn generated_one(&self, key: &[u8], value: &[u8], into: &mut Rehearsed) {
        match self.convert(key, value) {
            Ok(converted) => {
                into.generated += 1;
                self.check_back(key, value, &converted, into);
            }
            Err(_) => into.refused += 1,
        }
    }

    /// Converts entries of a node: here, none may be refused.
    pub(crate) fn dumped(&self, entries: &[Entry], into: &mut Rehearsed) {
        let may_collide = self.stages.iter().any(|stage| stage.collide.is_some());
        let refuses = self.stages.iter().any(|stage| stage.collide == Some(Collide::Refuse));
        let mut keys = BTreeSet::new();
        for entry in entries {
            for (cpu, value) in entry.values.iter().enumerate() {
                match self.convert(&entry.key, value) {
                    Ok(converted) => {
                        into.dumped += 1;
                        if may_collide && cpu == 0 && !keys.insert(converted.0.clone()) {
                            into.collided += 1;
                            if refuses {
                                into.problem(format!("the key {} becomes one that another entry has", hex(&entry.key)));
                            }
                        }
                        self.check_back(&entry.key, value, &converted, into);
                    }
                    Err(problem) => into.problem(format!("the entry with the key {}: {problem}", hex(&entry.key))),
                }
            }
        }
    }

    fn convert(&self, key: &[u8], value: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
        let entry = (key.to_vec(), value.to_vec());
        self.stages.iter().try_fold(entry, |(key, value), stage| {
            let convert = |steps: &maplock_layout::conversion::Steps, bytes: &[u8]| {
                steps.convert(bytes).map_err(|error| error.to_string())
            };
            Ok((convert(&stage.key, &key)?, convert(&stage.value, &value)?))
        })
    }

    /// Back and there again is where it was: padding and what is lost do not count.
    fn check_back(&self, key: &[u8], value: &[u8], converted: &(Vec<u8>, Vec<u8>), into: &mut Rehearsed) {
        let back: Option<Vec<_>> = self.stages.iter().rev().map(|stage| stage.inverse()).collect();
        let Some(back) = back.filter(|_| self.is_lossless) else { return };
        let returned = back.iter().try_fold(converted.clone(), |(key, value), stage| {
            Ok::<_, String>((
                stage.key.convert(&key).map_err(|error| error.to_string())?,
                stage.value.convert(&value).map_err(|error| error.to_string())?,
            ))
        });
        match returned.and_then(|(key, value)| self.convert(&key, &value)) {
            Ok(again) if again == *converted => into.returned += 1,
            Ok(_) => into.problem(format!("the entry {} -> {} does not come back as it was", hex(key), hex(value))),
            Err(problem) => {
                into.problem(format!("the entry {} -> {} does not come back: {problem}", hex(key), hex(value)))
            }
        }
    }
}

impl Rehearsed {
    pub(crate) fn problem(&mut self, problem: String) {
        match self.problems.len() {
            len if len < MOST => self.problems.push(problem),
            MOST => self.problems.push("and more".to_owned()),
            _ => {}
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
