//! How the bytes of a value are settled: which are added up, which are replaced, and in what steps.

use maplock_layout::map_type::Kind;

use super::inexact::Inexact;
use super::lock::Lock;
use super::types::Sum;
use crate::sys::{self, Map};

/// Equal steps through a value, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// First byte.
    pub(super) start: u32,
    /// The byte behind the last.
    pub(super) end: u32,
    /// Bytes of a step.
    pub(super) width: u32,
    /// True for sums that may be less than nothing.
    pub(super) signed: bool,
    /// How a step is written.
    pub(super) by: By,
}

/// How a step of a value is written while others write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// By one instruction that reads, compares and writes it: 4 or 8 bytes, aligned.
    One,
    /// A count of 8 bytes that lies on 4, by two additions of 4: the second has what the first carries over. An atomic instruction across
    /// cache lines stops some machines ("split lock").
    Halves,
    /// By a look and a write.
    Steps,
}

impl Run {
    /// Where each step starts.
    pub(super) fn steps(self) -> impl Iterator<Item = usize> {
        (self.start as usize..self.end as usize).step_by(self.width as usize)
    }
}

/// A value, cut up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Members that are added up.
    pub(super) sums: Vec<Run>,
    /// All other bytes, but for those of a lock.
    pub(super) words: Vec<Run>,
    pub(super) lock: Option<Lock>,
    /// True if the kernel has atomic instructions that tell what was there. Without them, words are compared and written in two steps.
    pub(super) fetches: bool,
}

impl Pieces {
    /// Cuts up the values of `map`. `sums` were checked before.
    pub(super) fn new(map: &Map, sums: &[Sum]) -> Self {
        let alignment = match map.info().map_type.row().kind {
            // `struct lpm_trie_node` ends with the key's data (all but the prefix length) and the value, without padding
            // between them; the data starts on 8 bytes.
            Kind::LpmTrie => 1 << (map.info().key_size - 4).trailing_zeros().min(3),
            _ => 8,
        };
        Self::cut(map.info().value_size, sums, alignment, Lock::of(map))
    }

    /// The same, for programs of the kernel that runs.
    pub(super) fn for_programs(map: &Map, sums: &[Sum]) -> Self {
        let pieces = Self::new(map, sums);
        if sys::has_atomic_fetch() { pieces } else { pieces.without_fetches() }
    }

    pub(super) fn without_fetches(mut self) -> Self {
        self.fetches = false;
        self
    }

    /// How counts of that run are added up.
    pub(super) fn adds_by(&self, run: Run) -> By {
        if run.by == By::Halves && !self.fetches { By::Steps } else { run.by }
    }

    /// True if a word of that run is compared and written by one instruction.
    pub(super) fn exchanges(&self, run: Run) -> bool {
        run.by == By::One && self.fetches
    }

    fn cut(value_size: u32, sums: &[Sum], alignment: u32, lock: Option<Lock>) -> Self {
        let mut sums: Vec<_> = sums.iter().map(|sum| (sum.offset, sum.offset + sum.width, Some(*sum))).collect();
        sums.extend(lock.map(|lock| (lock.start, lock.end, None)));
        sums.sort_unstable();
        let mut pieces = Self { sums: Vec::new(), words: Vec::new(), lock, fetches: true };
        let mut at = 0;
        for (start, end, sum) in sums {
            between(at, start, alignment, &mut pieces.words);
            if let Some(sum) = sum {
                add(&mut pieces.sums, sum, alignment);
            }
            at = end;
        }
        between(at, value_size, alignment, &mut pieces.words);
        if pieces.sums.iter().filter(|run| run.by == By::Halves).count() > MOST_HALVES {
            pieces.sums.iter_mut().filter(|run| run.by == By::Halves).for_each(|run| run.by = By::Steps);
        }
        pieces
    }

    /// True if nothing but sums is in the value.
    pub(super) fn is_additive(&self) -> bool {
        self.words.is_empty()
    }

    /// Why programs may lose a write to such a value; `None` if each of their steps is atomic.
    pub(super) fn inexact(&self) -> Option<Inexact> {
        let has = |by| self.sums.iter().chain(&self.words).any(|run| run.by == by);
        let needs_fetch = !self.words.is_empty() || has(By::Halves);
        let all = [
            (has(By::Steps), Inexact::NoWord),
            (self.lock.is_some_and(|lock| !lock.is_taken), Inexact::Lock),
            (needs_fetch && !self.fetches, Inexact::NoExchange),
        ];
        all.into_iter().find(|(is_so, _)| *is_so).map(|(_, why)| why)
    }

