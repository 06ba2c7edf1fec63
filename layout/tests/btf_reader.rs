//! BTF bytes to layouts: what compilers write, in both byte orders, and what nobody should.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use maplock_layout::btf::{Btf, BtfError, BtfKind, Endian, Linkage, Resolver, encode};
use maplock_layout::map::{MapDef, MapType};
use maplock_layout::{Layout, Shape};
use proptest::prelude::*;
use support::quickly;

const BOTH: [Endian; 2] = [Endian::Little, Endian::Big];

const SIGNED: u32 = 1 << 24;
const CHAR: u32 = 2 << 24;
const BOOL: u32 = 4 << 24;
const KIND_FLAG: u32 = 1 << 31;

/// Writes BTF, record by record.
struct Builder {
    endian: Endian,
    types: Vec<u8>,
    strings: Vec<u8>,
    known: HashMap<String, u32>,
    offsets: Vec<usize>,
}

impl Builder {
    const HEADER_LEN: usize = 24;

    fn new(endian: Endian) -> Self {
        Self {
            endian,
            types: Vec::new(),
            strings: vec![0],
            known: HashMap::from([(String::new(), 0)]),
            offsets: vec![0],
        }
    }

    fn little() -> Self {
        Self::new(Endian::Little)
    }

    fn word(&self, word: u32) -> [u8; 4] {
        match self.endian {
            Endian::Little => word.to_le_bytes(),
            Endian::Big => word.to_be_bytes(),
        }
    }

    /// Offset of a string, which is stored once.
    fn string(&mut self, text: &str) -> u32 {
        if let Some(at) = self.known.get(text) {
            return *at;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend([text.as_bytes(), &[0]].concat());
        self.known.insert(text.to_owned(), at);
        at
    }

    /// A record; its id.
    fn raw(&mut self, name_off: u32, info: u32, size_or_type: u32, trailer: &[u32]) -> u32 {
        self.offsets.push(Self::HEADER_LEN + self.types.len());
        for &word in [name_off, info, size_or_type].iter().chain(trailer) {
            let word = self.word(word);
            self.types.extend(word);
        }
        u32::try_from(self.offsets.len() - 1).unwrap()
    }

    fn record(&mut self, kind: BtfKind, name: &str, vlen: usize, size_or_type: u32, trailer: &[u32]) -> u32 {
        let name = self.string(name);
        self.raw(name, (kind as u32) << 24 | u32::try_from(vlen).unwrap(), size_or_type, trailer)
    }

    fn int(&mut self, name: &str, size: u32, encoding: u32) -> u32 {
        self.record(BtfKind::Int, name, 0, size, &[encoding | (size * 8)])
    }

    fn refer(&mut self, kind: BtfKind, name: &str, to: u32) -> u32 {
        self.record(kind, name, 0, to, &[])
    }

    fn array(&mut self, element: u32, len: u32) -> u32 {
        self.record(BtfKind::Array, "", 0, 0, &[element, 0, len])
    }

    /// Members as (name, type, offset in bits).
    fn composite(&mut self, kind: BtfKind, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let mut trailer = Vec::new();
        for &(name, ty, offset) in members {
            trailer.extend([self.string(name), ty, offset]);
        }
        self.record(kind, name, members.len(), size, &trailer)
    }

    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(BtfKind::Struct, name, size, members)
    }

    /// A struct with bit-fields: members as (name, type, offset in bits, width in bits or 0).
    fn with_bits(&mut self, name: &str, size: u32, members: &[(&str, u32, u32, u32)]) -> u32 {
        let mut trailer = Vec::new();
        for &(name, ty, offset, bits) in members {
            trailer.extend([self.string(name), ty, bits << 24 | offset]);
        }
        let name = self.string(name);
        let info = KIND_FLAG | (BtfKind::Struct as u32) << 24 | u32::try_from(members.len()).unwrap();
        self.raw(name, info, size, &trailer)
    }

    fn enumeration(&mut self, name: &str, size: u32, values: &[(&str, i32)]) -> u32 {
        let mut trailer = Vec::new();
        for &(name, value) in values {
            trailer.extend([self.string(name), value.cast_unsigned()]);
        }
        self.record(BtfKind::Enum, name, values.len(), size, &trailer)
    }

    fn blob(&self) -> Vec<u8> {
        let magic = match self.endian {
            Endian::Little => 0xeb9f_u16.to_le_bytes(),
            Endian::Big => 0xeb9f_u16.to_be_bytes(),
        };
        let (types, strings) = (u32::try_from(self.types.len()).unwrap(), u32::try_from(self.strings.len()).unwrap());
        let mut blob = magic.to_vec();
        blob.extend([1, 0]);
        for field in [24, 0, types, types, strings] {
            blob.extend(self.word(field));
        }
        [blob, self.types.clone(), self.strings.clone()].concat()
    }

