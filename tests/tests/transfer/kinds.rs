//! Types of maps with a behaviour of their own.

use std::os::fd::{AsFd as _, AsRawFd as _};

use maplock::internals::sys::{Map, NewMap, NewProg, Prog};
use maplock::internals::transfer::{Method, Transfer, TransferError, count};
use maplock_tests::kernel;
use std::time::Duration;

use crate::support::*;

fn transfer<'a>(from: &'a Map, to: &'a Map) -> Transfer<'a> {
    Transfer { from, to, base: None, sums: &[] }
}

/// Moves entries of a queue or stack of `values` to one that holds `there`, and takes all out.
fn moves(map_type: T, capacity: u32, there: &[u32], values: &[u32], method: Method) -> Vec<u32> {
    let (from, to) = (new_map(map_type, 0, 4, values.len().max(1) as u32), new_map(map_type, 0, 4, capacity));
    let push = |map: &Map, values: &[u32]| {
        for value in values {
            map.update(&[], &value.to_ne_bytes(), 0).expect("room");
        }
    };
    push(&from, values);
    let copied = transfer(&from, &to).copy(&mut by(Some(method))).expect("nothing is copied");
    assert_eq!((copied.entries, copied.method), (0, None));
    push(&to, there);
    let settled = transfer(&from, &to).settle(&mut by(Some(method))).expect("moved");
    assert_eq!((settled.inserted, settled.is_exact()), (values.len() as u64, true));
    // Run again after a kill, system calls may move an entry twice.
    assert_eq!(settled.repeats, method != Method::Kernel);
    assert_eq!(from.take(&[]).expect("read"), None);
    take_all(&to)
}

fn by_program_or_not(map_type: T) -> impl Iterator<Item = Method> {
    methods(map_type).into_iter().filter(|method| *method != Method::Batch)
}

fn take_all(map: &Map) -> Vec<u32> {
    std::iter::from_fn(|| map.take(&[]).expect("read"))
        .map(|value| u32::from_ne_bytes(value.try_into().expect("4 bytes")))
        .collect()
}

#[test]
fn a_queue_keeps_its_order_behind_what_new_programs_pushed() {
    if !can_run() {
        return;
    }
    for method in by_program_or_not(T::QUEUE) {
        assert_eq!(moves(T::QUEUE, 10, &[100, 101], &[1, 2, 3], method), [100, 101, 1, 2, 3]);
        assert_eq!(moves(T::QUEUE, 10, &[], &[], method), Vec::<u32>::new());
        let many: Vec<u32> = (0..10_000).collect();
        assert_eq!(moves(T::QUEUE, 10_000, &[], &many, method), many);
    }
}

#[test]
fn a_stack_keeps_its_order_above_what_new_programs_pushed() {
    if !can_run() {
        return;
    }
    for method in by_program_or_not(T::STACK) {
        assert_eq!(moves(T::STACK, 10, &[100, 101], &[1, 2, 3], method), [3, 2, 1, 101, 100]);
        let many: Vec<u32> = (0..10_000).collect();
        let reversed: Vec<u32> = many.iter().rev().copied().collect();
        assert_eq!(moves(T::STACK, 10_000, &[], &many, method), reversed);
    }
}

#[test]
fn what_a_queue_or_stack_has_no_room_for_stays_where_it_was() {
    if !can_run() {
        return;
    }
    for map_type in [T::QUEUE, T::STACK] {
        for method in by_program_or_not(map_type) {
            let (from, to) = (new_map(map_type, 0, 4, 10), new_map(map_type, 0, 4, 4));
            for value in 0..10_u32 {
                from.update(&[], &value.to_ne_bytes(), 0).expect("room");
            }
            let error = transfer(&from, &to).settle(&mut by(Some(method))).expect_err("no room");
            assert!(matches!(error, TransferError::Full { max_entries: 4, .. }), "{error}");
            let (left, moved) = (take_all(&from), take_all(&to));
            match map_type {
                T::QUEUE => assert_eq!((moved, left), (vec![0, 1, 2, 3], vec![4, 5, 6, 7, 8, 9])),
                _ => assert_eq!((moved, left), (vec![3, 2, 1, 0], vec![9, 8, 7, 6, 5, 4])),
            }
        }
    }
}

fn outer(map_type: T, inner: &Map, max_entries: u32) -> Map {
    let mut new = NewMap::new(map_type, 4, 4, max_entries);
    new.inner = Some(inner.as_fd());
    Map::create(&new).expect("memory")
}

fn fd(object: &impl std::os::fd::AsFd) -> [u8; 4] {
    object.as_fd().as_raw_fd().to_ne_bytes()
}

