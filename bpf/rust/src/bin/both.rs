//! `#[btf_map]` and `#[map]` in one object, with some key and value types in common.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::macros::{btf_map, map, xdp};
use aya_ebpf::programs::XdpContext;
use aya_ebpf::{btf_maps, maps};
use fixture::flow::Window;
use fixture::keyed::Keyed;
use fixture::shape::{Address, Event};

#[btf_map]
static NEW_STYLE: btf_maps::HashMap<u32, Keyed<Address>, 128> = btf_maps::HashMap::new();

#[btf_map]
static NEW_WINDOWS: btf_maps::PerCpuArray<Window, 1> = btf_maps::PerCpuArray::new();

/// `value` of 48 bytes and `value_size` 0: libbpf refuses that, aya does not mind.
#[btf_map]
static NEW_EVENTS: btf_maps::RingBuf<Event, 4096> = btf_maps::RingBuf::new();

#[map]
static OLD_STYLE: maps::HashMap<u32, Keyed<Address>> = maps::HashMap::with_max_entries(128, 0);

#[map]
static OLD_PINNED: maps::LruHashMap<u64, Keyed<u32>> = maps::LruHashMap::pinned(64, 0);

#[xdp]
pub fn fixture_both(ctx: XdpContext) -> u32 {
    let length = (ctx.data_end() - ctx.data()) as u64;
    if let Some(peer) = NEW_STYLE.get_ptr_mut(1u32) {
        unsafe { (*peer).generation += 1 };
    }
    if let Some(window) = NEW_WINDOWS.get_ptr_mut(0) {
        unsafe { (*window).last = length };
    }
    if let Some(peer) = OLD_STYLE.get_ptr_mut(1u32) {
        unsafe { (*peer).generation += 1 };
    }
    let _ = OLD_PINNED.insert(length, Keyed { generation: 1, item: 2 }, 0);
    XDP_PASS
}