    /// The layout of a type.
    fn resolve(&self, id: u32) -> Result<Arc<Layout>, BtfError> {
        let blob = self.blob();
        let btf = Btf::parse(&blob)?;
        Resolver::new(&btf).resolve(id)
    }

    fn resolved(&self, id: u32) -> Arc<Layout> {
        self.resolve(id).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asserts that `id` is refused for what the record of `culprit` says, and that the error names that record.
    #[track_caller]
    fn assert_refused(&self, id: u32, culprit: u32, because: &str) {
        let error = self.resolve(id).unwrap_err().to_string();
        let place = format!("BTF type {culprit} at byte {}: ", self.offsets[culprit as usize]);
        assert!(error.starts_with(&place), "{error:?} does not begin with {place:?}");
        assert!(error.contains(because), "{error:?} does not say {because:?}");
    }
}

/// `bit offset + bits name: type`, also of anonymous members' members.
fn rows(layout: &Layout) -> Vec<String> {
    let members = layout.composite().unwrap().flat_members();
    let row = |flat: maplock_layout::FlatMember<'_>| {
        format!(
            "{}+{} {}: {}",
            flat.offset_bits,
            flat.member.size_bits(),
            flat.member.name,
            flat.member.layout.spelling()
        )
    };
    members.into_iter().map(row).collect()
}

fn digest(layout: &Arc<Layout>) -> maplock_layout::Digest {
    let mut def = MapDef::new("m", MapType::HASH);
    def.value = Some(Arc::clone(layout));
    def.digest()
}

/// A struct with a member of every kind that has bytes, and records of every kind that has none.
fn every_kind(endian: Endian) -> (Builder, u32) {
    let mut b = Builder::new(endian);
    let u32_ = b.int("unsigned int", 4, 0);
    let s64 = b.int("long long", 8, SIGNED);
    let char_ = b.int("char", 1, SIGNED);
    let schar = b.int("signed char", 1, SIGNED);
    let bool_ = b.int("_Bool", 1, BOOL);
    let u128_ = b.int("unsigned __int128", 16, 0);
    let double = b.record(BtfKind::Float, "double", 0, 8, &[]);
    let text = b.array(char_, 16);
    let grid = b.array(text, 3);
    let kind = b.enumeration("kind", 4, &[("LOW", -1), ("HIGH", 7)]);
    let (big, low, high) = (b.string("BIG"), 1, 0x8000_0000);
    let wide_name = b.string("wide");
    let wide = b.raw(wide_name, (BtfKind::Enum64 as u32) << 24 | 1, 8, &[big, low, high]);
    let arm = b.composite(BtfKind::Union, "arm", 4, &[("all", u32_, 0), ("first", char_, 0)]);
    let task = b.record(BtfKind::Fwd, "task", 0, 0, &[]);
    let to_task = b.refer(BtfKind::Ptr, "", task);
    let be32 = b.refer(BtfKind::Typedef, "__be32", u32_);
    let constant = b.refer(BtfKind::Const, "", be32);
    let volatile = b.refer(BtfKind::Volatile, "", constant);
    let restrict = b.refer(BtfKind::Restrict, "", to_task);
    let tagged = b.refer(BtfKind::TypeTag, "kptr", restrict);
    let all = b.structure(
        "all",
        176,
        &[
            ("id", u32_, 0),
            ("delta", s64, 64),
            ("letter", char_, 128),
            ("small", schar, 136),
            ("flag", bool_, 144),
            ("grid", grid, 152),
            ("kind", kind, 544),
            ("wide", wide, 576),
            ("arm", arm, 640),
            ("address", volatile, 672),
            ("task", tagged, 704),
            ("ratio", double, 768),
            ("hash", u128_, 896),
        ],
    );
    let proto = b.record(BtfKind::FuncProto, "", 1, u32_, &[0, to_task]);
    let func = b.refer(BtfKind::Func, "prog", proto);
    let var = b.record(BtfKind::Var, "state", 0, all, &[1]);
    b.record(BtfKind::Datasec, ".bss", 1, 176, &[var, 8, 176]);
    b.record(BtfKind::DeclTag, "reader", 0, func, &[0]);
    (b, all)
}

#[test]
fn every_kind_of_type_is_read_the_same_in_both_byte_orders() {
    let expected = [
        "0+32 id: u32",
        "64+64 delta: i64",
        "128+8 letter: char",
        "136+8 small: i8",
        "144+8 flag: bool",
        "152+384 grid: char[3][16]",
        "544+32 kind: enum kind",
        "576+64 wide: enum wide",
        "640+32 arm: union arm",
        "672+32 address: __be32",
        "704+64 task: struct task *",
        "768+64 ratio: f64",
        "896+128 hash: u128",
    ];
    let layouts = BOTH.map(|endian| {
        let (b, all) = every_kind(endian);
        let blob = b.blob();
        assert_eq!(Btf::parse(&blob).unwrap().endian(), endian);
        let layout = b.resolved(all);
        assert_eq!(rows(&layout), expected, "{endian:?}");
        assert_eq!(layout.size, 176);
        layout
    });
    assert_eq!(layouts[0], layouts[1]);
    assert_eq!(digest(&layouts[0]), digest(&layouts[1]));
}

