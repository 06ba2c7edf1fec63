//! What is said of a change, for a map declared one way and then another.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use maplock_layout::config::Levels;
use maplock_layout::map::{MapDef, MapType, Pinning};
use maplock_layout::rules::{Level, Tier};
use maplock_layout::{
    Comparison, Composite, CompositeKind, Disposition, Finding, IntKind, Layout, Member, Risk, Shape,
};
use proptest::prelude::*;
use support::{c, diff, line, lines, lock, map, map_of, quickly};

/// How a map changes from `old` to `new`, with what holds for every comparison.
#[track_caller]
fn changes(old: &MapDef, new: &MapDef) -> Comparison {
    let (old, new) = (lock([old.clone()]), lock([new.clone()]));
    for same in [&old, &new] {
        assert_eq!(lines(&diff(same, same)), [""; 0], "a map differs from itself");
    }
    let comparison = diff(&old, &new);
    assert_eq!(without_cause(&comparison), [""; 0], "consequences of nothing that is reported");
    comparison
}

/// The findings that claim to be a consequence, but of no cause that is reported.
fn without_cause(comparison: &Comparison) -> Vec<String> {
    let has_cause = |finding: &&Finding| {
        let is_cause =
            |other: &Finding| Some(&other.subject) == finding.consequence_of.as_ref() && other.consequence_of.is_none();
        finding.consequence_of.is_none() || comparison.findings.iter().any(is_cause)
    };
    comparison.findings.iter().filter(|finding| !has_cause(finding)).map(line).collect()
}

/// How it changes where only the value's declaration does.
#[track_caller]
fn value(old: &str, new: &str) -> Comparison {
    changes(&map(old), &map(new))
}

#[track_caller]
fn finds(old: &str, new: &str, expected: &[&str]) {
    assert_eq!(lines(&value(old, new)), expected, "\n{old}\n{new}");
}

#[test]
fn what_makes_no_difference_is_not_reported() {
    for (old, new) in [
        ("struct v { u32 a; };", "struct unused { u64 x; }; struct v { u32 a; };"),
        ("struct v { u32 a; u32 b; u32 c; };", "struct v { u32 a; struct { u32 b; u32 c; }; };"),
        ("struct v { u32 a; u32 b; };", "struct v { union { u32 a; }; u32 b; };"),
        ("struct v { u8 a; u32 b; };", "struct v { u8 a; u32 b; } aligned(4);"),
        ("struct v { enum kind { A, B } k; };", "struct v { enum kind { B = 1, A = 0 } k; };"),
        ("struct v { struct { u32 a; } in; };", "struct v { struct { u32 a; } in; };"),
    ] {
        finds(old, new, &[]);
        assert_eq!(map(old).digest(), map(new).digest(), "\n{old}\n{new}");
    }
}

// What holds nothing, and what not every compiler tells.

#[test]
fn a_member_of_no_bytes_is_spelling_wherever_it_comes_from() {
    for (old, new, expected) in [
        ("struct v { u32 a; u8 data[0]; };", "struct v { u32 a; };", "empty-member-changed m.value.data: u8[0] -> -"),
        (
            "struct v { u32 a; };",
            "struct v { u32 a; struct none { } n; };",
            "empty-member-changed m.value.n: - -> struct none",
        ),
        (
            "struct v { u8 d[0]; u32 a; };",
            "struct v { u32 a; u16 d[0][2]; };",
            "empty-member-changed m.value.d: u8[0] -> u16[0][2]",
        ),
        (
            "struct v { struct { u32 a; u8 data[0]; } in; };",
            "struct v { struct { u32 a; } in; };",
            "empty-member-changed m.value.in.data: u8[0] -> -",
        ),
        (
            "struct v { union { u32 a; struct { } none; }; };",
            "struct v { union { u32 a; }; };",
            "empty-member-changed m.value.none: struct (anonymous) -> -",
        ),
    ] {
        let found = value(old, new);
        assert_eq!(lines(&found), [expected], "\n{old}\n{new}");
        assert_eq!((found.has_breaks(), found.maps[0].disposition), (false, Disposition::Reuse));
        assert!(!found.findings[0].needs_decision());
        assert_eq!(map(old).digest(), map(new).digest(), "\n{old}\n{new}");
    }
    // Where it is matters to nobody.
    finds("struct v { u8 d[0]; u32 a; };", "struct v { u32 a; u8 d[0]; };", &[]);
    // A struct around one number, and nothing more.
    finds(
        "struct v { u32 a; };",
        "struct v { struct { u32 len; u8 data[0]; } a; };",
        &["type-spelling-changed m.value.a: u32 -> struct (anonymous)"],
    );
    // What takes bytes on one side is state.
    finds(
        "struct v { u32 a; u8 data[0]; };",
        "struct v { u32 a; u8 data[4]; };",
        &[
            "array-length-changed m.value.data: u8[0] -> u8[4]",
            "value-size-changed m.value: 4 bytes -> 8 bytes <- m.value.data",
        ],
    );
    assert_ne!(map("struct v { u8 data[0]; u64 a; };").digest(), map("struct v { u8 data[8]; };").digest());
}

/// A value that is an enumeration of 8 bytes, beside a number.
fn wide(values: &[(&str, i128)]) -> MapDef {
    let values = values.iter().map(|(name, value)| ((*name).into(), *value)).collect();
    let of = maplock_layout::Enumeration { name: Some("kind".into()), values };
    let layout = Arc::new(Layout::new(8, Shape::Enum(Arc::new(of))));
    let member =
        |name: &str, offset_bits| Member { name: name.into(), offset_bits, bits: None, layout: Arc::clone(&layout) };
    let of =
        Composite::new(CompositeKind::Struct, Some("v".into()), vec![member("one", 0), member("two", 64)]).unwrap();
    let value = Arc::new(Layout::new(16, Shape::Composite(Arc::new(of))));
    MapDef { value: Some(value), value_size: 16, ..map("u64") }
}

#[test]
fn of_an_enumerator_of_eight_bytes_what_every_compiler_writes_counts() {
    let (full, low) = (wide(&[("BIG", 0x1_ffff_ffff), ("SMALL", 1)]), wide(&[("BIG", -1), ("SMALL", 1)]));
    for (old, new) in [(&full, &low), (&low, &full)] {
        assert_eq!(lines(&changes(old, new)), [""; 0]);
        assert_eq!(old.digest(), new.digest());
        // The lock stays as it is, whoever compiles.
        let locked = lock([old.clone()]);
        let updated =
            maplock_layout::epochs::update(&locked, &support::observed([new.clone()]), &Levels::default()).unwrap();
        assert_eq!(updated.to_string(), locked.to_string());
        assert!(locked.maps["m"].same_definition(&lock([new.clone()]).maps["m"]));
    }
    let renumbered = wide(&[("BIG", -2), ("SMALL", 1)]);
    assert_eq!(lines(&changes(&full, &renumbered))[0], "enum-value-changed m.value.one.BIG: 8589934591 -> -2");
    assert_ne!(full.digest(), renumbered.digest());
    assert!(!lock([full.clone()]).maps["m"].same_definition(&lock([renumbered]).maps["m"]));
    // The low 32 bits are not told apart from others; of 4 bytes, that is all there is.
    assert_eq!(lines(&changes(&full, &wide(&[("BIG", 0x2_ffff_ffff), ("SMALL", 1)]))), [""; 0]);
}

// Members that come, go, grow and move.

#[test]
fn a_member_that_grew_is_the_cause_of_those_that_it_pushed_along() {
    finds(
        "struct v { u32 count; u32 seen; u32 errors; };",
        "struct v { u64 count; u32 seen; u32 errors; };",
        &[
            "member-type-changed m.value.count: u32 -> u64",
            "member-moved m.value.seen: bytes 4..8 -> bytes 8..12 <- m.value.count",
            "member-moved m.value.errors: bytes 8..12 -> bytes 12..16 <- m.value.count",
            "value-size-changed m.value: 12 bytes -> 16 bytes <- m.value.count",
        ],
    );
}

