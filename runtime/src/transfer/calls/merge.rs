//! The three-way merge of an entry by system calls: what programs do word by word, under the same rules.

use super::super::pieces::Pieces;
use super::super::types::Settled;

/// How entries are merged.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) struct Merging<'a> {
    pub(in crate::transfer) pieces: &'a Pieces,
    /// Bytes of each CPU's value; of the value, in other maps.
    pub(in crate::transfer) part: usize,
}

impl Merging<'_> {
    /// Brings an entry of the new map to what it is to become: counts are added, words follow if the new programs left all of them as
    /// they were. `before` is what it was when it was last settled; none if it was not there. `settled` counts it. False if it stays
    /// as it is.
    pub(in crate::transfer) fn merge(
        self,
        new: &mut [u8],
        target: &[u8],
        before: Option<&[u8]>,
        settled: &mut Settled,
    ) -> bool {
        let unsettled = new.to_vec();
        let (mut added, mut carried, mut same, mut changed, mut kept) = (false, true, before.is_some(), false, false);
        for at in (0..target.len()).step_by(self.part) {
            let (target, new) = (&target[at..at + self.part], &mut new[at..at + self.part]);
            let before = before.map(|before| &before[at..at + self.part]);
            let counts = self.pieces.add_differences(new, target, before);
            added |= counts.any;
            carried &= counts.all;
            same &= counts.same;
            match before {
                Some(before) if self.pieces.same_words(target, before) => {}
                Some(before) if self.pieces.same_words(new, before) => {
                    self.pieces.copy_words(new, target);
                    changed = true;
                }
                // Also where both wrote the same: two counters that went from 5 to 6 are no 6.
                _ => kept |= !self.pieces.is_additive(),
            }
        }
        settled.added += u64::from(added && carried);
        settled.not_carried += u64::from(!carried);
        settled.maybe_another += u64::from(added && carried && !same);
        settled.changed += u64::from(changed && !kept);
        settled.kept_new += u64::from(kept);
        new != unsettled
    }

    /// True if all counts are equal.
    pub(in crate::transfer) fn same_sums(self, one: &[u8], other: &[u8]) -> bool {
        let mut parts = one.chunks_exact(self.part).zip(other.chunks_exact(self.part));
        parts.all(|(one, other)| self.pieces.same_sums(one, other))
    }

    /// Takes from the counts of an entry that new programs changed what it was before, and that is gone from the old map. False if it
    /// stays as it is.
    pub(in crate::transfer) fn take(self, new: &mut [u8], before: &[u8]) -> bool {
        let unsettled = new.to_vec();
        for (new, before) in new.chunks_exact_mut(self.part).zip(before.chunks_exact(self.part)) {
            self.pieces.take(new, before);
        }
        new != unsettled
    }
}
