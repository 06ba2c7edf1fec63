//! Layouts to BTF and back.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use maplock_layout::btf::{Btf, BtfKind, Encoded, Resolver, encode};
use maplock_layout::map::{MapDef, MapType};
use maplock_layout::{Composite, CompositeKind, Enumeration, IntKind, Layout, Member, Shape};
use proptest::prelude::*;
use support::{c, map, quickly};

/// The key and value of `encoded` as they are read back.
fn decode(encoded: &Encoded) -> [Option<Arc<Layout>>; 2] {
    let btf = Btf::parse(&encoded.bytes).unwrap();
    let mut resolver = Resolver::new(&btf);
    [encoded.key_type_id, encoded.value_type_id].map(|id| (id != 0).then(|| resolver.resolve(id).unwrap()))
}

/// Asserts that the value comes back as it was; its BTF.
fn same(value: &Arc<Layout>) -> Vec<u8> {
    let encoded = encode(None, Some(value)).unwrap();
    let [key, again] = decode(&encoded);
    assert_eq!((key, again.as_ref()), (None, Some(value)));
    let digest = |value: &Arc<Layout>| {
        let mut def = MapDef::new("m", MapType::HASH);
        def.value = Some(Arc::clone(value));
        def.digest()
    };
    assert_eq!(digest(value), digest(&again.unwrap()));
    encoded.bytes
}

fn count(bytes: &[u8], kind: BtfKind) -> usize {
    Btf::parse(bytes).unwrap().of_kinds(&[kind]).count()
}

fn composite(kind: CompositeKind, name: &str, size: u64, members: Vec<Member>) -> Arc<Layout> {
    let name = Some(name.into()).filter(|_| !name.is_empty());
    Arc::new(Layout::new(size, Shape::Composite(Arc::new(Composite::new(kind, name, members).unwrap()))))
}

fn member(name: &str, offset: u64, layout: &Arc<Layout>) -> Member {
    Member { name: name.into(), offset_bits: offset * 8, bits: None, layout: Arc::clone(layout) }
}

fn refused(value: &Layout) -> String {
    encode(None, Some(value)).unwrap_err().to_string()
}

#[test]
fn what_c_can_declare_comes_back_as_it_was() {
    for value in [
        "struct v { u8 a; s8 b; char c; bool d; u16 e; s16 f; u32 g; s32 h; u64 i; s64 j; u128 k; s128 l; };",
        "struct v { float a; double b; };",
        "struct v { u32 a:3; s32 b:5; u32 c; enum kind { LOW = -1, HIGH } d:4; };",
        "struct v { struct { u16 x; u16 y; }; union { u32 a; u8 b[4]; }; struct { u32 only; } named; };",
        "typedef u32 be32; typedef be32 address; typedef struct { be32 ip; address other; } pair; struct v { pair p[2][3]; };",
        "struct v { enum { A, B } a; enum kind { C, D = 7 } b; enum none { } c; };",
        "struct v { void *a; struct task_struct *b; union u *c; struct task_struct **d; u8 *e; char *f; enum kind { A } **g; };",
        "struct empty { }; struct v { struct empty e[3]; struct empty f; u8 last[0]; };",
        "struct bpf_spin_lock { u32 val; }; struct bpf_timer { u64 a[2]; } ; struct v { struct bpf_spin_lock lock; struct bpf_timer timer; u64 n; };",
        "typedef struct v { u32 a; } packed v_t;",
        "u128",
        "char",
        "struct v { u8 a; u32 b; u16 c; } packed;",
    ] {
        same(&c::layout(value));
    }
}

#[test]
fn pointers_keep_what_they_point_to_and_the_tags_that_the_kernel_knows() {
    for target in [
        "void",
        "struct task_struct",
        "union arm",
        "enum kind",
        "struct _",
        "function",
        "array",
        "unsigned int",
        "be32",
        "void *",
        "struct sock ***",
        "kptr struct task_struct",
        "kptr_untrusted struct task_struct",
        "percpu_kptr struct sock",
        "kptr struct sock *",
    ] {
        let bytes = same(&Arc::new(Layout::new(8, Shape::Pointer { target: target.into() })));
        assert_eq!(count(&bytes, BtfKind::TypeTag), usize::from(target.contains("kptr")), "{target}");
    }
}

