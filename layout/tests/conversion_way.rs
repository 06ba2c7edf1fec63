//! The way over several epochs, the way back, and where counts were.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::config::Levels;
use maplock_layout::conversion::{Answers, Cast, Conversion, DerivedLeg, Leg, Step};
use maplock_layout::epochs::accept;
use maplock_layout::history::LeadError;
use maplock_layout::lock::OnUpgrade;
use maplock_layout::{Lock, SumPlace};
use support::{lock, map, observed};

const V1: &str = "struct v { u32 packets; u32 seen; };";
const V2: &str = "struct v { u64 packets; u32 seen; };";
const V3: &str = "struct v { u32 seen; u64 packets; u64 bytes; };";

/// The lock after the value became this.
#[track_caller]
fn then(before: &Lock, value: &str, on_upgrade: OnUpgrade, answers: Answers) -> Lock {
    let mut after = accept(before, &observed([map(value)]), "m", on_upgrade, "a test", &Levels::default()).unwrap();
    after.maps.get_mut("m").unwrap().epochs.last_mut().unwrap().convert = answers;
    after
}

fn migrated() -> Lock {
    let second = then(&lock([map(V1)]), V2, OnUpgrade::Migrate, Answers::default());
    then(&second, V3, OnUpgrade::Migrate, Answers::default())
}

fn lead(lock: &Lock, from: &str) -> Result<Conversion, LeadError> {
    Conversion::lead(&lock.maps["m"], map(from).digest())
}

/// Through the values of all legs.
fn through(conversion: &Conversion, bytes: &[u8]) -> Vec<u8> {
    conversion.legs.iter().fold(bytes.to_vec(), |bytes, leg| match leg {
        Leg::Derived(leg) => leg.value.convert(&bytes).unwrap(),
        Leg::ByHand { .. } => panic!("by hand"),
    })
}

fn v1() -> Vec<u8> {
    [7_u32.to_ne_bytes(), 9_u32.to_ne_bytes()].concat()
}

#[test]
fn each_epoch_that_converts_is_a_leg() {
    let lock = migrated();
    let whole = lead(&lock, V1).unwrap();
    assert_eq!(whole.legs.len(), 2);
    let v3 = [&9_u32.to_ne_bytes()[..], &[0; 4], &7_u64.to_ne_bytes(), &[0; 8]].concat();
    assert_eq!(through(&whole, &v1()), v3);
    assert_eq!(lead(&lock, V2).unwrap().legs, whole.legs[1..]);
    assert_eq!(lead(&lock, V3).unwrap(), Conversion::default());
    assert_eq!(lead(&lock, "u64"), Err(LeadError::NoWay(map("u64").digest())));
}

#[test]
fn an_epoch_that_keeps_the_bytes_is_no_leg() {
    let renamed = "struct v { u64 hits; u32 seen; };";
    let second = then(&lock([map(V1)]), V2, OnUpgrade::Migrate, Answers::default());
    let third = then(&second, renamed, OnUpgrade::Reuse, Answers::default());
    assert_eq!(lead(&third, V1).unwrap().legs, lead(&second, V1).unwrap().legs);
    assert_eq!(lead(&third, V2).unwrap().legs, []);
}

#[test]
fn an_epoch_that_gives_entries_up_or_answers_nothing_leads_nowhere() {
    let swapped = then(&migrated(), "u64", OnUpgrade::Swap, Answers::default());
    let LeadError::NotConverted { from, on_upgrade } = lead(&swapped, V1).unwrap_err() else { panic!() };
    assert_eq!((from, on_upgrade), (map(V3).digest(), OnUpgrade::Swap));
    let narrower = then(&lock([map(V2)]), V1, OnUpgrade::Migrate, Answers::default());
    let error = lead(&narrower, V2).unwrap_err().to_string();
    assert!(error.contains("`value.packets` was u64 and is narrower now, u32"), "{error}");
    let cast = Answers { cast: [("value.packets".to_owned(), Cast::Saturate)].into(), ..Answers::default() };
    assert_eq!(lead(&then(&lock([map(V2)]), V1, OnUpgrade::Migrate, cast), V2).unwrap().legs.len(), 1);
}

#[test]
fn a_leg_that_is_written_by_hand_asks_nothing_and_has_no_way_back() {
    let by_hand = Answers { by_hand: true, ..Answers::default() };
    let lock = then(&lock([map(V2)]), V1, OnUpgrade::Migrate, by_hand.clone());
    let conversion = lead(&lock, V2).unwrap();
    assert_eq!(conversion.legs, [Leg::ByHand { from: map(V2).digest(), to: map(V1).digest() }]);
    assert_eq!(conversion.inverse(), None);
    assert_eq!(Conversion::parse(&conversion.to_text()), Ok(conversion));
    let mut both = lock;
    let drop = ["value.seen".to_owned()].into();
    both.maps.get_mut("m").unwrap().epochs[0].convert = Answers { drop, ..by_hand };
    let error = lead(&both, V2).unwrap_err().to_string();
    assert!(
        error.ends_with("--drop value.seen: the conversion is written by hand, so this answer would do nothing"),
        "{error}"
    );
}