#[test]
fn records_without_bytes_of_their_own_can_be_walked() {
    for endian in BOTH {
        let (b, all) = every_kind(endian);
        let blob = b.blob();
        let btf = Btf::parse(&blob).unwrap();
        let of = |kind: BtfKind| btf.types().find(|ty| ty.kind == kind).unwrap();

        let section = btf.find(&[BtfKind::Datasec], ".bss").unwrap();
        let [info] = section.secinfos().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((info.offset, info.size), (8, 176));
        let var = btf.get(info.type_id).unwrap();
        assert_eq!((btf.name(&var).unwrap(), var.linkage(), var.type_id()), ("state", Linkage::Global, all));

        let tag = of(BtfKind::DeclTag);
        assert_eq!(
            (btf.name(&tag).unwrap(), tag.component_index(), tag.type_id()),
            ("reader", 0, of(BtfKind::Func).id)
        );
        assert_eq!(btf.find(&[BtfKind::Struct], "all").unwrap().id, all);
        assert!(btf.find(&[BtfKind::Union], "all").is_none());
        assert_eq!(btf.types().count() + 1, btf.len() as usize);
    }
}

#[test]
fn enumerators_keep_their_sign_and_all_of_their_bits() {
    for endian in BOTH {
        let mut b = Builder::new(endian);
        let small = b.enumeration("small", 1, &[("NONE", 0), ("ALL", -1)]);
        let name = b.string("wide");
        let (top, bottom) = (b.string("TOP"), b.string("BOTTOM"));
        let words = [top, 0xffff_ffff, 0xffff_ffff, bottom, 0, 0x8000_0000];
        let info = (BtfKind::Enum64 as u32) << 24 | 2;
        let unsigned = b.raw(name, info, 8, &words);
        let signed = b.raw(name, KIND_FLAG | info, 8, &words);
        let values = |id| match &b.resolved(id).shape {
            Shape::Enum(of) => of.values.iter().map(|(name, value)| (name.to_string(), *value)).collect::<Vec<_>>(),
            shape => panic!("{shape:?}"),
        };
        let named = |values: [(&str, i128); 2]| values.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(values(small), named([("NONE", 0), ("ALL", -1)]));
        assert_eq!(values(unsigned), named([("TOP", i128::from(u64::MAX)), ("BOTTOM", 1 << 63)]));
        assert_eq!(values(signed), named([("TOP", -1), ("BOTTOM", i64::MIN.into())]));
    }
}

#[test]
fn bit_fields_of_the_kind_flag_have_their_width_beside_their_offset() {
    for endian in BOTH {
        let mut b = Builder::new(endian);
        let u32_ = b.int("unsigned int", 4, 0);
        let kind = b.enumeration("kind", 4, &[("A", 0)]);
        let flags = b.with_bits("flags", 8, &[("low", u32_, 0, 3), ("kind", kind, 3, 5), ("whole", u32_, 32, 0)]);
        let layout = b.resolved(flags);
        assert_eq!(rows(&layout), ["0+3 low: u32", "3+5 kind: enum kind", "32+32 whole: u32"]);
        let widths: Vec<_> = layout.composite().unwrap().members().iter().map(|member| member.bits).collect();
        assert_eq!(widths, [Some(3), Some(5), None]);
    }
}

#[test]
fn before_the_kind_flag_a_bit_field_was_an_integer_of_fewer_bits() {
    let mut b = Builder::little();
    let three = b.record(BtfKind::Int, "unsigned int", 0, 4, &[3]);
    let five_from_two = b.record(BtfKind::Int, "unsigned int", 0, 4, &[2 << 16 | 5]);
    let alias = b.refer(BtfKind::Typedef, "__u32", five_from_two);
    let flags = b.structure("flags", 4, &[("low", three, 0), ("high", alias, 3)]);
    assert_eq!(rows(&b.resolved(flags)), ["0+3 low: u32", "5+5 high: u32"]);
}

#[test]
fn names_of_fixed_width_integers_say_nothing_new_and_other_typedefs_are_kept() {
    let mut b = Builder::little();
    let u32_ = b.int("unsigned int", 4, 0);
    let u64_ = b.int("unsigned long", 8, 0);
    let uint32 = b.refer(BtfKind::Typedef, "__u32", u32_);
    let stdint = b.refer(BtfKind::Typedef, "uint32_t", uint32);
    let be32 = b.refer(BtfKind::Typedef, "__be32", uint32);
    let address = b.refer(BtfKind::Typedef, "address_t", be32);
    let liar = b.refer(BtfKind::Typedef, "u32", u64_);
    let signed_liar = b.refer(BtfKind::Typedef, "s32", u32_);
    let spelled = |id| b.resolved(id).spelling();
    assert_eq!([stdint, be32, address, liar, signed_liar].map(spelled), ["u32", "__be32", "address_t", "u32", "s32"]);
    assert_eq!(b.resolved(liar).size, 8);
    assert_eq!(b.resolved(liar).typedef.as_deref(), Some("u32"), "of another width, it is a name like any other");
}