#[test]
fn a_member_that_grew_and_moved_by_its_alignment_is_one_change() {
    let found = value("struct v { u32 seen; u32 count; };", "struct v { u32 seen; u64 count; };");
    assert_eq!(
        lines(&found),
        [
            "member-type-changed m.value.count: u32 -> u64",
            "value-size-changed m.value: 8 bytes -> 16 bytes <- m.value.count",
        ]
    );
    let [grown, _] = found.findings.try_into().unwrap();
    assert_eq!(grown.message(), "`count` grew from u32 to u64, and moved");
    assert_eq!(grown.old_place().unwrap().to_string(), "bytes 4..8");
    assert_eq!(grown.new_place().unwrap().to_string(), "bytes 8..16");
}

#[test]
fn a_member_that_grew_into_padding_is_reported_though_the_size_stays() {
    finds("struct v { u32 a; u64 b; };", "struct v { u64 a; u64 b; };", &["member-type-changed m.value.a: u32 -> u64"]);
}

#[test]
fn an_added_member_is_the_cause_of_those_behind_it() {
    finds(
        "struct v { u32 a; u32 b; };",
        "struct v { u32 a; u32 new; u32 b; };",
        &[
            "member-added m.value.new: - -> u32",
            "member-moved m.value.b: bytes 4..8 -> bytes 8..12 <- m.value.new",
            "value-size-changed m.value: 8 bytes -> 12 bytes <- m.value.new",
        ],
    );
    finds(
        "struct v { u32 a; };",
        "struct v { u32 a; u32 new; };",
        &["member-added m.value.new: - -> u32", "value-size-changed m.value: 4 bytes -> 8 bytes <- m.value.new"],
    );
    finds("struct v { u8 a; u32 b; };", "struct v { u8 a; u8 new; u32 b; };", &["member-added m.value.new: - -> u8"]);
}

#[test]
fn a_removed_member_is_the_cause_of_those_behind_it() {
    finds(
        "struct v { u32 a; u32 b; u32 c; };",
        "struct v { u32 a; u32 c; };",
        &[
            "member-removed m.value.b: u32 -> -",
            "member-moved m.value.c: bytes 8..12 -> bytes 4..8 <- m.value.b",
            "value-size-changed m.value: 12 bytes -> 8 bytes <- m.value.b",
        ],
    );
}

#[test]
fn of_a_reorder_only_the_member_that_was_taken_out_is_a_cause() {
    finds(
        "struct v { u32 a; u32 b; u32 c; u32 d; };",
        "struct v { u32 a; u32 d; u32 b; u32 c; };",
        &[
            "member-moved m.value.d: bytes 12..16 -> bytes 4..8",
            "member-moved m.value.b: bytes 4..8 -> bytes 8..12 <- m.value.d",
            "member-moved m.value.c: bytes 8..12 -> bytes 12..16 <- m.value.d",
        ],
    );
    let swapped = value("struct v { u32 a; u32 b; };", "struct v { u32 b; u32 a; };");
    let causes: Vec<_> = swapped.findings.iter().filter(|finding| finding.consequence_of.is_none()).collect();
    assert_eq!((swapped.findings.len(), causes.len()), (2, 1));
}

#[test]
fn a_member_that_moved_with_no_other_change_is_a_cause_itself() {
    finds(
        "struct v { u32 a; u32 b; u64 c; } packed;",
        "struct v { u32 a; struct { u8 unused; } gap; u32 b; u64 c; };",
        &[
            "member-added m.value.gap: - -> struct (anonymous)",
            "member-moved m.value.b: bytes 4..8 -> bytes 8..12 <- m.value.gap",
            "member-moved m.value.c: bytes 8..16 -> bytes 16..24 <- m.value.gap",
            "value-size-changed m.value: 16 bytes -> 24 bytes <- m.value.gap",
        ],
    );
    finds(
        "struct v { u8 a; u64 b; } packed;",
        "struct v { u8 a; u64 b; };",
        &[
            "member-moved m.value.b: bytes 1..9 -> bytes 8..16",
            "value-size-changed m.value: 9 bytes -> 16 bytes <- m.value.b",
        ],
    );
}

#[test]
fn a_new_name_for_the_same_bytes_is_a_rename() {
    let found = value("struct v { u32 hits; u64 b; };", "struct v { u32 packets; u64 b; };");
    assert_eq!(lines(&found), ["member-renamed m.value.packets: hits -> packets"]);
    assert_eq!(found.findings[0].rule.tier, Tier::Meaning);
    finds(
        "struct v { u32 a; u32 b; };",
        "struct v { u32 x; u32 y; };",
        &["member-renamed m.value.x: a -> x", "member-renamed m.value.y: b -> y"],
    );
    finds(
        "struct v { u32 a; };",
        "struct v { s32 b; };",
        &["member-renamed m.value.b: a -> b", "signedness-changed m.value.b: u32 -> i32"],
    );
}

#[test]
fn a_new_name_for_other_bytes_is_a_removal_and_an_addition() {
    finds(
        "struct v { u32 a; u32 b; };",
        "struct v { u32 b; u32 z; };",
        &[
            "member-removed m.value.a: u32 -> -",
            "member-moved m.value.b: bytes 4..8 -> bytes 0..4 <- m.value.a",
            "member-added m.value.z: - -> u32",
        ],
    );
}

#[test]
fn several_changes_at_once_are_all_reported() {
    finds(
        "struct v { u32 count; u32 gone; u32 seen; enum kind { A, B } kind; char name[16]; u16 port; };",
        "struct v { u64 count; u32 seen; enum kind { A = 1, B = 0 } kind; char name[32]; s16 port; u16 new; };",
        &[
            "member-type-changed m.value.count: u32 -> u64",
            "member-removed m.value.gone: u32 -> -",
            "enum-value-changed m.value.kind.A: 0 -> 1",
            "enum-value-changed m.value.kind.B: 1 -> 0",
            "array-length-changed m.value.name: char[16] -> char[32]",
            "signedness-changed m.value.port: u16 -> i16",
            "member-moved m.value.port: bytes 32..34 -> bytes 48..50 <- m.value.name",
            "member-added m.value.new: - -> u16",
            "value-size-changed m.value: 36 bytes -> 56 bytes <- m.value.new",
        ],
    );
}

// Depth.

#[test]
fn a_change_inside_of_a_nested_struct_has_the_path_to_it() {
    finds(
        "struct in { u32 x; u32 y; }; struct v { u64 t; struct in i; };",
        "struct in { u32 x; s32 y; }; struct v { u64 t; struct in i; };",
        &["signedness-changed m.value.i.y: u32 -> i32"],
    );
    finds(
        "struct in { u32 x; }; struct v { struct in i; u32 b; };",
        "struct in { u64 x; }; struct v { struct in i; u32 b; };",
        &[
            "member-type-changed m.value.i.x: u32 -> u64",
            "member-moved m.value.b: bytes 4..8 -> bytes 8..12 <- m.value.i.x",
            "value-size-changed m.value: 8 bytes -> 16 bytes <- m.value.i.x",
        ],
    );
}

#[test]
fn places_inside_of_nested_structs_count_from_the_start_of_the_value() {
    let found = value(
        "struct in { u32 x; u32 y; }; struct v { u64 t; struct in i[3]; };",
        "struct in { u32 x; s32 y; }; struct v { u64 t; struct in i[3]; };",
    );
    let [finding] = found.findings.try_into().unwrap();
    assert_eq!(finding.old_place().unwrap().to_string(), "bytes 12..16");
    assert_eq!(finding.path(), "m.value.i[].y");
}

#[test]
fn a_struct_that_is_used_twice_reports_its_change_in_both_places() {
    finds(
        "struct in { u32 x; }; struct v { struct in a; struct in b; };",
        "struct in { s32 x; }; struct v { struct in a; struct in b; };",
        &["signedness-changed m.value.a.x: u32 -> i32", "signedness-changed m.value.b.x: u32 -> i32"],
    );
}

#[test]
fn a_change_inside_of_an_array_of_structs_is_told_of_the_element() {
    finds(
        "struct s { u32 packets; u32 bytes; }; struct v { struct s stats[4]; };",
        "struct s { u32 packets; u64 bytes; }; struct v { struct s stats[4]; };",
        &[
            "member-type-changed m.value.stats[].bytes: u32 -> u64",
            "value-size-changed m.value: 32 bytes -> 64 bytes <- m.value.stats[].bytes",
        ],
    );
    finds("struct s { u32 a; } [4];", "struct s { s32 a; } [4];", &["signedness-changed m.value[].a: u32 -> i32"]);
}

