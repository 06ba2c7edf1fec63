//! Which numbers an answer changes: a conversion that refuses them in place of bending them.

use super::{Cast, Conversion, Leg, Step};

impl Conversion {
    /// The same, with each number refused that `cast` would make another. `None` if it makes none another.
    #[must_use]
    pub fn refusing(&self, cast: Cast) -> Option<Self> {
        let mut strict = self.clone();
        let mut is_other = false;
        for leg in &mut strict.legs {
            if let Leg::Derived(leg) = leg {
                is_other |= refuse(&mut leg.key.steps, cast);
                is_other |= refuse(&mut leg.value.steps, cast);
            }
        }
        is_other.then_some(strict)
    }
}

fn refuse(steps: &mut [Step], cast: Cast) -> bool {
    let mut is_other = false;
    for step in steps {
        match step {
            Step::Int(int) if int.cast == Some(cast) => {
                int.cast = Some(Cast::Refuse);
                is_other = true;
            }
            Step::Repeat { steps, .. } => is_other |= refuse(steps, cast),
            Step::Int(_) | Step::Copy { .. } | Step::Set { .. } => {}
        }
    }
    is_other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversion::{Bits, DerivedLeg, Int, Steps};

    fn narrowed(cast: Cast) -> Conversion {
        let bits = |width| Bits { offset: 0, width, signed: false };
        let int = Int { from: bits(64), to: bits(32), cast: Some(cast), scale: None, numbers: Vec::new() };
        let element = vec![Step::Int(int)];
        let repeat = Step::Repeat { from: 0, from_stride: 8, to: 0, to_stride: 4, count: 2, steps: element };
        let key = Steps { from_size: 4, to_size: 4, steps: vec![Step::Copy { from: 0, to: 0, len: 4 }] };
        let value = Steps { from_size: 16, to_size: 8, steps: vec![repeat] };
        Conversion { legs: vec![Leg::Derived(DerivedLeg { key, value, collide: None, keeps_key: true })] }
    }

    #[test]
    fn numbers_that_are_bent_are_refused_also_within_arrays() {
        let value = [1_u64.to_ne_bytes(), (1_u64 << 40).to_ne_bytes()].concat();
        let converts = |conversion: &Conversion| match &conversion.legs[0] {
            Leg::Derived(leg) => leg.value.convert(&value).is_ok(),
            Leg::ByHand { .. } => unreachable!("it was derived"),
        };
        for cast in [Cast::Saturate, Cast::Truncate] {
            let conversion = narrowed(cast);
            assert!(converts(&conversion));
            assert!(!converts(&conversion.refusing(cast).expect("it bends numbers")));
        }
        assert_eq!(narrowed(Cast::Saturate).refusing(Cast::Truncate), None);
        assert_eq!(narrowed(Cast::Refuse).refusing(Cast::Saturate), None);
    }
}
