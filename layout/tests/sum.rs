//! Which members can be added up, and where they are.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use maplock_layout::{Composite, CompositeKind, Layout, Member, Shape, sum_places};
use support::{c, quickly};

const FLOW: &str = "
    typedef u32 __be32;
    typedef u64 packets_t;
    struct counter { u64 bytes; u32 packets; u16 kinds[2]; };
    struct flow {
        u32 seen:3;
        u32 connections;
        s64 balance;
        packets_t named;
        struct counter total;
        struct counter by_port[2];
        u32 counts[2][3];
        struct { u32 inside; };
        union { u32 shared; u8 bytes[4]; } u;
        union { u32 anonymous; u8 other[4]; };
        u64 none[0];
        u8 small; u16 half; u128 wide;
        bool flag; char letter; float ratio;
        enum kind { A } kind;
        struct task *owner;
        __be32 source;
    };";

fn places(value: &str, path: &str) -> Vec<(u32, u32)> {
    let places = sum_places(&c::layout(value), path).unwrap_or_else(|error| panic!("{path}: {error}"));
    places.into_iter().map(|place| (place.offset, place.width)).collect()
}

#[track_caller]
fn refused(value: &str, path: &str, problem: &str) {
    assert_eq!(sum_places(&c::layout(value), path).unwrap_err().problem, problem);
}

#[test]
fn every_count_that_a_path_stands_for_is_found_by_its_bytes() {
    assert_eq!(places(FLOW, "connections"), [(4, 4)]);
    assert_eq!(places(FLOW, "balance"), [(8, 8)]);
    assert_eq!(places(FLOW, "named"), [(16, 8)]);
    assert_eq!(places(FLOW, "total.bytes"), [(24, 8)]);
    assert_eq!(places(FLOW, "by_port[].packets"), [(48, 4), (64, 4)]);
    assert_eq!(places(FLOW, "counts[][]"), [(72, 4), (76, 4), (80, 4), (84, 4), (88, 4), (92, 4)]);
    assert_eq!(places(FLOW, "inside"), [(96, 4)]);
    let signed = |path| sum_places(&c::layout(FLOW), path).expect(path).iter().any(|place| place.signed);
    assert_eq!([signed("balance"), signed("connections"), signed("counts[][]")], [true, false, false]);
}

#[test]
fn a_value_that_is_no_struct_is_called_value() {
    assert_eq!(places("u64", "value"), [(0, 8)]);
    assert_eq!(places("u32[2]", "value[]"), [(0, 4), (4, 4)]);
    assert_eq!(places("struct c { u64 n; }; typedef struct c pair[2]; pair", "value[].n"), [(0, 8), (8, 8)]);
    refused("u64", "count", "`count` is no member: the value is u64, and called `value`");
    refused("u64", "value.n", "`value` (u64) has no member `n`");
}

#[test]
fn what_cannot_be_summed_is_said_with_its_type_and_why() {
    for (path, problem) in [
        ("seen", "`seen` (u32) is a bit-field, and only integers can be summed"),
        ("small", "`small` (u8) has 1 byte, and only 4 or 8 can be summed at once"),
        ("half", "`half` (u16) has 2 bytes, and only 4 or 8 can be summed at once"),
        ("wide", "`wide` (u128) has 16 bytes, and only 4 or 8 can be summed at once"),
        ("flag", "`flag` (bool) is a bool, and only integers can be summed"),
        ("letter", "`letter` (char) is a char, and only integers can be summed"),
        ("ratio", "`ratio` (f32) is a floating-point number, and only integers can be summed"),
        ("kind", "`kind` (enum kind) is an enum, and only integers can be summed"),
        ("owner", "`owner` (struct task *) is a pointer, and only integers can be summed"),
        ("source", "`source` (__be32) has a byte order of its own, and only numbers in the machine's can be summed"),
        ("u.shared", "`u.shared` (u32) shares its bytes with others, being in a union"),
        ("anonymous", "`anonymous` (u32) shares its bytes with others, being in a union"),
        ("total", "`total` (struct counter) is a struct, not a count"),
        ("counts", "`counts` (u32[2][3]) is an array: write `counts[]` for each of its elements"),
        ("counts[]", "`counts[]` (u32[3]) is an array: write `counts[][]` for each of its elements"),
        ("counts[][][]", "`counts[][]` is u32, not an array"),
        ("none[]", "`none[]` (u64) has 0 elements, and 1 to 4096 can be summed"),
        ("connection", "the value (struct flow) has no member `connection`; did you mean `connections`?"),
        ("total.byte", "`total` (struct counter) has no member `byte`; did you mean `bytes`?"),
        ("", "the value (struct flow) has no member ``"),
    ] {
        refused(FLOW, path, problem);
    }
    let packed = "struct v { u8 a; u32 b; } packed;";
    refused(packed, "b", "`b` (u32) is at byte 1, not aligned to its 4 bytes");
    let odd = "struct c { u32 n; u8 x; } packed; struct v { struct c of[2]; };";
    refused(odd, "of[].n", "`of[].n` (u32) is in elements of 5 bytes, so that not each is aligned to its 4 bytes");
    let many = "struct v { u64 n[4097]; };";
    refused(many, "n[]", "`n[]` (u64) has 4097 elements, and 1 to 4096 can be summed");
}

#[test]
fn those_that_could_be_summed_are_named() {
    let error = sum_places(&c::layout(FLOW), "kind").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`kind` (enum kind) is an enum, and only integers can be summed; members that qualify: connections, balance, named, total.bytes, total.packets, by_port[].bytes, by_port[].packets, counts[][], inside"
    );
    for path in &error.qualify {
        sum_places(&c::layout(FLOW), path).unwrap();
    }
    let error = sum_places(&c::layout("struct v { u16 a; };"), "a").unwrap_err();
    assert_eq!(error.to_string(), "`a` (u16) has 2 bytes, and only 4 or 8 can be summed at once; no member qualifies");
}

#[test]
fn a_layout_with_exponentially_many_paths_is_looked_at_for_a_moment() {
    quickly(|| {
        let value = (0..100).fold(c::layout("u16"), |inner, _| {
            let member =
                |name: &str| Member { name: name.into(), offset_bits: 0, bits: None, layout: Arc::clone(&inner) };
            let of = Composite::new(CompositeKind::Union, None, vec![member("a"), member("b")]).unwrap();
            Arc::new(Layout::new(inner.size, Shape::Composite(Arc::new(of))))
        });
        assert!(sum_places(&value, "a.a").unwrap_err().qualify.is_empty());
    });
}