#[test]
fn outer_maps_share_their_inner_maps() {
    if !can_run() {
        return;
    }
    for map_type in [T::ARRAY_OF_MAPS, T::HASH_OF_MAPS] {
        for method in [None, Some(Method::OneByOne)] {
            let inner: Vec<Map> = (0..40).map(|_| new_map(T::HASH, 4, 4, 4)).collect();
            let (from, to) = (outer(map_type, &inner[0], 100), outer(map_type, &inner[0], 120));
            let key = |number: u32| (number * 2).to_ne_bytes();
            for (number, inner) in (0..39).zip(&inner) {
                from.update(&key(number), &fd(inner), 0).expect("room");
            }
            let copied = transfer(&from, &to).copy(&mut by(method)).expect("copied");
            assert_eq!(copied.entries, 39, "{map_type}");
            let same = |number: u32, inner: &Map| {
                let id =
                    to.lookup(&key(number)).expect("read").unwrap_or_else(|| panic!("{map_type} {method:?} {number}"));
                assert_eq!(id, inner.info().id.to_ne_bytes(), "{map_type} {number}");
            };
            (0..39).zip(&inner).for_each(|(number, inner)| same(number, inner));
            assert_eq!(to.lookup(&key(45)).expect("read"), None);
            // Inserted since, and replaced in the new map since.
            from.update(&key(39), &fd(&inner[39]), 0).expect("room");
            to.update(&key(0), &fd(&inner[7]), 0).expect("room");
            let settled = transfer(&from, &to).settle(&mut by(method)).expect("settled");
            assert_eq!(settled.inserted, 1, "{map_type} {settled:?}");
            same(39, &inner[39]);
            same(0, &inner[7]);
        }
    }
}

#[test]
fn devices_and_cpus_are_carried_over_with_their_programs() {
    if !can_run() {
        return;
    }
    const XDP: u32 = 6;
    let xdp = |expected_attach_type| {
        // r0 = XDP_PASS; exit
        Prog::load(&NewProg {
            prog_type: XDP,
            expected_attach_type,
            name: "pass",
            insns: &[0x0000_0002_0000_00b7, 0x95],
            flags: 0,
            functions: None,
            attach_btf_id: 0,
        })
        .expect("a valid program")
    };
    const BPF_XDP_DEVMAP: u32 = 33;
    const BPF_XDP_CPUMAP: u32 = 35;
    let loopback = 1_u32.to_ne_bytes();
    for (map_type, number, attach) in [
        (T::DEVMAP, loopback, BPF_XDP_DEVMAP),
        (T::DEVMAP_HASH, loopback, BPF_XDP_DEVMAP),
        (T::CPUMAP, 128_u32.to_ne_bytes(), BPF_XDP_CPUMAP),
    ] {
        for value_size in [4, 8] {
            let max = if map_type == T::CPUMAP { maplock::internals::sys::possible_cpus().expect("sysfs") } else { 8 };
            let (from, to) = (new_map(map_type, 4, value_size, max), new_map(map_type, 4, value_size, max));
            let prog = xdp(attach);
            let mut value = number.to_vec();
            if value_size == 8 {
                value.extend(fd(&prog));
            }
            let key = |number: u32| number.to_ne_bytes();
            from.update(&key(0), &value, 0).expect("room");
            if value_size == 8 {
                value[4..].fill(0);
            }
            from.update(&key(1), &value, 0).expect("room");
            let copied = transfer(&from, &to).copy(&mut by(None)).expect("copied");
            assert_eq!((copied.entries, copied.method), (2, Some(Method::OneByOne)), "{map_type}");
            for number in 0..3.min(max) {
                let old = from.lookup(&key(number)).expect("read");
                assert_eq!(to.lookup(&key(number)).expect("read"), old, "{map_type} {value_size} {number}");
            }
            if value_size == 8 {
                let there = to.lookup(&key(0)).expect("read").expect("an entry");
                assert_eq!(there[4..], prog.info().expect("a program").id.to_ne_bytes(), "{map_type}");
            }
            let settled = transfer(&from, &to).settle(&mut by(None)).expect("settled");
            assert_eq!((settled.inserted, settled.is_exact()), (0, true), "{map_type}");
            assert_eq!(count(&from, Duration::MAX), Some(2), "{map_type}");
        }
    }
}

#[test]
fn what_can_not_be_copied_says_why_and_what_is_refilled_is_left_alone() {
    if !can_run() {
        return;
    }
    for (map_type, key_size, value_size, max_entries) in [
        (T::BLOOM_FILTER, 0, 4, 10),
        (T::SOCKMAP, 4, 4, 10),
        (T::SOCKHASH, 4, 4, 10),
        (T::XSKMAP, 4, 4, 10),
        (T::STACK_TRACE, 4, 64, 10),
        (T::REUSEPORT_SOCKARRAY, 4, 8, 10),
    ] {
        if !kernel::takes_maps(map_type) {
            continue;
        }
        let (from, to) = (new_map(map_type, key_size, value_size, max_entries), new_map(T::ARRAY, 4, 4, 1));
        for error in [
            transfer(&from, &to).copy(&mut by(None)).expect_err("not copyable").to_string(),
            transfer(&from, &to).settle(&mut by(None)).expect_err("not copyable").to_string(),
        ] {
            assert!(
                error.starts_with(&format!("map `test`: entries of a {map_type} can't be carried over: ")),
                "{error}"
            );
        }
    }
    let page = 4096;
    for (map_type, size, entries) in [
        (T::PROG_ARRAY, 4, 10),
        (T::PERF_EVENT_ARRAY, 4, 10),
        (T::CGROUP_ARRAY, 4, 10),
        (T::RINGBUF, 0, page),
        (T::USER_RINGBUF, 0, page),
    ] {
        if !kernel::takes_maps(map_type) {
            continue;
        }
        let (from, to) = (new_map(map_type, size, size, entries), new_map(map_type, size, size, entries * 2));
        assert_eq!(transfer(&from, &to).copy(&mut by(None)).expect("nothing to do").entries, 0);
        let settled = transfer(&from, &to).settle(&mut by(None)).expect("nothing to do");
        assert_eq!((settled.inserted, settled.is_exact()), (0, true));
    }
}
