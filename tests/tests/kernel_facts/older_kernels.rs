//! What a kernel that nodes still run does, and the newest no longer. Such a test proves what holds everywhere, and is skipped where the old
//! behaviour is met, which it proves as well.

use std::os::fd::{AsFd as _, AsRawFd as _};

use maplock::internals::sys::consts::{BPF_F_NO_PREALLOC, BPF_NOEXIST};
use maplock::internals::sys::{Prog, has_atomic_fetch};
use maplock::layout::map::MapType;
use maplock_tests::toolchain;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::raw;
use crate::support::*;

/// What a program returns.
fn returned(insns: &[u64]) -> u32 {
    let prog = load(prog_type::SOCKET_FILTER, 0, insns).unwrap();
    prog.run(&mut [], &[0; 64]).unwrap()
}

#[test]
fn fact_42_an_error_of_a_map_helper_is_a_number_of_32_bits_or_of_64() {
    needs_kernel!();
    let map = array();
    let fd = map.as_fd().as_raw_fd();
    // Inserts what an array has always: EEXIST.
    let inserts = [
        insn(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        insn(0xbf, 2, 10, 0, 0),  // r2 = r10
        insn(0x07, 2, 0, 0, -4),  // r2 += -4
        insn(0xbf, 3, 2, 0, 0),   // r3 = r2
        insn(0x18, 1, 1, 0, fd),  // r1 = the map
        0,
        insn(0xb7, 4, 0, 0, BPF_NOEXIST as i32), // r4 = BPF_NOEXIST
        insn(0x85, 0, 0, 0, 2),                  // call bpf_map_update_elem
    ];
    let exit = insn(0x95, 0, 0, 0, 0);
    let low = returned(&[&inserts[..], &[exit]].concat());
    let high = returned(&[&inserts[..], &[insn(0x77, 0, 0, 0, 32), exit]].concat()); // r0 >>= 32
    // r0 <<= 32; r0 s>>= 32; r0 == -EEXIST
    let extended = [insn(0x67, 0, 0, 0, 32), insn(0xc7, 0, 0, 0, 32), insn(0x07, 0, 0, 0, libc::EEXIST), exit];
    assert_eq!(low.cast_signed(), -libc::EEXIST);
    assert_eq!(returned(&[&inserts[..], &extended].concat()), 0, "extended, it is the number");
    match high {
        u32::MAX => {}
        0 => toolchain::skip("map helpers that return 64 bits (Linux 6.4)"),
        other => panic!("{other:#x}"),
    }
}

/// An iterator that writes each value to another map: straight, or from a place of its own.
fn writes_what_it_walks(value: &str) -> String {
    format!(
        r#"
struct context {{ void *meta; void *map; __u32 *key; __u64 *value; }};
MAP(to, BPF_MAP_TYPE_HASH, __u32, __u64, 4, 0);
SEC("iter/bpf_map_elem") int walk(struct context *context)
{{
	__u32 *at = context->key, key;
	__u64 *value = context->value, own;
	if (!at || !value)
		return 0;
	key = *at;
	own = *value;
	bpf_map_update_elem(&to, &key, {value}, 0);
	return 0;
}}
"#
    )
}

#[test]
fn fact_43_an_iterators_value_is_no_argument_of_a_helper_on_each_kernel() {
    needs_kernel!();
    let Some(copied) = compile(&writes_what_it_walks("&own")) else { return };
    let loads = |object: &[u8]| libbpf_rs::ObjectBuilder::default().open_memory(object).unwrap().load().is_ok();
    assert!(loads(&copied), "copied to the stack, it is");
    if !loads(&compile(&writes_what_it_walks("value")).unwrap()) {
        toolchain::skip("values of an iterator as arguments of helpers");
    }
}

#[test]
fn fact_44_programs_add_on_each_kernel_and_exchange_on_newer_ones() {
    needs_kernel!();
    let with = |operation: i32| {
        let insns = [
            insn(0xb7, 0, 0, 0, 3),           // r0 = 3
            insn(0x7b, 10, 0, -8, 0),         // *(u64 *)(r10 - 8) = r0
            insn(0xdb, 10, 0, -8, operation), // the operation, with r0
            insn(0x79, 0, 10, -8, 0),         // r0 = *(u64 *)(r10 - 8)
            insn(0x95, 0, 0, 0, 0),
        ];
        load(prog_type::SOCKET_FILTER, 0, &insns)
    };
    let run = |prog: Prog| prog.run(&mut [], &[0; 64]).unwrap();
    let [add, fetch_add, exchange] = [0, 1, 0xe1];
    assert_eq!(run(with(add).unwrap()), 6);
    if has_atomic_fetch() {
        assert_eq!(run(with(fetch_add).unwrap()), 6);
        assert_eq!(run(with(exchange).unwrap()), 3);
    } else {
        assert_eq!(errno(with(fetch_add)), libc::EINVAL);
        assert_eq!(errno(with(exchange)), libc::EINVAL);
        toolchain::skip("atomic exchange (Linux 5.12)");
    }
}

#[test]
fn fact_45_maps_count_against_the_limit_of_locked_memory_until_5_11() {
    needs_kernel!();
    let before = getrlimit(Resource::Memlock);
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), ..before }).unwrap();
    let made = raw::create_array(4, 1 << 16);
    setrlimit(Resource::Memlock, before).unwrap();
    match made {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EPERM));
            raw::create_array(4, 1).unwrap();
            toolchain::skip("maps that count as memory of a cgroup (Linux 5.11)");
        }
    }
}

#[test]
fn fact_46_a_trie_heeds_noexist_on_newer_kernels() {
    needs_kernel!();
    let trie = map_with_flags(MapType::LPM_TRIE, 8, 4, 2, BPF_F_NO_PREALLOC);
    let (prefix, other) = ([32, 0, 0, 0, 10, 0, 0, 1], [32, 0, 0, 0, 10, 0, 0, 2]);
    let [old, new] = [1_u32, 2].map(u32::to_ne_bytes);
    trie.update(&prefix, &old, BPF_NOEXIST).unwrap();
    let again = trie.update(&prefix, &new, BPF_NOEXIST);
    let is_there = trie.lookup(&prefix).unwrap().unwrap();
    match again {
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
            assert_eq!(is_there, old);
        }
        Ok(()) => {
            assert_eq!(is_there, new, "it wrote over what is there");
            toolchain::skip("BPF_NOEXIST of tries (Linux 6.13, and stable kernels since December 2024)");
        }
    }
    trie.update(&other, &old, BPF_NOEXIST).unwrap();
}
