//! Reads what the C programs beside this file print, and prints what the generated types make of the same bytes.

use std::io::Read as _;

use generated::{bitfields, nested, packed, scalars};

/// Types that are generated: integers, floats, and arrays, structs and unions of them, with every byte of padding a field.
trait Generated: Copy {}

impl Generated for bitfields::InAStruct {}
impl Generated for bitfields::Mixed {}
impl Generated for bitfields::Straddling {}
impl Generated for bitfields::ZeroWidth {}
impl Generated for nested::Flexible {}
impl Generated for nested::Key {}
impl Generated for nested::Value {}
impl Generated for packed::AlignedMembers {}
impl Generated for packed::Holes {}
impl Generated for packed::PackedAligned {}
impl Generated for packed::PackedKey {}
impl Generated for packed::PartPacked {}
impl Generated for scalars::Integers {}
impl Generated for scalars::OtherScalars {}

fn from_hex<T: Generated>(hex: &str) -> T {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits")).collect();
    assert_eq!(bytes.len(), size_of::<T>(), "C and Rust disagree on the size of {}", std::any::type_name::<T>());
    // SAFETY: as many bytes are there as the type takes, and `Generated` says that it may hold any. The vector may be at
    // any address, so the read is an unaligned one.
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

fn hex<T: Generated>(value: &T) -> String {
    // SAFETY: the pointer and the length are those of one value, which outlives the slice. `Generated` says that none of
    // its bytes is implicit padding, so all of them are initialized.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Prints members, each under the name that C has for it.
macro_rules! members {
    ($($name:literal $value:expr),* $(,)?) => {{ $(println!("{} {}", $name, ($value) as i64);)* }};
}

fn read(ty: &str, bytes: &str) {
    match ty {
        "struct mixed" => {
            let it: bitfields::Mixed = from_hex(bytes);
            members!("first" it.first(), "second" it.second(), "ordinary" it.ordinary, "third" it.third());
            members!("fourth" it.fourth(), "another" it.another, "negative" it.negative(), "flag" it.flag());
            members!("mode" it.mode(), "wide" it.wide());
        }
        "struct zero_width" => {
            let it: bitfields::ZeroWidth = from_hex(bytes);
            members!("before" it.before(), "after" it.after());
        }
        "struct straddling" => {
            let it: bitfields::Straddling = from_hex(bytes);
            members!("low" it.low(), "across" it.across(), "far_across" it.far_across(), "rest" it.rest());
        }
        "struct in_a_struct" => {
            let it: bitfields::InAStruct = from_hex(bytes);
            members!("before" it.before, "named.a" it.named.a(), "named.b" it.named.b());
            members!("c" it.anonymous2.c(), "d" it.anonymous2.d());
            // SAFETY: any bytes are a number.
            members!("overlaid.whole" unsafe { it.overlaid.whole });
            members!("array[1].before" it.array[1].before(), "array[1].after" it.array[1].after());
        }
        "struct packed_key" => {
            let it: packed::PackedKey = from_hex(bytes);
            members!("kind" it.kind, "number" it.number, "port" it.port);
        }
        "struct holes" => {
            let it: packed::Holes = from_hex(bytes);
            members!("a" it.a, "b" it.b, "c" it.c, "d" it.d, "e" it.e);
        }
        "struct part_packed" => {
            let it: packed::PartPacked = from_hex(bytes);
            members!("a" it.a, "b" it.b, "c" it.c, "d" it.d);
        }
        "struct packed_aligned" => {
            let it: packed::PackedAligned = from_hex(bytes);
            members!("a" it.a, "b" it.b);
        }
        "struct aligned_members" => {
            let it: packed::AlignedMembers = from_hex(bytes);
            members!("a" it.a, "b" it.b, "c.count" it.c.count, "d.number" it.d.number, "e[1].d" it.e[1].d);
        }
        "struct key" => {
            let it: nested::Key = from_hex(bytes);
            // SAFETY: all arms are numbers, and any bytes are a number.
            unsafe {
                members!("from.addr.in.bytes[15]" it.from.addr.r#in.bytes[15]);
                members!("from.addr.in.longs[3]" it.from.addr.r#in.longs[3]);
                members!("to.addr.in.words[1]" it.to.addr.r#in.words[1], "to.zone" it.to.zone);
                members!("code" it.anonymous2.anonymous0.code, "both" it.anonymous2.both);
                members!("deeper_byte" it.anonymous2.anonymous2.anonymous0.anonymous1.deeper_byte);
                members!("beside" it.anonymous2.anonymous2.beside, "protocol" it.protocol);
            }
        }
        "struct value" => {
            let it: nested::Value = from_hex(bytes);
            members!("by_direction[1].packets" it.by_direction[1].packets, "recent[2].when" it.recent[2].when);
            members!("recent[2].counter.bytes" it.recent[2].counter.bytes, "matrix[1][2][3]" it.matrix[1][2][3]);
            // SAFETY: all arms are numbers, and any bytes are a number.
            unsafe {
                members!("any.as_counter.bytes" it.any.as_counter.bytes, "any.as_words[1]" it.any.as_words[1]);
                members!("any.as_double" it.any.as_double.to_bits());
            }
            members!("pointers[1]" it.pointers[1]);
        }
        "struct flexible" => {
            let it: nested::Flexible = from_hex(bytes);
            members!("length" it.length);
        }
        "struct integers" => {
            let it: scalars::Integers = from_hex(bytes);
            members!("s8" it.s8, "u8" it.u8, "s16" it.s16, "u16" it.u16, "s32" it.s32, "u32" it.u32);
            members!("s_long" it.s_long, "u_long" it.u_long, "s64" it.s64, "u64" it.u64);
            members!("s128 >> 64" it.s128 >> 64, "u128 >> 3" it.u128 >> 3);
        }
        "struct other_scalars" => {
            let it: scalars::OtherScalars = from_hex(bytes);
            members!("plain_char" it.plain_char, "flag" it.flag, "single" it.single.to_bits());
            members!("twice" it.twice.to_bits(), "color" it.color.0, "tiny" it.tiny.0);
            members!("text" it.text, "function" it.function);
        }
        other => panic!("`{other}` is not known here"),
    }
}

fn write(member: &str, before: &str, number: u64) -> String {
    /// Sets one bit-field of a type, and prints the type's bytes.
    macro_rules! set {
        ($ty:ty, |$it:ident| $set:expr) => {{
            let mut $it: $ty = from_hex(before);
            $set;
            hex(&$it)
        }};
    }
    match member {
        "struct mixed.first" => set!(bitfields::Mixed, |it| it.set_first(number as u32)),
        "struct mixed.second" => set!(bitfields::Mixed, |it| it.set_second(number as u32)),
        "struct mixed.third" => set!(bitfields::Mixed, |it| it.set_third(number as u8)),
        "struct mixed.fourth" => set!(bitfields::Mixed, |it| it.set_fourth(number as u8)),
        "struct mixed.negative" => set!(bitfields::Mixed, |it| it.set_negative(number as i32)),
        "struct mixed.mode" => set!(bitfields::Mixed, |it| it.set_mode(number as u32)),
        "struct mixed.wide" => set!(bitfields::Mixed, |it| it.set_wide(number)),
        "struct zero_width.after" => set!(bitfields::ZeroWidth, |it| it.set_after(number as u32)),
        "struct straddling.low" => set!(bitfields::Straddling, |it| it.set_low(number as u32)),
        "struct straddling.across" => set!(bitfields::Straddling, |it| it.set_across(number as u32)),
        "struct straddling.far_across" => set!(bitfields::Straddling, |it| it.set_far_across(number)),
        "struct straddling.rest" => set!(bitfields::Straddling, |it| it.set_rest(number as u8)),
        "struct in_a_struct.named.b" => set!(bitfields::InAStruct, |it| it.named.set_b(number as u16)),
        "struct in_a_struct.d" => set!(bitfields::InAStruct, |it| it.anonymous2.set_d(number as u8)),
        "struct in_a_struct.array[1].after" => set!(bitfields::InAStruct, |it| it.array[1].set_after(number as u32)),
        other => panic!("`{other}` is not known here"),
    }
}

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("text");
    for line in text.lines() {
        if let Some((ty, bytes)) = line.strip_prefix("read ").and_then(|rest| rest.rsplit_once(' ')) {
            println!("read {ty} {bytes}");
            read(ty, bytes);
        } else if let Some(rest) = line.strip_prefix("write ") {
            let words: Vec<_> = rest.rsplitn(4, ' ').collect();
            let [_, number, before, member] = words[..] else { panic!("{line}") };
            println!("write {member} {before} {number} {}", write(member, before, number.parse().expect("a number")));
        }
    }
}