#[test]
fn elements_that_only_lie_further_apart_are_reported() {
    finds(
        "struct s { u32 a; }; struct v { struct s stats[4]; };",
        "struct s { u32 a; } aligned(8); struct v { struct s stats[4]; };",
        &[
            "array-stride-changed m.value.stats[]: 4 bytes -> 8 bytes",
            "value-size-changed m.value: 16 bytes -> 32 bytes <- m.value.stats[]",
        ],
    );
}

#[test]
fn each_dimension_of_an_array_counts() {
    finds(
        "struct v { u8 name[16]; u8 end; };",
        "struct v { u8 name[8]; u8 end; };",
        &[
            "array-length-changed m.value.name: u8[16] -> u8[8]",
            "member-moved m.value.end: byte 16 -> byte 8 <- m.value.name",
            "value-size-changed m.value: 17 bytes -> 9 bytes <- m.value.name",
        ],
    );
    finds(
        "struct v { u8 g[2][3]; };",
        "struct v { u8 g[3][2]; };",
        &["array-length-changed m.value.g: u8[2][3] -> u8[3][2]", "array-length-changed m.value.g[]: u8[3] -> u8[2]"],
    );
    finds("struct v { u64 x; };", "struct v { u32 x[2]; };", &["member-type-changed m.value.x: u64 -> u32[2]"]);
}

#[test]
fn padding_that_a_nested_struct_got_is_told_but_what_it_pushed_along_is_the_break() {
    finds(
        "struct in { u32 x; }; struct v { struct in i; u32 b; };",
        "struct in { u32 x; } aligned(8); struct v { struct in i; u32 b; };",
        &[
            "padding-changed m.value.i: 4 bytes -> 8 bytes",
            "member-moved m.value.b: bytes 4..8 -> bytes 8..12",
            "value-size-changed m.value: 8 bytes -> 16 bytes <- m.value.b",
        ],
    );
    finds(
        "struct in { u32 x; }; struct v { struct in i; u64 b; };",
        "struct in { u32 x; } aligned(8); struct v { struct in i; u64 b; };",
        &["padding-changed m.value.i: 4 bytes -> 8 bytes"],
    );
}

#[test]
fn a_member_that_left_the_order_and_changed_inside_is_told_by_that_change() {
    let found =
        value("struct v { u8 a; u8 b; u8 d[2][2]; u64 c; } packed;", "struct v { u64 c; u32 d[2]; u32 a; } packed;");
    let primary: Vec<_> = found.findings.iter().filter(|finding| finding.consequence_of.is_none()).map(line).collect();
    assert!(primary.contains(&"member-type-changed m.value.d[]: u8[2] -> u32".to_owned()), "{primary:?}");
}

#[test]
fn members_of_anonymous_structs_are_members_of_the_parent() {
    finds(
        "struct v { u32 a; struct { u32 b; u32 c; }; };",
        "struct v { u32 a; struct { u32 b; s32 c; }; };",
        &["signedness-changed m.value.c: u32 -> i32"],
    );
    finds(
        "struct v { u32 a; union { u32 v4; struct { u64 high; u64 low; }; }; };",
        "struct v { u32 a; union { u32 v4; struct { u64 low; u64 high; }; }; };",
        &[
            "member-moved m.value.low: bytes 16..24 -> bytes 8..16 <- m.value.high",
            "member-moved m.value.high: bytes 8..16 -> bytes 16..24",
        ],
    );
}

#[test]
fn arms_of_unions_come_and_go_without_moving_others() {
    finds(
        "struct v { union { u32 a; u64 b; } u; };",
        "struct v { union { u32 a; u64 b; u8 c; } u; };",
        &["union-arm-added m.value.u.c: - -> u8"],
    );
    finds(
        "struct v { union { u32 a; u64 b; }; };",
        "struct v { union { u64 b; }; };",
        &["union-arm-removed m.value.a: u32 -> -"],
    );
    finds(
        "struct v { union { u32 a; u64 b; } u; };",
        "struct v { union { s32 a; u64 b; } u; };",
        &["signedness-changed m.value.u.a: u32 -> i32"],
    );
    finds(
        "struct v { union { u32 a; u64 b; } u; };",
        "struct v { union { u64 a; u64 b; } u; };",
        &["member-type-changed m.value.u.a: u32 -> u64"],
    );
}

#[test]
fn a_struct_that_became_a_union_moved_its_members() {
    finds(
        "struct v { struct { u32 a; u32 b; } in; };",
        "struct v { union { u32 a; u32 b; } in; };",
        &[
            "member-moved m.value.in.b: bytes 4..8 -> bytes 0..4",
            "value-size-changed m.value: 8 bytes -> 4 bytes <- m.value.in.b",
        ],
    );
}

#[test]
fn bit_fields_change_by_width_place_and_sign() {
    finds(
        "struct v { u32 a:3; u32 b:5; };",
        "struct v { u32 a:4; u32 b:5; };",
        &["bit-width-changed m.value.a: u32:3 -> u32:4", "member-moved m.value.b: bits 3..8 -> bits 4..9 <- m.value.a"],
    );
    finds(
        "struct v { u32 a:1; u32 b:1; };",
        "struct v { u32 b:1; u32 a:1; };",
        &["member-moved m.value.b: bit 1 -> bit 0 <- m.value.a", "member-moved m.value.a: bit 0 -> bit 1"],
    );
    finds("struct v { u32 a:3; };", "struct v { s32 a:3; };", &["signedness-changed m.value.a: u32 -> i32"]);
    finds("struct v { u8 a:3; };", "struct v { u8 a; };", &["bit-width-changed m.value.a: u8:3 -> u8"]);
    finds(
        "struct v { u8 a:3; u8 b; };",
        "struct v { u8 a:3; u8 new:2; u8 b; };",
        &["member-added m.value.new: - -> u8:2"],
    );
}

#[test]
fn the_type_that_holds_a_bit_field_is_only_spelling() {
    finds(
        "struct v { u32 a:8; u32 b; };",
        "struct v { u8 a; u32 b; };",
        &["type-spelling-changed m.value.a: u32:8 -> u8"],
    );
    finds(
        "struct v { u32 a:3; u32 b; };",
        "struct v { u16 a:3; u32 b; };",
        &["type-spelling-changed m.value.a: u32:3 -> u16:3"],
    );
}

// Scalars.

#[test]
fn a_number_that_is_read_as_another_kind_of_value_is_reported() {
    finds("struct v { u32 a; };", "struct v { float a; };", &["scalar-kind-changed m.value.a: u32 -> f32"]);
    finds("struct v { u8 a; };", "struct v { bool a; };", &["scalar-kind-changed m.value.a: u8 -> bool"]);
    finds(
        "struct v { struct task *a; };",
        "struct v { u64 a; };",
        &["scalar-kind-changed m.value.a: struct task * -> u64"],
    );
    finds("struct v { u64 a; };", "struct v { s64 a; };", &["signedness-changed m.value.a: u64 -> i64"]);
    finds(
        "struct v { u64 a; };",
        "struct v { u32 a; u32 b; };",
        &["member-type-changed m.value.a: u64 -> u32", "member-added m.value.b: - -> u32"],
    );
}

#[test]
fn a_whole_key_or_value_of_another_type_is_told_as_such() {
    finds(
        "u32",
        "u64",
        &["value-type-changed m.value: u32 -> u64", "value-size-changed m.value: 4 bytes -> 8 bytes <- m.value"],
    );
    finds("u32", "s32", &["signedness-changed m.value: u32 -> i32"]);
    finds("struct v { u32 a; u32 b; };", "u64", &["value-type-changed m.value: struct v -> u64"]);
    let found = changes(&map_of("u32", "u32"), &map_of("struct k { u32 ip; u16 port; };", "u32"));
    assert_eq!(
        lines(&found),
        ["key-type-changed m.key: u32 -> struct k", "key-size-changed m.key: 4 bytes -> 8 bytes <- m.key",]
    );
}

