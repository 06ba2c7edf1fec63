//! Maps declared with `#[btf_map]` only. The program touches about half of them: the others are kept
//! all the same, and every call adds several kB of DWARF.
#![no_std]
#![no_main]

use core::sync::atomic::AtomicU64;

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::btf_maps::{
    Array, ArrayOfMaps, HashMap, HashOfMaps, LpmTrie, LruHashMap, LruPerCpuHashMap, PerCpuArray, PerCpuHashMap,
    PerfEventArray, ProgramArray, Queue, RingBuf, Stack,
};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use fixture::flow::{Direction, FlowKey, FlowStats, Hits, Window};
use fixture::keyed::{Keyed, Port, Verdict};
use fixture::shape::{Address, Packed, State, Wide};

#[btf_map]
static FLOWS: HashMap<FlowKey, FlowStats, 1024> = HashMap::new();

/// `BPF_F_NO_PREALLOC`.
#[btf_map]
static HITS: HashMap<u32, Hits, 4096, 1> = HashMap::new();

#[btf_map]
static RECENT: LruHashMap<Port, Keyed<u32>, 512> = LruHashMap::new();

#[btf_map]
static PEERS: LruHashMap<u64, Keyed<Address>, 256> = LruHashMap::new();

#[btf_map]
static STATES: Array<State, 8> = Array::new();

#[btf_map]
static WIDE: Array<Wide, 4> = Array::new();

#[btf_map]
static TOTALS: PerCpuArray<[u64; 4], 2> = PerCpuArray::new();

#[btf_map]
static BY_CPU: PerCpuHashMap<[u8; 6], Window, 64> = PerCpuHashMap::new();

#[btf_map]
static LRU_BY_CPU: LruPerCpuHashMap<u32, bool, 64> = LruPerCpuHashMap::new();

#[btf_map]
static ROUTES: LpmTrie<[u8; 4], Verdict, 1024> = LpmTrie::new();

/// `()` because aya-ebpf 0.2 also writes `value_size` 0, and libbpf refuses the two if they differ
/// (`both` has one of those).
#[btf_map]
static EVENTS: RingBuf<(), 4096> = RingBuf::new();

#[btf_map]
static PERF: PerfEventArray = PerfEventArray::new();

#[btf_map]
static WAITING: Queue<Packed, 16> = Queue::new();

#[btf_map]
static PILE: Stack<u32, 16> = Stack::new();

#[btf_map]
static TAILS: ProgramArray<4> = ProgramArray::new();

#[btf_map]
static OUTER: ArrayOfMaps<Array<u64, 10>, 4> = ArrayOfMaps::new();

#[btf_map]
static OUTER_HASH: HashOfMaps<u32, HashMap<u32, Keyed<u32>, 32>, 8> = HashOfMaps::new();

/// The symbol's name is not the item's.
#[btf_map(name = "renamed_map")]
static ITEM_NAME: Array<Packed, 3> = Array::new();

/// aya-ebpf 0.2 has no pinning for `#[btf_map]`; this is how one writes it oneself.
mod hand {
    #[repr(C)]
    pub struct PinnedHash<K, V, const MAX_ENTRIES: usize> {
        r#type: *const [i32; 1],
        key: *const K,
        value: *const V,
        max_entries: *const [i32; MAX_ENTRIES],
        pinning: *const [i32; 1],
    }

    unsafe impl<K, V, const MAX_ENTRIES: usize> Sync for PinnedHash<K, V, MAX_ENTRIES> {}

    impl<K, V, const MAX_ENTRIES: usize> PinnedHash<K, V, MAX_ENTRIES> {
        pub const fn new() -> Self {
            Self {
                r#type: core::ptr::null(),
                key: core::ptr::null(),
                value: core::ptr::null(),
                max_entries: core::ptr::null(),
                pinning: core::ptr::null(),
            }
        }

        #[inline(always)]
        pub fn get_ptr_mut(&self, key: &K) -> *mut V {
            let map = core::ptr::from_ref(self).cast_mut().cast();
            let key = core::ptr::from_ref(key).cast();
            unsafe { aya_ebpf::helpers::bpf_map_lookup_elem(map, key).cast() }
        }
    }
}

#[btf_map]
static PINNED_FLOWS: hand::PinnedHash<FlowKey, FlowStats, 2048> = hand::PinnedHash::new();

/// The loader may rewrite this one: `.rodata`.
#[unsafe(no_mangle)]
static SAMPLE_EVERY: u32 = 16;

/// `.bss`.
#[unsafe(no_mangle)]
static SEEN: AtomicU64 = AtomicU64::new(0);

/// `.data`.
#[unsafe(no_mangle)]
static BUDGET: AtomicU64 = AtomicU64::new(1000);

/// Plain memory accesses: LLVM cannot select an atomic store for bpf, and `core` has no atomic
/// addition there.
#[inline(always)]
fn add(counter: &AtomicU64, amount: u64) {
    let place = counter.as_ptr();
    unsafe { place.write_volatile(place.read_volatile().wrapping_add(amount)) };
}

fn fill(ctx: &XdpContext) -> Option<()> {
    let length = (ctx.data_end() - ctx.data()) as u64;
    // From whole words, so that the key's padding is written too.
    let words = [1u32, 2, 3, 6 | (Direction::Egress as u32) << 8];
    let key: FlowKey = unsafe { core::mem::transmute(words) };
    if let Some(stats) = FLOWS.get_ptr_mut(&key) {
        unsafe {
            (*stats).packets += 1;
            (*stats).bytes += length;
        }
    }
    let pinned = PINNED_FLOWS.get_ptr_mut(&key);
    if !pinned.is_null() {
        unsafe { (*pinned).packets += 1 };
    }
    if let Some(hits) = HITS.get_ptr(1u32) {
        unsafe { add(&(*hits).packets, 1) };
    }
    let port = Port(ctx.ingress_ifindex() as u16);
    if let Some(recent) = RECENT.get_ptr_mut(&port) {
        unsafe { (*recent).item += 1 };
    }
    if let Some(peer) = PEERS.get_ptr_mut(&length) {
        unsafe { (*peer).item.v4 = 1 };
    }
    if let Some(state) = STATES.get_ptr_mut(0) {
        unsafe { *state = State::Open };
    }
    if let Some(wide) = WIDE.get_ptr_mut(0) {
        unsafe { (*wide).buckets[0] += 1 };
    }
    if let Some(totals) = TOTALS.get_ptr_mut(0) {
        unsafe { (*totals)[1] += length };
    }
    let verdict = ROUTES.get(&Key::new(32, [10, 0, 0, 1]))?.0;
    let _ = EVENTS.output_untyped::<u32>(verdict, 0);
    if let Some(inner) = OUTER.get(0) {
        let _ = inner.set(0, 1, 0);
    }
    let every = unsafe { core::ptr::read_volatile(&SAMPLE_EVERY) };
    add(&SEEN, u64::from(every));
    add(&BUDGET, u64::MAX);
    Some(())
}

#[xdp]
pub fn fixture_btf(ctx: XdpContext) -> u32 {
    let _ = fill(&ctx);
    XDP_PASS
}
