//! What the kernel that runs takes, told in lines that `tests/kernels/run --all` puts into docs/kernels.md.

use std::fs;

use maplock::internals::sys::bpffs::exchange;
use maplock::internals::transfer::{Method, Settled, Sum, new_base, settles_exactly};
use maplock_tests::kernel::Bpffs;

use crate::support::*;

/// A count; where it is not alone, something beside it that is set.
const COUNT: Sum = Sum { offset: 0, width: 8, signed: false };

fn settled(map_type: T, value_size: u32) -> Settled {
    // The values of a trie lie on 8 bytes where its keys end there.
    let key_size = if is_array(map_type) { 4 } else { 12 };
    let room = room(map_type, 64);
    let [from, to] = [(); 2].map(|()| new_map(map_type, key_size, value_size, room));
    fill(&from, 8);
    let base = Some(new_base(&from).expect("memory"));
    let maps = Maps { from, to, base, sums: vec![COUNT] };
    maps.copy(None).expect("copied");
    let settled = maps.settle(None);
    // A plan says so before.
    assert_eq!(settles_exactly(map_type, value_size > 8), settled.exact, "{map_type}: {settled:?}");
    assert_eq!(contents(&maps.to), contents(&maps.from), "{map_type}");
    settled
}

fn how(settled: &Settled) -> &'static str {
    match (settled.method, settled.exact) {
        (Some(Method::Kernel), true) => "by programs, exact",
        (Some(Method::Kernel), false) => "by programs, not exact",
        (_, true) => "exact",
        (_, false) => "by system calls, not exact",
    }
}

#[test]
fn what_this_kernel_takes_is_told() {
    if !can_run() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dirs = ["one", "other"].map(|name| bpffs.dir(name));
    fs::create_dir(dirs[0].join("in")).expect("made");
    let exchanged = exchange(dirs[0].as_path(), dirs[1].as_path());
    assert_eq!(exchanged.is_ok(), dirs[1].join("in").exists(), "{exchanged:?}");
    println!("takes: commit: {}", if exchanged.is_ok() { "one exchange" } else { "pin by pin" });
    for map_type in COPIED {
        println!("takes: {map_type}, counts: {}", how(&settled(map_type, 8)));
        println!("takes: {map_type}, counts and other members: {}", how(&settled(map_type, 16)));
    }
}