#[test]
fn enumerators_are_held_by_name_against_their_values() {
    finds(
        "enum kind { A, B, C };",
        "enum kind { A, C, B };",
        &["enum-value-changed m.value.B: 1 -> 2", "enum-value-changed m.value.C: 2 -> 1"],
    );
    finds(
        "struct v { enum kind { A, B } k; };",
        "struct v { enum kind { A } k; };",
        &["enum-value-removed m.value.k.B: 1 -> -"],
    );
    finds(
        "struct v { enum kind { A, B } k; };",
        "struct v { enum kind { A, Z } k; };",
        &["enum-value-renamed m.value.k.Z: B -> Z"],
    );
    let added = value("struct v { enum kind { A, B } k; };", "struct v { enum kind { A, B, C } k; };");
    assert_eq!(lines(&added), ["enum-value-added m.value.k.C: - -> 2"]);
    assert_eq!(added.findings[0].level, Level::Allow);
    assert!(!added.has_breaks());
}

#[test]
fn an_end_marker_moves_with_every_enumerator_that_is_added() {
    for marker in ["KIND_MAX", "__KIND_MAX", "NUM_KINDS", "NR_KINDS", "__KIND_COUNT", "__KIND_LAST"] {
        finds(
            &format!("enum kind {{ A, B, {marker} }};"),
            &format!("enum kind {{ A, B, C, {marker} }};"),
            &["enum-value-added m.value.C: - -> 2"],
        );
        finds(
            &format!("enum kind {{ A, B, {marker} }};"),
            &format!("enum kind {{ A, {marker} }};"),
            &["enum-value-removed m.value.B: 1 -> -"],
        );
    }
}

#[test]
fn a_name_that_merely_ends_in_end_is_no_end_marker() {
    for name in ["KIND_BACKEND", "WEEKEND", "KIND_FRONTEND", "DISCOUNT"] {
        finds(
            &format!("enum kind {{ A, {name} }};"),
            &format!("enum kind {{ A, B, {name} }};"),
            &[&format!("enum-value-changed m.value.{name}: 1 -> 2"), "enum-value-added m.value.B: - -> 1"],
        );
    }
}

#[test]
fn an_end_marker_in_the_middle_or_on_its_own_is_an_enumerator_like_any_other() {
    finds(
        "enum kind { A, KIND_MAX, B };",
        "enum kind { A, B = 2, KIND_MAX = 3 };",
        &["enum-value-changed m.value.KIND_MAX: 1 -> 3"],
    );
    finds(
        "enum kind { A, KIND_MAX };",
        "enum kind { A, KIND_MAX = 9 };",
        &["enum-value-changed m.value.KIND_MAX: 1 -> 9"],
    );
}

// Spelling.

#[test]
fn another_name_for_the_same_bytes_is_only_spelling() {
    let address = "struct in6_addr { union { u8 bytes[16]; u16 halves[8]; u32 words[4]; } u; };";
    let cases: [(&str, &str, &str); 12] = [
        ("struct v { char c; };", "struct v { u8 c; };", "m.value.c: char -> u8"),
        ("struct v { char c; };", "struct v { s8 c; };", "m.value.c: char -> i8"),
        ("struct v { char name[16]; };", "struct v { u8 name[16]; };", "m.value.name[]: char -> u8"),
        ("struct a { u32 x; };", "struct b { u32 x; };", "m.value: struct a -> struct b"),
        ("typedef u32 be32; struct v { u32 x; };", "typedef u32 be32; struct v { be32 x; };", "m.value.x: u32 -> be32"),
        ("typedef struct { u32 x; } a_t; a_t", "typedef struct { u32 x; } b_t; b_t", "m.value: a_t -> b_t"),
        ("struct v { struct a *p; };", "struct v { struct b *p; };", "m.value.p: struct a * -> struct b *"),
        ("struct v { u32 k; };", "struct v { enum kind { A, B } k; };", "m.value.k: u32 -> enum kind"),
        ("struct v { enum old { A } k; };", "struct v { enum new { A } k; };", "m.value.k: enum old -> enum new"),
        ("struct v { u64 x; };", "struct w { u64 only; }; struct v { struct w x; };", "m.value.x: u64 -> struct w"),
        (
            "struct v { union { u32 a; } x; };",
            "struct v { struct { u32 a; } x; };",
            "m.value.x: union (anonymous) -> struct (anonymous)",
        ),
        (
            &format!("{address} struct v {{ struct in6_addr ip; }};"),
            "struct v { u8 ip[16]; };",
            "m.value.ip: struct in6_addr -> u8[16]",
        ),
    ];
    for (old, new, expected) in cases {
        let found = value(old, new);
        assert_eq!(lines(&found), [format!("type-spelling-changed {expected}")], "\n{old}\n{new}");
        assert!(!found.has_breaks());
        assert_eq!(found.maps[0].disposition, Disposition::Reuse);
        let back = value(new, old);
        let rules: Vec<_> = back.findings.iter().map(|finding| finding.rule.id).collect();
        assert_eq!(rules, ["type-spelling-changed"], "\n{new}\n{old}");
    }
}

#[test]
fn another_type_behind_the_same_typedef_is_spelling_too() {
    let behind = |body: &str| format!("typedef {body} kind_t; struct v {{ kind_t kind; kind_t more[2]; }};");
    for (old, new, sides) in [
        ("enum kind { A, B }", "u32", "kind_t (enum kind) -> kind_t (u32)"),
        ("struct one { u32 x; }", "u32", "kind_t (struct one) -> kind_t (u32)"),
        ("char", "u8", "kind_t (char) -> kind_t (u8)"),
    ] {
        finds(
            &behind(old),
            &behind(new),
            &[
                &format!("type-spelling-changed m.value.kind: {sides}"),
                &format!("type-spelling-changed m.value.more[]: {sides}"),
            ],
        );
    }
}

#[test]
fn only_the_arms_of_an_address_are_other_names_for_it() {
    let address = "struct in6_addr { union { u8 bytes[16]; u32 words[4]; } u; };";
    finds(
        &format!("{address} struct v {{ struct in6_addr ip; }};"),
        "struct v { u64 ip[2]; };",
        &["member-type-changed m.value.ip: struct in6_addr -> u64[2]"],
    );
    finds(
        "struct two { u32 a; u32 b; }; struct v { struct two x; };",
        "struct v { u64 x; };",
        &["member-type-changed m.value.x: struct two -> u64"],
    );
}

// The map itself.

type Change = fn(&mut MapDef);

#[test]
fn each_attribute_has_a_rule_of_its_own() {
    let cases: [(Change, &str, Disposition); 10] = [
        (|def| def.max_entries = 0, "capacity-at-run-time m: 1024 -> set at run time", Disposition::Reuse),
        (|def| def.max_entries = 4096, "max-entries-increased m: 1024 -> 4096", Disposition::Grow),
        (|def| def.max_entries = 64, "max-entries-decreased m: 1024 -> 64", Disposition::Reuse),
        (|def| def.map_type = MapType::LRU_HASH, "map-type-changed m: hash -> lru_hash", Disposition::Refuse),
        (|def| def.flags = 1, "flags-changed m: 0 -> BPF_F_NO_PREALLOC", Disposition::Refuse),
        (|def| def.map_extra = 7, "map-extra-changed m: 0 -> 7", Disposition::Refuse),
        (|def| def.pinning = Pinning::None, "pinning-removed m: by_name -> none", Disposition::Refuse),
        (|def| def.value_size = 16, "value-size-changed m.value: 4 bytes -> 16 bytes", Disposition::Refuse),
        (|def| def.value = None, "layout-removed m.value: u32 -> 4 bytes", Disposition::Refuse),
        (
            |def| def.inner = Some(Box::new(map("u32"))),
            "inner-map-changed m: - -> hash of 1024, 4 -> 4 bytes",
            Disposition::Refuse,
        ),
    ];
    for (change, expected, disposition) in cases {
        let (old, mut new) = (map("u32"), map("u32"));
        change(&mut new);
        let found = changes(&old, &new);
        assert_eq!((lines(&found), found.maps[0].disposition), (vec![expected.to_owned()], disposition));
    }
}

