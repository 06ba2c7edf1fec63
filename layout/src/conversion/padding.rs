//! Padding of a key. A program looks a key up by every byte of it, so that keys may differ in padding alone.

use std::collections::BTreeMap;

use super::members::{Leaf, Scope};
use super::{Bits, Int, Step};

/// What a key loses of its padding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lost {
    /// Nothing: what padding there is stays padding, with its bytes.
    #[default]
    Nothing,
    /// A member of the new key is where it was, or grew over it.
    Named,
    /// The new key has no place for it.
    Packed,
}

/// What becomes of the padding of an old key.
#[derive(Debug, Default)]
pub(super) struct Padding {
    /// What carries it if the new key has padding too.
    pub(super) steps: Vec<Step>,
    pub(super) lost: Lost,
    /// Bits of the new key at which the old one had padding, from the first to behind the last: sorted, none over another.
    named: Vec<(u64, u64)>,
}

impl Padding {
    /// `of_new` has for each new member the old one that it comes from, `is_taken` whether it comes from any old bytes. Old bits of
    /// `whole` are carried as they are, members and padding alike.
    pub(super) fn of(
        (old, new): (&Scope<'_>, &Scope<'_>),
        of_new: &[Option<usize>],
        is_taken: &[bool],
        whole: &[(u64, u64)],
    ) -> Self {
        let mut of_old = vec![None; old.leaves.len()];
        for (index, from) in of_new.iter().enumerate() {
            if let Some(from) = from {
                of_old[*from] = Some(index);
            }
        }
        let old_leaves = by_place(old);
        let new_leaves = by_place(new);
        let mut padding = Self::default();
        let mut carried = BTreeMap::new();
        for (start, end) in holes(&old_leaves, old.size_bits, whole) {
            // Padding belongs to the member before it, and moves with it.
            let before = old_leaves.partition_point(|(_, leaf_end, _)| *leaf_end <= start).checked_sub(1);
            let before = before.and_then(|at| Some((old_leaves[at].0, of_old[old_leaves[at].2]?)));
            let (follows, shift) = match before {
                Some((from, to)) => (Some(to), new.leaves[to].offset_bits.cast_signed() - from.cast_signed()),
                None => (None, 0),
            };
            let at = |bit: u64| bit.checked_add_signed(shift);
            let (Some(start_there), Some(end_there)) = (at(start), at(end)) else {
                padding.lost = Lost::Packed;
                continue;
            };
            let mut next = start_there;
            let first = new_leaves.partition_point(|(_, leaf_end, _)| *leaf_end <= start_there);
            let within = new_leaves[first..].iter().take_while(|(leaf_start, ..)| *leaf_start < end_there);
            for &(leaf_start, leaf_end, index) in within {
                padding.stays((next, leaf_start.min(end_there)), shift, &mut carried);
                if !is_taken[index] || follows == Some(index) {
                    padding.lost = padding.lost.max(Lost::Named);
                    padding.named.push((leaf_start.max(start_there), leaf_end.min(end_there)));
                } else {
                    padding.lost = Lost::Packed;
                }
                next = next.max(leaf_end);
            }
            padding.stays((next, end_there.min(new.size_bits)), shift, &mut carried);
            if end_there > new.size_bits {
                padding.lost = Lost::Packed;
            }
        }
        padding.named.sort_unstable();
        padding.named.dedup_by(|later, before| {
            let meets = later.0 <= before.1;
            before.1 = if meets { before.1.max(later.1) } else { before.1 };
            meets
        });
        padding
    }

    /// True for a member of the new key that is all where the old one had padding.
    pub(super) fn is_named(&self, leaf: &Leaf<'_>) -> bool {
        let end = leaf.offset_bits + leaf.size_bits();
        let at = self.named.partition_point(|(_, named_end)| *named_end <= leaf.offset_bits);
        self.named.get(at).is_some_and(|(start, named_end)| *start <= leaf.offset_bits && end <= *named_end)
    }

    /// Bits of the new key that are padding there too.
    fn stays(&mut self, (start, end): (u64, u64), shift: i64, carried: &mut BTreeMap<u64, u64>) {
        if start >= end {
            return;
        }
        if carried.range(..end).next_back().is_some_and(|(_, before)| *before > start) {
            self.lost = Lost::Packed;
            return;
        }
        carried.insert(start, end);
        let from = |bit: u64| bit.saturating_add_signed(-shift);
        let mut bit = start;
        while bit < end {
            let bytes = (end - bit) / 8;
            // Keys are within 32 bits, in bits too.
            if bytes > 0 && bit.is_multiple_of(8) && from(bit).is_multiple_of(8) {
                let (from, to) = ((from(bit) / 8) as u32, (bit / 8) as u32);
                self.steps.push(Step::Copy { from, to, len: bytes as u32 });
                bit += bytes * 8;
                continue;
            }
            let to_byte = if from(bit) % 8 == bit % 8 { 8 - bit % 8 } else { 1 };
            let width = to_byte.min(end - bit);
            let bits = |offset: u64| Bits { offset: offset as u32, width: width as u32, signed: false };
            let int = Int { from: bits(from(bit)), to: bits(bit), cast: None, scale: None, numbers: Vec::new() };
            self.steps.push(Step::Int(int));
            bit += width;
        }
    }
}

/// First bit, the one behind the last, and index of each member that takes any, sorted by place.
fn by_place(scope: &Scope<'_>) -> Vec<(u64, u64, usize)> {
    let place = |(index, leaf): (usize, &Leaf<'_>)| (leaf.offset_bits, leaf.offset_bits + leaf.size_bits(), index);
    let mut places: Vec<_> = scope.leaves.iter().enumerate().map(place).filter(|(start, end, _)| start < end).collect();
    places.sort_unstable();
    places
}

/// The bits between members, and between those and what is carried whole.
fn holes(leaves: &[(u64, u64, usize)], size: u64, whole: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut taken: Vec<_> = leaves.iter().map(|(start, end, _)| (*start, *end)).chain(whole.iter().copied()).collect();
    taken.push((size, size));
    taken.sort_unstable();
    let (mut holes, mut next) = (Vec::new(), 0);
    for (start, end) in taken {
        if start > next {
            holes.push((next, start));
        }
        next = next.max(end);
    }
    holes
}
