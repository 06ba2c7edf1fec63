//! The converter in the kernel and the one in user space give the same bytes, for pairs of layouts that nobody thought of. (That the
//! latter is right, a slow reference says in `layout/tests/conversion.rs`, over the same pairs.)

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../layout/tests/support/c.rs"]
#[allow(dead_code, unreachable_pub)]
mod c;
#[path = "../../layout/tests/support/pairs.rs"]
#[allow(dead_code, unreachable_pub)]
mod pairs;

use maplock::Migrations;
use maplock::internals::sys::{Map, NewMap};
use maplock::internals::transfer::{Convert, Method, Side, TransferOptions, Way, new_base};
use maplock::layout::MapDef;
use maplock::layout::conversion::{Bits, Cast, Conversion, DerivedLeg, Int, Leg, Scale, Step, Steps};
use maplock::layout::map::MapType as T;
use maplock_tests::kernel;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn def(value: &str) -> MapDef {
    let mut def = MapDef::new("m", T::HASH);
    let value = c::layout(value);
    (def.key_size, def.value_size, def.max_entries) = (8, value.size as u32, 64);
    (def.key, def.value) = (Some(c::layout("u64")), Some(value));
    def
}

fn new_map(value_size: u32) -> Map {
    Map::create(&NewMap::new(T::HASH, 8, value_size, 64)).unwrap()
}

/// Converts `values`, of which each fits, by programs and by system calls.
fn converted_alike(value: &Steps, values: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let key = Steps { from_size: 8, to_size: 8, steps: vec![Step::Copy { from: 0, to: 0, len: 8 }] };
    let legs = vec![Leg::Derived(DerivedLeg { key, value: value.clone(), collide: None, keeps_key: true })];
    let way = Way::new(&Conversion { legs }, &Migrations::default(), 8, value.from_size).unwrap();
    let from = new_map(value.from_size);
    let mut expected = Vec::new();
    for (number, bytes) in (0_u64..).zip(values) {
        if let Ok(new) = value.convert(bytes) {
            from.update(&number.to_ne_bytes(), bytes, 0).unwrap();
            expected.push((number, new));
        }
    }
    for method in [Method::Kernel, Method::Batch] {
        let (to, base) = (new_map(value.to_size), new_base(&from).unwrap());
        let convert = Convert {
            from: &from,
            to: &to,
            base: Some(&base),
            base_of: Side::From,
            there: &way,
            back: None,
            sums: &[],
        };
        let copied = convert.copy(&mut TransferOptions { method: Some(method), ..TransferOptions::default() });
        prop_assert!(copied.is_ok(), "{method:?}: {copied:?}");
        for (number, new) in &expected {
            let there = to.lookup(&number.to_ne_bytes()).unwrap();
            prop_assert_eq!(there.as_ref(), Some(new), "{:?} {:?}", method, values[*number as usize]);
        }
    }
    // One that does not fit is refused by both.
    if let Some(unfit) = values.iter().find(|bytes| value.convert(bytes).is_err()) {
        from.update(&1000_u64.to_ne_bytes(), unfit, 0).unwrap();
        for method in [Method::Kernel, Method::Batch] {
            let (to, base) = (new_map(value.to_size), new_base(&from).unwrap());
            let there = &way;
            let convert =
                Convert { from: &from, to: &to, base: Some(&base), base_of: Side::From, there, back: None, sums: &[] };
            let copied = convert.copy(&mut TransferOptions { method: Some(method), ..TransferOptions::default() });
            prop_assert!(copied.is_err(), "{method:?}");
        }
    }
    Ok(())
}

fn bytes(size: u32) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let len = size as usize;
    prop::collection::vec(prop::collection::vec(any::<u8>(), len), 8).prop_map(move |mut all| {
        all.extend([vec![0; len], vec![0xff; len]]);
        all
    })
}

#[test]
fn any_two_layouts_are_converted_alike_in_the_kernel_and_out_of_it() {
    if !kernel::available() {
        return;
    }
    let cases = pairs::pair("value").prop_flat_map(|pair| {
        let size = c::layout(&pair.old).size as u32;
        (Just(pair), bytes(size))
    });
    let run = TestRunner::new(config(150)).run(&cases, |(pair, values)| {
        let (old, new) = (def(&pair.old), def(&pair.new));
        let derived = DerivedLeg::derive(&old, &new, &pair.answers);
        prop_assume!(derived.is_ok() && old.value_size > 0 && new.value_size > 0);
        converted_alike(&derived.unwrap().leg.value, &values)
    });
    run.unwrap();
}

/// An integer of 1 to 64 bits within 8 of 16 bytes.
fn bits() -> impl Strategy<Value = Bits> {
    let whole = (0_u32..9, prop::sample::select(vec![8_u32, 16, 32, 64]));
    let whole = whole.prop_map(|(byte, width)| (byte * 8, width));
    let within = (0_u32..64, 1_u32..=56).prop_map(|(offset, width)| (offset, width.min(64 - offset % 8)));
    (prop_oneof![whole, within], any::<bool>()).prop_map(|((offset, width), signed)| Bits { offset, width, signed })
}

fn int() -> impl Strategy<Value = Int> {
    let numbers = prop::collection::btree_map(0_u64..4, 0_u64..8, 0..3);
    let scale = prop::option::of((1_u32..2000, 1_u32..2000));
    (bits(), bits(), prop::sample::select(Cast::ALL.to_vec()), scale, numbers).prop_map(
        |(from, to, cast, scale, numbers)| {
            let plain = !from.signed && !to.signed;
            let scale = scale.filter(|_| plain).map(|(multiply, divide)| Scale { multiply, divide });
            let numbers = if scale.is_some() { Vec::new() } else { numbers.into_iter().collect() };
            Int { from, to, cast: Some(cast), scale, numbers }
        },
    )
}

#[test]
fn any_integer_is_converted_alike_in_the_kernel_and_out_of_it() {
    if !kernel::available() {
        return;
    }
    let cases = (int(), 1_u32..5, any::<bool>(), bytes(16 * 5));
    let run = TestRunner::new(config(300)).run(&cases, |(int, count, nested, values)| {
        let int = vec![Step::Int(int)];
        let repeat = |count, stride: u32, steps| Step::Repeat {
            from: 0,
            from_stride: stride,
            to: 0,
            to_stride: stride,
            count,
            steps,
        };
        let steps =
            if nested { vec![repeat(1, 80, vec![repeat(count, 16, int)])] } else { vec![repeat(count, 16, int)] };
        let steps = Steps { from_size: 80, to_size: 80, steps };
        prop_assume!(steps.check().is_ok());
        converted_alike(&steps, &values)
    });
    run.unwrap();
}
