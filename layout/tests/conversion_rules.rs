//! What becomes of each kind of member, and what is asked where two definitions do not tell.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::conversion::{Answers, Bent, Cast, Choice, Collide, Derived, DerivedLeg, Problems, Scale};
use maplock_layout::history::Converting;
use maplock_layout::lock::{Epoch, OnUpgrade};
use maplock_layout::map::MapType;
use maplock_layout::{Loss, MapDef};
use support::{map, map_of};

fn of(text: &str) -> String {
    text.to_owned()
}

fn rename(new: &str, old: &str) -> Answers {
    Answers { rename: [(of(new), of(old))].into(), ..Answers::default() }
}

fn default(path: &str, text: &str) -> Answers {
    Answers { default: [(of(path), of(text))].into(), ..Answers::default() }
}

fn dropped(path: &str) -> Answers {
    Answers { drop: [of(path)].into(), ..Answers::default() }
}

fn cast(path: &str, cast: Cast) -> Answers {
    Answers { cast: [(of(path), cast)].into(), ..Answers::default() }
}

fn scale(path: &str, multiply: u32, divide: u32) -> Answers {
    Answers { scale: [(of(path), Scale { multiply, divide })].into(), ..Answers::default() }
}

fn none() -> Answers {
    Answers::default()
}

/// The leg from one value to another.
#[track_caller]
fn derived(old: &str, new: &str, answers: &Answers) -> Derived {
    let derived = DerivedLeg::derive(&map(old), &map(new), answers).unwrap_or_else(|problems| panic!("{problems}"));
    derived.leg.value.check().unwrap();
    derived
}

#[track_caller]
fn converted(old: &str, new: &str, answers: &Answers, bytes: &[u8]) -> Vec<u8> {
    derived(old, new, answers).leg.value.convert(bytes).unwrap()
}

/// What is said of the members of a value.
#[track_caller]
fn said(old: &str, new: &str, answers: &Answers) -> Vec<String> {
    let members = derived(old, new, answers).members;
    members.iter().filter(|plan| plan.path() != "key").map(|plan| format!("{}: {plan}", plan.path())).collect()
}

#[track_caller]
fn problems(old: &MapDef, new: &MapDef, answers: &Answers) -> Problems {
    match DerivedLeg::derive(old, new, answers) {
        Err(problems) => problems,
        Ok(derived) => panic!("{derived:?}"),
    }
}

/// All that is open or wrong, as a person reads it.
#[track_caller]
fn asked(old: &str, new: &str, answers: &Answers) -> Vec<String> {
    let problems = problems(&map(old), &map(new), answers);
    let mistakes = problems.mistakes.iter().map(ToString::to_string);
    mistakes.chain(problems.questions.iter().map(ToString::to_string)).collect()
}

#[track_caller]
fn asked_of_key(old: &str, new: &str, answers: &Answers) -> Vec<String> {
    let problems = problems(&map_of(old, "u32"), &map_of(new, "u32"), answers);
    problems.questions.iter().map(ToString::to_string).collect()
}

const BE: &str = "typedef u32 __be32; typedef u64 __be64; ";
const TIMER: &str = "struct bpf_timer { u64 x[2]; }; ";
const LOCK: &str = "struct bpf_spin_lock { u32 val; }; ";

fn be(rest: &str) -> String {
    format!("{BE}{rest}")
}

// What needs no answer.

#[test]
fn a_member_that_moved_is_copied_to_its_new_place() {
    let (old, new) = ("struct v { u32 a; u32 b; };", "struct v { u32 b; u32 a; };");
    assert_eq!(
        said(old, new, &none()),
        ["value.b: moved from byte 4 to byte 0", "value.a: moved from byte 0 to byte 4"]
    );
    assert_eq!(converted(old, new, &none(), &[1, 2, 3, 4, 5, 6, 7, 8]), [5, 6, 7, 8, 1, 2, 3, 4]);
}

#[test]
fn a_member_in_another_struct_is_known_by_a_name_that_no_other_has() {
    let (old, new) = ("struct v { u32 a; u32 b; };", "struct v { u32 a; struct { u32 b; } in; };");
    assert_eq!(said(old, new, &none()), ["value.a: kept", "value.in.b: taken from `value.b`"]);
    let twice = "struct v { struct { u32 n; } x; struct { u32 n; } y; };";
    assert_eq!(
        asked("struct v { u64 pad; struct { u32 n; } w; };", twice, &dropped("value.pad")),
        ["`value.w` is gone: is it given up, or does it have another name? --drop value.w"],
        "of two, nobody knows which"
    );
}

#[test]
fn unsigned_numbers_are_widened_with_zeros_and_signed_ones_with_their_sign() {
    let wider = |old: &str, new: &str, bytes: &[u8]| {
        converted(&format!("struct v {{ {old} a; }};"), &format!("struct v {{ {new} a; }};"), &none(), bytes)
    };
    assert_eq!(wider("u16", "u32", &0xfffe_u16.to_ne_bytes()), 0xfffe_u32.to_ne_bytes());
    assert_eq!(wider("u16", "s32", &0xfffe_u16.to_ne_bytes()), 0xfffe_u32.to_ne_bytes());
    assert_eq!(wider("s16", "s64", &(-2_i16).to_ne_bytes()), (-2_i64).to_ne_bytes());
    assert_eq!(wider("bool", "u32", &[1]), 1_u32.to_ne_bytes());
    let said = said("struct v { u16 a; };", "struct v { u32 a; };", &none());
    assert_eq!(said, ["value.a: widened from u16 to u32"]);
}

