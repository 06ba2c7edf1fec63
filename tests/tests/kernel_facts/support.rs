//! Small maps and programs.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use libbpf_rs::{MapCore as _, ObjectBuilder};
use maplock::internals::sys::{Insn, Map, NewMap, NewProg, Prog, has_atomic_fetch};
use maplock::layout::map::MapType;
use maplock_tests::kernel;
use maplock_tests::toolchain::{self, Clang, root, run};
use rustix::thread::CpuSet;

/// The number of the error that a call must fail with.
#[track_caller]
pub fn errno<T: std::fmt::Debug>(result: io::Result<T>) -> i32 {
    let error = result.unwrap_err();
    error.raw_os_error().unwrap_or_else(|| panic!("not the kernel's: {error}"))
}

/// ENOTSUPP, which no libc knows.
pub const ENOTSUPP: i32 = 524;

pub fn map(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    Map::create(&NewMap::new(map_type, key_size, value_size, max_entries)).unwrap()
}

pub fn map_with_flags(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> Map {
    Map::create(&NewMap { flags, ..NewMap::new(map_type, key_size, value_size, max_entries) }).unwrap()
}

/// An array of one u32.
pub fn array() -> Map {
    map(MapType::ARRAY, 4, 4, 1)
}

pub fn key(of: u32) -> [u8; 4] {
    of.to_ne_bytes()
}

/// The number under a key of 4 bytes.
#[track_caller]
pub fn number(map: &Map, of: u32) -> Option<u64> {
    map.lookup(&key(of)).unwrap().map(|value| u64::from_ne_bytes(value.try_into().unwrap()))
}

/// All keys, by the simplest way; for maps that nobody changes meanwhile.
pub fn keys(map: &Map) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    while let Some(next) = map.next_key(keys.last().map(Vec::as_slice)).unwrap() {
        keys.push(next);
    }
    keys
}

/// `BPF_PROG_TYPE_*`.
pub mod prog_type {
    pub const SOCKET_FILTER: u32 = 1;
    pub const SCHED_CLS: u32 = 3;
    pub const XDP: u32 = 6;
    pub const CGROUP_SKB: u32 = 8;
    pub const CGROUP_SOCK: u32 = 9;
    pub const SOCK_OPS: u32 = 13;
    pub const SK_MSG: u32 = 16;
    pub const CGROUP_SOCK_ADDR: u32 = 18;
    pub const FLOW_DISSECTOR: u32 = 22;
    pub const CGROUP_SOCKOPT: u32 = 25;
    pub const SK_LOOKUP: u32 = 30;
}

/// `enum bpf_attach_type`.
pub mod attach_type {
    pub const CGROUP_INET_EGRESS: u32 = 1;
    pub const CGROUP_INET_SOCK_CREATE: u32 = 2;
    pub const CGROUP_SOCK_OPS: u32 = 3;
    pub const SK_MSG_VERDICT: u32 = 7;
    pub const CGROUP_INET4_CONNECT: u32 = 10;
    pub const FLOW_DISSECTOR: u32 = 17;
    pub const CGROUP_SETSOCKOPT: u32 = 22;
    pub const SK_LOOKUP: u32 = 36;
    pub const XDP: u32 = 37;
    pub const TCX_INGRESS: u32 = 46;
}

pub fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    Insn { code, dst, src, off, imm }.word()
}

/// A program that returns a number.
pub fn returns(prog_type: u32, expected_attach_type: u32, number: i32) -> Prog {
    let insns = [insn(0xb7, 0, 0, 0, number), insn(0x95, 0, 0, 0, 0)];
    load(prog_type, expected_attach_type, &insns).unwrap()
}