    /// True if all members that are added up are equal.
    pub(super) fn same_sums(&self, one: &[u8], other: &[u8]) -> bool {
        same(&self.sums, one, other)
    }

    /// Copies all other bytes.
    pub(super) fn copy_words(&self, to: &mut [u8], from: &[u8]) {
        for run in &self.words {
            let range = run.start as usize..run.end as usize;
            to[range.clone()].copy_from_slice(&from[range]);
        }
    }

    /// Adds to the counts of `to` what those of `more` have over those of `less`. An unsigned one that would go below nothing stays as it is: see
    /// [`Settled::not_carried`](super::Settled::not_carried).
    pub(super) fn add_differences(&self, to: &mut [u8], more: &[u8], less: Option<&[u8]>) -> Added {
        let mut added = Added { any: false, all: true, same: true };
        for run in &self.sums {
            for step in run.steps() {
                let range = step..step + run.width as usize;
                let of = |bytes: &[u8]| number(&bytes[range.clone()]);
                let (more, less) = (of(more), less.map_or(0, of));
                let by = more.wrapping_sub(less);
                if by == 0 {
                    continue;
                }
                added.any = true;
                added.same &= run.signed || of(to) >= less;
                // By more than half of what it can hold: it was full, and began again.
                let least = if run.width == 4 { i32::MIN.into() } else { i64::MIN };
                let is_lower = !run.signed && more < less && (least..0).contains(&by.cast_signed());
                if is_lower && of(to) < by.wrapping_neg() {
                    added.all = false;
                    continue;
                }
                let sum = of(to).wrapping_add(by);
                put(&mut to[range], sum);
            }
        }
        added
    }

    /// Takes from the counts of `to` those of `less`. An unsigned one that would go below nothing stays as it is.
    pub(super) fn take(&self, to: &mut [u8], less: &[u8]) {
        for run in &self.sums {
            for step in run.steps() {
                let range = step..step + run.width as usize;
                let (is, by) = (number(&to[range.clone()]), number(&less[range.clone()]));
                if run.signed || is >= by {
                    put(&mut to[range], is.wrapping_sub(by));
                }
            }
        }
    }

    /// True if all other bytes are equal.
    pub(super) fn same_words(&self, one: &[u8], other: &[u8]) -> bool {
        same(&self.words, one, other)
    }
}

/// True if two are equal in all of these.
fn same(runs: &[Run], one: &[u8], other: &[u8]) -> bool {
    runs.iter().all(|run| {
        let range = run.start as usize..run.end as usize;
        one[range.clone()] == other[range]
    })
}

/// What became of counts that were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Added {
    /// True if any is not 0.
    pub(super) any: bool,
    /// False if one would have gone below zero.
    pub(super) all: bool,
    /// False if one that was to change was lower than before: see [`Settled::maybe_another`](super::Settled::maybe_another).
    pub(super) same: bool,
}

/// An integer of 4 or 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    match (<[u8; 4]>::try_from(bytes), <[u8; 8]>::try_from(bytes)) {
        (Ok(four), _) => u32::from_ne_bytes(four).into(),
        (_, Ok(eight)) => u64::from_ne_bytes(eight),
        _ => 0,
    }
}

/// Writes an integer of 4 or 8 bytes.
fn put(bytes: &mut [u8], number: u64) {
    match bytes.len() {
        4 => bytes.copy_from_slice(&(number as u32).to_ne_bytes()),
        _ => bytes.copy_from_slice(&number.to_ne_bytes()),
    }
}

/// Cuts the bytes from `at` to `end` into the widest steps that are aligned.
fn between(mut at: u32, end: u32, alignment: u32, runs: &mut Vec<Run>) {
    while at < end {
        let mut width = 8;
        while !at.is_multiple_of(width) || at + width > end || width > alignment {
            width /= 2;
        }
        add(runs, Sum { offset: at, width, signed: false }, alignment);
        at += width;
    }
}