#[test]
fn members_of_anonymous_structs_and_unions_count_as_those_of_the_parent_at_any_depth() {
    let mut b = Builder::little();
    let u32_ = b.int("unsigned int", 4, 0);
    let deep = b.structure("", 8, &[("c", u32_, 0), ("d", u32_, 32)]);
    let union = b.composite(BtfKind::Union, "", 8, &[("b", u32_, 0), ("", deep, 0)]);
    let outer = b.structure("outer", 16, &[("a", u32_, 0), ("", union, 32), ("named", deep, 96 - 32)]);
    let layout = b.resolved(outer);
    assert_eq!(
        rows(&layout),
        ["0+32 a: u32", "32+32 b: u32", "32+32 c: u32", "64+32 d: u32", "64+64 named: struct (anonymous)",]
    );
    let in_union: Vec<_> = layout.composite().unwrap().flat_members().iter().map(|flat| flat.in_union).collect();
    assert_eq!(in_union, [false, true, true, true, false]);
}

#[test]
fn a_struct_may_point_to_itself() {
    let mut b = Builder::little();
    // Type 1 points to type 2, which holds type 1.
    let to_node = b.refer(BtfKind::Ptr, "", 2);
    let node = b.structure("node", 16, &[("next", to_node, 0), ("previous", to_node, 64)]);
    assert_eq!(rows(&b.resolved(node)), ["0+64 next: struct node *", "64+64 previous: struct node *"]);
}

#[test]
fn pointers_to_pointers_and_to_functions_are_named() {
    let mut b = Builder::little();
    let constant = b.refer(BtfKind::Const, "", 0);
    let void = b.refer(BtfKind::Ptr, "", constant);
    let twice = b.refer(BtfKind::Ptr, "", void);
    let proto = b.record(BtfKind::FuncProto, "", 0, 0, &[]);
    let callback = b.refer(BtfKind::Ptr, "", proto);
    let union = b.string("state");
    let union = b.raw(union, KIND_FLAG | (BtfKind::Fwd as u32) << 24, 0, &[]);
    let to_union = b.refer(BtfKind::Ptr, "", union);
    let spelled = |id| b.resolved(id).spelling();
    assert_eq!([void, twice, callback, to_union].map(spelled), ["void *", "void * *", "function *", "union state *"]);
}

#[test]
fn a_pointer_that_points_to_itself_is_still_a_pointer() {
    let mut b = Builder::little();
    let endless = b.refer(BtfKind::Ptr, "", 1);
    assert!(b.resolve(endless).map_or(true, |layout| layout.size == 8));
}

// What no compiler writes.

#[test]
fn a_typedef_of_itself_is_refused() {
    let mut b = Builder::little();
    b.refer(BtfKind::Typedef, "a", 2);
    b.refer(BtfKind::Const, "", 1);
    let error = b.resolve(1).unwrap_err().to_string();
    assert!(error.contains("BTF type ") && error.contains(" at byte ") && error.contains("contain itself"), "{error}");
    let blob = b.blob();
    let error = Btf::parse(&blob).unwrap().skip_modifiers(1).unwrap_err().to_string();
    assert!(error.starts_with("BTF type 1 at byte 24: ") && error.contains("cycle"), "{error}");
}

#[test]
fn a_struct_that_contains_itself_is_refused() {
    let mut b = Builder::little();
    let array = b.array(2, 1);
    let node = b.structure("node", 8, &[("inner", array, 0)]);
    let error = b.resolve(node).unwrap_err().to_string();
    assert!(error.contains("BTF type ") && error.contains(" at byte ") && error.contains("contain itself"), "{error}");
}

#[test]
fn an_array_of_four_billion_elements_is_refused_where_it_takes_more_than_4_gib() {
    let mut b = Builder::little();
    let char_ = b.int("char", 1, SIGNED);
    let u64_ = b.int("unsigned long", 8, 0);
    let void = b.array(0, u32::MAX);
    let bytes = b.array(char_, u32::MAX);
    let words = b.array(u64_, u32::MAX);
    let squared = b.array(bytes, u32::MAX);
    assert_eq!(b.resolved(void).size, 0);
    assert_eq!(b.resolved(bytes).size, u64::from(u32::MAX));
    b.assert_refused(words, words, "larger than 4 GiB");
    b.assert_refused(squared, squared, "larger than 4 GiB");
}

