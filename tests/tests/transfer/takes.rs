//! What the kernel that runs takes, told in lines that `tests/kernels/run --all` puts into docs/kernels.md.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;

use maplock::internals::sys::bpffs::exchange;
use maplock::internals::sys::{Btf, Link, Map, NewLink, NewMap, NewProg, Prog, tries_heed_noexist};
use maplock::internals::transfer::{Method, Settled, Sum, needs_base, new_base};
use maplock::layout::MapDef;
use maplock::layout::btf::encode;
use maplock::layout::map::Pinning;
use maplock::plan::CommitBy;
use maplock::{Options, Spec, Upgrade};
use maplock_tests::kernel::{Bpffs, Cgroup, Netns};
use maplock_tests::shapes::{self, uint};

use crate::convert::{BY_PROGRAM, Scene};
use crate::support::*;

/// A count; where it is not alone, something beside it that is set.
const COUNT: Sum = Sum { offset: 0, width: 8, signed: false };

fn settled(map_type: T, key_size: u32, value_size: u32) -> Settled {
    let room = room(map_type, 64);
    let [from, to] = [(); 2].map(|()| new_map(map_type, key_size, value_size, room));
    fill(&from, 8);
    settled_between(from, to, vec![COUNT])
}

fn settled_between(from: Map, to: Map, sums: Vec<Sum>) -> Settled {
    let map_type = from.info().map_type;
    let base = needs_base(map_type).then(|| new_base(&from).expect("memory"));
    let maps = Maps { from, to, base, sums };
    maps.copy(None).expect("copied");
    // A plan prepares empty maps, and says so before.
    let foreseen = maps.transfer().prepare(&by(None)).expect("prepared").inexact();
    let settled = maps.settle(None);
    assert_eq!(foreseen, settled.inexact, "{map_type}: {settled:?}");
    if maps.base.is_some() {
        assert_eq!(contents(&maps.to), contents(&maps.from), "{map_type}");
    }
    settled
}

/// Values of so many bytes, of which none is a count.
fn settled_bytes(value_size: u32) -> Settled {
    let [from, to] = [(); 2].map(|()| new_map(T::HASH, 8, value_size, 64));
    fill(&from, 8);
    settled_between(from, to, Vec::new())
}

/// Entries without keys.
fn moved(map_type: T) -> Settled {
    let [from, to] = [(); 2].map(|()| new_map(map_type, 0, 8, 64));
    (0..8_u64).for_each(|value| from.update(&[], &value.to_ne_bytes(), 0).expect("room"));
    settled_between(from, to, Vec::new())
}

/// Counts, and a lock beside them.
fn locked() -> Settled {
    let value = shapes::locked("bpf_spin_lock");
    let types = encode(Some(&uint(4)), Some(&value)).expect("types that BTF has");
    let btf = Btf::load(&types.bytes).expect("the kernel takes it");
    let new = || {
        let new = NewMap::new(T::HASH, 4, value.size as u32, 64);
        Map::create(&NewMap { btf: Some((&btf, types.key_type_id, types.value_type_id)), ..new }).expect("made")
    };
    let (from, to) = (new(), new());
    from.update(&[0; 4], &vec![0; from.value_bytes()], 0).expect("room");
    settled_between(from, to, vec![COUNT])
}

fn how(settled: &Settled) -> &'static str {
    match (settled.method, settled.is_exact()) {
        (Some(Method::Kernel), true) => "by programs, exact",
        (Some(Method::Kernel), false) => "by programs, not exact",
        (Some(_), true) => "by system calls, exact",
        (None, true) => "exact",
        (_, false) => "by system calls, not exact",
    }
}

/// Entries that change their layout: counts, and other members.
fn converted(map_type: MapType) -> Settled {
    let scene = Scene::new(map_type, 8, 8);
    scene.there().copy(&mut by(None)).expect("copied");
    scene.there().settle(&mut by(None)).expect("settled")
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
    // What could not be tried is not called exact either.
    for errno in [Errno::ENOMEM, Errno::EPERM] {
        assert_eq!(told(Fate::Fails(errno)), "would: false, was: false\n");
    }
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
        // The values of a trie lie on 8 bytes where its keys end there, as those of IPv6 do.
        let key_size = if is_array(map_type) { 4 } else { 12 };
        println!("takes: {map_type}, counts: {}", how(&settled(map_type, key_size, 8)));
        println!("takes: {map_type}, counts and other members: {}", how(&settled(map_type, key_size, 16)));
    }
    println!("takes: {} of IPv4 prefixes, counts: {}", T::LPM_TRIE, how(&settled(T::LPM_TRIE, 8, 8)));
    let with_others = how(&settled(T::LPM_TRIE, 8, 16));
    println!("takes: {} of IPv4 prefixes, counts and other members: {with_others}", T::LPM_TRIE);
    println!("takes: {}, counts and a lock: {}", T::HASH, how(&locked()));
    println!("takes: {}, values of 6 bytes: {}", T::HASH, how(&settled_bytes(6)));
    for map_type in [T::QUEUE, T::STACK] {
        println!("takes: {map_type}: {}", how(&moved(map_type)));
    }
    for map_type in BY_PROGRAM {
        println!("takes: {map_type}, another layout: {}", how(&converted(map_type)));
    }
    tell_hooks();
}
