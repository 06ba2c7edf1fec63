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

/// What an entry was when it was last settled.
#[derive(Debug, Clone, Copy)]
pub(in crate::transfer) struct Before<'a> {
    /// Of which its counts are what was added since; none where all of them are, since they were taken out.
    pub(in crate::transfer) counts: Option<&'a [u8]>,
    /// What its words were; none where it was not there.
    pub(in crate::transfer) words: Option<&'a [u8]>,
}

impl Merging<'_> {
    /// Brings an entry of the new map to what it is to become: counts are added, words follow where the new programs left all of them as
    /// they were. `settled` counts it. False where it stays as it is.
    pub(in crate::transfer) fn merge<'a>(
        self,
        new: &mut [u8],
        target: &[u8],
        before: Before<'a>,
        settled: &mut Settled,
    ) -> bool {
        let unsettled = new.to_vec();
        let (mut added, mut carried, mut changed, mut kept) = (false, true, false, false);
        for at in (0..target.len()).step_by(self.part) {
            let (target, new) = (&target[at..at + self.part], &mut new[at..at + self.part]);
            let of_part = |value: &'a [u8]| &value[at..at + self.part];
            let counts = self.pieces.add_differences(new, target, before.counts.map(of_part));
            added |= counts.any;
            carried &= counts.all;
            match before.words.map(of_part) {
                Some(before) if self.pieces.same_words(target, before) => {}
                Some(before) if self.pieces.same_words(new, before) => {
                    self.pieces.copy_words(new, target);
                    changed = true;
                }
                _ => kept |= !self.pieces.same_words(target, new),
            }
        }
        settled.added += u64::from(added && carried);
        settled.not_carried += u64::from(!carried);
        settled.changed += u64::from(changed && !kept);
        settled.kept_new += u64::from(kept);
        new != unsettled
    }
}
