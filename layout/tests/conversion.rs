//! Conversions of any two layouts against a slow reference, which reads each number by its name and writes it by its name.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::conversion::{
    Bits, Cast, Choice, Collide, Conversion, DerivedLeg, Int, Leg, Problems, Scale, Step, Steps, Unfit,
};
use maplock_layout::{IntKind, Layout, MapDef, Shape, SumPlace};
use proptest::prelude::*;
use support::pairs::{Pair, pair};
use support::{c, map, map_of};

/// Where a number is: first bit, bits, and whether it is signed.
type Spot = (u64, u64, bool);

/// The number at a path such as `.s.m3[2]`.
fn spot(layout: &Layout, path: &str) -> Spot {
    let (mut layout, mut offset, mut bits) = (layout, 0, None);
    for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
        match &layout.shape {
            Shape::Array { element, .. } => {
                offset += part.strip_suffix(']').unwrap().parse::<u64>().unwrap() * element.size * 8;
                layout = element;
            }
            _ => {
                let members = layout.composite().unwrap().members();
                let member = members.iter().find(|member| &*member.name == part).unwrap();
                (offset, bits, layout) = (offset + member.offset_bits, member.bits, &member.layout);
            }
        }
    }
    let width = bits.map_or(layout.size * 8, u64::from);
    (offset, width, matches!(layout.shape, Shape::Int(IntKind::Signed)))
}

/// Where this machine has a bit of a number, the least significant one first: its byte, and which of that.
fn place((offset, width, _): Spot, bit: u64) -> (usize, u8) {
    let at = if cfg!(target_endian = "little") { offset + bit } else { offset + width - 1 - bit };
    let mask = if cfg!(target_endian = "little") { 1 << (at % 8) } else { 0x80 >> (at % 8) };
    ((at / 8) as usize, mask)
}

/// Bit by bit.
fn read(bytes: &[u8], spot: Spot) -> i128 {
    let (_, width, signed) = spot;
    let bit = |at: u64| {
        let (byte, mask) = place(spot, at);
        i128::from(bytes[byte] & mask != 0)
    };
    let number: i128 = (0..width).map(|at| bit(at) << at).sum();
    if signed && bit(width - 1) == 1 { number - (1 << width) } else { number }
}

fn write(bytes: &mut [u8], spot: Spot, number: i128) {
    for at in 0..spot.1 {
        let (byte, mask) = place(spot, at);
        let byte = &mut bytes[byte];
        if number >> at & 1 == 1 { *byte |= mask } else { *byte &= !mask }
    }
}

/// What the new bytes are, or that a number does not fit.
fn by_name(pair: &Pair, from: &[u8], mut to: Vec<u8>) -> Option<Vec<u8>> {
    let (old, new) = (c::layout(&pair.old), c::layout(&pair.new));
    for number in &pair.numbers {
        let Some(was) = &number.old else { continue };
        let place = spot(&new, &number.new);
        let value = read(from, spot(&old, was));
        let (low, high) = match place {
            (_, width, false) => (0, (1 << width) - 1),
            (_, width, true) => (-(1 << (width - 1)), (1 << (width - 1)) - 1),
        };
        let value = match number.cast {
            Some(Cast::Refuse) if value < low || value > high => return None,
            Some(Cast::Saturate) => value.clamp(low, high),
            _ => value,
        };
        write(&mut to, place, value);
    }
    Some(to)
}

/// The bytes without padding.
fn members_only(pair: &Pair, bytes: &[u8]) -> Vec<u8> {
    let layout = c::layout(&pair.new);
    let mut kept = vec![0; bytes.len()];
    for number in &pair.numbers {
        let place = spot(&layout, &number.new);
        write(&mut kept, place, read(bytes, place));
    }
    kept
}

fn filled(size: u32, seed: &[u8]) -> Vec<u8> {
    seed.iter().copied().cycle().take(size as usize).collect()
}

