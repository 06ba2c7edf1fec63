//! Maps declared with `#[map]` only: no BTF map definitions, records in `maps`. The program
//! touches about half of them.
#![no_std]
#![no_main]

use aya_ebpf::macros::{map, socket_filter};
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{
    Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, PerfEventArray, ProgramArray, Queue, RingBuf,
};
use aya_ebpf::programs::SkBuffContext;
use fixture::flow::{Direction, FlowKey, FlowStats, Window};
use fixture::keyed::{Keyed, Port, Verdict};
use fixture::shape::{Address, Event, Packed, State, Wide};

#[map]
static FLOWS: HashMap<FlowKey, FlowStats> = HashMap::with_max_entries(1024, 0);

#[map]
static PINNED_FLOWS: HashMap<FlowKey, FlowStats> = HashMap::pinned(2048, 0);

/// `BPF_F_NO_PREALLOC`.
#[map]
static RECENT: HashMap<Port, Keyed<u32>> = HashMap::with_max_entries(512, 1);

#[map]
static PINNED_PEERS: LruHashMap<u64, Keyed<Address>> = LruHashMap::pinned(256, 0);

#[map]
static STATES: Array<State> = Array::with_max_entries(8, 0);

#[map]
static PINNED_WIDE: Array<Wide> = Array::pinned(4, 0);

#[map]
static TOTALS: PerCpuArray<[u64; 4]> = PerCpuArray::with_max_entries(2, 0);

#[map]
static BY_CPU: PerCpuHashMap<[u8; 6], Window> = PerCpuHashMap::with_max_entries(64, 0);

#[map]
static PINNED_ROUTES: LpmTrie<[u8; 4], Verdict> = LpmTrie::pinned(1024, 0);

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

#[map]
static PERF: PerfEventArray<Event> = PerfEventArray::new(0);

#[map]
static WAITING: Queue<Packed> = Queue::with_max_entries(16, 0);

#[map]
static TAILS: ProgramArray = ProgramArray::with_max_entries(4, 0);

/// The symbol's name is not the item's.
#[map(name = "renamed_map")]
static ITEM_NAME: Array<Packed> = Array::pinned(3, 0);

fn fill(ctx: &SkBuffContext) -> Option<()> {
    let length = u64::from(ctx.len());
    // From whole words, so that the key's padding is written too.
    let words = [1u32, 2, 3, 6 | (Direction::Egress as u32) << 8];
    let key: FlowKey = unsafe { core::mem::transmute(words) };
    if let Some(stats) = FLOWS.get_ptr_mut(&key) {
        unsafe { (*stats).packets += 1 };
    }
    if let Some(stats) = PINNED_FLOWS.get_ptr_mut(&key) {
        unsafe { (*stats).bytes += length };
    }
    if let Some(recent) = RECENT.get_ptr_mut(&Port(80)) {
        unsafe { (*recent).item += 1 };
    }
    if let Some(peer) = PINNED_PEERS.get_ptr_mut(&length) {
        unsafe { (*peer).item.v4 = 1 };
    }
    let verdict = PINNED_ROUTES.get(Key::new(32, [10, 0, 0, 1]))?.0;
    let _ = EVENTS.output::<u32>(verdict, 0);
    if let Some(packed) = ITEM_NAME.get_ptr_mut(0) {
        unsafe { (*packed).tag = 1 };
    }
    Some(())
}

#[socket_filter]
pub fn fixture_legacy(ctx: SkBuffContext) -> i64 {
    let _ = fill(&ctx);
    0
}