#[test]
fn a_smaller_capacity_that_nobody_accepted_leaves_a_node_its_map() {
    let meanwhile = |new: &MapDef| {
        let found = changes(&map("u32"), new);
        (found.has_breaks(), found.maps[0].disposition, found.meanwhile(&found.maps[0]).is_some())
    };
    let smaller = MapDef { max_entries: 64, ..map("u32") };
    assert_eq!(meanwhile(&smaller), (true, Disposition::Reuse, true));
    // What else is open decides.
    assert_eq!(meanwhile(&MapDef { max_entries: 64, ..map("u64") }), (true, Disposition::Refuse, false));
    assert_eq!(meanwhile(&MapDef { flags: 1, ..smaller }), (true, Disposition::Refuse, false));
}

#[test]
fn a_change_of_a_number_says_from_what_to_what() {
    let first = |old: &MapDef, new: &MapDef| changes(old, new).findings[0].message();
    let value = |text: &str| map_of("u32", &format!("struct v {{ {text} }};"));
    for (old, new, said) in [
        ("u8 a[64];", "u8 a[32];", "`a` shrank from 64 to 32 elements"),
        ("u8 a[2];", "u8 a[1];", "`a` shrank from 2 to 1 element"),
        ("u32 a:5; u32 b:8;", "u32 a:6; u32 b:8;", "`a` grew from 5 to 6 bits"),
        ("u32 a:5; u32 b:5;", "u32 a:6; u32 b:4;", "`a` grew from 5 to 6 bits"),
    ] {
        assert_eq!(first(&value(old), &value(new)), said);
    }
    let lru = MapDef { map_type: MapType::LRU_HASH, ..map("u32") };
    assert_eq!(first(&map("u32"), &lru), "map `m` changed from hash to lru_hash");
    let wide = MapDef { value: None, value_size: 16, ..map("u32") };
    let narrow = MapDef { value: None, ..map("u32") };
    assert_eq!(first(&narrow, &wide), "the value of `m` grew from 4 to 16 bytes");
    assert_eq!(first(&wide, &narrow), "the value of `m` shrank from 16 to 4 bytes");
}

#[test]
fn a_capacity_that_the_daemon_sets_is_compared_with_none() {
    let of = |max_entries| MapDef { max_entries, ..map("u32") };
    let found = |old: u32, new: u32| {
        let found = changes(&of(old), &of(new));
        assert!(!found.has_breaks(), "{found:?}");
        found.findings.iter().map(Finding::message).collect::<Vec<_>>()
    };
    assert_eq!(found(1024, 0), ["the object no longer says how many entries map `m` holds: the daemon does"]);
    let again = "the object says how many entries map `m` holds, 1024, where the daemon did; a larger map stays";
    assert_eq!(found(0, 1024), [again]);
    assert_eq!(found(0, 0), [""; 0]);
}

#[test]
fn attributes_that_the_kernel_keeps_to_itself_are_not_reported() {
    let cases: [Change; 4] = [
        |def| def.numa_node = 1,
        // BPF_F_RDONLY is a matter of the file descriptor.
        |def| def.flags = 0x8,
        |def| def.tags = vec!["a".into()],
        |def| def.origin = maplock_layout::map::Origin::Legacy,
    ];
    for change in cases {
        let (old, mut new) = (map("u32"), map("u32"));
        change(&mut new);
        assert_eq!(lines(&changes(&old, &new)), [""; 0]);
    }
    let (mut old, mut new) = (MapDef::new("m", MapType::DEVMAP), MapDef::new("m", MapType::DEVMAP));
    (old.flags, new.flags) = (0, 0x80);
    assert_eq!(lines(&changes(&old, &new)), [""; 0], "a device map has BPF_F_RDONLY_PROG whether declared or not");
}

#[test]
fn a_map_whose_value_gets_a_type_or_loses_it() {
    let (mut untyped, typed) = (map("u32"), map("struct v { u32 a; };"));
    untyped.value = None;
    let found = changes(&untyped, &typed);
    assert_eq!(lines(&found), ["layout-added m.value: 4 bytes -> struct v"]);
    assert_eq!((found.has_breaks(), found.maps[0].disposition), (false, Disposition::Reuse));
    assert!(changes(&typed, &untyped).has_breaks());
    let found = diff(&lock([]), &lock([untyped]));
    assert_eq!(lines(&found), ["map-added m: - -> hash of 1024, 4 -> 4 bytes", "untyped-map m.value: - -> 4 bytes"]);
}

#[test]
fn maps_come_and_go() {
    let (m, mut n) = (map("u32"), map("u32"));
    n.name = "n".to_owned();
    let found = diff(&lock([m.clone()]), &lock([n.clone()]));
    assert_eq!(
        lines(&found),
        ["map-removed m: hash of 1024, 4 -> 4 bytes -> -", "map-added n: - -> hash of 1024, 4 -> 4 bytes"]
    );
    let dispositions: Vec<_> = found.maps.iter().map(|verdict| (verdict.map.as_str(), verdict.disposition)).collect();
    assert_eq!(dispositions, [("m", Disposition::Drop), ("n", Disposition::Create)]);
    assert!(found.has_breaks(), "somebody has to say what becomes of the entries");
}

#[test]
fn what_a_map_that_is_gone_loses_depends_on_its_type() {
    for (map_type, loses) in [(MapType::HASH, true), (MapType::PROG_ARRAY, false), (MapType::RINGBUF, false)] {
        let def = MapDef { map_type, ..map("u32") };
        let found = diff(&lock([def]), &lock([]));
        assert_eq!(
            (found.maps[0].disposition, found.maps[0].loses_entries()),
            (Disposition::Drop, loses),
            "{map_type}"
        );
    }
}

#[test]
fn a_map_that_is_not_pinned_is_nobodys_business_until_it_is() {
    let (pinned, mut ephemeral) = (lock([map("u32")]), lock([map("u64")]));
    ephemeral.maps.get_mut("m").unwrap().ephemeral = true;
    assert_eq!(lines(&diff(&ephemeral, &ephemeral.clone())), [""; 0]);
    assert_eq!(lines(&diff(&lock([]), &ephemeral)), [""; 0]);
    assert_eq!(lines(&diff(&ephemeral, &pinned)), ["pinning-added m: not pinned -> pinned"]);
    let gone = diff(&pinned, &ephemeral);
    assert_eq!(lines(&gone), ["pinning-removed m: pinned -> not pinned"]);
    assert!(gone.has_breaks());
}

fn of_maps(inner: MapDef) -> MapDef {
    let mut outer = MapDef::new("outer", MapType::ARRAY_OF_MAPS);
    (outer.key_size, outer.value_size, outer.max_entries) = (4, 4, 8);
    outer.inner = Some(Box::new(inner));
    outer
}

#[test]
fn the_maps_that_a_map_holds_are_compared_inside_and_out() {
    let inner = |value| of_maps(map(value));
    assert_eq!(
        lines(&changes(&inner("struct v { u32 a; };"), &inner("struct v { s32 a; };"))),
        ["signedness-changed outer.inner.value.a: u32 -> i32",]
    );
    let mut flagged = map("u32");
    flagged.flags = 1;
    assert_eq!(
        lines(&changes(&of_maps(map("u32")), &of_maps(flagged))),
        ["flags-changed outer.inner: 0 -> BPF_F_NO_PREALLOC"]
    );
}

#[test]
fn the_capacity_of_an_inner_map_counts_where_the_kernel_compares_it() {
    let of = |map_type, entries| {
        let mut inner = map("u32");
        (inner.map_type, inner.max_entries) = (map_type, entries);
        of_maps(inner)
    };
    // Maps that are in it stay as they were made, and nobody has to decide.
    let free = changes(&of(MapType::HASH, 64), &of(MapType::HASH, 128));
    assert_eq!(lines(&free), ["inner-capacity-changed outer.inner: 64 -> 128"]);
    let [finding] = free.findings.as_slice() else { panic!("{free:#?}") };
    assert_eq!(finding.short(), "inner map: max_entries 64 -> 128; inner maps that are in it already keep 64");
    assert_eq!((free.has_breaks(), free.maps[0].disposition), (false, Disposition::Reuse));
    assert_eq!(of(MapType::HASH, 64).digest(), of(MapType::HASH, 128).digest());
    assert_eq!(
        lines(&changes(&of(MapType::ARRAY, 64), &of(MapType::ARRAY, 128))),
        ["inner-map-changed outer.inner: 64 -> 128"]
    );
}