fn agrees(pair: &Pair, steps: &Steps, seeds: &[Vec<u8>]) -> Result<(), TestCaseError> {
    prop_assert_eq!(steps.check(), Ok(()));
    let from = filled(steps.from_size, &seeds[0]);
    let expected = by_name(pair, &from, vec![0; steps.to_size as usize]);
    match (steps.convert(&from), &expected) {
        (Ok(to), Some(expected)) => prop_assert_eq!(members_only(pair, &to), members_only(pair, expected)),
        (Err(Unfit::Number { .. }), None) => return Ok(()),
        (got, expected) => prop_assert!(false, "{got:?}, by name {expected:?}"),
    }
    let there = filled(steps.to_size, &seeds[1]);
    let mut over = there.clone();
    steps.convert_over(&from, &mut over).unwrap();
    let expected = by_name(pair, &from, there).unwrap();
    prop_assert_eq!(members_only(pair, &over), members_only(pair, &expected));

    // What was not cast or given up comes back.
    let to = steps.convert(&from).unwrap();
    let inverse = steps.inverse();
    prop_assert_eq!(inverse.check(), Ok(()));
    let back = inverse.convert(&to).unwrap();
    let old = c::layout(&pair.old);
    for number in pair.numbers.iter().filter(|number| matches!(number.cast, None | Some(Cast::Refuse))) {
        if let Some(was) = &number.old {
            prop_assert_eq!(read(&back, spot(&old, was)), read(&from, spot(&old, was)), "{}", was);
        }
    }
    Ok(())
}

/// Keys that differ, in a member or in padding, become keys that differ.
fn differs_by_every_bit(key: &Steps, seed: &[u8]) -> Result<(), TestCaseError> {
    let from = filled(key.from_size, seed);
    let Ok(to) = key.convert(&from) else { return Ok(()) };
    for bit in 0..from.len() * 8 {
        let mut other = from.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(key.convert(&other), Ok(to.clone()), "bit {}", bit);
    }
    Ok(())
}

fn derive(old: &MapDef, new: &MapDef, pair: &Pair) -> Result<maplock_layout::conversion::Derived, TestCaseError> {
    let derived = DerivedLeg::derive(old, new, &pair.answers);
    let derived = derived.map_err(|problems| TestCaseError::fail(format!("{problems}")))?;
    prop_assert_eq!(&derived, &DerivedLeg::derive(old, new, &pair.answers).unwrap());
    prop_assert_eq!(derived.is_lossless(), pair.lossless);
    let conversion = Conversion { legs: vec![Leg::Derived(derived.leg.clone())] };
    prop_assert_eq!(Conversion::parse(&conversion.to_text()), Ok(conversion));
    Ok(derived)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_value_becomes_what_its_members_say_by_name(
        pair in pair("value"),
        seeds in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 2),
    ) {
        let derived = derive(&map(&pair.old), &map(&pair.new), &pair)?;
        agrees(&pair, &derived.leg.value, &seeds)?;
        let whole = Step::Copy { from: 0, to: 0, len: 4 };
        prop_assert_eq!(derived.leg.key.steps, [whole]);
    }

    #[test]
    fn a_key_becomes_what_its_members_say_by_name(
        pair in pair("key"),
        seeds in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 2),
    ) {
        let (old, new) = (map_of(&pair.old, "u32"), map_of(&pair.new, "u32"));
        let mut pair = pair;
        // Of padding that has no place any more, no member knows.
        let is_packed = |problems: Problems| problems.questions.iter().all(|question| question.path == "key");
        let tried = DerivedLeg::derive(&old, &new, &pair.answers);
        if tried.as_ref().is_err_and(|problems| problems.questions.iter().any(|of| of.choices.contains(&Choice::Swap))) {
            prop_assert!(pair.numbers.iter().all(|number| number.old.is_none()), "something was left of it");
            return Ok(());
        }
        if tried.is_err_and(is_packed) {
            pair.answers.collide = Some(Collide::Refuse);
        }
        let derived = derive(&old, &new, &pair)?;
        agrees(&pair, &derived.leg.key, &seeds)?;
        prop_assert_eq!(derived.leg.keeps_key, pair.lossless);
        prop_assert_eq!(derived.leg.inverse().is_some(), pair.lossless);
        if derived.leg.collide.is_none() {
            differs_by_every_bit(&derived.leg.key, &seeds[0])?;
        } else if pair.answers.collide.is_none() {
            prop_assert_eq!(derived.leg.collide, Some(Collide::Refuse));
        }
    }

    #[test]
    fn a_definition_becomes_itself_by_one_copy(pair in pair("value")) {
        let leg = DerivedLeg::derive(&map(&pair.old), &map(&pair.old), &Default::default()).unwrap().leg;
        let len = leg.value.to_size;
        let whole = (len > 0).then_some(Step::Copy { from: 0, to: 0, len });
        prop_assert_eq!(leg.value.steps, Vec::from_iter(whole));
    }

    #[test]
    fn any_steps_are_checked_converted_turned_and_written_without_a_panic(
        steps in any_steps(),
        from in prop::collection::vec(any::<u8>(), 0..64),
        other in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let checked = steps.check();
        let converted = steps.convert(&from);
        if checked.is_ok() && from.len() == steps.from_size as usize {
            prop_assert!(matches!(converted, Ok(_) | Err(Unfit::Number { .. })), "{:?}", converted);
        }
        _ = steps.convert_over(&from, &mut other.clone());
        _ = steps.inverse().convert(&other);
        _ = steps.sums_back(&[SumPlace { offset: 8, width: 8, signed: false }, SumPlace { offset: u32::MAX, width: 4, signed: false }]);
        let leg = DerivedLeg { key: steps.clone(), value: steps, collide: Some(Collide::Sum), keeps_key: true };
        let conversion = Conversion { legs: vec![Leg::Derived(leg)] };
        let read = Conversion::parse(&conversion.to_text());
        prop_assert_eq!(read.is_ok(), checked.is_ok());
        prop_assert!(read.is_err() || read == Ok(conversion));
    }
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0..64_u32, 1 => Just(u32::MAX), 1 => any::<u32>()]
}

