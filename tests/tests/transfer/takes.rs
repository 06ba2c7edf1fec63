//! What the kernel that runs takes, told in lines that `tests/kernels/run --all` puts into docs/kernels.md.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;

use maplock::internals::sys::bpffs::exchange;
use maplock::internals::sys::{Link, NewLink, NewProg, Prog, tries_heed_noexist};
use maplock::internals::transfer::{Method, Settled, Sum, new_base, settles_exactly};
use maplock::layout::MapDef;
use maplock::layout::map::Pinning;
use maplock::plan::CommitBy;
use maplock::{Options, Spec, Upgrade};
use maplock_tests::kernel::{Bpffs, Cgroup, Netns};

use crate::convert::{BY_PROGRAM, Scene};
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

/// Entries that change their layout: counts, and other members.
fn converted(map_type: MapType) -> Settled {
    let scene = Scene::new(map_type, 8, 8);
    scene.there().copy(&mut by(None)).expect("copied");
    let settled = scene.there().settle(&mut by(None)).expect("settled");
    assert_eq!(settles_exactly(map_type, true), settled.exact, "{map_type}: {settled:?}");
    settled
}

/// What is said of an LPM trie of counts, by a kernel that returns 0 where it is asked to insert what is there, and by the one that runs.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_trie_is_not_called_exact_where_the_kernel_writes_over_what_is_there() {
    use maplock_tests::trace::{self, Call, Fate};
    use nix::errno::Errno;
    const BPF_MAP_UPDATE_ELEM: u64 = 2;
    if !can_run() || !has_programs(T::LPM_TRIE) {
        return;
    }
    let told = |second: Fate| {
        let mut updates = 0;
        let ended = trace::run(&mut std::process::Command::new(env!("CARGO_BIN_EXE_trie")), |call: Call| {
            let is_update = call.is_bpf() && call.first == BPF_MAP_UPDATE_ELEM;
            updates += u32::from(is_update);
            // The second is of what is there.
            if is_update && updates == 2 { second } else { Fate::Made }
        });
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stderr
    };
    assert_eq!(told(Fate::Skipped), "would: false, was: false\n");
    // What was not tried for lack of memory is not called exact either; what this process may not try is not known.
    assert_eq!(told(Fate::Fails(Errno::ENOMEM)), "would: false, was: false\n");
    assert_eq!(told(Fate::Fails(Errno::EPERM)), "would: true, was: true\n");
    let own = tries_heed_noexist();
    assert_eq!(told(Fate::Made), format!("would: {own}, was: {own}\n"));
}

/// A program that does nothing but return.
fn prog(prog_type: u32, expected_attach_type: u32) -> io::Result<Prog> {
    let insns = [0xb7 | 1 << 32, 0x95];
    Prog::load(&NewProg {
        prog_type,
        expected_attach_type,
        name: "pass",
        insns: &insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    })
}

/// How the program of a link is replaced by the next.
fn replaced(
    (prog_type, attach_type): (u32, u32),
    attach: impl Fn(&Prog, i32) -> io::Result<Link>,
) -> io::Result<&'static str> {
    let [old, new] = [prog(prog_type, attach_type)?, prog(prog_type, attach_type)?];
    let link = attach(&old, 1)?;
    Ok(match link.update(new.as_fd(), None) {
        Ok(()) => {
            assert_eq!(link.info()?.prog_id, new.info()?.id);
            "updated in place"
        }
        Err(_) => {
            attach(&new, 2)?;
            "new before old"
        }
    })
}

fn tell_hooks() {
    const BPF_PROG_TYPE_CGROUP_SOCK: u32 = 9;
    const BPF_CGROUP_INET_SOCK_CREATE: u32 = 2;
    let (cgroup, netns) = (Cgroup::new(), Netns::new());
    netns.veth("one", "two");
    let device = netns.ifindex("one");
    netns.run(|| {
        let own = fs::File::open("/proc/thread-self/ns/net").expect("opened");
        let (cgroup, own) = (cgroup.fd().as_raw_fd().cast_unsigned(), own.as_raw_fd().cast_unsigned());
        let links = [
            ("cgroup", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE, cgroup),
            ("XDP", 6, 37, device),
            ("tcx", 3, 46, device),
            ("sk_lookup", 30, 36, own),
        ];
        for (name, prog_type, attach_type, target) in links {
            let attach = |prog: &Prog, _| Link::create(&NewLink { prog: prog.as_fd(), target, attach_type, flags: 0 });
            println!("takes: hook, {name}: {}", replaced((prog_type, attach_type), attach).unwrap_or("not there"));
        }
        let how = replaced((32, 45), |prog, priority| Link::netfilter(prog.as_fd(), 2, 1, priority));
        println!("takes: hook, netfilter: {}", how.unwrap_or("not there"));
    });
}

/// How the pins of a directory of its own change places: as the plan said before.
fn committed() -> &'static str {
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let inode = || fs::metadata(&dir).expect("a directory").ino();
    let begin = |max_entries| {
        let counts = MapDef { pinning: Pinning::ByName, max_entries, ..MapDef::new("counts", T::HASH) };
        let spec = Spec::from(maplock_tests::lock(&[MapDef { key_size: 4, value_size: 8, ..counts }]));
        Options::new(spec, &dir).begin().expect("begun")
    };
    let commit = |upgrade: Upgrade| upgrade.stage().expect("staged").commit().expect("committed");
    let first = begin(4);
    assert_eq!(first.plan().commit, CommitBy::Exchange, "there is nothing to exchange it with");
    commit(first);
    let (upgrade, live) = (begin(8), inode());
    let planned = upgrade.plan().commit.clone();
    commit(upgrade);
    let is_exchanged = inode() != live;
    let dirs = ["one", "other"].map(|name| bpffs.dir(name));
    assert_eq!(exchange(dirs[0].as_path(), dirs[1].as_path()).is_ok(), is_exchanged);
    let expected = if is_exchanged { None } else { Some("this kernel can't exchange directories on bpffs") };
    // This kernel lists its functions.
    assert_eq!((planned.why(), planned != CommitBy::Exchange), (expected, !is_exchanged));
    if is_exchanged { "one exchange" } else { "pin by pin" }
}

#[test]
fn what_this_kernel_takes_is_told() {
    if !can_run() {
        return;
    }
    println!("takes: commit: {}", committed());
    for map_type in COPIED {
        println!("takes: {map_type}, counts: {}", how(&settled(map_type, 8)));
        println!("takes: {map_type}, counts and other members: {}", how(&settled(map_type, 16)));
    }
    for map_type in BY_PROGRAM {
        println!("takes: {map_type}, another layout: {}", how(&converted(map_type)));
    }
    tell_hooks();
}