#[test]
fn a_number_of_a_fixed_byte_order_is_widened_in_that_order() {
    let (old, new) = (be("struct v { __be32 a; };"), be("struct v { __be64 a; };"));
    assert_eq!(converted(&old, &new, &none(), &[1, 2, 3, 4]), [0, 0, 0, 0, 1, 2, 3, 4]);
    let le = "typedef u32 __le32; typedef u64 __le64; ";
    let (old, new) = (format!("{le}struct v {{ __le32 a; }};"), format!("{le}struct v {{ __le64 a; }};"));
    assert_eq!(converted(&old, &new, &none(), &[1, 2, 3, 4]), [1, 2, 3, 4, 0, 0, 0, 0]);
}

#[test]
fn a_bit_field_may_become_wider_or_a_whole_number() {
    let old = "struct v { u32 a:3; s32 b:5; };";
    // The first member is at the end of the number that this machine reads first.
    let both = |[a, b]: [(u32, u32); 2]| match cfg!(target_endian = "little") {
        true => (a.0 | b.0 << a.1).to_ne_bytes(),
        false => (a.0 << (32 - a.1) | b.0 << (32 - a.1 - b.1)).to_ne_bytes(),
    };
    let bytes = both([(0b101, 3), (0b11110, 5)]);
    let wider = converted(old, "struct v { u32 a:9; s32 b:9; };", &none(), &bytes);
    assert_eq!(wider, both([(0b101, 9), (0b1_1111_1110, 9)]));
    let whole = converted(old, "struct v { u32 a; s32 b; };", &none(), &bytes);
    assert_eq!(whole, [5_u32.to_ne_bytes(), (-2_i32).to_ne_bytes()].concat());
}

#[test]
fn an_array_that_is_longer_begins_as_it_was_and_ends_in_zeros() {
    let (old, new) = ("struct v { char name[4]; };", "struct v { char name[6]; };");
    assert_eq!(said(old, new, &none()), ["value.name: lengthened from 4 to 6 elements, the rest 0"]);
    assert_eq!(converted(old, new, &none(), b"eth0"), b"eth0\0\0");
}

#[test]
fn the_elements_of_an_array_are_converted_one_by_one() {
    let (old, new) = ("struct v { struct { u8 a; u8 b; } x[2]; };", "struct v { struct { u8 b; u8 a; } x[3]; };");
    assert_eq!(converted(old, new, &none(), &[1, 2, 3, 4]), [2, 1, 4, 3, 0, 0]);
    let deep = |of: &str| format!("struct v {{ struct {{ {of} a; u32 b; }} x[2][2][2][2]; }};");
    derived(&deep("u32"), &deep("u64"), &none());
    let deeper = |of: &str| format!("struct v {{ struct {{ {of} a; u32 b; }} x[2][2][2][2][2]; }};");
    assert_eq!(
        asked(&deeper("u32"), &deeper("u64"), &none()),
        ["the value can't be converted step by step: arrays are nested over 4 deep: --by-hand"]
    );
}

#[test]
fn enumerators_keep_their_names() {
    let (old, new) = ("struct v { enum e { A, B, C } e; };", "struct v { enum e { C, B, A } e; };");
    assert_eq!(said(old, new, &none()), ["value.e: 2 enumerators renumbered"]);
    for (was, is) in [(0_u32, 2_u32), (1, 1), (2, 0), (7, 7)] {
        assert_eq!(converted(old, new, &none(), &was.to_ne_bytes()), is.to_ne_bytes());
    }
    assert!(derived(old, new, &none()).is_lossless());
    let another_name = said("struct v { enum e { A, B } e; };", "struct v { enum e { A, X } e; u32 n; };", &none());
    assert_eq!(another_name, ["value.e: kept", "value.n: added as 0"]);
}

