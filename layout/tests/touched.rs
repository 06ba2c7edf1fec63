//! Which members accesses to bytes of a value meet.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::{Accesses, touched};
use support::{c, quickly};

const FLOW: &str = "
    struct counter { u64 bytes; u32 packets; u16 kinds[2]; };
    struct flow {
        u32 seen:3, state:29;
        u32 connections;
        struct counter total;
        struct counter by_port[4];
        u32 counts[2][3];
        union { u32 shared; u8 bytes[4]; } u;
        u8 small; u16 half;
        bool flag;
    };";

/// What is met, with `?` behind a member that is not met as a number, whole, and `..` where there may be more.
fn met(value: &str, first: u64, last: Option<u64>, step: u64, width: u64) -> Option<String> {
    let met = touched(&c::layout(value), Accesses { first, last, step, width })?;
    let more = (!met.is_all).then(|| "..".to_owned());
    let told = met.members.iter().map(|member| format!("{}{}", member.path, if member.is_number { "" } else { "?" }));
    Some(told.chain(more).collect::<Vec<_>>().join(" "))
}

fn at(first: u64, width: u64) -> String {
    met(FLOW, first, Some(first), 0, width).unwrap()
}

#[test]
fn one_access_meets_the_members_that_have_its_bytes() {
    assert_eq!(at(4, 4), "connections");
    assert_eq!(at(0, 8), "connections? seen? state?");
    assert_eq!(at(3, 1), "state?");
    assert_eq!(at(8, 8), "total.bytes");
    assert_eq!(at(16, 8), "total.kinds[]? total.packets?");
    assert_eq!(at(40, 4), "by_port[].bytes?");
    assert_eq!(at(88, 4), "counts[][]");
    assert_eq!(at(112, 4), "u.bytes[]? u.shared");
    assert_eq!(at(120, 1), "flag?", "a bool is no number");
    assert_eq!(at(117, 1), "", "padding is nobody's");
}

#[test]
fn a_way_through_an_array_meets_what_lies_at_its_steps() {
    let by_port = 24;
    assert_eq!(met(FLOW, by_port, Some(by_port + 48), 16, 8).unwrap(), "by_port[].bytes");
    assert_eq!(met(FLOW, by_port + 8, Some(by_port + 56), 16, 4).unwrap(), "by_port[].packets");
    assert_eq!(met(FLOW, by_port, Some(by_port + 56), 8, 4).unwrap(), "by_port[].bytes? by_port[].packets");
    // Where nothing bounds it, it is most likely of the array that it begins in, and may go on behind it.
    assert_eq!(met(FLOW, by_port + 12, None, 16, 2).unwrap(), "by_port[].kinds[] ..");
    assert_eq!(met(FLOW, 4, None, 4, 4), None);
    assert_eq!(met(FLOW, 88, None, 4, 4).unwrap(), "counts[][] ..");
    assert_eq!(met(FLOW, 4, Some(1000), 4, 4), None, "beyond the value, and in no array");
    assert_eq!(met(FLOW, by_port, Some(1000), 16, 8).unwrap(), "by_port[].bytes ..");
    // Behind it there is nothing.
    assert_eq!(met("u64[4]", 0, None, 8, 8).unwrap(), "value[]");
    assert_eq!(met("struct of { u64 n; u64 counts[4]; };", 8, None, 8, 8).unwrap(), "counts[]");
    assert_eq!(met("u64", 0, Some(0), 0, 8).unwrap(), "value");
}

#[test]
fn hostile_accesses_are_told_in_time() {
    quickly(|| {
        let many = "struct one { u8 a; u32 b; u8 c[3]; };  struct of { struct one many[1000000]; };";
        assert_eq!(met(many, 0, None, 1, 1).unwrap(), "many[].a many[].b? many[].c[]");
        assert_eq!(met(many, 0, None, 7, 1), None);
        assert_eq!(met(many, u64::MAX, Some(u64::MAX), 1, u64::MAX), None);
    });
}
