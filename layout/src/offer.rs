//! How a conversion can begin of which nobody has said anything yet: what a report may offer is what accepting takes.

use crate::conversion::{self, Answers, Choice, DerivedLeg, Problems};
use crate::finding::Verdict;
use crate::lock::Lock;
use crate::map::MapDef;

/// How a conversion can begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// It is derived, at once or as soon as what is asked is answered.
    Derived,
    /// By code in the daemon alone: why, a phrase.
    ByHand(String),
    /// Not at all: why, a phrase.
    No(String),
}

impl Offer {
    /// Between two definitions.
    #[must_use]
    pub fn between(old: &MapDef, new: &MapDef) -> Self {
        // In a map of another capacity, the same bytes are none to be converted.
        if old.digest() == new.digest() {
            return Self::Derived;
        }
        let Err(problems) = DerivedLeg::derive(old, new, &Answers::default()) else { return Self::Derived };
        let mut questions = problems.questions.iter();
        let closed = questions.clone().find(|question| question.choices.iter().all(is_by_code));
        // Which member of another unit is scaled, and by how much, is nothing to begin with: nobody may have meant any.
        let is_open = |choice: &Choice| !is_by_code(choice) && !matches!(choice, Choice::Open("scale", _));
        let none_open = !questions.any(|question| question.choices.iter().any(is_open));
        let Some(closed) = closed.or_else(|| problems.questions.first().filter(|_| none_open)) else {
            return Self::Derived;
        };
        let by_hand = Answers { by_hand: true, ..Answers::default() };
        match conversion::by_hand(old, new, &by_hand) {
            Ok(()) => Self::ByHand(closed.what.clone()),
            Err(Problems { questions, .. }) => {
                Self::No(questions.into_iter().next().map(|question| question.what).unwrap_or_default())
            }
        }
    }

    /// Of the map that a comparison of these two locks came to that of. `None` if one of them does not have it.
    #[must_use]
    pub fn of(old: &Lock, new: &Lock, verdict: &Verdict) -> Option<Self> {
        let was = verdict.was.as_ref()?;
        Some(Self::between(&old.maps.get(was)?.def, &new.maps.get(&verdict.map)?.def))
    }
}

/// True for what is no answer that a conversion is derived with.
fn is_by_code(choice: &Choice) -> bool {
    matches!(choice, Choice::ByHand | Choice::Swap)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layout::{Composite, CompositeKind, IntKind, Layout, Member, Shape};
    use crate::map::MapType as T;

    fn structure(members: &[(&str, u64)]) -> Arc<Layout> {
        let mut offset = 0;
        let members = members.iter().map(|(name, size)| {
            let layout = Arc::new(Layout::new(*size, Shape::Int(IntKind::Unsigned)));
            let member = Member { name: (*name).into(), offset_bits: offset * 8, bits: None, layout };
            offset += size;
            member
        });
        let of = Composite::new(CompositeKind::Struct, Some("of".into()), members.collect()).expect("few members");
        Arc::new(Layout::new(offset, Shape::Composite(Arc::new(of))))
    }

    fn def(map_type: T, key: &[(&str, u64)], value: &[(&str, u64)]) -> MapDef {
        let (key, value) = (structure(key), structure(value));
        let (key_size, value_size) = (key.size as u32, value.size as u32);
        MapDef {
            key: Some(key),
            key_size,
            value: Some(value),
            value_size,
            max_entries: 8,
            ..MapDef::new("m", map_type)
        }
    }

    #[test]
    fn what_is_derived_is_offered_and_what_code_alone_can_do_is_offered_as_that() {
        let old = def(T::HASH, &[("a", 4)], &[("n", 8)]);
        let to = |key: &[(&str, u64)], value: &[(&str, u64)]| Offer::between(&old, &def(T::HASH, key, value));
        assert_eq!(to(&[("a", 4)], &[("n", 8), ("m", 4)]), Offer::Derived);
        // A question is no wall.
        assert_eq!(to(&[("a", 4)], &[("n", 4)]), Offer::Derived);
        let none = "no member of the old key is in the new one, so all entries would get the same key";
        assert_eq!(to(&[("b", 8)], &[("n", 8)]), Offer::ByHand(none.to_owned()));
        let smaller = MapDef { max_entries: 4, ..old.clone() };
        assert_eq!(Offer::between(&old, &smaller), Offer::Derived);
        let newer = MapDef { version: 1, ..old.clone() };
        assert!(
            matches!(Offer::between(&old, &newer), Offer::ByHand(because) if because.contains("means something else"))
        );
        let unlike = MapDef { map_type: T::PERCPU_HASH, ..old.clone() };
        let no = "entries of a hash can't become those of a percpu_hash";
        assert_eq!(Offer::between(&old, &unlike), Offer::No(no.to_owned()));
    }
}
