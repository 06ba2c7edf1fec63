//! The bytes of two layouts, span by span, and the entry that shows what a change does.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::conversion::{Answers, DerivedLeg};
use maplock_layout::{Example, Ruler, Span, SpanFate};
use support::c::layout;
use support::map_of;

fn ruler(old: &str, new: &str) -> Ruler {
    Ruler::of(&layout(old), &layout(new)).unwrap()
}

fn told(spans: &[Span]) -> Vec<(u64, u64, &str, SpanFate)> {
    spans.iter().map(|span| (span.start, span.end, span.name.as_str(), span.fate.clone())).collect()
}

#[test]
fn each_byte_is_in_one_span_of_each_side() {
    let ruler = ruler(
        "struct s { u32 gone; u8 kept; u64 moved; u32 grew; u32 was; };",
        "struct s { u8 kept; u32 fresh; u64 grew; u64 moved; u32 is; };",
    );
    for (spans, size) in [(&ruler.old, ruler.old_size), (&ruler.new, ruler.new_size)] {
        let ends: Vec<_> = spans.iter().map(|span| span.end).collect();
        let starts = spans.iter().map(|span| span.start);
        let begin = std::iter::once(0).chain(ends.iter().copied()).take(spans.len());
        assert!(starts.eq(begin) && ends.last() == Some(&size), "{spans:?}");
    }
    assert_eq!(
        told(&ruler.new),
        [
            (0, 1, "kept", SpanFate::Moved),
            (1, 4, "", SpanFate::Hole),
            (4, 8, "fresh", SpanFate::New),
            (8, 16, "grew", SpanFate::Grew),
            (16, 24, "moved", SpanFate::Moved),
            (24, 28, "is", SpanFate::New),
            (28, 32, "", SpanFate::Hole),
        ]
    );
    assert_eq!(ruler.new[3].elsewhere, Some(16));
    assert_eq!(told(&ruler.old)[0], (0, 4, "gone", SpanFate::Gone));
}

#[test]
fn names_types_and_meanings_that_differ_at_one_place_are_seen() {
    let renamed = ruler("struct s { u32 was; u32 b; };", "struct s { u32 is; u32 b; };");
    assert_eq!(renamed.new[0].fate, SpanFate::Renamed("was".to_owned()));
    assert_eq!(renamed.old[0].fate, SpanFate::Renamed("is".to_owned()));
    let retyped = ruler("struct s { s32 a; };", "struct s { u32 a; };");
    assert_eq!(retyped.new[0].fate, SpanFate::Retyped);
    let renumbered = ruler("struct s { enum e { A, B } a; };", "struct s { enum e { B, A } a; };");
    assert_eq!(renumbered.new[0].fate, SpanFate::Retyped);
    let another = ruler("struct s { enum e { A } a; };", "struct s { enum e { A, B } a; };");
    assert!(another.is_same(), "{another:?}");
    let spelled = ruler("struct s { u32 a; };", "struct t { u32 a; };");
    assert!(spelled.is_same());
}

#[test]
fn members_that_share_bytes_are_one_span() {
    let arms = ruler(
        "struct s { union { u32 v4; u32 v6[4]; }; u8 a:3; u8 b:5; };",
        "struct s { union { u32 v4; u32 v6[4]; u64 mac; }; u8 a:3; u8 b:5; };",
    );
    assert_eq!(arms.old[0].name, "v4 | v6");
    assert_eq!((arms.new[0].fate.clone(), arms.new[0].end), (SpanFate::Retyped, 16));
    assert_eq!((arms.new[1].name.as_str(), &arms.new[1].fate), ("a | b", &SpanFate::Kept));
    let inner = ruler("struct s { union { u32 v4; u32 v6[4]; } addr; };", "struct s { u32 n; };");
    assert_eq!(inner.old[0].name, "addr");
}

#[test]
fn a_layout_of_more_members_than_anybody_looks_at_has_no_ruler() {
    let large = layout("struct e { u32 a; u32 b; }; struct s { struct e all[4096]; };");
    assert_eq!(Ruler::of(&large, &large), None);
}

#[test]
fn the_example_is_an_entry_that_converts() {
    let old =
        map_of("struct k { u16 a; u32 b; };", "struct v { u32 n; char comm[8]; enum e { A, B } e; u8 x:4; u8 y:4; };");
    let new =
        map_of("struct k { u16 a; u32 b; };", "struct v { u64 n; char comm[8]; enum e { A, B } e; u8 x:4; u8 y:4; };");
    let entry = Example::of(&old).unwrap();
    assert_eq!(entry.key, [1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(entry.value, [3, 0, 0, 0, b'c', b'o', b'm', b'm', 0, 0, 0, 0, 1, 0, 0, 0, 0x76, 0, 0, 0]);
    let leg = DerivedLeg::derive(&old, &new, &Answers::default()).unwrap().leg;
    assert_eq!(leg.value.convert(&entry.value).unwrap()[..12], [3, 0, 0, 0, 0, 0, 0, 0, b'c', b'o', b'm', b'm']);
    // A number that is signed to one side alone shows it.
    let signed = map_of("struct k { s16 a; u32 b; };", "struct v { s32 n; char comm[8]; };");
    assert_eq!(Example::for_reader(&old, Some(&signed)).unwrap().key, [255, 255, 0, 0, 2, 0, 0, 0]);
    assert_eq!(Example::for_reader(&old, Some(&signed)).unwrap().value[..4], [253, 255, 255, 255]);
    assert_eq!(Example::for_reader(&old, Some(&new)), Some(entry));
    // What nothing tells is not made up.
    let mut unknown = old.clone();
    unknown.value = None;
    assert_eq!(Example::of(&unknown), None);
}
