//! Which change of a composite pushed which member along.

use std::collections::BTreeMap;

use crate::change::Subject;

/// Changes of one composite that push the members behind them along, by where they are in either layout.
#[derive(Debug, Default)]
pub(super) struct Causes {
    old: BTreeMap<u64, Subject>,
    new: BTreeMap<u64, Subject>,
}

impl Causes {
    pub(super) fn removed(&mut self, old_bits: u64, subject: Subject) {
        self.old.insert(old_bits, subject);
    }

    pub(super) fn added(&mut self, new_bits: u64, subject: Subject) {
        self.new.insert(new_bits, subject);
    }

    pub(super) fn resized(&mut self, old_bits: u64, new_bits: u64, subject: Subject) {
        self.old.insert(old_bits, subject.clone());
        self.new.insert(new_bits, subject);
    }

    /// The nearest change before a member that was at `old_bits` and is at `new_bits`.
    pub(super) fn before(&self, old_bits: u64, new_bits: u64) -> Option<&Subject> {
        let nearest = |causes: &'_ BTreeMap<u64, Subject>, bits: u64| -> Option<u64> {
            causes.range(..bits).next_back().map(|(at, _)| bits - at)
        };
        let (by_old, by_new) = (nearest(&self.old, old_bits), nearest(&self.new, new_bits));
        match (by_old, by_new) {
            (Some(distance), other) if other.is_none_or(|other| distance < other) => {
                self.old.get(&(old_bits - distance))
            }
            (_, Some(distance)) => self.new.get(&(new_bits - distance)),
            _ => None,
        }
    }
}

/// Marks a longest subsequence that does not decrease: the members that kept their order. The rest were reordered.
pub(super) fn longest_increasing(values: &[u64]) -> Vec<bool> {
    // `ends[n]`: index of the smallest value at which a subsequence of n + 1 values can end.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous = vec![None; values.len()];
    for (index, &value) in values.iter().enumerate() {
        let len = ends.partition_point(|&end| values[end] <= value);
        previous[index] = len.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(len) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut kept = vec![false; values.len()];
    let mut at = ends.last().copied();
    while let Some(index) = at {
        kept[index] = true;
        at = previous[index];
    }
    kept
}