#[test]
fn enumerators_of_any_value_keep_it() {
    for (size, values, kind) in [
        (1, vec![0, 255], BtfKind::Enum),
        (4, vec![i128::from(i32::MIN), i128::from(i32::MAX)], BtfKind::Enum),
        (8, vec![0, i128::from(u64::MAX)], BtfKind::Enum64),
        (8, vec![i128::from(i64::MIN), i128::from(i64::MAX)], BtfKind::Enum64),
    ] {
        let values = values.into_iter().enumerate().map(|(n, value)| (format!("E{n}").into(), value)).collect();
        let of = Enumeration { name: Some("kind".into()), values };
        let bytes = same(&Arc::new(Layout::new(size, Shape::Enum(Arc::new(of)))));
        assert_eq!(count(&bytes, kind), 1);
    }
    let of = |values: [i128; 2]| Enumeration { name: None, values: values.map(|value| ("E".into(), value)).to_vec() };
    let of = |values| Layout::new(8, Shape::Enum(Arc::new(of(values))));
    assert_eq!(
        refused(&of([-1, 1 << 63])),
        "`E` of `enum (anonymous)` is 9223372036854775808, which 64 bits can't hold"
    );
}

#[test]
fn sections_and_types_without_bytes_come_back_as_they_were() {
    let counter = c::layout("struct counter { u64 packets; };");
    same(&composite(CompositeKind::Section, ".data", 24, vec![member("a", 0, &counter), member("b", 16, &counter)]));
    // Rust's `()`.
    for name in ["__", "void", "struct task_struct"] {
        let unit = Arc::new(Layout::new(0, Shape::Opaque { name: name.into() }));
        same(&composite(
            CompositeKind::Struct,
            "v",
            4,
            vec![member("unit", 0, &unit), member("n", 0, &c::layout("u32"))],
        ));
    }
}

#[test]
fn equal_types_are_written_once_whether_they_are_shared_or_not() {
    let key = c::layout("struct pair { u32 a; u32 b; };");
    let value = c::layout("struct pair { u32 a; u32 b; }; struct v { struct pair p; struct pair q[2]; u32 n; };");
    let encoded = encode(Some(&key), Some(&value)).unwrap();
    assert_eq!(decode(&encoded), [Some(key), Some(value)]);
    assert_eq!([BtfKind::Struct, BtfKind::Int, BtfKind::Array].map(|kind| count(&encoded.bytes, kind)), [2, 1, 1]);
    let one = c::layout("u32");
    let encoded = encode(Some(&one), Some(&one)).unwrap();
    assert_eq!((encoded.key_type_id, encoded.value_type_id), (1, 1));
}