#[test]
fn an_id_out_of_range_is_refused() {
    for id in [2, 3, 0x7fff_ffff, u32::MAX] {
        let mut b = Builder::little();
        let alias = b.refer(BtfKind::Typedef, "far", id);
        let error = b.resolve(if id == 2 { 2 } else { alias }).unwrap_err();
        assert_eq!(error, BtfError::NoSuchType { id, types: 2 });
        assert_eq!(error.to_string(), format!("BTF type {id} does not exist: the last is 1"));
    }
}

#[test]
fn an_id_out_of_range_is_refused_wherever_it_stands() {
    let refer = |kind| {
        let mut b = Builder::little();
        b.refer(kind, "", 77);
        b
    };
    let array = {
        let mut b = Builder::little();
        b.array(77, 3);
        b
    };
    let member = {
        let mut b = Builder::little();
        b.structure("s", 4, &[("a", 77, 0)]);
        b
    };
    for b in [refer(BtfKind::Ptr), refer(BtfKind::Const), refer(BtfKind::TypeTag), array, member] {
        assert_eq!(b.resolve(1).unwrap_err(), BtfError::NoSuchType { id: 77, types: 2 });
    }
}

#[test]
fn a_member_beyond_its_struct_is_refused() {
    let mut b = Builder::little();
    let u32_ = b.int("unsigned int", 4, 0);
    let past = b.structure("past", 4, &[("first", u32_, 0), ("second", u32_, 8)]);
    let far = b.structure("far", 8, &[("only", u32_, !7)]);
    let array = b.array(u32_, 1 << 20);
    let large = b.structure("large", 64, &[("array", array, 0)]);
    let bits = b.with_bits("bits", 1, &[("wide", u32_, 0, 9)]);
    for (culprit, member) in [(past, "second"), (far, "only"), (large, "array"), (bits, "wide")] {
        b.assert_refused(culprit, culprit, &format!("`{member}`"));
    }
}

#[test]
fn a_member_that_starts_inside_of_a_byte_must_be_a_bit_field() {
    let mut b = Builder::little();
    let u32_ = b.int("unsigned int", 4, 0);
    let odd = b.structure("odd", 8, &[("a", u32_, 3)]);
    b.assert_refused(odd, odd, "`a`");
}

#[test]
fn a_bit_field_wider_than_its_type_is_refused() {
    let mut b = Builder::little();
    let u8_ = b.int("unsigned char", 1, 0);
    let wide = b.with_bits("wide", 8, &[("a", u8_, 0, 9)]);
    b.assert_refused(wide, wide, "`a`");
}

#[test]
fn a_bit_field_of_a_struct_is_refused() {
    let mut b = Builder::little();
    let u32_ = b.int("unsigned int", 4, 0);
    let inner = b.structure("inner", 4, &[("a", u32_, 0)]);
    let array = b.array(u32_, 1);
    let pointer = b.refer(BtfKind::Ptr, "", 0);
    let float = b.record(BtfKind::Float, "float", 0, 4, &[]);
    for ty in [inner, array, pointer, float] {
        let outer = b.with_bits("outer", 8, &[("field", ty, 3, 5)]);
        b.assert_refused(outer, outer, "`field`");
    }
}

#[test]
fn an_integer_whose_bits_do_not_fit_its_bytes_is_refused() {
    for (size, data) in [(4, 33), (4, 8 << 16 | 32), (1, 255), (17, 8), (u32::MAX, 32), (4, 8 << 24 | 32)] {
        let mut b = Builder::little();
        let int = b.record(BtfKind::Int, "odd", 0, size, &[data]);
        let alias = b.refer(BtfKind::Typedef, "odd_t", int);
        let outer = b.structure("outer", u32::MAX, &[("field", alias, 0)]);
        for id in [int, alias, outer] {
            b.assert_refused(id, int, "integer");
        }
    }
}

#[test]
fn an_enum_of_an_odd_size_is_refused() {
    for size in [0, 3, 16, u32::MAX] {
        let mut b = Builder::little();
        let odd = b.enumeration("odd", size, &[("A", 0)]);
        b.assert_refused(odd, odd, "enum");
    }
}

#[test]
fn a_float_of_a_size_that_no_machine_has_is_refused() {
    for size in [0, 1, 3, 17, u32::MAX] {
        let mut b = Builder::little();
        let odd = b.record(BtfKind::Float, "odd", 0, size, &[]);
        b.assert_refused(odd, odd, "float");
    }
}

#[test]
fn a_char_of_several_bytes_survives_the_lock() {
    let mut b = Builder::little();
    let wide = b.int("wchar_t", 4, CHAR);
    let mut def = MapDef::new("m", MapType::HASH);
    (def.value_size, def.value) = (4, Some(b.resolved(wide)));
    let text = support::lock([def]).to_string();
    assert_eq!(maplock_layout::Lock::parse(&text).map(|lock| lock.to_string()), Ok(text));
}

