//! Fewer steps that do the same, in one order.

use super::Step;

/// The steps by the place that they write, copies and fillings that follow each other made one.
pub(super) fn tidy(steps: Vec<Step>) -> Vec<Step> {
    let mut steps: Vec<_> = steps.into_iter().flat_map(simplified).collect();
    steps.sort_by_key(Step::written);
    let mut tidied: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match (tidied.last_mut(), &step) {
            (Some(Step::Copy { from, to, len }), Step::Copy { from: next_from, to: next_to, len: more })
                if *from + *len == *next_from && *to + *len == *next_to =>
            {
                *len += more;
            }
            // Bit-fields that share a byte.
            (Some(Step::Set { to, bytes }), Step::Set { to: next, bytes: more })
                if (*next - *to) as usize <= bytes.len() =>
            {
                let start = (*next - *to) as usize;
                bytes.resize(bytes.len().max(start + more.len()), 0);
                bytes[start..].iter_mut().zip(more).for_each(|(byte, more)| *byte |= more);
            }
            _ => tidied.push(step),
        }
    }
    tidied
}

/// An array that is copied whole, or has one element or none, needs no turn for each.
fn simplified(step: Step) -> Vec<Step> {
    let Step::Repeat { from, from_stride, to, to_stride, count, steps } = step else { return vec![step] };
    let steps = tidy(steps);
    match (count, steps.as_slice()) {
        (0, _) | (_, []) => Vec::new(),
        (1, _) => steps.into_iter().map(|step| shifted(step, from, to)).collect(),
        (_, [Step::Copy { from: 0, to: 0, len }]) if *len == from_stride && *len == to_stride => {
            vec![Step::Copy { from, to, len: len * count }]
        }
        _ => vec![Step::Repeat { from, from_stride, to, to_stride, count, steps }],
    }
}

/// The step of an element, seen from around the array.
fn shifted(mut step: Step, by_from: u32, by_to: u32) -> Step {
    match &mut step {
        Step::Copy { from, to, .. } | Step::Repeat { from, to, .. } => {
            *from += by_from;
            *to += by_to;
        }
        Step::Int(int) => {
            int.from.offset += by_from * 8;
            int.to.offset += by_to * 8;
        }
        Step::Set { to, .. } => *to += by_to,
    }
    step
}