#[test]
fn no_two_findings_of_a_map_have_one_title() {
    let twice = "struct w { u32 n; enum kind { A, B } k; }; struct v { struct w rx; struct w tx; };";
    let changed = "struct w { s32 n; enum kind { A = 2, B } k; }; struct v { struct w rx; struct w tx; };";
    let of = |types: &str| MapDef { inner: Some(Box::new(map_of(types, types))), ..map_of(types, types) };
    let found = changes(&of(twice), &of(changed)).findings;
    let titles: Vec<_> = found.iter().map(Finding::title).collect();
    let distinct: std::collections::BTreeSet<_> = titles.iter().collect();
    assert_eq!((titles.len(), distinct.len()), (found.len(), found.len()), "{titles:#?}");
    let has = |title: &str| assert!(titles.iter().any(|of| of == title), "{title}: {titles:#?}");
    has("map `m`: `key.rx.n` changed from u32 to i32");
    has("map `m`: `tx.n` changed from u32 to i32");
    has("map `m`'s inner map: `tx.n` changed from u32 to i32");
    has("map `m`: enumerator `A` of `rx.k` is 2, it was 0");
    // A message without the map names it where it is the inner one.
    let inner = found.iter().find(|of| of.subject.inner == 1).unwrap();
    assert!(inner.names_map() && inner.message().contains(" in `m`'s inner map "), "{}", inner.message());
}

/// What entries that stay are read as.
#[track_caller]
fn reads(old: &MapDef, new: &MapDef, expected: &[&str]) {
    let comparison = diff(&lock([old.clone()]), &lock([new.clone()]));
    let readings = comparison.maps[0].readings.clone().unwrap_or_default();
    let told: Vec<_> = readings.iter().map(|reading| reading.sentence("m")).collect();
    assert_eq!(told, expected);
}

#[test]
fn what_old_bytes_are_read_as_is_said_of_each_that_changes() {
    let values = |old: &str, new: &str, expected: &[&str]| reads(&map(old), &map(new), expected);
    values(
        "struct v { u32 rx; u32 tx; u64 seen; };",
        "struct v { u32 tx; u32 rx; u64 seen; };",
        &[
            "bytes 0..4, written as `rx` (u32), will be read as `tx` (u32)",
            "bytes 4..8, written as `tx` (u32), will be read as `rx` (u32)",
        ],
    );
    // Of what was padding, or there to fill a gap.
    values(
        "struct v { u32 a; u64 b; };",
        "struct v { u32 a; u32 flags; u64 b; };",
        &["bytes 4..8, written as padding, will be read as `flags` (u32): right if the old release wrote 0"],
    );
    values(
        "struct v { u32 a; u8 on; u8 _pad[3]; };",
        "struct v { u32 a; u8 on; u8 up; u8 _pad[2]; };",
        &["byte 5, written as `_pad` (u8[3]), will be read as `up` (u8): right if the old release wrote 0"],
    );
    values("struct v { u8 on; u8 __pad1[3]; u32 a; };", "struct v { u8 on; u32 a; };", &[]);
    // Worst first; what became wider takes what was behind it.
    values(
        "struct v { u32 a; u32 b; u32 old; };",
        "struct v { u64 a; u32 new; };",
        &[
            "bytes 0..8, written as `a` (u32) and `b` (u32), will be read as `a` (u64)",
            "bytes 8..12, written as `old` (u32), will be read as `new` (u32): right if `new` means what `old` meant",
        ],
    );
    values("struct v { u8 tag[8]; u32 a; };", "struct v { u8 tag[4]; u32 _pad; u32 a; };", &[]);
    // The same numbers in all arms, and one that is larger than they are.
    let trie = "struct v { u32 len; u8 data[4]; };";
    values(trie, "struct h { u32 len; }; struct v { union { struct h head; u32 len; }; u8 data[4]; };", &[]);
    values(
        trie,
        "struct v { union { u8 bytes[4]; u32 len; }; u8 data[4]; };",
        &[
            "bytes 0..4, written as `len` (u32), will be read as `bytes` (u8[4]): a new arm of a union, right if no program reads it from an old entry",
        ],
    );
    // A key is all of its bytes.
    reads(
        &map_of("struct k { u32 a; u32 b; u64 c; };", "u32"),
        &map_of("struct k { u32 a; u64 c; };", "u32"),
        &["bytes 4..8, written as `key.b` (u32), will be padding, but keys still differ in it"],
    );
}