#[test]
fn a_section_or_a_function_is_no_part_of_a_struct_with_bytes() {
    let mut b = Builder::little();
    let u32_ = b.int("unsigned int", 4, 0);
    let var = b.record(BtfKind::Var, "license", 0, u32_, &[1]);
    let section = b.record(BtfKind::Datasec, "license", 1, 0, &[var, 0, 4]);
    let outer = b.structure("outer", 4, &[("section", section, 0)]);
    // Compilers leave a section's size 0, so that its variables lie beyond it: no lock could hold that.
    let error = b.resolve(outer).unwrap_err().to_string();
    assert!(error.starts_with("BTF type "), "{error}");
}

#[test]
fn the_header_is_held_against_the_bytes() {
    let good = every_kind(Endian::Little).0.blob();
    let with = |at: usize, bytes: &[u8]| {
        let mut blob = good.clone();
        blob[at..at + bytes.len()].copy_from_slice(bytes);
        Btf::parse(&blob).unwrap_err().to_string()
    };
    assert_eq!(
        Btf::parse(&[]).unwrap_err().to_string(),
        "BTF header at byte 0: 0 bytes are too few for a header of 24"
    );
    assert_eq!(with(0, &[0x7f, b'E']), "BTF header at byte 0: magic is 0x457f, not 0xeb9f");
    assert_eq!(with(2, &[2]), "BTF header at byte 2: version is 2, this reader knows version 1");
    assert_eq!(with(4, &[23, 0, 0, 0]), "BTF header at byte 4: hdr_len is smaller than the header");
    for (at, what) in [(8, "type"), (12, "type"), (16, "string"), (20, "string")] {
        let error = with(at, &[0xff; 4]);
        assert!(error.contains(&format!("the {what} section ends behind the last of")), "{error}");
    }
    let unterminated = {
        let mut blob = good.clone();
        *blob.last_mut().unwrap() = b'x';
        Btf::parse(&blob).unwrap_err().to_string()
    };
    assert_eq!(unterminated, "BTF header at byte 16: the string section does not begin and end with a NUL");
}

#[test]
fn a_longer_header_of_the_future_is_skipped() {
    let (b, all) = every_kind(Endian::Big);
    let mut blob = b.blob();
    blob[4..8].copy_from_slice(&32_u32.to_be_bytes());
    blob.splice(24..24, [0xaa; 8]);
    let btf = Btf::parse(&blob).unwrap();
    assert_eq!(Resolver::new(&btf).resolve(all).unwrap(), b.resolved(all));
}

#[test]
fn a_record_that_the_section_ends_in_is_refused() {
    let mut b = Builder::little();
    b.int("unsigned int", 4, 0);
    let info = (BtfKind::Struct as u32) << 24 | 65535;
    b.raw(0, info, 4, &[0, 1, 0]);
    let blob = b.blob();
    let error = Btf::parse(&blob).unwrap_err().to_string();
    assert_eq!(error, "BTF type 2 at byte 40: a record of 786432 bytes, but the section ends after 24");

    let mut b = Builder::little();
    b.int("unsigned int", 4, 0);
    b.types.extend([0; 7]);
    let blob = b.blob();
    let error = Btf::parse(&blob).unwrap_err().to_string();
    assert_eq!(error, "BTF type 2 at byte 40: 7 bytes are too few for a record");
}

#[test]
fn an_unknown_kind_is_refused() {
    for kind in [0, 20, 31] {
        let mut b = Builder::little();
        b.raw(0, kind << 24, 0, &[]);
        let blob = b.blob();
        let error = Btf::parse(&blob).unwrap_err().to_string();
        assert_eq!(error, format!("BTF type 1 at byte 24: kind {kind} is unknown"));
    }
}

#[test]
fn a_name_outside_of_the_string_section_is_refused() {
    for name_off in [1, 1000, u32::MAX] {
        let mut b = Builder::little();
        let int = (BtfKind::Struct as u32) << 24;
        b.raw(name_off, int, 0, &[]);
        b.assert_refused(1, 1, "name");
    }
}

#[test]
fn a_name_that_is_not_utf_8_is_refused() {
    let mut b = Builder::little();
    b.strings.extend([0xff, 0xfe, 0]);
    let empty = b.raw(1, (BtfKind::Struct as u32) << 24, 0, &[]);
    let outer = b.structure("outer", 0, &[("empty", empty, 0)]);
    b.assert_refused(empty, empty, "name");
    b.assert_refused(outer, empty, "name");
    let u8_ = b.int("unsigned char", 1, 0);
    let member = b.raw(0, (BtfKind::Struct as u32) << 24 | 1, 1, &[1, u8_, 0]);
    b.assert_refused(member, member, "name");
}