/// A socket filter that looks up key 0, and reads the byte at `offset` of the value.
pub fn reads_byte(map: &Map, offset: i16) -> io::Result<Prog> {
    let fd = map.as_fd().as_raw_fd();
    let insns = [
        insn(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        insn(0xbf, 2, 10, 0, 0),  // r2 = r10
        insn(0x07, 2, 0, 0, -4),  // r2 += -4
        insn(0x18, 1, 1, 0, fd),  // r1 = the map
        0,
        insn(0x85, 0, 0, 0, 1),      // call bpf_map_lookup_elem
        insn(0x15, 0, 0, 1, 0),      // if r0 == 0 goto +1
        insn(0x71, 0, 0, offset, 0), // r0 = *(u8 *)(r0 + offset)
        insn(0x95, 0, 0, 0, 0),      // exit
    ];
    load(prog_type::SOCKET_FILTER, 0, &insns)
}

pub fn load(prog_type: u32, expected_attach_type: u32, insns: &[u64]) -> io::Result<Prog> {
    Prog::load(&NewProg {
        prog_type,
        expected_attach_type,
        name: "fact",
        insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    })
}

/// False, with a word, where this kernel lacks what a source calls.
fn has_all(source: &str) -> bool {
    let helpers = [
        ("bpf_for_each_map_elem", "5.13"),
        ("bpf_timer_init", "5.15"),
        ("bpf_loop", "5.17"),
        ("bpf_map_lookup_percpu_elem", "5.19"),
    ];
    let calls = |helper: &str| source.contains(&format!("{helper}("));
    let helpers = helpers.into_iter().filter(|(helper, _)| calls(helper) && !kernel::has_helper(helper));
    let types = [
        ("syscall", "BPF_PROG_TYPE_SYSCALL", "programs of type syscall (Linux 5.14)"),
        ("netfilter", "BPF_PROG_TYPE_NETFILTER", "netfilter programs (Linux 6.4)"),
        ("uprobe.multi", "BPF_TRACE_UPROBE_MULTI", "links of several uprobes (Linux 6.6)"),
    ];
    let is_section = |name: &str| source.contains(&format!("SEC(\"{name}\")"));
    let types =
        types.into_iter().filter(|(name, enumerator, _)| is_section(name) && !kernel::has_enumerator(enumerator));
    let mut lacking: Vec<String> = helpers.map(|(helper, version)| format!("{helper} (Linux {version})")).collect();
    lacking.extend(types.map(|(.., what)| what.to_owned()));
    if calls("__sync_lock_test_and_set") && !has_atomic_fetch() {
        lacking.push("atomic exchange (Linux 5.12)".to_owned());
    }
    lacking.iter().for_each(|what| toolchain::skip(what));
    lacking.is_empty()
}

/// Compiles C after bpf/include/bpf_min.h by the oldest clang that is installed; where there is none, or the kernel lacks what the source
/// calls, the test is skipped.
pub fn compile(source: &str) -> Option<Vec<u8>> {
    if !has_all(source) {
        return None;
    }
    let clang = Clang::at_least(1)?.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("fact.bpf.c"), folder.path().join("fact.o"));
    let licence = "char LICENSE[] SEC(\"license\") = \"GPL\";";
    std::fs::write(&from, format!("#include \"bpf_min.h\"\n{HELPERS}\n{source}\n{licence}\n")).unwrap();
    // Atomic exchange needs the third instruction set (Linux 5.12).
    let mut command = clang.command();
    command.args(["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wno-everything", "-I"]).arg(root().join("bpf/include"));
    run(command.arg("-c").arg(&from).arg("-o").arg(&to));
    Some(std::fs::read(to).unwrap())
}

/// Helpers of the kernel that bpf_min.h has not, by number, and what the programs here share.
const HELPERS: &str = r#"
static long (*const bpf_map_delete_elem)(void *map, const void *key) __attribute__((unused)) = (void *)3;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *context, __u64 flags)
	__attribute__((unused)) = (void *)164;
static long (*const bpf_loop)(__u32 count, void *callback, void *context, __u64 flags)
	__attribute__((unused)) = (void *)181;
static void *(*const bpf_map_lookup_percpu_elem)(void *map, const void *key, __u32 cpu)
	__attribute__((unused)) = (void *)195;