#[test]
fn a_member_that_is_new_in_a_value_is_zero_or_what_the_epoch_says() {
    let (old, new) = ("struct v { u32 a; };", "struct v { u32 a; s32 b; char c[4]; };");
    assert_eq!(said(old, new, &none()), ["value.a: kept", "value.b: added as 0", "value.c: added as 0"]);
    let mut answers = default("value.b", "-2");
    answers.default.insert(of("value.c"), of("\"ab\""));
    assert_eq!(
        converted(old, new, &answers, &[1, 2, 3, 4]),
        [&[1, 2, 3, 4][..], &(-2_i32).to_ne_bytes(), b"ab\0\0"].concat()
    );
    let big = be("struct v { u32 a; __be32 b; };");
    assert_eq!(converted(old, &big, &default("value.b", "0x102"), &[0; 4]), [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(
        asked(old, new, &default("value.b", "4294967296")),
        ["`value.b` can't begin as 4294967296: 4294967296 does not fit i32: --default value.b=0"]
    );
}

#[test]
fn arms_may_be_added_to_a_union_and_not_changed() {
    let (old, new) = ("struct v { union { u32 a; } u; };", "struct v { union { u32 a; u64 b; } u; };");
    assert_eq!(said(old, new, &none()), ["value.u: old bytes kept, with more arms"]);
    assert_eq!(converted(old, new, &none(), &[1, 2, 3, 4]), [1, 2, 3, 4, 0, 0, 0, 0]);
    assert_eq!(
        asked(old, "struct v { union { u16 a; u64 b; } u; };", &none()),
        ["`value.u` is a union, of which arms have changed: --by-hand or --drop value.u"]
    );
}

#[test]
fn a_struct_around_the_same_bytes_is_the_same() {
    let (old, new) = ("struct v { u8 a[4]; };", "struct v { struct { u8 b[4]; } a; u32 n; };");
    assert_eq!(converted(old, new, &none(), &[1, 2, 3, 4]), [1, 2, 3, 4, 0, 0, 0, 0]);
    assert_eq!(converted("u32", "struct v { u32 a; };", &none(), &[1, 2, 3, 4]), [1, 2, 3, 4]);
}

// What is asked.

#[test]
fn a_number_that_may_not_fit_is_asked_of() {
    let questions = |what: &str| {
        let casts = "--cast value.a=refuse or --cast value.a=saturate or --cast value.a=truncate or --drop value.a";
        [format!("`value.a` {what}: what becomes of a number that does not fit? {casts}")]
    };
    let (wide, narrow) = ("struct v { u32 a; };", "struct v { u8 a; };");
    assert_eq!(asked(wide, narrow, &none()), questions("was u32 and is narrower now, u8"));
    assert_eq!(asked(wide, "struct v { s32 a; };", &none()), questions("was u32 and is i32"));
    let bytes = 0x1ff_u32.to_ne_bytes();
    assert_eq!(converted(wide, narrow, &cast("value.a", Cast::Saturate), &bytes), [255]);
    assert_eq!(converted(wide, narrow, &cast("value.a", Cast::Truncate), &bytes), [0xff]);
    let refusing = derived(wide, narrow, &cast("value.a", Cast::Refuse)).leg.value;
    assert_eq!(
        refusing.convert(&bytes).unwrap_err().to_string(),
        "511, which is at byte 0, does not fit 8 bits, unsigned"
    );
    assert_eq!(refusing.convert(&7_u32.to_ne_bytes()).unwrap(), [7]);
}

#[test]
fn a_member_that_is_gone_is_asked_of_where_a_new_one_may_be_it() {
    let old = "struct v { u32 first; u32 other; };";
    let gone = "`value.first` is gone: is it given up, or does it have another name?";
    for (new, what, choices) in [
        ("struct v { u32 other; u32 z; };", "of its type", "--drop value.first or --rename value.z=value.first"),
        (
            "struct v { u64 other; u64 first_ns; };",
            "of a like name",
            "--rename value.first_ns=value.first or --drop value.first",
        ),
        ("struct v { u16 z; u32 other; };", "over its bytes", "--drop value.first"),
    ] {
        assert_eq!(asked(old, new, &none()), [format!("{gone} {choices}")], "{what}");
    }
}

#[test]
fn a_member_that_is_gone_and_can_be_nothing_new_is_given_up_and_the_epoch_says_so() {
    for (old, new, path) in [
        ("struct v { u32 a; u32 b; };", "struct v { u32 b; };", "value.a"),
        ("struct v { u32 b; u32 a; };", "struct v { u32 b; struct { u64 at; } seen[2]; };", "value.a"),
        ("struct v { u32 b; struct { u32 x; u32 y; } in; };", "struct v { u32 b; };", "value.in"),
        // Members that stand where nothing is are never what a new one was.
        ("struct v { u32 b; u32 _pad; };", "struct v { u32 b; u32 flags; };", "value._pad"),
        ("struct v { u32 b; u8 pad0[4]; };", "struct v { u32 b; u32 flags; };", "value.pad0"),
        ("struct v { u32 b; u8 _pad[3]; };", "struct v { u32 b; u8 x; u8 y; u8 _pad; };", "value._pad"),
    ] {
        let derived = derived(old, new, &none());
        assert_eq!(derived.answers(&none()), dropped(path), "{new}");
        assert!(said(old, new, &none()).contains(&format!("{path}: dropped")), "{new}");
        assert!(!derived.is_lossless());
        // What the epoch says is what is derived from it.
        let again = DerivedLeg::derive(&map(old), &map(new), &derived.answers(&none())).unwrap();
        assert_eq!(again, derived);
    }
    let moved = said("struct v { u32 a; u32 b; };", "struct v { u32 b; };", &none());
    assert_eq!(moved, ["value.b: moved from byte 4 to byte 0", "value.a: dropped"]);
}

#[test]
fn another_name_at_the_same_bytes_is_asked_of() {
    let (old, new) = ("struct v { u32 a; u32 b; };", "struct v { u32 c; u32 b; };");
    assert_eq!(
        asked(old, new, &none()),
        [
            "`value.a` is gone, and `value.c` is at its bytes: is it another name for it? --rename value.c=value.a or --drop value.a"
        ]
    );
    assert_eq!(said(old, new, &rename("value.c", "value.a")), ["value.c: renamed from `value.a`", "value.b: kept"]);
    assert_eq!(converted(old, new, &dropped("value.a"), &[1; 8]), [0, 0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn a_struct_is_renamed_with_all_that_is_in_it() {
    let (old, new) = ("struct v { struct { u32 a; u32 b; } s; };", "struct v { struct { u32 b; u32 a; } t; u32 n; };");
    assert_eq!(
        converted(old, new, &rename("value.t", "value.s"), &[1, 1, 1, 1, 2, 2, 2, 2]),
        [2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0]
    );
}

#[test]
fn fewer_elements_are_asked_of_where_a_new_member_has_their_bytes() {
    let (old, new) = ("struct v { u8 a[4]; };", "struct v { u8 a[2]; u16 b; };");
    assert_eq!(
        asked(old, new, &none()),
        ["`value.a` shrank from 4 to 2 elements: are the last to be given up? --drop 'value.a[]' or --by-hand"]
    );
    assert_eq!(converted(old, new, &dropped("value.a[]"), &[1, 2, 3, 4]), [1, 2, 0, 0]);
    for new in ["struct v { u8 a[2]; };", "struct v { u8 a[2]; u8 _pad[2]; };"] {
        assert_eq!(said(old, new, &none())[0], "value.a: shortened from 4 to 2 elements, the rest given up");
        assert_eq!(derived(old, new, &none()).answers(&none()), dropped("value.a[]"));
    }
    assert_eq!(
        asked_of_key("struct k { u8 a[4]; u8 b; };", "struct k { u8 a[2]; u8 b; };", &none())[0],
        "`key.a` shrank from 4 to 2 elements: are the last to be given up? --drop 'key.a[]' or --by-hand"
    );
}

#[test]
fn the_same_bytes_in_another_shape_are_carried_where_somebody_says_so() {
    let bytes: Vec<u8> = (1..=20).collect();
    for (of, old, new, to, from) in [
        ("regrouped", "u32 a[4]; u32 n;", "u64 a[2]; u32 n;", "a", "a"),
        ("regrouped", "u64 a[2]; u32 n;", "u32 a[4]; u32 n;", "a", "a"),
        ("bytes of a number", "u128 a; u32 n;", "u8 a[16]; u32 n;", "a", "a"),
        ("bytes of a union", "union { u32 v4; u8 v6[16]; } u; u32 n;", "u8 ip[16]; u32 n;", "ip", "u"),
        ("bytes of a union without a name", "union { u32 v4; u8 v6[16]; }; u32 n;", "u8 ip[16]; u32 n;", "ip", "v4"),
        ("a union of bytes", "u8 ip[16]; u32 n;", "union { u32 v4; u8 v6[16]; } u; u32 n;", "u.v6", "ip"),
        ("bytes of a struct", "struct { u64 hi; u64 lo; } in; u32 n;", "u8 raw[16]; u32 n;", "raw", "in"),
        ("a struct of bytes", "u8 raw[16]; u32 n;", "struct { u64 hi; u64 lo; } in; u32 n;", "in", "raw"),
        ("a struct of other numbers", "struct { u32 w[4]; } in; u32 n;", "struct { u64 q[2]; } in; u32 n;", "in", "in"),
        ("other arms", "union { u64 a; u64 b[2]; } u; u32 n;", "union { u32 c; u8 d[16]; } u; u32 n;", "u", "u"),
    ] {
        let of_struct = |members: &str| format!("struct v {{ {members} }} packed;");
        let (old, new) = (of_struct(old), of_struct(new));
        for part in ["value", "key"] {
            let maps = match part {
                "key" => [map_of(&old, "u32"), map_of(&new, "u32")],
                _ => [map(&old), map(&new)],
            };
            let problems = problems(&maps[0], &maps[1], &none());
            let first = &problems.questions[0].choices[0];
            let rename = Choice::Rename(format!("{part}.{to}"), format!("{part}.{from}"));
            assert_eq!((problems.questions.len(), first), (1, &rename), "{of}: {problems}");
            let is_drop = |choice: &Choice| matches!(choice, Choice::Drop(_) | Choice::Default(..));
            assert!(part == "value" || !problems.questions[0].choices.iter().any(is_drop), "{of}: {problems}");
            let leg = DerivedLeg::derive(&maps[0], &maps[1], &first.with(&none()).unwrap()).unwrap();
            assert!(leg.is_lossless() && leg.leg.collide.is_none(), "{of}");
            let steps = if part == "key" { &leg.leg.key } else { &leg.leg.value };
            assert_eq!(steps.convert(&bytes).unwrap(), bytes, "{of}");
            assert_eq!(steps.inverse().convert(&bytes).unwrap(), bytes, "{of}");
        }
    }
}

#[test]
fn a_name_of_another_unit_is_asked_of() {
    let (old, new) = ("struct v { u64 seen_ns; };", "struct v { u64 seen_us; };");
    let renamed = rename("value.seen_us", "value.seen_ns");
    assert_eq!(
        asked(old, new, &renamed),
        [
            "`value.seen_us` is in microseconds, and `value.seen_ns` was in nanoseconds: what are old numbers multiplied by? --scale value.seen_us=1/1000 or --scale value.seen_us=1"
        ]
    );
    let scaled = Answers { rename: renamed.rename.clone(), ..scale("value.seen_us", 1, 1000) };
    assert_eq!(converted(old, new, &scaled, &5_999_u64.to_ne_bytes()), 5_u64.to_ne_bytes());
    assert_eq!(said(old, new, &scaled), ["value.seen_us: renamed from `value.seen_ns`, divided by 1000"]);
    let same = Answers { rename: renamed.rename, ..scale("value.seen_us", 1, 1) };
    assert_eq!(converted(old, new, &same, &5_999_u64.to_ne_bytes()), 5_999_u64.to_ne_bytes());
}

#[test]
fn a_unit_is_asked_of_in_arrays_and_behind_typedefs_too() {
    let (old, new) = ("struct v { u64 last_ns[2]; };", "struct v { u64 last_us[2]; };");
    let answers = rename("value.last_us", "value.last_ns");
    assert_eq!(
        asked(old, new, &answers),
        [
            "`value.last_us[]` is in microseconds, and `value.last_ns[]` was in nanoseconds: what are old numbers multiplied by? --scale 'value.last_us[]=1/1000' or --scale 'value.last_us[]=1'"
        ]
    );
    let scaled = Answers { rename: answers.rename, ..scale("value.last_us[]", 1, 1000) };
    let bytes = [3_000_u64.to_ne_bytes(), 4_000_u64.to_ne_bytes()].concat();
    assert_eq!(converted(old, new, &scaled, &bytes), [3_u64.to_ne_bytes(), 4_u64.to_ne_bytes()].concat());
    let typed = |name: &str| format!("typedef u64 {name}; struct v {{ struct {{ {name} at; }} x[2]; u32 n; }};");
    let wider = typed("usec_t").replace("u32 n", "u64 n");
    assert_eq!(
        asked(&typed("nsec_t"), &wider, &none()),
        [
            "`value.x[].at` is in microseconds, and `value.x[].at` was in nanoseconds: what are old numbers multiplied by? --scale 'value.x[].at=1/1000' or --scale 'value.x[].at=1'"
        ]
    );
}

#[test]
fn a_change_of_byte_order_is_asked_of() {
    let (old, new) = (be("struct v { __be32 a; u32 n; };"), be("struct v { u32 a; u64 n; };"));
    let question = "`value.a` was __be32 and is u32: are the bytes right as they are? --cast value.a=truncate or --by-hand or --drop value.a";
    assert_eq!(asked(&old, &new, &none()), [question]);
    assert_eq!(said(&old, &new, &cast("value.a", Cast::Truncate))[0], "value.a: __be32 read as u32, bytes as they are");
    let arrays = (be("struct v { __be32 a[2]; u32 n; };"), be("struct v { u32 a[2]; u64 n; };"));
    assert_eq!(
        asked(&arrays.0, &arrays.1, &none()),
        [
            "`value.a[]` was __be32 and is u32: are the bytes right as they are? --cast 'value.a[]=truncate' or --by-hand or --drop 'value.a[]'"
        ]
    );
}

#[test]
fn an_enumerator_that_is_gone_is_asked_of_even_where_another_has_its_number() {
    let (old, new) = ("struct v { enum e { A, B, C } e; };", "struct v { enum e { A, C } e; };");
    assert_eq!(
        asked(old, new, &none()),
        [
            "B of `value.e` is gone: what becomes of entries that hold it? --default value.e=N or --cast value.e=truncate"
        ]
    );
    let answers = default("value.e", "0");
    assert_eq!(said(old, new, &answers), ["value.e: 1 enumerator renumbered, B becomes 0"]);
    for (was, is) in [(0_u32, 0_u32), (1, 0), (2, 1)] {
        assert_eq!(converted(old, new, &answers, &was.to_ne_bytes()), is.to_ne_bytes());
    }
    let kept = "struct v { enum e { A, C = 2 } e; };";
    assert_eq!(said(old, kept, &cast("value.e", Cast::Truncate)), ["value.e: B keeps its number"]);
    assert_eq!(
        asked("struct v { enum e { A = 1, B = 1 } e; };", "struct v { enum e { A = 1, B = 2 } e; };", &none()),
        ["A, B of `value.e` were one number, 1, and are several now: --by-hand"]
    );
}

#[test]
fn floats_and_wide_numbers_are_written_by_hand() {
    for (old, new, types) in [("float", "double", "f32 and is f64"), ("u64", "u128", "u64 and is u128")] {
        let (old, new) = (format!("struct v {{ {old} a; }};"), format!("struct v {{ {new} a; }};"));
        let what = format!("`value.a` was {types}, and nothing tells how one becomes the other");
        assert_eq!(asked(&old, &new, &none()), [format!("{what}: --by-hand or --drop value.a")]);
    }
}

#[test]
fn a_lock_is_left_out_and_what_else_is_the_kernels_can_only_be_given_up() {
    let (old, new) = (
        format!("{LOCK} struct v {{ struct bpf_spin_lock l; u32 a; }};"),
        format!("{LOCK} struct v {{ u32 a; struct bpf_spin_lock l; }};"),
    );
    assert_eq!(converted(&old, &new, &none(), &[1; 8]), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(converted(&old, &old, &none(), &[1; 8]), [0, 0, 0, 0, 1, 1, 1, 1]);
    let timed = |member: &str| format!("{TIMER} struct v {{ {member}; }};");
    for (member, path, flag) in [
        ("struct bpf_timer t", "value.t", "value.t"),
        ("struct bpf_timer t[2]", "value.t[]", "'value.t[]'"),
        ("struct { struct bpf_timer t; } x[2]", "value.x[].t", "'value.x[].t'"),
    ] {
        let (old, new) = (timed(&format!("{member}; u32 n")), timed(&format!("{member}; u64 n")));
        assert_eq!(
            asked(&old, &new, &none()),
            [format!(
                "`{path}` is a bpf_timer, which belongs to the kernel, and no entry can bring it along: --drop {flag}"
            )]
        );
        let bytes = vec![1; map(&old).value_size as usize];
        let to = converted(&old, &new, &dropped(path), &bytes);
        assert!(to[..to.len() - 8].iter().all(|byte| *byte == 0), "{to:?}");
    }
}

// Keys.

#[test]
fn a_member_that_is_new_in_a_key_is_asked_of() {
    let (old, new) = ("struct k { u32 a; };", "struct k { u32 a; u32 b; };");
    assert_eq!(
        asked_of_key(old, new, &none()),
        [
            "`key.b` is new in the key, and lookups compare the whole key: what value should old entries get? --default key.b=0"
        ]
    );
    let leg = DerivedLeg::derive(&map_of(old, "u32"), &map_of(new, "u32"), &default("key.b", "7")).unwrap().leg;
    assert_eq!(leg.key.convert(&[1, 2, 3, 4]).unwrap(), [&[1, 2, 3, 4][..], &7_u32.to_ne_bytes()].concat());
    assert_eq!(leg.collide, None);
    assert_eq!(leg.inverse().unwrap().key.convert(&[1, 2, 3, 4, 0, 0, 0, 7]).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn keys_that_may_become_one_are_asked_of() {
    let (old, new) = ("struct k { u32 a; u32 b; };", "struct k { u32 a; };");
    assert_eq!(
        asked_of_key(old, new, &dropped("key.b")),
        [
            "entries with different keys may get the same key now: what becomes of them? --collide refuse or --collide sum or --collide keep-one"
        ]
    );
    let answers = Answers { collide: Some(Collide::Sum), ..dropped("key.b") };
    let leg = DerivedLeg::derive(&map_of(old, "u32"), &map_of(new, "u32"), &answers).unwrap().leg;
    assert_eq!((leg.collide, leg.inverse()), (Some(Collide::Sum), None));
}

/// The leg of a key, and what is said of its members.
#[track_caller]
fn of_key(old: &str, new: &str, answers: &Answers) -> (DerivedLeg, Vec<String>) {
    let derived = DerivedLeg::derive(&map_of(old, "u32"), &map_of(new, "u32"), answers);
    let derived = derived.unwrap_or_else(|problems| panic!("{problems}"));
    let members = derived.members.iter().filter(|plan| plan.is_of_key());
    let said = members.map(|plan| format!("{}: {plan}", plan.path())).collect();
    (derived.leg, said)
}

const PADDED: &str = "struct k { u64 group; u32 cache; };";

#[test]
fn a_key_is_a_member_of_the_union_or_struct_that_it_became() {
    let cookie = 7_u64.to_ne_bytes();
    for new in [
        "struct k { union { u64 cookie; struct { u32 ip6[4]; } addr; }; };",
        "struct k { union { u64 cookie; u32 ip6[4]; } of; };",
        "struct k { u64 cookie; u64 more; };",
    ] {
        let of = |text| map_of(text, "u32");
        let problems = problems(&of("u64"), &of(new), &none());
        let first = &problems.questions[0].choices[0];
        assert!(matches!(first, Choice::Rename(new, old) if new.ends_with("cookie") && old == "key"), "{problems}");
        let mut answers = first.with(&none()).unwrap();
        if new.contains("more") {
            answers.default.insert(of_text("key.more"), of_text("0"));
        }
        let leg = DerivedLeg::derive(&of("u64"), &of(new), &answers).unwrap().leg;
        assert_eq!((leg.key.convert(&cookie).unwrap(), leg.collide), ([&cookie[..], &[0; 8]].concat(), None), "{new}");
        assert_eq!(leg.inverse().unwrap().key.convert(&[&cookie[..], &[0; 8]].concat()).unwrap(), cookie, "{new}");
    }
}

#[test]
fn a_key_of_which_nothing_is_left_is_not_converted_whatever_is_answered() {
    let (old, new) = ("struct k { char path[64]; };", "struct k { u32 inode; u32 device; };");
    let refused = "no member of the old key is in the new one, so all entries would get the same key: --by-hand or --on-upgrade swap";
    assert_eq!(asked_of_key(old, new, &none()), [refused]);
    let answers = Answers {
        default: [(of_text("key.inode"), of_text("0")), (of_text("key.device"), of_text("0"))].into(),
        collide: Some(Collide::Sum),
        ..dropped("key.path")
    };
    assert_eq!(asked_of_key(old, new, &answers), [refused]);
    let (old, new) = ("struct k { u32 prefix; u64 a; };", "struct k { u32 prefix; u32 b[3]; };");
    for question in problems(&map_of(old, "u32"), &map_of(new, "u32"), &none()).questions {
        assert!(question.choices.iter().all(|choice| !matches!(choice, Choice::Drop(path) if path == "key")));
    }
}

#[test]
fn a_member_of_a_key_in_the_place_of_another_is_not_made_zero_in_all_of_them() {
    let old = "struct k { char path[64]; u32 mode; };";
    let new = "struct k { u32 inode; u32 mode; };";
    let problems = problems(&map_of(old, "u32"), &map_of(new, "u32"), &none());
    assert_eq!(problems.questions.len(), 2);
    assert!(problems.questions.iter().all(|question| question.choices == [Choice::ByHand]), "{problems}");
    // What somebody says all the same is done.
    let answers = Answers {
        default: [(of_text("key.inode"), of_text("0"))].into(),
        collide: Some(Collide::Refuse),
        ..dropped("key.path")
    };
    assert_eq!(of_key(old, new, &answers).0.collide, Some(Collide::Refuse));
}

fn of_text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn padding_of_a_key_that_has_no_place_any_more_is_asked_of() {
    let packed = "struct k { u64 group; u32 cache; } packed;";
    assert_eq!(
        asked_of_key(PADDED, packed, &none()),
        [
            "old keys may differ in padding alone, and the new keys have no place for it: what becomes of them? --collide refuse or --collide sum or --collide keep-one"
        ]
    );
    for (collide, comes_back) in [(Collide::Refuse, true), (Collide::Sum, false), (Collide::KeepOne, false)] {
        let (leg, _) = of_key(PADDED, packed, &Answers { collide: Some(collide), ..none() });
        assert_eq!((leg.collide, leg.inverse().is_some()), (Some(collide), comes_back));
    }
    let (leg, _) = of_key(packed, PADDED, &none());
    assert_eq!(leg.collide, None, "that there is more padding makes nothing one");
}

#[test]
fn padding_of_a_key_that_is_named_is_zero_and_no_two_keys_may_become_one() {
    for named in [
        "struct k { u64 group; u32 cache; u32 flags; };",
        "struct k { u64 group; u32 cache; u16 a; u8 b[2]; };",
        "struct k { u32 cache; u32 flags; u64 group; };",
    ] {
        let (leg, said) = of_key(PADDED, named, &none());
        assert_eq!(leg.collide, Some(Collide::Refuse), "{named}");
        assert!(said.iter().any(|said| said.ends_with("added as 0 where old keys had padding")), "{said:?}");
        let key = leg.key.convert(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 9, 9, 9, 9]).unwrap();
        assert!(!key.contains(&9), "{key:?}");
        assert!(leg.inverse().is_some(), "members come back");
        let (answered, _) = of_key(PADDED, named, &Answers { collide: Some(Collide::KeepOne), ..none() });
        assert_eq!(answered.collide, Some(Collide::KeepOne));
    }
    let (leg, _) = of_key(PADDED, "struct k { u64 group; u64 cache; };", &none());
    assert_eq!(leg.collide, Some(Collide::Refuse), "a number that grew over it is there as well");
    let derived =
        DerivedLeg::derive(&map_of(PADDED, "u32"), &map_of("struct k { u64 group; u64 cache; };", "u32"), &none());
    let written = derived.unwrap().answers(&none());
    assert_eq!(written, Answers { collide: Some(Collide::Refuse), ..none() }, "the epoch says so");
    // In a value, padding tells entries from each other no more than it is read.
    assert_eq!(derived_leg(PADDED, "struct k { u64 group; u32 cache; u32 flags; };").collide, None);
}

#[track_caller]
fn derived_leg(old: &str, new: &str) -> DerivedLeg {
    derived(old, new, &none()).leg
}

#[test]
fn padding_of_a_key_that_stays_padding_is_carried_with_the_member_before_it() {
    let key = |old: &str, new: &str, bytes: &[u8]| {
        let (leg, _) = of_key(old, new, &none());
        assert_eq!(leg.collide, None, "{new}");
        leg.key.convert(bytes).unwrap()
    };
    let old = "struct k { u8 a; u32 b; u64 c; };";
    let bytes = [1, 7, 8, 9, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3];
    let signed = "struct k { u8 a; s32 b; u64 c; };";
    let answers = cast("key.b", Cast::Refuse);
    assert_eq!(of_key(old, signed, &answers).0.key.convert(&bytes).unwrap(), bytes);
    let moved = "struct k { u32 b; u8 a; u64 c; };";
    assert_eq!(key(old, moved, &bytes), [2, 2, 2, 2, 1, 7, 8, 9, 3, 3, 3, 3, 3, 3, 3, 3]);
    let inner = "struct k { u64 c; struct { u8 a; u32 b; } in; };";
    assert_eq!(key(old, inner, &bytes), [3, 3, 3, 3, 3, 3, 3, 3, 1, 7, 8, 9, 2, 2, 2, 2]);
    // Of bit-fields, bit by bit.
    let (old, new) = ("struct k { u8 a:3; u8 b; u16 c; };", "struct k { u16 c; u8 b; u8 a:3; };");
    assert_eq!(key(old, new, &[0b1010_1101, 2, 3, 4]), [3, 4, 2, 0b1010_1101]);
}

// Maps.

#[test]
fn a_map_becomes_one_of_a_type_that_holds_its_entries() {
    let of_type = |map_type| MapDef { map_type, ..map("struct v { u32 a; };") };
    for (old, new) in [
        (MapType::HASH, MapType::LRU_HASH),
        (MapType::LRU_HASH, MapType::HASH),
        (MapType::ARRAY, MapType::HASH),
        (MapType::PERCPU_ARRAY, MapType::LRU_PERCPU_HASH),
        (MapType::PERCPU_HASH, MapType::LRU_PERCPU_HASH),
    ] {
        DerivedLeg::derive(&of_type(old), &of_type(new), &none()).unwrap();
    }
    for (old, new, what) in [
        (MapType::HASH, MapType::ARRAY, "entries of a hash can't become those of an array"),
        (MapType::HASH, MapType::PERCPU_HASH, "entries of a hash can't become those of a percpu_hash"),
        (
            MapType::RINGBUF,
            MapType::RINGBUF,
            "entries of a ringbuf can't be converted: they stay in the old one until they are read",
        ),
    ] {
        let problems = problems(&of_type(old), &of_type(new), &none());
        assert_eq!(problems.to_string(), format!("{what}: --on-upgrade swap"));
    }
}

#[test]
fn what_says_no_type_is_copied_where_its_size_is_the_same() {
    let untyped = |value_size| MapDef { value: None, value_size, ..map("u32") };
    let leg = DerivedLeg::derive(&untyped(8), &untyped(8), &none()).unwrap().leg;
    assert_eq!(leg.value.convert(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        problems(&untyped(8), &untyped(12), &none()).to_string(),
        "the value was 8 bytes and is 12 bytes: nothing tells its members: --by-hand"
    );
    let wrong = MapDef { value_size: 12, ..map("u32") };
    assert_eq!(problems(&map("u32"), &wrong, &none()).questions.len(), 1, "a type of another size tells nothing");
}

// Answers that fit nothing.

#[test]
fn an_answer_that_fits_nothing_is_a_mistake_by_name() {
    let (old, new) = ("struct v { u32 apple; };", "struct v { u64 apple; };");
    for (answers, sentence) in [
        (
            cast("value.aple", Cast::Refuse),
            "--cast value.aple=refuse: `value.aple` is no member of the new definition; did you mean `value.apple`?",
        ),
        (cast("value.apple", Cast::Refuse), "--cast value.apple=refuse: `value.apple` needs no such answer"),
        (
            dropped("value.appel"),
            "--drop value.appel: `value.appel` is no member of the old definition; did you mean `value.apple`?",
        ),
        (
            rename("value.apple", "value.appl"),
            "--rename value.apple=value.appl: `value.appl` is no member of the old definition; did you mean `value.apple`?",
        ),
        (Answers { collide: Some(Collide::Sum), ..none() }, "--collide sum: no two keys can become one"),
    ] {
        assert_eq!(asked(old, new, &answers), [sentence]);
    }
}

// Which numbers become others.

/// What is said of the numbers of a value.
#[track_caller]
fn bent(old: &str, new: &str, answers: &Answers) -> Vec<String> {
    let members = derived(old, new, answers).members;
    members.iter().flat_map(|plan| plan.bent.iter().map(|bent| bent.words(plan.name(), "m"))).collect()
}

/// What one epoch makes of a number, the next makes another one of: which old numbers become what is only said of one.
#[test]
fn over_several_epochs_it_is_not_said_which_numbers_become_others() {
    let maps = ["u64", "u32", "u16"].map(|spelling| map(&format!("struct v {{ {spelling} a; }};")));
    let epoch = |from: &MapDef, to: &MapDef| Epoch {
        from: from.digest(),
        to: to.digest(),
        rules: Vec::new(),
        on_upgrade: OnUpgrade::Migrate,
        merge: [].into(),
        convert: cast("value.a", Cast::Saturate),
        reason: String::new(),
        max_entries: None,
        previous: from.clone(),
    };
    let epochs = [epoch(&maps[0], &maps[1]), epoch(&maps[1], &maps[2])];
    let steps: Vec<_> =
        (0..2).map(|at| Converting { epoch: &epochs[at], old: &maps[at], new: &maps[at + 1] }).collect();
    let said = |steps: &[Converting<'_>]| Loss::of(steps).words("m");
    assert_eq!(said(&steps[..1]), ["old numbers over 4294967295 in `a` of `m` become 4294967295"]);
    assert_eq!(said(&steps), ["`a` of `m` may be inexact"]);
}

#[test]
fn it_is_said_which_numbers_become_others() {
    let a = |spelling: &str| format!("struct v {{ {spelling} a; }};");
    for (old, new, how, said) in [
        ("u64", "u32", Cast::Saturate, "old numbers over 4294967295 in `a` of `m` become 4294967295"),
        ("u64", "u16", Cast::Truncate, "old numbers over 65535 in `a` of `m` keep only their low 16 bits"),
        ("s32", "u32", Cast::Saturate, "old numbers under 0 in `a` of `m` become 0"),
        ("s64", "s8", Cast::Saturate, "old numbers under -128 or over 127 in `a` of `m` become -128 or 127"),
        ("u32", "s32", Cast::Truncate, "old numbers over 2147483647 in `a` of `m` keep only their low 32 bits"),
    ] {
        assert_eq!(bent(&a(old), &a(new), &cast("value.a", how)), [said]);
        assert_eq!(bent(&a(old), &a(new), &cast("value.a", Cast::Refuse)), [""; 0]);
    }
    let scaled = |multiply, divide| scale("value.a_us", multiply, divide);
    let (old, new) = ("struct v { u64 a_us; };", "struct v { u64 a_us; u8 b; };");
    assert_eq!(bent(old, new, &scaled(1, 1000)), ["`a_us` of `m` is divided by 1000 and rounded down"]);
    let last = u64::MAX / 3;
    assert_eq!(
        bent(old, new, &Answers { cast: [(of("value.a_us"), Cast::Saturate)].into(), ..scaled(3, 1) }),
        [
            of("`a_us` of `m` is multiplied by 3"),
            format!("old numbers over {last} in `a_us` of `m` become 18446744073709551615")
        ]
    );
}

#[test]
fn what_is_said_of_numbers_is_what_becomes_of_them() {
    let old = "struct v { u64 a; };";
    for (width, how) in [8_u32, 16, 32].into_iter().flat_map(|width| Cast::ALL.map(|how| (width, how))) {
        for (multiply, divide) in [(1, 1), (1, 1000), (7, 1), (1000, 3), (u32::MAX, 1), (u32::MAX, u32::MAX - 1)] {
            let new = format!("struct v {{ u{width} a; }};");
            let answers = Answers { cast: [(of("value.a"), how)].into(), ..scale("value.a", multiply, divide) };
            let derived = derived(old, &new, &answers);
            let bounds = derived.members.iter().flat_map(|plan| &plan.bent).find_map(|bent| match bent {
                Bent::Cast { least, most, .. } => Some((*least, *most)),
                _ => None,
            });
            let steps = &derived.leg.value;
            let is_right = |number: u64| {
                let wanted = u128::from(number) * u128::from(multiply) / u128::from(divide);
                let mut bytes = steps.convert(&number.to_le_bytes()).unwrap();
                bytes.resize(16, 0);
                u128::from_le_bytes(bytes.try_into().unwrap()) == wanted
            };
            match bounds {
                None => assert_eq!(how, Cast::Refuse, "{width} {multiply}/{divide}"),
                Some((least, Some(most))) => {
                    let most = u64::try_from(most).unwrap();
                    assert_eq!(least, None);
                    assert!(is_right(0) && is_right(most) && is_right(most / 2), "{width} {how:?} {multiply}/{divide}");
                    assert!(!is_right(most + 1), "{width} {how:?} {multiply}/{divide}");
                }
                Some(bounds) => panic!("{bounds:?}"),
            }
        }
    }
}

#[test]
fn enumerators_that_become_one_number_are_named() {
    let of = |names: &str| format!("struct v {{ enum e {{ {names} }} e; }};");
    let (old, new) = (of("OPEN, CLOSED"), of("NEW, OPEN, CLOSED"));
    assert_eq!(
        bent(&old, &new, &none()),
        ["old numbers 1 (`CLOSED`) and 2 (no name) in `e` of `m` both become 2 (`CLOSED`)"]
    );
    let now = |number: u32| converted(&old, &new, &none(), &number.to_le_bytes());
    assert_eq!([0, 1, 2].map(|number| now(number)[0]), [1, 2, 2]);
    // Two that changed places are told apart still.
    assert_eq!(bent(&of("A, B"), &of("B, A"), &none()), [""; 0]);
    let gone = default("value.e", "0");
    assert_eq!(
        bent(&of("A, B, C"), &of("A, B"), &gone),
        ["old numbers 0 (`A`) and 2 (`C`) in `e` of `m` both become 0 (`A`)"]
    );
    assert_eq!(
        bent(&of("A, B, C, D"), &of("A, B"), &gone),
        ["old numbers 0 (`A`), 2 (`C`) and 3 (`D`) in `e` of `m` all become 0 (`A`)"]
    );
}