#[test]
fn a_struct_of_two_structs_of_two_structs_is_no_explosion() {
    let mut b = Builder::little();
    let mut inner = b.int("unsigned char", 1, 0);
    for level in 1..=27 {
        let half = 1_u32 << (level - 1);
        inner = b.structure(&format!("s{level}"), half * 2, &[("a", inner, 0), ("b", inner, half * 8)]);
    }
    let layout = b.resolved(inner);
    quickly(move || {
        let mut def = MapDef::new("m", MapType::HASH);
        (def.value_size, def.value) = (u32::try_from(layout.size).unwrap(), Some(layout));
        let lock = support::lock([def]);
        let text = lock.to_string();
        assert!(text.len() < 10_000);
        let again = maplock_layout::Lock::parse(&text).unwrap();
        assert_eq!(support::lines(&support::diff(&lock, &again)), [""; 0]);
    });
}

#[test]
fn anonymous_members_do_not_explode() {
    let mut b = Builder::little();
    let mut inner = b.composite(BtfKind::Union, "", 1, &[]);
    let u8_ = b.int("unsigned char", 1, 0);
    for level in 0..100 {
        let leaf = if level == 0 { u8_ } else { inner };
        let name = |name| if level == 0 { name } else { "" };
        inner = b.composite(BtfKind::Union, "", 1, &[(name("a"), leaf, 0), (name("b"), leaf, 0)]);
    }
    let error = quickly(move || b.resolve(inner).unwrap_err().to_string());
    assert!(error.starts_with("BTF type ") && error.contains("anonymous members"), "{error}");
}

#[test]
fn anonymous_members_without_members_of_their_own_are_no_explosion() {
    let mut b = Builder::little();
    let mut inner = b.structure("", 0, &[]);
    for _ in 0..60 {
        inner = b.structure("", 0, &[("", inner, 0), ("", inner, 0)]);
    }
    quickly(move || {
        if let Ok(layout) = b.resolve(inner) {
            assert!(layout.composite().unwrap().flat_members().len() <= 8192);
        }
    });
}

#[test]
fn types_may_nest_no_deeper_from_the_inside_out() {
    let mut b = Builder::little();
    let mut inner = b.int("unsigned char", 1, 0);
    for _ in 0..1000 {
        inner = b.structure("s", 1, &[("a", inner, 0)]);
    }
    let blob = b.blob();
    let btf = Btf::parse(&blob).unwrap();
    let from_the_outside = Resolver::new(&btf).resolve(inner).unwrap_err().to_string();
    assert!(from_the_outside.contains("levels deep"), "{from_the_outside}");
    let mut resolver = Resolver::new(&btf);
    // Deep layouts would overflow the stack of whatever walks them.
    let from_the_inside = (1..=inner).map(|id| resolver.resolve(id)).next_back().unwrap();
    let error = from_the_inside.map(|layout| layout.spelling()).unwrap_err().to_string();
    assert!(error.contains("levels deep"), "{error}");
}

/// Bytes of all names in a layout, each allocation once.
fn bytes_of_names(layout: &Layout) -> usize {
    let mut names: HashMap<*const u8, usize> = HashMap::new();
    for flat in layout.composite().unwrap().flat_members() {
        let inner = &flat.member.layout;
        let (name, typedef) = (Some(&*flat.member.name), inner.typedef.as_deref());
        let shape = match &inner.shape {
            Shape::Opaque { name } | Shape::Pointer { target: name } => Some(&**name),
            Shape::Enum(of) => of.name.as_deref(),
            Shape::Composite(of) => of.name().map(|name| &**name),
            _ => None,
        };
        names.extend([name, typedef, shape].into_iter().flatten().map(|name| (name.as_ptr(), name.len())));
    }
    names.values().sum()
}

#[test]
fn many_records_may_share_a_long_name() {
    let (long, records) = ("x".repeat(20_000), 3000);
    type Record = fn(&mut Builder, u32) -> u32;
    let kinds: [(&str, Record); 6] = [
        ("fwd", |b, name| b.raw(name, (BtfKind::Fwd as u32) << 24, 0, &[])),
        ("struct", |b, name| b.raw(name, (BtfKind::Struct as u32) << 24, 0, &[])),
        ("typedef", |b, name| b.raw(name, (BtfKind::Typedef as u32) << 24, 0, &[])),
        ("enum", |b, name| b.raw(name, (BtfKind::Enum as u32) << 24, 1, &[])),
        ("empty int", |b, name| b.raw(name, (BtfKind::Int as u32) << 24, 0, &[0])),
        ("pointer to fwd", |b, name| {
            let fwd = b.raw(name, (BtfKind::Fwd as u32) << 24, 0, &[]);
            b.refer(BtfKind::Ptr, "", fwd)
        }),
    ];
    for shared in [true, false] {
        for (what, record) in kinds {
            let mut b = Builder::little();
            let name = b.string(&long);
            let mut members = Vec::new();
            for index in 0..records {
                // Either all have one name, or each has the tail of it.
                let id = record(&mut b, if shared { name } else { name + index });
                members.push(("a", id, 0));
            }
            let all = b.structure("all", 8, &members);
            let len = b.blob().len();
            // An error is right as well: nobody has such types.
            if let Ok(layout) = quickly(move || b.resolve(all)) {
                let names = bytes_of_names(&layout);
                assert!(names <= 16 * len, "{what}, shared {shared}: {names} bytes of names from {len} of BTF");
            }
        }
    }
}