fn add(runs: &mut Vec<Run>, step: Sum, alignment: u32) {
    let Sum { offset: start, width, signed } = step;
    let end = start + width;
    match runs.last_mut() {
        Some(last) if (last.end, last.width, last.signed) == (start, width, signed) => last.end = end,
        _ => runs.push(Run { start, end, width, signed, by: by(width, alignment) }),
    }
}

/// So many runs of counts are added in halves, at the most: those of more would make a program too long.
const MOST_HALVES: usize = 32;

fn by(width: u32, alignment: u32) -> By {
    match (width, alignment) {
        (8, 4) => By::Halves,
        (4.., _) if width <= alignment => By::One,
        _ => By::Steps,
    }
}

/// Up to so many bytes, loads and stores are faster than a call.
pub(super) const UNROLLED: u32 = 128;

/// Up to so many bytes of equal steps, the verifier may walk a loop; so far it does so before Linux 5.17, too.
pub(super) const LOOPED: u32 = 4096;

/// The widest steps through so many bytes: offsets and widths.
pub(super) fn widths(size: u32) -> impl Iterator<Item = (i16, u32)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let width = [8, 4, 2, 1].into_iter().find(|width| at + width <= size)?;
        at += width;
        Some(((at - width) as i16, width))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(runs: &[Run]) -> Vec<(u32, u32, u32)> {
        runs.iter().map(|run| (run.start, run.end, run.width)).collect()
    }

    #[test]
    fn every_byte_is_in_one_step_whatever_the_sums() {
        for value_size in 1..40 {
            for offset in (0..value_size).step_by(4) {
                let sums = [Sum { offset, width: 4, signed: false }];
                if offset + 4 > value_size {
                    continue;
                }
                for alignment in [1, 2, 4, 8] {
                    let pieces = Pieces::cut(value_size, &sums, alignment, None);
                    let mut seen = vec![0; value_size as usize];
                    for run in pieces.sums.iter().chain(&pieces.words) {
                        for start in run.steps() {
                            assert!((start as u32).is_multiple_of(run.width), "{run:?}");
                            seen[start..start + run.width as usize].iter_mut().for_each(|count| *count += 1);
                        }
                    }
                    assert!(seen.iter().all(|count| *count == 1), "{value_size} {offset} {seen:?}");
                }
            }
        }
    }

    #[test]
    fn a_count_goes_down_to_nothing_and_not_below() {
        for width in [4_u32, 8] {
            let pieces = Pieces::cut(width, &[Sum { offset: 0, width, signed: false }], 8, None);
            let bytes = |number: u64| match width {
                4 => (number as u32).to_ne_bytes().to_vec(),
                _ => number.to_ne_bytes().to_vec(),
            };
            let full = if width == 4 { u64::from(u32::MAX) } else { u64::MAX };
            let settles = |to: u64, more: u64, less: u64| {
                let mut to = bytes(to);
                let added = pieces.add_differences(&mut to, &bytes(more), Some(&bytes(less)));
                (number(&to), added.any, added.all)
            };
            // Deleted, made anew and counted by both.
            assert_eq!(settles(1, 1, 5), (1, true, false), "{width}");
            assert_eq!(settles(0, full - 4, full), (0, true, false), "{width}");
            // A gauge that old programs lowered.
            assert_eq!(settles(5, 1, 5), (1, true, true), "{width}");
            assert_eq!(settles(4, 1, 5), (0, true, true), "{width}");
            // A counter that was full and began again; a gauge below nothing, which old programs alone brought there.
            assert_eq!(settles(full, 3, full), (3, true, true), "{width}");
            assert_eq!(settles(9, 3, full), (13, true, true), "{width}");
            assert_eq!(settles(1, full, 1), (full, true, true), "{width}");
            assert_eq!(settles(7, 5, 5), (7, false, true), "{width}");
        }
        // More than half of what 4 bytes hold was counted.
        let pieces = Pieces::cut(4, &[Sum { offset: 0, width: 4, signed: false }], 8, None);
        let mut to = 1_u32.to_ne_bytes();
        let added = pieces.add_differences(&mut to, &3_000_000_000_u32.to_ne_bytes(), Some(&[0; 4]));
        assert_eq!((u32::from_ne_bytes(to), added.all), (3_000_000_001, true));
    }

    #[test]
    fn a_signed_count_goes_below_nothing() {
        for (width, signed) in [(4_u32, true), (8, true), (8, false)] {
            let pieces = Pieces::cut(width, &[Sum { offset: 0, width, signed }], 8, None);
            let bytes = |number: i64| match width {
                4 => (number as i32).to_ne_bytes().to_vec(),
                _ => number.to_ne_bytes().to_vec(),
            };
            let settles = |to: i64, more: i64, less: i64| {
                let mut to = bytes(to);
                let added = pieces.add_differences(&mut to, &bytes(more), Some(&bytes(less)));
                (to, added.all)
            };
            // A gauge of 5 that both releases lower.
            let expected = if signed { (bytes(-3), true) } else { (bytes(1), false) };
            assert_eq!(settles(1, 1, 5), expected, "{width}");
            assert_eq!(settles(-3, 6, 5), (bytes(-2), true), "{width}");
            assert_eq!(settles(-3, -4, 5), (bytes(-12), true), "{width}");
        }
    }

    #[test]
    fn signed_and_unsigned_counts_side_by_side_are_two_runs() {
        let sum = |offset, signed| Sum { offset, width: 8, signed };
        let pieces = Pieces::cut(24, &[sum(0, false), sum(8, true), sum(16, true)], 8, None);
        assert_eq!(runs(&pieces.sums), [(0, 8, 8), (8, 24, 8)]);
        assert_eq!(pieces.sums.iter().map(|run| run.signed).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn equal_steps_are_one_run() {
        let pieces = Pieces::cut(
            4096 + 3,
            &[Sum { offset: 8, width: 8, signed: false }, Sum { offset: 16, width: 8, signed: false }],
            8,
            None,
        );
        assert_eq!(runs(&pieces.sums), [(8, 24, 8)]);
        assert_eq!(runs(&pieces.words), [(0, 8, 8), (24, 4096, 8), (4096, 4098, 2), (4098, 4099, 1)]);
        assert_eq!(pieces.inexact(), Some(Inexact::NoWord));
    }

    #[test]
    fn the_bytes_of_a_lock_are_in_no_step() {
        let lock = Lock { start: 8, end: 12, is_taken: true };
        let pieces = Pieces::cut(24, &[Sum { offset: 0, width: 8, signed: false }], 8, Some(lock));
        assert_eq!((runs(&pieces.sums), runs(&pieces.words)), (vec![(0, 8, 8)], vec![(12, 16, 4), (16, 24, 8)]));
        assert_eq!(pieces.inexact(), None);
        let other = Pieces { lock: Some(Lock { is_taken: false, ..lock }), ..pieces };
        assert_eq!(other.inexact(), Some(Inexact::Lock));
    }

    #[test]
    fn without_instructions_that_tell_what_was_there_whole_counts_alone_are_atomic() {
        let sum = Sum { offset: 0, width: 8, signed: false };
        let of = |size, alignment| Pieces::cut(size, &[sum], alignment, None).without_fetches();
        assert_eq!(of(8, 8).inexact(), None);
        assert_eq!(of(16, 8).inexact(), Some(Inexact::NoExchange));
        assert_eq!((of(8, 4).inexact(), of(8, 4).adds_by(of(8, 4).sums[0])), (Some(Inexact::NoExchange), By::Steps));
    }

    #[test]
    fn a_value_on_4_bytes_is_settled_in_words_and_halves_of_counts() {
        let pieces = Pieces::cut(16, &[Sum { offset: 0, width: 8, signed: false }], 4, None);
        assert_eq!(runs(&pieces.words), [(8, 16, 4)]);
        assert_eq!((pieces.words[0].by, pieces.sums[0].by, pieces.inexact()), (By::One, By::Halves, None));
        let on_two = Pieces::cut(16, &[Sum { offset: 0, width: 8, signed: false }], 2, None);
        assert_eq!(on_two.inexact(), Some(Inexact::NoWord));
        // A count, and 8 bytes of something else.
        let counts =
            |most: u32| (0..most).map(|at| Sum { offset: at * 16, width: 8, signed: false }).collect::<Vec<_>>();
        assert_eq!(Pieces::cut(4096, &counts(32), 4, None).inexact(), None);
        assert_eq!(Pieces::cut(4096, &counts(33), 4, None).inexact(), Some(Inexact::NoWord));
    }
}