/// How each member is read that is not what it was.
#[track_caller]
fn risks(old: &MapDef, new: &MapDef, expected: &[(&str, Risk)]) {
    let comparison = diff(&lock([old.clone()]), &lock([new.clone()]));
    let readings = comparison.maps[0].readings.as_deref().unwrap();
    let found: Vec<_> =
        readings.iter().map(|of| (of.reads.as_ref().map_or("", |reads| reads.path.as_str()), of.risk)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_new_arm_is_read_by_choice_and_what_an_old_arm_has_got_is_misread() {
    use Risk::{Arm, Misread, OtherName, Padding};
    for (what, old, new, expected) in [
        (
            "a member of a named arm",
            "struct { u32 v4; } a; u8 raw[16];",
            "struct { u32 v4; u32 port; } a; u8 raw[16];",
            &[("a.port", Misread)][..],
        ),
        (
            "a member of an anonymous arm",
            "struct { u32 v4; }; u8 raw[16];",
            "struct { u32 v4; u32 port; }; u8 raw[16];",
            &[("port", Misread)],
        ),
        (
            "an arm that is one of two members now",
            "u32 v4; u8 raw[16];",
            "struct { u32 v4; u32 port; }; u8 raw[16];",
            &[("port", Misread)],
        ),
        (
            "a member of an arm that has another name now",
            "struct { u32 v4; } a; u8 raw[16];",
            "struct { u32 v4; u32 port; } b; u8 raw[16];",
            &[("b.port", Misread), ("b.v4", OtherName)],
        ),
        (
            "a member of an anonymous arm whose other one has another name now",
            "struct { u32 v4; }; u8 raw[16];",
            "struct { u32 addr; u32 port; }; u8 raw[16];",
            &[("port", Misread), ("addr", OtherName)],
        ),
        (
            "a member in the place of the same number of another arm",
            "struct { u32 v4; } a; struct { u32 mark; u32 id; } b;",
            "struct { u32 v4; u32 port; } a; struct { u32 mark; u32 id; } b;",
            &[("a.port", Misread)],
        ),
        (
            "a member in the place of one that another arm no longer has",
            "struct { u32 v4; } a; struct { u32 mark; u32 id; } b; u8 raw[8];",
            "struct { u32 v4; u32 port; } a; struct { u32 mark; } b; u8 raw[8];",
            &[("a.port", Misread)],
        ),
        (
            "members of an arm swapped, and another arm has the same numbers",
            "struct { u32 mark; u32 id; } b; struct { u32 rx; u32 tx; } a;",
            "struct { u32 mark; u32 id; } b; struct { u32 tx; u32 rx; } a;",
            &[("a.tx", Misread), ("a.rx", Misread)],
        ),
        (
            "a member of an arm has another name now, and another arm has the same number",
            "struct { u32 mark; u32 id; } b; struct { u32 rx; u32 tx; } a;",
            "struct { u32 mark; u32 id; } b; struct { u32 rx; u32 sent; } a;",
            &[("a.sent", OtherName)],
        ),
        ("an arm that grew", "u32 v4; u8 raw[16];", "u64 v4; u8 raw[16];", &[("v4", Misread)]),
        ("a new arm", "u32 v4; u8 raw[16];", "u32 v4; u8 raw[16]; u64 mac;", &[("mac", Arm)]),
        ("the same number as another arm", "u32 v4; u8 raw[16];", "u32 v4; u8 raw[16]; u32 mark;", &[]),
        (
            "a new arm that is a struct",
            "struct { u32 v4; } a; u8 raw[16];",
            "struct { u32 v4; } a; u8 raw[16]; struct { u64 mac; u16 vlan; } b;",
            &[("b.mac", Arm), ("b.vlan", Arm)],
        ),
        (
            "a new arm that is an anonymous struct",
            "struct { u32 v4; }; u8 raw[16];",
            "struct { u32 v4; }; u8 raw[16]; struct { u64 mac; u16 vlan; };",
            &[("mac", Arm), ("vlan", Arm)],
        ),
        (
            "an old arm grew and another one is new",
            "struct { u32 v4; } a; u8 raw[16];",
            "struct { u32 v4; u32 port; } a; u8 raw[16]; u64 mac;",
            &[("a.port", Misread), ("mac", Arm)],
        ),
        (
            "a new arm of the union in an old arm",
            "struct { u32 v4; union { u32 port; }; } a; u8 raw[16];",
            "struct { u32 v4; union { u32 port; u16 icmp; }; } a; u8 raw[16];",
            &[("a.icmp", Arm)],
        ),
        (
            "a union that an old arm has got",
            "struct { u32 v4; } a; u8 raw[16];",
            "struct { u32 v4; union { u32 port; u16 icmp; }; } a; u8 raw[16];",
            &[("a.port", Misread), ("a.icmp", Misread)],
        ),
        (
            "a union in a union",
            "union { u32 v4; s32 id; }; u8 raw[16];",
            "union { u32 v4; s32 id; u16 half; }; u8 raw[16]; union { u64 mac; u64 eui; };",
            &[("half", Arm), ("mac", Arm), ("eui", Arm)],
        ),
        (
            "a member of an old arm, over what was a filler of the other one",
            "struct { u32 v4; } a; struct { u32 id; u32 _pad; } b;",
            "struct { u32 v4; u32 port; } a; struct { u32 id; u32 _pad; } b;",
            &[("a.port", Padding)],
        ),
    ] {
        println!("{what}");
        let [old, new] = [old, new].map(|arms| format!("union addr {{ {arms} }};"));
        let value = |types: &str, members: &str| map(&format!("{types} struct v {{ u64 kind; {members} }};"));
        let under = |path: &str| -> Vec<_> {
            expected.iter().map(|(member, risk)| (format!("{path}{member}"), *risk)).collect()
        };
        let found = |old: &MapDef, new: &MapDef, expected: Vec<(String, Risk)>| {
            risks(old, new, &expected.iter().map(|(path, risk)| (path.as_str(), *risk)).collect::<Vec<_>>());
        };
        // By itself, as a member, anonymous in a struct, and in a key.
        found(&map(&old), &map(&new), under(""));
        found(&value(&old, "union addr of;"), &value(&new, "union addr of;"), under("of."));
        let anonymous =
            |of: &str| map(&format!("struct v {{ u64 kind; {}; }};", of.replace("addr ", "").trim_end_matches(';')));
        found(&anonymous(&old), &anonymous(&new), under(""));
        let key = |types: &str| map_of(types, "u32");
        found(&key(&old), &key(&new), under(""));
        // Each element has a union of its own.
        let mut elements = [under("of[0]."), under("of[1].")].concat();
        elements.sort_by_key(|(_, risk)| *risk);
        found(&value(&old, "union addr of[2];"), &value(&new, "union addr of[2];"), elements);
    }
    // What was no union becomes one.
    risks(
        &map("struct v { u32 ports; };"),
        &map("struct v { union { u32 ports; struct { u16 source; u16 target; }; }; };"),
        &[("source", Arm), ("target", Arm)],
    );
}

// Hostile or just large.

#[test]
fn a_struct_of_a_thousand_changes_is_reported_up_to_a_bound() {
    let members = |prefix: &str| (0..3000).map(|n| format!("u32 {prefix}{n}; ")).collect::<String>();
    let old = format!("struct v {{ {} }};", members("a"));
    let new = format!("struct v {{ u32 first; {} }};", members("b"));
    let found = quickly(move || value(&old, &new));
    assert!((900..=1000).contains(&found.findings.len()), "{}", found.findings.len());
}

/// A struct of two members of a struct of two .. around `leaf`; all of it is `levels` allocations.
fn doubled(levels: u32, names: [&str; 2], leaf: IntKind) -> Arc<Layout> {
    let mut inner = Arc::new(Layout::new(1, Shape::Int(leaf)));
    for level in 0..levels {
        let half = 1 << level;
        let member =
            |name: &str, offset_bits| Member { name: name.into(), offset_bits, bits: None, layout: Arc::clone(&inner) };
        let members = vec![member(names[0], 0), member(names[1], half * 8)];
        let composite = Composite::new(CompositeKind::Struct, Some(format!("s{level}").into()), members).unwrap();
        inner = Arc::new(Layout::new(half * 2, Shape::Composite(Arc::new(composite))));
    }
    inner
}

fn with_value(layout: Arc<Layout>) -> MapDef {
    let mut def = map("u32");
    (def.value_size, def.value) = (u32::try_from(layout.size).unwrap(), Some(layout));
    def
}

#[test]
fn a_change_that_is_reached_over_a_billion_paths_is_found_quickly() {
    let found = quickly(|| {
        let of = |leaf| with_value(doubled(30, ["a", "b"], leaf));
        assert_eq!(lines(&changes(&of(IntKind::Signed), &of(IntKind::Signed))), [""; 0]);
        changes(&of(IntKind::Unsigned), &of(IntKind::Signed))
    });
    assert!(!found.findings.is_empty() && found.findings.len() <= 1000);
    assert_eq!(found.findings[0].rule.id, "signedness-changed");
}

#[test]
fn members_renamed_at_every_level_are_compared_quickly() {
    let found = quickly(|| {
        let of = |names| with_value(doubled(30, names, IntKind::Unsigned));
        changes(&of(["a", "b"]), &of(["c", "d"]))
    });
    assert!(!found.findings.is_empty() && found.findings.len() <= 1000);
    assert!(found.findings.iter().all(|finding| finding.rule.id == "member-renamed"));
}

// Digests and findings.

/// Rules about what no digest tells: it names what can change the meaning of bytes.
const OUTSIDE_OF_DIGESTS: [&str; 12] = [
    "btf-refused",
    "capacity-stays",
    "map-added",
    "map-removed",
    "map-renamed",
    "max-entries-decreased",
    "max-entries-increased",
    "pinning-added",
    "pinning-removed",
    "type-spelling-changed",
    "unpromised-layout",
    "untyped-map",
];

#[test]
fn an_enum_in_a_smaller_bit_field_unit_has_the_same_digest_or_a_finding() {
    let with_unit = |size| {
        let of =
            maplock_layout::Enumeration { name: Some("kind".into()), values: vec![("A".into(), 0), ("B".into(), 1)] };
        let layout = Arc::new(Layout::new(size, Shape::Enum(Arc::new(of))));
        let members = vec![Member { name: "kind".into(), offset_bits: 0, bits: Some(2), layout }];
        let composite = Composite::new(CompositeKind::Struct, Some("v".into()), members).unwrap();
        with_value(Arc::new(Layout::new(4, Shape::Composite(Arc::new(composite)))))
    };
    let (old, new) = (with_unit(4), with_unit(1));
    assert_eq!(old.digest() == new.digest(), changes(&old, &new).findings.is_empty());
}

/// The declaration of a member called `name`.
fn member(name: &'static str) -> impl Strategy<Value = String> {
    let ty = prop::sample::select(vec![
        "u8 #",
        "s8 #",
        "char #",
        "bool #",
        "u16 #",
        "u32 #",
        "s32 #",
        "float #",
        "u64 #",
        "u128 #",
        "u32 #[2]",
        "char #[4]",
        "u8 #[4]",
        "u8 #[2][2]",
        "struct a *#",
        "struct b *#",
        "be32 #",
        "kind_t #",
        "kind_t #[2]",
        "u8 #:3",
        "u32 #:3",
        "s32 #:3",
        "u32 #:8",
        "enum kind #",
        "enum sort #",
        "enum kind #:4",
        "struct in #",
        "struct wrap #",
        "struct padded #",
        "struct in #[2]",
        "union either #",
        "struct { u16 #_x; u16 #_y; }",
        "union { u32 #_x; u8 #_y; }",
        "struct { u32 #; } #",
    ]);
    ty.prop_map(move |ty| format!("{}; ", ty.replace('#', name)))
}

fn declaration() -> impl Strategy<Value = String> {
    let before = prop::sample::select(vec![
        "enum kind { A, B, KIND_MAX }; enum sort { A, B, C, KIND_MAX };",
        "enum kind { A, B, C, KIND_MAX }; enum sort { A, B, KIND_MAX = 9 };",
        "enum kind { B, A }; enum sort { A };",
    ]);
    let structs = prop::sample::select(vec![
        "struct in { u32 x; u32 y; }; struct wrap { u32 only; }; struct padded { u16 x; };",
        "struct in { u32 y; u32 x; }; struct wrap { s32 only; }; struct padded { u16 x; } aligned(4);",
        "struct in { u64 x; }; struct wrap { u32 other; }; struct padded { u16 x; } aligned(8);",
    ]);
    let kind_t =
        prop::sample::select(vec!["u32", "s32", "enum { A, B }", "enum { A, B, C }", "struct { u32 x; }", "u64"]);
    let names = ["a", "b", "c", "d"];
    let members = prop::sample::subsequence(names.to_vec(), 1..=4).prop_shuffle();
    let members = members.prop_flat_map(|names| names.into_iter().map(member).collect::<Vec<_>>());
    let end = prop::sample::select(vec!["", "packed"]);
    (before, structs, kind_t, members, end).prop_map(|(before, structs, kind_t, members, end)| {
        format!(
            "typedef u32 be32; typedef {kind_t} kind_t; {before} {structs} union either {{ u32 first; u8 second[4]; }}; struct v {{ {}}} {end};",
            members.concat()
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_digest_is_equal_exactly_when_there_is_no_finding_but_those_outside_of_it(
        old in declaration(),
        new in declaration(),
    ) {
        let (before, after) = (map(&old), map(&new));
        let (found, back) = (diff(&lock([before.clone()]), &lock([after.clone()])), diff(&lock([after.clone()]), &lock([before.clone()])));
        let is_outside = |finding: &Finding| OUTSIDE_OF_DIGESTS.contains(&finding.rule.id);
        if before.digest() == after.digest() {
            prop_assert!(found.findings.iter().all(is_outside), "{:#?}", lines(&found));
        } else {
            // A name may hide other bytes (an enum's, a wrapper's): then it is a spelling that says so.
            prop_assert!(!found.findings.is_empty(), "other digests, and nothing to say");
        }
        prop_assert_eq!(found.findings.is_empty(), back.findings.is_empty());
        prop_assert_eq!(without_cause(&found), [""; 0], "{:#?}", lines(&found));
        for same in [before, after] {
            prop_assert_eq!(lines(&diff(&lock([same.clone()]), &lock([same]))), [""; 0]);
        }
    }

    #[test]
    fn a_declaration_without_padding_between_the_same_names_is_compared_by_its_bytes(
        (old, new) in prop::sample::subsequence(vec!["u32 a; ", "u32 b; ", "u32 c; ", "u32 d; ", "u32 e; "], 0..=5)
            .prop_shuffle()
            .prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
    ) {
        let of = |members: &[&str]| lock([map(&format!("struct v {{ {}}};", members.concat()))]);
        let found = diff(&of(&old), &of(&new));
        let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
        prop_assert_eq!(found.findings.len(), moved);
        prop_assert!(found.findings.iter().all(|finding| finding.rule.id == "member-moved"));
        // At most those are causes that must be taken out for the rest to keep its order.
        let causes = found.findings.iter().filter(|finding| finding.consequence_of.is_none()).count();
        prop_assert!(causes <= old.len() - longest_common(&old, &new) && (causes > 0 || moved == 0));
        prop_assert_eq!(without_cause(&found), [""; 0]);
    }
}

/// Length of the longest run of members that keep their order.
fn longest_common(old: &[&str], new: &[&str]) -> usize {
    match (old, new) {
        ([], _) | (_, []) => 0,
        ([a, old_rest @ ..], [b, new_rest @ ..]) if a == b => 1 + longest_common(old_rest, new_rest),
        ([_, old_rest @ ..], [_, new_rest @ ..]) => longest_common(old_rest, new).max(longest_common(old, new_rest)),
    }
}

#[test]
fn the_c_of_these_tests_is_laid_out_as_clang_does() {
    let layout = c::layout("struct v { u8 a; u32 b:3; u32 c:30; u64 d; char e[3]; } ;");
    let members = layout.composite().unwrap().members().iter();
    let places: Vec<_> = members.map(|member| (member.offset_bits, member.size_bits())).collect();
    assert_eq!((places, layout.size), (vec![(0, 8), (8, 3), (32, 30), (64, 64), (128, 24)], 24));
    assert_eq!(c::layout("struct v { u8 a; u32 b; } packed;").size, 5);
    assert_eq!(c::layout("union u { u8 a[3]; u16 b; };").size, 4);
}

#[test]
fn a_break_is_reported_behind_any_number_of_findings_that_are_none() {
    let members = |ty: &str| -> String { (0..1500).map(|n| format!("{ty} a{n}; ")).collect() };
    let old = format!("typedef u32 one; struct v {{ {} u32 x; u32 y; }};", members("one"));
    let new = format!("typedef u32 two; struct v {{ {} u32 y; u32 x; }};", members("two"));
    let found = support::diff(&support::lock([support::map(&old)]), &support::lock([support::map(&new)]));
    assert!(found.has_breaks());
    assert!(found.findings.len() < 1100);
}

#[test]
fn an_enumerator_that_only_sounds_like_an_end_is_one_like_any_other() {
    let found = support::diff(
        &support::lock([support::map("enum act { PASS, DROP, COUNT }; struct v { enum act act; };")]),
        &support::lock([support::map("enum act { PASS, DROP, REJECT, COUNT }; struct v { enum act act; };")]),
    );
    assert!(found.has_breaks());
}

#[test]
fn structs_that_the_kernel_knows_by_name_are_no_mere_bytes() {
    for (old, new) in [
        ("struct bpf_spin_lock { u32 val; }; struct v { struct bpf_spin_lock lock; };", "struct v { u32 lock; };"),
        (
            "struct bpf_timer { u64 a; u64 b; }; struct v { struct bpf_timer t; };",
            "struct timer { u64 a; u64 b; }; struct v { struct timer t; };",
        ),
    ] {
        let (old, new) = (support::lock([support::map(old)]), support::lock([support::map(new)]));
        assert!(support::diff(&old, &new).has_breaks());
        assert!(support::diff(&new, &old).has_breaks());
        assert_ne!(old.maps["m"].def.digest(), new.maps["m"].def.digest());
    }
}

#[test]
fn words_are_made_of_parts_whatever_a_map_is_called() {
    let of = |value: &str| {
        let def = MapDef { name: "a.value.b.key".to_owned(), ..map(value) };
        lock([def])
    };
    let found = diff(&of("struct v { u32 count; u32 last; };"), &of("struct v { u64 count; u32 last; };")).findings;
    let [grown, moved, size] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(grown.path(), "a.value.b.key.value.count");
    assert_eq!(grown.brief(), "count u32 -> u64");
    assert_eq!(grown.title(), "map `a.value.b.key`: `count` grew from u32 to u64");
    assert_eq!(
        (grown.old_with_place().as_str(), grown.new_with_place().as_str()),
        ("u32 at bytes 0..4", "u64 at bytes 0..8")
    );
    // What says itself where it is, or how much it takes, says it once.
    assert_eq!(moved.new_with_place(), "bytes 8..12");
    assert_eq!(size.title(), "map `a.value.b.key`: the value grew from 8 to 16 bytes");
    assert_eq!(size.new_with_place(), "16 bytes");
    assert!(size.names_map() && !grown.names_map());
    assert_eq!(size.cause().as_deref(), Some("a.value.b.key.value.count"));
}

#[test]
fn the_key_of_an_inner_map_is_not_said_to_be_the_outer_ones() {
    let outer = |key_size: u32| {
        let inner = MapDef { key: None, key_size, ..map("struct v { u32 count; };") };
        lock([MapDef { inner: Some(Box::new(inner)), ..MapDef::new("outer", MapType::HASH_OF_MAPS) }])
    };
    let found = diff(&outer(4), &outer(8)).findings;
    let [size] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(
        (size.path().as_str(), size.message().as_str()),
        ("outer.inner.key", "the key of `outer`'s inner map grew from 4 to 8 bytes")
    );
}