#[test]
fn the_way_back_undoes_the_legs_from_the_last_to_the_first() {
    let there = lead(&migrated(), V1).unwrap();
    let back = there.inverse().unwrap();
    assert_eq!(through(&back, &through(&there, &v1())), v1());
    let sizes = back.legs.iter().map(|leg| match leg {
        Leg::Derived(leg) => (leg.value.from_size, leg.value.to_size),
        Leg::ByHand { .. } => (0, 0),
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [(24, 16), (16, 8)]);
    assert_eq!(Conversion::parse(&back.to_text()), Ok(back));
}

#[test]
fn a_count_is_found_where_it_was_in_the_oldest_value() {
    let conversion = lead(&migrated(), V1).unwrap();
    let (packets, bytes) =
        (SumPlace { offset: 8, width: 8, signed: false }, SumPlace { offset: 16, width: 8, signed: false });
    assert_eq!(
        conversion.sums_back(&[packets, bytes]),
        [SumPlace { offset: 0, width: 4, signed: false }],
        "bytes are new"
    );
}

#[test]
fn counts_in_arrays_are_found_one_by_one_and_none_that_was_cast() {
    let (old, new) = ("struct v { struct { u32 n; u32 m; } x[2]; };", "struct v { struct { u64 n; u32 m; } x[2]; };");
    let steps = DerivedLeg::derive(&map(old), &map(new), &Answers::default()).unwrap().leg.value;
    assert!(matches!(steps.steps.as_slice(), [Step::Repeat { .. }]), "{steps:?}");
    let place = |offset, width| SumPlace { offset, width, signed: false };
    let sums = [place(0, 8), place(8, 4), place(16, 8), place(24, 4)];
    assert_eq!(steps.sums_back(&sums), [place(0, 4), place(4, 4), place(8, 4), place(12, 4)]);
    let steps = DerivedLeg::derive(
        &map("struct v { s32 n; s64 m; };"),
        &map("struct v { s64 m; s64 n; };"),
        &Answers::default(),
    );
    let signed = |offset, width| SumPlace { signed: true, ..place(offset, width) };
    assert_eq!(steps.unwrap().leg.value.sums_back(&[signed(0, 8), signed(8, 8)]), [signed(0, 4), signed(8, 8)]);
    let cast = Answers { cast: [("value.n".to_owned(), Cast::Saturate)].into(), ..Answers::default() };
    let narrower = DerivedLeg::derive(&map("struct v { u64 n; };"), &map("struct v { u32 n; };"), &cast).unwrap().leg;
    assert_eq!(narrower.value.sums_back(&[place(0, 4)]), []);
}

#[test]
fn what_a_text_says_that_cannot_be_done_is_refused_at_its_line() {
    let parse = |text: &str| Conversion::parse(text).unwrap_err().to_string();
    assert_eq!(parse(""), "line 1: no text");
    assert_eq!(parse("conversion 2\n"), "line 1: version 2, which is newer than this maplock, which knows 1");
    assert_eq!(parse("hello\n"), "line 1: `hello` begins no conversion");
    assert_eq!(parse("conversion 1\n"), "line 1: the text ends before its `sum`");
    assert_eq!(parse("conversion 1\nsum 0\n"), "line 2: the text is damaged");
    let leg = |steps: &str| parse(&format!("conversion 1\nderived none whole\nkey 4 4\n{steps}value 4 4\nsum 0\n"));
    for (steps, problem) in [
        ("copy 0 2 4\n", "line 4: 4 bytes written at 2, where 4 are"),
        ("copy 0 0 x\n", "line 4: `x` is no such number"),
        ("copy 0 0 4\nset 0 ff\n", "line 5: bit 0 is written twice"),
        (
            "int 0:32:u 0:16:u none none \n",
            "line 4: a number of 32 unsigned bits at 0 does not fit 16 unsigned bits at 0, and no cast says what then",
        ),
        ("repeat 0 2 0 2 2\ncopy 0 0 2\n", "line 6: an array without its `end`"),
        ("repeat 0 2 0 2 3\ncopy 0 0 2\nend\n", "line 6: 6 bytes read at 0, where 4 are"),
        ("set 0 0\n", "line 4: `0` are no bytes"),
    ] {
        assert_eq!(leg(steps), problem, "{steps}");
    }
}