fn bits() -> impl Strategy<Value = Bits> {
    let offset = prop_oneof![8 => 0..512_u32, 1 => any::<u32>()];
    let width = prop_oneof![8 => 0..66_u32, 1 => any::<u32>()];
    (offset, width, any::<bool>()).prop_map(|(offset, width, signed)| Bits { offset, width, signed })
}

fn step() -> impl Strategy<Value = Step> {
    let copy = (number(), number(), number()).prop_map(|(from, to, len)| Step::Copy { from, to, len });
    let set = (number(), prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(to, bytes)| Step::Set { to, bytes });
    let scale = (number(), number()).prop_map(|(multiply, divide)| Scale { multiply, divide });
    let cast = prop::option::of(prop::sample::select(Cast::ALL.to_vec()));
    let numbers = prop::collection::vec(any::<(u64, u64)>(), 0..3);
    let int = (bits(), bits(), cast, prop::option::of(scale), numbers)
        .prop_map(|(from, to, cast, scale, numbers)| Step::Int(Int { from, to, cast, scale, numbers }));
    prop_oneof![copy, set, int].prop_recursive(5, 12, 3, |step| {
        (number(), number(), number(), number(), number(), prop::collection::vec(step, 0..3)).prop_map(
            |(from, from_stride, to, to_stride, count, steps)| Step::Repeat {
                from,
                from_stride,
                to,
                to_stride,
                count,
                steps,
            },
        )
    })
}

fn any_steps() -> impl Strategy<Value = Steps> {
    (number(), number(), prop::collection::vec(step(), 0..4)).prop_map(|(from_size, to_size, steps)| Steps {
        from_size,
        to_size,
        steps,
    })
}

proptest! {
    #[test]
    fn a_text_that_is_damaged_is_no_conversion(
        pair in pair("value"),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"0123456789abcdef :\n".to_vec()),
    ) {
        let leg = DerivedLeg::derive(&map(&pair.old), &map(&pair.new), &pair.answers).unwrap().leg;
        let text = Conversion { legs: vec![Leg::Derived(leg)] }.to_text();
        let at = at.index(text.len());
        prop_assert!(Conversion::parse(&text[..at]).is_err(), "cut off");
        let mut other = text.clone().into_bytes();
        other.remove(at);
        prop_assert!(Conversion::parse(&String::from_utf8(other.clone()).unwrap()).is_err(), "a byte less");
        other.insert(at, byte);
        let other = String::from_utf8(other).unwrap();
        prop_assert_eq!(Conversion::parse(&other).is_err(), other != text);
        prop_assert!(Conversion::parse(&format!("{text}sum 0\n")).is_err(), "a line more");
        prop_assert!(!text.lines().any(|line| line == "--- back ---"));
    }
}