#[test]
fn many_bytes_that_share_a_long_name_take_no_time() {
    let mut b = Builder::little();
    let name = b.string(&"c".repeat(400_000));
    let ids: Vec<u32> = (0..60_000).map(|_| b.raw(name, (BtfKind::Int as u32) << 24, 1, &[8])).collect();
    let members: Vec<_> = ids.into_iter().map(|id| ("a", id, 0)).collect();
    let all = b.structure("all", 1, &members);
    quickly(move || assert_eq!(b.resolved(all).composite().unwrap().members().len(), 60_000));
}

#[test]
fn a_blob_that_is_cut_anywhere_is_refused() {
    for endian in BOTH {
        let blob = every_kind(endian).0.blob();
        for len in 0..blob.len() {
            assert!(Btf::parse(&blob[..len]).is_err(), "{len} of {} bytes", blob.len());
        }
    }
}

/// Resolves all that there is. Whatever comes of it, a refusal names a record, and what can be written as BTF again means
/// the same.
fn resolve_all(data: &[u8]) {
    let Ok(btf) = Btf::parse(data) else { return };
    let mut resolver = Resolver::new(&btf);
    for id in 0..btf.len().saturating_add(2) {
        match resolver.resolve(id) {
            Ok(layout) => {
                let (_, before) = (layout.spelling(), digest(&layout));
                if let Ok(encoded) = encode(None, Some(&layout)) {
                    let again = Btf::parse(&encoded.bytes).unwrap();
                    let again = Resolver::new(&again).resolve(encoded.value_type_id).unwrap();
                    assert_eq!(digest(&again), before, "{layout:?}");
                }
            }
            Err(error) => assert!(error.to_string().starts_with("BTF type "), "{error}"),
        }
    }
}

#[test]
fn a_type_section_that_is_cut_anywhere_is_read_or_refused() {
    for endian in BOTH {
        let (b, _) = every_kind(endian);
        let blob = b.blob();
        let len = u32::try_from(b.types.len()).unwrap();
        for cut in 0..len {
            let mut blob = blob.clone();
            blob[12..16].copy_from_slice(&b.word(cut));
            let parsed = Btf::parse(&blob);
            let at_a_record = b.offsets[1..].contains(&(Builder::HEADER_LEN + cut as usize));
            assert_eq!(parsed.is_ok(), at_a_record, "{cut} of {len} bytes");
            resolve_all(&blob);
        }
    }
}

fn words(len: usize) -> impl Strategy<Value = Vec<u32>> {
    // Mostly small, so that ids and offsets meet something.
    let word = prop_oneof![4 => 0_u32..40, 1 => any::<u32>(), 1 => (1_u32..20).prop_map(|kind| kind << 24 | 1)];
    proptest::collection::vec(word, 0..len)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        resolve_all(&bytes);
    }

    #[test]
    fn random_records_are_read_or_refused(words in words(120), big in any::<bool>()) {
        let mut b = Builder::new(if big { Endian::Big } else { Endian::Little });
        b.string("a name or two");
        for word in words {
            let word = b.word(word);
            b.types.extend(word);
        }
        resolve_all(&b.blob());
    }

    #[test]
    fn valid_bytes_with_a_few_random_ones_are_read_or_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        big in any::<bool>(),
    ) {
        let mut blob = every_kind(if big { Endian::Big } else { Endian::Little }).0.blob();
        for (index, byte) in changes {
            let at = index.index(blob.len());
            blob[at] = byte;
        }
        resolve_all(&blob);
    }
}

#[test]
fn names_with_control_characters_are_refused_and_shown_escaped() {
    let encoded = encode(None, Some(&support::c::layout("struct packets { u32 hits; };"))).unwrap();
    for (name, odd, shown) in [("packets", "pa\u{1b}kets", "pa\\u{1b}kets"), ("hits", "hi\rs", "hi\\rs")] {
        let at = encoded.bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
        let mut bytes = encoded.bytes.clone();
        bytes[at..at + name.len()].copy_from_slice(odd.as_bytes());
        let btf = Btf::parse(&bytes).unwrap();
        let error = Resolver::new(&btf).resolve(encoded.value_type_id).unwrap_err().to_string();
        assert!(error.contains(&format!("the name `{shown}` has a control character")), "{error}");
    }
}