#[test]
fn members_are_put_in_the_order_of_their_offsets() {
    let word = c::layout("u32");
    let value = composite(CompositeKind::Struct, "v", 8, vec![member("b", 4, &word), member("a", 0, &word)]);
    let [_, Some(again)] = decode(&encode(None, Some(&value)).unwrap()) else { panic!("a value") };
    let names: Vec<_> = again.composite().unwrap().members().iter().map(|member| member.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    let (mut old, mut new) = (map("u64"), map("u64"));
    (old.value, new.value) = (Some(value), Some(again));
    assert_eq!(old.digest(), new.digest());
}

#[test]
fn names_of_types_lose_what_the_kernel_refuses_and_names_of_members_are_refused() {
    let word = c::layout("u32");
    let value = composite(CompositeKind::Struct, "Flow<u32, ü>", 4, vec![member("n", 0, &word)]);
    let [_, Some(again)] = decode(&encode(None, Some(&value)).unwrap()) else { panic!("a value") };
    assert_eq!(again.spelling(), "struct Flow_u32____");
    let long = composite(CompositeKind::Struct, &"ü".repeat(400), 4, vec![member("n", 0, &word)]);
    let [_, Some(again)] = decode(&encode(None, Some(&long)).unwrap()) else { panic!("a value") };
    assert_eq!(again.spelling(), format!("struct {}", "_".repeat(255)));
    let tuple = composite(CompositeKind::Struct, "Pair", 4, vec![member("0", 0, &word)]);
    assert_eq!(refused(&tuple), "`0`, a member of `struct Pair`, is no name that the kernel takes");
}

#[test]
fn what_btf_cannot_say_is_refused_with_the_reason() {
    let list = "struct bpf_list_head { u64 a[2]; }; struct v { struct bpf_list_head list; };";
    for (layout, problem) in [
        (
            Arc::unwrap_or_clone(c::layout(list)),
            "`struct bpf_list_head`: a layout does not say what it holds, which the kernel must know",
        ),
        (
            Layout::new(8, Shape::Pointer { target: "uptr struct x".into() }),
            "a `uptr` to `struct x`, whose size a layout does not say",
        ),
        (Layout::new(17, Shape::Int(IntKind::Unsigned)), "an integer of 17 bytes"),
        (Layout::new(2, Shape::Int(IntKind::Char)), "an integer of 2 bytes"),
        (Layout::new(3, Shape::Float), "a floating-point number of 3 bytes"),
        (Layout::new(4, Shape::Pointer { target: "void".into() }), "a pointer to `void` of 4 bytes"),
        (Layout::new(4, Shape::Opaque { name: "x".into() }), "`x` has 4 bytes of which nothing is known"),
        (Layout::new(9, Shape::Array { element: c::layout("u64"), len: 1 }), "`u64[1]` is said to take 9 bytes"),
        (Layout::new(1 << 32, Shape::Float), "`f34359738368` takes 4294967296 bytes, over 4 GiB"),
    ] {
        assert_eq!(refused(&layout), problem);
    }
    assert_eq!(encode(None, None).unwrap_err().to_string(), "neither key nor value has a layout");
    let bits = Member { bits: Some(1), ..member("far", 1 << 21, &c::layout("u8")) };
    let far = composite(CompositeKind::Struct, "v", (1 << 21) + 1, vec![bits]);
    assert_eq!(refused(&far), "member `far` of `struct v` has 1 bits from bit 16777216, which BTF can't say");
    let many = (0..70_000).map(|n| member(&format!("m{n}"), n, &c::layout("u8"))).collect();
    let many = composite(CompositeKind::Struct, "v", 70_000, many);
    assert_eq!(refused(&many), "a type of 70000 members, of which BTF can count 65,535");
}

#[test]
fn layouts_that_are_reached_over_exponentially_many_paths_take_as_long_as_they_have_parts() {
    quickly(|| {
        let level = |inner: &Arc<Layout>, n: u32| {
            let members = vec![member("a", 0, inner), member("b", 0, inner)];
            composite(CompositeKind::Union, &format!("u{n}"), inner.size, members)
        };
        let value = (0..100).fold(c::layout("u32"), |inner, n| level(&inner, n));
        let bytes = encode(None, Some(&value)).unwrap().bytes;
        assert_eq!(Btf::parse(&bytes).unwrap().len(), 102);
        let deep = (100..200).fold(value, |inner, n| level(&inner, n));
        assert_eq!(refused(&deep), "types are nested over 128 levels deep");

        // One list of enumerators and one long name, in each of many members of many typedefs.
        let values = (0..60_000).map(|n| (format!("E{n}").into(), n)).collect();
        let kind = Layout::new(4, Shape::Enum(Arc::new(Enumeration { name: None, values })));
        let pointer = Layout::new(8, Shape::Pointer { target: "x".repeat(500_000).into() });
        let members = (0..60_000).map(|n| {
            let layout = if n % 2 == 0 { &kind } else { &pointer };
            let layout = Arc::new(Layout { typedef: Some(format!("t{n}").into()), ..layout.clone() });
            member(&format!("m{n}"), n * 8, &layout)
        });
        let wide = composite(CompositeKind::Struct, "v", 60_000 * 8, members.collect());
        encode(None, Some(&wide)).unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_declaration_comes_back_as_it_was(key in support::any::value(), value in support::any::value()) {
        let (key, value) = (c::layout(&key), c::layout(&value));
        let encoded = encode(Some(&key), Some(&value)).unwrap();
        prop_assert_eq!(decode(&encoded), [Some(key), Some(value)]);
    }
}
