//! Stages of a conversion, one behind the other.

use maplock_layout::conversion::{Bits, Step, Steps};

/// The legs of a conversion that is to write over what is there: each step is left out that would bring what the leg before
/// it has not written.
pub(super) fn over<'a>(legs: impl IntoIterator<Item = &'a Steps>) -> Vec<Steps> {
    let mut known: Option<Known> = None;
    let mut chain = Vec::new();
    for leg in legs {
        let mut steps = Vec::new();
        keep(&leg.steps, (0, 0), known.as_ref(), &mut steps);
        let leg = Steps { steps, ..*leg };
        let mut written = Known(vec![0; leg.to_size as usize]);
        mark(&leg.steps, 0, &mut written);
        known = Some(written);
        chain.push(leg);
    }
    chain
}

/// Bits that were written, by byte.
struct Known(Vec<u8>);

impl Known {
    fn has_byte(&self, at: u32) -> bool {
        self.0.get(at as usize) == Some(&0xff)
    }

    fn has(&self, bits: Bits) -> bool {
        masks(bits).all(|(at, mask)| self.0.get(at).is_some_and(|known| known & mask == mask))
    }

    fn add(&mut self, at: usize, mask: u8) {
        if let Some(known) = self.0.get_mut(at) {
            *known |= mask;
        }
    }
}

/// The bytes that hold an integer, each with a mask of those of its bits. The bits of a byte are told apart here, not which is which:
/// those of a bit-field are counted from one end on either machine.
fn masks(bits: Bits) -> impl Iterator<Item = (usize, u8)> {
    let (start, end) = (bits.offset, bits.offset + bits.width);
    (start / 8..end.div_ceil(8)).map(move |byte| {
        let (from, to) = (start.max(byte * 8) - byte * 8, end.min(byte * 8 + 8) - byte * 8);
        (byte as usize, (((1_u16 << to) - (1_u16 << from)) & 0xff) as u8)
    })
}

/// Adds the steps whose bytes are all known, at places moved by `base`; loops are unrolled if not all of them are.
fn keep(steps: &[Step], (old, new): (u32, u32), known: Option<&Known>, kept: &mut Vec<Step>) {
    let moved = |bits: Bits, by: u32| Bits { offset: bits.offset + by * 8, ..bits };
    for step in steps {
        match step {
            Step::Set { .. } => {}
            Step::Copy { from, to, len } => match known {
                None => kept.push(Step::Copy { from: old + from, to: new + to, len: *len }),
                Some(known) => {
                    for at in (0..*len).filter(|at| known.has_byte(old + from + at)) {
                        match kept.last_mut() {
                            Some(Step::Copy { from: start, to: target, len })
                                if (*start + *len, *target + *len) == (old + from + at, new + to + at) =>
                            {
                                *len += 1;
                            }
                            _ => kept.push(Step::Copy { from: old + from + at, to: new + to + at, len: 1 }),
                        }
                    }
                }
            },
            Step::Int(int) => {
                let mut int = int.clone();
                (int.from, int.to) = (moved(int.from, old), moved(int.to, new));
                if known.is_none_or(|known| known.has(int.from)) {
                    kept.push(Step::Int(int));
                }
            }
            Step::Repeat { from, from_stride, to, to_stride, count, steps } => {
                let mut inner = Vec::new();
                if known.is_none() {
                    keep(steps, (0, 0), None, &mut inner);
                    if !inner.is_empty() {
                        let (from, to) = (old + from, new + to);
                        let (from_stride, to_stride, count) = (*from_stride, *to_stride, *count);
                        kept.push(Step::Repeat { from, from_stride, to, to_stride, count, steps: inner });
                    }
                    continue;
                }
                for at in 0..*count {
                    keep(steps, (old + from + at * from_stride, new + to + at * to_stride), known, kept);
                }
            }
        }
    }
}

fn mark(steps: &[Step], new: u32, written: &mut Known) {
    for step in steps {
        match step {
            Step::Copy { to, len, .. } => (0..*len).for_each(|at| written.add((new + to + at) as usize, 0xff)),
            // Not of the old entry.
            Step::Set { .. } => {}
            Step::Int(int) => {
                let to = Bits { offset: int.to.offset + new * 8, ..int.to };
                masks(to).for_each(|(at, mask)| written.add(at, mask));
            }
            Step::Repeat { to, to_stride, count, steps, .. } => {
                (0..*count).for_each(|at| mark(steps, new + to + at * to_stride, written));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(from: u32, to: u32, len: u32) -> Step {
        Step::Copy { from, to, len }
    }

    #[test]
    fn what_a_stage_does_not_bring_no_later_stage_writes() {
        let first = Steps { from_size: 8, to_size: 16, steps: vec![copy(0, 4, 4), copy(4, 12, 2)] };
        let second = Steps { from_size: 16, to_size: 16, steps: vec![copy(0, 0, 16)] };
        let chain = over([&first, &second]);
        assert_eq!(chain[0], first);
        assert_eq!(chain[1].steps, [copy(4, 4, 4), copy(12, 12, 2)]);
    }

    #[test]
    fn numbers_that_are_not_from_the_old_entry_are_left_out() {
        let set = Step::Set { to: 0, bytes: vec![1, 2] };
        let first = Steps { from_size: 4, to_size: 8, steps: vec![set.clone(), copy(0, 4, 4)] };
        assert_eq!(over([&first])[0].steps, [copy(0, 4, 4)]);
        let second = Steps {
            from_size: 8,
            to_size: 8,
            steps: vec![Step::Repeat {
                from: 0,
                from_stride: 4,
                to: 0,
                to_stride: 4,
                count: 2,
                steps: vec![copy(0, 0, 4)],
            }],
        };
        assert_eq!(over([&first, &second])[1].steps, [copy(4, 4, 4)]);
    }
}