#define MAP(name, kind, key_type, value_type, entries, flags) \
	struct { \
		__uint(type, kind); \
		__type(key, key_type); \
		__type(value, value_type); \
		__uint(max_entries, entries); \
		__uint(map_flags, flags); \
	} name SEC(".maps")
"#;

/// An object that libbpf has loaded.
pub struct Loaded(pub libbpf_rs::Object);

impl Loaded {
    /// Compiles and loads; `None` where there is no clang.
    pub fn from_source(source: &str) -> Option<Self> {
        Some(Self::from_object(&compile(source)?))
    }

    pub fn from_object(object: &[u8]) -> Self {
        Self(ObjectBuilder::default().open_memory(object).unwrap().load().unwrap())
    }

    pub fn map(&self, name: &str) -> Map {
        let map = self.0.maps().find(|map| map.name() == name).unwrap_or_else(|| panic!("no map {name}"));
        duplicate(map.as_fd())
    }

    pub fn prog(&self, name: &str) -> Prog {
        let prog = self.0.progs().find(|prog| prog.name() == name).unwrap_or_else(|| panic!("no program {name}"));
        Prog::from_fd(prog.as_fd().try_clone_to_owned().unwrap())
    }

    #[track_caller]
    pub fn call<const N: usize>(&self, name: &str, numbers: [u64; N]) -> [u64; N] {
        call(&self.prog(name), numbers)
    }
}

/// Runs a `SEC("syscall")` program with a context of these numbers; returns what the program made of them.
#[track_caller]
pub fn call<const N: usize>(prog: &Prog, numbers: [u64; N]) -> [u64; N] {
    let mut context: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    assert_eq!(prog.run(&mut context, &[]).unwrap(), 0);
    std::array::from_fn(|at| u64::from_ne_bytes(context[at * 8..][..8].try_into().unwrap()))
}

pub fn duplicate(map: BorrowedFd<'_>) -> Map {
    Map::from_fd(map.try_clone_to_owned().unwrap()).unwrap()
}

/// The CPUs that this process may run on.
pub fn cpus() -> Vec<usize> {
    static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
    let of_process = || {
        let set = rustix::thread::sched_getaffinity(Some(rustix::process::getpid())).unwrap();
        (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
    };
    CPUS.get_or_init(of_process).clone()
}

/// Keeps the calling thread on one CPU.
pub fn stay_on(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}

/// Runs `inside` on a thread of its own that stays on one CPU.
pub fn on_cpu<T: Send>(cpu: usize, inside: impl FnOnce() -> T + Send) -> T {
    let there = || {
        stay_on(cpu);
        inside()
    };
    thread::scope(|scope| scope.spawn(there).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// The id of the map that is pinned there.
#[track_caller]
pub fn id_at(path: &Path) -> u32 {
    Map::open(path).unwrap().info().id
}

/// BTF written by hand.
#[derive(Default)]
pub struct BtfBytes {
    types: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

impl BtfBytes {
    pub fn new() -> Self {
        Self { strings: vec![0], ..Self::default() }
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn add(&mut self, name: &str, kind: u32, vlen: usize, size: u32, rest: &[u32]) -> u32 {
        let name = self.name(name);
        self.types.extend([name, kind << 24 | vlen as u32, size]);
        self.types.extend(rest);
        self.count += 1;
        self.count
    }

    /// An unsigned integer.
    pub fn int(&mut self, name: &str, bytes: u32) -> u32 {
        self.add(name, 1, 0, bytes, &[bytes * 8])
    }

    /// A struct with members of (name, type, offset in bytes).
    pub fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let members: Vec<u32> =
            members.iter().flat_map(|(name, id, offset)| [self.name(name), *id, *offset * 8]).collect();
        self.add(name, 4, members.len() / 3, size, &members)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32 * 4, self.strings.len() as u32);
        let header = [0x0001_eb9f, 24, 0, types, types, strings];
        let words = header.iter().chain(&self.types).flat_map(|word| word.to_ne_bytes());
        words.chain(self.strings.iter().copied()).collect()
    }
}
